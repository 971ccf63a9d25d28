/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/channel_open.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/digest.h"
#include "core/log.h"
#include "net/channel_priv.h"

#define PIPE_SIZE  (1 << 20)
#define GONE_NS	   (8 * SEC_NS)
#define EXIT_NS	   SEC_NS	  /* how long a command whose output has ended may take to end */
#define GOODBYE_NS (5 * SEC_NS)	  /* the same after a goodbye: ssh closes its session */
#define KILL_NS	   (2 * SEC_NS)	  /* from SIGTERM to SIGKILL */
#define ASK_NS	   (120 * SEC_NS) /* for the first answer: ssh may ask for a password */
#define MAKE_A_KEY "make one: (umask 077; head -c 32 /dev/urandom | base64 >FILE)"

/* ---- the key ---- */

static int read_key(struct channel_key *k, int fd, const char *path, char text[CHANNEL_TEXT_MAX])
{
	struct stat st;
	ssize_t n = -1;
	k->len = 0;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (st.st_mode & 077) {
			snprintf(text, CHANNEL_TEXT_MAX,
				 "%s: others than its owner may use this key (mode %03o): chmod "
				 "600 it",
				 path, (unsigned)st.st_mode & 0777);
			return -EACCES;
		}
		while (k->len < sizeof(k->data) &&
		       (n = read(fd, k->data + k->len, sizeof(k->data) - k->len)) > 0)
			k->len += (size_t)n;
	} else {
		errno = EINVAL;
	}
	if (n < 0) {
		n = -errno;
		snprintf(text, CHANNEL_TEXT_MAX, "%s: cannot be read as a key file: %s", path,
			 strerror(errno));
		return (int)n;
	}
	if (k->len == sizeof(k->data)) {
		snprintf(text, CHANNEL_TEXT_MAX, "%s: %d bytes or more are no key; " MAKE_A_KEY,
			 path, CHANNEL_KEY_MAX);
		return -EFBIG;
	}
	while (k->len && (k->data[k->len - 1] == '\n' || k->data[k->len - 1] == '\r'))
		k->len--;
	if (k->len < CHANNEL_KEY_MIN) {
		snprintf(text, CHANNEL_TEXT_MAX,
			 "%s: a key of %zu bytes is too short, it takes %d; " MAKE_A_KEY, path,
			 k->len, CHANNEL_KEY_MIN);
		return -EINVAL;
	}
	return 0;
}

int channel_key_load(struct channel_key *k, const char *path, char text[CHANNEL_TEXT_MAX])
{
	/* O_NONBLOCK: a FIFO must not stop us. */
	int rc, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		rc = -errno;
		snprintf(text, CHANNEL_TEXT_MAX, "%s: %s%s", path, strerror(errno),
			 errno == ENOENT ? "; " MAKE_A_KEY ", and copy it to the other host" : "");
		return rc;
	}
	rc = read_key(k, fd, path, text);
	close(fd);
	if (rc)
		channel_key_wipe(k);
	return rc;
}

void channel_key_wipe(struct channel_key *k)
{
	wipe(k, sizeof(*k));
}

/* ---- a command ---- */

struct command {
	struct loop *loop;
	struct channel *c; /* NULL once it has been freed */
	struct loop_child child;
	struct loop_timer timer;
	bool exited, reporting;
	int status;
	char *line;
	int err; /* how the channel ended, while `reporting` is put off */
	char text[CHANNEL_TEXT_MAX];
};

/* Tells the user how it ended; an end of file is explained by how the command ended. */
static void command_report(struct command *m)
{
	m->reporting = false;
	loop_timer_del(m->loop, &m->timer);
	if (m->err == -ECONNRESET && m->exited) {
		int code = WIFEXITED(m->status) ? WEXITSTATUS(m->status) : 0;
		m->err = -ECHILD;
		if (WIFSIGNALED(m->status))
			snprintf(m->text, sizeof(m->text), "%s: `%s` was killed by signal %d",
				 channel_peer(m->c), m->line, WTERMSIG(m->status));
		else
			snprintf(m->text, sizeof(m->text), "%s: `%s` ended with status %d%s",
				 channel_peer(m->c), m->line, code,
				 code == 127 ? ": no such command (is vstor installed there?)"
				 : code	     ? ": its own message is above"
					     : " before the work was done");
	}
	channel_report(m->c, m->err, m->text); /* may be the end of m */
}

static void command_free(struct command *m)
{
	loop_timer_del(m->loop, &m->timer);
	free(m->line);
	free(m);
}

