/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/save_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/loop.h"
#include "xen/copy/codec_pace.h"
#include "xen/host.h"
#include "xen/copy/pagecodec.h"

#define LIBXC_PAGE_DATA 1u
#define STOLEN_NS	(250 * MS_NS) /* how often it is looked what guests take of the CPU */
#define KEEP_NS		(100 * MS_NS) /* how long small records wait for more of them */
#define PAGE_BROKEN	0xdu	      /* as types of pages */
#define PAGE_NOT_THERE	0xfu
#define LOOK_EVERY	64 /* records of holes, until it is looked whether that is still wanted */
#define CACHE_LEAST	(256u << 10) /* less of it is none */
#define DOMAIN_HEADER	16u
#define DOMAIN_HVM	2u
#define IOV_PFNS	3
#define IOV_PAGES	4 /* before: type, length, count, pfns; each of the others is a page */

int __real_write_exact(int fd, const void *data, size_t size);
int __wrap_write_exact(int fd, const void *data, size_t size);
int __real_writev_exact(int fd, const struct iovec *iov, int n);
int __wrap_writev_exact(int fd, const struct iovec *iov, int n);

static struct {
	struct page_encoder *encoder; /* NULL: the plain stream */
	struct codec_pace pace;
	int fd, pipe_size;
	bool hvm; /* or PVH: as the stream's domain header says */
	unsigned needless;
	uint64_t written_at, left_out, cache_bytes;
	struct save_pages_filter filter; /* look is NULL: none */
	void (*sent)(int fd, const struct save_pages_batch *b);
} out;

/* Before a write: is there so much in the pipe that the link must be what it waits for? */
static bool pipe_full(void)
{
	int waiting = 0;

	return out.pipe_size > 0 && ioctl(out.fd, FIONREAD, &waiting) == 0 &&
	       waiting > out.pipe_size / 2;
}

static int write_out(void *arg, const void *p, size_t n)
{
	bool full = pipe_full();
	uint64_t began = clock_ns();
	int rc = __real_write_exact(out.fd, p, n);

	(void)arg;
	out.written_at = clock_ns();
	codec_pace_written(&out.pace, n, out.written_at - began, full);
	return rc;
}

static int level(void *arg)
{
	(void)arg;
	return codec_pace_level(&out.pace);
}

static void coded(void *arg, int l, size_t in, size_t n, uint64_t began, uint64_t ended)
{
	uint64_t now = clock_ns();

	(void)arg;
	if (out.pace.shared && now - out.pace.stolen_at >= STOLEN_NS)
		codec_pace_stolen(&out.pace, now, host_stolen_ns());
	codec_pace_coded(&out.pace, now, ended, l, in, n, ended - began);
}

static const struct page_encoder_ops ops = {.write = write_out, .level = level, .coded = coded};

/* The decoder takes the cache's size from the stream. */
static void start_encoder(uint64_t cache_bytes, void (*say)(const char *text))
{
	uint64_t bytes = cache_bytes;
	char text[128];

	while (!(out.encoder = page_encoder_new(bytes, &ops, NULL)) && bytes)
		bytes = bytes / 2 < CACHE_LEAST ? 0 : bytes / 2;
	out.cache_bytes = bytes;
	if (!out.encoder) {
		say("no memory for compressing: its pages are sent as they are");
	} else if (bytes < cache_bytes) {
		snprintf(text, sizeof(text),
			 "no memory for a delta cache of %" PRIu64 " KiB: it gets %" PRIu64 " KiB",
			 cache_bytes >> 10, bytes >> 10);
		say(text);
	}
}

