/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor attach, detach, discover: LUNs of iSCSI targets as block devices of this host. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "core/bytes.h"
#include "core/json.h"
#include "core/log.h"
#include "core/opts.h"
#include "net/iscsi/attachment.h"
#include "net/iscsi/keeper.h"
#include "net/iscsi/keeper_control.h"
#include "xen/hotplug.h"

#define RETRY_SECONDS 2

/* HOST:PORT as the user would write it. */
static const char *portal_text(const struct iscsi_session *s, char buf[SOCK_HOST_MAX + 16])
{
	snprintf(buf, SOCK_HOST_MAX + 16, strchr(s->address, ':') ? "[%s]:%u" : "%s:%u", s->address,
		 s->port);
	return buf;
}

/* What a line or object of the list tells. */
struct listed {
	const struct iscsi_session *session;
	const struct iscsi_disk *disk; /* NULL: the session has none */
	const char *keeper;
	bool kept; /* then st is valid */
	struct keeper_status st;
	int64_t left_s; /* until waiting I/O fails; -1: it does not wait, or for ever */
};

static struct listed look_up(const struct iscsi_session *s, const struct iscsi_disk *d)
{
	struct listed l = {.session = s, .disk = d, .left_s = -1};

	l.kept = keeper_status(s->sid, &l.st) == 0;
	l.keeper = !keeper_owns(s) ? "other" : l.kept ? l.st.state : "none";
	if (strcmp(s->state, "FREE") == 0) /* how the kernel says that it has passed */
		l.left_s = 0;
	else if (l.kept && strcmp(l.st.state, "up") && s->recovery_tmo >= 0)
		l.left_s = MAX(s->recovery_tmo - (int64_t)l.st.since_s, 0);
	return l;
}

