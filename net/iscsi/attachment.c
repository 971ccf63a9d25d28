/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/attachment.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "net/iscsi/identity.h"
#include "net/iscsi/keeper.h"
#include "net/iscsi/keeper_control.h"
#include "net/iscsi/kernel.h"
#include "net/iscsi/logout.h"
#include "net/iscsi/open_iscsi.h"

#define LOCK_FILE "/run/vstor-attach.lock"
#define PING_TIME "5" /* seconds: of silence before a ping, and for its answer */

/*
 * One attach or detach at a time for a target and portal: a byte of the lock file, so that a portal
 * that does not answer holds up nobody else.
 */
static int lock(const char *target, const char *host, uint16_t port)
{
	char text[ISCSI_NAME + SOCK_HOST_MAX + 16];
	int n = snprintf(text, sizeof(text), "%s %s %u", target, host, port), fd;
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

	for (char *p = text; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	fl.l_start = crc32c(0, text, (size_t)n);
	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (fcntl(fd, F_OFD_SETLKW, &fl) < 0) {
		if (errno != EINTR) {
			close(fd);
			return -errno;
		}
	}
	return fd;
}

/* Runs a login or a discovery to its end in a loop of its own. */
static void on_done(void *arg, int err)
{
	loop_stop(arg, err);
}

static int run_initiator(struct initiator *i, const struct initiator_id *id, const char *portal,
			 uint64_t timeout_ns, char error[ATTACH_ERROR])
{
	struct sock_addrs to;
	struct loop *l;
	int err = sock_resolve(portal, ISCSI_PORT, &to);

	memset(i, 0, sizeof(*i));
	i->fd = -1;
	if (err)
		return attach_failed(error, err, "%s: %s", portal, sock_strerror(err));
	l = loop_new();
	if (!l)
		return attach_failed(error, -ENOMEM, "out of memory");
	initiator_start(i, l, id, &to, timeout_ns, on_done, l);
	err = loop_run(l);
	loop_free(l);
	if (err)
		attach_failed(error, err, "%s", i->error);
	return err;
}

int iscsi_discover(const struct attach_request *r, struct initiator *i, char error[ATTACH_ERROR])
{
	struct identity me;
	int err = identity_init(&me, r, NULL, error);

	memset(i, 0, sizeof(*i));
	i->fd = -1;
	if (!err) {
		/* Names are no secret, and many targets show theirs to anybody: who the target is
		 * matters at the login to it. */
		me.id.chap.mutual_user = NULL;
		initiator_isid(r->portal, 0, me.id.isid);
		err = run_initiator(i, &me.id, r->portal, r->timeout_ns, error);
	}
	identity_fini(&me);
	return err;
}

/* The name of the only target that a portal has. */
static int only_target(const struct attach_request *r, char target[ISCSI_NAME + 1],
		       char error[ATTACH_ERROR])
{
	struct found_target t;
	struct initiator i;
	size_t at = 0, len = 0;
	bool several = false;
	int err = iscsi_discover(r, &i, error);

	target[0] = '\0';
	if (err)
		goto out;
	len = (size_t)snprintf(error, ATTACH_ERROR,
			       "%s has several targets, choose with --target:", r->portal);
	while (initiator_found_next(&i, &at, &t)) {
		if (strcasecmp(target, t.name) == 0) /* names are in lower case (RFC 3722) */
			continue;
		several = target[0];
		snprintf(target, ISCSI_NAME + 1, "%s", t.name);
		if (len < ATTACH_ERROR)
			len += (size_t)snprintf(error + len, ATTACH_ERROR - len, " %s", t.name);
	}
	if (!target[0])
		err = attach_failed(error, -ENOENT, "%s shows no target to this initiator",
				    r->portal);
	else if (several)
		err = -EEXIST;
out:
	initiator_fini(&i);
	return err;
}

/* Equal texts, or the same address differently written. */
static bool same_host(const char *a, const char *b)
{
	struct in6_addr x, y;

	return strcasecmp(a, b) == 0 ||
	       (inet_pton(AF_INET6, a, &x) == 1 && inet_pton(AF_INET6, b, &y) == 1 &&
		memcmp(&x, &y, sizeof(x)) == 0);
}

/*
 * The session with that target (NULL: with any, if there is but one) by that portal, be it named or
 * resolved differently. -ENOENT: none; -EEXIST: several.
 */
static int find_session(const char *target, const char *host, uint16_t port,
			struct iscsi_session *out)
{
	struct iscsi_session *v;
	int err = -ENOENT;
	size_t n;

	if (iscsi_sessions(&v, &n))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if ((target && strcasecmp(v[i].target, target)) || v[i].port != port)
			continue;
		if (!same_host(v[i].address, host) && !same_host(v[i].peer, host))
			continue;
		if (err == 0 && !target) {
			err = -EEXIST;
			break;
		}
		*out = v[i];
		err = 0;
	}
	free(v);
	return err;
}

