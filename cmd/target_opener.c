/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/target_opener.h"

#include <errno.h>
#include <string.h>

#include "cmd/target_config.h"
#include "cmd/target_open.h"
#include "core/log.h"
#include "net/control.h"
#include "net/iscsi/pdu.h"
#include "net/sock.h"

_Static_assert(SOCK_ADDRS_MAX <= FDS_MAX, "a portal's sockets go in one message");

/* `now`: what is served; `fresh`: what a SIGHUP has the target compare with it. Names in either are
 * its due: when it cannot have what is new it goes back to what was. */
struct duty {
	int argc;
	char **argv;
	struct target_config *now, *fresh;
	const struct control *control;
	bool stale; /* the file is to be read for `fresh` */
};

static bool same(const char *a, const char *b)
{
	return a && strcmp(a, b) == 0;
}

static bool has_secret(const struct target_config *c, const char *name)
{
	return same(c->chap_file, name) || same(c->mutual_file, name);
}

static bool has_portal(const struct target_config *c, const char *name)
{
	for (size_t i = 0; i < c->listen.n; i++)
		if (same(c->listen.v[i], name))
			return true;
	return c->listen.n == 0 && same(TARGET_ANYWHERE, name);
}

static const struct disk_opts *find_lun(const struct target_config *c, const char *name,
					bool readonly)
{
	for (unsigned i = 0; i < c->luns_n; i++)
		if (c->luns[i].c.disk.readonly == readonly && same(c->luns[i].c.path, name))
			return &c->luns[i].c.disk;
	return NULL;
}

/* The target has parsed it by now, and said what is wrong with it: this reads the same. */
static void read_fresh(struct duty *d)
{
	enum log_level level = log_threshold;
	if (!d->stale)
		return;
	d->stale = false;
	target_config_words(&d->fresh, d->argc, d->argv, NULL);
	log_threshold = level; /* which -v would have raised once more */
}

static void take_fresh(struct duty *d)
{
	if (!d->fresh)
		return;
	target_config_free(d->now);
	d->now = d->fresh;
	d->fresh = NULL;
}

static int open_lun(const struct duty *d, const char *name, bool readonly)
{
	const struct disk_opts *o = d->fresh ? find_lun(d->fresh, name, readonly) : NULL;
	bool created;
	if (!o)
		o = find_lun(d->now, name, readonly);
	return o ? disk_open_file(name, o, &created) : -EACCES;
}

static int open_portal(const char *name, int *fds)
{
	char host[SOCK_HOST_MAX];
	uint16_t port = ISCSI_PORT;
	int rc = sock_parse(name, host, &port);
	return rc ? rc : sock_listen_open(name, ISCSI_PORT, fds);
}

static int open_due(void *arg, unsigned what, const char *name, int *fds)
{
	struct duty *d = arg;
	bool due = false;
	int fd = -EACCES;

	if (what == TARGET_CONFIG) {
		target_config_free(d->fresh);
		d->fresh = NULL;
		d->stale = due = same(d->now->file, name);
	} else {
		read_fresh(d);
	}
	switch ((enum target_thing)what) {
	case TARGET_SECRET:
		due = has_secret(d->now, name) || (d->fresh && has_secret(d->fresh, name));
		break;
	case TARGET_PORTAL:
		due = has_portal(d->now, name) || (d->fresh && has_portal(d->fresh, name));
		return due ? open_portal(name, fds) : -EACCES;
	case TARGET_TAKEN: take_fresh(d); return 0;
	case TARGET_LUN: fd = open_lun(d, name, false); break;
	case TARGET_LUN_READONLY: fd = open_lun(d, name, true); break;
	case TARGET_CONFIG: break;
	}
	if (due)
		fd = target_open_file(name);
	if (fd < 0)
		return fd;
	fds[0] = fd;
	return 1;
}

static void end(void *arg)
{
	const struct duty *d = arg;
	if (d->control)
		control_unlink(d->control);
}

int target_opener_start(struct opener **out, int argc, char **argv, struct target_config *now,
			const struct control *control)
{
	struct duty d = {.argc = argc, .argv = argv, .now = now, .control = control};
	const struct opener_duty duty = {.open = open_due, .end = end, .arg = &d};
	return opener_start(out, &duty);
}

void target_opener_taken(struct opener *o)
{
	int fds[FDS_MAX];
	(void)opener_ask(o, TARGET_TAKEN, "configuration", fds);
}