/* A time in two or three figures: 45s, 590s, 12m, 30h, 12d. */
static const char *age(uint64_t seconds, char buf[24])
{
	static const struct {
		uint64_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	size_t i = 0;

	while (i < ARRAY_SIZE(units) - 1 && seconds < 10 * units[i].seconds)
		i++;
	snprintf(buf, 24, "%llu%c", (unsigned long long)(seconds / units[i].seconds),
		 units[i].unit);
	return buf;
}

static void list_text(const struct listed *l)
{
	char portal[SOCK_HOST_MAX + 16], lun[16] = "-", since[24] = "-", left[24] = "-";
	char recoveries[16] = "-";

	if (l->disk)
		snprintf(lun, sizeof(lun), "%u", l->disk->lun);
	if (l->kept) {
		age(l->st.since_s, since);
		snprintf(recoveries, sizeof(recoveries), "%u", l->st.recoveries);
	}
	if (l->left_s >= 0)
		age((uint64_t)l->left_s, left);
	printf("%-10s %5s  %-10s %-10s %5s %10s %5s  %-21s %s\n", l->disk ? l->disk->path : "-",
	       lun, l->session->state, l->keeper, since, recoveries, left,
	       portal_text(l->session, portal), l->session->target);
}

static void list_json(struct json *j, const struct listed *l)
{
	const struct iscsi_session *s = l->session;
	char portal[SOCK_HOST_MAX + 16];

	json_object(j, NULL);
	json_string(j, "device", l->disk ? l->disk->path : NULL);
	if (l->disk)
		json_u64(j, "lun", l->disk->lun);
	json_string(j, "target", s->target);
	json_string(j, "portal", portal_text(s, portal));
	json_string(j, "initiator", s->initiator);
	json_u64(j, "session", s->sid);
	json_string(j, "state", s->state);
	json_i64(j, "replacement_timeout_s", s->recovery_tmo);
	if (l->left_s >= 0)
		json_u64(j, "timeout_left_s", (uint64_t)l->left_s);
	json_string(j, "keeper", l->keeper);
	if (l->kept) {
		json_u64(j, "keeper_pid", l->st.pid);
		json_u64(j, "since_s", l->st.since_s);
		json_u64(j, "recoveries", l->st.recoveries);
		json_string(j, "error", l->st.error[0] ? l->st.error : NULL);
	}
	json_object_end(j);
}

static void list_disk(struct json *j, const struct iscsi_session *s, const struct iscsi_disk *d)
{
	const struct listed l = look_up(s, d);

	if (j)
		list_json(j, &l);
	else
		list_text(&l);
}

static int list(bool as_json)
{
	struct iscsi_session *s;
	struct iscsi_disk *d;
	struct json j;
	size_t n, m;
	int err = iscsi_sessions(&s, &n);

	if (as_json) {
		json_begin(&j, stdout);
		json_array(&j, NULL);
	} else if (n) {
		printf("%-10s %5s  %-10s %-10s %5s %10s %5s  %-21s %s\n", "DEVICE", "LUN", "STATE",
		       "KEEPER", "SINCE", "RECOVERIES", "LEFT", "PORTAL", "TARGET");
	}
	for (size_t i = 0; i < n && !err; i++) {
		err = iscsi_disks(&s[i], &d, &m);
		for (size_t k = 0; k < m && !err; k++)
			list_disk(as_json ? &j : NULL, &s[i], &d[k]);
		if (!err && !m)
			list_disk(as_json ? &j : NULL, &s[i], NULL);
		free(d);
	}
	free(s);
	if (as_json) {
		json_array_end(&j);
		json_end(&j);
	}
	if (err)
		log_error("%s", strerror(-err));
	return err ? 1 : 0;
}

/* Gives every session of ours that has lost its keeper a new one. */
static int resume(void)
{
	struct iscsi_session *s;
	size_t n;
	int err = iscsi_sessions(&s, &n);

	for (size_t i = 0; i < n; i++)
		err |= keeper_start(&s[i]);
	free(s);
	return err ? 1 : 0;
}

/* Options that attach and discover have in common. */
#define LOGIN_OPTIONS(r)                                                                           \
	{.name = "initiator",                                                                      \
	 .type = OPT_STRING,                                                                       \
	 .out = &(r).initiator,                                                                    \
	 .arg = "IQN",                                                                             \
	 .help = "our name (default: that in /etc/iscsi/initiatorname.iscsi, else "                \
		 "iqn.2026-11.local.vstor:HOSTNAME)"},                                             \
		{.name = "chap-user",                                                              \
		 .type = OPT_STRING,                                                               \
		 .out = &(r).chap_user,                                                            \
		 .arg = "U",                                                                       \
		 .help = "show by CHAP that we are U ..."},                                        \
		{.name = "chap-secret-file",                                                       \
		 .type = OPT_STRING,                                                               \
		 .out = &(r).chap_secret_file,                                                     \
		 .arg = "F",                                                                       \
		 .help = "... with the secret in F, which others must not be able to read"},       \
		{.name = "mutual-user",                                                            \
		 .type = OPT_STRING,                                                               \
		 .out = &(r).mutual_user,                                                          \
		 .arg = "U",                                                                       \
		 .help = "have the target show that it is U ..."},                                 \
	{                                                                                          \
		.name = "mutual-secret-file", .type = OPT_STRING, .out = &(r).mutual_secret_file,  \
		.arg = "F", .help = "... with the secret in F"                                     \
	}

/* A wrong name, or NULL. */
static const char *bad_name(const struct attach_request *r)
{
	if (r->target && !iscsi_name_valid(r->target))
		return r->target;
	if (r->initiator && !iscsi_name_valid(r->initiator))
		return r->initiator;
	return NULL;
}

static bool bad_via(const char *name, enum attach_via *via)
{
	if (attach_via(name, via) == 0)
		return false;
	log_error("--via %s: kernel or open-iscsi", name);
	return true;
}

/* Attaches, trying again until the deadline while the target may only be late. */
static int attach_until(const struct attach_request *r, uint64_t deadline, struct attachment *a)
{
	char error[ATTACH_ERROR];
	int err;

	while ((err = iscsi_attach(r, a, error))) {
		if (err == -EPERM || err == -EINVAL || err == -ENODEV || err == -EXDEV ||
		    clock_ns() >= deadline) {
			log_error("%s", error);
			return err;
		}
		log_info("%s; trying again", error);
		sleep(RETRY_SECONDS);
	}
	log_info("%s: LUN %u of %s%s", a->disk.path, a->disk.lun, a->session.target,
		 a->existed ? ", attached already" : "");
	return 0;
}

/* The disks that a file lists: the words of a guest's disk line, each disk on a line. */
static int attach_listed(const char *path, uint64_t deadline)
{
	char line[HOTPLUG_PARAMS + 2], error[ATTACH_ERROR], *words;
	FILE *f = fopen(path, "re");
	struct hotplug_words w;
	struct attachment a;
	unsigned number = 0;
	int status = 0;

	if (!f) {
		log_error("%s: %s", path, strerror(errno));
		return 1;
	}
	while (fgets(line, sizeof(line), f)) {
		number++;
		line[strcspn(line, "#\r\n")] = '\0';
		words = line + strspn(line, " \t");
		words[strcspn(words, " \t")] = '\0';
		if (!*words)
			continue;
		if (hotplug_parse(words, &w, error)) {
			log_error("%s:%u: %s", path, number, error);
			status = 1;
		} else if (attach_until(&w.r, deadline, &a)) {
			status = 1;
		} else {
			puts(a.disk.path);
		}
	}
	fclose(f);
	return status;
}

static int attach(const struct attach_request *r, uint64_t deadline, bool as_json)
{
	char portal[SOCK_HOST_MAX + 16];
	struct attachment a;
	struct json j;

	if (attach_until(r, deadline, &a))
		return 1;
	if (!as_json) {
		puts(a.disk.path);
		return 0;
	}
	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "device", a.disk.path);
	json_u64(&j, "lun", a.disk.lun);
	json_string(&j, "target", a.session.target);
	json_string(&j, "portal", portal_text(&a.session, portal));
	json_bool(&j, "existed", a.existed);
	json_object_end(&j);
	json_end(&j);
	return 0;
}

