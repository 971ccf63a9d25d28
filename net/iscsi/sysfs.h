/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the Linux initiator shows of its sessions and disks in sysfs, and the files there that scan
 * for a LUN or take one away. A disk is always found by its session and LUN, never by the order in
 * which names were given.
 */
#ifndef NET_ISCSI_SYSFS_H
#define NET_ISCSI_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/iscsi/pdu.h"
#include "net/sock.h"

#define ISCSI_LUN_MAX 16383 /* flat addressing (SAM-5, 4.7.7.4) */

struct iscsi_session {
	uint32_t sid;
	unsigned host, target_id;
	char target[ISCSI_NAME + 1], initiator[ISCSI_NAME + 1];
	char address[SOCK_HOST_MAX]; /* the portal, as the user named it */
	uint16_t port;
	char peer[SOCK_HOST_MAX]; /* the address that the name stood for; empty while down */
	char state[16];		  /* LOGGED_IN, FAILED, FREE */
	char iface[128];	  /* who made it, see net/iscsi/keeper.h */
	int recovery_tmo;	  /* seconds; -1: for ever */
};

/* One session's facts; -ENOENT when there is none with that number. */
int iscsi_session_read(uint32_t sid, struct iscsi_session *s);
/* A session's text attribute (e.g. "username"); empty when it is not set. 0 or -errno. */
int iscsi_session_attr(uint32_t sid, const char *name, char *out, size_t size);
/* All sessions in the order of their numbers, allocated: free(*v). 0 or -ENOMEM. */
int iscsi_sessions(struct iscsi_session **v, size_t *n);

struct iscsi_disk {
	unsigned lun;
	char name[32]; /* "sdb" */
	char path[48]; /* "/dev/sdb" */
	dev_t dev;
};

/*
 * The session's disk with that LUN. -ENXIO: the kernel knows no such LUN; -ENODEV: it is no disk
 * (a controller, a tape); -EAGAIN: it is one, but its device node is not there yet.
 */
int iscsi_disk_find(const struct iscsi_session *s, unsigned lun, struct iscsi_disk *d);
/* All the session's disks that are ready, allocated: free(*v). 0 or -ENOMEM. */
int iscsi_disks(const struct iscsi_session *s, struct iscsi_disk **v, size_t *n);
/* The session and LUN of a disk ("/dev/sdb" or a link to it). -ENOENT: no such device; -ENODEV: it
 * is no iSCSI disk of this host. */
int iscsi_disk_of(const char *path, struct iscsi_session *s, struct iscsi_disk *d);

/*
 * Has the kernel look for the LUN (only that one) and waits until its disk is ready, up to
 * timeout_ns. -ENXIO: the target has no such LUN; -ENODEV: it is no disk; -ETIMEDOUT: no device
 * came (no sd_mod in the kernel).
 */
int iscsi_disk_scan(const struct iscsi_session *s, unsigned lun, uint64_t timeout_ns,
		    struct iscsi_disk *d);
/*
 * The disk's unit serial number (SPC-6, 7.7.19), without the blanks around it: as the device itself
 * answers now, which waits while the session is down, and as the kernel found it when it made the
 * disk. 0, or -errno and an empty text; -ENODATA: the device has none.
 */
int iscsi_disk_serial(const struct iscsi_disk *d, char out[256]);
int iscsi_disk_serial_then(const struct iscsi_disk *d, char out[256]);
/* Writes back what the kernel holds of the disk (unless another host has reserved it), and takes
 * the disk away. 0 or -errno. */
int iscsi_disk_remove(const struct iscsi_disk *d);
/* Why the disk must not be taken away: "mounted on /x", "held by dm-0", ...; NULL: it is free. */
const char *iscsi_disk_user(const struct iscsi_disk *d, char buf[256]);

#endif
