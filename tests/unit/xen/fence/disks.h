/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks with reservations: the device server itself in the place of SG_IO. "/dev/0" is LUN 0. Each
 * thread is one host at a time; a new one is A. */
#ifndef TESTS_UNIT_XEN_DISKS_H
#define TESTS_UNIT_XEN_DISKS_H

#include "tests/unit/storage/scsi/pr.h"
#include "xen/fence/own_keys.h"
#include "xen/fence/referee.h"
#include "xen/fence/reservation.h"

#define A 0 /* the source */
#define B 1 /* the destination */

/* What their keys are made of; NULL: this host's name. */
static const char *const names[HOSTS] = {NULL, "iqn.2026-11.test:b", "iqn.2026-11.test:c"};

static inline int execute(unsigned host, const char *device, struct sg_io_hdr *io)
{
	unsigned lun = (unsigned)(device[5] - '0');
	bool out = io->dxfer_direction == SG_DXFER_TO_DEV;
	struct call c;

	call_start(&c, lun, host, io->cmdp, io->cmd_len, out ? io->dxferp : NULL,
		   out ? io->dxfer_len : 0);
	call_wait(&c);
	io->status = c.cmd.status;
	io->sb_len_wr = c.cmd.sense_len;
	memcpy(io->sbp, c.cmd.sense, c.cmd.sense_len);
	if (!out && c.cmd.status == SCSI_GOOD) {
		uint32_t n = c.cmd.in_len < io->dxfer_len ? c.cmd.in_len : io->dxfer_len;

		memcpy(io->dxferp, c.in, n);
		io->resid = (int)(io->dxfer_len - n);
	}
	call_fini(&c);
	return 0;
}

static _Thread_local unsigned host; /* who acts */

static inline void be(unsigned who)
{
	host = who;
	referee_host_name = names[who];
}

static inline int direct(const char *device, struct sg_io_hdr *io)
{
	return execute(host, device, io);
}

static inline bool writes(unsigned who, unsigned lun)
{
	uint8_t block[512] = {0};
	uint8_t status;

	do
		status = write_blocks(lun, who, 0, 1, block);
	while (status == SCSI_CHECK_CONDITION && last.key == 6);
	return status == SCSI_GOOD;
}

static inline void disks_up(void)
{
	/* Races keep thousands of states. */
	rig_place = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
	rig_up(NULL, true);
	own_keys_dir = NULL;
	reservation_sg_io = direct;
}

static inline bool has(const char *device, uint64_t key)
{
	struct reservation r;

	CHECK_EQ(reservation_read(device, &r), 0);
	for (unsigned i = 0; i < r.n; i++)
		if (r.keys[i].key == key)
			return true;
	return false;
}

#endif
