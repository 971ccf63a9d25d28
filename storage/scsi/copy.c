/* SPDX-License-Identifier: BSD-2-Clause */
/* EXTENDED COPY(LID1) and what it tells afterwards (SPC-4, 6.16 to 6.18, 6.27 and 6.28). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"
#include "storage/scsi/limits.h"
#include "storage/scsi/pr_state.h"
#include "storage/scsi/scsi.h"

#define STEP (1u << 20)

#define HEADER	    16
#define TARGET_SIZE 32
#define LUNS_MAX    256

#define CONCURRENT_COPIES 255 /* all that RECEIVE COPY OPERATING PARAMETERS can say */
#define GRANULARITY	  0   /* of segments: 2^0 bytes */

/* descriptor types */
enum { BLOCK_TO_BLOCK = 0x02, BLOCK_TO_BLOCK_OFFSET = 0x0a, IDENTIFICATION = 0xe4 };

/* LIST ID USAGE */
enum { HOLD = 0, DISCARD = 2, NO_LIST_ID = 3 };

struct segment {
	struct lun *from, *to;
	uint64_t src, dst, len; /* bytes */
};

/* cmd->state while it runs */
struct copy {
	uint8_t list_id;
	bool listed; /* the nexus may ask how it goes... */
	bool hold;   /* ... and how it ended */
	unsigned targets, segments, joined;
	struct lun_nexus *target[LIMIT_COPY_TARGETS]; /* NULL: cannot be reached */
	struct lun *join[LIMIT_COPY_TARGETS];	      /* other LUNs that take part */
	struct segment segment[LIMIT_COPY_SEGMENTS];
	struct copy_status status;
};

/* ---- doing it ---- */

/* One step. Where the source has no data, neither needs a thin destination. */
static int copy_step(const struct segment *s, uint8_t *b, uint64_t at, size_t n)
{
	bool mapped = true;
	uint64_t run;
	int rc;

	if (s->to->thin) {
		rc = disk_map(s->from->disk, s->src + at, &mapped, &run);
		if (rc)
			return rc;
		if (!mapped && run >= n)
			return disk_discard(s->to->disk, s->dst + at, n);
	}
	rc = disk_read(s->from->disk, b, n, s->src + at, NULL);
	return rc ? rc : disk_write(s->to->disk, b, n, s->dst + at, false, NULL);
}

/* From the end where the start of the destination is the source of what comes later. */
static int copy_segment(const struct scsi_cmd *cmd, const struct segment *s, uint8_t *b)
{
	bool backward = s->from == s->to && s->dst > s->src && s->dst - s->src < s->len;
	uint64_t left = s->len;
	int rc = 0;

	while (left && rc == 0) {
		size_t n = (size_t)MIN(left, (uint64_t)STEP);
		if (__atomic_load_n(&cmd->aborted, __ATOMIC_RELAXED))
			return -ECANCELED;
		rc = copy_step(s, b, backward ? left - n : s->len - left, n);
		left -= n;
	}
	return rc;
}

static int copy_work(struct disk_io *io)
{
	const struct scsi_cmd *cmd = container_of(io, struct scsi_cmd, io);
	struct copy *c = cmd->state;
	uint8_t *b = malloc(STEP);
	int rc = b ? 0 : -ENOMEM;

	for (unsigned i = 0; i < c->segments && rc == 0; i++) {
		rc = copy_segment(cmd, &c->segment[i], b);
		if (rc == 0) {
			c->status.segments++;
			c->status.bytes += c->segment[i].len;
		}
	}
	free(b);
	return rc;
}

static struct copy_status *find_status(struct lun_nexus *n, uint8_t list_id)
{
	for (unsigned i = 0; i < LIMIT_COPY_STATUSES; i++)
		if (n->copies[i].state != COPY_NONE && n->copies[i].list_id == list_id)
			return &n->copies[i];
	return NULL;
}

