/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor receive: the other end of vstor migrate. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "core/log.h"
#include "core/opts.h"
#include "net/channel_open.h"
#include "xen/guardian.h"
#include "xen/migration/handover.h"
#include "xen/migration/reception.h"

#define DEFAULT_PORT 7002

struct server;

struct guest_slot {
	struct guest_slot *next;
	struct server *s;
	struct toolstack *t; /* its own: causes of failures are told apart by it */
	struct reception *r;
	struct loop_task gone;
};

struct server {
	struct loop *loop;
	struct toolstack *t;
	struct channel_key key;
	struct channel_listener *listener;
	struct guest_slot *slots;
	bool listening, stopping, swept, silent;
	int status;
	struct handover_sweep sweep;
	struct guardian guardian;
	struct loop_signal sigint, sigterm, sighup;
};

/* Not before the sweep is done: libxl cannot be closed with an operation under way. */
static void stop_when_done(struct server *s)
{
	if (s->swept && !s->slots && (s->stopping || !s->listening))
		loop_stop(s->loop, s->status);
}

static void slot_free(void *arg)
{
	struct guest_slot *g = arg;
	struct server *s = g->s;

	for (struct guest_slot **p = &s->slots; *p; p = &(*p)->next) {
		if (*p == g) {
			*p = g->next;
			break;
		}
	}
	reception_free(g->r);
	toolstack_close(g->t);
	free(g);
	stop_when_done(s);
}

static void on_done(void *arg, enum reception_end end)
{
	struct guest_slot *g = arg;

	if (!g->s->listening)
		g->s->status = end == RECEPTION_FAILED;
	/* Freed from the loop, not from inside itself. */
	g->gone = (struct loop_task){.fn = slot_free, .arg = g};
	loop_defer(g->s->loop, &g->gone);
}

static struct guest_slot *slot_new(struct server *s)
{
	struct guest_slot *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->s = s;
	if (toolstack_open(s->loop, &g->t) || reception_new(s->loop, g->t, on_done, g, &g->r)) {
		toolstack_close(g->t);
		free(g);
		return NULL;
	}
	if (s->silent)
		reception_silent(g->r);
	g->next = s->slots;
	s->slots = g;
	return g;
}

static void on_accept(void *arg, struct channel *c)
{
	struct server *s = arg;
	struct guest_slot *g = s->stopping ? NULL : slot_new(s);

	if (!g) {
		channel_free(c);
		return;
	}
	log_info("%s: connected", channel_peer(c));
	channel_set_ops(c, &reception_ops, g->r);
	reception_channel(g->r, c, &s->key);
}

static void on_signal(void *arg, int signo)
{
	struct server *s = arg;

	(void)signo;
	if (s->stopping)
		return;
	s->stopping = true;
	channel_listener_free(s->listener);
	s->listener = NULL;
	for (struct guest_slot *g = s->slots; g; g = g->next)
		reception_cancel(g->r, "the receiver was told to stop");
	stop_when_done(s);
}

/* One migration over stdin and stdout. */
static int serve_stdio(struct server *s)
{
	struct guest_slot *g = slot_new(s);
	struct channel_config cfg = {.ops = &reception_ops, .peer = "the sender", .server = true};
	struct channel *c;
	int rc;

	if (!g)
		return -ENOMEM;
	cfg.arg = g->r;
	rc = channel_new(s->loop, STDIN_FILENO, STDOUT_FILENO, &cfg, &c);
	if (!rc)
		reception_channel(g->r, c, NULL);
	return rc;
}

static void on_swept(void *arg)
{
	struct server *s = arg;

	s->swept = true;
	stop_when_done(s);
}

static void stop_loop(void *arg)
{
	loop_stop(arg, 0);
}

/* In the guardian: what the killed receiver had in hand is destroyed, or, after GO, started. */
static void on_orphaned(void *arg, const void *note, size_t n)
{
	const struct server *s = arg;
	struct loop *l = loop_new();
	struct handover_sweep sweep;
	struct toolstack *t;

	(void)note;
	(void)n;
	if (!l || toolstack_open(l, &t))
		return;
	/* It has nobody after it: what only a disk can tell is waited for. */
	do {
		handover_sweep(&sweep, t, l, !s->silent, stop_loop, l);
		loop_run(l);
	} while (sweep.silent);
}

static int serve(struct server *s, const char *listen)
{
	const struct channel_config cfg = {.key = &s->key, .server = true};
	int rc;

	s->status = 1;
	rc = guardian_start(&s->guardian, -1, on_orphaned, s);
	s->loop = loop_new();
	if (rc || !s->loop) {
		log_error("%s", strerror(rc ? -rc : errno));
		goto out;
	}
	rc = toolstack_open(s->loop, &s->t);
	if (rc)
		goto out;
	handover_sweep(&s->sweep, s->t, s->loop, !s->silent, on_swept, s);
	loop_signal_add(s->loop, &s->sigint, SIGINT, on_signal, s);
	loop_signal_add(s->loop, &s->sigterm, SIGTERM, on_signal, s);
	loop_signal_add(s->loop, &s->sighup, SIGHUP, on_signal, s);
	s->listening = listen != NULL;
	if (listen)
		rc = channel_listen(s->loop, listen, DEFAULT_PORT, &cfg, on_accept, s,
				    &s->listener);
	else
		rc = serve_stdio(s);
	if (rc) {
		log_error("%s: %s", listen ? listen : "stdin", sock_strerror(rc));
		goto out;
	}
	s->status = 0;
	s->status = loop_run(s->loop);
out:
	channel_listener_free(s->listener);
	while (s->slots) {
		struct guest_slot *g = s->slots;

		s->slots = g->next;
		reception_free(g->r);
		toolstack_close(g->t);
		free(g);
	}
	toolstack_close(s->t);
	loop_free(s->loop);
	guardian_dismiss(&s->guardian);
	return s->status;
}

int cmd_receive(int argc, char **argv)
{
	struct server s = {0};
	const char *listen = NULL, *key_file = NULL;
	char text[CHANNEL_TEXT_MAX];
	const struct opt table[] = {
		{.name = "listen",
		 .type = OPT_STRING,
		 .out = &listen,
		 .arg = "ADDR[:PORT]",
		 .help = "stay, and take migrations by TCP (default: one, over stdin and stdout; "
			 "default port 7002)"},
		{.name = "key-file",
		 .type = OPT_STRING,
		 .out = &key_file,
		 .arg = "F",
		 .help = "with --listen: the secret that both ends have"},
		{.name = "no-announce",
		 .type = OPT_FLAG,
		 .out = &s.silent,
		 .help = "do not tell the network where the guests are now; something else does"},
		{.type = OPT_END},
	};
	const struct opts o = {
		.name = "receive",
		.synopsis = "[--listen ADDR[:PORT] --key-file F] [--no-announce]",
		.description = "Takes in guests that vstor migrate sends from another host.",
		.table = table,
	};
	int rc = opts_parse(&o, argc, argv);

	if (rc < 0)
		return opts_exit(rc);
	if (!listen != !key_file) {
		log_error("--listen and --key-file go together: without a secret, anybody could "
			  "send a guest");
		return 2;
	}
	if (key_file && channel_key_load(&s.key, key_file, text)) {
		log_error("%s", text);
		return 1;
	}
	if (!listen && isatty(STDIN_FILENO)) {
		log_error(
			"started by `vstor migrate --ssh` on the other host, not by hand; or give "
			"--listen");
		return 2;
	}
	rc = serve(&s, listen);
	channel_key_wipe(&s.key);
	return rc;
}
