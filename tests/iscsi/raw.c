/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/iscsi/raw.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "core/loop.h"

struct raw_target raw_target;

bool raw_connect(struct raw *r)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai;
	int one = 1;

	*r = (struct raw){.fd = -1, .cmdsn = 1};
	if (getaddrinfo(raw_target.host, raw_target.port, &hints, &ai))
		return false;
	r->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->fd >= 0 && connect(r->fd, ai->ai_addr, ai->ai_addrlen) < 0) {
		printf("# connect: %s\n", strerror(errno));
		raw_close(r);
	}
	freeaddrinfo(ai);
	if (r->fd < 0)
		return false;
	setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return true;
}

void raw_close(struct raw *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

void raw_reset(struct raw *r)
{
	struct linger l = {.l_onoff = 1, .l_linger = 0};

	if (r->fd >= 0)
		setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	raw_close(r);
}

uint8_t *raw_put(struct buf *b, uint8_t opcode, uint8_t flags, const void *data, size_t len)
{
	size_t pad = -len & 3;
	uint8_t *h = buf_reserve(b, ISCSI_BHS + len + pad);

	if (!h)
		abort();
	memset(h, 0, ISCSI_BHS + len + pad);
	h[0] = opcode;
	h[1] = flags;
	put_be24(h + PDU_DATA_LEN, (uint32_t)len);
	if (len)
		memcpy(h + ISCSI_BHS, data, len);
	b->len += ISCSI_BHS + len + pad;
	return h;
}

uint8_t *raw_put_next(struct raw *r, struct buf *b, uint8_t opcode, uint8_t flags, const void *data,
		      size_t len)
{
	uint8_t *h = raw_put(b, opcode, flags, data, len);

	put_be32(h + PDU_ITT, ++r->itt);
	put_be32(h + PDU_CMDSN, r->cmdsn);
	put_be32(h + PDU_EXPSTATSN, r->expstatsn);
	if (!(opcode & ISCSI_IMMEDIATE))
		r->cmdsn++;
	return h;
}

uint8_t *raw_put_command(struct raw *r, struct buf *b, const uint8_t *cdb, size_t cdb_len,
			 uint8_t flags, uint32_t edtl, const void *data, size_t len)
{
	uint8_t *h = raw_put_next(r, b, ISCSI_SCSI_COMMAND, ISCSI_FINAL | 1 | flags, data, len);

	h[PDU_LUN + 1] = raw_target.lun;
	put_be32(h + CMD_EDTL, edtl);
	memcpy(h + CMD_CDB, cdb, cdb_len);
	return h;
}

void raw_rw10(uint8_t cdb[10], bool write, uint32_t lba, uint16_t blocks)
{
	memset(cdb, 0, 10);
	cdb[0] = write ? 0x2a : 0x28;
	put_be32(cdb + 2, lba);
	put_be16(cdb + 7, blocks);
}

static bool wait_for(int fd, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	uint64_t now = clock_ns();

	return now < deadline && poll(&p, 1, (int)((deadline - now) / MS_NS) + 1) == 1;
}

bool raw_send_bytes(struct raw *r, const void *p, size_t n)
{
	uint64_t deadline = clock_ns() + RAW_LIMIT * MS_NS;

	for (const uint8_t *at = p; n;) {
		ssize_t k = send(r->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (k < 0 && errno == EAGAIN && wait_for(r->fd, POLLOUT, deadline))
			continue;
		if (k < 0)
			return false;
		at += k;
		n -= (size_t)k;
	}
	return true;
}

void raw_add_digests(const struct raw *r, struct buf *b)
{
	struct buf out = {0};

	if (!r->header_digest && !r->data_digest)
		return;
	for (size_t at = 0; at < b->len;) {
		const uint8_t *h = b->data + at;
		size_t len = (get_be24(h + PDU_DATA_LEN) + 3) & ~3u;
		uint8_t crc[4];

		buf_put(&out, h, ISCSI_BHS);
		if (r->header_digest) {
			uint32_t c = crc32c(0, h, ISCSI_BHS);

			memcpy(crc, &c, 4); /* little-endian on the wire (RFC 7143, 13.1) */
			buf_put(&out, crc, 4);
		}
		buf_put(&out, h + ISCSI_BHS, len);
		if (r->data_digest && len) {
			uint32_t c = crc32c(0, h + ISCSI_BHS, len);

			memcpy(crc, &c, 4);
			buf_put(&out, crc, 4);
		}
		at += ISCSI_BHS + len;
	}
	buf_free(b);
	*b = out;
}

bool raw_send(struct raw *r, struct buf *b)
{
	bool ok;

	raw_add_digests(r, b);
	if (r->cut && r->cut < b->len) {
		ok = raw_send_bytes(r, b->data, r->cut);
		r->pause();
		ok = ok && raw_send_bytes(r, b->data + r->cut, b->len - r->cut);
	} else {
		ok = raw_send_bytes(r, b->data, b->len);
	}
	buf_free(b);
	return ok;
}

static enum raw_event receive(struct raw *r, void *p, size_t n, uint64_t deadline)
{
	for (uint8_t *at = p; n;) {
		ssize_t k = recv(r->fd, at, n, MSG_DONTWAIT);

		if (k < 0 && errno == EAGAIN) {
			if (!wait_for(r->fd, POLLIN, deadline))
				return RAW_TIMEOUT;
			continue;
		}
		if (k <= 0)
			return RAW_CLOSED;
		at += k;
		n -= (size_t)k;
	}
	return RAW_PDU;
}

/* Does its StatSN count (RFC 7143, 4.2.2.2)? */
static bool has_status(const uint8_t *h)
{
	switch (h[0]) {
	case ISCSI_REJECT: return true;
	case ISCSI_R2T: return false;
	case ISCSI_DATA_IN: return h[1] & ISCSI_DATA_IN_STATUS;
	default: return get_be32(h + PDU_ITT) != ISCSI_NO_TAG;
	}
}

enum raw_event raw_recv_within(struct raw *r, struct pdu *p, int ms)
{
	uint64_t deadline = clock_ns() + (uint64_t)ms * MS_NS;
	enum raw_event e;
	uint32_t crc;
	size_t padded;

	memset(p, 0, sizeof(*p));
	e = receive(r, p->bhs, ISCSI_BHS, deadline);
	if (e == RAW_PDU && r->header_digest)
		e = receive(r, &crc, 4, deadline);
	if (e != RAW_PDU)
		return e;
	p->len = get_be24(p->bhs + PDU_DATA_LEN);
	padded = (p->len + 3) & ~(size_t)3;
	p->data = calloc(1, padded + 1);
	if (!p->data)
		abort();
	e = receive(r, p->data, padded, deadline);
	if (e == RAW_PDU && r->data_digest && padded) {
		e = receive(r, &crc, 4, deadline);
		if (e == RAW_PDU && crc != crc32c(0, p->data, padded)) {
			printf("# the target sent a wrong data digest\n");
			e = RAW_CLOSED;
		}
	}
	if (e != RAW_PDU) {
		raw_pdu_free(p);
		return e;
	}
	if (has_status(p->bhs))
		r->expstatsn = get_be32(p->bhs + PDU_STATSN) + 1;
	r->maxcmdsn = get_be32(p->bhs + PDU_MAXCMDSN);
	return RAW_PDU;
}

enum raw_event raw_recv(struct raw *r, struct pdu *p)
{
	return raw_recv_within(r, p, RAW_LIMIT);
}

void raw_pdu_free(struct pdu *p)
{
	free(p->data);
	p->data = NULL;
}

bool raw_skip(struct raw *r)
{
	char b[65536];
	ssize_t k;

	do
		k = recv(r->fd, b, sizeof(b), MSG_DONTWAIT);
	while (k > 0);
	return k < 0 && errno == EAGAIN;
}

bool raw_drain(struct raw *r)
{
	uint64_t deadline = clock_ns() + RAW_LIMIT * MS_NS;
	char b[65536];

	for (;;) {
		ssize_t k = recv(r->fd, b, sizeof(b), MSG_DONTWAIT);

		if (k < 0 && errno == EAGAIN) {
			if (wait_for(r->fd, POLLIN, deadline))
				continue;
			printf("# the target neither answers nor closes\n");
			return false;
		}
		if (k <= 0)
			return true;
	}
}

bool raw_login_step(struct raw *r, uint8_t flags, const char *const *keys, struct pdu *answer)
{
	struct buf b = {0}, text = {0};
	uint8_t *h;

	for (; keys && *keys; keys++)
		buf_put(&text, *keys, strlen(*keys) + 1);
	h = raw_put(&b, ISCSI_LOGIN_REQUEST | ISCSI_IMMEDIATE, flags, text.data, text.len);
	buf_free(&text);
	h[LOGIN_ISID] = 0x80; /* random (RFC 7143, 11.12.5) */
	put_be32(h + LOGIN_ISID + 1, raw_target.isid ? raw_target.isid : (uint32_t)getpid());
	put_be32(h + PDU_CMDSN, r->cmdsn);
	put_be32(h + PDU_EXPSTATSN, r->expstatsn);
	return raw_send(r, &b) && raw_recv(r, answer) == RAW_PDU &&
	       answer->bhs[0] == ISCSI_LOGIN_RESPONSE;
}

bool raw_login(struct raw *r, const char *name, const char *const *extra, struct pdu *answer)
{
	char initiator[256], target[256];
	const char *keys[64] = {initiator,
				target,
				"SessionType=Normal",
				"InitialR2T=Yes",
				"ImmediateData=Yes",
				"MaxRecvDataSegmentLength=262144"};
	bool header = false, data = false;
	size_t n = 6;

	snprintf(initiator, sizeof(initiator), "InitiatorName=%s", name);
	snprintf(target, sizeof(target), "TargetName=%s", raw_target.iqn);
	for (; extra && *extra; extra++)
		keys[n++] = *extra;
	/* Straight from the operational stage to full feature. */
	if (!raw_login_step(r, ISCSI_LOGIN_TRANSIT | 1 << 2 | 3, keys, answer))
		return false;
	header = raw_has_key(answer, "HeaderDigest=CRC32C");
	data = raw_has_key(answer, "DataDigest=CRC32C");
	for (int i = 0; i < 5 && get_be16(answer->bhs + LOGIN_STATUS) == 0 &&
			!(answer->bhs[1] & ISCSI_LOGIN_TRANSIT);
	     i++) {
		raw_pdu_free(answer);
		if (!raw_login_step(r, ISCSI_LOGIN_TRANSIT | 1 << 2 | 3, NULL, answer))
			return false;
	}
	r->header_digest = header;
	r->data_digest = data;
	return get_be16(answer->bhs + LOGIN_STATUS) == 0;
}

bool raw_open(struct raw *r, unsigned n)
{
	struct pdu answer = {0};
	char name[64];
	bool ok;

	snprintf(name, sizeof(name), "iqn.2026-11.local.test:client%u", n);
	ok = raw_connect(r) && raw_login(r, name, NULL, &answer);
	raw_pdu_free(&answer);
	return ok;
}

bool raw_has_key(const struct pdu *p, const char *key)
{
	for (size_t at = 0; at < p->len; at += strlen((const char *)p->data + at) + 1)
		if (strcmp((const char *)p->data + at, key) == 0)
			return true;
	return false;
}

bool raw_send_data(struct raw *r, const struct pdu *r2t, const uint8_t *out, size_t out_len)
{
	uint32_t at = get_be32(r2t->bhs + R2T_OFFSET), left = get_be32(r2t->bhs + R2T_LENGTH);
	uint32_t sn = 0;

	if ((uint64_t)at + left > out_len)
		return false;
	while (left) {
		uint32_t n = MIN(left, 8192u); /* every target takes the default length */
		struct buf b = {0};
		uint8_t *h = raw_put(&b, ISCSI_DATA_OUT, n == left ? ISCSI_FINAL : 0, out + at, n);

		memcpy(h + PDU_LUN, r2t->bhs + PDU_LUN, 8);
		memcpy(h + PDU_ITT, r2t->bhs + PDU_ITT, 4);
		memcpy(h + PDU_TTT, r2t->bhs + PDU_TTT, 4);
		put_be32(h + PDU_EXPSTATSN, r->expstatsn);
		put_be32(h + DATA_SN, sn++);
		put_be32(h + DATA_OFFSET, at);
		if (!raw_send(r, &b))
			return false;
		at += n;
		left -= n;
	}
	return true;
}

static int run_once(struct raw *r, const uint8_t *cdb, size_t cdb_len, const uint8_t *out,
		    size_t out_len, uint8_t *in, size_t in_len)
{
	uint8_t flags = (out_len ? ISCSI_CMD_WRITE : 0) | (in_len ? ISCSI_CMD_READ : 0);
	struct buf b = {0};
	struct pdu p;
	uint32_t itt;

	raw_put_command(r, &b, cdb, cdb_len, flags, (uint32_t)MAX(out_len, in_len), NULL, 0);
	itt = r->itt;
	if (!raw_send(r, &b))
		return -1;
	for (;;) {
		int status = -2;

		if (raw_recv(r, &p) != RAW_PDU)
			return -1;
		if (get_be32(p.bhs + PDU_ITT) != itt) {
			status = p.bhs[0] == ISCSI_REJECT ? -1 : -2;
		} else if (p.bhs[0] == ISCSI_R2T) {
			status = raw_send_data(r, &p, out, out_len) ? -2 : -1;
		} else if (p.bhs[0] == ISCSI_DATA_IN) {
			uint32_t at = get_be32(p.bhs + DATA_OFFSET);

			if ((uint64_t)at + p.len > in_len)
				status = -1;
			else
				memcpy(in + at, p.data, p.len);
			if (status == -2 && p.bhs[1] & ISCSI_DATA_IN_STATUS)
				status = p.bhs[RESP_STATUS];
		} else {
			status = p.bhs[0] == ISCSI_SCSI_RESPONSE ? p.bhs[RESP_STATUS] : -1;
			/* the sense key, behind the length of the sense data */
			if (status == 2 && p.len > 4 && (p.data[4] & 0xf) == 6)
				status = 256;
		}
		raw_pdu_free(&p);
		if (status != -2)
			return status;
	}
}

int raw_run(struct raw *r, const uint8_t *cdb, size_t cdb_len, const void *out, size_t out_len,
	    void *in, size_t in_len)
{
	int status = 256;

	for (int i = 0; i < 5 && status == 256; i++)
		status = run_once(r, cdb, cdb_len, out, out_len, in, in_len);
	return status == 256 ? 2 : status;
}

bool raw_ping(struct raw *r)
{
	static const char data[] = "is anybody there?";
	struct buf b = {0};
	uint8_t *h = raw_put_next(r, &b, ISCSI_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FINAL, data,
				  sizeof(data));
	uint32_t itt = r->itt;

	put_be32(h + PDU_TTT, ISCSI_NO_TAG);
	if (!raw_send(r, &b))
		return false;
	for (;;) {
		struct pdu p;
		bool ours, same;

		if (raw_recv(r, &p) != RAW_PDU)
			return false;
		ours = p.bhs[0] == ISCSI_NOP_IN && get_be32(p.bhs + PDU_ITT) == itt;
		same = ours && p.len == sizeof(data) && memcmp(p.data, data, sizeof(data)) == 0;
		raw_pdu_free(&p);
		if (ours)
			return same;
	}
}

bool raw_answer_ping(struct raw *r, const struct pdu *nop)
{
	struct buf b = {0};
	uint8_t *h = raw_put_next(r, &b, ISCSI_NOP_OUT | ISCSI_IMMEDIATE, ISCSI_FINAL, NULL, 0);

	put_be32(h + PDU_ITT, ISCSI_NO_TAG);
	memcpy(h + PDU_TTT, nop->bhs + PDU_TTT, 4);
	memcpy(h + PDU_LUN, nop->bhs + PDU_LUN, 8);
	return raw_send(r, &b);
}

bool raw_logout(struct raw *r)
{
	struct buf b = {0};
	struct pdu p;
	bool done = false;

	raw_put_next(r, &b, ISCSI_LOGOUT_REQUEST | ISCSI_IMMEDIATE, ISCSI_FINAL, NULL, 0);
	if (!raw_send(r, &b))
		return false;
	while (!done && raw_recv(r, &p) == RAW_PDU) {
		done = p.bhs[0] == ISCSI_LOGOUT_RESPONSE && p.bhs[2] == 0;
		raw_pdu_free(&p);
	}
	return done && raw_drain(r);
}
