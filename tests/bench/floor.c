/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an iSCSI target has to cost at least, to measure real ones by: the same PDUs, a pread or a
 * pwrite for each command, a receive for as many PDUs as have come, a send for as many as are
 * ready. No SCSI, no errors to the initiator, no second thread, and no justice: it stays with one
 * connection as long as that has something to say, which makes its latencies uneven. With digests
 * when it is asked for both of them: those of what it sends are made, those of what comes checked.
 *
 * usage: floor PORT FILE: LUN 0 of whatever name, 512-byte blocks, on the loopback address.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "net/iscsi/pdu.h"

#define BLOCK	 512
#define SEGMENT	 (256u << 10) /* the longest data segment of a PDU, either way */
#define WINDOW	 256	      /* commands that may be under way on a connection */
#define RX_SIZE	 (1u << 20)   /* received at once; a whole PDU always fits */
#define TX_SIZE	 (2u << 20)   /* answered at once: headers and what has been read */
#define READ_MAX (1u << 20)   /* the longest READ */

struct write {
	uint32_t at, total; /* `at` bytes of it have come; total 0: unused */
	uint64_t offset;    /* in the file */
};

struct conn {
	int fd;
	uint32_t expcmdsn, statsn;
	uint8_t *rx, *tx;
	size_t rx_pos, rx_len;
	size_t tx_pos, tx_len;
	bool digests;
	uint8_t *open; /* a response whose digests are not there yet, with so much data */
	uint32_t open_len;
	struct write writes[WINDOW];
};

static int epoll, file;
static uint64_t file_size;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint32_t head_size(const struct conn *c)
{
	return ISCSI_BHS + (c->digests ? 4 : 0);
}

static uint32_t pdu_size(const struct conn *c, uint32_t n)
{
	return head_size(c) + iscsi_pad(n) + (c->digests && n ? 4 : 0);
}

/* The digests of the last response, which is complete by now. */
static void seal(struct conn *c)
{
	uint8_t *data = c->open + head_size(c);
	uint32_t crc, n = iscsi_pad(c->open_len);

	if (c->open && c->digests) {
		crc = crc32c(0, c->open, ISCSI_BHS);
		memcpy(c->open + ISCSI_BHS, &crc, 4);
		crc = crc32c(0, data, n);
		memcpy(data + n, &crc, n ? 4 : 0);
	}
	c->open = NULL;
}

static bool digests_right(const uint8_t *h, const uint8_t *data, uint32_t n)
{
	uint32_t head = crc32c(0, h, ISCSI_BHS), crc = crc32c(0, data, iscsi_pad(n));

	return memcmp(&head, h + ISCSI_BHS, 4) == 0 &&
	       (!n || memcmp(&crc, data + iscsi_pad(n), 4) == 0);
}

/* A response's header and room for n bytes of data behind it. */
static uint8_t *answer(struct conn *c, uint8_t opcode, uint8_t flags, const uint8_t *request,
		       uint32_t n)
{
	uint8_t *h = c->tx + c->tx_len;

	seal(c);
	c->open = h;
	c->open_len = n;
	c->tx_len += pdu_size(c, n);
	memset(h, 0, ISCSI_BHS);
	h[0] = opcode;
	h[1] = flags;
	put_be24(h + PDU_DATA_LEN, n);
	memcpy(h + PDU_ITT, request + PDU_ITT, 4);
	put_be32(h + PDU_EXPCMDSN, c->expcmdsn);
	put_be32(h + PDU_MAXCMDSN, c->expcmdsn + WINDOW - 1);
	return h;
}

static void status(struct conn *c, const uint8_t *request)
{
	put_be32(answer(c, ISCSI_SCSI_RESPONSE, ISCSI_FINAL, request, 0) + PDU_STATSN, c->statsn++);
}

/* Data-In up to the command's end; the last one brings the status. */
static void read_command(struct conn *c, const uint8_t *request, uint64_t offset, uint32_t len)
{
	for (uint32_t at = 0, sn = 0, n; at < len; at += n) {
		uint8_t *h;

		n = MIN(len - at, SEGMENT);
		h = answer(c, ISCSI_DATA_IN, 0, request, n);
		put_be32(h + PDU_TTT, ISCSI_NO_TAG);
		put_be32(h + DATA_SN, sn++);
		put_be32(h + DATA_OFFSET, at);
		if (pread(file, h + head_size(c), n, (off_t)(offset + at)) != (ssize_t)n)
			die("pread");
		if (at + n == len) {
			h[1] = ISCSI_FINAL | ISCSI_DATA_IN_STATUS;
			put_be32(h + PDU_STATSN, c->statsn++);
		}
	}
}

