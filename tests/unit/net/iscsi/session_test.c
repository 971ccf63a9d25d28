/* SPDX-License-Identifier: BSD-2-Clause */
/* A session, and the LUNs that come and go beneath it. */
#include "tests/unit/net/iscsi/session_rig.h"

#define A "iqn.2026-11.unit:a"

/* A number is given to another disk: what a session sends that knows the old one is not for it,
 * however much of that is on its way, and however often it is sent again. */
static void test_number_given_again(void)
{
	struct peer *p = &rig.peer[0];
	uint32_t early[8];
	rig_up();
	rig_add(0, 0);
	rig_add(1, 1);
	CHECK(peer_login(p, A, 1));
	settle(p, 0);
	settle(p, 1);
	CHECK_EQ(answer(p, peer_write(p, 1, 0, 1, 'a', true)), 0);
	rig_remove_wait(1);
	rig_add(2, 1);
	for (unsigned i = 0; i < 8; i++)
		early[i] = peer_write(p, 1, i, 1, 'b', i % 2);
	for (unsigned i = 1; i < 8; i += 2)
		CHECK_EQ(answer(p, early[i]), ASC_LUN_NOT_SUPPORTED);
	CHECK_EQ(answer(p, peer_write(p, 1, 0, 1, 'b', true)), ASC_LUN_NOT_SUPPORTED);
	CHECK_EQ(answer(p, peer_ready(p, 0)), ASC_REPORTED_LUNS_CHANGED);
	CHECK_EQ(answer(p, peer_ready(p, 0)), 0);
	CHECK_EQ(answer(p, peer_ready(p, 1)), ASC_LUN_NOT_SUPPORTED);
	/* Who asks is told; a write that was begun before still finds no LUN. */
	CHECK_EQ(answer(p, peer_inquiry(p, 1)), 0);
	for (unsigned i = 0; i < p->n; i++) {
		const uint8_t *r2t = p->came[i].bhs;
		uint8_t h[ISCSI_BHS] = {ISCSI_DATA_OUT, ISCSI_FINAL}, data[BLOCK] = "b";
		if (r2t[0] != ISCSI_R2T)
			continue;
		put_lun(h, 1);
		memcpy(h + PDU_ITT, r2t + PDU_ITT, 8);
		peer_send(p, h, data, sizeof(data));
		CHECK_EQ(answer(p, get_be32(r2t + PDU_ITT)), ASC_LUN_NOT_SUPPORTED);
	}
	CHECK_EQ(answer(p, peer_ready(p, 1)), ASC_POWER_ON);
	CHECK_EQ(answer(p, peer_ready(p, 1)), ASC_REPORTED_LUNS_CHANGED);
	for (unsigned i = 0; i < 8; i++)
		CHECK_EQ(on_disk(2, i), 0);
	CHECK_EQ(answer(p, peer_write(p, 1, 0, 1, 'c', true)), 0);
	CHECK_EQ(on_disk(1, 0), 'a');
	CHECK_EQ(on_disk(2, 0), 'c');
	rig_down();
}

/* The same disk is no stranger, nor is another one to who comes later. */
static void test_number_kept(void)
{
	struct peer *p = &rig.peer[0];
	rig_up();
	rig_add(0, 0);
	rig_add(1, 1);
	CHECK(peer_login(p, A, 1));
	settle(p, 1);
	rig_remove_wait(1);
	CHECK_EQ(answer(p, peer_ready(p, 1)), ASC_LUN_NOT_SUPPORTED);
	rig_add(1, 1);
	CHECK_EQ(answer(p, peer_ready(p, 1)), ASC_POWER_ON);
	CHECK_EQ(answer(p, peer_ready(p, 1)), 0);
	rig_remove_wait(1);
	rig_add(2, 1);
	CHECK(peer_login(&rig.peer[1], A, 2));
	CHECK_EQ(answer(&rig.peer[1], peer_ready(&rig.peer[1], 1)), ASC_POWER_ON);
	CHECK_EQ(answer(&rig.peer[1], peer_ready(&rig.peer[1], 1)), 0);
	rig_down();
}

/* A write waits for its data when its LUN goes: it can be aborted all the same, or the initiator,
 * who is told that it cannot, would end the session, and with it what it does on other disks. */
static void test_abort_without_lun(void)
{
	struct peer *p = &rig.peer[0];
	uint32_t task;
	rig_up();
	rig_add(0, 0);
	rig_add(1, 1);
	CHECK(peer_login(p, A, 1));
	settle(p, 0);
	settle(p, 1);
	task = peer_write(p, 1, 0, 1, 'a', false);
	while (!p->n || p->came[p->n - 1].bhs[0] != ISCSI_R2T)
		rig_turn();
	rig_remove_wait(1);
	CHECK_EQ(peer_manage(p, TMF_ABORT_TASK, 1, task), TMF_COMPLETE);
	CHECK_EQ(peer_manage(p, TMF_ABORT_TASK, 1, task), TMF_NO_LUN);
	CHECK_EQ(peer_manage(p, TMF_LUN_RESET, 1, 0), TMF_NO_LUN);
	CHECK_EQ(peer_manage(p, TMF_ABORT_TASK, 0, task), TMF_NO_TASK);
	CHECK_EQ(peer_manage(p, TMF_TASK_REASSIGN, 0, task), TMF_NO_REASSIGN);
	CHECK_EQ(peer_manage(p, TMF_CLEAR_ACA, 0, 0), TMF_NOT_SUPPORTED);
	rig_down();
}

/* A large read waits for its turn when its LUN goes. What it reads is not lent any more: an
 * initiator that has nothing to say then would never tell that it has it. */
