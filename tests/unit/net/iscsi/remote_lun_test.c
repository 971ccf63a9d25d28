/* SPDX-License-Identifier: BSD-2-Clause */
/* The blocking initiator against a scripted target: what it sends, and what it makes of answers. */
#include "net/iscsi/remote_lun.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/bytes.h"
#include "net/iscsi/pdu.h"
#include "tests/unit/check.h"

static struct remote_lun lun;
static int target; /* the other end */
static uint8_t data[16384], sent[16384];

static void open_pair(void)
{
	int p[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
	lun = (struct remote_lun){.fd = p[0],
				  .lun = 3,
				  .itt = 10,
				  .cmdsn = 5,
				  .statsn = 100,
				  .block = 512,
				  .blocks = 1000};
	iscsi_params_default(&lun.params, 262144);
	lun.params.first_burst = 1024;
	lun.params.max_send = 2048;
	target = p[1];
}

static void close_pair(void)
{
	close(target);
	remote_lun_close(&lun);
	CHECK_EQ(lun.fd, -1);
}

static void answer(uint8_t opcode, uint8_t flags, uint8_t status, uint32_t at, const void *p,
		   size_t n)
{
	uint8_t bhs[ISCSI_BHS] = {opcode, flags};
	static const uint8_t padding[3];

	if (opcode != ISCSI_R2T)
		put_be24(bhs + PDU_DATA_LEN, (uint32_t)n);
	bhs[RESP_STATUS] = status;
	put_be32(bhs + PDU_TTT, 77);
	put_be32(bhs + PDU_STATSN, 200);
	put_be32(bhs + DATA_OFFSET, at);
	if (opcode == ISCSI_R2T)
		put_be32(bhs + R2T_LENGTH, (uint32_t)n);
	CHECK_EQ(write(target, bhs, sizeof(bhs)), ISCSI_BHS);
	if (p && n)
		CHECK_EQ(write(target, p, n), n);
	if (p && n % 4)
		CHECK_EQ(write(target, padding, 4 - n % 4), 4 - n % 4);
}

static size_t take(void)
{
	ssize_t n = recv(target, sent, sizeof(sent), MSG_DONTWAIT);

	return n < 0 ? 0 : (size_t)n;
}

static void test_reads(void)
{
	static uint8_t in[4096];

	open_pair();
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	/* In two pieces, a ping between them, the status with the last. */
	answer(ISCSI_DATA_IN, 0, 0, 0, data, 1000);
	answer(ISCSI_NOP_IN, ISCSI_FINAL, 0, 0, NULL, 0);
	answer(ISCSI_DATA_IN, ISCSI_FINAL | ISCSI_DATA_IN_STATUS, 0, 1000, data + 1000, 3096);
	CHECK_EQ(remote_lun_read(&lun, in, 4096, 512 * 8), 4096);
	CHECK_MEM(in, data, 4096);
	if (CHECK_EQ(take(), 2 * ISCSI_BHS)) {
		CHECK_EQ(sent[0], ISCSI_SCSI_COMMAND);
		CHECK_EQ(sent[1], ISCSI_FINAL | ISCSI_CMD_READ | 1);
		CHECK_EQ(iscsi_lun_get(sent + PDU_LUN), 3);
		CHECK_EQ(get_be32(sent + PDU_CMDSN), 5);
		CHECK_EQ(get_be32(sent + PDU_EXPSTATSN), 100);
		CHECK_EQ(sent[CMD_CDB], 0x88);
		CHECK_EQ(get_be64(sent + CMD_CDB + 2), 8);
		CHECK_EQ(get_be32(sent + CMD_CDB + 10), 8);
		CHECK_EQ(sent[ISCSI_BHS] & ISCSI_OPCODE_MASK, ISCSI_NOP_OUT);
		CHECK_EQ(get_be32(sent + ISCSI_BHS + PDU_TTT), 77);
	}
	CHECK_EQ(lun.statsn, 201);
	close_pair();
}

static void test_writes(void)
{
	const uint8_t *p = sent;

	open_pair();
	answer(ISCSI_R2T, ISCSI_FINAL, 0, 1024, NULL, 3072);
	answer(ISCSI_SCSI_RESPONSE, ISCSI_FINAL, 0, 0, NULL, 0);
	CHECK_EQ(remote_lun_write(&lun, data, 4096, 0), 4096);
	/* The first burst at once, the rest as asked for, in pieces that the target takes. */
	if (CHECK_EQ(take(), 3 * ISCSI_BHS + 4096)) {
		CHECK_EQ(get_be24(p + PDU_DATA_LEN), 1024);
		CHECK_MEM(p + ISCSI_BHS, data, 1024);
		p += ISCSI_BHS + 1024;
		CHECK_EQ(p[0], ISCSI_DATA_OUT);
		CHECK_EQ(p[1], 0);
		CHECK_EQ(get_be32(p + DATA_OFFSET), 1024);
		CHECK_MEM(p + ISCSI_BHS, data + 1024, 2048);
		p += ISCSI_BHS + 2048;
		CHECK_EQ(p[1], ISCSI_FINAL);
		CHECK_EQ(get_be32(p + DATA_SN), 1);
		CHECK_MEM(p + ISCSI_BHS, data + 3072, 1024);
	}
	close_pair();
}

static void test_errors(void)
{
	static uint8_t in[4096];

	open_pair();
	answer(ISCSI_SCSI_RESPONSE, ISCSI_FINAL, 2, 0, NULL, 0); /* CHECK CONDITION */
	CHECK_EQ(remote_lun_read(&lun, in, 4096, 0), -EIO);
	/* Less than was asked for. */
	answer(ISCSI_DATA_IN, ISCSI_FINAL | ISCSI_DATA_IN_STATUS, 0, 0, data, 512);
	CHECK_EQ(remote_lun_read(&lun, in, 4096, 0), -EIO);
	answer(ISCSI_SCSI_RESPONSE, ISCSI_FINAL, 8, 0, NULL, 0); /* BUSY */
	CHECK_EQ(remote_lun_flush(&lun), -EIO);
	close_pair();
}

/* Each in a session of its own: nothing more can be done with it. */
static void test_what_breaks_the_protocol(void)
{
	static const struct {
		uint8_t opcode, flags;
		bool write;
		uint32_t at, n;
	} wrong[] = {
		{ISCSI_DATA_IN, 0, false, 4000, 200},	     /* beyond the end */
		{ISCSI_DATA_IN, 0, false, 0xfffffff0u, 100}, /* and around it */
		{ISCSI_DATA_IN, 0, true, 0, 100},
		{ISCSI_R2T, ISCSI_FINAL, true, 4000, 200},
		{ISCSI_R2T, ISCSI_FINAL, true, 0, 0},
		{ISCSI_R2T, ISCSI_FINAL, false, 0, 100},
		{ISCSI_LOGIN_RESPONSE, 0, false, 0, 0},
		{ISCSI_REJECT, ISCSI_FINAL, false, 0, 0},
	};
	static uint8_t in[4096];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		open_pair();
		answer(wrong[i].opcode, wrong[i].flags, 0, wrong[i].at,
		       wrong[i].opcode == ISCSI_R2T ? NULL : data, wrong[i].n);
		if (!CHECK_EQ(wrong[i].write ? remote_lun_write(&lun, data, 4096, 0)
					     : remote_lun_read(&lun, in, 4096, 0),
			      -EPROTO))
			printf("# case %zu\n", i);
		close_pair();
	}
	open_pair();
	CHECK_EQ(write(target, data, 20), 20); /* half a header, and the end */
	shutdown(target, SHUT_WR);
	CHECK_EQ(remote_lun_read(&lun, in, 4096, 0), -ECONNRESET);
	close_pair();
	open_pair();
	close(target);
	CHECK_EQ(remote_lun_write(&lun, data, 4096, 0), -EPIPE);
	target = -1;
	remote_lun_close(&lun);
}

static void test_addresses(void)
{
	static const char *const wrong[] = {
		"iscsi://",
		"iscsi://h/iqn.2026-11.local.vstor:t",
		"iscsi://h/iqn.2026-11.local.vstor:t/",
		"iscsi://h/iqn.2026-11.local.vstor:t/x",
		"iscsi://h/iqn.2026-11.local.vstor:t/16384",
		"iscsi://h/t/0",
		"/dev/sda",
	};
	char error[REMOTE_LUN_ERROR];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (!CHECK_EQ(remote_lun_open(&lun, wrong[i], error), -EINVAL))
			printf("# %s\n", wrong[i]);
		CHECK(strstr(error, wrong[i]));
	}
	CHECK(remote_lun_open(&lun, "iscsi://127.0.0.1:1/iqn.2026-11.local.vstor:t/0", error) < 0);
	CHECK(strstr(error, "127.0.0.1:1"));
}

int main(void)
{
	CHECK_RUN(test_reads);
	CHECK_RUN(test_writes);
	CHECK_RUN(test_errors);
	CHECK_RUN(test_what_breaks_the_protocol);
	CHECK_RUN(test_addresses);
	return CHECK_DONE();
}