/* n more bytes of a write, which end what was asked for when `final`. */
static void write_data(struct conn *c, const uint8_t *request, struct write *w, const uint8_t *data,
		       uint32_t n, bool final)
{
	if (n && pwrite(file, data, n, (off_t)(w->offset + w->at)) != (ssize_t)n)
		die("pwrite");
	w->at += n;
	if (w->at >= w->total) {
		w->total = 0;
		status(c, request);
	} else if (final) {
		uint8_t *h = answer(c, ISCSI_R2T, ISCSI_FINAL, request, 0);
		memcpy(h + PDU_LUN, request + PDU_LUN, 8);
		put_be32(h + PDU_TTT, (uint32_t)(w - c->writes));
		put_be32(h + PDU_STATSN, c->statsn);
		put_be32(h + R2T_OFFSET, w->at);
		put_be32(h + R2T_LENGTH, w->total - w->at);
	}
}

static bool command(struct conn *c, const uint8_t *request, const uint8_t *data, uint32_t n)
{
	const uint8_t *cdb = request + CMD_CDB;
	uint64_t offset = (uint64_t)get_be32(cdb + 2) * BLOCK;
	uint32_t len = (uint32_t)get_be16(cdb + 7) * BLOCK;
	struct write *w = c->writes;
	uint8_t *h;

	c->expcmdsn++;
	switch (cdb[0]) {
	case 0x28: /* READ(10) */
		if (len > READ_MAX || offset + len > file_size)
			return false;
		read_command(c, request, offset, len);
		return true;
	case 0x2a: /* WRITE(10) */
		while (w < c->writes + WINDOW && w->total)
			w++;
		if (w == c->writes + WINDOW || offset + len > file_size || n > len)
			return false;
		*w = (struct write){0, len, offset};
		write_data(c, request, w, data, n, request[1] & ISCSI_FINAL);
		return true;
	case 0x25: /* READ CAPACITY(10) */
		h = answer(c, ISCSI_DATA_IN, ISCSI_FINAL | ISCSI_DATA_IN_STATUS, request, 8);
		put_be32(h + PDU_TTT, ISCSI_NO_TAG);
		put_be32(h + PDU_STATSN, c->statsn++);
		put_be32(h + head_size(c), (uint32_t)(file_size / BLOCK - 1));
		put_be32(h + head_size(c) + 4, BLOCK);
		return true;
	default: status(c, request); return true;
	}
}

static bool data_out(struct conn *c, const uint8_t *request, const uint8_t *data, uint32_t n)
{
	uint32_t tag = get_be32(request + PDU_TTT);
	struct write *w = &c->writes[tag % WINDOW];

	if (tag >= WINDOW || !w->total || get_be32(request + DATA_OFFSET) != w->at ||
	    n > w->total - w->at)
		return false;
	write_data(c, request, w, data, n, request[1] & ISCSI_FINAL);
	return true;
}

/* To full feature in one step, whoever it is. */
static void login(struct conn *c, const uint8_t *request, const uint8_t *text, uint32_t len)
{
	static const char none[] = "HeaderDigest=None\0DataDigest=None",
			  both[] = "HeaderDigest=CRC32C\0DataDigest=CRC32C",
			  keys[] = "TargetPortalGroupTag=1\0"
				   "InitialR2T=Yes\0ImmediateData=Yes\0"
				   "MaxRecvDataSegmentLength=262144\0FirstBurstLength=262144\0"
				   "MaxBurstLength=16776192";
	bool digests = memmem(text, len, both, sizeof(both));
	const char *chosen = digests ? both : none;
	uint32_t n = digests ? sizeof(both) : sizeof(none);
	uint8_t *h;

	c->expcmdsn = get_be32(request + PDU_CMDSN);
	h = answer(c, ISCSI_LOGIN_RESPONSE, request[1], request, n + sizeof(keys));
	memcpy(h + LOGIN_ISID, request + LOGIN_ISID, 6);
	put_be16(h + LOGIN_TSIH, 1);
	put_be32(h + PDU_STATSN, c->statsn++);
	memcpy(h + ISCSI_BHS, chosen, n);
	memcpy(h + ISCSI_BHS + n, keys, sizeof(keys));
	c->open = NULL;
	c->digests = digests; /* from the next PDU on */
}

