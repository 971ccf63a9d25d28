/* SPDX-License-Identifier: BSD-2-Clause */
#include <semaphore.h>
#include <sys/syscall.h>

#include "storage/disk_priv.h"
#include "tests/unit/storage/scsi/pr.h"

static int hanging_fd = -1; /* its flushes wait */
static sem_t medium;

int fdatasync(int fd)
{
	if (fd == __atomic_load_n(&hanging_fd, __ATOMIC_RELAXED))
		sem_wait(&medium);
	return (int)syscall(SYS_fdatasync, fd);
}

static const unsigned types[] = {WE, EA, WERO, EARO, WEAR, EAAR};

static bool registrants_only(unsigned type)
{
	return type >= WERO;
}

static bool all_registrants(unsigned type)
{
	return type >= WEAR;
}

static bool exclusive(unsigned type)
{
	return type == EA || type == EARO || type == EAAR;
}

/* Host 0 holds, host 1 is registered, host 2 is not: who may read and write (SPC-4, table 66). */
static void test_access(void)
{
	rig_up(NULL, false);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		unsigned type = types[i];
		join(0, 10);
		join(1, 11);
		CHECK_EQ(pr_out(0, RESERVE, type, 10, 0, 0), SCSI_GOOD);
		CHECK(reserved(type, all_registrants(type) ? 0 : 10));
		CHECK(can_read(0) && can_write(0));
		CHECK_EQ(can_read(1), registrants_only(type) || !exclusive(type));
		CHECK_EQ(can_write(1), registrants_only(type));
		CHECK_EQ(can_read(2), !exclusive(type));
		CHECK_EQ(can_write(2), false);
		CHECK_EQ(pr_out(0, CLEAR, 0, 10, 0, 0), SCSI_GOOD);
		clear_attentions();
		CHECK(can_read(2) && can_write(2));
	}
	rig_down();
}

/* What tells about the LUN, and what harms nobody, is never refused. */
static void test_harmless(void)
{
	uint8_t start[6] = {0x1b, 0, 0, 0, 0x01}, stop[6] = {0x1b};
	uint8_t inquiry[6] = {0x12, 0, 0, 0, 36}, luns[12] = {0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64};
	uint8_t capacity[10] = {0x25}, sense[6] = {0x1a, 0, 0x3f, 0, 255};
	rig_up(NULL, false);
	join(0, 10);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(attention(2), 0);
	CHECK_EQ(run(0, 2, inquiry, 6, NULL, 0), SCSI_GOOD);
	CHECK_EQ(run(0, 2, luns, 12, NULL, 0), SCSI_GOOD);
	CHECK_EQ(run(0, 2, capacity, 10, NULL, 0), SCSI_GOOD);
	CHECK_EQ(run(0, 2, start, 6, NULL, 0), SCSI_GOOD);
	CHECK_EQ(run(0, 2, stop, 6, NULL, 0), CONFLICT);
	CHECK_EQ(run(0, 2, sense, 6, NULL, 0), CONFLICT);
	rig_down();
}

