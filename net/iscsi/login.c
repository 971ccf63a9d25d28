/* SPDX-License-Identifier: BSD-2-Clause */
/* The target's login phase (RFC 7143, sections 6 and 11.12, 11.13). */
#include "net/iscsi/phase.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "net/iscsi/login_chap.h"

#define TARGET_MAX_BURST 1048576u
#define FIRST_BURST	 65536u
#define FIRST_BURST_FEW	 262144u /* while there are few connections */

/* What a login gathers; gone when the full feature phase begins. */
struct login {
	struct iscsi_params offer;
	struct login_chap chap;
	struct buf text;  /* requests that continue */
	struct buf reply; /* not sent yet */
	bool started, declared, discovery;
	bool first_burst; /* has been agreed on */
	uint32_t seen;	  /* keys negotiated: see text_repeated() */
	uint8_t stage;
	uint32_t itt;
	uint16_t tsih; /* of the session that it wants to go on with; 0: a new one */
	char target[ISCSI_NAME + 1], type[16];
};

static struct log_limit refused = {.burst = 5, .period_ns = 10 * SEC_NS};

int login_begin(struct conn *c)
{
	struct login *l = calloc(1, sizeof(*l));
	if (!l)
		return -1;
	iscsi_params_default(&l->offer, TARGET_MAX_RECV);
	l->offer.initial_r2t = false;
	l->offer.max_burst = TARGET_MAX_BURST;
	l->offer.first_burst = c->server->conns_n < FEW_CONNS ? FIRST_BURST_FEW : FIRST_BURST;
	l->offer.time2wait = 0;
	l->offer.time2retain = 0; /* tasks are not kept for a lost connection */
	l->offer.header_digest = l->offer.data_digest = true;
	iscsi_params_default(&c->params, TARGET_MAX_RECV);
	c->params.time2retain = 0;
	c->login = l;
	return 0;
}

void login_end(struct conn *c)
{
	if (!c->login)
		return;
	buf_free(&c->login->text);
	buf_free(&c->login->reply);
	free(c->login);
	c->login = NULL;
}

/* The response to bhs with what l->reply holds. */
static void respond(struct conn *c, const uint8_t *bhs, uint8_t flags, uint16_t status)
{
	struct login *l = c->login;
	uint32_t len = status ? 0 : (uint32_t)l->reply.len;
	uint8_t *data, *r = conn_pdu(c, ISCSI_LOGIN_RESPONSE, len, &data);
	if (!r)
		return;
	r[1] = flags;
	r[LOGIN_VERSION_MAX] = 0;
	r[LOGIN_VERSION_ACTIVE] = 0;
	memcpy(r + LOGIN_ISID, bhs + LOGIN_ISID, 6);
	put_be16(r + LOGIN_TSIH, c->tsih ? c->tsih : get_be16(bhs + LOGIN_TSIH));
	memcpy(r + PDU_ITT, bhs + PDU_ITT, 4);
	put_be16(r + LOGIN_STATUS, status);
	if (len)
		memcpy(data, l->reply.data, len);
	l->reply.len = 0;
	/* StatSN is meant for a status only, but each login response counts (11.13.4). */
	conn_send_pdu(c, r, len, true);
}

/* The wire's error first, then the log's (rate-limited: a peer can cause it), then the end. */
static void refuse(struct conn *c, const uint8_t *bhs, enum iscsi_login_status status,
		   const char *why)
{
	unsigned more;
	respond(c, bhs, 0, (uint16_t)status);
	if (log_allowed(&refused, &more)) {
		if (more)
			log_warn("%u more logins were refused", more);
		log_warn("%s: login refused: %s", conn_name(c), why);
	}
	if (c->state != CONN_CLOSED)
		conn_finish(c);
}

bool login_under_way(const struct conn *c)
{
	return c->state == CONN_LOGIN && c->login->started;
}

