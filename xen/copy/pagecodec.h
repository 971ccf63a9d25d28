/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages of guest memory, made small for the wire. The save helper gives the encoder each PAGE_DATA
 * record of libxc's stream (Xen: docs/specs/libxc-migration-stream.pandoc); the restore helper gets
 * the very same record back from the decoder. Both are functions over memory: no Xen, no files.
 *
 * On the wire each is replaced by records of our own, framed like libxc's: u32 type, u32 length,
 * the body, padded to 8; integers little-endian, as in the rest of that stream.
 *
 * BEGIN, once, before all others: u32 version, u32 0, u64 bytes of the delta cache.
 *
 * PAGES, for each PAGE_DATA: u32 count of its pfns, u32 how many of them have contents, then the
 * pfns as runs of the same type: varint (length - 1) << 4 | type, varint of the distance of its
 * first pfn from the end of the run before (zigzag).
 *
 * BLOCK, then, until all that have contents are there: u32 pages in it, u32 bytes of the kinds, u32
 * bytes of data (PAGECODEC_STORED: not compressed), u32 CRC32C of the contents of pages that rest
 * on the cache; the kinds, as runs: varint (length - 1) << 2 | kind; the data: one Zstandard frame
 * (RFC 8878) with the pages of kinds WHOLE and DELTA, 4096 bytes each.
 *
 * A varint is LEB128: seven bits a byte, the lowest first, the top bit set in all but the last.
 */
#ifndef XEN_PAGECODEC_H
#define XEN_PAGECODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGECODEC_VERSION 1u
#define PAGECODEC_BEGIN	  0x76730001u
#define PAGECODEC_PAGES	  0x76730002u
#define PAGECODEC_BLOCK	  0x76730003u
#define PAGECODEC_HEADER  8u /* of each record: its type and length */

#define PAGECODEC_PAGE	     4096u
#define PAGECODEC_PFNS_MAX   1024u /* in a record of libxc's (xg_sr_common.h, MAX_BATCH_SIZE) */
#define PAGECODEC_BLOCK_MAX  32u   /* pages with data; more gain little and cost cache misses */
#define PAGECODEC_BODY_MAX   (PAGECODEC_BLOCK_MAX * PAGECODEC_PAGE + 8192u) /* of any record */
#define PAGECODEC_STORED     0x80000000u
#define PAGECODEC_LEVEL_MAX  9
#define PAGECODEC_LEVEL_MIN  (-50)
#define PAGECODEC_LEVEL_NONE (-1000) /* for page_encoder.level: do not compress */

enum page_kind {
	PAGE_ZERO,  /* all zeros */
	PAGE_WHOLE, /* as it is */
	PAGE_DELTA, /* XOR with what was sent last of this pfn */
	PAGE_SAME,  /* what was sent last */
};
#define PAGE_KINDS 4

static inline uint32_t pagecodec_padded(uint32_t length)
{
	return (length + 7) & ~7u;
}

/* ---- encoder ---- */

struct page_encoder_stats {
	uint64_t pages[PAGE_KINDS];
	uint64_t bytes_in;   /* of the PAGE_DATA records, as they would have been sent */
	uint64_t bytes_out;  /* of the records made of them */
	uint64_t packed_in;  /* of that, what went into the compressor ... */
	uint64_t packed_out; /* ... what came out of it ... */
	uint64_t pack_ns;    /* ... and the CPU time that it took */
};

struct page_encoder;

/*
 * write(arg) takes the records, in order; what it returns but 0 ends page_encoder_record() and
 * page_encoder_flush() with that. level(arg) says how each block is to be compressed:
 * 1 to PAGECODEC_LEVEL_MAX, 0 or below for speed, or PAGECODEC_LEVEL_NONE; coded(arg) hears how
 * that went, from `began` to `ended` by the CPU time of this process in ns.
 */
struct page_encoder_ops {
	int (*write)(void *arg, const void *p, size_t n);
	int (*level)(void *arg);
	void (*coded)(void *arg, int level, size_t in, size_t out, uint64_t began, uint64_t ended);
};

/* NULL: out of memory. */
struct page_encoder *page_encoder_new(uint64_t cache_bytes, const struct page_encoder_ops *ops,
				      void *arg);
void page_encoder_free(struct page_encoder *e);
/*
 * One PAGE_DATA: its pfns, their type in the top four bits as in the stream, and the contents of
 * those that have some, which may change while this looks at them. 0; -EINVAL, with nothing done,
 * when it is not one that can be encoded; or what write() has returned.
 */
int page_encoder_record(struct page_encoder *e, const uint64_t *pfns, uint32_t count,
			const void *const *pages, uint32_t n_pages);
/* Small records are kept back until there are more of them: writes them out now. */
int page_encoder_flush(struct page_encoder *e);
const struct page_encoder_stats *page_encoder_stats(const struct page_encoder *e);

/* A pfn of the stream without its type. */
static inline uint64_t pagecodec_pfn(uint64_t pfn)
{
	return pfn & ((1ull << 52) - 1);
}

/* True for pfns of the stream that are followed by contents. */
static inline bool pagecodec_has_contents(uint64_t pfn)
{
	return pfn >> 60 < 0xd; /* 0xd: broken, 0xe: see below, 0xf: not there */
}
/* The type of a page that is to be allocated, its contents follow later (XEN_DOMCTL_PFINFO_XALLOC):
 * only a superpage that is asked for whole becomes one (xen/copy/superpages.h). */
#define PAGECODEC_ALLOCATE (0xeull << 60)

/* ---- decoder ---- */

struct page_decoder;

struct page_decoder *page_decoder_new(void); /* NULL: out of memory */
void page_decoder_free(struct page_decoder *d);
/* The bodies of records, unpadded. All return 0, -EPROTO when it is damaged or out of order, or
 * -ENOMEM; after an error the decoder is of no use any more. */
int page_decoder_begin(struct page_decoder *d, const void *body, size_t n);
int page_decoder_pages(struct page_decoder *d, const void *body, size_t n);
/* After page_decoder_pages(): how long the body of PAGE_DATA is, always a multiple of 8. */
uint32_t page_decoder_length(const struct page_decoder *d);
/* Where to: page_decoder_length() bytes, the start of which is written now. */
void page_decoder_into(struct page_decoder *d, void *out);
/* True while blocks are still to come. */
bool page_decoder_wants(const struct page_decoder *d);
int page_decoder_block(struct page_decoder *d, const void *body, size_t n);

#endif