static void on_exit_of_command(void *arg, int status)
{
	struct command *m = arg;
	m->exited = true;
	m->status = status;
	if (!m->c)
		command_free(m);
	else if (m->reporting)
		command_report(m);
}

static void on_kill(void *arg)
{
	struct command *m = arg;
	kill(m->child.pid, SIGKILL);
}

static void command_terminate(struct command *m)
{
	kill(m->child.pid, SIGTERM);
	loop_timer_set(m->loop, &m->timer, KILL_NS, on_kill, m);
}

static void on_exit_overdue(void *arg)
{
	command_report(arg);
}

static bool command_ending(void *arg, int err, const char *text)
{
	struct command *m = arg;
	m->err = err;
	snprintf(m->text, sizeof(m->text), "%s", text);
	m->reporting = true;
	if (m->exited || (err && err != -ECONNRESET))
		command_report(m);
	else
		loop_timer_set(m->loop, &m->timer, err ? EXIT_NS : GOODBYE_NS, on_exit_overdue, m);
	return true;
}

static void command_freed(void *arg)
{
	struct command *m = arg;
	m->c = NULL;
	m->reporting = false;
	if (m->exited)
		command_free(m);
	else
		command_terminate(m); /* and reaped by on_exit_of_command() */
}

static void run_command(const char *line, int in, int out)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
	_exit(126);
}

static void close_pair(const int p[2])
{
	if (p[0] >= 0)
		close(p[0]);
	if (p[1] >= 0)
		close(p[1]);
}

int channel_command(struct loop *l, const char *line, const struct channel_config *cfg,
		    struct channel **out)
{
	struct command *m = calloc(1, sizeof(*m));
	int to[2] = {-1, -1}, from[2] = {-1, -1}, rc = -ENOMEM;
	pid_t pid;
	if (!m)
		return -ENOMEM;
	m->loop = l;
	m->line = strdup(line);
	if (!m->line)
		goto fail;
	rc = channel_alloc(l, cfg, &m->c);
	if (rc)
		goto fail;
	if (!cfg->handshake_ns)
		m->c->handshake_ns = ASK_NS;
	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0) {
		rc = -errno;
		goto fail;
	}
	/* Larger pipes mean fewer switches; a user's limit may forbid them. */
	(void)fcntl(to[1], F_SETPIPE_SZ, PIPE_SIZE);
	(void)fcntl(from[1], F_SETPIPE_SZ, PIPE_SIZE);
	rc = channel_start(m->c, from[0], to[1]);
	if (rc)
		goto fail;
	pid = fork();
	if (pid == 0)
		run_command(line, to[0], from[1]);
	rc = pid < 0 ? -errno : loop_child_add(l, &m->child, pid, on_exit_of_command, m);
	from[0] = to[1] = -1; /* the channel's now */
	if (rc) {
		if (pid > 0)
			kill(pid, SIGKILL);
		goto fail;
	}
	close(to[0]);
	close(from[1]);
	m->c->hook = (struct channel_hook){command_ending, command_freed, m};
	*out = m->c;
	return 0;
fail:
	close_pair(to);
	close_pair(from);
	channel_free(m->c);
	command_free(m);
	return rc;
}

/* ---- a TCP connection ---- */

struct connection {
	struct sock_connect connect;
	struct channel *c;
};

static void on_connected(void *arg, int fd, const char *error)
{
	struct connection *n = arg;
	int rc;
	if (fd < 0) {
		channel_fail(n->c, fd, "%s%s", error,
			     fd == -ECONNREFUSED ? ": does `vstor receive --listen` run there?"
						 : "");
		return;
	}
	rc = channel_start(n->c, fd, fd);
	if (rc) {
		close(fd);
		channel_fail(n->c, rc, "%s", strerror(-rc));
	}
}

static void connection_freed(void *arg)
{
	struct connection *n = arg;
	sock_connect_cancel(&n->connect);
	free(n);
}

int channel_connect(struct loop *l, const struct sock_addrs *to, const struct channel_config *cfg,
		    struct channel **out)
{
	struct connection *n = calloc(1, sizeof(*n));
	int rc;
	if (!n)
		return -ENOMEM;
	rc = channel_alloc(l, cfg, &n->c);
	if (rc) {
		free(n);
		return rc;
	}
	n->c->hook = (struct channel_hook){.freed = connection_freed, .arg = n};
	sock_connect(l, &n->connect, to, n->c->handshake_ns, on_connected, n);
	*out = n->c;
	return 0;
}