/* All the LUNs of a session share it: the last word counts. */
static int set_replacement(const struct iscsi_kernel *k, const struct iscsi_session *s,
			   const struct attach_request *r, char error[ATTACH_ERROR])
{
	char text[16];
	int err;

	if (r->via != ATTACH_KERNEL || !r->replacement_timeout ||
	    s->recovery_tmo == r->replacement_timeout)
		return 0;
	snprintf(text, sizeof(text), "%d", r->replacement_timeout);
	err = iscsi_kernel_set(k, s->sid, ISCSI_PARAM_SESS_RECOVERY_TMO, text);
	return err ? attach_failed(error, err, "%s: the replacement time-out: %s", s->target,
				   strerror(-err))
		   : 0;
}

/* The mark of the keeper, with what the portal's name stands for. A target that has moved us told
 * of another address than that. */
static void make_mark(const struct initiator *i, const char *host, char mark[KEEPER_MARK])
{
	char peer[SOCK_TEXT_MAX];
	struct sock_addrs a;

	sock_peer_text(i->fd, peer);
	keeper_mark(&i->login.id,
		    i->moves == 0 && sock_resolve_numeric(host, ISCSI_PORT, &a) ? peer : NULL,
		    mark);
}

/* Hands the logged-in socket over; the session is started then, or gone again. */
static int hand_over(const struct iscsi_kernel *k, const struct initiator *i, const char *host,
		     uint16_t port, int replacement_timeout, uint32_t *sid)
{
	const struct iscsi_login *login = &i->login;
	const struct chap_credentials *chap = &login->id.chap;
	char mark[KEEPER_MARK], tmo[16];
	const struct {
		enum iscsi_param param;
		const char *value;
	} set[] = {
		{ISCSI_PARAM_TARGET_NAME, login->id.target},
		{ISCSI_PARAM_INITIATOR_NAME, login->id.initiator},
		{ISCSI_PARAM_PERSISTENT_ADDRESS, host},
		{ISCSI_PARAM_IFACE_NAME, mark},
		{ISCSI_PARAM_SESS_RECOVERY_TMO, tmo},
		{ISCSI_PARAM_RECV_TMO, PING_TIME},
		{ISCSI_PARAM_PING_TMO, PING_TIME},
		{ISCSI_PARAM_USERNAME, chap->user},
		{ISCSI_PARAM_PASSWORD, chap->secret},
		{ISCSI_PARAM_USERNAME_IN, chap->mutual_user},
		{ISCSI_PARAM_PASSWORD_IN, chap->mutual_secret},
	};
	int err = iscsi_kernel_create(k, login->cmdsn, sid);

	if (err)
		return err;
	make_mark(i, host, mark);
	snprintf(tmo, sizeof(tmo), "%d", replacement_timeout);
	err = iscsi_kernel_bind(k, *sid, i->fd);
	for (size_t n = 0; n < ARRAY_SIZE(set) && !err; n++)
		if (set[n].value)
			err = iscsi_kernel_set(k, *sid, set[n].param, set[n].value);
	if (!err)
		err = iscsi_kernel_set_u32(k, *sid, ISCSI_PARAM_PERSISTENT_PORT, port);
	if (!err)
		err = iscsi_kernel_set_login(k, *sid, login);
	if (!err)
		err = iscsi_kernel_start(k, *sid);
	if (err)
		iscsi_kernel_destroy(k, *sid);
	return err;
}

/* Logs in and makes the session. */
static int new_session(const struct iscsi_kernel *k, const struct attach_request *r,
		       const char *target, const char *host, uint16_t port, struct iscsi_session *s,
		       char error[ATTACH_ERROR])
{
	struct identity me;
	struct initiator i = {.fd = -1};
	uint32_t sid;
	int err = identity_init(&me, r, target, error);

	if (err)
		goto out;
	initiator_isid(host, port, me.id.isid);
	err = run_initiator(&i, &me.id, r->portal, r->timeout_ns, error);
	if (err)
		goto out;
	err = hand_over(k, &i, host, port,
			r->replacement_timeout ? r->replacement_timeout : ATTACH_REPLACEMENT, &sid);
	if (!err)
		err = iscsi_session_read(sid, s);
	if (err)
		attach_failed(error, err, "%s: the kernel refuses the session: %s", target,
			      strerror(-err));
out:
	initiator_fini(&i);
	identity_fini(&me);
	return err;
}

/*
 * A LUN number may have come to stand for another disk, beneath a device that the kernel made for
 * the one before, too: never the wrong one. A session that is down cannot be asked.
 */
