/* SPDX-License-Identifier: BSD-2-Clause */
/* What the PDUs of an initiator lead to, by kind. */
#ifndef NET_ISCSI_PHASE_H
#define NET_ISCSI_PHASE_H

#include "net/iscsi/task.h"

#define TEXT_MAX 65536u /* most text of a login or text exchange: hostile peers */

/* ---- login.c ---- */
int login_begin(struct conn *c);
/* Harmless when it has ended. */
void login_end(struct conn *c);
/* A request has come: what was agreed on may be by what the server had then. */
bool login_under_way(const struct conn *c);
void login_pdu(struct conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len);

/* ---- data_out.c ---- */
/* More data is on its way or asked for, or the command runs. `final`: the F bit has been seen. */
void data_out_advance(struct task *t, bool final);
void data_out_pdu(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len,
		  struct chunk *chunk);
/* Sends the R2Ts that there is room for now. */
void data_out_ask(struct conn *c);

/* ---- tmf.c ---- */
void tmf_request(struct conn *c, const uint8_t *bhs);
/* Answers what is due. */
void tmf_answer(struct conn *c);
/* The connection closes. */
void tmf_abandon(struct conn *c);

/* ---- text_request.c ---- */
void text_request(struct conn *c, const uint8_t *bhs, const uint8_t *data, uint32_t len);

/* ---- phase.c ---- */
/* The login is over. */
void full_begin(struct conn *c);
/* A PDU of the full feature phase: see conn_ops.pdu. */
bool full_pdu(struct conn *c, const uint8_t *bhs, uint8_t *data, uint32_t len, struct chunk *chunk);

#endif
