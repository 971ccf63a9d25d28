/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/scsi/pr_state.h"
#include "tests/unit/storage/scsi/pr.h"

static void test_register(void)
{
	rig_up(NULL, false);
	CHECK_EQ(pr_out(0, REGISTER, 0, 99, 10, 0), CONFLICT); /* has no key yet */
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 0, 0), SCSI_GOOD);  /* nothing to take back */
	CHECK_EQ(generation(), 0);
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, 0), SCSI_GOOD);
	CHECK(has_key(10));
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 20, 0), CONFLICT);
	CHECK_EQ(pr_out(0, REGISTER, 0, 99, 20, 0), CONFLICT);
	CHECK_EQ(pr_out(0, REGISTER, 0, 10, 20, 0), SCSI_GOOD);
	CHECK(has_key(20) && !has_key(10));
	CHECK_EQ(pr_out(1, REGISTER, 0, 0, 20, 0), SCSI_GOOD); /* keys need not differ */
	CHECK_EQ(key_count(), 2);
	CHECK_EQ(pr_out(0, REGISTER, 0, 20, 0, 0), SCSI_GOOD);
	CHECK_EQ(key_count(), 1);
	CHECK_EQ(generation(), 4);
	CHECK_EQ(attention(1), 0);
	rig_down();
}

static void test_register_and_ignore(void)
{
	rig_up(NULL, false);
	CHECK_EQ(pr_out(0, REGISTER_IGNORE, 0, 77, 0, 0), SCSI_GOOD);
	CHECK_EQ(generation(), 0);
	CHECK_EQ(pr_out(0, REGISTER_IGNORE, 0, 77, 10, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(0, REGISTER_IGNORE, 0, 77, 20, 0), SCSI_GOOD);
	CHECK(has_key(20) && !has_key(10));
	CHECK_EQ(pr_out(0, REGISTER_IGNORE, 0, 77, 0, 0), SCSI_GOOD);
	CHECK_EQ(key_count(), 0);
	CHECK_EQ(generation(), 3);
	rig_down();
}

/* What becomes of the reservation when its holder unregisters (SPC-4, 5.13.11.3). */
static void test_holder_unregisters(void)
{
	static const unsigned types[] = {WE, EA, WERO, EARO};
	rig_up(NULL, false);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		join(0, 10);
		join(1, 11);
		CHECK_EQ(pr_out(0, RESERVE, types[i], 10, 0, 0), SCSI_GOOD);
		CHECK_EQ(pr_out(1, REGISTER, 0, 11, 0, 0), SCSI_GOOD); /* not the holder */
		CHECK(reserved(types[i], 10));
		join(1, 11);
		CHECK_EQ(pr_out(0, REGISTER, 0, 10, 0, 0), SCSI_GOOD);
		CHECK(reserved(0, 0));
		CHECK_EQ(attention(0), 0);
		CHECK_EQ(attention(1), types[i] >= WERO ? ASC_RESERVATIONS_RELEASED : 0);
		CHECK_EQ(attention(2), 0);
	}
	rig_down();
}

static void test_last_of_all_registrants(void)
{
	rig_up(NULL, false);
	join(0, 10);
	join(1, 11);
	CHECK_EQ(pr_out(0, RESERVE, EAAR, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(0, REGISTER, 0, 10, 0, 0), SCSI_GOOD);
	CHECK(reserved(EAAR, 0));
	CHECK_EQ(attention(1), 0);
	CHECK(!can_read(0) && can_write(1));
	CHECK_EQ(pr_out(1, REGISTER, 0, 11, 0, 0), SCSI_GOOD);
	CHECK(reserved(0, 0));
	CHECK(can_write(0));
	rig_down();
}

/* Changing the key of the holder changes no right. */
static void test_holder_changes_key(void)
{
	rig_up(NULL, false);
	join(0, 10);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(0, REGISTER, 0, 10, 20, 0), SCSI_GOOD);
	CHECK(reserved(EA, 20));
	CHECK_EQ(pr_out(0, RELEASE, EA, 10, 0, 0), CONFLICT);
	CHECK_EQ(pr_out(0, RELEASE, EA, 20, 0, 0), SCSI_GOOD);
	rig_down();
}

/* ---- SPEC_I_PT and ALL_TG_PT ---- */

