/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/reservation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/loop.h"

#define PERSISTENT_RESERVE_IN  0x5e
#define PERSISTENT_RESERVE_OUT 0x5f

enum { READ_FULL_STATUS = 3, REPORT_CAPABILITIES = 2 };
enum { GOOD = 0x00, CHECK_CONDITION = 0x02, BUSY = 0x08, CONFLICT = 0x18, TASK_SET_FULL = 0x28 };
enum { ILLEGAL_REQUEST = 5, UNIT_ATTENTION = 6 }; /* sense keys */

#define PTPL_C	     0x01 /* byte 2 of the capabilities */
#define TMV	     0x80 /* byte 3: byte 4 has a bit for each type */
#define APTPL	     0x01 /* byte 20 of PERSISTENT RESERVE OUT's parameters */
#define PARAMETERS   24
#define TIMEOUT_MS   10000
#define ATTEMPTS     20 /* a host is told of no more attentions at a time */
#define STATUS_BYTES 32768
#define DRIVER_SENSE 0x08

static int sg_io(const char *device, struct sg_io_hdr *io)
{
	int fd = open(device, O_RDONLY | O_NONBLOCK | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, SG_IO, io) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int (*reservation_sg_io)(const char *device, struct sg_io_hdr *io) = sg_io;

/* Fixed or descriptor format (SPC-4, 4.5). */
static unsigned sense_key(const uint8_t *sense)
{
	return sense[(sense[0] & 0x7f) >= 0x72 ? 1 : 2] & 0x0f;
}

/* What became of a command; -EAGAIN: nothing, it is to be sent again. */
static int result(const struct sg_io_hdr *io)
{
	unsigned key;

	/* Kernels have a word of their own for a conflict, too (DID_NEXUS_FAILURE). */
	if ((io->status & 0x7e) == CONFLICT)
		return -EBADE;
	if (io->host_status || io->driver_status & ~DRIVER_SENSE)
		return -EIO;
	switch (io->status & 0x7e) {
	case GOOD: return 0;
	case BUSY:
	case TASK_SET_FULL: return -EAGAIN;
	case CHECK_CONDITION: break;
	default: return -EIO;
	}
	key = io->sb_len_wr > 2 ? sense_key(io->sbp) : 0;
	return key == UNIT_ATTENTION ? -EAGAIN : key == ILLEGAL_REQUEST ? -EOPNOTSUPP : -EIO;
}

/* One command; *len: room for its data, then what came of it. */
static int run(const char *device, const uint8_t cdb[10], bool out, uint8_t *data, unsigned *len)
{
	const struct timespec pause = {.tv_nsec = 20 * MS_NS};
	unsigned room = *len;
	int rc = -EAGAIN;

	for (int i = 0; i < ATTEMPTS && rc == -EAGAIN; i++) {
		uint8_t sense[64] = {0};
		struct sg_io_hdr io = {
			.interface_id = 'S',
			.dxfer_direction = out ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV,
			.cmd_len = 10,
			.mx_sb_len = sizeof(sense),
			.dxfer_len = room,
			.dxferp = data,
			.cmdp = (uint8_t *)cdb,
			.sbp = sense,
			.timeout = TIMEOUT_MS,
		};

		rc = reservation_sg_io(device, &io);
		if (rc == 0)
			rc = result(&io);
		else if (rc == -ENOTTY || rc == -EINVAL)
			rc = -EOPNOTSUPP; /* it is no SCSI disk */
		*len = io.resid > 0 && (unsigned)io.resid < room ? room - (unsigned)io.resid : room;
		if (rc == -EAGAIN && (io.status & 0x7e) != CHECK_CONDITION)
			nanosleep(&pause, NULL);
	}
	return rc == -EAGAIN ? -EBUSY : rc;
}

static int pr_in(const char *device, uint8_t action, uint8_t *data, unsigned *len)
{
	uint8_t cdb[10] = {PERSISTENT_RESERVE_IN, action};

	put_be16(cdb + 7, (uint16_t)*len);
	return run(device, cdb, false, data, len);
}

/* The initiator port's name in an iSCSI TransportID (SPC-4, 7.6.4.6). */
static void take_initiator(const uint8_t *id, uint32_t len, char name[RESERVATION_NAME_MAX])
{
	size_t n;

	name[0] = 0;
	if (len < 5 || (id[0] & 0x0f) != 0x05)
		return;
	n = strnlen((const char *)id + 4, len - 4);
	snprintf(name, RESERVATION_NAME_MAX, "%.*s", (int)n, (const char *)id + 4);
	for (char *p = name; *p; p++)
		if (*p <= ' ' || *p == 0x7f)
			*p = '?';
}

/* SPC-4, 6.15.5 */
static int parse_status(const uint8_t *p, unsigned len, struct reservation *r)
{
	uint32_t left, id;

	r->n = r->type = 0;
	if (len < 8)
		return -EIO;
	left = get_be32(p + 4);
	if (left > len - 8)
		return -E2BIG;
	for (p += 8; left >= 24; p += 24 + id, left -= 24 + id) {
		struct reservation_key *k = &r->keys[r->n];

		id = get_be32(p + 20);
		if (id > left - 24)
			return -EIO;
		if (r->n == RESERVATION_SEEN_MAX)
			return -E2BIG;
		k->key = get_be64(p);
		k->holds = p[12] & 0x01;
		if (k->holds)
			r->type = p[13] & 0x0f;
		take_initiator(p + 24, id, k->initiator);
		r->n++;
	}
	return left ? -EIO : 0;
}

int reservation_read(const char *device, struct reservation *r)
{
	unsigned len = STATUS_BYTES;
	uint8_t *p = malloc(len);
	int rc = p ? pr_in(device, READ_FULL_STATUS, p, &len) : -ENOMEM;

	if (rc == 0)
		rc = parse_status(p, len, r);
	free(p);
	return rc;
}

int reservation_check_type(const char *device, unsigned type)
{
	uint8_t p[8] = {0};
	unsigned len = sizeof(p);
	int rc = pr_in(device, REPORT_CAPABILITIES, p, &len);

	if (rc)
		return rc;
	if (len < sizeof(p) || (p[3] & TMV && !(p[4] & 1u << type)))
		return -EOPNOTSUPP;
	return p[2] & PTPL_C ? 0 : -ENOLCK;
}

int reservation_check(const char *device)
{
	return reservation_check_type(device, RESERVATION_WRITE_EXCLUSIVE);
}

const char *reservation_action_name(enum reservation_action a)
{
	switch (a) {
	case RESERVATION_REGISTER: return "REGISTER";
	case RESERVATION_RESERVE: return "RESERVE";
	case RESERVATION_PREEMPT: return "PREEMPT";
	case RESERVATION_PREEMPT_AND_ABORT: break;
	}
	return "PREEMPT AND ABORT";
}

int reservation_out_type(const char *device, enum reservation_action a, unsigned type, uint64_t key,
			 uint64_t other)
{
	uint8_t cdb[10] = {PERSISTENT_RESERVE_OUT, (uint8_t)a, (uint8_t)type};
	uint8_t p[PARAMETERS] = {0};
	unsigned len = sizeof(p);

	put_be32(cdb + 5, len);
	put_be64(p, key);
	put_be64(p + 8, other);
	if (a == RESERVATION_REGISTER) /* the last word of whoever registers counts for all */
		p[20] = APTPL;
	return run(device, cdb, true, p, &len);
}

int reservation_out(const char *device, enum reservation_action a, uint64_t key, uint64_t other)
{
	return reservation_out_type(device, a, RESERVATION_WRITE_EXCLUSIVE, key, other);
}
