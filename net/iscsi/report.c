/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/report.h"

#include <inttypes.h>
#include <string.h>

#include "core/bytes.h"
#include "core/json.h"
#include "core/sandbox.h"
#include "net/iscsi/server.h"
#include "net/sock.h"
#include "storage/scsi/pr_state.h"

static const char *const kinds[STATS_KINDS] = {"read", "write", "flush"};

static double us(uint64_t ns)
{
	return (double)ns / 1000;
}

static const char *type_text(enum pr_type type)
{
	switch (type) {
	case PR_WRITE_EXCLUSIVE: return "write exclusive";
	case PR_EXCLUSIVE_ACCESS: return "exclusive access";
	case PR_WRITE_EXCLUSIVE_REGISTRANTS: return "write exclusive, registrants only";
	case PR_EXCLUSIVE_ACCESS_REGISTRANTS: return "exclusive access, registrants only";
	case PR_WRITE_EXCLUSIVE_ALL: return "write exclusive, all registrants";
	case PR_EXCLUSIVE_ACCESS_ALL: return "exclusive access, all registrants";
	case PR_NONE: break;
	}
	return NULL;
}

static const char *cache_text(const struct lun *l)
{
	return l->writethrough ? "writethrough" : "writeback";
}

/* ---- JSON ---- */

static void json_counts(struct json *j, struct lun *l)
{
	stats_settle(&l->stats);
	for (unsigned k = 0; k < STATS_KINDS; k++) {
		const struct stats_count *c = &l->stats.of[k];
		json_object(j, kinds[k]);
		json_u64(j, "operations", c->ops);
		json_u64(j, "bytes", c->bytes);
		json_u64(j, "errors", c->errors);
		if (c->latency) {
			json_object(j, "latency_us");
			json_double(j, "mean", hist_mean(c->latency) / 1000);
			json_double(j, "p50", us(hist_quantile(c->latency, 0.5)));
			json_double(j, "p99", us(hist_quantile(c->latency, 0.99)));
			json_double(j, "max", us(c->latency->max));
			json_object_end(j);
		}
		json_object_end(j);
	}
}

