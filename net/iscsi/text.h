/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iSCSI text: key=value pairs (RFC 7143, section 6) and the negotiation of the operational
 * parameters (section 13), used by both sides.
 */
#ifndef NET_ISCSI_TEXT_H
#define NET_ISCSI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

struct text_pair {
	const char *key;
	size_t key_len;	 /* the key is not NUL-terminated: '=' follows it */
	const char *val; /* NUL-terminated, in place */
};

/* The next pair. 1: got one; 0: end; -EINVAL: no '=', no NUL, or an over-long key (6.1). */
int text_next(struct reader *r, struct text_pair *p);
bool text_is(const struct text_pair *p, const char *key);
/* Appends "key=value\0". */
__attribute__((format(printf, 3, 4))) void text_put(struct buf *b, const char *key, const char *fmt,
						    ...);

/* Appends the key with one of the constants of RFC 7143, 6.2: Reject, NotUnderstood... */
void text_answer(struct buf *b, const struct text_pair *p, const char *constant);
/* Is the word in a list such as "CHAP,None"? */
bool text_list_has(const char *list, const char *word);

/* A number, decimal or hexadecimal (6.1). 0, -EINVAL, or -ERANGE: it is more than max. */
int text_number(const char *s, uint64_t max, uint64_t *out);

/* A key that RFC 7143 defines: one that is not is answered by NotUnderstood (6.2). */
bool text_known(const struct text_pair *p);
/* An operational key that has been negotiated before, which no one may (6.3). *seen: which have
 * been, none at first. */
bool text_repeated(uint32_t *seen, const struct text_pair *p);
/* An operational key without a meaning in discovery sessions. */
bool text_irrelevant(const struct text_pair *p);

/* The operational parameters of a session and its connection: what we offer before the
 * negotiation, what holds after it. */
struct iscsi_params {
	bool header_digest, data_digest; /* CRC32C */
	bool initial_r2t, immediate_data;
	bool data_pdu_in_order, data_sequence_in_order;
	uint32_t max_connections;
	uint32_t max_burst, first_burst;
	uint32_t max_outstanding_r2t;
	uint32_t time2wait, time2retain; /* seconds */
	uint32_t error_recovery_level;
	uint32_t max_recv; /* our MaxRecvDataSegmentLength: declared by us */
	uint32_t max_send; /* the peer's */
};

/* RFC 7143's defaults (section 13), with our own max_recv. */
void iscsi_params_default(struct iscsi_params *p, uint32_t max_recv);

/* What a received operational key led to. */
enum text_result {
	TEXT_UNKNOWN,  /* not an operational key: the caller's to handle */
	TEXT_ACCEPTED, /* params hold the result; the responder's answer was appended */
	TEXT_REJECTED, /* a value outside the rules; the responder answered Reject */
};

/*
 * Takes one operational key. As responder (`reply` not NULL) the result is computed from the
 * offer and our own value, and the answer appended to reply. As originator (`reply` NULL) the
 * value is the peer's answer and must lie within what we offered.
 * The digests allowed are those set in *offer: as responder what we are ready to use.
 */
enum text_result text_negotiate(struct iscsi_params *p, const struct iscsi_params *offer,
				const struct text_pair *pair, struct buf *reply);

/* Appends every operational key as an originator's offer. */
void text_offer(const struct iscsi_params *offer, struct buf *out);

/* True for an iqn., eui. or naa. name of legal form and length (RFC 7143, 4.2.7). */
bool iscsi_name_valid(const char *name);

#endif
