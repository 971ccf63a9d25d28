/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/loop.h"
#include "net/iscsi/keeper_control.h"
#include "net/iscsi/kernel.h"
#include "net/lookup.h"

#define MARK	     "vstor:"
#define DIGESTS	     "+digests"
#define PEER	     "@"
#define CONNECT_TIME (500 * MS_NS) /* enough where disks are, */
#define CONNECT_LONG                                                                               \
	(3 * SEC_NS) /* but not everywhere: a fourth of the attempts may take longer               \
		      */
#define MAX_MOVES    4
#define LOGIN_TIME   (5 * SEC_NS)
#define RETRY_MIN    (100 * MS_NS)
#define RETRY_MAX    (2 * SEC_NS)
#define STEADY	     (10 * SEC_NS) /* a connection that lived this long was no mistake */
#define FLAP_WAIT    (2 * SEC_NS)
#define LOOK_AGAIN   (1 * SEC_NS) /* the kernel takes a moment to show an error in sysfs */
#define ASYNC_EVENT  36		  /* offset of AsyncEvent (RFC 7143, 11.9.1) */
#define ASYNC_LOGOUT 1
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

void keeper_mark(const struct initiator_id *id, const char *peer, char out[KEEPER_MARK])
{
	const uint8_t *i = id->isid;

	snprintf(out, KEEPER_MARK, MARK "%02x%02x%02x%02x%02x%02x%s%s%s", i[0], i[1], i[2], i[3],
		 i[4], i[5], id->digests ? DIGESTS : "", peer && *peer ? PEER : "",
		 peer ? peer : "");
}

/* peer: empty when there is none. */
static bool read_mark(const char *mark, struct initiator_id *id, char peer[SOCK_TEXT_MAX])
{
	unsigned v[ISCSI_ISID];
	int end = 0;

	if (sscanf(mark, MARK "%2x%2x%2x%2x%2x%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5],
		   &end) != ISCSI_ISID)
		return false;
	for (size_t i = 0; i < ISCSI_ISID; i++)
		id->isid[i] = (uint8_t)v[i];
	mark += end;
	id->digests = strncmp(mark, DIGESTS, strlen(DIGESTS)) == 0;
	mark += id->digests ? strlen(DIGESTS) : 0;
	snprintf(peer, SOCK_TEXT_MAX, "%s", *mark == *PEER ? mark + 1 : "");
	return true;
}

bool keeper_owns(const struct iscsi_session *s)
{
	struct initiator_id id;
	char peer[SOCK_TEXT_MAX];

	return read_mark(s->iface, &id, peer);
}

enum state { UP, WAITING, CONNECTING, LOGIN };
static const char *const state_names[] = {"up", "waiting", "connecting", "login"};

struct keeper {
	struct loop *loop;
	struct iscsi_kernel kernel;
	struct iscsi_events events;
	struct iscsi_session session;
	struct initiator_id id;
	char user[CHAP_SECRET_MAX], secret[CHAP_SECRET_MAX];
	char mutual_user[CHAP_SECRET_MAX], mutual_secret[CHAP_SECRET_MAX];
	enum state state;
	struct iscsi_login login;
	struct sock_connect connect;
	struct loop_timer timer;
	uint64_t since;
	unsigned attempts; /* since the session was last up */
	unsigned moves;	   /* redirections in a row */
	/* Where the target last sent us (RFC 7143, 11.13.5), or empty; and whether that is where to
	 * try next: otherwise at the portal that the user named. */
	char moved_to[SOCK_HOST_MAX];
	bool away;
	/* The numeric address of a portal that the user named by a name, or empty; and where we are
	 * connected to. */
	char peer[SOCK_TEXT_MAX], connected_to[SOCK_TEXT_MAX];
	struct lookup lookup;
	char error[256];
	uint32_t recoveries;
	int lock; /* on the session, among keepers */
	struct loop_fd control;
	struct loop_fd client; /* one at a time */
};

static void on_retry(void *arg);

