/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The initiator's side of a login (RFC 7143, section 6.3), as a state machine that does not care
 * how its PDUs travel: over a socket (net/iscsi/initiator.h), or through the kernel's initiator
 * when it renews a session (net/iscsi/keeper.h).
 */
#ifndef NET_ISCSI_INITIATOR_LOGIN_H
#define NET_ISCSI_INITIATOR_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "net/iscsi/chap.h"
#include "net/iscsi/pdu.h"
#include "net/iscsi/text.h"
#include "net/sock.h"

#define ISCSI_ISID	   6
#define INITIATOR_MAX_RECV 262144 /* MaxRecvDataSegmentLength that we declare */
#define INITIATOR_CMDSN	   1	  /* CmdSN that a new session starts with */

/* Who logs in, and where to. The strings are the caller's and stay while it is used. */
struct initiator_id {
	const char *initiator;
	const char *target; /* NULL: a discovery session */
	uint8_t isid[ISCSI_ISID];
	struct chap_credentials chap;
	bool digests; /* ask for CRC32C of headers and data */
};

/*
 * An ISID of the random format (RFC 7143, 11.12.5) that depends on the portal alone: who comes back
 * after a crash or a reboot takes its old session's place instead of leaving it behind, and the
 * sessions of one target by several portals do not disturb each other.
 */
void initiator_isid(const char *host, uint16_t port, uint8_t isid[ISCSI_ISID]);
/*
 * /etc/iscsi/initiatorname.iscsi if that is there (InitiatorName=...), else
 * iqn.2026-11.local.vstor:HOSTNAME.
 */
void initiator_default_name(char out[ISCSI_NAME + 1]);

struct iscsi_login {
	struct initiator_id id;
	uint32_t cmdsn; /* of the login and of the first command after it */
	/* Sends one PDU, 0 or -errno; must not call iscsi_login_input() itself. */
	int (*send)(void *arg, const uint8_t *bhs, const void *data, size_t len);
	void *arg;

	/* what the login came to */
	struct iscsi_params params;
	uint16_t tsih, tpgt;
	uint32_t exp_statsn;
	uint32_t exp_cmdsn, max_cmdsn;
	char moved_to[SOCK_HOST_MAX]; /* -EREMOTE: HOST:PORT */
	char error[200];	      /* of the last -errno: the cause and the way out */

	struct iscsi_params offer;
	enum iscsi_stage stage;
	unsigned rounds;
	struct buf text; /* the answer's text so far */
	struct {
		enum { CHAP_NONE, CHAP_OFFERED, CHAP_LISTED, CHAP_ANSWERED, CHAP_DONE } step;
		unsigned algorithm;
		uint8_t id, challenge[CHAP_DIGEST_MAX]; /* ours to the target */
		const char *method, *a, *i, *c, *n, *r; /* the answer's keys, in text */
	} chap;
};
/* Sends the first request; id, cmdsn, send and arg are set, the rest is zero. 0 or -errno. */
int iscsi_login_start(struct iscsi_login *l);
/*
 * Takes a PDU from the target. 1: logged in; 0: goes on; -EREMOTE: the target has moved; -ERESTART:
 * to be tried once more with the id as it is now (CHAP_OFFER_TGT); or another -errno, with the
 * cause in error: -EACCES refused, -ENOENT no such target, -EAGAIN the target cannot now, -EPROTO
 * it does not keep to the protocol.
 */
int iscsi_login_input(struct iscsi_login *l, const uint8_t *bhs, const uint8_t *data, size_t len);
void iscsi_login_free(struct iscsi_login *l);

#endif
