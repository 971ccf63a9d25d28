/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sender's journal of a migration: what it has changed of the guest, and whether that may have
 * been handed over; so that `vstor recover` can finish or undo what was cut off together with its
 * guardian, or with the host. There is one for each guest, from the beginning of the copy until its
 * end is certain.
 */
#ifndef XEN_DEPARTURE_H
#define XEN_DEPARTURE_H

#include "xen/migration/inquiry.h"
#include "xen/ledger.h"
#include "xen/fence/referee.h"
#include "xen/migration/settle.h"

/* What it says, and the sender's guardian knows. */
struct recovery_note {
	char uuid[GUEST_UUID_MAX];
	struct settle_guest guest;
	bool handed_over;	/* GO has been said, or is about to be */
	bool promised;		/* after which the receiver has said that it never starts it */
	struct referee referee; /* n is 0 when no disk is fenced */
	char id[MIGRATION_ID_LEN + 1];
};

struct departure {
	struct ledger ledger;
	char uuid[GUEST_UUID_MAX];
};

/* 0: none is there, but perhaps of an earlier boot of this host; -EEXIST: an earlier migration of
 * the guest is not settled; or -errno: there is one that cannot be read. */
int departure_left(const char *uuid);
/* Begins it. One that was left of an earlier boot of this host is replaced. 0 or -errno, as
 * departure_left(). */
int departure_begin(struct departure *d, const struct recovery_note *note,
		    const struct migration_way *way);
/* On the disk when it returns. 0 or -errno. */
int departure_note(struct departure *d, const struct recovery_note *note,
		   const struct migration_way *way);
/* Its end is certain: it goes; or not, and it stays. Harmless when none was begun (fd -1). */
void departure_end(struct departure *d, bool certain);
/* departure_note() by whoever recovers what has been cut off. 0 or -errno, -ENOENT: there is none.
 */
int departure_amend(const struct recovery_note *note, const struct migration_way *way);

/* What one says. */
struct departed {
	struct recovery_note note;
	bool this_boot;				 /* the domain may still be there */
	char host[256], ssh[256], key_file[256]; /* how the receiver is reached: as migration_way */
	uint64_t port;
};
/* By the guest's uuid. 0 or -errno as ledger_open(), -EINVAL. */
int departure_read(const char *uuid, struct departed *d);
/* By its name: 0 or -ENOENT. */
int departure_find(const char *name, struct departed *d);
/* All that can be read; free(). */
unsigned departure_all(struct departed **all);

#endif
