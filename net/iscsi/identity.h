/* SPDX-License-Identifier: BSD-2-Clause */
/* Who we are at a login: our name and, for CHAP, what we show and what we want to be shown. */
#ifndef NET_ISCSI_IDENTITY_H
#define NET_ISCSI_IDENTITY_H

#include "net/iscsi/attach_request.h"
#include "net/iscsi/chap.h"
#include "net/iscsi/initiator_login.h"

struct identity {
	struct initiator_id id; /* points to what follows, and to the request */
	char name[ISCSI_NAME + 1], secret[CHAP_SECRET_MAX], mutual_secret[CHAP_SECRET_MAX];
};

/*
 * What the request says, with defaults and with the secrets read from their files; the ISID stays
 * 0. The request must outlive it. 0, or -errno with one line in error.
 */
int identity_init(struct identity *me, const struct attach_request *r, const char *target,
		  char error[ATTACH_ERROR]);
/* Wipes the secrets. */
void identity_fini(struct identity *me);

#endif
