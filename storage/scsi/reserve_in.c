/* SPDX-License-Identifier: BSD-2-Clause */
/* PERSISTENT RESERVE IN (SPC-4, 6.15). */
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "storage/scsi/limits.h"
#include "storage/scsi/pr_state.h"
#include "storage/scsi/scsi.h"

#define HEADER	 8 /* PRGENERATION, ADDITIONAL LENGTH */
#define FULL_MAX (24 + 4 + PORT_NAME_SIZE + 3)

enum { READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS };

static uint32_t read_keys(const struct pr_state *s, uint8_t *p)
{
	for (unsigned i = 0; i < s->n; i++)
		put_be64(p + 8 * i, s->reg[i].key);
	return 8 * s->n;
}

static uint32_t read_reservation(const struct pr_state *s, uint8_t *p)
{
	if (s->type == PR_NONE)
		return 0;
	if (!pr_type_all(s->type)) /* all registrants: the key is 0 */
		put_be64(p, s->reg[s->holder].key);
	p[13] = (uint8_t)s->type; /* scope 0: the logical unit */
	return 16;
}

/* An iSCSI TransportID that names a port: at least 20 bytes of name, in fours (7.6.4.6). */
static uint32_t put_transport_id(uint8_t *p, const char *initiator)
{
	size_t n = strlen(initiator);
	uint32_t len = MAX((uint32_t)(n + 1 + 3) & ~3u, 20u);
	memset(p, 0, 4 + len);
	p[0] = 0x45;
	put_be16(p + 2, (uint16_t)len);
	memcpy(p + 4, initiator, n);
	return 4 + len;
}

static uint32_t read_full_status(const struct pr_state *s, uint8_t *p)
{
	uint32_t len = 0;
	for (unsigned i = 0; i < s->n; i++) {
		const struct registration *reg = &s->reg[i];
		uint8_t *d = p + len;
		uint32_t id = put_transport_id(d + 24, reg->initiator);
		put_be64(d, reg->key);
		d[12] = reg->all_ports ? 0x02 : 0;
		if (pr_holds(s, (int)i)) {
			d[12] |= 0x01;
			d[13] = (uint8_t)s->type;
		}
		put_be16(d + 18, reg->target_port);
		put_be32(d + 20, id);
		len += 24 + id;
	}
	return len;
}

static uint32_t report_capabilities(const struct reservations *r, uint8_t *p)
{
	put_be16(p, 8);
	p[2] = 0x08 | 0x04; /* SIP_C, ATP_C */
	if (r->path)
		p[2] |= 0x01; /* PTPL_C */
	p[3] = 0x80;	      /* TMV; of other commands nothing is said */
	if (r->now.aptpl)
		p[3] |= 0x01; /* PTPL_A */
	p[4] = 0xea;	      /* every type but exclusive access, all registrants... */
	p[5] = 0x01;	      /* ... which is here */
	return 8;
}

void scsi_pr_in(struct scsi_cmd *cmd)
{
	const struct reservations *r = cmd->lun->reservations;
	const struct pr_state *s = &r->now;
	uint32_t alloc = get_be16(cmd->cdb + 7), len = 0;
	uint8_t *p = calloc(1, HEADER + MAX(s->n, 1u) * FULL_MAX);

	if (!p) {
		scsi_status(cmd, SCSI_BUSY);
		return;
	}
	put_be32(p, s->generation);
	switch (cmd->cdb[1] & 0x1f) {
	case READ_KEYS: len = read_keys(s, p + HEADER); break;
	case READ_RESERVATION: len = read_reservation(s, p + HEADER); break;
	case READ_FULL_STATUS: len = read_full_status(s, p + HEADER); break;
	case REPORT_CAPABILITIES:
		memset(p, 0, HEADER);
		scsi_reply(cmd, p, report_capabilities(r, p), alloc);
		free(p);
		return;
	}
	put_be32(p + 4, len);
	scsi_reply(cmd, p, HEADER + len, alloc);
	free(p);
}
