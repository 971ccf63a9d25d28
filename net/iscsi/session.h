/* SPDX-License-Identifier: BSD-2-Clause */
/* A session: its LUNs, which come and go while commands run, and whom it takes the place of. */
#ifndef NET_ISCSI_SESSION_H
#define NET_ISCSI_SESSION_H

#include "net/iscsi/conn.h"
#include "storage/lun.h"

/* A session's view of a LUN. One that is removed stays until the last command on it has ended. */
struct session_lun {
	struct lun_nexus nexus;
	struct lun *lun;
	struct conn *conn;
	unsigned number;
	unsigned uses; /* commands that hold on to it */
	bool removed;
	bool stranger; /* the session may take it for another disk, and has not asked yet */
};

/* The session of this TSIH, of the same initiator port with the same target; NULL: none. */
struct conn *session_find(const struct conn *c, uint16_t tsih);
/* A login has completed: drops the session it reinstates, and makes the nexuses. `tsih`: of the one
 * that must be there for that and whose TSIH it keeps; 0: none need be. 0, -ENOENT, -ENOMEM, or
 * -EUSERS: there are as many sessions as there can be. */
int session_begin(struct conn *c, uint16_t tsih);
/* Its connection has closed, and none of its commands runs: whoever waits for that may begin. */
void session_end(struct conn *c);
/* NULL: the session has no LUN of this number. */
struct session_lun *session_lun_find(struct conn *c, unsigned number);
/* A command no longer holds on to it. */
void session_lun_release(struct session_lun *s);
/* Is a command that comes now meant for the LUN that has this number (or for none)? One for a
 * stranger is not, but INQUIRY tells the session who it is. */
bool session_lun_meant(struct conn *c, int number, uint8_t opcode);
/* The target has one more, or one less. `stranger`: it has the number of another disk. 0 or
 * -ENOMEM. */
int session_lun_add(struct conn *c, struct lun *l, bool stranger);
void session_lun_remove(struct conn *c, const struct lun *l);
/* SPC-4, 6.33: every LUN of the session but this one (may be NULL) tells that there are others. */
void session_luns_changed(struct conn *c, const struct lun *except);

#endif
