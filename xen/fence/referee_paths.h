/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The referee's room for disks by several paths (xen/fence/paths.h): what xen/fence/referee.c does
 *with a disk by one path, done by all of them. The rules are those of tests/fault/paths.pml:
 *
 *	Each path is a nexus of its own. The host that runs the guest has one key registered by all
 *	of them, and one of them holds, Write Exclusive - Registrants Only: all of them may write.
 *	The key that holds decides, and nothing else: not that a PREEMPT was GOOD, which may have
 *	met a path that does not hold; nor that the other is not registered.
 *
 *	source		holds with the key S
 *	destination	has nothing registered before the source is suspended
 *	destination	REGISTER, D, by one path; PREEMPT by it, naming S. D holds: won
 *	source		hears nothing: REGISTER, S to N, by one path. That was the one that holds:
 *			N holds, won. Else PREEMPT by it, naming S. N holds: won
 *	who has won	removes what the other has registered, registers by its other paths, and
 *			only then lets the guest run
 *
 * Both name S, and only who comes first finds it holding; what comes late does not. N is made of S,
 * so that a vstor which follows a killed one knows it.
 */
#ifndef XEN_REFEREE_PATHS_H
#define XEN_REFEREE_PATHS_H

#include "xen/fence/referee.h"

/* How such a disk is to be taken. */
struct paths_taking {
	uint64_t mine;	 /* the key that is to hold */
	uint64_t was;	 /* this host's that has held from the beginning; 0: none */
	uint64_t victim; /* from whom it may be taken; 0: from nobody */
	bool any;	 /* from any other host of vstor's, too */
	bool afresh;	 /* from nobody, and from what this host had, too */
	bool all;	 /* not without all of its paths, nor beside another program */
	enum reservation_action by;
};

/* The key under which a source takes its guest back. */
uint64_t referee_paths_next(uint64_t mine);
/* May be repeated. *there (may be NULL): this host had a key registered before. */
enum referee_says referee_paths_take(const char *map, const struct paths_taking *t, bool *there,
				     char why[REFEREE_TEXT]);
/* WON while `theirs` holds it, by several paths, and each path of it here answers. */
enum referee_says referee_paths_look(const char *map, uint64_t theirs, char why[REFEREE_TEXT]);
/* As referee_release(), of one key or (0) all of this host's. */
int referee_paths_release(const char *map, uint64_t only,
			  void (*told)(void *arg, enum reservation_action a, uint64_t key,
				       bool holds),
			  void *arg);
/* As reservation_read() and reservation_check(). */
int referee_paths_read(const char *map, struct reservation *seen);
int referee_paths_check(const char *map);
/* Registers by paths that came while this host held it: how many there were, or -errno. */
int referee_paths_mend(const char *map);

#endif