static void part(struct copy *c)
{
	while (c->joined)
		scsi_part(c->join[--c->joined]);
}

static void copy_done(struct disk_io *io)
{
	struct scsi_cmd *cmd = container_of(io, struct scsi_cmd, io);
	struct copy *c = cmd->state;
	struct copy_status *kept = c->listed ? find_status(cmd->nexus, c->list_id) : NULL;

	c->status.state = !c->hold ? COPY_NONE : io->rc ? COPY_FAILED : COPY_DONE;
	if (kept)
		*kept = c->status;
	part(c);
	if (io->rc == -ECANCELED) {
		scsi_status(cmd, SCSI_TASK_ABORTED);
		return;
	}
	if (io->rc)
		log_error("%s: copy of segment %u: %s", disk_path(cmd->lun->disk),
			  c->status.segments, strerror(-io->rc));
	if (io->rc)
		scsi_check(cmd, SENSE_COPY_ABORTED, ASC_NONE);
	else
		scsi_good(cmd);
}

/* The newest first; the oldest makes room. */
static void start_status(struct lun_nexus *n, const struct copy *c)
{
	struct copy_status *old = find_status(n, c->list_id);
	if (!old) {
		old = &n->copies[LIMIT_COPY_STATUSES - 1];
		memmove(n->copies + 1, n->copies, (size_t)((char *)old - (char *)n->copies));
		old = n->copies;
	}
	*old = c->status;
}

/* Other LUNs must not run a command that is to be alone meanwhile. */
static bool join_others(struct scsi_cmd *cmd, struct copy *c)
{
	for (unsigned i = 0; i < c->targets; i++) {
		struct lun *l = c->target[i] ? c->target[i]->lun : cmd->lun;
		bool known = l == cmd->lun;
		for (unsigned j = 0; j < c->joined && !known; j++)
			known = c->join[j] == l;
		if (known)
			continue;
		if (!scsi_join(l)) {
			part(c);
			return false;
		}
		c->join[c->joined++] = l;
	}
	return true;
}

static void start(struct scsi_cmd *cmd)
{
	struct copy *c = cmd->state;
	if (!join_others(cmd, c)) {
		scsi_status(cmd, SCSI_BUSY);
		return;
	}
	c->status = (struct copy_status){.state = COPY_RUNNING, .list_id = c->list_id};
	if (c->listed)
		start_status(cmd->nexus, c);
	cmd->io = (struct disk_io){
		.op = DISK_CALL, .disk = cmd->lun->disk, .call = copy_work, .done = copy_done};
	if (disk_submit(cmd->engine, &cmd->io))
		copy_done(&cmd->io);
}

/* ---- reading the parameter list; a function that returns false has ended the command ---- */

static bool refuse(struct scsi_cmd *cmd, uint16_t asc)
{
	scsi_check(cmd, SENSE_ILLEGAL_REQUEST, asc);
	return false;
}

static bool abort_copy(struct scsi_cmd *cmd, uint16_t asc)
{
	scsi_check(cmd, SENSE_COPY_ABORTED, asc);
	return false;
}

static bool bad_param(struct scsi_cmd *cmd, unsigned byte)
{
	scsi_invalid_param(cmd, byte, -1);
	return false;
}

/* The logical unit that a designation descriptor names (NAA is what page 83h offers for it). */
static struct lun_nexus *find_target(struct scsi_cmd *cmd, const uint8_t *d)
{
	unsigned numbers[LUNS_MAX], n;

	if ((d[0] & 0x0f) != 1 || (d[1] & 0x3f) != 3 || d[3] != sizeof(cmd->lun->id.naa))
		return NULL;
	if (memcmp(d + 4, cmd->lun->id.naa, sizeof(cmd->lun->id.naa)) == 0)
		return cmd->nexus;
	if (!cmd->transport->find_nexus)
		return NULL;
	n = cmd->transport->list_luns(cmd, numbers, LUNS_MAX);
	n = MIN(n, LUNS_MAX);
	for (unsigned i = 0; i < n; i++) {
		struct lun_nexus *x = cmd->transport->find_nexus(cmd, numbers[i]);
		if (x && x->lun && memcmp(d + 4, x->lun->id.naa, sizeof(x->lun->id.naa)) == 0)
			return x;
	}
	return NULL;
}

