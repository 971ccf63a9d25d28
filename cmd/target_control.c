/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/target_control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"
#include "net/iscsi/report.h"

#define ANY_TARGET "-"

__attribute__((format(printf, 3, 4))) static void answer(struct control_request *r, int status,
							 const char *fmt, ...)
{
	FILE *f = control_text(r);
	va_list ap;
	va_start(ap, fmt);
	if (f)
		vfprintf(f, fmt, ap);
	va_end(ap);
	control_reply(r, f ? status : 1);
}

static void report(struct target_control *t, struct control_request *r,
		   void (*fn)(struct target_server *s, FILE *f, bool json), bool json)
{
	FILE *f = control_text(r);
	if (f)
		fn(t->server, f, json);
	control_reply(r, !f);
}

static void changed(void *arg, const char *error)
{
	answer(arg, error != NULL, "%s", error ? error : "");
}

static void lun_add(struct target_control *t, struct control_request *r, const char *word)
{
	struct lun_setup setup;
	if (lun_setup_parse(&setup, word, (*t->config)->name, "lun add")) {
		lun_setup_free(&setup);
		answer(r, 1, "%s: not PATH[,KEY=VALUE...]; vstor target --help tells the keys",
		       word);
		return;
	}
	setup.c.disk.fd = control_fd(r);
	setup.c.disk.opened = setup.c.disk.fd >= 0;
	if (!setup.c.disk.opened) {
		lun_setup_free(&setup);
		answer(r, 1, "%s: the file has to come, open, with the request", word);
		return;
	}
	target_luns_add(t->luns, &setup, false, changed, r);
}

/* A LUN by its number and its target's name; NULL: the request has been answered. */
static struct served_lun *find(struct target_control *t, struct control_request *r,
			       const char *number, const char *target)
{
	const char *name = strcmp(target, ANY_TARGET) ? target : NULL;
	struct served_lun *s = NULL;
	uint64_t n;
	if (parse_u64(number, &n) == 0 && n < LUN_NUMBER_ANY)
		s = target_luns_find(t->luns, name, (unsigned)n, (*t->config)->name);
	if (!s)
		answer(r, 1, "%s%s%s: no such LUN; vstor lun list shows them", number,
		       name ? " of " : "", name ? name : "");
	return s;
}

static void lun_remove(struct target_control *t, struct control_request *r, const char *number,
		       const char *target)
{
	struct served_lun *s = find(t, r, number, target);
	if (s)
		target_luns_remove(t->luns, target_name(s->target), s->lun->number, changed, r);
}

static void lun_grow(struct target_control *t, struct control_request *r, const char *number,
		     const char *size, const char *target)
{
	struct served_lun *s = find(t, r, number, target);
	uint64_t bytes;
	if (!s)
		return;
	if (parse_size(size, &bytes))
		answer(r, 1, "%s: not a size in bytes, such as 20G", size);
	else
		target_luns_resize(t->luns, target_name(s->target), s->lun->number, bytes, changed,
				   r);
}

static void lun_acknowledge(struct target_control *t, struct control_request *r, const char *number,
			    const char *target)
{
	struct served_lun *s = find(t, r, number, target);
	if (!s)
		return;
	log_warn("%s: the failed flush of LUN %u of %s is acknowledged", disk_path(s->lun->disk),
		 s->lun->number, target_name(s->target));
	disk_flush_acknowledge(s->lun->disk);
	answer(r, 0, "%s", "");
}

static void session_drop(struct target_control *t, struct control_request *r, const char *which)
{
	uint64_t id = 0;
	bool number = parse_u64(which, &id) == 0;
	if (number && (id == 0 || id > UINT32_MAX))
		id = UINT32_MAX;
	if (target_server_drop(t->server, (unsigned)id, which))
		answer(r, 0, "%s", "");
	else
		answer(r, 1, "%s: no such session; vstor session list shows them", which);
}

void target_control_serve(void *arg, struct control_request *r, char *const *w, unsigned n)
{
	struct target_control *t = arg;
	bool json = n > 1 && strcmp(w[n - 1], "json") == 0;
	const char *object = w[0], *verb = n > 1 ? w[1] : "";

	if (strcmp(object, "status") == 0)
		report(t, r, report_status, json);
	else if (strcmp(object, "lun") == 0 && strcmp(verb, "list") == 0)
		report(t, r, report_luns, json);
	else if (strcmp(object, "session") == 0 && strcmp(verb, "list") == 0)
		report(t, r, report_sessions, json);
	else if (strcmp(object, "lun") == 0 && strcmp(verb, "add") == 0 && n == 3)
		lun_add(t, r, w[2]);
	else if (strcmp(object, "lun") == 0 && strcmp(verb, "remove") == 0 && n == 4)
		lun_remove(t, r, w[2], w[3]);
	else if (strcmp(object, "lun") == 0 && strcmp(verb, "resize") == 0 && n == 5)
		lun_grow(t, r, w[2], w[3], w[4]);
	else if (strcmp(object, "lun") == 0 && strcmp(verb, "acknowledge") == 0 && n == 4)
		lun_acknowledge(t, r, w[2], w[3]);
	else if (strcmp(object, "session") == 0 && strcmp(verb, "drop") == 0 && n == 3)
		session_drop(t, r, w[2]);
	else
		answer(r, 1, "the target does not know this request");
}
