/* SPDX-License-Identifier: BSD-2-Clause */
/* Text requests of the full feature phase: SendTargets (RFC 7143, 4.3 and appendix C). */
#include "net/iscsi/conn.h"

#include <string.h>

#include "core/log.h"

#define TEXT_TTT 1u /* one exchange at a time: one tag is enough */

static void put_addresses(struct conn *c, struct buf *out)
{
	char local[SOCK_TEXT_MAX];
	sock_local_text(c->fd, local);
	/* The portal it came by: that one it can reach for sure. */
	text_put(out, "TargetAddress", "%s,1", local);
	for (struct portal *p = c->server->portals; p; p = p->next)
		if (strcmp(p->text, local) && !p->wildcard)
			text_put(out, "TargetAddress", "%s,1", p->text);
}

static void send_targets(struct conn *c, const char *which, struct buf *out)
{
	for (struct target *t = c->server->targets; t; t = t->next) {
		bool wanted = strcmp(which, "All") == 0 ? !c->target
			      : which[0] == '\0'	? t == c->target
							: strcmp(which, t->name) == 0;
		if (!wanted || !t->luns_n)
			continue;
		text_put(out, "TargetName", "%s", t->name);
		put_addresses(c, out);
	}
}

/* The next part of text_out, at most what the initiator takes in one PDU. */
static void send_part(struct conn *c, uint32_t itt)
{
	uint32_t n = (uint32_t)MIN(c->text_out.len, (size_t)c->params.max_send);
	bool more = n < c->text_out.len;
	uint8_t *data, *r = conn_pdu(c, ISCSI_TEXT_RESPONSE, n, &data);
	if (!r)
		return;
	r[1] = more ? ISCSI_TEXT_CONTINUE : ISCSI_FINAL;
	put_be32(r + PDU_ITT, itt);
	put_be32(r + PDU_TTT, more ? TEXT_TTT : ISCSI_NO_TAG);
	if (n)
		memcpy(data, c->text_out.data, n);
	buf_drop(&c->text_out, n);
	conn_send_pdu(c, r, n, true);
}

static void answer(struct conn *c, const struct text_pair *p)
{
	if (text_is(p, "SendTargets"))
		send_targets(c, p->val, &c->text_out);
	else if (text_is(p, "MaxRecvDataSegmentLength"))
		text_negotiate(&c->params, &c->params, p, &c->text_out);
	else /* nothing else may change in the full feature phase */
		buf_printf(&c->text_out, "%.*s=Reject%c", (int)p->key_len, p->key, 0);
}

void text_request(struct conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
	uint32_t itt = get_be32(bhs + PDU_ITT), ttt = get_be32(bhs + PDU_TTT);
	struct text_pair pair;
	struct reader r;
	int rc;

	if (ttt != ISCSI_NO_TAG) { /* asks for the rest of our answer, or sends more of its text */
		if (ttt != TEXT_TTT) {
			conn_reject(c, bhs, REJECT_PROTOCOL_ERROR);
			return;
		}
		if (c->text_out.len) {
			send_part(c, itt);
			return;
		}
	} else {
		c->text_in.len = c->text_out.len = 0;
	}
	if (c->text_in.len + len > TEXT_MAX) {
		log_warn("%s: too much text; dropped", conn_name(c));
		conn_finish(c);
		return;
	}
	buf_put(&c->text_in, data, len);
	if (bhs[1] & ISCSI_TEXT_CONTINUE) { /* an empty answer lets it go on */
		uint8_t *p = conn_pdu(c, ISCSI_TEXT_RESPONSE, 0, NULL);
		if (!p)
			return;
		put_be32(p + PDU_ITT, itt);
		put_be32(p + PDU_TTT, TEXT_TTT);
		conn_send_pdu(c, p, 0, true);
		return;
	}
	r = reader_of(c->text_in.data, c->text_in.len);
	while ((rc = text_next(&r, &pair)) > 0)
		answer(c, &pair);
	c->text_in.len = 0;
	if (rc < 0 || c->text_out.failed || c->text_in.failed) {
		conn_reject(c, bhs, REJECT_PROTOCOL_ERROR);
		c->text_out.len = 0;
		return;
	}
	send_part(c, itt);
}