static bool read_targets(struct scsi_cmd *cmd, struct copy *c, const uint8_t *p, uint32_t len)
{
	if (len % TARGET_SIZE)
		return bad_param(cmd, 2);
	if (len / TARGET_SIZE > LIMIT_COPY_TARGETS)
		return refuse(cmd, ASC_TOO_MANY_TARGET_DESCRIPTORS);
	for (uint32_t at = 0; at < len; at += TARGET_SIZE) {
		const uint8_t *d = p + at;
		struct lun_nexus *n;
		if (d[0] != IDENTIFICATION || d[1] & 0x1f) /* a block device */
			return refuse(cmd, ASC_UNSUPPORTED_TARGET_DESCRIPTOR);
		n = find_target(cmd, d + 4);
		if (n && get_be24(d + 29) && get_be24(d + 29) != n->lun->block_size)
			return bad_param(cmd, HEADER + at + 29);
		c->target[c->targets++] = n;
	}
	return true;
}

/* Is it there, ready, and may this nexus use it? 0, or the code to abort with. */
static int target_refuses(const struct lun_nexus *n, bool write)
{
	if (!n)
		return ASC_COPY_TARGET_NOT_REACHABLE;
	if (n->lun->ejected || n->lun->sanitize || n->lun->sanitize_failed)
		return ASC_UNREACHABLE_COPY_TARGET;
	if (write && scsi_write_protected(n->lun))
		return ASC_WRITE_PROTECTED;
	return reservations_permit(n, write ? OP_CONFLICT_WRITE : OP_CONFLICT_READ)
		       ? 0
		       : ASC_UNREACHABLE_COPY_TARGET;
}

static bool inside(const struct lun *l, uint64_t off, uint64_t len)
{
	uint64_t size = l->blocks << l->block_shift;
	return off <= size && len <= size - off;
}

/* Bytes from a block address; beyond what 64 bits hold lies beyond every medium. */
static uint64_t bytes_at(const struct lun *l, const uint8_t *lba)
{
	uint64_t n = get_be64(lba);
	return n > l->blocks ? UINT64_MAX : n << l->block_shift;
}

/* SPC-4, 6.16.6.3 and 6.16.6.8 */
static bool read_segment(struct scsi_cmd *cmd, struct copy *c, const uint8_t *d, unsigned at)
{
	unsigned src = get_be16(d + 4), dst = get_be16(d + 6);
	struct segment *s = &c->segment[c->segments];
	int asc;

	if (src >= c->targets || dst >= c->targets)
		return abort_copy(cmd, ASC_UNREACHABLE_COPY_TARGET);
	asc = target_refuses(c->target[src], false);
	if (asc == 0)
		asc = target_refuses(c->target[dst], true);
	if (asc)
		return abort_copy(cmd, (uint16_t)asc);
	s->from = c->target[src]->lun;
	s->to = c->target[dst]->lun;
	s->src = bytes_at(s->from, d + 12);
	s->dst = bytes_at(s->to, d + 20);
	if (d[0] == BLOCK_TO_BLOCK) { /* DC: counted in blocks of the destination */
		s->len = (uint64_t)get_be16(d + 10)
			 << (d[1] & 0x02 ? s->to->block_shift : s->from->block_shift);
	} else {
		if (get_be16(d + 28) >= s->from->block_size)
			return bad_param(cmd, at + 28);
		if (get_be16(d + 30) >= s->to->block_size)
			return bad_param(cmd, at + 30);
		s->len = get_be32(d + 8);
		if (s->src != UINT64_MAX)
			s->src += get_be16(d + 28);
		if (s->dst != UINT64_MAX)
			s->dst += get_be16(d + 30);
	}
	if (s->len > LIMIT_COPY_SEGMENT_BYTES)
		return bad_param(cmd, at + (d[0] == BLOCK_TO_BLOCK ? 10 : 8));
	if (!inside(s->from, s->src, s->len) || !inside(s->to, s->dst, s->len))
		return abort_copy(cmd, ASC_NONE);
	c->segments++;
	return true;
}