int cmd_attach(int argc, char **argv)
{
	struct attach_request r = {.timeout_ns = ATTACH_TIMEOUT};
	uint64_t lun = 0, replacement = UINT64_MAX, wait = 0;
	const char *config = NULL, *via_name = "kernel";
	bool want_list = false, want_resume = false, json = false;
	const struct opt table[] = {
		{.name = "target",
		 .type = OPT_STRING,
		 .out = &r.target,
		 .arg = "IQN",
		 .help = "the target (default: the only one there)"},
		{.name = "lun",
		 .type = OPT_U64,
		 .out = &lun,
		 .arg = "N",
		 .help = "the LUN (default 0)",
		 .max = ISCSI_LUN_MAX},
		{.name = "serial",
		 .type = OPT_STRING,
		 .out = &r.serial,
		 .arg = "S",
		 .help = "refuse a disk with another serial number"},
		LOGIN_OPTIONS(r),
		{.name = "digests",
		 .type = OPT_FLAG,
		 .out = &r.digests,
		 .help = "guard headers and data by CRC32C, if the target can"},
		{.name = "replacement-timeout",
		 .type = OPT_U64,
		 .out = &replacement,
		 .arg = "S",
		 .help = "seconds that I/O waits for a lost target before it fails (default 120; "
			 "0: for ever)",
		 .max = ATTACH_REPLACEMENT_MAX},
		{.name = "via",
		 .type = OPT_STRING,
		 .out = &via_name,
		 .arg = "WHO",
		 .help = "kernel: vstor itself (default); open-iscsi: an iscsid that runs here"},
		{.name = "wait",
		 .type = OPT_SECONDS,
		 .out = &wait,
		 .arg = "S",
		 .help = "try again for S seconds while the target is not there (default 0)"},
		{.name = "config",
		 .type = OPT_STRING,
		 .out = &config,
		 .arg = "FILE",
		 .help = "attach what FILE lists: a disk a line, in the words of block-vstor"},
		{.name = "list",
		 .type = OPT_FLAG,
		 .out = &want_list,
		 .help = "list what is attached"},
		{.name = "resume",
		 .type = OPT_FLAG,
		 .out = &want_resume,
		 .help = "watch over sessions whose keeper has died"},
		{.type = OPT_END},
	};
	const struct opts o = {
		.name = "attach",
		.synopsis = "HOST[:PORT] [options] | --config FILE | --list | --resume",
		.description =
			"Attaches a LUN of an iSCSI target to this host, and prints its block "
			"device.",
		.table = table,
		.json = &json,
		.max_operands = 1,
	};
	const int n = opts_parse(&o, argc, argv);

	if (n < 0)
		return opts_exit(n);
	if (n + want_list + want_resume + !!config != 1) {
		log_error("give a portal, HOST[:PORT], or --config, or --list, or --resume");
		return 2;
	}
	if (want_list)
		return list(json);
	if (want_resume)
		return resume();
	wait += clock_ns();
	if (config)
		return attach_listed(config, wait);
	if (bad_name(&r)) {
		log_error("%s: not an iSCSI name (iqn.YYYY-MM.domain:name)", bad_name(&r));
		return 2;
	}
	if (bad_via(via_name, &r.via))
		return 2;
	r.portal = argv[1];
	r.lun = (unsigned)lun;
	if (replacement != UINT64_MAX)
		r.replacement_timeout = replacement ? (int)replacement : -1;
	return attach(&r, wait, json);
}

/* A guest may use the disk without claiming it. */
static bool guest_uses(const struct iscsi_disk *d)
{
	char guest[64];

	if (!hotplug_guest_of(d->dev, NULL, guest, sizeof(guest)))
		return false;
	log_error("%s is the disk of %s: shut that guest down, or --force", d->path, guest);
	return true;
}

static int detach_session(const struct iscsi_session *s, const struct iscsi_disk *only,
			  enum attach_via via, bool force)
{
	char error[ATTACH_ERROR];
	struct iscsi_disk *d = NULL;
	bool used = false;
	size_t n = 0;

