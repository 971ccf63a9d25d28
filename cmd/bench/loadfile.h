/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client of `vstor bench disk` does to its files, step by step: read from a loadfile of
 * dbench's (version 3 and 4: an operation a line, as recorded from a file server's clients), or a
 * mix of our own.
 */
#ifndef CMD_BENCH_LOADFILE_H
#define CMD_BENCH_LOADFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STEP_MAX_BYTES (1u << 20) /* read or written in one step */
#define STEP_NO_NAME   UINT32_MAX

enum step_op {
	STEP_OPEN,    /* a, how: flags of open(2); slot */
	STEP_OPENDIR, /* makes it first; a, slot */
	STEP_READ,    /* slot, offset, size */
	STEP_WRITE,   /* the same */
	STEP_FLUSH,   /* slot */
	STEP_CLOSE,   /* slot */
	STEP_RENAME,  /* a to b */
	STEP_UNLINK,  /* a */
	STEP_RMDIR,   /* a */
	STEP_MKDIR,   /* a */
	STEP_DELTREE, /* what is in a */
	STEP_STAT,    /* a */
	STEP_FSTAT,   /* slot */
	STEP_STATFS,
	STEP_LIST,   /* the entries of a */
	STEP_TOUCH,  /* slot */
	STEP_LOCK,   /* slot */
	STEP_UNLOCK, /* slot */
};

struct step {
	uint8_t op;
	bool fails;    /* it did when it was recorded: no matter what it does now */
	uint16_t slot; /* of an open file */
	int how;
	uint32_t line;	  /* of the loadfile; 0: of none */
	uint32_t a, size; /* a: a name */
	union {
		uint64_t offset;
		uint32_t b; /* a name */
	};
};

struct loadfile {
	struct step *step;
	size_t steps, room;
	char **name; /* below the client's own directory; "." is that itself */
	uint32_t names;
	unsigned slots;
	void *index; /* of the names, tsearch(3) */
};

/* 0, or -errno after an error line that names the file and the line. loadfile_free() in any case.
 */
int loadfile_read(struct loadfile *l, const char *path);
/* The mix: files of 4 KiB to 1 MiB made, written, every fourth fsynced, read, renamed, looked at,
 * listed and removed, in proportions near those of dbench's loadfile. The same steps for the same
 * seed. 0 or -ENOMEM (logged). */
int loadfile_mix(struct loadfile *l, uint64_t seed);
void loadfile_free(struct loadfile *l);

#endif
