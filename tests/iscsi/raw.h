/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An initiator that sends what it is told, right or wrong, one connection a struct raw. Every wait
 * ends: after RAW_LIMIT ms the peer counts as hanging. Functions are true when all went well.
 */
#ifndef TESTS_ISCSI_RAW_H
#define TESTS_ISCSI_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "net/iscsi/pdu.h"

#define RAW_LIMIT 20000

/* Whom all connections go to. */
extern struct raw_target {
	const char *host, *port, *iqn;
	uint8_t lun;
	uint32_t isid; /* middle bytes of the initiator port's; 0: as the process's id */
} raw_target;

struct raw {
	int fd;
	uint32_t cmdsn, expstatsn, itt;
	uint32_t maxcmdsn; /* as of the last PDU received */
	bool header_digest, data_digest;
	unsigned cut; /* each PDU is sent in two parts, the first one of so many bytes; 0: whole */
	void (*pause)(void); /* between the parts */
};

/* A received PDU. `text` and data end in a NUL that does not count. */
struct pdu {
	uint8_t bhs[ISCSI_BHS];
	uint8_t *data; /* freed by raw_pdu_free() */
	size_t len;
};
enum raw_event { RAW_PDU, RAW_CLOSED, RAW_TIMEOUT };

bool raw_connect(struct raw *r);
void raw_close(struct raw *r);
void raw_reset(struct raw *r); /* closes with a RST */

/* Appends a PDU: its header with opcode, flags and lengths, then the padded data. Returns the
 * header's place, valid until b grows again. */
uint8_t *raw_put(struct buf *b, uint8_t opcode, uint8_t flags, const void *data, size_t len);
/* The same with tags and numbers of the session filled in; the CmdSN advances unless immediate. */
uint8_t *raw_put_next(struct raw *r, struct buf *b, uint8_t opcode, uint8_t flags, const void *data,
		      size_t len);
/* A SCSI command; data goes along as immediate data when it is not NULL. edtl is the expected
 * length. */
uint8_t *raw_put_command(struct raw *r, struct buf *b, const uint8_t *cdb, size_t cdb_len,
			 uint8_t flags, uint32_t edtl, const void *data, size_t len);
/* READ(10) or WRITE(10). */
void raw_rw10(uint8_t cdb[10], bool write, uint32_t lba, uint16_t blocks);

/* Puts digests into the PDUs of b where the session has agreed on them. */
void raw_add_digests(const struct raw *r, struct buf *b);
/* The same, then sends all of b and empties it. */
bool raw_send(struct raw *r, struct buf *b);
bool raw_send_bytes(struct raw *r, const void *p, size_t n);

enum raw_event raw_recv(struct raw *r, struct pdu *p);
enum raw_event raw_recv_within(struct raw *r, struct pdu *p, int ms);
void raw_pdu_free(struct pdu *p);
/* Throws away what has come; false when the target has closed. */
bool raw_skip(struct raw *r);
/* Reads until the target closes. */
bool raw_drain(struct raw *r);

/* One login PDU from CSG to NSG with keys ("A=1" ... NULL), and the answer. */
bool raw_login_step(struct raw *r, uint8_t flags, const char *const *keys, struct pdu *answer);
/* A whole login to the target as an initiator of this name; extra keys may be NULL. */
bool raw_login(struct raw *r, const char *name, const char *const *extra, struct pdu *answer);
/* connects and logs in as initiator number n */
bool raw_open(struct raw *r, unsigned n);
/* True when the text holds this "key=value". */
bool raw_has_key(const struct pdu *p, const char *key);

/* Answers an R2T from out, all of a command's data. */
bool raw_send_data(struct raw *r, const struct pdu *r2t, const uint8_t *out, size_t out_len);
/* Runs a command to its end: data in into `in`, R2Ts answered from `out`. The SCSI status, or -1
 * when the connection fails. Unit attentions are repeated. */
int raw_run(struct raw *r, const uint8_t *cdb, size_t cdb_len, const void *out, size_t out_len,
	    void *in, size_t in_len);
bool raw_ping(struct raw *r);
/* Answers the target's NOP-In. */
bool raw_answer_ping(struct raw *r, const struct pdu *nop);
bool raw_logout(struct raw *r);

#endif