static bool read_segments(struct scsi_cmd *cmd, struct copy *c, const uint8_t *p, uint32_t len,
			  unsigned first)
{
	unsigned n = 0;
	for (uint32_t at = 0; at < len; at += 4u + get_be16(p + at + 2), n++)
		if (len - at < 4 || len - at < 4u + get_be16(p + at + 2))
			return refuse(cmd, ASC_PARAMETER_LIST_LENGTH);
	if (n > LIMIT_COPY_SEGMENTS)
		return refuse(cmd, ASC_TOO_MANY_SEGMENT_DESCRIPTORS);
	for (uint32_t at = 0; at < len; at += 4u + get_be16(p + at + 2)) {
		const uint8_t *d = p + at;
		unsigned size = d[0] == BLOCK_TO_BLOCK ? 0x18 : 0x1c;
		if (d[0] != BLOCK_TO_BLOCK && d[0] != BLOCK_TO_BLOCK_OFFSET)
			return refuse(cmd, ASC_UNSUPPORTED_SEGMENT_DESCRIPTOR);
		if (get_be16(d + 2) != size)
			return bad_param(cmd, first + at + 2);
		if (!read_segment(cmd, c, d, first + at))
			return false;
	}
	return true;
}

static bool read_header(struct scsi_cmd *cmd, struct copy *c, const uint8_t *p)
{
	unsigned usage = p[1] >> 3 & 3;
	struct copy_status *old = find_status(cmd->nexus, p[0]);

	c->list_id = p[0];
	c->hold = usage == HOLD;
	c->listed = usage == HOLD || usage == DISCARD;
	if (usage == 1)
		return bad_param(cmd, 1);
	if (usage == NO_LIST_ID && p[0])
		return bad_param(cmd, 0);
	if (c->listed && old && old->state == COPY_RUNNING)
		return refuse(cmd, ASC_OPERATION_IN_PROGRESS);
	if (get_be32(p + 12)) /* inline data: for tapes */
		return bad_param(cmd, 12);
	return true;
}

void scsi_extended_copy(struct scsi_cmd *cmd)
{
	uint32_t len = get_be32(cmd->cdb + 10);
	uint64_t targets, segments;
	const uint8_t *p;

	cmd->transfer_len = len;
	if (len == 0) {
		scsi_good(cmd);
		return;
	}
	p = scsi_param(cmd, MAX(len, HEADER));
	if (!p)
		return;
	targets = get_be16(p + 2);
	segments = get_be32(p + 8);
	if (targets + segments > LIMIT_COPY_LIST_BYTES || HEADER + targets + segments > len) {
		refuse(cmd, ASC_PARAMETER_LIST_LENGTH);
		return;
	}
	cmd->state = calloc(1, sizeof(struct copy));
	if (!cmd->state)
		scsi_status(cmd, SCSI_BUSY);
	else if (read_header(cmd, cmd->state, p) &&
		 read_targets(cmd, cmd->state, p + HEADER, (uint32_t)targets) &&
		 read_segments(cmd, cmd->state, p + HEADER + targets, (uint32_t)segments,
			       HEADER + (unsigned)targets))
		start(cmd);
}

/* ---- RECEIVE COPY RESULTS ---- */

