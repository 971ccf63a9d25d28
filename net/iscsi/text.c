/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"
#include "net/iscsi/pdu.h"

#define KEY_MAX 63 /* RFC 7143, 6.1 */

int text_next(struct reader *r, struct text_pair *p)
{
	const char *s, *end, *eq;
	/* Some initiators end a segment with more than one NUL. */
	while (r->left && *r->p == 0)
		read_u8(r);
	if (!r->left)
		return 0;
	s = (const char *)r->p;
	end = memchr(s, 0, r->left);
	eq = end ? memchr(s, '=', (size_t)(end - s)) : NULL;
	if (!eq || eq == s || eq - s > KEY_MAX)
		return -EINVAL;
	*p = (struct text_pair){.key = s, .key_len = (size_t)(eq - s), .val = eq + 1};
	read_bytes(r, (size_t)(end - s) + 1);
	return 1;
}

bool text_is(const struct text_pair *p, const char *key)
{
	return strlen(key) == p->key_len && memcmp(key, p->key, p->key_len) == 0;
}

void text_put(struct buf *b, const char *key, const char *fmt, ...)
{
	char val[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(val, sizeof(val), fmt, ap);
	va_end(ap);
	buf_printf(b, "%s=%s", key, val);
	buf_put_u8(b, 0);
}

void iscsi_params_default(struct iscsi_params *p, uint32_t max_recv)
{
	*p = (struct iscsi_params){
		.initial_r2t = true,
		.immediate_data = true,
		.data_pdu_in_order = true,
		.data_sequence_in_order = true,
		.max_connections = 1,
		.max_burst = 262144,
		.first_burst = 65536,
		.max_outstanding_r2t = 1,
		.time2wait = 2,
		.time2retain = 20,
		.max_recv = max_recv,
		.max_send = 8192,
	};
}

enum rule {
	RULE_MIN,	  /* numbers: the smaller of both */
	RULE_MAX,	  /* numbers: the greater */
	RULE_OR,	  /* Yes when either says so */
	RULE_AND,	  /* Yes when both do */
	RULE_DECLARE,	  /* each side tells its own */
	RULE_DIGEST,	  /* a list in order of preference: CRC32C, None */
	RULE_REFUSE_BOOL, /* obsolete markers: always No (RFC 7143 appendix A) */
	RULE_IRRELEVANT,
	RULE_REPORTING, /* a list; here RFC3720, the default (13.23) */
	RULE_LEVEL,	/* a number; here 1, RFC 7143 (13.24) */
};

static const struct key {
	const char *name;
	enum rule rule;
	size_t field;
	uint32_t lo, hi;
	bool normal; /* irrelevant in a discovery session (section 13, key by key) */
} keys[] = {
#define F(f) offsetof(struct iscsi_params, f)
	{"HeaderDigest", RULE_DIGEST, F(header_digest), 0, 0, false},
	{"DataDigest", RULE_DIGEST, F(data_digest), 0, 0, false},
	{"MaxConnections", RULE_MIN, F(max_connections), 1, 65535, true},
	{"InitialR2T", RULE_OR, F(initial_r2t), 0, 0, true},
	{"ImmediateData", RULE_AND, F(immediate_data), 0, 0, true},
	{"MaxRecvDataSegmentLength", RULE_DECLARE, F(max_send), 512, 0xffffff, false},
	{"MaxBurstLength", RULE_MIN, F(max_burst), 512, 0xffffff, true},
	{"FirstBurstLength", RULE_MIN, F(first_burst), 512, 0xffffff, true},
	{"DefaultTime2Wait", RULE_MAX, F(time2wait), 0, 3600, false},
	{"DefaultTime2Retain", RULE_MIN, F(time2retain), 0, 3600, false},
	{"MaxOutstandingR2T", RULE_MIN, F(max_outstanding_r2t), 1, 65535, true},
	{"DataPDUInOrder", RULE_OR, F(data_pdu_in_order), 0, 0, true},
	{"DataSequenceInOrder", RULE_OR, F(data_sequence_in_order), 0, 0, true},
	{"ErrorRecoveryLevel", RULE_MIN, F(error_recovery_level), 0, 2, false},
	{"TaskReporting", RULE_REPORTING, 0, 0, 0, true},
	{"iSCSIProtocolLevel", RULE_LEVEL, 0, 0, 31, false},
	{"IFMarker", RULE_REFUSE_BOOL, 0, 0, 0, false},
	{"OFMarker", RULE_REFUSE_BOOL, 0, 0, 0, false},
	{"IFMarkInt", RULE_IRRELEVANT, 0, 0, 0, false},
	{"OFMarkInt", RULE_IRRELEVANT, 0, 0, 0, false},
#undef F
};

/* What else sections 12 and 13 define. */
static const char *const other_keys[] = {
	"AuthMethod",	 "CHAP_A",
	"CHAP_C",	 "CHAP_I",
	"CHAP_N",	 "CHAP_R",
	"InitiatorName", "InitiatorAlias",
	"SendTargets",	 "SessionType",
	"TargetAddress", "TargetAlias",
	"TargetName",	 "TargetPortalGroupTag",
};

static const struct key *find_key(const struct text_pair *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (text_is(p, keys[i].name))
			return &keys[i];
	return NULL;
}

bool text_known(const struct text_pair *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(other_keys); i++)
		if (text_is(p, other_keys[i]))
			return true;
	return find_key(p);
}