/* REGISTER with TransportIDs of two hosts, by name or port; returns the status. */
static uint8_t register_listed(unsigned action, unsigned host, uint64_t key, const char *a,
			       const char *b)
{
	uint8_t p[1024] = {0};
	uint32_t n = 28;
	put_be64(p + 8, key);
	p[20] = SPEC_I_PT;
	n += transport_id(p + n, a);
	n += transport_id(p + n, b);
	put_be32(p + 24, n - 28);
	return pr_out_list(host, action, 0, p, n);
}

static void test_listed(void)
{
	uint64_t key;
	rig_up(NULL, false);
	CHECK_EQ(register_listed(REGISTER, 0, 10, host_names[1], host_names[2]), SCSI_GOOD);
	CHECK_EQ(key_count(), 3);
	CHECK_EQ(generation(), 1);
	CHECK_EQ(pr_out(1, RESERVE, WE, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(reservation(&key), WE);
	/* Not when registered already, and with REGISTER only. */
	CHECK_EQ(register_listed(REGISTER, 0, 10, host_names[1], host_names[2]), CONFLICT);
	CHECK_EQ(register_listed(REGISTER_IGNORE, 0, 10, host_names[1], host_names[2]),
		 SCSI_CHECK_CONDITION);
	CHECK_EQ(register_listed(RESERVE, 0, 10, host_names[1], host_names[2]),
		 SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	rig_down();
}

/* An initiator without ISID stands for its ports that have a session. */
static void test_listed_whole_initiator(void)
{
	static const char second[] = "iqn.2026-11.test:b,i,0x400000000009";
	struct lun_nexus other;
	rig_up(NULL, false);
	lun_nexus_add(rig.lun[0], &other, second, 1);
	CHECK_EQ(register_listed(REGISTER, 0, 10, "iqn.2026-11.test:b", "iqn.2026-11.test:none"),
		 SCSI_GOOD);
	CHECK_EQ(key_count(), 3);
	lun_nexus_remove(&other);
	rig_down();
}

/* One that is wrong: none is registered. */
static void test_listed_wrong(void)
{
	uint8_t p[64] = {0};
	rig_up(NULL, false);
	CHECK_EQ(register_listed(REGISTER, 0, 10, host_names[1], "iqn.x:y,i,0x"),
		 SCSI_CHECK_CONDITION);
	CHECK_EQ(register_listed(REGISTER, 0, 10, host_names[1], "iqn.x: y,i,0x1"),
		 SCSI_CHECK_CONDITION);
	CHECK_EQ(key_count(), 0);
	/* lengths that lie */
	p[20] = SPEC_I_PT;
	put_be64(p + 8, 10);
	put_be32(p + 24, 20);
	CHECK_EQ(pr_out_list(0, REGISTER, 0, p, 28), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_PARAMETER_LIST_LENGTH);
	put_be32(p + 24, 36);
	p[28] = 0x45;
	put_be16(p + 30, 200);
	CHECK_EQ(pr_out_list(0, REGISTER, 0, p, 64), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	CHECK_EQ(key_count(), 0);
	rig_down();
}

static void test_all_target_ports(void)
{
	struct lun_nexus other, stranger;
	rig_up(NULL, false);
	lun_nexus_add(rig.lun[0], &other, host_names[0], 2);
	lun_nexus_add(rig.lun[0], &stranger, host_names[1], 2);
	join(1, 11); /* at one port */
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, ALL_TG_PT), SCSI_GOOD);
	CHECK_EQ(pr_out(0, RESERVE, EARO, 10, 0, 0), SCSI_GOOD);
	CHECK(reservations_permit(&other, OP_CONFLICT_WRITE));
	CHECK(!reservations_permit(&stranger, OP_CONFLICT_WRITE));
	lun_nexus_remove(&other);
	lun_nexus_remove(&stranger);
	rig_down();
}

/* ---- REGISTER AND MOVE ---- */

static uint8_t move(unsigned host, uint64_t key, uint64_t new_key, uint8_t flags, uint16_t port,
		    const char *to)
{
	uint8_t p[512] = {0};
	uint32_t n;
	put_be64(p, key);
	put_be64(p + 8, new_key);
	p[17] = flags;
	put_be16(p + 18, port);
	n = transport_id(p + 24, to);
	put_be32(p + 20, n);
	return pr_out_list(host, MOVE, 0, p, 24 + n);
}

static void test_move(void)
{
	rig_up(NULL, false);
	CHECK_EQ(move(0, 10, 20, 0, 1, host_names[1]), CONFLICT); /* not registered */
	join(0, 10);
	CHECK_EQ(move(0, 10, 20, 0, 1, host_names[1]), SCSI_CHECK_CONDITION); /* not reserved */
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	/* The registration stays... */
	CHECK_EQ(move(0, 10, 20, 0, 1, host_names[1]), SCSI_GOOD);
	CHECK(reserved(EA, 20));
	CHECK_EQ(key_count(), 2);
	CHECK(can_write(1) && !can_read(0));
	CHECK_EQ(generation(), 2);
	CHECK_EQ(attention(0), 0);
	/* ... and here it goes; the receiver had one. */
	CHECK_EQ(move(1, 20, 30, 0x02, 1, host_names[0]), SCSI_GOOD);
	CHECK(reserved(EA, 30));
	CHECK_EQ(key_count(), 1);
	CHECK(can_write(0) && !can_read(1));
	/* A port that has no session yet: it finds the disk its own. */
	CHECK_EQ(move(0, 30, 40, 0x02, 1, "iqn.2026-11.test:d,i,0x40000000000A"), SCSI_GOOD);
	lun_nexus_remove(&rig.nexus[0][0]);
	lun_nexus_add(rig.lun[0], &rig.nexus[0][0], "iqn.2026-11.test:d,i,0x40000000000a", 1);
	clear_attentions();
	CHECK(can_write(0) && !can_read(1));
	rig_down();
}

static void test_move_refused(void)
{
	uint8_t p[24] = {0};
	rig_up(NULL, false);
	join(0, 10);
	join(1, 11);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(move(1, 11, 20, 0, 1, host_names[2]), CONFLICT); /* not the holder */
	CHECK_EQ(move(0, 10, 0, 0, 1, host_names[1]), SCSI_CHECK_CONDITION);
	CHECK_EQ(move(0, 10, 20, 0, 0, host_names[1]), SCSI_CHECK_CONDITION);	     /* port 0 */
	CHECK_EQ(move(0, 10, 20, 0, 1, host_names[0]), SCSI_CHECK_CONDITION);	     /* to itself */
	CHECK_EQ(move(0, 10, 20, 0, 1, "iqn.2026-11.test:b"), SCSI_CHECK_CONDITION); /* no port */
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	CHECK_EQ(move(0, 10, 20, APTPL, 1, host_names[1]), SCSI_CHECK_CONDITION); /* no file */
	put_be64(p, 10);
	put_be32(p + 20, 0xfffffffc); /* length of the TransportID, and of the list: both lie */
	CHECK_EQ(pr_out_list(0, MOVE, 0, p, 20), SCSI_CHECK_CONDITION);
	CHECK_EQ(pr_out_list(0, MOVE, 0, p, 24), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_PARAMETER_LIST_LENGTH);
	CHECK(reserved(EA, 10));
	CHECK_EQ(pr_out(0, PREEMPT, WEAR, 10, 10, 0), SCSI_GOOD);
	clear_attentions();
	CHECK_EQ(move(0, 10, 20, 0, 1, host_names[1]), CONFLICT); /* all registrants' */
	rig_down();
}

/* ---- limits and lengths ---- */

static void test_no_room(void)
{
	struct lun_nexus n;
	char name[64];
	rig_up(NULL, false);
	for (unsigned i = 0; i <= LIMIT_REGISTRATIONS; i++) {
		uint8_t cdb[10] = {0x5f, REGISTER}, p[24] = {0};
		struct call c;
		snprintf(name, sizeof(name), "iqn.2026-11.test:many%u,i,0x400000000001", i);
		lun_nexus_add(rig.lun[0], &n, name, 1);
		n.ua_n = 0;
		put_be64(p + 8, 1000 + i);
		cdb[8] = sizeof(p);
		memset(&c, 0, sizeof(c));
		c.out_iov[0] = (struct iovec){p, sizeof(p)};
		c.cmd = (struct scsi_cmd){.transport = &rig_transport,
					  .engine = rig.engine,
					  .lun = rig.lun[0],
					  .nexus = &n,
					  .out = c.out_iov,
					  .out_n = 1,
					  .out_len = sizeof(p)};
		memcpy(c.cmd.cdb, cdb, sizeof(cdb));
		scsi_execute(&c.cmd);
		CHECK(c.done);
		if (i < LIMIT_REGISTRATIONS)
			CHECK_EQ(c.cmd.status, SCSI_GOOD);
		else
			CHECK_EQ(c.asc, ASC_INSUFFICIENT_REGISTRATION_RESOURCES);
		lun_nexus_remove(&n);
	}
	rig_down();
}

static void test_lengths(void)
{
	uint8_t p[32] = {0}, cdb[10] = {0x5f, REGISTER};
	rig_up(NULL, false);
	put_be64(p + 8, 10);
	CHECK_EQ(pr_out_list(0, REGISTER, 0, p, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_PARAMETER_LIST_LENGTH);
	CHECK_EQ(pr_out_list(0, REGISTER, 0, p, 23), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_PARAMETER_LIST_LENGTH);
	CHECK_EQ(pr_out_list(0, REGISTER, 0, p, 32), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_PARAMETER_LIST_LENGTH);
	put_be32(cdb + 5, 0xffffffff); /* more than was sent */
	CHECK_EQ(run(0, 0, cdb, sizeof(cdb), p, 24), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_PARAMETER_LIST_LENGTH);
	CHECK_EQ(key_count(), 0);
	rig_down();
}

/* ---- PERSISTENT RESERVE IN ---- */

static void test_full_status(void)
{
	uint8_t p[4096], *d = p + 8;
	uint32_t len;
	rig_up(NULL, false);
	CHECK_EQ(pr_in(3, p, 4096), 8);
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, ALL_TG_PT), SCSI_GOOD);
	join(1, 11);
	CHECK_EQ(pr_out(1, RESERVE, EARO, 11, 0, 0), SCSI_GOOD);
	len = pr_in(3, p, 4096);
	CHECK_EQ(get_be32(p), 2);
	CHECK_EQ(get_be32(p + 4), len - 8);
	CHECK_EQ(get_be64(d), 10);
	CHECK_EQ(d[12], 0x02); /* at all ports */
	CHECK_EQ(d[13], 0);
	CHECK_EQ(d[24], 0x45);
	CHECK_STR((char *)d + 28, host_names[0]);
	CHECK_EQ(get_be32(d + 20), 4 + get_be16(d + 26));
	d += 24 + get_be32(d + 20);
	CHECK_EQ(get_be64(d), 11);
	CHECK_EQ(d[12], 0x01); /* holds it */
	CHECK_EQ(d[13], EARO);
	CHECK_EQ(get_be16(d + 18), 1);
	CHECK_STR((char *)d + 28, host_names[1]);
	CHECK_EQ(d + 24 + get_be32(d + 20) - p, len);
	CHECK_EQ(pr_in(3, p, 20), 20); /* cut, but the length told is that of all */
	CHECK_EQ(get_be32(p + 4), len - 8);
	rig_down();
}

static void test_capabilities(void)
{
	uint8_t p[4096];
	rig_up(NULL, false);
	CHECK_EQ(pr_in(2, p, 4096), 8);
	CHECK_EQ(get_be16(p), 8);
	CHECK_EQ(p[2] & 0x01, 0); /* nothing outlives the target */
	CHECK_EQ(get_be16(p + 4), 0xea01);
	rig_down();
	rig_up(NULL, true);
	pr_in(2, p, 4096);
	CHECK_EQ(p[2] & 0x01, 1);
	CHECK_EQ(p[3] & 0x01, 0);
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, APTPL), SCSI_GOOD);
	pr_in(2, p, 4096);
	CHECK_EQ(p[3] & 0x01, 1);
	rig_down();
}

int main(void)
{
	log_init("register_test");
	CHECK_RUN(test_register);
	CHECK_RUN(test_register_and_ignore);
	CHECK_RUN(test_holder_unregisters);
	CHECK_RUN(test_last_of_all_registrants);
	CHECK_RUN(test_holder_changes_key);
	CHECK_RUN(test_listed);
	CHECK_RUN(test_listed_whole_initiator);
	CHECK_RUN(test_listed_wrong);
	CHECK_RUN(test_all_target_ports);
	CHECK_RUN(test_move);
	CHECK_RUN(test_move_refused);
	CHECK_RUN(test_no_room);
	CHECK_RUN(test_lengths);
	CHECK_RUN(test_full_status);
	CHECK_RUN(test_capabilities);
	return CHECK_DONE();
}