static void enter(struct keeper *k, enum state state)
{
	if ((state == UP) != (k->state == UP))
		k->since = clock_ns();
	k->state = state;
}

/* For how long it has been up, or not. */
static uint64_t lasted(const struct keeper *k)
{
	return clock_ns() - k->since;
}

/* How long to wait before the next attempt: a hundredth of the time that is lost already. */
static uint64_t backoff(const struct keeper *k)
{
	return MIN(MAX(lasted(k) / 100, RETRY_MIN), RETRY_MAX);
}

/* The kernel lets go of the connection; there will be another attempt. */
static void retry_after(struct keeper *k, uint64_t wait)
{
	int err;

	sock_connect_cancel(&k->connect);
	iscsi_login_free(&k->login);
	memset(&k->login, 0, sizeof(k->login));
	err = iscsi_kernel_stop(&k->kernel, k->session.sid, true);
	if (err)
		log_warn("session %u: the kernel does not stop it: %s", k->session.sid,
			 strerror(-err));
	enter(k, WAITING);
	loop_timer_set(k->loop, &k->timer, wait, on_retry, k);
}

/* The connection is lost, or an attempt failed. */
static void lost(struct keeper *k, const char *why)
{
	uint64_t wait;

	if (k->state == UP) {
		log_warn("session %u %s: %s; reconnecting", k->session.sid, k->session.target, why);
		/* A target that drops us as soon as it has let us in gets time: each such round
		 * costs the commands under way one of the five retries that the kernel gives them.
		 */
		wait = lasted(k) > STEADY ? 0 : FLAP_WAIT;
		k->attempts = 0;
		k->away = false;
	} else {
		if (strcmp(k->error, why))
			log_warn("session %u %s: %s; trying again", k->session.sid,
				 k->session.target, why);
		wait = backoff(k);
		/* By turns: who redirects may be gone while the target is where it was. */
		k->away = !k->away && k->moved_to[0];
	}
	k->moves = 0;
	snprintf(k->error, sizeof(k->error), "%s", why);
	retry_after(k, wait);
}

static void lost_errno(struct keeper *k, const char *what, int err)
{
	char why[128];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(-err));
	lost(k, why);
}

static void on_login_timeout(void *arg)
{
	lost(arg, "no answer to the login");
}

static int send_by_kernel(void *arg, const uint8_t *bhs, const void *data, size_t len)
{
	struct keeper *k = arg;

	return iscsi_kernel_send(&k->kernel, k->session.sid, bhs, data, len);
}

static void on_connected(void *arg, int fd, const char *error)
{
	struct keeper *k = arg;
	int err;

	if (fd < 0) {
		lost(k, error);
		return;
	}
	sock_nodelay(fd);
	sock_peer_text(fd, k->connected_to);
	err = iscsi_kernel_bind(&k->kernel, k->session.sid, fd);
	close(fd);
	if (err) {
		lost_errno(k, "the kernel does not take the connection", err);
		return;
	}
	enter(k, LOGIN);
	loop_timer_set(k->loop, &k->timer, LOGIN_TIME, on_login_timeout, k);
	k->login.id = k->id;
	k->login.send = send_by_kernel;
	k->login.arg = k;
	err = iscsi_login_start(&k->login);
	if (err)
		lost(k, k->login.error);
}

/*
 * Where to try next. A name is looked up in files and by servers that may well be on the disk which
 * this is to bring back: nothing waits for that, and the address that the name had goes first, for
 * eight attempts in sixteen. 0 or -errno.
 */
static int where_to(struct keeper *k, struct sock_addrs *to)
{
	char portal[SOCK_HOST_MAX + 16];
	int err;

	if (k->away)
		snprintf(portal, sizeof(portal), "%s", k->moved_to);
	else if (strchr(k->session.address, ':'))
		snprintf(portal, sizeof(portal), "[%s]", k->session.address);
	else
		snprintf(portal, sizeof(portal), "%s", k->session.address);
	err = lookup(&k->lookup, k->loop, portal, k->session.port, to);
	if (!k->away && k->peer[0] && (err || k->attempts / 8 % 2 == 0))
		err = sock_resolve_numeric(k->peer, k->session.port, to);
	return err;
}

