/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of persistent reservations (SPC-4, 5.13): shared by what changes it (reserve.c,
 * register.c), what tells it (reserve_in.c) and what keeps it (persist.c).
 */
#ifndef STORAGE_SCSI_RESERVE_H
#define STORAGE_SCSI_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

struct lun_nexus;
struct scsi_cmd;

/* An iSCSI name (223), ",i,0x", an ISID (12) and the end. */
#define PORT_NAME_SIZE 241

/* types (SPC-4, table 70); 0: not reserved */
enum pr_type {
	PR_NONE = 0,
	PR_WRITE_EXCLUSIVE = 1,
	PR_EXCLUSIVE_ACCESS = 3,
	PR_WRITE_EXCLUSIVE_REGISTRANTS = 5,
	PR_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
	PR_WRITE_EXCLUSIVE_ALL = 7,
	PR_EXCLUSIVE_ACCESS_ALL = 8,
};

/* A nexus that has registered: it stays when its session ends. */
struct registration {
	uint64_t key;
	uint16_t target_port; /* relative target port identifier */
	bool all_ports;	      /* registered with ALL_TG_PT: at every target port */
	bool gone;	      /* removed by the change in the making */
	uint16_t attention;   /* unit attention that the change brings it; 0: none */
	char initiator[PORT_NAME_SIZE];
};

struct pr_state {
	uint32_t generation; /* PRGENERATION */
	bool aptpl;	     /* survives loss of power */
	enum pr_type type;
	int holder; /* index; -1: nobody, or all registrants */
	unsigned n;
	struct registration *reg; /* room for LIMIT_REGISTRATIONS */
};

struct reservations {
	char *path;	      /* of the file that keeps the state; NULL: there is none */
	bool kept;	      /* the file is there */
	struct pr_state now;  /* in force */
	struct pr_state next; /* the change in the making; valid while its command runs */
};

bool pr_type_valid(unsigned type);
/* Every registrant holds it. */
bool pr_type_all(enum pr_type type);
/* Registrants may do what the holder may. */
bool pr_type_registrants(enum pr_type type);
bool pr_type_exclusive(enum pr_type type);

/* Is this registration that of the nexus? */
bool pr_matches(const struct registration *reg, const struct lun_nexus *n);
/* The registration of a nexus, or of an initiator port at a target port; -1: none. */
int pr_find(const struct pr_state *s, const struct lun_nexus *n);
int pr_find_port(const struct pr_state *s, const char *initiator, uint16_t target_port);
bool pr_holds(const struct pr_state *s, int i);

/* ---- a change in the making: PERSISTENT RESERVE OUT (reserve.c, register.c) ---- */

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

/* Adds a registration: its index, or -1 when there is no room. */
int pr_add(struct pr_state *s, const char *initiator, uint16_t target_port, uint64_t key);
/* Removes one, and the reservation with its last holder (SPC-4, 5.13.11.3). */
void pr_unregister(struct pr_state *s, int i);
/* A unit attention for all registrants but one (-1: for all). */
void pr_notify(struct pr_state *s, int except, uint16_t code);

/* ---- the file (persist.c) ---- */

/* Replaces the file, or removes it when there is nothing to keep; all of it is on the medium
 * afterwards. Blocks. 0 or negative errno; the error is logged. */
int pr_save(const char *path, const struct pr_state *s);
/* Reads the file, if there is one: *found tells. A damaged file is refused (-EBADMSG): to go on
 * without would open a fenced disk. 0 or negative errno; the error is logged. */
int pr_load(const char *path, struct pr_state *s, bool *found);

#endif