bool text_repeated(uint32_t *seen, const struct text_pair *p)
{
	const struct key *k = find_key(p);
	uint32_t bit = k ? 1u << (k - keys) : 0;
	bool repeated = *seen & bit;
	*seen |= bit;
	return repeated;
}

bool text_irrelevant(const struct text_pair *p)
{
	const struct key *k = find_key(p);
	return k && k->normal;
}

void text_answer(struct buf *b, const struct text_pair *p, const char *constant)
{
	buf_printf(b, "%.*s=%s", (int)p->key_len, p->key, constant);
	buf_put_u8(b, 0);
}

int text_number(const char *s, uint64_t max, uint64_t *out)
{
	unsigned base = 10;
	uint64_t v = 0;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		unsigned c = (unsigned char)*s | 0x20u;
		unsigned digit = c >= '0' && c <= '9'	? c - '0'
				 : c >= 'a' && c <= 'f' ? c - 'a' + 10
							: base;
		if (digit >= base || (unsigned char)*s < '0')
			return -EINVAL;
		if (v > (UINT64_MAX - digit) / base)
			return -ERANGE;
		v = v * base + digit;
	}
	*out = v;
	return v > max ? -ERANGE : 0;
}

static int parse_number(const char *s, const struct key *k, uint32_t *out)
{
	uint64_t v;
	int rc = text_number(s, k->hi, &v);
	if (rc == 0 && v < k->lo)
		rc = -ERANGE;
	if (rc == 0)
		*out = (uint32_t)v;
	return rc;
}

static int parse_bool(const char *s, bool *out)
{
	*out = strcmp(s, "Yes") == 0;
	return *out || strcmp(s, "No") == 0 ? 0 : -EINVAL;
}

bool text_list_has(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (;;) {
		size_t len = strcspn(list, ",");
		if (len == n && memcmp(list, word, n) == 0)
			return true;
		if (!list[len])
			return false;
		list += len + 1;
	}
}

/* Chooses from a list like "CRC32C,None": the first that we allow. */
static int choose_digest(const char *list, bool crc_allowed, bool *crc)
{
	while (*list) {
		size_t n = strcspn(list, ",");
		*crc = n == 6 && memcmp(list, "CRC32C", 6) == 0;
		if ((*crc && crc_allowed) || (n == 4 && memcmp(list, "None", 4) == 0))
			return 0;
		list += n + (list[n] == ',');
	}
	return -EINVAL;
}

static int negotiate_bool(const struct key *k, bool *mine, bool ours, const char *val,
			  bool responder)
{
	bool v;
	if (parse_bool(val, &v))
		return -EINVAL;
	if (responder)
		v = k->rule == RULE_OR ? v || ours : v && ours;
	else if (k->rule == RULE_OR ? ours && !v : !ours && v)
		return -ERANGE; /* the answer goes beyond what we offered */
	*mine = v;
	return 0;
}

static int negotiate_number(const struct key *k, uint32_t *mine, uint32_t ours, const char *val,
			    bool responder)
{
	uint32_t v;
	int rc = parse_number(val, k, &v);
	if (rc)
		return rc;
	if (k->rule == RULE_DECLARE)
		;
	else if (responder)
		v = k->rule == RULE_MIN ? MIN(v, ours) : MAX(v, ours);
	else if (k->rule == RULE_MIN ? v > ours : v < ours)
		return -ERANGE;
	*mine = v;
	return 0;
}