/* The first request names who and what. False: refused. */
static bool start(struct conn *c, const uint8_t *bhs)
{
	struct login *l = c->login;
	if (bhs[LOGIN_VERSION_ACTIVE] > 0) { /* Version-min: only version 0 exists */
		refuse(c, bhs, LOGIN_BAD_VERSION, "unknown protocol version");
		return false;
	}
	l->started = true;
	l->itt = get_be32(bhs + PDU_ITT);
	memcpy(c->isid, bhs + LOGIN_ISID, 6);
	c->cid = get_be16(bhs + LOGIN_CID);
	c->exp_cmd_sn = get_be32(bhs + PDU_CMDSN);
	c->max_cmd_sn = c->exp_cmd_sn;
	c->stat_sn = get_be32(bhs + PDU_EXPSTATSN);
	l->tsih = get_be16(bhs + LOGIN_TSIH);
	return true;
}

enum key_result { KEY_TAKEN, KEY_REFUSED };

/* Keys that tell who and what. libiscsi says them in each stage; another time they may not differ:
 * who and what have been found good. */
static enum key_result take_name(struct conn *c, const uint8_t *bhs, const struct text_pair *p)
{
	struct login *l = c->login;
	char *to;
	size_t size;
	if (text_is(p, "InitiatorName")) {
		to = c->initiator;
		size = sizeof(c->initiator);
	} else if (text_is(p, "TargetName")) {
		to = l->target;
		size = sizeof(l->target);
	} else if (text_is(p, "SessionType")) {
		to = l->type;
		size = sizeof(l->type);
	} else {
		return KEY_TAKEN; /* InitiatorAlias */
	}
	if (to[0] && (to == l->type ? strcmp : strcasecmp)(to, p->val)) {
		refuse(c, bhs, LOGIN_INITIATOR_ERROR, "it tells another name, target or type");
		return KEY_REFUSED;
	}
	if (to == c->initiator && !iscsi_name_valid(p->val)) {
		refuse(c, bhs, LOGIN_INITIATOR_ERROR, "bad InitiatorName");
		return KEY_REFUSED;
	}
	snprintf(to, size, "%s", p->val);
	l->discovery = strcmp(l->type, "Discovery") == 0;
	if (to == l->type && !l->discovery && strcmp(p->val, "Normal")) {
		refuse(c, bhs, LOGIN_BAD_SESSION_TYPE, "unknown SessionType");
		return KEY_REFUSED;
	}
	return KEY_TAKEN;
}

/* With a --chap-user CHAP is a must, without one there is nothing to check. */
static enum key_result choose_method(struct conn *c, const uint8_t *bhs, const char *offered)
{
	struct login *l = c->login;
	const char *method = c->server->config.credentials.user ? "CHAP" : "None";
	if (!text_list_has(offered, method)) {
		refuse(c, bhs, LOGIN_AUTH_FAILED,
		       c->server->config.credentials.user
			       ? "it does not offer CHAP"
			       : "it insists on an AuthMethod, and there is no --chap-user");
		return KEY_REFUSED;
	}
	text_put(&l->reply, "AuthMethod", "%s", method);
	if (c->server->config.credentials.user && l->chap.stage == LOGIN_CHAP_NONE)
		l->chap.stage = LOGIN_CHAP_CHOSEN;
	return KEY_TAKEN;
}

static enum key_result take_key(struct conn *c, const uint8_t *bhs, const struct text_pair *p)
{
	struct login *l = c->login;
	if (text_is(p, "AuthMethod"))
		return choose_method(c, bhs, p->val);
	if (l->stage == ISCSI_STAGE_SECURITY && login_chap_key(&l->chap, p))
		return KEY_TAKEN;
	if (text_repeated(&l->seen, p)) {
		refuse(c, bhs, LOGIN_INITIATOR_ERROR, "it negotiates a key twice");
		return KEY_REFUSED;
	}
	if (l->discovery && text_irrelevant(p))
		text_answer(&l->reply, p, "Irrelevant");
	else if (text_negotiate(&c->params, &l->offer, p, &l->reply) == TEXT_UNKNOWN)
		text_answer(&l->reply, p, text_known(p) ? "Reject" : "NotUnderstood");
	l->first_burst |= text_is(p, "FirstBurstLength");
	if (l->first_burst && c->params.first_burst > c->params.max_burst) {
		/* In an earlier request: it cannot be taken back. */
		refuse(c, bhs, LOGIN_INITIATOR_ERROR,
		       "its MaxBurstLength is below its FirstBurstLength");
		return KEY_REFUSED;
	}
	return KEY_TAKEN;
}