void save_pages_start(int fd, const struct compression_plan *plan,
		      void (*sent)(int fd, const struct save_pages_batch *b),
		      void (*say)(const char *text))
{
	page_encoder_free(out.encoder);
	out.encoder = NULL;
	out.filter = (struct save_pages_filter){0};
	out.sent = sent;
	out.left_out = 0;
	out.hvm = false;
	out.needless = 0;
	out.written_at = clock_ns(); /* nothing waits yet */
	out.cache_bytes = 0;
	out.fd = fd;
	out.pipe_size = fcntl(fd, F_GETPIPE_SZ);
	if (!plan->on)
		return;
	codec_pace_init(&out.pace, plan->level, (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
	start_encoder(plan->cache_bytes, say);
}

void save_pages_filter(const struct save_pages_filter *f)
{
	out.filter = f && out.encoder ? *f : (struct save_pages_filter){0};
}

bool save_pages_report(struct compression_report *r)
{
	const struct page_encoder_stats *s;

	if (!out.encoder)
		return false;
	s = page_encoder_stats(out.encoder);
	*r = (struct compression_report){
		.zero = s->pages[PAGE_ZERO],
		.whole = s->pages[PAGE_WHOLE],
		.delta = s->pages[PAGE_DELTA],
		.same = s->pages[PAGE_SAME],
		.left_out = out.left_out,
		.bytes_in = s->bytes_in,
		.bytes_out = s->bytes_out,
		.pack_ns = s->pack_ns,
		.level = codec_pace_now(&out.pace),
		.cache_bytes = out.cache_bytes,
	};
	return true;
}

int save_pages_flush(void)
{
	codec_pace_pause(&out.pace);
	return out.encoder ? page_encoder_flush(out.encoder) : 0;
}

/* On SIGTERM libxl's own helper puts a descriptor that cannot be written in the stream's place. */
bool save_pages_called_off(void)
{
	return (fcntl(out.fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
}

/* As write_batch() in Xen's xg_sr_save.c lays a PAGE_DATA record out. */
static bool is_page_data(const struct iovec *iov, int n)
{
	uint32_t type, count;

	if (n < IOV_PAGES || iov[0].iov_len != 4 || iov[1].iov_len != 4 || iov[2].iov_len != 8)
		return false;
	memcpy(&type, iov[0].iov_base, 4);
	memcpy(&count, iov[2].iov_base, 4);
	if (type != LIBXC_PAGE_DATA || !count || count > PAGECODEC_PFNS_MAX ||
	    iov[IOV_PFNS].iov_len != count * sizeof(uint64_t) || n > IOV_PAGES + (int)count)
		return false;
	for (int i = IOV_PAGES; i < n; i++)
		if (iov[i].iov_len != PAGECODEC_PAGE)
			return false;
	return true;
}

/*
 * A hole means nothing to the restore of a PVH or HVM guest (xg_sr_restore.c, process_page_data()):
 * not there, it is not populated, and its type is not kept. Such a guest has up to 4 GB of them, a
 * thousand records that the other host would be busy with when the guest is suspended.
 */
static bool all_holes(const uint64_t *pfns, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (pfns[i] >> 60 != PAGE_BROKEN && pfns[i] >> 60 != PAGE_NOT_THERE)
			return false;
	return true;
}

/* A PAGE_DATA record, without what the filter leaves out. -EINVAL: not one for the encoder. */
static int encode(const struct iovec *iov, int n, struct save_pages_batch *b)
{
	const struct iovec *page = iov + IOV_PAGES, *end = iov + n;
	const uint64_t *all = iov[IOV_PFNS].iov_base;
	uint32_t count = (uint32_t)(iov[IOV_PFNS].iov_len / sizeof(*all)), contents = 0, left = 0;
	uint64_t pfn[PAGECODEC_PFNS_MAX], before = page_encoder_stats(out.encoder)->bytes_out;
	const void *pages[PAGECODEC_PFNS_MAX];
	bool filtered = out.filter.look && page < end &&
			out.filter.look(out.filter.arg, pagecodec_pfn(all[count - 1]) + 1);
	int rc;

	for (uint32_t i = 0; i < count; i++) {
		bool has = pagecodec_has_contents(all[i]);

		if (has && page == end)
			return -EINVAL;
		pfn[i] = all[i];
		if (has && filtered && out.filter.written(out.filter.arg, pagecodec_pfn(all[i]))) {
			pfn[i] = pagecodec_pfn(all[i]) | PAGECODEC_ALLOCATE;
			page++;
			left++;
		} else if (has) {
			pages[contents++] = page++->iov_base;
		}
	}
	if (page != end)
		return -EINVAL;
	rc = page_encoder_record(out.encoder, pfn, count, pages, contents);
	*b = (struct save_pages_batch){
		.pfns = count,
		.pages = contents,
		.left_out = left,
		.bytes = page_encoder_stats(out.encoder)->bytes_out - before,
	};
	out.left_out += b->left_out;
	return rc;
}

/* A record that is not sent, with the encoder or without. */
static bool needless(const struct iovec *iov, int n)
{
	return out.hvm && n == IOV_PAGES &&
	       all_holes(iov[IOV_PFNS].iov_base,
			 (uint32_t)(iov[IOV_PFNS].iov_len / sizeof(uint64_t)));
}

static int write_plain(const struct iovec *iov, int n, struct save_pages_batch *b)
{
	*b = (struct save_pages_batch){.pfns = iov[IOV_PFNS].iov_len / sizeof(uint64_t),
				       .pages = (uint64_t)(n - IOV_PAGES)};
	for (int i = 0; i < n; i++)
		b->bytes += iov[i].iov_len;
	return __real_writev_exact(out.fd, iov, n);
}

static int send_pages(const struct iovec *iov, int n)
{
	struct save_pages_batch b = {.pfns = iov[IOV_PFNS].iov_len / sizeof(uint64_t)};
	int rc = -EINVAL;

	if (needless(iov, n)) {
		/* Only a write tells that libxl has called it off, and of these there are many. */
		if (out.needless++ % LOOK_EVERY == 0 && save_pages_called_off()) {
			errno = EBADF;
			return -1;
		}
		rc = 0;
	} else if (out.encoder) {
		rc = encode(iov, n, &b);
	}
	if (rc == -EINVAL)
		rc = save_pages_flush() ? -1 : write_plain(iov, n, &b);
	/* As above. */
	else if (rc == 0 && out.encoder && clock_ns() - out.written_at > KEEP_NS)
		rc = page_encoder_flush(out.encoder);
	if (rc == 0)
		out.sent(out.fd, &b);
	return rc;
}

int __wrap_writev_exact(int fd, const struct iovec *iov, int n)
{
	if (!out.sent || fd != out.fd)
		return __real_writev_exact(fd, iov, n);
	if (is_page_data(iov, n))
		return send_pages(iov, n);
	return save_pages_flush() ? -1 : __real_writev_exact(fd, iov, n);
}

int __wrap_write_exact(int fd, const void *data, size_t size)
{
	uint32_t type;

	if (out.sent && fd == out.fd && save_pages_flush())
		return -1;
	if (out.sent && fd == out.fd && size == DOMAIN_HEADER) {
		memcpy(&type, data, sizeof(type));
		out.hvm = type == DOMAIN_HVM;
	}
	return __real_write_exact(fd, data, size);
}
