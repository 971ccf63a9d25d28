/* SPDX-License-Identifier: BSD-2-Clause */
/* vstor attach, detach, discover: LUNs of iSCSI targets as block devices of this host. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cmd/attach_list.h"
#include "cmd/cmd.h"
#include "core/bytes.h"
#include "core/json.h"
#include "core/log.h"
#include "core/opts.h"
#include "net/aoe/initiator.h"
#include "net/attach.h"
#include "net/iscsi/chap.h"
#include "net/iscsi/keeper.h"
#include "net/iscsi/keeper_control.h"
#include "net/sock.h"
#include "xen/fence/hotplug.h"

#define RETRY_SECONDS 2

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

/* Whether what is given cannot be meant, however the target is; logged. */
static bool malformed(const struct attach_request *r, const char *portal)
{
	const char *chap = chap_misfit(r->chap_user, r->chap_secret_file, r->mutual_user,
				       r->mutual_secret_file);
	char host[SOCK_HOST_MAX];
	uint16_t port = 0;

	if (bad_name(r))
		log_error("%s: not an iSCSI name (iqn.YYYY-MM.domain:name)", bad_name(r));
	else if (chap)
		log_error("%s", chap);
	else if (portal && sock_parse(portal, host, &port))
		log_error("%s: %s; the port is 1 to 65535", portal, sock_strerror(EINVAL));
	else
		return false;
	return true;
}

static bool bad_via(const char *name, enum attach_via *via)
{
	if (attach_via(name, via) == 0)
		return false;
	log_error("--via %s: kernel, open-iscsi or aoe", name);
	return true;
}

/* Attaches, trying again until the deadline while the target may only be late. */
static int attach_until(const struct attach_request *r, uint64_t deadline, struct attachment *a)
{
	char error[ATTACH_ERROR];
	int err;

	while ((err = attach_disk(r, a, error))) {
		if (err == -EPERM || err == -EINVAL || err == -ENODEV || err == -EXDEV ||
		    clock_ns() >= deadline) {
			log_error("%s", error);
			return err;
		}
		log_info("%s; trying again", error);
		sleep(RETRY_SECONDS);
	}
	if (r->via == ATTACH_AOE)
		log_info("%s%s", a->disk.path, a->existed ? ": attached already" : "");
	else
		log_info("%s: LUN %u of %s%s", a->disk.path, a->disk.lun, a->session.target,
			 a->existed ? ", attached already" : "");
	return 0;
}

static void print_json(struct json *j, const struct attach_request *r, const struct attachment *a)
{
	char portal[SOCK_HOST_MAX + 16];

	json_object(j, NULL);
	json_string(j, "device", a->disk.path);
	if (r->via == ATTACH_AOE) {
		json_string(j, "aoe", r->portal);
	} else {
		json_u64(j, "lun", a->disk.lun);
		json_string(j, "target", a->session.target);
		json_string(j, "portal", attach_portal_text(&a->session, portal));
	}
	json_bool(j, "existed", a->existed);
	json_object_end(j);
}

/* The disks that a file lists: the words of a guest's disk line, each disk on a line. out: the
 * array for them, or NULL: their paths are printed. */
static int attach_listed(const char *path, uint64_t deadline, struct json *out)
{
	char line[HOTPLUG_PARAMS + 2], error[ATTACH_ERROR], *words;
	FILE *f = fopen(path, "re");
	struct hotplug_words w;
	struct attachment a;
	unsigned number = 0;
	int status = 0;

	if (!f) {
		log_error("--config %s: %s; it names a file that lists disks: see vstor-attach(8)",
			  path, strerror(errno));
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
		} else if (out) {
			print_json(out, &w.r, &a);
		} else {
			puts(a.disk.path);
		}
	}
	fclose(f);
	return status;
}

static int attach_all(const char *config, uint64_t deadline, bool as_json)
{
	struct json j;
	int status;

	if (!as_json)
		return attach_listed(config, deadline, NULL);
	json_begin(&j, stdout);
	json_array(&j, NULL);
	status = attach_listed(config, deadline, &j);
	json_array_end(&j);
	json_end(&j);
	return status;
}

static int attach(const struct attach_request *r, uint64_t deadline, bool as_json)
{
	struct attachment a;
	struct json j;

	if (attach_until(r, deadline, &a))
		return 1;
	if (!as_json) {
		puts(a.disk.path);
		return 0;
	}
	json_begin(&j, stdout);
	print_json(&j, r, &a);
	json_end(&j);
	return 0;
}

/* Whether an option was given that tells of one disk or its session. */
static bool tells_of_one(const struct attach_request *r)
{
	return r->target || r->serial || r->initiator || r->chap_user || r->chap_secret_file ||
	       r->mutual_user || r->mutual_secret_file || r->digests;
}

int cmd_attach(int argc, char **argv)
{
	struct attach_request r = {.timeout_ns = ATTACH_TIMEOUT};
	uint64_t lun = UINT64_MAX, replacement = UINT64_MAX, wait = UINT64_MAX;
	const char *config = NULL, *via_name = NULL;
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
		 .help = "kernel: vstor itself (default); open-iscsi: an iscsid that runs here; "
			 "aoe: no iSCSI, ATA over Ethernet"},
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
		.synopsis =
			"HOST[:PORT] [options] | --via aoe SHELF.SLOT | --config FILE | --list | "
			"--resume",
		.description =
			"Attaches a LUN of an iSCSI target to this host, or an AoE target, and "
			"prints its block device.",
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
	if (!n &&
	    (tells_of_one(&r) || lun != UINT64_MAX || replacement != UINT64_MAX || via_name)) {
		log_error("%s: the options of one disk go with HOST[:PORT]%s",
			  config      ? "--config"
			  : want_list ? "--list"
				      : "--resume",
			  config ? "; FILE has words for them, a line for each disk" : "");
		return 2;
	}
	if ((want_list || want_resume) && wait != UINT64_MAX) {
		log_error("--wait: goes with HOST[:PORT] or --config");
		return 2;
	}
	if (want_resume && json) {
		log_error("--resume has nothing to report, and no --json");
		return 2;
	}
	if (want_list)
		return attach_list(json);
	if (want_resume)
		return resume();
	wait = clock_ns() + (wait == UINT64_MAX ? 0 : wait);
	if (config)
		return attach_all(config, wait, json);
	if (via_name && bad_via(via_name, &r.via))
		return 2;
	if (malformed(&r, r.via == ATTACH_AOE ? NULL : argv[1]))
		return 2;
	r.portal = argv[1];
	r.lun = lun == UINT64_MAX ? 0 : (unsigned)lun;
	if (r.via == ATTACH_AOE && attach_aoe_only(&r)) {
		log_error("--via aoe: takes SHELF.SLOT, --wait and --json, and none of iSCSI's "
			  "options");
		return 2;
	}
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

static int detach_aoe(const struct aoe_device *d, bool force)
{
	char error[ATTACH_ERROR];

	if (!force && guest_uses(&d->disk))
		return 1;
	if (aoe_detach(d, force, error, sizeof(error)) == 0)
		return 0;
	log_error("%s", error);
	return 1;
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
		 .help = "kernel: vstor itself (default); open-iscsi: an iscsid that runs here; "
			 "aoe: an AoE device, which is known by its name, too"},
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
	struct aoe_device aoe;
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
	if (err == -ENODEV && aoe_device_of(argv[1], &aoe) == 0)
		return detach_aoe(&aoe, force);
	if (err == -ENODEV)
		log_error("%s is no disk of iSCSI or AoE: see `vstor attach --list`", argv[1]);
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
	if (malformed(&r, argv[1]))
		return 2;
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