static void test_removed_before_a_read(void)
{
	uint8_t cdb[10] = {0x28, [7] = 512 >> 8};
	struct peer *p = &rig.peer[0];
	struct lun *l;
	uint32_t read;
	rig_up();
	l = rig_add(0, 0);
	CHECK(peer_login(p, A, 1));
	settle(p, 0);
	l->running++; /* as a command that is alone on it */
	l->alone = true;
	read = peer_command(p, 0, cdb, sizeof(cdb), ISCSI_CMD_READ, 512 * BLOCK, NULL, 0);
	rig_pause();
	CHECK(l->waiting);
	rig_remove(0);
	rig_pause();
	l->alone = false;
	scsi_part(l);
	CHECK_EQ(answer(p, read), 0);
	for (unsigned i = 0; i < 50 && !rig.gone; i++)
		rig_pause();
	CHECK(rig.gone);
	rig_down();
}

/* The target ends while an atomic write waits for the initiator to have what it was lent: that the
 * initiator has it is still heard, and the write answered. */
static void test_end_with_a_loan(void)
{
	uint8_t cdb[10] = {0x28, [7] = 512 >> 8}, caw[16] = {0x89, [13] = 1}, data[2 * BLOCK] = {0},
		ack[ISCSI_BHS] = {ISCSI_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FINAL};
	struct peer *p = &rig.peer[0];
	uint32_t read, write;
	rig_up();
	rig_add(0, 0);
	CHECK(peer_login(p, A, 1));
	settle(p, 0);
	read = peer_command(p, 0, cdb, sizeof(cdb), ISCSI_CMD_READ, 512 * BLOCK, NULL, 0);
	rig_pause();
	write = peer_command(p, 0, caw, sizeof(caw), ISCSI_CMD_WRITE, sizeof(data), data,
			     sizeof(data));
	rig_pause();
	CHECK(rig.target->luns[0]->lent && rig.target->luns[0]->waiting);
	target_server_drain(rig.server, NULL, NULL);
	rig_pause();
	CHECK_EQ(answer(p, read), 0);
	put_be32(ack + PDU_ITT, ISCSI_NO_TAG);
	put_be32(ack + PDU_TTT, 1);
	put_be32(ack + PDU_CMDSN, p->cmdsn);
	put_be32(ack + PDU_EXPSTATSN, p->statsn);
	peer_send(p, ack, NULL, 0);
	CHECK_EQ(answer(p, write), 0);
	rig_down();
}

/* More than what is put together of small answers, and the initiator takes it in one PDU. */
static void test_many_targets(void)
{
	static const char all[] = "SendTargets=All";
	uint8_t h[ISCSI_BHS] = {ISCSI_TEXT_REQUEST, ISCSI_FINAL};
	char name[ISCSI_NAME + 1];
	struct peer *p = &rig.peer[0];
	const struct came *c;
	struct lun *l;
	rig_up();
	l = rig_add(0, 0);
	for (unsigned i = 0; i < 6000; i++) {
		snprintf(name, sizeof(name), "iqn.2026-11.unit:%05u%0195u", i, 0);
		if (target_add_lun(rig.server, target_server_get(rig.server, name), l))
			abort();
	}
	peer_type = "Discovery";
	peer_segment = 0xffffff;
	CHECK(peer_login(p, A, 1));
	put_be32(h + PDU_TTT, ISCSI_NO_TAG);
	c = peer_await(p, peer_ask(p, h, all, sizeof(all)));
	CHECK(c && c->bhs[1] == ISCSI_FINAL && get_be24(c->bhs + PDU_DATA_LEN) > 6000 * 217);
	peer_type = "Normal";
	peer_segment = 262144;
	rig_down();
}

/* A request that nobody knows has its place among the others (RFC 7143, 11.17.1). */
static void test_rejected_request_counts(void)
{
	struct peer *p = &rig.peer[0];
	uint8_t vendors[ISCSI_BHS] = {0x1c, ISCSI_FINAL},
		now[ISCSI_BHS] = {0x1c | ISCSI_IMMEDIATE, ISCSI_FINAL};
	rig_up();
	rig_add(0, 0);
	CHECK(peer_login(p, A, 1));
	settle(p, 0);
	peer_ask(p, vendors, NULL, 0);
	CHECK_EQ(answer(p, peer_ready(p, 0)), 0);
	peer_ask(p, now, NULL, 0);
	CHECK_EQ(answer(p, peer_ready(p, 0)), 0);
	rig_down();
}

/* Who has connected, and not begun to log in, need not come again when others may, too; but he has
 * to when he may not come any more. */
static void test_access_changes(void)
{
	static const char *const other = "192.0.2.0/24";
	const struct chap_credentials none = {0};
	struct access *strict = access_new(&other, 1);
	rig_up();
	rig_add(0, 0);
	peer_connect(&rig.peer[0]);
	target_server_set_access(rig.server, rig.access, &none);
	CHECK(peer_enter(&rig.peer[0], A, 1));
	peer_connect(&rig.peer[1]);
	target_server_set_access(rig.server, strict, &none);
	CHECK(!peer_enter(&rig.peer[1], A, 2));
	CHECK_EQ(answer(&rig.peer[0], peer_inquiry(&rig.peer[0], 0)), 0);
	rig_down();
	access_free(strict);
}

int main(void)
{
	log_init("session_test");
	log_set_level("error");
	CHECK_RUN(test_number_given_again);
	CHECK_RUN(test_number_kept);
	CHECK_RUN(test_abort_without_lun);
	CHECK_RUN(test_removed_before_a_read);
	CHECK_RUN(test_end_with_a_loan);
	CHECK_RUN(test_many_targets);
	CHECK_RUN(test_rejected_request_counts);
	CHECK_RUN(test_access_changes);
	return CHECK_DONE();
}