static void json_reservation(struct json *j, const struct lun *l)
{
	const struct pr_state *s = &l->reservations->now;
	json_object(j, "reservation");
	json_string(j, "type", type_text(s->type));
	json_u64(j, "generation", s->generation);
	json_bool(j, "persistent", s->aptpl);
	json_string(j, "reserved_by", l->reserved_by ? l->reserved_by->initiator : NULL);
	json_array(j, "registrations");
	for (unsigned i = 0; i < s->n; i++) {
		char key[20];
		snprintf(key, sizeof(key), "0x%" PRIx64, s->reg[i].key);
		json_object(j, NULL);
		json_string(j, "initiator", s->reg[i].initiator);
		json_string(j, "key", key);
		json_bool(j, "holder", pr_holds(s, (int)i));
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}

static void json_lun(struct json *j, const struct target *t, struct lun *l)
{
	char naa[2 * sizeof(l->id.naa) + 1];
	int flush_error = disk_flush_error(l->disk);
	for (unsigned i = 0; i < sizeof(l->id.naa); i++)
		snprintf(naa + 2 * i, 3, "%02x", l->id.naa[i]);
	json_object(j, NULL);
	json_string(j, "target", t->name);
	json_u64(j, "lun", l->number);
	json_string(j, "path", disk_path(l->disk));
	json_u64(j, "bytes", l->blocks << l->block_shift);
	json_u64(j, "block_size", l->block_size);
	json_string(j, "serial", l->id.serial);
	json_string(j, "naa", naa);
	json_bool(j, "readonly", disk_readonly(l->disk));
	json_bool(j, "thin", l->thin);
	json_bool(j, "removable", l->removable);
	json_string(j, "cache", cache_text(l));
	json_bool(j, "ejected", l->ejected);
	json_bool(j, "sanitizing", l->sanitize != NULL);
	json_string(j, "flush_error", flush_error ? strerror(flush_error) : NULL);
	json_u64(j, "commands", l->running);
	json_counts(j, l);
	json_reservation(j, l);
	json_object_end(j);
}

static void json_luns(struct json *j, struct target_server *s, const char *key)
{
	json_array(j, key);
	for (struct target *t = s->targets; t; t = t->next)
		for (unsigned i = 0; i < t->luns_n; i++)
			json_lun(j, t, t->luns[i]);
	json_array_end(j);
}

static void json_session(void *arg, const struct session_info *i)
{
	struct json *j = arg;
	json_object(j, NULL);
	json_u64(j, "id", i->id);
	json_string(j, "initiator", i->initiator);
	json_string(j, "address", i->peer);
	json_string(j, "target", i->target);
	json_u64(j, "luns", i->luns);
	json_u64(j, "commands", i->commands);
	json_bool(j, "header_digest", i->header_digest);
	json_bool(j, "data_digest", i->data_digest);
	json_double(j, "age_s", (double)i->age_ns / (double)SEC_NS);
	json_object_end(j);
}

static void json_sessions(struct json *j, struct target_server *s, const char *key)
{
	json_array(j, key);
	target_server_sessions(s, json_session, j);
	json_array_end(j);
}

static void json_sandbox(struct json *j)
{
	const struct sandbox_state *b = sandbox_state();
	json_object(j, "sandbox");
	json_string(j, "user", b->user);
	json_u64(j, "uid", b->uid);
	json_bool(j, "no_new_privileges", b->no_new_privs);
	json_bool(j, "seccomp", b->seccomp);
	json_u64(j, "landlock", (uint64_t)b->landlock);
	json_object_end(j);
}

/* ---- text ---- */

/* "20.0 GiB"; `out` has room for 32. */
static const char *size_text(uint64_t n, char out[static 32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned u = 0;
	double v = (double)n;
	for (; v >= 1024 && u + 1 < ARRAY_SIZE(units); u++)
		v /= 1024;
	snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return out;
}

static void text_lun(FILE *f, const struct target *t, const struct lun *l)
{
	char size[32];
	fprintf(f, "%s LUN %u  %s  %s in blocks of %u, %s%s%s%s%s\n", t->name, l->number,
		disk_path(l->disk), size_text(l->blocks << l->block_shift, size), l->block_size,
		cache_text(l), disk_readonly(l->disk) ? ", read only" : "", l->thin ? ", thin" : "",
		l->removable ? ", removable" : "", l->ejected ? ", ejected" : "");
}

static void text_flush_error(FILE *f, const struct lun *l)
{
	int err = disk_flush_error(l->disk);
	if (err)
		fprintf(f,
			"    a flush failed: %s; what was written before it may be lost, and every "
			"flush fails until vstor lun acknowledge %u\n",
			strerror(err), l->number);
}

static void text_counts(FILE *f, struct lun *l)
{
	stats_settle(&l->stats);
	for (unsigned k = 0; k < STATS_KINDS; k++) {
		const struct stats_count *c = &l->stats.of[k];
		char size[32];
		if (!c->ops)
			continue;
		fprintf(f, "    %-5s  %" PRIu64 ", %s, %" PRIu64 " failed", kinds[k], c->ops,
			size_text(c->bytes, size), c->errors);
		if (c->latency)
			fprintf(f, "; mean %.0f us, p50 %.0f, p99 %.0f, max %.0f",
				hist_mean(c->latency) / 1000, us(hist_quantile(c->latency, 0.5)),
				us(hist_quantile(c->latency, 0.99)), us(c->latency->max));
		putc('\n', f);
	}
}

static void text_reservation(FILE *f, const struct lun *l)
{
	const struct pr_state *s = &l->reservations->now;
	if (l->reserved_by)
		fprintf(f, "    reserved by %s\n", l->reserved_by->initiator);
	if (s->type)
		fprintf(f, "    reserved: %s%s\n", type_text(s->type),
			s->aptpl ? ", persistent" : "");
	for (unsigned i = 0; i < s->n; i++)
		fprintf(f, "    registered: %s with key 0x%" PRIx64 "%s\n", s->reg[i].initiator,
			s->reg[i].key, pr_holds(s, (int)i) ? ", holder" : "");
}

static void text_session(void *arg, const struct session_info *i)
{
	FILE *f = arg;
	fprintf(f, "session %u  %s from %s  %s, %u LUNs, %u commands under way, %.0f s\n", i->id,
		i->initiator, i->peer, i->target ? i->target : "discovery", i->luns, i->commands,
		(double)i->age_ns / (double)SEC_NS);
}

static void text_sandbox(FILE *f)
{
	const struct sandbox_state *b = sandbox_state();
	if (b->user)
		fprintf(f, "runs as %s (uid %u), %s, %s\n", b->user, (unsigned)b->uid,
			b->seccomp ? "seccomp" : "no seccomp",
			b->landlock ? "Landlock" : "no Landlock");
}

/* ---- what others call ---- */

void report_status(struct target_server *s, FILE *f, bool json)
{
	struct json j;
	if (json) {
		json_begin(&j, f);
		json_object(&j, NULL);
		json_array(&j, "portals");
		for (struct portal *p = s->portals; p; p = p->next)
			json_string(&j, NULL, p->text);
		json_array_end(&j);
		json_u64(&j, "connections", s->conns_n);
		json_sandbox(&j);
		if (s->config.tell)
			s->config.tell(s->config.tell_arg, &j, NULL);
		json_luns(&j, s, "luns");
		json_sessions(&j, s, "sessions");
		json_object_end(&j);
		json_end(&j);
		return;
	}
	for (struct portal *p = s->portals; p; p = p->next)
		fprintf(f, "listening on %s\n", p->text);
	if (s->config.tell)
		s->config.tell(s->config.tell_arg, NULL, f);
	text_sandbox(f);
	for (struct target *t = s->targets; t; t = t->next) {
		for (unsigned i = 0; i < t->luns_n; i++) {
			text_lun(f, t, t->luns[i]);
			text_flush_error(f, t->luns[i]);
			text_counts(f, t->luns[i]);
			text_reservation(f, t->luns[i]);
		}
	}
	target_server_sessions(s, text_session, f);
}

void report_luns(struct target_server *s, FILE *f, bool json)
{
	struct json j;
	if (json) {
		json_begin(&j, f);
		json_luns(&j, s, NULL);
		json_end(&j);
		return;
	}
	for (struct target *t = s->targets; t; t = t->next)
		for (unsigned i = 0; i < t->luns_n; i++)
			text_lun(f, t, t->luns[i]);
}

void report_sessions(struct target_server *s, FILE *f, bool json)
{
	struct json j;
	if (json) {
		json_begin(&j, f);
		json_sessions(&j, s, NULL);
		json_end(&j);
		return;
	}
	target_server_sessions(s, text_session, f);
}

/* ---- metrics ---- */

/* target="...",lun="..." */
static void labels(FILE *f, const struct target *t, const struct lun *l)
{
	/* A target's name has no character that would need an escape (RFC 7143, 4.2.7.2). */
	fprintf(f, "target=\"%s\",lun=\"%u\"", t->name, l->number);
}

static void each_lun(struct target_server *s, FILE *f, const char *name, const char *type,
		     const char *help, void (*fn)(FILE *f, const struct target *t, struct lun *l))
{
	fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	for (struct target *t = s->targets; t; t = t->next)
		for (unsigned i = 0; i < t->luns_n; i++)
			fn(f, t, t->luns[i]);
}

static void put_info(FILE *f, const struct target *t, struct lun *l)
{
	fputs("vstor_lun_info{", f);
	labels(f, t, l);
	fprintf(f, ",serial=\"");
	for (const char *p = l->id.serial; *p; p++)
		fprintf(f, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
	fputs("\",path=\"", f);
	for (const char *p = disk_path(l->disk); *p; p++) {
		if (*p == '\n')
			fputs("\\n", f);
		else
			fprintf(f, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
	}
	fputs("\"} 1\n", f);
}

static void put_size(FILE *f, const struct target *t, struct lun *l)
{
	fputs("vstor_lun_size_bytes{", f);
	labels(f, t, l);
	fprintf(f, "} %" PRIu64 "\n", l->blocks << l->block_shift);
}

static void put_commands(FILE *f, const struct target *t, struct lun *l)
{
	fputs("vstor_lun_commands{", f);
	labels(f, t, l);
	fprintf(f, "} %u\n", l->running);
}

static void put_registrations(FILE *f, const struct target *t, struct lun *l)
{
	fputs("vstor_lun_registrations{", f);
	labels(f, t, l);
	fprintf(f, "} %u\n", l->reservations->now.n);
}

static void put_flush_failed(FILE *f, const struct target *t, struct lun *l)
{
	fputs("vstor_lun_flush_failed{", f);
	labels(f, t, l);
	fprintf(f, "} %d\n", disk_flush_error(l->disk) != 0);
}

static void put_counter(FILE *f, const char *name, const struct target *t, const struct lun *l,
			unsigned kind, uint64_t v)
{
	fprintf(f, "%s{", name);
	labels(f, t, l);
	fprintf(f, ",op=\"%s\"} %" PRIu64 "\n", kinds[kind], v);
}

static void put_operations(FILE *f, const struct target *t, struct lun *l)
{
	for (unsigned k = 0; k < STATS_KINDS; k++)
		put_counter(f, "vstor_lun_operations_total", t, l, k, l->stats.of[k].ops);
}

static void put_bytes(FILE *f, const struct target *t, struct lun *l)
{
	for (unsigned k = STATS_READ; k <= STATS_WRITE; k++)
		put_counter(f, "vstor_lun_bytes_total", t, l, k, l->stats.of[k].bytes);
}

static void put_errors(FILE *f, const struct target *t, struct lun *l)
{
	for (unsigned k = 0; k < STATS_KINDS; k++)
		put_counter(f, "vstor_lun_errors_total", t, l, k, l->stats.of[k].errors);
}

static void put_latency(FILE *f, const struct target *t, struct lun *l)
{
	static const uint64_t edge[] = {20000,	    50000,	100000,	    200000,    500000,
					1000000,    2000000,	5000000,    10000000,  20000000,
					50000000,   100000000,	200000000,  500000000, 1000000000,
					2000000000, 5000000000, 10000000000};
	uint64_t below[ARRAY_SIZE(edge)];

	stats_settle(&l->stats);
	for (unsigned k = 0; k < STATS_KINDS; k++) {
		const struct hist *h = l->stats.of[k].latency;
		if (!h)
			continue;
		hist_cumulate(h, edge, ARRAY_SIZE(edge), below);
		for (unsigned i = 0; i <= ARRAY_SIZE(edge); i++) {
			fputs("vstor_lun_latency_seconds_bucket{", f);
			labels(f, t, l);
			fprintf(f, ",op=\"%s\",le=\"", kinds[k]);
			if (i < ARRAY_SIZE(edge))
				fprintf(f, "%g\"} %" PRIu64 "\n", (double)edge[i] / (double)SEC_NS,
					below[i]);
			else
				fprintf(f, "+Inf\"} %" PRIu64 "\n", h->n);
		}
		fputs("vstor_lun_latency_seconds_sum{", f);
		labels(f, t, l);
		fprintf(f, ",op=\"%s\"} %.9g\n", kinds[k], (double)h->sum / (double)SEC_NS);
		put_counter(f, "vstor_lun_latency_seconds_count", t, l, k, h->n);
	}
}

static void count_session(void *arg, const struct session_info *i)
{
	(void)arg;
	(void)i;
}

void report_metrics(struct target_server *s, FILE *f)
{
	fprintf(f,
		"# HELP vstor_sessions Sessions that are logged in.\n"
		"# TYPE vstor_sessions gauge\nvstor_sessions %u\n",
		target_server_sessions(s, count_session, NULL));
	fprintf(f,
		"# HELP vstor_connections iSCSI connections, logged in or not.\n"
		"# TYPE vstor_connections gauge\nvstor_connections %u\n",
		s->conns_n);
	fprintf(f,
		"# HELP vstor_logins_total Sessions that have logged in.\n"
		"# TYPE vstor_logins_total counter\nvstor_logins_total %" PRIu64 "\n",
		s->logins);
	fprintf(f,
		"# HELP vstor_refused_total Connections refused by address or for want of room.\n"
		"# TYPE vstor_refused_total counter\nvstor_refused_total %" PRIu64 "\n",
		s->refused);
	each_lun(s, f, "vstor_lun_info", "gauge", "What the LUN is.", put_info);
	each_lun(s, f, "vstor_lun_size_bytes", "gauge", "The size of the LUN.", put_size);
	each_lun(s, f, "vstor_lun_commands", "gauge", "Commands under way.", put_commands);
	each_lun(s, f, "vstor_lun_registrations", "gauge",
		 "Initiator ports registered for persistent reservations.", put_registrations);
	each_lun(s, f, "vstor_lun_flush_failed", "gauge",
		 "1: a flush has failed, and all do until vstor lun acknowledge.",
		 put_flush_failed);
	each_lun(s, f, "vstor_lun_operations_total", "counter", "Operations that have ended.",
		 put_operations);
	each_lun(s, f, "vstor_lun_bytes_total", "counter", "Bytes moved.", put_bytes);
	each_lun(s, f, "vstor_lun_errors_total", "counter", "Operations that the disk failed.",
		 put_errors);
	each_lun(s, f, "vstor_lun_latency_seconds", "histogram",
		 "From the arrival of a command to its answer.", put_latency);
}
