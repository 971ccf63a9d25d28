/* SPDX-License-Identifier: BSD-2-Clause */
/* Text requests of the full feature phase: SendTargets (RFC 7143, 4.3 and appendix C). */
#include "net/iscsi/phase.h"

#include <netinet/in.h>
#include <string.h>

#define TEXT_TTT 1u /* one exchange at a time: one tag is enough */

/* RFC 7143, 13.8. A scope is of this host only. */
static void put_address(struct buf *out, struct sock_addr a)
{
	char text[SOCK_TEXT_MAX];
	if (a.ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&a.ss)->sin6_scope_id = 0;
	text_put(out, "TargetAddress", "%s,1", sock_text(&a, text));
}

/* The portal that it came by, and others of which that says that it can reach them. */
static void put_addresses(struct conn *c, struct buf *out)
{
	struct sock_addr came_by, other;
	char text[SOCK_TEXT_MAX], other_text[SOCK_TEXT_MAX];
	if (sock_local(c->fd, &came_by))
		return;
	sock_text(&came_by, text);
	put_address(out, came_by);
	for (struct portal *p = c->server->portals; p; p = p->next)
		for (unsigned i = 0; i < p->listener.n; i++)
			if (sock_local(p->listener.s[i].watch.fd, &other) == 0 &&
			    sock_alike(&came_by, &other) &&
			    strcmp(sock_text(&other, other_text), text))
				put_address(out, other);
}

/* Appendix C. A discovery session asks for all, or for one by name, a normal one for its own only.
 * Who may not log in has not come as far as this. */
static void send_targets(struct conn *c, const struct text_pair *p, struct buf *out)
{
	bool all = strcmp(p->val, "All") == 0;
	if (c->target ? all : p->val[0] == '\0') {
		text_answer(out, p, "Reject");
		return;
	}
	for (struct target *t = c->server->targets; t; t = t->next) {
		bool named = strcasecmp(p->val, t->name) == 0;
		bool wanted = c->target ? t == c->target && (named || !p->val[0]) : all || named;
		if (!wanted || !t->luns_n)
			continue;
		text_put(out, "TargetName", "%s", t->name);
		put_addresses(c, out);
	}
}

/* The next part of text_out, at most what the initiator takes in one PDU. `last`: it has no more to
 * say, so that we may end the exchange (11.11.1). */
static void send_part(struct conn *c, uint32_t itt, bool last)
{
	uint32_t n = (uint32_t)MIN(c->text_out.len, (size_t)c->params.max_send);
	bool more = n < c->text_out.len;
	uint8_t *data, *r = conn_pdu(c, ISCSI_TEXT_RESPONSE, n, &data);
	if (!r)
		return;
	r[1] = more ? ISCSI_TEXT_CONTINUE : last ? ISCSI_FINAL : 0;
	put_be32(r + PDU_ITT, itt);
	put_be32(r + PDU_TTT, more || !last ? TEXT_TTT : ISCSI_NO_TAG);
	if (n)
		memcpy(data, c->text_out.data, n);
	buf_drop(&c->text_out, n);
	conn_send_pdu(c, r, n, true);
}

static void answer(struct conn *c, const struct text_pair *p)
{
	if (text_is(p, "SendTargets"))
		send_targets(c, p, &c->text_out);
	else if (text_is(p, "MaxRecvDataSegmentLength"))
		text_negotiate(&c->params, &c->params, p, &c->text_out);
	else if (!text_known(p))
		text_answer(&c->text_out, p, "NotUnderstood");
	else if (!text_is(p, "InitiatorAlias")) /* nothing else in the full feature phase */
		text_answer(&c->text_out, p, "Reject");
}

/* All pairs of text_in. False: they are not as they must be. */
static bool answer_all(struct conn *c)
{
	struct reader r = reader_of(c->text_in.data, c->text_in.len);
	struct text_pair p;
	uint32_t seen = 0;
	bool asked = false;
	int rc;
	while ((rc = text_next(&r, &p)) > 0) {
		bool ask = text_is(&p, "SendTargets");
		if (text_repeated(&seen, &p) || (ask && asked))
			return false;
		asked |= ask;
		answer(c, &p);
	}
	return rc == 0 && !c->text_out.failed && !c->text_in.failed;
}

void text_request(struct conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
	uint32_t itt = get_be32(bhs + PDU_ITT), ttt = get_be32(bhs + PDU_TTT);
	bool more = bhs[1] & ISCSI_TEXT_CONTINUE, last = bhs[1] & ISCSI_FINAL;

	if ((more && last) || (ttt != ISCSI_NO_TAG && ttt != TEXT_TTT)) {
		conn_reject(c, bhs, REJECT_PROTOCOL_ERROR);
		return;
	}
	if (ttt == ISCSI_NO_TAG) {
		c->text_in.len = c->text_out.len = 0;
	} else if (c->text_out.len) { /* asks for the rest of our answer */
		send_part(c, itt, last);
		return;
	}
	if (c->text_in.len + len > TEXT_MAX) {
		conn_warn(c, "too much text", "dropped");
		conn_finish(c);
		return;
	}
	buf_put(&c->text_in, data, len);
	if (!more && !answer_all(c)) {
		conn_reject(c, bhs, REJECT_PROTOCOL_ERROR);
		c->text_out.len = 0;
	} else {
		send_part(c, itt, last); /* nothing, while more is to come */
	}
	if (!more)
		c->text_in.len = 0;
}
