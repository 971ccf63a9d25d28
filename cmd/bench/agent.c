/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor bench agent: runs loads as it is told, each as a process of its own. */
#include "cmd/bench/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cmd/bench/bench.h"
#include "cmd/bench/child.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"

#define WORDS_MAX 32
#define PRIORITY  (-15)

struct agent;

struct task {
	struct agent *a;
	bool used, handed;
	struct child child;
	uint64_t given; /* of what it has written: its JSON object */
	char why[256];	/* its last words that were no sample */
};

struct agent {
	struct loop *loop;
	struct channel_key key;
	struct channel_listener *listener;
	struct channel *channel; /* the newest; NULL: nobody is there */
	struct task task[AGENT_LOADS];
	bool stopping;			  /* the loads are to be handed over */
	uint64_t probe_from, probe_bytes; /* since the first frame of a probe; 0: there is none */
	struct loop_timer lease;
	struct loop_signal sigint, sigterm;
};

static void tell(struct agent *a, uint8_t type, uint8_t id, int status, const char *text)
{
	struct buf b = {0};

	if (!a->channel)
		return;
	buf_put_u8(&b, id);
	if (status >= 0)
		buf_put_u8(&b, (uint8_t)status);
	buf_put(&b, text, strlen(text));
	/* A link that takes nothing loses lines, never results. */
	if (!b.failed && (type != AGENT_LINE || channel_writable(a->channel)))
		channel_send(a->channel, type, b.data, b.len);
	buf_free(&b);
}

/* ---- handing over ---- */

/* Sends of the task's object what the link takes; true when all of it has gone. */
static bool hand_over(struct agent *a, struct task *t)
{
	uint8_t id = (uint8_t)(t - a->task);

	while (!t->handed) {
		uint8_t *p = channel_reserve(a->channel, 1 + AGENT_CHUNK);
		ssize_t n;

		if (!p)
			return false;
		p[0] = id;
		n = pread(t->child.out, p + 1, AGENT_CHUNK, (off_t)t->given);
		if (n > 0) {
			channel_commit(a->channel, AGENT_DATA, 1 + (size_t)n);
			t->given += (uint64_t)n;
			continue;
		}
		t->handed = true;
		tell(a, AGENT_END, id, t->child.status ? 1 : 0, t->why);
	}
	return true;
}

static void hand_all(struct agent *a)
{
	bool all = true;

	if (!a->stopping || !a->channel)
		return;
	for (unsigned i = 0; i < AGENT_LOADS; i++) {
		struct task *t = &a->task[i];

		if (t->used)
			all &= !t->child.running && hand_over(a, t);
	}
	if (all) {
		a->stopping = false;
		channel_send(a->channel, AGENT_DONE, NULL, 0);
	}
}

/* ---- loads ---- */

/* A sample begins with a figure; anything else is the load's own word. */
static void on_line(void *arg, const char *line)
{
	struct task *t = arg;

	if (line[0] >= '0' && line[0] <= '9')
		tell(t->a, AGENT_LINE, (uint8_t)(t - t->a->task), -1, line);
	else if (strncmp(line, "from_s", 6) != 0)
		snprintf(t->why, sizeof(t->why), "%.255s", line);
}

static void on_ended(void *arg)
{
	struct task *t = arg;
	struct agent *a = t->a;

	if (!a->stopping)
		tell(a, AGENT_FAILED, (uint8_t)(t - a->task), -1,
		     t->why[0] ? t->why : "ended before it was told to");
	hand_all(a);
}

static void forget(struct task *t)
{
	child_close(&t->child);
	*t = (struct task){.a = t->a};
}

static int start(struct task *t, const char *const *words)
{
	const char *argv[WORDS_MAX + 5] = {"vstor", "bench"};
	int n = 2, err;

	for (; *words; words++)
		argv[n++] = *words;
	argv[n++] = "--json";
	argv[n++] = "--csv"; /* its lines on stderr */
	t->child = (struct child){.on_line = on_line, .on_exit = on_ended, .arg = t};
	err = child_start(t->a->loop, &t->child, argv, NULL);
	t->used = !err;
	return err;
}