static void test_reserve(void)
{
	rig_up(NULL, false);
	CHECK_EQ(pr_out(0, RESERVE, WE, 10, 0, 0), CONFLICT); /* not registered */
	join(0, 10);
	join(1, 11);
	CHECK_EQ(pr_out(0, RESERVE, WE, 99, 0, 0), CONFLICT); /* wrong key */
	CHECK_EQ(pr_out(0, RESERVE, 2, 10, 0, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_CDB);
	CHECK_EQ(pr_out(0, RESERVE, 0x10 | WE, 10, 0, 0), SCSI_CHECK_CONDITION); /* scope */
	CHECK_EQ(pr_out(0, RESERVE, WE, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(0, RESERVE, WE, 10, 0, 0), SCSI_GOOD); /* the same again */
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), CONFLICT);
	CHECK_EQ(pr_out(1, RESERVE, WE, 11, 0, 0), CONFLICT);
	CHECK(reserved(WE, 10));
	CHECK_EQ(generation(), 2); /* of the registrations only */
	/* Of all registrants any may ask again. */
	CHECK_EQ(pr_out(0, RELEASE, WE, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(0, RESERVE, WEAR, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(1, RESERVE, WEAR, 11, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(1, RESERVE, EAAR, 11, 0, 0), CONFLICT);
	rig_down();
}

static void test_release(void)
{
	rig_up(NULL, false);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		unsigned type = types[i];
		join(0, 10);
		join(1, 11);
		CHECK_EQ(pr_out(0, RELEASE, type, 10, 0, 0), SCSI_GOOD); /* nothing to release */
		CHECK_EQ(pr_out(0, RESERVE, type, 10, 0, 0), SCSI_GOOD);
		CHECK_EQ(pr_out(2, RELEASE, type, 10, 0, 0), CONFLICT);
		CHECK_EQ(pr_out(0, RELEASE, type == WE ? EA : WE, 10, 0, 0), SCSI_CHECK_CONDITION);
		CHECK_EQ(last.asc, ASC_INVALID_RELEASE_OF_RESERVATION);
		if (!all_registrants(type)) { /* not the holder: nothing happens */
			CHECK_EQ(pr_out(1, RELEASE, type, 11, 0, 0), SCSI_GOOD);
			CHECK(reserved(type, 10));
		}
		CHECK_EQ(pr_out(0, RELEASE, type, 10, 0, 0), SCSI_GOOD);
		CHECK(reserved(0, 0));
		CHECK_EQ(attention(0), 0);
		CHECK_EQ(attention(1), registrants_only(type) ? ASC_RESERVATIONS_RELEASED : 0);
		CHECK_EQ(attention(1), 0);
		CHECK_EQ(attention(2), 0);
		CHECK_EQ(key_count(), 2);
	}
	/* Any of all registrants may release. */
	CHECK_EQ(pr_out(0, RESERVE, EAAR, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(1, RELEASE, EAAR, 11, 0, 0), SCSI_GOOD);
	CHECK(reserved(0, 0));
	CHECK_EQ(attention(0), ASC_RESERVATIONS_RELEASED);
	rig_down();
}

static void test_clear(void)
{
	rig_up(NULL, false);
	join(0, 10);
	join(1, 11);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(2, CLEAR, 0, 0, 0, 0), CONFLICT);
	CHECK_EQ(pr_out(1, CLEAR, 0, 11, 0, 0), SCSI_GOOD);
	CHECK_EQ(key_count(), 0);
	CHECK(reserved(0, 0));
	CHECK_EQ(generation(), 3);
	CHECK_EQ(attention(0), ASC_RESERVATIONS_PREEMPTED);
	CHECK_EQ(attention(1), 0);
	CHECK_EQ(attention(2), 0);
	rig_down();
}

/* ---- PREEMPT ---- */

static void test_preempt_registration(void)
{
	rig_up(NULL, false);
	join(0, 10);
	join(1, 11);
	join(2, 11); /* two with one key */
	CHECK_EQ(pr_out(0, RESERVE, WE, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(0, PREEMPT, WE, 10, 77, 0), CONFLICT); /* nobody has that key */
	CHECK_EQ(pr_out(0, PREEMPT, WE, 10, 0, 0), SCSI_CHECK_CONDITION);
	CHECK_EQ(last.asc, ASC_INVALID_FIELD_IN_PARAMETER);
	CHECK_EQ(pr_out(0, PREEMPT, 0, 10, 11, 0), SCSI_GOOD); /* the type does not matter */
	CHECK_EQ(key_count(), 1);
	CHECK(reserved(WE, 10));
	CHECK_EQ(attention(0), 0);
	CHECK_EQ(attention(1), ASC_REGISTRATIONS_PREEMPTED);
	CHECK_EQ(attention(2), ASC_REGISTRATIONS_PREEMPTED);
	CHECK_EQ(attention(1), 0);
	CHECK_EQ(generation(), 4);
	CHECK_EQ(rig.aborted, 0);
	rig_down();
}

static void test_preempt_reservation(void)
{
	rig_up(NULL, false);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		unsigned type = types[i];
		join(0, 10);
		join(1, 11);
		join(2, 12);
		CHECK_EQ(pr_out(0, RESERVE, WE, 10, 0, 0), SCSI_GOOD);
		CHECK_EQ(pr_out(1, PREEMPT, 4, 11, 10, 0), SCSI_CHECK_CONDITION); /* type */
		CHECK(reserved(WE, 10));
		CHECK_EQ(pr_out(1, PREEMPT, type, 11, 10, 0), SCSI_GOOD);
		CHECK_EQ(attention(0), ASC_REGISTRATIONS_PREEMPTED);
		CHECK_EQ(attention(1), 0);
		CHECK_EQ(attention(2), type == WE ? 0 : ASC_RESERVATIONS_RELEASED);
		CHECK(reserved(type, all_registrants(type) ? 0 : 11));
		CHECK(!has_key(10) && has_key(11) && has_key(12));
		CHECK(can_write(1) && !can_write(0));
		CHECK_EQ(pr_out(1, CLEAR, 0, 11, 0, 0), SCSI_GOOD);
		clear_attentions();
	}
	rig_down();
}

static void test_preempt_all_registrants(void)
{
	rig_up(NULL, false);
	join(0, 10);
	join(1, 11);
	join(2, 12);
	CHECK_EQ(pr_out(0, RESERVE, WEAR, 10, 0, 0), SCSI_GOOD);
	/* One key: a registration goes, the reservation stays. */
	CHECK_EQ(pr_out(1, PREEMPT, EA, 11, 10, 0), SCSI_GOOD);
	CHECK(reserved(WEAR, 0));
	CHECK_EQ(attention(0), ASC_REGISTRATIONS_PREEMPTED);
	CHECK_EQ(attention(2), 0);
	/* Key 0: all others go, and the reservation is this nexus's. */
	CHECK_EQ(pr_out(1, PREEMPT, EA, 11, 0, 0), SCSI_GOOD);
	CHECK(reserved(EA, 11));
	CHECK_EQ(key_count(), 1);
	CHECK_EQ(attention(2), ASC_REGISTRATIONS_PREEMPTED);
	/* The own key of the last of all registrants takes the reservation along. */
	CHECK_EQ(pr_out(1, PREEMPT, WEAR, 11, 11, 0), SCSI_GOOD);
	CHECK(reserved(WEAR, 0));
	CHECK_EQ(pr_out(1, PREEMPT, WEAR, 11, 11, 0), SCSI_GOOD);
	CHECK(reserved(0, 0));
	CHECK_EQ(key_count(), 0);
	rig_down();
}

/* The holder changes the type of what it holds, in one step. */
static void test_preempt_own(void)
{
	rig_up(NULL, false);
	join(0, 10);
	join(1, 10);
	join(2, 12);
	CHECK_EQ(pr_out(0, RESERVE, WERO, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(0, PREEMPT, EA, 10, 10, 0), SCSI_GOOD);
	CHECK(reserved(EA, 10));
	CHECK_EQ(key_count(), 2); /* host 1 had the same key */
	CHECK_EQ(attention(0), 0);
	CHECK_EQ(attention(1), ASC_REGISTRATIONS_PREEMPTED);
	CHECK_EQ(attention(2), ASC_RESERVATIONS_RELEASED);
	rig_down();
}

static void test_preempt_and_abort(void)
{
	rig_up(NULL, false);
	join(0, 10);
	join(1, 11);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	CHECK_EQ(pr_out(1, PREEMPT_ABORT, EA, 11, 10, 0), SCSI_GOOD);
	CHECK_EQ(rig.aborted, 1);
	CHECK(rig.aborted_nexus == &rig.nexus[0][0]);
	CHECK(reserved(EA, 11));
	CHECK_EQ(attention(0), ASC_REGISTRATIONS_PREEMPTED);
	rig_down();
}

/* What began before ends before; what comes after is refused, although it came in time. */
static void test_fencing(void)
{
	uint8_t same[10] = {0x41, 0, 0, 0, 0, 0, 0, 0x80, 0}, data[512], block[512] = {0};
	uint8_t write[10] = {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, preempt[10] = {0x5f, PREEMPT, EA};
	uint8_t list[24] = {0};
	struct call before, between, after;

	rig_up(NULL, false);
	join(0, 10);
	join(1, 11);
	memset(data, 0x5a, sizeof(data));
	put_be64(list, 11);
	put_be64(list + 8, 10);
	preempt[8] = sizeof(list);
	call_start(&before, 0, 0, same, sizeof(same), data, sizeof(data));
	call_start(&between, 0, 1, preempt, sizeof(preempt), list, sizeof(list));
	call_start(&after, 0, 0, write, sizeof(write), block, sizeof(block));
	CHECK(!before.done && !between.done && !after.done);
	CHECK_EQ(call_wait(&between), SCSI_GOOD);
	CHECK(before.done);
	CHECK_EQ(before.cmd.status, SCSI_GOOD);
	CHECK_EQ(call_wait(&after), SCSI_GOOD); /* only a registration went */
	clear_attentions();

	join(0, 10);
	CHECK_EQ(pr_out(0, RESERVE, WE, 10, 0, 0), SCSI_GOOD);
	call_start(&before, 0, 0, same, sizeof(same), data, sizeof(data));
	call_start(&between, 0, 1, preempt, sizeof(preempt), list, sizeof(list));
	call_start(&after, 0, 0, write, sizeof(write), block, sizeof(block));
	CHECK_EQ(call_wait(&after), CONFLICT);
	CHECK(before.done && between.done);
	CHECK_EQ(before.cmd.status, SCSI_GOOD);
	CHECK_EQ(between.cmd.status, SCSI_GOOD);
	clear_attentions();
	CHECK_EQ(read_blocks(0, 1, 0, 1, block), SCSI_GOOD);
	CHECK_EQ(block[0], 0x5a);
	rig_down();
}

/* A takeover does not wait for a medium that hangs: neither for the flushes under way there, nor,
 * to be kept, for one of the disk's workers. */
static void test_beside_flushes(void)
{
	uint8_t flush[10] = {0x35}, caw[16] = {0x89}, data[1024] = {0};
	struct call flushes[2];

	rig_up(NULL, true);
	sem_init(&medium, 0, 0);
	join(0, 10);
	CHECK_EQ(pr_out(1, REGISTER_IGNORE, 0, 0, 11, APTPL), SCSI_GOOD);
	CHECK_EQ(pr_out(0, RESERVE, WE, 10, 0, 0), SCSI_GOOD);
	fill(0, 0, 1, 0);
	__atomic_store_n(&hanging_fd, rig.lun[0]->disk->fd, __ATOMIC_RELAXED);
	call_start(&flushes[0], 0, 0, flush, sizeof(flush), NULL, 0);
	caw[13] = 1;
	CHECK_EQ(run(0, 0, caw, sizeof(caw), data, sizeof(data)), SCSI_GOOD);
	call_start(&flushes[1], 0, 0, flush, sizeof(flush), NULL, 0);
	CHECK_EQ(pr_out(1, PREEMPT_ABORT, WE, 11, 10, 0), SCSI_GOOD);
	CHECK(!flushes[0].done && !flushes[1].done);
	CHECK(!can_write(0) && reserved(WE, 11));
	__atomic_store_n(&hanging_fd, -1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < ARRAY_SIZE(flushes); i++)
		sem_post(&medium);
	for (unsigned i = 0; i < ARRAY_SIZE(flushes); i++)
		CHECK_EQ(call_wait(&flushes[i]), SCSI_GOOD);
	CHECK_EQ(rig.lun[0]->running, 0);
	rig_down();
}

/* ---- RESERVE(6) and RELEASE(6) ---- */

static uint8_t six(unsigned host, uint8_t opcode)
{
	uint8_t cdb[6] = {opcode};
	return run(0, host, cdb, sizeof(cdb), NULL, 0);
}

static void test_reserve6(void)
{
	rig_up(NULL, false);
	CHECK_EQ(six(0, 0x16), SCSI_GOOD);
	CHECK_EQ(six(0, 0x16), SCSI_GOOD);
	CHECK_EQ(six(1, 0x16), CONFLICT);
	CHECK(can_write(0) && !can_read(1));
	CHECK_EQ(six(1, 0x17), SCSI_GOOD); /* releases nothing */
	CHECK_EQ(six(1, 0x16), CONFLICT);
	CHECK_EQ(six(0, 0x17), SCSI_GOOD);
	CHECK(can_write(1));
	/* It ends with the nexus, and with a reset. */
	CHECK_EQ(six(0, 0x16), SCSI_GOOD);
	lun_nexus_remove(&rig.nexus[0][0]);
	CHECK(can_write(1));
	rig_login(0, 0);
	CHECK_EQ(six(0, 0x16), SCSI_GOOD);
	lun_reset(rig.lun[0]);
	clear_attentions();
	CHECK(can_write(1));
	rig_down();
}

static void test_kinds_do_not_mix(void)
{
	rig_up(NULL, false);
	CHECK_EQ(six(0, 0x16), SCSI_GOOD);
	CHECK_EQ(pr_out(1, REGISTER, 0, 0, 11, 0), CONFLICT);
	CHECK_EQ(pr_out(0, REGISTER, 0, 0, 10, 0), CONFLICT);
	CHECK_EQ(six(0, 0x17), SCSI_GOOD);
	join(0, 10);
	CHECK_EQ(six(0, 0x16), CONFLICT);
	CHECK_EQ(six(1, 0x17), CONFLICT);
	rig_down();
}

/* A LUN reset leaves persistent reservations alone, and so does the end of a session. */
static void test_outlives_session(void)
{
	rig_up(NULL, false);
	join(0, 10);
	CHECK_EQ(pr_out(0, RESERVE, EA, 10, 0, 0), SCSI_GOOD);
	lun_reset(rig.lun[0]);
	clear_attentions();
	CHECK(can_write(0) && !can_read(1));
	lun_nexus_remove(&rig.nexus[0][0]);
	CHECK(!can_read(1));
	CHECK(reserved(EA, 10));
	rig_login(0, 0);
	CHECK(can_write(0));
	rig_down();
}

int main(void)
{
	log_init("reserve_test");
	CHECK_RUN(test_access);
	CHECK_RUN(test_harmless);
	CHECK_RUN(test_reserve);
	CHECK_RUN(test_release);
	CHECK_RUN(test_clear);
	CHECK_RUN(test_preempt_registration);
	CHECK_RUN(test_preempt_reservation);
	CHECK_RUN(test_preempt_all_registrants);
	CHECK_RUN(test_preempt_own);
	CHECK_RUN(test_preempt_and_abort);
	CHECK_RUN(test_fencing);
	CHECK_RUN(test_beside_flushes);
	CHECK_RUN(test_reserve6);
	CHECK_RUN(test_kinds_do_not_mix);
	CHECK_RUN(test_outlives_session);
	return CHECK_DONE();
}