static int check_serial(const struct attachment *a, const struct attach_request *r,
			char error[ATTACH_ERROR])
{
	const struct iscsi_session *s = &a->session;
	char now[256], then[256];
	int err;

	if (strcmp(s->state, "LOGGED_IN")) {
		if (!r->serial)
			return 0;
		return attach_failed(error, -EHOSTDOWN,
				     "%s: the session is down (%s), and LUN %u cannot be asked for "
				     "its serial: check %s:%u",
				     s->target, s->state, r->lun, s->address, s->port);
	}
	err = iscsi_disk_serial(&a->disk, now);
	if (err && err != -ENODATA)
		return attach_failed(error, err, "%s: LUN %u does not tell its serial: %s",
				     s->target, r->lun, strerror(-err));
	if (r->serial && strcmp(now, r->serial))
		return attach_failed(
			error, -EMEDIUMTYPE,
			"%s: LUN %u is not the disk that was meant: its serial is '%s', not '%s'",
			s->target, r->lun, now, r->serial);
	if (iscsi_disk_serial_then(&a->disk, then) == 0 && strcmp(now, then))
		return attach_failed(error, -EMEDIUMTYPE,
				     "%s: LUN %u has become another disk (serial '%s') beneath %s "
				     "(serial '%s'): detach that first",
				     s->target, r->lun, now, a->disk.path, then);
	return 0;
}

static int find_disk(struct attachment *a, const struct attach_request *r, char error[ATTACH_ERROR])
{
	const struct iscsi_session *s = &a->session;
	int err = iscsi_disk_find(s, r->lun, &a->disk);

	if (err == 0)
		return check_serial(a, r, error);
	/* A session that is down is not scanned, and would look empty. */
	if (strcmp(s->state, "LOGGED_IN"))
		return attach_failed(
			error, -EHOSTDOWN,
			"%s: the session is down (%s) and waits for its target: check %s:%u",
			s->target, s->state, s->address, s->port);
	a->existed = false;
	err = iscsi_disk_scan(s, r->lun, r->timeout_ns, &a->disk);
	switch (err) {
	case 0:
		err = check_serial(a, r, error);
		if (err)
			iscsi_disk_remove(&a->disk);
		return err;
	case -ENXIO:
		return attach_failed(error, err,
				     "%s: no LUN %u there: choose another, or add it at the target",
				     s->target, r->lun);
	case -ENODEV:
		return attach_failed(error, err, "%s: LUN %u is no disk: choose another with --lun",
				     s->target, r->lun);
	case -ETIMEDOUT:
		return attach_failed(
			error, err,
			"%s: no device appeared for LUN %u: modprobe sd_mod, or see dmesg",
			s->target, r->lun);
	default:
		return attach_failed(error, err, "%s: LUN %u: %s", s->target, r->lun,
				     strerror(-err));
	}
}

/* Two programs that watch over one session would each undo what the other does. */
static int check_owner(const struct iscsi_session *s, enum attach_via via, char error[ATTACH_ERROR])
{
	if (keeper_owns(s) == (via == ATTACH_KERNEL))
		return 0;
	return via == ATTACH_KERNEL
		       ? attach_failed(error, -EXDEV,
				       "%s: its session is another program's: end it there, "
				       "or use it with "
				       "--via open-iscsi",
				       s->target)
		       : attach_failed(error, -EXDEV,
				       "%s: its session is vstor's own: leave --via away, or "
				       "detach it first",
				       s->target);
}

/* Flushes the disk and takes it away. */
static int remove_disk(const struct iscsi_session *s, const struct iscsi_disk *d, bool force,
		       char error[ATTACH_ERROR])
{
	char user[256];
	int err;

	if (!force && iscsi_disk_user(d, user))
		return attach_failed(error, -EBUSY,
				     "%s (%s LUN %u) is %s: stop using it, or --force", d->path,
				     s->target, d->lun, user);
	err = iscsi_disk_remove(d);
	if (err)
		return attach_failed(error, err, "%s (%s LUN %u): %s", d->path, s->target, d->lun,
				     strerror(-err));
	return 0;
}

static int detach(const struct iscsi_kernel *k, const struct iscsi_session *s,
		  const struct iscsi_disk *d, enum attach_via via, bool force,
		  char error[ATTACH_ERROR])
{
	const bool up = strcmp(s->state, "LOGGED_IN") == 0;
	struct iscsi_disk *v;
	size_t n, left = 0;
	int err;

	err = check_owner(s, via, error);
	if (err)
		return err;
	if (!up && !force)
		return attach_failed(
			error, -EHOSTDOWN,
			"%s: the session is down (%s): wait for %s:%u, or give up what is not "
			"written yet with --force",
			s->target, s->state, s->address, s->port);
	err = iscsi_disks(s, &v, &n);
	if (err)
		return attach_failed(error, err, "%s", strerror(-err));
	for (size_t i = 0; i < n && !err; i++) {
		if (d && v[i].dev != d->dev)
			left++;
		else if (up)
			err = remove_disk(s, &v[i], force, error);
	}
	free(v);
	return err || left ? err : iscsi_session_end(k, s, error);
}