static void copy_status(struct scsi_cmd *cmd, uint32_t alloc)
{
	struct copy_status *s = find_status(cmd->nexus, cmd->cdb[2]);
	uint8_t p[12] = {0};

	if (!s) {
		scsi_invalid_cdb(cmd, 2, -1);
		return;
	}
	put_be32(p, sizeof(p) - 4);
	p[4] = s->state == COPY_RUNNING ? 0 : s->state == COPY_DONE ? 1 : 2;
	put_be16(p + 5, s->segments);
	put_be32(p + 8, (uint32_t)s->bytes); /* unit 0: bytes */
	if (s->state != COPY_RUNNING)	     /* told once */
		s->state = COPY_NONE;
	scsi_reply(cmd, p, sizeof(p), alloc);
}

static void operating_parameters(struct scsi_cmd *cmd, uint32_t alloc)
{
	static const uint8_t types[] = {BLOCK_TO_BLOCK, BLOCK_TO_BLOCK_OFFSET, IDENTIFICATION};
	uint8_t p[44 + sizeof(types)] = {0};

	put_be32(p, sizeof(p) - 4);
	p[4] = 0x01; /* SNLID: copies without a list identifier */
	put_be16(p + 8, LIMIT_COPY_TARGETS);
	put_be16(p + 10, LIMIT_COPY_SEGMENTS);
	put_be32(p + 12, LIMIT_COPY_LIST_BYTES);
	put_be32(p + 16, LIMIT_COPY_SEGMENT_BYTES);
	put_be16(p + 34, CONCURRENT_COPIES);
	p[36] = CONCURRENT_COPIES;
	p[37] = GRANULARITY;
	p[43] = sizeof(types);
	memcpy(p + 44, types, sizeof(types));
	scsi_reply(cmd, p, sizeof(p), alloc);
}

/* A descriptor of the Third-party Copy page: its parameters are filled up to a multiple of 4. */
static unsigned put_page_descriptor(uint8_t *p, uint16_t type, const void *data, unsigned n)
{
	unsigned len = (n + 3) & ~3u;
	memset(p, 0, 4 + len);
	put_be16(p, type);
	put_be16(p + 2, (uint16_t)len);
	memcpy(p + 4, data, n);
	return 4 + len;
}

unsigned copy_vpd_page(const struct lun *l, uint8_t *p)
{
	/* length of the list; operation code, how many service actions, which */
	static const uint8_t commands[] = {7, 0x83, 1, 0x00, 0x84, 2, 0x00, 0x03};
	static const uint8_t types[] = {3, BLOCK_TO_BLOCK, BLOCK_TO_BLOCK_OFFSET, IDENTIFICATION};
	static const uint8_t ids[2] = {0}; /* no identifiers of targets without descriptor */
	uint8_t parameters[28] = {0}, general[32] = {0};
	unsigned n = put_page_descriptor(p, 0x0001, commands, sizeof(commands));

	(void)l;
	put_be16(parameters + 4, LIMIT_COPY_TARGETS);
	put_be16(parameters + 6, LIMIT_COPY_SEGMENTS);
	put_be32(parameters + 8, LIMIT_COPY_LIST_BYTES);
	n += put_page_descriptor(p + n, 0x0004, parameters, sizeof(parameters));
	n += put_page_descriptor(p + n, 0x0008, types, sizeof(types));
	n += put_page_descriptor(p + n, 0x000c, ids, sizeof(ids));
	put_be32(general, CONCURRENT_COPIES);
	put_be32(general + 4, CONCURRENT_COPIES);
	put_be32(general + 8, LIMIT_COPY_SEGMENT_BYTES);
	general[12] = GRANULARITY;
	return n + put_page_descriptor(p + n, 0x8001, general, sizeof(general));
}

void scsi_receive_copy_results(struct scsi_cmd *cmd)
{
	uint32_t alloc = get_be32(cmd->cdb + 10);
	if ((cmd->cdb[1] & 0x1f) == 0)
		copy_status(cmd, alloc);
	else
		operating_parameters(cmd, alloc);
}