static void on_retry(void *arg)
{
	struct keeper *k = arg;
	struct sock_addrs to;
	int err = where_to(k, &to);

	if (err) {
		lost(k, err == -EINPROGRESS ? "its name is being looked up" : sock_strerror(err));
		return;
	}
	enter(k, CONNECTING);
	/* Pairs of attempts, as there may be two places. */
	sock_connect(k->loop, &k->connect, &to,
		     k->attempts++ / 2 % 4 == 3 ? CONNECT_LONG : CONNECT_TIME, on_connected, k);
}

/* The next keeper needs it as well: it goes into the mark. */
static void remember_peer(struct keeper *k)
{
	char mark[KEEPER_MARK];
	int err;

	if (k->away || !k->peer[0] || strcmp(k->peer, k->connected_to) == 0)
		return;
	snprintf(k->peer, sizeof(k->peer), "%s", k->connected_to);
	keeper_mark(&k->id, k->peer, mark);
	err = iscsi_kernel_set(&k->kernel, k->session.sid, ISCSI_PARAM_IFACE_NAME, mark);
	if (err)
		log_debug("session %u: its mark: %s", k->session.sid, strerror(-err));
}

static void logged_in(struct keeper *k)
{
	uint64_t down = lasted(k);
	int err = iscsi_kernel_set_login(&k->kernel, k->session.sid, &k->login);

	if (!err)
		err = iscsi_kernel_start(&k->kernel, k->session.sid);
	if (err) {
		lost_errno(k, "the kernel does not start the session", err);
		return;
	}
	loop_timer_del(k->loop, &k->timer);
	remember_peer(k);
	iscsi_login_free(&k->login);
	memset(&k->login, 0, sizeof(k->login));
	k->recoveries++;
	k->moves = 0;
	k->error[0] = '\0';
	log_warn("session %u %s: back after %.1f s", k->session.sid, k->session.target,
		 (double)down / SEC_NS);
	enter(k, UP);
}

static void moved(struct keeper *k)
{
	if (++k->moves > MAX_MOVES) {
		lost(k, "the target sends us round in a circle");
		return;
	}
	snprintf(k->moved_to, sizeof(k->moved_to), "%s", k->login.moved_to);
	k->away = true;
	log_info("session %u %s: the target has moved to %s", k->session.sid, k->session.target,
		 k->moved_to);
	retry_after(k, 0);
}

static void on_login_pdu(struct keeper *k, const struct iscsi_event *e)
{
	int err = iscsi_login_input(&k->login, e->bhs, e->bhs + ISCSI_BHS, e->len);

	if (err == 1) {
		logged_in(k);
	} else if (err == -EREMOTE) {
		moved(k);
	} else if (err) {
		k->id.chap = k->login.id.chap;
		lost(k, k->login.error);
	}
}

static void on_up_pdu(struct keeper *k, const struct iscsi_event *e)
{
	if ((e->bhs[0] & ISCSI_OPCODE_MASK) == ISCSI_ASYNC_MESSAGE &&
	    e->bhs[ASYNC_EVENT] == ASYNC_LOGOUT)
		lost(k, "the target asks us to leave");
}

static void on_up_error(struct keeper *k, const struct iscsi_event *e)
{
	char why[64];

	snprintf(why, sizeof(why), "connection lost (kernel error %u)", e->error);
	lost(k, why);
}

static void on_login_error(struct keeper *k, const struct iscsi_event *e)
{
	(void)e;
	lost(k, "connection lost during the login");
}

static void on_destroyed(struct keeper *k, const struct iscsi_event *e)
{
	(void)e;
	loop_stop(k->loop, 0);
}