/* In which pass over a request's keys each is taken: who and what first, as all others may depend
 * on that; then what FirstBurstLength may not exceed. */
static unsigned pass_of(const struct text_pair *p)
{
	static const char *const names[] = {"InitiatorName", "TargetName", "SessionType",
					    "InitiatorAlias"};
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (text_is(p, names[i]))
			return 0;
	return text_is(p, "MaxBurstLength") ? 1 : 2;
}

static enum key_result take_keys(struct conn *c, const uint8_t *bhs)
{
	struct login *l = c->login;
	struct text_pair p;
	enum key_result k = KEY_TAKEN;
	int rc = 0;

	for (unsigned pass = 0; pass < 3 && rc == 0; pass++) {
		struct reader r = reader_of(l->text.data, l->text.len);
		while (k != KEY_REFUSED && (rc = text_next(&r, &p)) > 0)
			if (pass_of(&p) == pass)
				k = pass == 0 ? take_name(c, bhs, &p) : take_key(c, bhs, &p);
	}
	if (k != KEY_REFUSED && rc < 0) {
		refuse(c, bhs, LOGIN_INITIATOR_ERROR, "malformed text");
		k = KEY_REFUSED;
	}
	if (k != KEY_REFUSED)
		l->text.len = 0; /* its bytes stay until the next request */
	return k;
}

/* With a TSIH it names a session of the same initiator port (RFC 7143, 6.3.1). That has one
 * connection, which may come anew (6.3.4: the CID is the same), but no second one. */
static bool may_rejoin(struct conn *c, const uint8_t *bhs)
{
	const struct conn *o;
	if (!c->login->tsih)
		return true;
	o = session_find(c, c->login->tsih);
	if (!o)
		refuse(c, bhs, LOGIN_NO_SESSION, "there is no session of its TSIH");
	else if (o->cid != c->cid)
		refuse(c, bhs, LOGIN_TOO_MANY_CONNECTIONS, "its session has a connection");
	return o && o->cid == c->cid;
}

/* After the first request's keys: may this initiator have that target? */
static bool identify(struct conn *c, const uint8_t *bhs)
{
	struct login *l = c->login;
	if (!c->initiator[0]) {
		refuse(c, bhs, LOGIN_MISSING_PARAMETER, "no InitiatorName");
		return false;
	}
	snprintf(c->port_name, sizeof(c->port_name), "%s,i,0x%02x%02x%02x%02x%02x%02x",
		 c->initiator, c->isid[0], c->isid[1], c->isid[2], c->isid[3], c->isid[4],
		 c->isid[5]);
	if (!access_name(c->server->config.access, c->initiator)) {
		refuse(c, bhs, LOGIN_FORBIDDEN, "this initiator name is not in --allow");
		return false;
	}
	if (l->discovery)
		return may_rejoin(c, bhs);
	if (!l->target[0]) {
		refuse(c, bhs, LOGIN_MISSING_PARAMETER, "no TargetName");
		return false;
	}
	c->target = target_find(c->server, l->target);
	if (!c->target) {
		refuse(c, bhs, LOGIN_NOT_FOUND, "no such target");
		return false;
	}
	text_put(&l->reply, "TargetPortalGroupTag", "1");
	return may_rejoin(c, bhs);
}