static bool handle(struct conn *c, const uint8_t *h, const uint8_t *data, uint32_t n)
{
	switch (h[0] & ISCSI_OPCODE_MASK) {
	case ISCSI_SCSI_COMMAND: return command(c, h, data, n);
	case ISCSI_DATA_OUT: return data_out(c, h, data, n);
	case ISCSI_LOGIN_REQUEST: login(c, h, data, n); return true;
	default: return false;
	}
}

/* Answers what has come whole, as far as the answers have room. False: the peer is not for us. */
static bool answer_all(struct conn *c)
{
	while (c->rx_len - c->rx_pos >= ISCSI_BHS &&
	       c->tx_len + READ_MAX + READ_MAX / SEGMENT * (ISCSI_BHS + 8) <= TX_SIZE) {
		const uint8_t *h = c->rx + c->rx_pos, *data = h + head_size(c);
		uint32_t n = get_be24(h + PDU_DATA_LEN);

		if (n > SEGMENT || h[PDU_AHS_LEN])
			return false;
		if (c->rx_len - c->rx_pos < pdu_size(c, n))
			break;
		c->rx_pos += pdu_size(c, n);
		if ((c->digests && !digests_right(h, data, n)) || !handle(c, h, data, n))
			return false;
	}
	seal(c);
	if (c->rx_pos == c->rx_len) {
		c->rx_pos = c->rx_len = 0;
	} else if (c->rx_pos && RX_SIZE - c->rx_len < pdu_size(c, SEGMENT)) {
		memmove(c->rx, c->rx + c->rx_pos, c->rx_len - c->rx_pos);
		c->rx_len -= c->rx_pos;
		c->rx_pos = 0;
	}
	return true;
}

/* Until the socket neither gives nor takes any more. False: the connection has ended. */
static bool serve(struct conn *c)
{
	for (;;) {
		ssize_t n;

		if (!answer_all(c))
			return false;
		if (c->tx_len) {
			n = send(c->fd, c->tx + c->tx_pos, c->tx_len - c->tx_pos,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
			if (n < 0)
				return errno == EAGAIN;
			c->tx_pos += (size_t)n;
			if (c->tx_pos < c->tx_len)
				continue;
			c->tx_pos = c->tx_len = 0;
			if (c->rx_pos < c->rx_len)
				continue; /* there may be more to answer now */
		}
		n = recv(c->fd, c->rx + c->rx_len, RX_SIZE - c->rx_len, MSG_DONTWAIT);
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		c->rx_len += (size_t)n;
	}
}

static void accept_one(int listener)
{
	struct epoll_event e = {.events = EPOLLIN};
	struct conn *c = calloc(1, sizeof(*c));
	int one = 1;

	if (!c || !(c->rx = malloc(RX_SIZE)) || !(c->tx = malloc(TX_SIZE)))
		die("memory");
	c->fd = accept(listener, NULL, NULL);
	e.data.ptr = c;
	if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e))
		die("a connection");
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct epoll_event e[64];
	struct stat st;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (argc != 3) {
		fprintf(stderr, "usage: floor PORT FILE\n");
		return 2;
	}
	file = open(argv[2], O_RDWR);
	if (file < 0 || fstat(file, &st))
		die(argv[2]);
	file_size = (uint64_t)st.st_size;
	a.sin_port = htons((uint16_t)atoi(argv[1]));
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 64))
		die("the port");
	epoll = epoll_create1(0);
	e[0] = (struct epoll_event){.events = EPOLLIN};
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e[0]);
	for (;;) {
		int n = epoll_wait(epoll, e, ARRAY_SIZE(e), -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = e[i].data.ptr;

			if (!c) {
				accept_one(listener);
			} else if (!serve(c)) {
				close(c->fd);
				free(c->rx);
				free(c->tx);
				free(c);
			} else if ((e[i].events & EPOLLOUT) != (c->tx_len ? EPOLLOUT : 0)) {
				e[i].events = c->tx_len ? EPOLLOUT : EPOLLIN;
				epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e[i]);
			}
		}
	}
}