/* True when the session is, as far as sysfs tells, as it should be. */
static bool look(struct keeper *k)
{
	struct iscsi_session now;

	if (iscsi_session_read(k->session.sid, &now) || strcmp(now.target, k->session.target)) {
		loop_stop(k->loop, 0);
		return false;
	}
	if (k->state == UP && (strcmp(now.state, "LOGGED_IN") || !now.peer[0])) {
		lost(k, "connection lost");
		return false;
	}
	return true;
}

static void look_again(void *arg)
{
	look(arg);
}

/* Any of the others may be among what was missed. A login has its time limit. */
static void on_missed(struct keeper *k, const struct iscsi_event *e)
{
	(void)e;
	if (look(k) && k->state == UP)
		loop_timer_set(k->loop, &k->timer, LOOK_AGAIN, look_again, k);
}

/* What an event of the kernel does in each state (RFC 7143, 8.1.3.1: connection transitions T4 to
 * T18 as the kernel reports them). Where there is no row, the event means nothing. */
static const struct row {
	enum state state;
	enum iscsi_event_type event;
	void (*act)(struct keeper *k, const struct iscsi_event *e);
} rows[] = {
	{UP, ISCSI_EVENT_PDU, on_up_pdu},
	{UP, ISCSI_EVENT_ERROR, on_up_error},
	{LOGIN, ISCSI_EVENT_PDU, on_login_pdu},
	{LOGIN, ISCSI_EVENT_ERROR, on_login_error},
	{UP, ISCSI_EVENT_DESTROYED, on_destroyed},
	{WAITING, ISCSI_EVENT_DESTROYED, on_destroyed},
	{CONNECTING, ISCSI_EVENT_DESTROYED, on_destroyed},
	{LOGIN, ISCSI_EVENT_DESTROYED, on_destroyed},
	{UP, ISCSI_EVENT_MISSED, on_missed},
	{WAITING, ISCSI_EVENT_MISSED, on_missed},
	{CONNECTING, ISCSI_EVENT_MISSED, on_missed},
	{LOGIN, ISCSI_EVENT_MISSED, on_missed},
};

static void on_event(void *arg, const struct iscsi_event *e)
{
	struct keeper *k = arg;

	if (e->sid != k->session.sid && e->type != ISCSI_EVENT_MISSED)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].state == k->state && rows[i].event == e->type) {
			rows[i].act(k, e);
			return;
		}
	}
}

static void drop_client(struct keeper *k)
{
	loop_fd_del(k->loop, &k->client);
	close(k->client.fd);
}

static void on_client(void *arg, unsigned events)
{
	struct keeper *k = arg;
	struct keeper_status st = {.pid = (uint32_t)getpid(), .recoveries = k->recoveries};
	char word[16];
	ssize_t n = recv(k->client.fd, word, sizeof(word), MSG_DONTWAIT);

	(void)events;
	if (n == 7 && memcmp(word, "release", 7) == 0) {
		loop_stop(k->loop, 0);
		return;
	}
	if (n == 6 && memcmp(word, "status", 6) == 0) {
		st.since_s = lasted(k) / SEC_NS;
		snprintf(st.state, sizeof(st.state), "%s", state_names[k->state]);
		snprintf(st.error, sizeof(st.error), "%s", k->error);
		send(k->client.fd, &st, sizeof(st), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	drop_client(k);
}

static void on_control(void *arg, unsigned events)
{
	struct keeper *k = arg;
	int fd = accept4(k->control.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	/* Whoever was there and said nothing gives way. */
	if (k->client.on)
		drop_client(k);
	if (loop_fd_add(k->loop, &k->client, fd, LOOP_READ, on_client, k))
		close(fd);
}

/* Only one keeper for a session: its byte of a file, locked for as long as the process lives.
 * -EAGAIN: another one has it. */
static int lock_session(struct keeper *k)
{
	struct flock fl = {.l_type = F_WRLCK, .l_start = k->session.sid, .l_len = 1};

	if (mkdir(KEEPER_DIR, 0700) < 0 && errno != EEXIST)
		return -errno;
	k->lock = open(KEEPER_DIR "/keepers.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (k->lock < 0 || fcntl(k->lock, F_OFD_SETLK, &fl) < 0)
		return k->lock >= 0 && errno == EACCES ? -EAGAIN : -errno;
	return 0;
}

/* With the session locked: what lies there is a dead keeper's. */
static int control_open(struct keeper *k)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	keeper_control_name(k->session.sid, &a);
	unlink(a.sun_path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 8) < 0)
		err = -errno;
	else
		err = loop_fd_add(k->loop, &k->control, fd, LOOP_READ, on_control, k);
	if (err)
		close(fd);
	return err;
}

/* What holds disks up must not wait for them: no page of ours may be on its way in from there, and
 * our memory must not need write-back that waits for us. */
static void be_resident(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, "-1000", 5) < 0)
			log_debug("oom_score_adj: %s", strerror(errno));
		close(fd);
	}
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		log_debug("mlockall: %s", strerror(errno));
}

