/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The referee: a guest's disks decide which host may run it, also when the hosts cannot talk to
 * each other. Each disk is held by a persistent reservation, Write Exclusive, of the host that runs
 * the guest; the hand-over is one command to the disk with the lowest identity, a compare-and-swap:
 *
 *	source		holds with the key S, from the guest's start (block-vstor) or from the
 *			migration's beginning
 *	destination	registers its key D during the pre-copy: it may read, not write
 *	source		suspends the guest, waits for its last writes, says GO
 *	destination	PREEMPT, naming S. Won: S is no longer registered, the source's late writes
 *			are refused; it takes the other disks, and starts the guest
 *	source		hears nothing after GO: PREEMPT, naming D. Won: D is no longer registered,
 *			the destination's PREEMPT will be refused; it resumes the guest
 *
 * Each names the other's key and needs its own: of two racers one succeeds, the other gets
 * RESERVATION CONFLICT, and destroys its copy, which is still suspended or paused: no guest sees an
 * I/O error. An answer that is lost is no doubt: one looks who holds. The other disks follow the
 * first, by the winner, who may repeat that; nobody undoes.
 *
 * A key is "vs", a hash of the host's initiator name, and the generation: a number drawn for each
 * migration, the same for S and D. So a command from an earlier migration names keys that are gone.
 * The nexus is an initiator's name and ISID. vstor attach derives that from the portal: the same
 * after a reboot. By open-iscsi, or by another portal, it is another one then: what the old nexus
 * has left is known by its key (xen/fence/own_keys.h), and taken from it, unless this host has the
 *disk by another device as well, where a guest may use it.
 *
 * A disk by several paths (dm-multipath) has several nexuses, and Write Exclusive is one's. It is
 * held for Registrants Only, by all of them (xen/fence/referee_paths.h): there who registers may
 *write. What the disk still sees to: one host holds, and who takes it removes all that the other
 *has registered, so that the other's late writes are refused from then on. What rests on
 *discipline, as the disk lets it pass:
 *	- The destination registers when the source has stopped, not before, and may write from then
 *	  on: it does not, as its guest is paused until it holds. Nor does it when it has lost, and
 *	  has not given that up yet, nor has the source removed it.
 *	- A REGISTER that arrives when who sent it is long gone gives that host rights of which its
 *	  programs know nothing: no guest of it runs there then. The next migration removes them, or
 *	  vstor recover --release there.
 *	- Other programs of a host that has registered may write; other programs' keys are refused
 *	  when a migration begins.
 *	- A path that comes, or comes back, after the disk was taken is not registered: its writes
 *	  are refused, and dm-multipath makes an I/O error of that. Who runs or moves the guest
 *	  registers it (xen/fence/path_watch.h), within a second or two, for which multipathd does
 *not wait. So all paths have to answer when a migration begins, on both hosts. Of a guest that xl
 *has started such a disk is held from its first migration on, not before: block-vstor attaches no
 *maps. Both hosts have to have one path to it, or both several.
 *
 * Not fenced are parts of a disk, other volumes of the device mapper, a disk that forgets
 * reservations when it loses power (PTPL_C), and one that two guests of a host share. --no-fence
 * lets them be.
 */
#ifndef XEN_REFEREE_H
#define XEN_REFEREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "xen/fence/reservation.h"

#define REFEREE_DISKS 32
#define REFEREE_TEXT  320

struct referee_disk {
	char vdev[16];
	char path[32]; /* of the device here, or of the map (xen/fence/paths.h) */
	bool took;     /* nobody held it when the migration began */
};

/* A guest's disks that are fenced, as one host sees them. Plain data: it may be copied. */
struct referee {
	uint64_t mine, theirs; /* keys of the migration; 0: none yet */
	bool joined;	       /* it is the destination's */
	unsigned n;
	struct referee_disk disk[REFEREE_DISKS]; /* in the order of their identities */
	char why[REFEREE_TEXT];			 /* what the last call was refused for */
};

enum referee_says {
	REFEREE_WON,	/* this host holds it */
	REFEREE_LOST,	/* another does, or may; why says who */
	REFEREE_SILENT, /* a disk does not answer: ask again */
};

/* ---- keys ---- */

/* Whose name this host's part of the keys comes from; NULL: initiator_default_name(). For tests, of
 * which each thread may be another host. */
extern _Thread_local const char *referee_host_name;
/* This host's part of the keys. */
uint32_t referee_host(void);
uint64_t referee_key(uint32_t host, uint16_t generation);
/* Whether vstor made it, and by which host: */
bool referee_is_key(uint64_t key);
uint32_t referee_host_of(uint64_t key);

/* ---- one disk, for a guest that starts or ends here ---- */

/* Holds the disk, if nobody else does, or from `victim` (0: nobody), by PREEMPT AND ABORT; under a
 * new key. LOST: why names the holder. May be repeated. */
enum referee_says referee_hold(const char *device, uint64_t victim, char why[REFEREE_TEXT]);
/* Registers, under a new key, with a disk that `victim` holds: whoever watches it there
 * (xen/fence/disk_watch.h) knows that it is about to be taken. 0 or -errno. */
int referee_announce(const char *device, uint64_t victim);
/* Gives up what this host has registered, and with it what it holds; told(arg, action, key, holds)
 * of each command (NULL: nobody is told), but for those of a key that is only there for another's
 * removal. 0 or -errno; nothing to give up is well. */
int referee_release(const char *device,
		    void (*told)(void *arg, enum reservation_action a, uint64_t key, bool holds),
		    void *arg);
/* Whether the disk can be held, as reservation_check() says; by several paths by each of them. */
int referee_check(const char *device);
/* Registers by paths that have come since the disk was held: how many there were, or -errno. */
int referee_mend(const char *device);
/* As reservation_read(), by whichever path answers. */
int referee_read(const char *device, struct reservation *seen);
/* 1: this host has registered a key with the disk; 0; or -errno: it does not say. */
int referee_registered(const char *device);
/* Who holds the disk, if another than this host: the key, 0 if nobody; `name` gets the initiator's.
 * 0 or -errno. */
int referee_holder(const char *device, uint64_t *key, char *name, size_t size);

/* ---- the disks of a guest that moves ---- */

/* The source, when the migration begins: holds all of them (LOST: another does) under a new key,
 * and clears away what earlier migrations have left. */
enum referee_says referee_begin(struct referee *r);
/* The key that referee_join() is going to register, known by `theirs`. */
uint64_t referee_destination_key(const struct referee *r);
/* The destination: registers, while `theirs` holds. */
enum referee_says referee_join(struct referee *r);
/* Either, after GO: the compare-and-swap of the first disk; the winner then takes the others. WON
 * and LOST are final, however often it is asked. `abort`: what the other still has on its way to
 * the disks is aborted; for a destination that was not told that the source is quiet. */
enum referee_says referee_claim(struct referee *r, bool abort);
/* The source, when the other has promised never to start the guest: takes back what that has taken,
 * under a new key (`mine` changes). */
enum referee_says referee_reclaim(struct referee *r);
/* No longer takes part: the destination unregisters the migration's key, and no other; the source
 * gives up what it has only taken for the migration. 0 or the first -errno. */
int referee_leave(struct referee *r, bool source);

/* As fields of a message, or of a record (xen/message.h): keys and devices. */
void referee_put(struct buf *b, const struct referee *r);
/* -ENOENT: there are none; -EINVAL: they make no sense. */
int referee_get(const uint8_t *p, size_t n, struct referee *r);

#endif
