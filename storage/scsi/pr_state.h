/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of persistent reservations (SPC-4, 5.13): who has registered and who may do what. It is
 * changed by register.c and reserve.c, told by reserve_in.c and kept by persist.c.
 */
#ifndef STORAGE_SCSI_PR_STATE_H
#define STORAGE_SCSI_PR_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct lun_nexus;

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
	char *disk;	      /* the path of the disk, to be named in it */
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

/* May this nexus run a command with these flags (OP_CONFLICT_..., OP_ALWAYS)? */
bool reservations_permit(const struct lun_nexus *n, uint8_t flags);

/* ---- steps of a change ---- */

/* `to` keeps its own room for registrations. */
void pr_copy(struct pr_state *to, const struct pr_state *from);
/* Adds a registration: its index, or -1 when there is no room. */
int pr_add(struct pr_state *s, const char *initiator, uint16_t target_port, uint64_t key);
/* Removes one, and the reservation with its last holder (SPC-4, 5.13.11.3). */
void pr_unregister(struct pr_state *s, int i);
/* A unit attention for all registrants but one (-1: for all). */
void pr_notify(struct pr_state *s, int except, uint16_t code);
/* Is anybody registered still? */
bool pr_any_left(const struct pr_state *s);
/* Nobody holds the reservation any longer. */
void pr_release(struct pr_state *s);

#endif
