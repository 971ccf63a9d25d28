/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Linux initiator (modules scsi_transport_iscsi and iscsi_tcp) over NETLINK_ISCSI: sessions are
 * made, given a logged-in socket, started, stopped and destroyed here. The binary interface is the
 * kernel's include/scsi/iscsi_if.h; the calls follow drivers/scsi/scsi_transport_iscsi.c. What the
 * kernel shows of its sessions and disks lies in net/iscsi/sysfs.h.
 *
 * Every session has one connection, number 0.
 */
#ifndef NET_ISCSI_KERNEL_H
#define NET_ISCSI_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/loop.h"
#include "net/iscsi/initiator_login.h"

/* enum iscsi_param of iscsi_if.h: those that are set here */
enum iscsi_param {
	ISCSI_PARAM_MAX_RECV_DLENGTH = 0,
	ISCSI_PARAM_MAX_XMIT_DLENGTH = 1,
	ISCSI_PARAM_HDRDGST_EN = 2,
	ISCSI_PARAM_DATADGST_EN = 3,
	ISCSI_PARAM_INITIAL_R2T_EN = 4,
	ISCSI_PARAM_MAX_R2T = 5,
	ISCSI_PARAM_IMM_DATA_EN = 6,
	ISCSI_PARAM_FIRST_BURST = 7,
	ISCSI_PARAM_MAX_BURST = 8,
	ISCSI_PARAM_PDU_INORDER_EN = 9,
	ISCSI_PARAM_DATASEQ_INORDER_EN = 10,
	ISCSI_PARAM_ERL = 11,
	ISCSI_PARAM_EXP_STATSN = 14,
	ISCSI_PARAM_TARGET_NAME = 15,
	ISCSI_PARAM_TPGT = 16,
	ISCSI_PARAM_PERSISTENT_ADDRESS = 17,
	ISCSI_PARAM_PERSISTENT_PORT = 18,
	ISCSI_PARAM_SESS_RECOVERY_TMO = 19, /* seconds; negative: for ever */
	ISCSI_PARAM_USERNAME = 22,
	ISCSI_PARAM_USERNAME_IN = 23,
	ISCSI_PARAM_PASSWORD = 24,
	ISCSI_PARAM_PASSWORD_IN = 25,
	ISCSI_PARAM_PING_TMO = 30, /* seconds a ping may take */
	ISCSI_PARAM_RECV_TMO = 31, /* seconds of silence before a ping */
	ISCSI_PARAM_IFACE_NAME = 32,
	ISCSI_PARAM_INITIATOR_NAME = 34,
};

struct iscsi_kernel {
	int fd;
	uint64_t transport; /* the kernel's handle of the transport "tcp" */
};

/*
 * Loads iscsi_tcp if it must (modprobe). 0 or: -ENODEV no iscsi_tcp in the kernel, -EPERM not root,
 * another -errno. Not logged.
 */
int iscsi_kernel_open(struct iscsi_kernel *k);
void iscsi_kernel_close(struct iscsi_kernel *k);
/* The message for an error of iscsi_kernel_open(): the cause and the way out. */
const char *iscsi_kernel_strerror(int err);

/* Loads a kernel module with modprobe; 0, or -ENODEV when there is no modprobe or no module. */
int kernel_module_load(const char *name);

/*
 * The calls; each is done when it returns, with 0 or -errno.
 *
 * Makes a session and its connection; the first command will have the given CmdSN, which the login
 * must have used too (RFC 7143, 4.2.2.1).
 */
int iscsi_kernel_create(const struct iscsi_kernel *k, uint32_t cmdsn, uint32_t *sid);
/* Gives the session a connected TCP socket; the kernel holds its own reference. */
int iscsi_kernel_bind(const struct iscsi_kernel *k, uint32_t sid, int sock);
int iscsi_kernel_set(const struct iscsi_kernel *k, uint32_t sid, enum iscsi_param param,
		     const char *value);
int iscsi_kernel_set_u32(const struct iscsi_kernel *k, uint32_t sid, enum iscsi_param param,
			 uint32_t value);
/* Sets what the login came to: the negotiated parameters, ExpStatSN and the portal group. */
int iscsi_kernel_set_login(const struct iscsi_kernel *k, uint32_t sid,
			   const struct iscsi_login *login);
/* Opens the session for I/O: the login is over. */
int iscsi_kernel_start(const struct iscsi_kernel *k, uint32_t sid);
/* Stops the connection: its commands wait for the next start (recover), or fail. */
int iscsi_kernel_stop(const struct iscsi_kernel *k, uint32_t sid, bool recover);
/*
 * Sends a PDU (a header of 48 bytes; ITT, CmdSN and outside of a login ExpStatSN are the kernel's)
 * on a bound connection. The answer comes as an event.
 */
int iscsi_kernel_send(const struct iscsi_kernel *k, uint32_t sid, const uint8_t *bhs,
		      const void *data, size_t len);
/* Ends connection and session; its disks go. */
int iscsi_kernel_destroy(const struct iscsi_kernel *k, uint32_t sid);

/* What the kernel tells by itself, of every session. */
enum iscsi_event_type {
	ISCSI_EVENT_PDU,       /* an answer to iscsi_kernel_send(), or an asynchronous message */
	ISCSI_EVENT_ERROR,     /* the connection is lost */
	ISCSI_EVENT_DESTROYED, /* the session is gone */
	ISCSI_EVENT_MISSED, /* there were more events, of whatever session, than there was room */
};
struct iscsi_event {
	enum iscsi_event_type type;
	uint32_t sid;	    /* not of what was missed */
	uint32_t error;	    /* enum iscsi_err of iscsi_if.h */
	const uint8_t *bhs; /* 48 bytes, with the data after them */
	size_t len;	    /* of the data */
};
struct iscsi_events {
	struct loop *loop;
	struct loop_fd w;
	void (*fn)(void *arg, const struct iscsi_event *e);
	void *arg;
};
/* Listens; events of all sessions come to fn. 0 or -errno. */
int iscsi_events_open(struct iscsi_events *ev, struct loop *l,
		      void (*fn)(void *arg, const struct iscsi_event *e), void *arg);
/* Harmless when not open (all zero). May be called from fn. */
void iscsi_events_close(struct iscsi_events *ev);

#endif
