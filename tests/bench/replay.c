/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests/bench/codec: a recorded migration stream, as libxc writes it in the save helper and
 * reads it in the restore helper, on this machine's real CPU.
 *
 *   replay plain FILE           the stream without what lies before it in the recording, to stdout
 *   replay encode FILE LEVEL    as the save helper sends it with --compress LEVEL (0: auto)
 *   replay decode [FILE]        what comes by stdin, as the restore helper reads it; with FILE it
 *                               must be that recording's stream, of a PVH guest
 *   replay send PORT            stdin to the one that connects to PORT; a line on fd 3 once it can
 *   replay receive ADDR PORT    from there to stdout
 *
 * Ends when the libxc part of the stream does. Pipes are as large as a migration's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/bytes.h"
#include "xen/copy/pagecodec.h"
#include "xen/copy/restore_pages.h"
#include "xen/copy/save_pages.h"

#define PIPE_BYTES   (1 << 20)
#define CACHE_BYTES  (64u << 20)
#define LIBXL_HEADER 24u /* and the record that opens libxc's part */
#define LIBXC_HEADER 40u
#define PAGE_DATA    1u
#define BROKEN	     0xdu /* types of pages without contents */
#define NOT_THERE    0xfu

int write_exact(int fd, const void *data, size_t size);
int writev_exact(int fd, const struct iovec *iov, int n);
int read_exact(int fd, void *data, size_t size);

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "replay: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* libxc's part of a recording, mapped. */
static const uint8_t *recording(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const uint8_t *p;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		die(path);
	p = memmem(p, (size_t)st.st_size, "LibxlFmt", 8);
	if (!p)
		die("no migration stream in it");
	return p + LIBXL_HEADER;
}

/* A header of libxc's, and how long the record is with it. */
static size_t record(const uint8_t *p, uint32_t *type)
{
	uint32_t length;

	memcpy(type, p, 4);
	memcpy(&length, p + 4, 4);
	return PAGECODEC_HEADER + pagecodec_padded(length);
}

static size_t stream_size(const uint8_t *p)
{
	size_t n = LIBXC_HEADER;
	uint32_t type;

	do {
		n += record(p + n, &type);
	} while (type);
	return n;
}

/* PAGE_DATA as write_batch() in Xen's xg_sr_save.c gives it to writev_exact(). */
static int write_batch(const uint8_t *p)
{
	static struct iovec iov[4 + PAGECODEC_PFNS_MAX];
	uint32_t length, count, n = 4;

	memcpy(&length, p + 4, 4);
	memcpy(&count, p + 8, 4);
	iov[0] = (struct iovec){(void *)p, 4};
	iov[1] = (struct iovec){(void *)(p + 4), 4};
	iov[2] = (struct iovec){(void *)(p + 8), 8};
	iov[3] = (struct iovec){(void *)(p + 16), count * 8};
	/* A page's address is a multiple of 8 here, not of 4096 as in the helper. */
	for (const uint8_t *q = p + 16 + 8 * count; q < p + 8 + length; q += PAGECODEC_PAGE)
		iov[n++] = (struct iovec){(void *)q, PAGECODEC_PAGE};
	return writev_exact(STDOUT_FILENO, iov, (int)n);
}

static void on_sent(int fd, const struct save_pages_batch *b)
{
	(void)fd, (void)b;
}

static void say(const char *text)
{
	fprintf(stderr, "replay: %s\n", text);
}

static int encode(const char *path, const char *level)
{
	const uint8_t *p = recording(path);
	struct compression_plan plan = {
		.on = true, .level = atoi(level), .cache_bytes = CACHE_BYTES};
	uint32_t type;

	save_pages_start(STDOUT_FILENO, &plan, on_sent, say);
	if (write_exact(STDOUT_FILENO, p, 24) || write_exact(STDOUT_FILENO, p + 24, 16))
		die("write");
	p += LIBXC_HEADER;
	do {
		size_t n = record(p, &type);

		if (type == PAGE_DATA ? write_batch(p) : write_exact(STDOUT_FILENO, p, n))
			die("write");
		p += n;
	} while (type);
	return 0;
}

static void complain(const char *text)
{
	fprintf(stderr, "replay: %s\n", text);
}

/* Reads n bytes as libxc does; they must be those at *want, unless that is NULL. */
static void take(uint8_t *to, size_t n, const uint8_t **want)
{
	if (read_exact(STDIN_FILENO, to, n))
		die("read");
	if (!*want)
		return;
	if (memcmp(to, *want, n)) {
		errno = EPROTO;
		die("not the stream that was sent");
	}
	*want += n;
}

/* Behind the records of holes, which are not sent of a PVH guest (xen/copy/save_pages.c). */
static const uint8_t *past_holes(const uint8_t *p)
{
	uint32_t type, count;
	uint64_t pfn;
	size_t n;

	for (n = record(p, &type); type == PAGE_DATA; p += n, n = record(p, &type)) {
		memcpy(&count, p + 8, 4);
		for (uint32_t i = 0; i < count; i++) {
			memcpy(&pfn, p + 16 + 8 * (size_t)i, 8);
			if (pfn >> 60 != BROKEN && pfn >> 60 != NOT_THERE)
				return p;
		}
	}
	return p;
}

static int decode(const char *path)
{
	const uint8_t *want = path ? recording(path) : NULL;
	static uint8_t body[128 << 20];
	uint8_t header[24];
	uint32_t type;

	restore_pages_start(STDIN_FILENO, complain);
	take(header, 24, &want);
	take(header, 16, &want);
	do {
		if (want)
			want = past_holes(want);
		take(header, PAGECODEC_HEADER, &want);
		take(body, record(header, &type) - PAGECODEC_HEADER, &want);
	} while (type);
	return 0;
}

static int plain(const char *path)
{
	const uint8_t *p = recording(path);

	return write_exact(STDOUT_FILENO, p, stream_size(p)) ? 1 : 0;
}

/* ---- the link ---- */

static int pass(int from, int to)
{
	static uint8_t buf[256 << 10];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		for (ssize_t done = 0, k; done < n; done += k) {
			k = write(to, buf + done, (size_t)(n - done));
			if (k < 0)
				die("write");
		}
	return n < 0;
}

static int send_to(const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int one = 1, l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), s;

	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(l, (struct sockaddr *)&a, sizeof(a)) || listen(l, 1))
		die("listen");
	if (write(3, "\n", 1) != 1)
		die("fd 3");
	s = accept(l, NULL, NULL);
	if (s < 0)
		die("accept");
	return pass(STDIN_FILENO, s);
}

static int receive(const char *address, const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (inet_pton(AF_INET, address, &a.sin_addr) != 1 ||
	    connect(s, (struct sockaddr *)&a, sizeof(a)))
		die("connect");
	return pass(s, STDOUT_FILENO);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	fcntl(STDIN_FILENO, F_SETPIPE_SZ, PIPE_BYTES);
	fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE_BYTES);
	if (argc == 3 && !strcmp(what, "plain"))
		return plain(argv[2]);
	if (argc == 4 && !strcmp(what, "encode"))
		return encode(argv[2], argv[3]);
	if (argc <= 3 && !strcmp(what, "decode"))
		return decode(argv[2]);
	if (argc == 3 && !strcmp(what, "send"))
		return send_to(argv[2]);
	if (argc == 4 && !strcmp(what, "receive"))
		return receive(argv[2], argv[3]);
	fprintf(stderr, "replay: see tests/bench/replay.c\n");
	return 2;
}
