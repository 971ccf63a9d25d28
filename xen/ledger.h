/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ledger: a small text that outlives its process, and its host's reboot. Each version of it is
 * on the disk when ledger_put() returns, and until then the one before it: the file has two
 * places, each with its number and checksum, and is written in turns. It comes into being whole,
 * under its name at last. It is locked (flock) while its process lives.
 */
#ifndef XEN_LEDGER_H
#define XEN_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"

#define LEDGER_TEXT_MAX 8000 /* bytes */

/* Where they are; made when missing. "/var/lib/vstor" unless a test changes it. */
extern const char *ledger_dir;

struct ledger {
	int fd;		 /* -1: none */
	bool second;	 /* which place has the last version that is known to be on the disk */
	uint64_t number; /* the highest that may be there */
};

/* Makes and locks one, with its first text. name: no path. 0 or -errno: then there is none;
 * -EEXIST: there is one of this name. */
int ledger_create(struct ledger *j, const char *name, const struct buf *text);
/*
 * Opens and locks one, and adds its text to `text`. 0, or -errno: -ENOENT; -EBUSY, its process
 * lives (it is open, with its text, all the same); -EPROTONOSUPPORT, it is another version's;
 * -EBADMSG, it is cut short or damaged: neither is touched.
 */
int ledger_open(struct ledger *j, const char *name, struct buf *text);
/* What ledger_open() refused it for, as the end of a line: "it is cut short or damaged" ... */
const char *ledger_cause(int rc);
/* A new text. sync: it is on the disk when this returns. 0 or -errno: then either version may come
 * out of a crash, and the next one takes the place of both. */
int ledger_put(struct ledger *j, const struct buf *text, bool sync);
/* Unlocks. Harmless when none. */
void ledger_close(struct ledger *j);
/* -errno: it may be there again after a crash. */
int ledger_remove(const char *name);

#endif