static void on_start(struct agent *a, const uint8_t *p, size_t n)
{
	const char *words[WORDS_MAX + 1] = {0};
	unsigned count = 0, id = n ? p[0] : AGENT_LOADS;
	int err = -EINVAL;

	if (id >= AGENT_LOADS || p[n - 1])
		return;
	for (size_t at = 1; at < n && count < WORDS_MAX; at += strlen((const char *)p + at) + 1)
		words[count++] = (const char *)p + at;
	/* Those that are loads: an agent that runs agents or migrations is not wanted. */
	if (count && bench_is_load(words[0])) {
		forget(&a->task[id]);
		err = start(&a->task[id], words);
	}
	if (err)
		tell(a, AGENT_FAILED, (uint8_t)id, -1, strerror(-err));
}

static void stop_loads(struct agent *a)
{
	for (unsigned i = 0; i < AGENT_LOADS; i++) {
		a->task[i].handed = false;
		a->task[i].given = 0;
		child_signal(&a->task[i].child, SIGTERM);
	}
}

/* ---- the link ---- */

static void on_lease(void *arg)
{
	struct agent *a = arg;

	log_warn("nobody has asked for %u s: the loads end; what they measured is kept",
		 (unsigned)(AGENT_LEASE_NS / SEC_NS));
	stop_loads(a);
}

/* The release of the hypervisor below, "" when there is none. */
static void xen_release(char *out, size_t size)
{
	static const char *const part[] = {"major", "minor", "extra"};
	char text[3][32] = {"", "", ""}, path[64];

	for (int i = 0; i < 3; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "/sys/hypervisor/version/%s", part[i]);
		f = fopen(path, "re");
		if (f && !fgets(text[i], sizeof(text[i]), f))
			text[i][0] = '\0';
		if (f)
			fclose(f);
		text[i][strcspn(text[i], "\n")] = '\0';
	}
	out[0] = '\0';
	if (text[0][0])
		snprintf(out, size, ", Xen %s.%s%s", text[0], text[1], text[2]);
}

static void on_hello(struct agent *a)
{
	struct utsname u;
	struct buf b = {0};
	char text[512] = "", xen[112];

	xen_release(xen, sizeof(xen));
	if (uname(&u) == 0)
		snprintf(text, sizeof(text), "%s %s %s, %ld CPUs, %ld MiB%s", u.sysname, u.release,
			 u.nodename, sysconf(_SC_NPROCESSORS_ONLN),
			 sysconf(_SC_PHYS_PAGES) / (1048576 / sysconf(_SC_PAGESIZE)), xen);
	buf_put_be32(&b, AGENT_VERSION);
	buf_put(&b, text, strlen(text));
	if (!b.failed)
		channel_send(a->channel, AGENT_HELLO, b.data, b.len);
	buf_free(&b);
}

/* The first frame starts the clock, and does not count: nobody knows how long it was on its way. */
static void on_probe(struct agent *a, const uint8_t *p, size_t n)
{
	uint64_t now = clock_ns();
	uint8_t said[16];

	if (!n)
		return;
	if (a->probe_from)
		a->probe_bytes += n;
	else
		a->probe_from = now;
	if (!p[0])
		return;
	put_be64(said, a->probe_bytes);
	put_be64(said + 8, now - a->probe_from);
	a->probe_from = a->probe_bytes = 0;
	channel_send(a->channel, AGENT_PROBED, said, sizeof(said));
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	struct agent *a = arg;
	uint8_t clock[16];

	switch (type) {
	case AGENT_HELLO: on_hello(a); break;
	case AGENT_CLOCK:
		if (n != 8)
			break;
		memcpy(clock, p, 8);
		put_be64(clock + 8, clock_ns());
		channel_send(a->channel, AGENT_CLOCK, clock, sizeof(clock));
		break;
	case AGENT_RESET:
		a->stopping = false;
		for (unsigned i = 0; i < AGENT_LOADS; i++)
			forget(&a->task[i]);
		break;
	case AGENT_START: on_start(a, p, n); break;
	case AGENT_PROBE: on_probe(a, p, n); break;
	case AGENT_STOP:
		a->stopping = true;
		stop_loads(a);
		hand_all(a);
		break;
	default: break; /* of a later version, which says so by its hello */
	}
	return true;
}