/* How to log in again: all of it is in the kernel's session. */
static int read_id(struct keeper *k)
{
	struct chap_credentials *chap = &k->id.chap;
	const struct {
		const char *attr;
		char *to;
		const char **set;
	} from[] = {
		{"username", k->user, &chap->user},
		{"password", k->secret, &chap->secret},
		{"username_in", k->mutual_user, &chap->mutual_user},
		{"password_in", k->mutual_secret, &chap->mutual_secret},
	};
	int err = 0;

	if (!read_mark(k->session.iface, &k->id, k->peer))
		return -ENOENT;
	k->id.initiator = k->session.initiator;
	k->id.target = k->session.target;
	for (size_t i = 0; i < ARRAY_SIZE(from) && !err; i++) {
		err = iscsi_session_attr(k->session.sid, from[i].attr, from[i].to, CHAP_SECRET_MAX);
		*from[i].set = from[i].to[0] ? from[i].to : NULL;
	}
	return err;
}

static int keep(uint32_t sid, int ready)
{
	static struct keeper k;
	struct sockaddr_un a;
	int err = iscsi_session_read(sid, &k.session);

	if (!err)
		err = read_id(&k);
	if (err)
		return err;
	k.loop = loop_new();
	if (!k.loop)
		return -errno;
	err = iscsi_kernel_open(&k.kernel);
	if (!err)
		err = lock_session(&k);
	if (err == -EAGAIN) /* somebody was faster */
		return write(ready, "", 1) < 0 ? -errno : 0;
	if (!err)
		err = control_open(&k);
	if (!err)
		err = iscsi_events_open(&k.events, k.loop, on_event, &k);
	if (err)
		return err;
	be_resident();
	k.since = clock_ns();
	if (write(ready, "", 1) < 0)
		return -errno;
	close(ready);
	/* The connection may have gone before we listened. */
	if (iscsi_session_read(sid, &k.session))
		return 0;
	if (strcmp(k.session.state, "LOGGED_IN")) {
		k.since = 0; /* nobody knows, and there is no reason to wait */
		lost(&k, "the session is down");
	}
	err = loop_run(k.loop);
	keeper_control_name(sid, &a);
	unlink(a.sun_path);
	return err;
}

int keeper_run(uint32_t sid)
{
	int ready[2];
	char ok;
	pid_t pid;

	/* Nothing of whoever started us stays open. */
	log_close();
	syscall(SYS_close_range, 3u, ~0u, 0u);
	if (pipe2(ready, O_CLOEXEC) < 0)
		return 1;
	pid = fork();
	if (pid < 0)
		return 1;
	if (pid) {
		close(ready[1]);
		return read(ready[0], &ok, 1) == 1 ? 0 : 1;
	}
	setsid();
	umask(077);
	prctl(PR_SET_NAME, "vstor-keeper", 0, 0, 0); /* not "exe" */
	if (chdir("/") < 0)
		log_debug("/: %s", strerror(errno));
	close(ready[0]);
	return keep(sid, ready[1]) ? 1 : 0;
}
