/* SPDX-License-Identifier: BSD-2-Clause */
/* Persistent reservations as an initiator sees them, for the tests of storage/scsi. */
#ifndef TESTS_UNIT_STORAGE_SCSI_PR_H
#define TESTS_UNIT_STORAGE_SCSI_PR_H

#include "tests/unit/storage/scsi/harness.h"

enum { WE = 1, EA = 3, WERO = 5, EARO = 6, WEAR = 7, EAAR = 8 };
enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_ABORT, REGISTER_IGNORE, MOVE };
enum { APTPL = 0x01, ALL_TG_PT = 0x04, SPEC_I_PT = 0x08 };

#define CONFLICT SCSI_RESERVATION_CONFLICT

/* PERSISTENT RESERVE OUT with a parameter list of the caller's. */
static inline uint8_t pr_out_list(unsigned host, unsigned action, unsigned type, const uint8_t *p,
				  uint32_t len)
{
	uint8_t cdb[10] = {0x5f, (uint8_t)action, (uint8_t)type};
	put_be32(cdb + 5, len);
	return run(0, host, cdb, sizeof(cdb), p, len);
}

static inline uint8_t pr_out(unsigned host, unsigned action, unsigned type, uint64_t key,
			     uint64_t new_key, uint8_t flags)
{
	uint8_t p[24] = {0};
	put_be64(p, key);
	put_be64(p + 8, new_key);
	p[20] = flags;
	return pr_out_list(host, action, type, p, sizeof(p));
}

static inline void join(unsigned host, uint64_t key)
{
	CHECK_EQ(pr_out(host, REGISTER_IGNORE, 0, 0, key, 0), SCSI_GOOD);
}

/* PERSISTENT RESERVE IN: the length of the answer, which goes to p (4 KiB). */
static inline uint32_t pr_in(unsigned action, uint8_t *p, uint16_t alloc)
{
	uint8_t cdb[10] = {0x5e, (uint8_t)action};
	struct call c;
	uint32_t len;
	uint8_t pending = rig.nexus[0][2].ua_n; /* looking must not take what is to be looked for */
	rig.nexus[0][2].ua_n = 0;
	put_be16(cdb + 7, alloc);
	memset(p, 0, 4096);
	call_start(&c, 0, 2, cdb, sizeof(cdb), NULL, 0);
	CHECK_EQ(call_wait(&c), SCSI_GOOD);
	len = c.cmd.in_len;
	if (len)
		memcpy(p, c.in, len);
	call_fini(&c);
	rig.nexus[0][2].ua_n = pending;
	return len;
}

static inline uint32_t generation(void)
{
	uint8_t p[4096];
	pr_in(0, p, 8);
	return get_be32(p);
}

/* How many keys are registered; `key`: is this one among them? */
static inline unsigned keys(uint64_t key, bool *found)
{
	uint8_t p[4096];
	uint32_t len = pr_in(0, p, 4096);
	*found = false;
	for (uint32_t at = 8; at + 8 <= len; at += 8)
		*found |= get_be64(p + at) == key;
	CHECK_EQ(len, 8 + get_be32(p + 4));
	return (len - 8) / 8;
}

static inline bool has_key(uint64_t key)
{
	bool found;
	keys(key, &found);
	return found;
}

static inline unsigned key_count(void)
{
	bool found;
	return keys(0, &found);
}

/* The type of the reservation, 0 if there is none; *key gets that of the holder. */
static inline unsigned reservation(uint64_t *key)
{
	uint8_t p[4096];
	uint32_t len = pr_in(1, p, 4096);
	*key = get_be64(p + 8);
	return len == 24 ? p[21] : 0;
}

static inline bool reserved(unsigned type, uint64_t key)
{
	uint64_t k;
	unsigned t = reservation(&k);
	return t == type && k == key;
}

static inline bool can_read(unsigned host)
{
	return read_blocks(0, host, 0, 1, NULL) == SCSI_GOOD;
}

static inline bool can_write(unsigned host)
{
	uint8_t block[512] = {0};
	return write_blocks(0, host, 0, 1, block) == SCSI_GOOD;
}

/* An iSCSI TransportID at p; its length. */
static inline uint32_t transport_id(uint8_t *p, const char *name)
{
	uint32_t len = ((uint32_t)strlen(name) + 4) & ~3u;
	if (len < 20)
		len = 20;
	memset(p, 0, 4 + len);
	p[0] = strstr(name, ",i,0x") ? 0x45 : 0x05;
	put_be16(p + 2, (uint16_t)len);
	memcpy(p + 4, name, strlen(name));
	return 4 + len;
}

#endif