static void on_writable(void *arg)
{
	hand_all(arg);
}

static void on_close(void *arg, int err, const char *text)
{
	struct agent *a = arg;

	if (err)
		log_info("%s", text);
	channel_free(a->channel);
	a->channel = NULL;
	a->stopping = false; /* whoever comes asks again */
	loop_timer_set(a->loop, &a->lease, AGENT_LEASE_NS, on_lease, a);
}

static const struct channel_ops channel_ops = {
	.on_frame = on_frame, .on_writable = on_writable, .on_close = on_close};

static void on_accept(void *arg, struct channel *c)
{
	struct agent *a = arg;

	/* It holds the key, and may have lost the other link without our seeing it. */
	channel_free(a->channel);
	a->channel = c;
	a->stopping = false;
	a->probe_from = a->probe_bytes = 0;
	loop_timer_del(a->loop, &a->lease);
	channel_set_ops(c, &channel_ops, a);
}

static void on_signal(void *arg, int signo)
{
	struct agent *a = arg;

	(void)signo;
	loop_stop(a->loop, 0);
}

static int serve(struct agent *a, const char *listen, int ready_fd)
{
	const struct channel_config cfg = {
		.key = &a->key, .server = true, .dead_ns = AGENT_DEAD_NS};
	int err, status = 1;

	/* It has to answer in time whatever the loads do, which are not favoured (child.c). */
	setpriority(PRIO_PROCESS, 0, PRIORITY);
	a->loop = loop_new();
	err = a->loop ? 0 : -errno;
	for (unsigned i = 0; i < AGENT_LOADS; i++)
		a->task[i].a = a;
	if (!err)
		err = channel_listen(a->loop, listen, AGENT_PORT, &cfg, on_accept, a, &a->listener);
	if (err) {
		log_error("%s: %s", listen, sock_strerror(err));
		goto out;
	}
	loop_signal_add(a->loop, &a->sigint, SIGINT, on_signal, a);
	loop_signal_add(a->loop, &a->sigterm, SIGTERM, on_signal, a);
	if (ready_fd >= 0 && dprintf(ready_fd, "%u\n", channel_listener_port(a->listener)) < 0)
		log_warn("--ready-fd %d: %s", ready_fd, strerror(errno));
	status = loop_run(a->loop);
	for (unsigned i = 0; i < AGENT_LOADS; i++)
		forget(&a->task[i]);
out:
	channel_free(a->channel);
	channel_listener_free(a->listener);
	loop_free(a->loop);
	return status;
}

int bench_agent(int argc, char **argv)
{
	struct agent a = {0};
	const char *listen = "*", *key_file = NULL;
	char text[CHANNEL_TEXT_MAX];
	uint64_t ready_fd = UINT64_MAX;
	const struct opt table[] = {
		{"listen", OPT_STRING, &listen, "ADDR[:PORT]",
		 "where to listen (default: every address, port 7003)", 0, 0},
		{"key-file", OPT_STRING, &key_file, "F",
		 "the secret that who commands it must have, too (default: " AGENT_KEY_FILE ")", 0,
		 0},
		{"ready-fd", OPT_U64, &ready_fd, "FD",
		 "write the port and a newline to it once it listens", 0, 1 << 20},
		{0},
	};
	const struct opts o = {
		.name = "bench agent",
		.synopsis = "[options]",
		.description = "Runs in a guest, and there the loads of `vstor bench migrate`. Who "
			       "holds the\nkey may have it run any program.",
		.table = table,
	};
	int n = opts_parse(&o, argc, argv), status;

	if (n < 0)
		return opts_exit(n);
	key_file = agent_key_file(key_file);
	if (!key_file) {
		log_error("--key-file is needed, for there is no " AGENT_KEY_FILE ": make it by "
			  "(umask 077; head -c 32 /dev/urandom | base64 >" AGENT_KEY_FILE
			  "), and copy it to who is to command it");
		return 2;
	}
	if (channel_key_load(&a.key, key_file, text)) {
		log_error("%s", text);
		return 1;
	}
	status = serve(&a, listen, ready_fd == UINT64_MAX ? -1 : (int)ready_fd);
	channel_key_wipe(&a.key);
	return status;
}
