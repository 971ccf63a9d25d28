/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Persistent reservations of a disk of this host, as its initiator (SPC-4, 5.13, 6.15 and 6.16):
 * single commands by SG_IO. What they are used for is told in xen/fence/referee.h. The calls wait
 * for the disk's answer, which takes long while its session is down: they are for threads of their
 * own, or where nothing else has to go on.
 */
#ifndef XEN_RESERVATION_H
#define XEN_RESERVATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <scsi/sg.h>

#define RESERVATION_WRITE_EXCLUSIVE  1
#define RESERVATION_REGISTRANTS_ONLY 5	 /* Write Exclusive - Registrants Only */
#define RESERVATION_NAME_MAX	     241 /* "iqn...,i,0xISID", with its end */
#define RESERVATION_SEEN_MAX	     128

struct reservation_key {
	uint64_t key;
	bool holds;
	char initiator[RESERVATION_NAME_MAX]; /* who has registered it; "" if not by iSCSI */
};

/* All that PERSISTENT RESERVE IN, READ FULL STATUS tells, as of one moment. */
struct reservation {
	unsigned type; /* 0: not reserved */
	unsigned n;    /* registered keys */
	struct reservation_key keys[RESERVATION_SEEN_MAX];
};

/* 0, or -EOPNOTSUPP: the disk has none, or does not tell; -E2BIG: more than fit; -EIO and the like:
 * it does not answer. */
int reservation_read(const char *device, struct reservation *r);

/*
 * What the disk can do: 0 when it has Write Exclusive and keeps reservations when it loses power.
 * -EOPNOTSUPP: it has no reservations; -ENOLCK: it forgets them; else it does not answer.
 */
int reservation_check(const char *device);
/* The same, of another type. */
int reservation_check_type(const char *device, unsigned type);

enum reservation_action {
	RESERVATION_REGISTER = 0,
	RESERVATION_RESERVE = 1,
	RESERVATION_PREEMPT = 4,
	RESERVATION_PREEMPT_AND_ABORT = 5,
};
const char *reservation_action_name(enum reservation_action a);

/*
 * PERSISTENT RESERVE OUT with the key that this host has registered (0: none yet) and, by action,
 * the one to register (0: no more) or that of whom to preempt. Reserved is the whole disk, for
 * Write Exclusive; what is registered outlives a loss of power. 0, or -EBADE: reservation conflict;
 * -EOPNOTSUPP: the disk refuses the command; else it is not known whether it was done.
 */
int reservation_out(const char *device, enum reservation_action a, uint64_t key, uint64_t other);
/* The same, for another type. */
int reservation_out_type(const char *device, enum reservation_action a, unsigned type, uint64_t key,
			 uint64_t other);

/* How commands get to the disk: SG_IO. A test puts a target of its own there. 0 or -errno. */
extern int (*reservation_sg_io)(const char *device, struct sg_io_hdr *io);

#endif