enum text_result text_negotiate(struct iscsi_params *p, const struct iscsi_params *offer,
				const struct text_pair *pair, struct buf *reply)
{
	const struct key *k = find_key(pair);
	uint32_t level = 0, limit;
	int rc = 0;
	if (!k)
		return TEXT_UNKNOWN;
	/* "Irrelevant", "NotUnderstood", "Reject" and "None" as an answer leave our value as it is.
	 */
	if (!reply &&
	    (strcmp(pair->val, "Irrelevant") == 0 || strcmp(pair->val, "NotUnderstood") == 0))
		return TEXT_ACCEPTED;

	bool *flag = (bool *)((char *)p + k->field);
	uint32_t *num = (uint32_t *)((char *)p + k->field);
	const bool *our_flag = (const bool *)((const char *)offer + k->field);
	const uint32_t *our_num = (const uint32_t *)((const char *)offer + k->field);

	switch (k->rule) {
	case RULE_MIN:
		/* A first burst is a burst (13.14): MaxBurstLength has to be taken before it. */
		limit = reply && num == &p->first_burst ? MIN(*our_num, p->max_burst) : *our_num;
		rc = negotiate_number(k, num, limit, pair->val, reply);
		break;
	case RULE_MAX: rc = negotiate_number(k, num, *our_num, pair->val, reply); break;
	case RULE_DECLARE: rc = negotiate_number(k, num, 0, pair->val, reply); break;
	case RULE_OR:
	case RULE_AND: rc = negotiate_bool(k, flag, *our_flag, pair->val, reply); break;
	case RULE_DIGEST: rc = choose_digest(pair->val, *our_flag, flag); break;
	case RULE_REFUSE_BOOL: rc = reply ? 0 : -EINVAL; break;
	case RULE_IRRELEVANT: break;
	case RULE_REPORTING: rc = text_list_has(pair->val, "RFC3720") ? 0 : -EINVAL; break;
	case RULE_LEVEL: rc = parse_number(pair->val, k, &level); break;
	}
	if (rc) {
		if (reply)
			text_answer(reply, pair, "Reject");
		return TEXT_REJECTED;
	}
	if (!reply)
		return TEXT_ACCEPTED;
	switch (k->rule) {
	case RULE_MIN:
	case RULE_MAX: text_put(reply, k->name, "%u", *num); break;
	case RULE_OR:
	case RULE_AND: text_put(reply, k->name, "%s", *flag ? "Yes" : "No"); break;
	case RULE_DIGEST: text_put(reply, k->name, "%s", *flag ? "CRC32C" : "None"); break;
	case RULE_REFUSE_BOOL: text_answer(reply, pair, "No"); break;
	case RULE_IRRELEVANT: text_answer(reply, pair, "Irrelevant"); break;
	case RULE_REPORTING: text_answer(reply, pair, "RFC3720"); break;
	case RULE_LEVEL: text_put(reply, k->name, "%u", MIN(level, 1u)); break;
	case RULE_DECLARE: break; /* a declaration needs no answer */
	}
	return TEXT_ACCEPTED;
}

void text_offer(const struct iscsi_params *offer, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct key *k = &keys[i];
		const char *field = (const char *)offer + k->field;
		switch (k->rule) {
		case RULE_MIN:
		case RULE_MAX: text_put(out, k->name, "%u", *(const uint32_t *)field); break;
		case RULE_OR:
		case RULE_AND:
			text_put(out, k->name, "%s", *(const bool *)field ? "Yes" : "No");
			break;
		case RULE_DIGEST:
			text_put(out, k->name, "%s", *(const bool *)field ? "CRC32C,None" : "None");
			break;
		case RULE_DECLARE: text_put(out, k->name, "%u", offer->max_recv); break;
		case RULE_REFUSE_BOOL:
		case RULE_IRRELEVANT:
		case RULE_REPORTING:
		case RULE_LEVEL: break;
		}
	}
}

bool iscsi_name_valid(const char *name)
{
	size_t n = strlen(name);
	if (n < 5 || n > ISCSI_NAME)
		return false;
	if (strncasecmp(name, "iqn.", 4) && strncasecmp(name, "eui.", 4) &&
	    strncasecmp(name, "naa.", 4))
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name[i];
		if (c >= 0x80) /* UTF-8 is allowed, stringprep is the operator's business */
			continue;
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '.' && c != '-' && c != ':' && c != '_')
			return false;
	}
	return true;
}