int iscsi_detach(const struct iscsi_session *s, const struct iscsi_disk *d, enum attach_via via,
		 bool force, char error[ATTACH_ERROR])
{
	struct iscsi_session now;
	struct iscsi_kernel k;
	int err = iscsi_kernel_open(&k), lock_fd;

	if (err)
		return attach_failed(error, err, "%s", iscsi_kernel_strerror(err));
	lock_fd = lock(s->target, s->address, s->port);
	if (lock_fd < 0)
		err = attach_failed(error, lock_fd, "%s: %s", LOCK_FILE, strerror(-lock_fd));
	else if (iscsi_session_read(s->sid, &now) == 0 && strcmp(now.target, s->target) == 0)
		err = detach(&k, &now, d, via, force, error);
	/* else it is gone already */
	if (lock_fd >= 0)
		close(lock_fd);
	iscsi_kernel_close(&k);
	return err;
}

int iscsi_find(const struct attach_request *r, struct attachment *a, char error[ATTACH_ERROR])
{
	char host[SOCK_HOST_MAX];
	uint16_t port = ISCSI_PORT;
	int err = sock_parse(r->portal, host, &port);

	memset(a, 0, sizeof(*a));
	a->existed = true;
	if (err)
		return attach_failed(error, err, "%s: not of the form HOST[:PORT]", r->portal);
	err = find_session(r->target, host, port, &a->session);
	if (err == -EEXIST)
		return attach_failed(error, err,
				     "%s: several targets are attached from there: name one",
				     r->portal);
	if (err == 0)
		err = iscsi_disk_find(&a->session, r->lun, &a->disk);
	return err == 0 ? 0 : attach_failed(error, -ENOENT, "%s: not attached", r->portal);
}

/* iscsid logs in. */
static int borrow_session(const struct attach_request *r, const char *target, const char *host,
			  uint16_t port, struct iscsi_session *s, char error[ATTACH_ERROR])
{
	int err;

	if (r->initiator || r->chap_user || r->mutual_user || r->digests)
		return attach_failed(error, -EINVAL,
				     "names, CHAP and digests are iscsid's to know: set them in "
				     "/etc/iscsi, or leave --via away");
	err = open_iscsi_login(target, host, port,
			       r->replacement_timeout ? r->replacement_timeout : ATTACH_REPLACEMENT,
			       error, ATTACH_ERROR);
	if (!err && find_session(target, host, port, s))
		err = attach_failed(error, -ENOENT, "%s: iscsid made no session", target);
	return err;
}

/* With the lock held. */
static int attach(const struct iscsi_kernel *k, const struct attach_request *r, const char *target,
		  const char *host, uint16_t port, struct attachment *a, char error[ATTACH_ERROR])
{
	char ignored[ATTACH_ERROR];
	int err;

	a->existed = find_session(target, host, port, &a->session) == 0;
	const bool fresh = !a->existed;

	if (a->existed)
		err = check_owner(&a->session, r->via, error);
	else if (r->via == ATTACH_OPEN_ISCSI)
		err = borrow_session(r, target, host, port, &a->session, error);
	else
		err = new_session(k, r, target, host, port, &a->session, error);
	if (!err && !fresh)
		err = set_replacement(k, &a->session, r, error);
	if (err)
		return err;
	keeper_start(&a->session);
	err = find_disk(a, r, error);
	if (err && fresh)
		iscsi_session_end(k, &a->session, ignored);
	return err;
}

int iscsi_attach(const struct attach_request *r, struct attachment *a, char error[ATTACH_ERROR])
{
	char host[SOCK_HOST_MAX], target[ISCSI_NAME + 1];
	uint16_t port = ISCSI_PORT;
	struct iscsi_kernel k;
	int lock_fd, err;

	memset(a, 0, sizeof(*a));
	err = sock_parse(r->portal, host, &port);
	if (err)
		return attach_failed(error, err, "%s: not of the form HOST[:PORT]", r->portal);
	err = iscsi_kernel_open(&k);
	if (err)
		return attach_failed(error, err, "%s", iscsi_kernel_strerror(err));
	if (r->target)
		snprintf(target, sizeof(target), "%s", r->target);
	else
		err = only_target(r, target, error);
	if (!err) {
		lock_fd = lock(target, host, port);
		if (lock_fd < 0) {
			err = attach_failed(error, lock_fd, "%s: %s", LOCK_FILE,
					    strerror(-lock_fd));
		} else {
			err = attach(&k, r, target, host, port, a, error);
			close(lock_fd);
		}
	}
	iscsi_kernel_close(&k);
	return err;
}
