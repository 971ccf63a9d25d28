/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/compression.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "xen/host.h"
#include "xen/message.h"
#include "xen/copy/pagecodec.h"

#define MIB (1u << 20)

int compression_parse(const char *text, struct compression *c)
{
	c->off = false;
	c->level = 0;
	if (strcmp(text, "auto") == 0)
		return 0;
	if (strcmp(text, "off") == 0) {
		c->off = true;
		return 0;
	}
	if (text[0] < '1' || text[0] > '0' + PAGECODEC_LEVEL_MAX || text[1])
		return -EINVAL;
	c->level = text[0] - '0';
	return 0;
}

uint64_t compression_cache_max(void)
{
	return host_memory_free() / 2;
}

void compression_offer(struct buf *b, uint64_t cache_max)
{
	message_put(b, "codec", "%u", PAGECODEC_VERSION);
	message_put(b, "cache", "%" PRIu64, cache_max);
}

int compression_agree(const struct compression *c, uint64_t cache_max, uint64_t guest_bytes,
		      const uint8_t *hello, size_t n, struct compression_plan *plan, char *why,
		      size_t why_size)
{
	uint64_t codec, theirs;

	*plan = (struct compression_plan){0};
	if (c->off)
		return 0;
	if (message_get_u64(hello, n, "codec", &codec) || codec != PAGECODEC_VERSION ||
	    message_get_u64(hello, n, "cache", &theirs)) {
		if (!c->level && !c->cache_given)
			return 0;
		snprintf(why, why_size,
			 "the vstor there cannot take compressed pages: leave --compress and "
			 "--delta-cache out, or use the same version on both hosts");
		return -EOPNOTSUPP;
	}
	*plan = (struct compression_plan){.on = true, .level = c->level};
	if (!c->cache_given) {
		/* What is left of that half is for whatever else goes on meanwhile. */
		plan->cache_bytes = MIN(MIN(cache_max, theirs) / 2, guest_bytes);
		return 0;
	}
	plan->cache_bytes = MIN(c->cache_bytes, guest_bytes);
	if (plan->cache_bytes <= MIN(cache_max, theirs))
		return 0;
	snprintf(why, why_size,
		 "%s has memory for a delta cache of %" PRIu64 " MB at most: give a "
		 "smaller --delta-cache",
		 cache_max < theirs ? "this host" : "the host there", MIN(cache_max, theirs) / MIB);
	return -ENOMEM;
}

void compression_print(const struct compression_plan *plan, char *out, size_t size)
{
	if (plan->on)
		snprintf(out, size, "level=%d cache=%" PRIu64, plan->level, plan->cache_bytes);
	else
		snprintf(out, size, "off");
}

void compression_plan_parse(const char *text, struct compression_plan *plan)
{
	struct compression_plan p = {.on = true};

	*plan = (struct compression_plan){0};
	if (text && sscanf(text, "level=%d cache=%" SCNu64, &p.level, &p.cache_bytes) == 2 &&
	    p.level >= 0 && p.level <= PAGECODEC_LEVEL_MAX)
		*plan = p;
}

#define REPORT                                                                                     \
	"pages zero=%" PRIu64 " whole=%" PRIu64 " delta=%" PRIu64 " same=%" PRIu64                 \
	" left-out=%" PRIu64 " in=%" PRIu64 " out=%" PRIu64 " ns=%" PRIu64                         \
	" level=%d cache=%" PRIu64

void compression_report_print(const struct compression_report *r, char *out, size_t size)
{
	snprintf(out, size, REPORT, r->zero, r->whole, r->delta, r->same, r->left_out, r->bytes_in,
		 r->bytes_out, r->pack_ns, r->level, r->cache_bytes);
}

int compression_report_parse(const char *text, struct compression_report *r)
{
	struct compression_report p;

	if (sscanf(text, REPORT, &p.zero, &p.whole, &p.delta, &p.same, &p.left_out, &p.bytes_in,
		   &p.bytes_out, &p.pack_ns, &p.level, &p.cache_bytes) != 10)
		return -EINVAL;
	*r = p;
	return 0;
}