/* ---- listening ---- */

/* Somebody who has not proved the key yet. */
struct unproved {
	struct unproved *next; /* younger */
	struct channel_listener *listener;
	struct channel *c;
};

struct channel_listener {
	struct loop *loop;
	struct sock_listener socks;
	struct channel_config cfg;
	struct channel_key key;
	struct unproved *oldest;
	unsigned count;
	struct log_limit limit;
	void (*on_accept)(void *arg, struct channel *c);
	void *arg;
};

static void unproved_free(struct unproved *u)
{
	struct channel_listener *s = u->listener;
	for (struct unproved **p = &s->oldest; *p; p = &(*p)->next) {
		if (*p == u) {
			*p = u->next;
			break;
		}
	}
	s->count--;
	free(u);
}

/* One line about somebody who was turned away, unless there were many of late. */
static void turned_away(struct channel_listener *s, const char *text)
{
	unsigned more;
	if (!log_allowed(&s->limit, &more))
		return;
	if (more)
		log_warn("turned away %s (and %u others before)", text, more);
	else
		log_warn("turned away %s", text);
}

static void on_proved(void *arg)
{
	struct unproved *u = arg;
	struct channel_listener *s = u->listener;
	struct channel *c = u->c;
	unproved_free(u);
	s->on_accept(s->arg, c);
}

static bool on_early_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	(void)arg, (void)type, (void)p, (void)n;
	return true; /* there is none before on_proved() */
}

static void on_unproved_close(void *arg, int err, const char *text)
{
	struct unproved *u = arg;
	(void)err;
	turned_away(u->listener, text);
	channel_free(u->c);
	unproved_free(u);
}

static void on_peer(void *arg, int fd, const struct sock_addr *peer)
{
	static const struct channel_ops ops = {
		.on_open = on_proved, .on_frame = on_early_frame, .on_close = on_unproved_close};
	struct channel_listener *s = arg;
	struct unproved *u = calloc(1, sizeof(*u)), **tail = &s->oldest;
	struct channel_config cfg = s->cfg;
	char text[SOCK_TEXT_MAX], line[CHANNEL_TEXT_MAX];
	sock_text(peer, text);
	cfg.ops = &ops;
	cfg.arg = u;
	cfg.peer = text;
	/* Notices that the peer's host is gone also while a frame is held, as nobody reads then.
	 * Only here: the other side's data may wait for our window for longer. */
	sock_keepalive(fd, GONE_NS);
	if (!u || channel_new(s->loop, fd, fd, &cfg, &u->c)) {
		snprintf(line, sizeof(line), "%s: out of memory", text);
		turned_away(s, line);
		close(fd);
		free(u);
		return;
	}
	u->listener = s;
	while (*tail)
		tail = &(*tail)->next;
	*tail = u;
	if (++s->count <= CHANNEL_UNPROVED_MAX)
		return;
	/* The oldest has had the longest time to prove: who means well needs a few round trips. */
	u = s->oldest;
	snprintf(line, sizeof(line), "%s: too many others have come since, without a proof",
		 channel_peer(u->c));
	on_unproved_close(u, -EBUSY, line);
}

int channel_listen(struct loop *l, const char *where, uint16_t default_port,
		   const struct channel_config *cfg,
		   void (*on_accept)(void *arg, struct channel *c), void *arg,
		   struct channel_listener **out)
{
	struct channel_listener *s = calloc(1, sizeof(*s));
	int rc;
	if (!s)
		return -ENOMEM;
	s->loop = l;
	s->key = *cfg->key;
	s->cfg = *cfg;
	s->cfg.key = &s->key;
	s->cfg.server = true;
	s->limit = (struct log_limit){.burst = 5, .period_ns = 10 * SEC_NS};
	s->on_accept = on_accept;
	s->arg = arg;
	rc = sock_listen(l, &s->socks, where, default_port, on_peer, s);
	if (rc)
		channel_listener_free(s);
	else
		*out = s;
	return rc;
}

void channel_listener_free(struct channel_listener *s)
{
	if (!s)
		return;
	sock_listen_close(&s->socks);
	while (s->oldest) {
		channel_free(s->oldest->c);
		unproved_free(s->oldest);
	}
	channel_key_wipe(&s->key);
	free(s);
}

uint16_t channel_listener_port(const struct channel_listener *s)
{
	return sock_listen_port(&s->socks);
}