	if (!force) {
		if (iscsi_disks(s, &d, &n))
			return 1;
		for (size_t i = 0; i < n && !used; i++)
			if (!only || d[i].dev == only->dev)
				used = guest_uses(&d[i]);
		free(d);
	}
	if (used)
		return 1;
	if (iscsi_detach(s, only, via, force, error)) {
		log_error("%s", error);
		return 1;
	}
	return 0;
}

/* All the sessions with a target; *found tells how many there were. */
static int detach_target(const char *target, enum attach_via via, bool force, size_t *found)
{
	struct iscsi_session *s;
	size_t n;
	int failed = 0;

	*found = 0;
	if (iscsi_sessions(&s, &n))
		return 1;
	for (size_t i = 0; i < n; i++) {
		if (strcasecmp(s[i].target, target))
			continue;
		++*found;
		failed |= detach_session(&s[i], NULL, via, force);
	}
	free(s);
	return failed;
}

int cmd_detach(int argc, char **argv)
{
	bool force = false, if_attached = false;
	const char *via_name = "kernel";
	enum attach_via via;
	const struct opt table[] = {
		{.name = "force",
		 .type = OPT_FLAG,
		 .out = &force,
		 .help = "also when it is in use, or its target is away: unwritten data is lost"},
		{.name = "via",
		 .type = OPT_STRING,
		 .out = &via_name,
		 .arg = "WHO",
		 .help = "kernel: vstor itself (default); open-iscsi: an iscsid that runs here"},
		{.name = "if-attached",
		 .type = OPT_FLAG,
		 .out = &if_attached,
		 .help = "what is not attached is no error"},
		{.type = OPT_END},
	};
	const struct opts o = {
		.name = "detach",
		.synopsis = "DEVICE|IQN [options]",
		.description =
			"Writes back and takes away one disk, or all those of a target. With "
			"its last disk the session ends.",
		.table = table,
		.min_operands = 1,
		.max_operands = 1,
	};
	const int n = opts_parse(&o, argc, argv);
	struct iscsi_session s;
	struct iscsi_disk d;
	size_t found;
	int err;

	if (n < 0)
		return opts_exit(n);
	if (bad_via(via_name, &via))
		return 2;
	if (iscsi_name_valid(argv[1])) {
		err = detach_target(argv[1], via, force, &found);
		if (found || if_attached)
			return err;
		log_error("%s is not attached: see `vstor attach --list`", argv[1]);
		return 1;
	}
	err = iscsi_disk_of(argv[1], &s, &d);
	if (err == 0)
		return detach_session(&s, &d, via, force);
	if (err == -ENOENT && if_attached)
		return 0;
	if (err == -ENODEV)
		log_error("%s is no iSCSI disk: see `vstor attach --list`", argv[1]);
	else
		log_error("%s: %s: see `vstor attach --list`", argv[1], strerror(-err));
	return 1;
}

int cmd_discover(int argc, char **argv)
{
	struct attach_request r = {.timeout_ns = ATTACH_TIMEOUT};
	bool json = false;
	const struct opt table[] = {LOGIN_OPTIONS(r), {.type = OPT_END}};
	const struct opts o = {
		.name = "discover",
		.synopsis = "HOST[:PORT] [options]",
		.description = "Lists the targets that a storage server shows to this host: a name "
			       "and a portal a line.",
		.table = table,
		.json = &json,
		.min_operands = 1,
		.max_operands = 1,
	};
	const int n = opts_parse(&o, argc, argv);
	char error[ATTACH_ERROR];
	struct found_target t;
	struct initiator i;
	struct json j;
	size_t at = 0;
	int err;

	if (n < 0)
		return opts_exit(n);
	if (bad_name(&r)) {
		log_error("%s: not an iSCSI name (iqn.YYYY-MM.domain:name)", bad_name(&r));
		return 2;
	}
	r.portal = argv[1];
	err = iscsi_discover(&r, &i, error);
	if (err) {
		log_error("%s", error);
	} else if (json) {
		json_begin(&j, stdout);
		json_array(&j, NULL);
		while (initiator_found_next(&i, &at, &t)) {
			json_object(&j, NULL);
			json_string(&j, "target", t.name);
			json_string(&j, "portal", t.portal);
			json_object_end(&j);
		}
		json_array_end(&j);
		json_end(&j);
	} else {
		while (initiator_found_next(&i, &at, &t))
			printf("%s %s\n", t.name, t.portal);
	}
	initiator_fini(&i);
	return err ? 1 : 0;
}

int cmd_keeper(int argc, char **argv)
{
	uint64_t sid;

	if (argc != 2 || parse_u64(argv[1], &sid) || sid > UINT32_MAX) {
		log_error("run by vstor itself for each session; see `vstor attach --resume`");
		return 2;
	}
	log_set_destination("syslog");
	return keeper_run((uint32_t)sid);
}