/* The stage that follows, or the full feature phase. */
static void advance(struct conn *c, const uint8_t *bhs, uint8_t csg, uint8_t nsg)
{
	struct login *l = c->login;
	uint8_t flags = (uint8_t)(ISCSI_LOGIN_TRANSIT | csg << 2 | nsg);
	int rc;

	if (c->server->config.credentials.user && l->chap.stage == LOGIN_CHAP_NONE) {
		refuse(c, bhs, LOGIN_AUTH_FAILED, "it has not shown who it is (CHAP)");
		return;
	}
	/* Ready to go on, it says, but we are not yet (RFC 7143, 6.3). */
	if (c->server->config.credentials.user && l->chap.stage != LOGIN_CHAP_DONE) {
		respond(c, bhs, (uint8_t)(csg << 2), LOGIN_OK);
		return;
	}
	if (nsg != ISCSI_STAGE_FULL) {
		l->stage = nsg;
		respond(c, bhs, flags, LOGIN_OK);
		return;
	}
	rc = session_begin(c, l->tsih);
	if (rc) {
		refuse(c, bhs, rc == -ENOENT ? LOGIN_NO_SESSION : LOGIN_OUT_OF_RESOURCES,
		       rc == -ENOENT   ? "the session that it wants to go on with has ended"
		       : rc == -EUSERS ? "there are too many sessions, or too many from its host"
				       : "out of memory");
		return;
	}
	respond(c, bhs, flags, LOGIN_OK);
	if (c->state == CONN_CLOSED)
		return;
	/* From the next PDU on, in both directions (13.1). */
	c->header_digest = c->params.header_digest;
	c->data_digest = c->params.data_digest;
	c->state = CONN_FULL;
	loop_timer_del(c->loop, &c->timer);
	log_info("%s: logged in to %s", conn_name(c), c->target ? c->target->name : "discovery");
	login_end(c);
}

void login_pdu(struct conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len)
{
	struct login *l = c->login;
	uint8_t csg = ISCSI_LOGIN_CSG(bhs[1]), nsg = ISCSI_LOGIN_NSG(bhs[1]);
	bool transit = bhs[1] & ISCSI_LOGIN_TRANSIT, first = !l->started;
	const char *why;

	if ((bhs[0] & ISCSI_OPCODE_MASK) != ISCSI_LOGIN_REQUEST) {
		log_info("%s: PDU with opcode 0x%02x before login; dropped", conn_name(c),
			 bhs[0] & ISCSI_OPCODE_MASK);
		conn_close(c);
		return;
	}
	if (first && !start(c, bhs))
		return;
	if (first && csg == ISCSI_STAGE_OPERATIONAL && c->server->config.credentials.user) {
		refuse(c, bhs, LOGIN_AUTH_FAILED,
		       "it skips the security stage, and CHAP is asked for");
		return;
	}
	if (first)
		l->stage = csg;
	if (csg != l->stage || csg > ISCSI_STAGE_OPERATIONAL ||
	    (transit && (nsg <= csg || nsg == 2 || bhs[1] & ISCSI_LOGIN_CONTINUE)) ||
	    get_be32(bhs + PDU_ITT) != l->itt) {
		refuse(c, bhs, LOGIN_INVALID_REQUEST, "stages out of order");
		return;
	}
	if (l->text.len + len > TEXT_MAX) {
		refuse(c, bhs, LOGIN_INITIATOR_ERROR, "too much text");
		return;
	}
	buf_put(&l->text, data, len);
	if (l->text.failed) {
		refuse(c, bhs, LOGIN_OUT_OF_RESOURCES, "out of memory");
		return;
	}
	if (bhs[1] & ISCSI_LOGIN_CONTINUE) { /* the rest comes in the next request (6.1) */
		respond(c, bhs, (uint8_t)(csg << 2), LOGIN_OK);
		return;
	}
	if (take_keys(c, bhs) == KEY_REFUSED)
		return;
	if (!c->port_name[0] && !identify(c, bhs))
		return;
	why = login_chap_step(&l->chap, &c->server->config.credentials, &l->reply);
	if (why) {
		refuse(c, bhs, LOGIN_AUTH_FAILED, why);
		return;
	}
	if (csg == ISCSI_STAGE_OPERATIONAL && !l->declared) {
		text_put(&l->reply, "MaxRecvDataSegmentLength", "%u", TARGET_MAX_RECV);
		l->declared = true;
	}
	if (l->reply.failed || l->reply.len > 8192) { /* what an initiator must be able to take */
		refuse(c, bhs, LOGIN_INITIATOR_ERROR, "too many keys");
		return;
	}
	if (transit)
		advance(c, bhs, csg, nsg);
	else
		respond(c, bhs, (uint8_t)(csg << 2), LOGIN_OK);
}
