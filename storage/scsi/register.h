/* SPDX-License-Identifier: BSD-2-Clause */
/* A change in the making, by PERSISTENT RESERVE OUT, and those of its actions that register. */
#ifndef STORAGE_SCSI_REGISTER_H
#define STORAGE_SCSI_REGISTER_H

#include "storage/scsi/pr_state.h"

struct scsi_cmd;

#define PR_SPEC_I_PT 0x08 /* byte 20 of the parameter list: TransportIDs follow it */

struct pr_request {
	struct pr_state *s; /* reservations->next */
	int self;	    /* the registration of the nexus; -1: none */
	unsigned action;
	uint8_t scope, type;
	uint64_t key, new_key; /* RESERVATION KEY, SERVICE ACTION RESERVATION KEY */
	const uint8_t *p;      /* parameter list */
	uint32_t len;
};

/* These change req->s and return true; or they end the command and return false. */
bool pr_register(struct scsi_cmd *cmd, struct pr_request *req);
bool pr_register_and_move(struct scsi_cmd *cmd, struct pr_request *req);

#endif
