/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libxl_utils.h>

#include "core/log.h"
#include "net/ping.h"
#include "xen/fence/config_disks.h"
#include "xen/fence/disk_watch.h"
#include "xen/keepsake.h"
#include "xen/migration/monitor.h"

#define FILE_MAX  (1 << 20)
#define PORT	  7002 /* of vstor receive; that nobody listens is an answer, too */
#define ANSWER_NS (3 * SEC_NS)
#define ECHOES_NS (500 * MS_NS)
#define ECHOES	  5

struct takeover {
	const struct takeover_options *o;
	struct loop *loop;
	struct toolstack *t;
	struct keepsake kept;
	libxl_domain_config config;
	struct config_disks disks;
	unsigned held;	/* of them */
	bool announced; /* to who holds the first */
	struct toolstack_op op;
	uint32_t domid;

	/* whether the old host answers */
	struct ping *ping;
	struct sock_connect connect;
	bool answers;
	unsigned asked;
};

/* ---- its configuration ---- */

/* The end of the object that begins at p; NULL: it has none. */
static const char *object_end(const char *p)
{
	bool string = false;
	int depth = 0;

	for (; *p; p++) {
		if (string && *p == '\\' && p[1])
			p++;
		else if (*p == '"')
			string = !string;
		else if (!string && *p == '{')
			depth++;
		else if (!string && *p == '}' && --depth == 0)
			return p + 1;
	}
	return NULL;
}

char *takeover_json(const char *text)
{
	const char *end;

	if (strncmp(text, "name=", 5) == 0) {
		text = strstr(text, "\n\n");
		text = text ? text + 2 : "";
	}
	text += strspn(text, " \t\r\n");
	if (*text == '[') {
		text = strstr(text, "\"config\"");
		text = text ? strchr(text, '{') : "";
	}
	end = text && *text == '{' ? object_end(text) : NULL;
	return end ? strndup(text, (size_t)(end - text)) : NULL;
}

/* All of it, NUL-terminated; NULL and errno. */
static char *read_all(FILE *f)
{
	char *text = f ? calloc(1, FILE_MAX + 1) : NULL;

	if (text && (fread(text, 1, FILE_MAX, f), ferror(f))) {
		free(text);
		text = NULL;
	}
	return text;
}

const char *takeover_xl = "xl";

/* What xl makes of a file in its own language: only it knows all of that, in the words of the
 * release that runs here. Allocated; NULL: it cannot be run, or finds no sense in it. */
static char *ask_xl(const char *path, int *status)
{
	const char *const argv[] = {takeover_xl, "create", "-q", "-n", path, NULL};
	posix_spawn_file_actions_t fa;
	char *text = NULL;
	FILE *f = NULL;
	int out[2], rc;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC))
		return NULL;
	rc = posix_spawn_file_actions_init(&fa);
	if (!rc) {
		rc = posix_spawn_file_actions_adddup2(&fa, out[1], 1);
		if (!rc)
			rc = posix_spawnp(&pid, argv[0], &fa, NULL, (char *const *)argv, environ);
		posix_spawn_file_actions_destroy(&fa);
	}
	close(out[1]);
	*status = rc;
	if (rc) {
		close(out[0]);
		return NULL;
	}
	f = fdopen(out[0], "r");
	text = read_all(f);
	if (f)
		fclose(f);
	else
		close(out[0]);
	while (waitpid(pid, &rc, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(rc) && WEXITSTATUS(rc) == 0)
		return text;
	free(text);
	return NULL;
}

/* Of one that is no JSON. */
static char *read_xl(const char *path)
{
	int status = 0;
	char *text = ask_xl(path, &status), *json = text ? takeover_json(text) : NULL;

	if (status)
		log_error("%s: no JSON, so a file for xl, and that cannot be run here (%s): give "
			  "what `xl create -n %s` prints on a host that has it",
			  path, strerror(status), path);
	else if (!json)
		log_error("%s: xl finds no guest's configuration in it (`xl create -n %s`)", path,
			  path);
	free(text);
	return json;
}

char *takeover_config(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = read_all(f), *json = NULL;

	if (!text)
		log_error("%s: %s", path, strerror(errno));
	else
		json = takeover_json(text);
	if (text && !json)
		json = read_xl(path);
	free(text);
	if (f)
		fclose(f);
	return json;
}

static int load(struct takeover *k)
{
	const char *name = k->o->domain;
	int rc = keepsake_find(name, &k->kept);

	if (k->o->config) {
		free(k->kept.json);
		k->kept.json = takeover_config(k->o->config);
		if (!k->kept.json)
			return -EINVAL;
	} else if (rc) {
		log_error("domain %s: its configuration is not kept here%s%s: name a file with "
			  "--config",
			  name, rc == -ENOENT ? "" : ": ", rc == -ENOENT ? "" : strerror(-rc));
		return rc;
	}
	toolstack_forget_cause(k->t);
	if (libxl_domain_config_from_json(toolstack_ctx(k->t), &k->config, k->kept.json)) {
		log_error("domain %s: its configuration cannot be read: %s", name,
			  toolstack_cause(k->t, ERROR_FAIL));
		return -EINVAL;
	}
	if (!k->config.c_info.name || strcmp(k->config.c_info.name, name) != 0) {
		log_error("domain %s: the configuration is that of %s", name,
			  k->config.c_info.name ? k->config.c_info.name : "a guest without a name");
		return -EINVAL;
	}
	k->config.c_info.domid = 0;
	return 0;
}

/* It must not be here already, under any of the names that a migration gives it. */
static int check_absent(struct takeover *k)
{
	static const char *const ends[] = {"", GUEST_INCOMING, GUEST_AWAY};
	char name[GUEST_NAME_MAX + 32];
	uint32_t domid;

	for (unsigned i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%.*s%s", GUEST_NAME_MAX, k->o->domain, ends[i]);
		if (libxl_name_to_domid(toolstack_ctx(k->t), name, &domid))
			continue;
		log_error("domain %s: it is on this host, as %s: see vstor recover", k->o->domain,
			  name);
		return -EEXIST;
	}
	return 0;
}

/* ---- whether the old host lives ---- */

static void asked_once(struct takeover *k, bool answers)
{
	k->answers |= answers;
	if (--k->asked == 0 || answers)
		loop_stop(k->loop, 0);
}

static void on_reply(void *arg, uint64_t seq, uint64_t rtt_ns)
{
	(void)seq;
	(void)rtt_ns;
	asked_once(arg, true);
}

static void on_no_reply(void *arg)
{
	asked_once(arg, false);
}

/* Who refuses a connection lives. */
static void on_connect(void *arg, int fd, const char *error)
{
	(void)error;
	if (fd >= 0)
		close(fd);
	asked_once(arg, fd >= 0 || fd == -ECONNREFUSED);
}

/* By ICMP and by TCP, as either may be filtered. */
static bool answers(struct takeover *k, const char *host)
{
	const struct ping_events ev = {on_reply, on_no_reply, k};
	struct sockaddr_storage addr;
	struct sock_addrs to;
	socklen_t len;

	k->asked = 0;
	k->answers = false;
	if (ping_resolve(host, &addr, &len, NULL) == 0 &&
	    ping_new(k->loop, (struct sockaddr *)&addr, len, ECHOES_NS, ECHOES, &ev, &k->ping) == 0)
		k->asked++;
	if (sock_resolve(host, PORT, &to) == 0) {
		sock_connect(k->loop, &k->connect, &to, ANSWER_NS, on_connect, k);
		k->asked++;
	}
	if (k->asked)
		loop_run(k->loop);
	ping_free(k->ping);
	k->ping = NULL;
	sock_connect_cancel(&k->connect);
	return k->answers;
}

/* `key`: of who holds its first disk; 0: nobody. */
static int check_dead(struct takeover *k, uint64_t key, const char *holder)
{
	const char *name = k->o->domain, *peer = k->kept.peer;
	bool known = peer[0] && (!key || referee_host_of(key) == k->kept.peer_id);

	if (k->o->force)
		return 0;
	if (key && !referee_is_key(key)) {
		log_error("domain %s: its disk is held by %s for another program (key 0x%" PRIx64
			  "): --force takes it all the same",
			  name, holder, key);
		return -EBUSY;
	}
	if (known && answers(k, peer)) {
		log_error("domain %s: %s, where it has been, still answers: move it with vstor "
			  "migrate; or, if it does not run there any more, --force",
			  name, peer);
		return -EBUSY;
	}
	if (key && !known) {
		log_error("domain %s: its disk is held by %s, of which no address is known here: "
			  "if you know that this host is down, --force",
			  name, holder);
		return -EBUSY;
	}
	return 0;
}

/* ---- its disks ---- */

static int open_disks(struct takeover *k)
{
	char left_out[ATTACH_ERROR], error[ATTACH_ERROR];
	int rc = config_disks_open(&k->config, &k->disks, left_out, error);

	if (rc) {
		log_error("domain %s: %s", k->o->domain, error);
	} else if (left_out[0] && !k->o->force) {
		rc = -EOPNOTSUPP;
		log_error("domain %s: its old host cannot be fenced: %s: if you know that it is "
			  "down, --force",
			  k->o->domain, left_out);
	}
	return rc;
}

static void on_grace(void *arg)
{
	struct takeover *k = arg;

	loop_stop(k->loop, 0);
}

/* Should its host live, the guest is paused there before it can see an error. */
static int announce(struct takeover *k, const struct config_disk *d, uint64_t victim,
		    const char *holder)
{
	struct loop_timer timer = {0};
	int rc = referee_announce(d->path, victim);

	k->announced = true;
	if (rc) {
		log_error("domain %s: this host cannot register with %s: %s", k->o->domain, d->path,
			  strerror(-rc));
		return rc;
	}
	printf("disk %s (%s): should %s live, it has %d s to stop the guest there\n", d->vdev,
	       d->path, holder, (int)(DISK_WATCH_GRACE_NS / SEC_NS));
	fflush(stdout);
	loop_timer_set(k->loop, &timer, DISK_WATCH_GRACE_NS, on_grace, k);
	loop_run(k->loop);
	return 0;
}

/* Its device was there, and is no more. */
static bool vanished(int rc)
{
	return rc == -ENOENT || rc == -ENODEV || rc == -ENXIO;
}

static int fence_one(struct takeover *k, const struct config_disk *d, bool first)
{
	char name[ISCSI_NAME + 1] = "", why[REFEREE_TEXT];
	uint64_t victim = 0;
	int rc = referee_holder(d->path, &victim, name, sizeof(name));

	if (rc) {
		log_error("domain %s: %s %s: %s", k->o->domain, d->path,
			  vanished(rc) ? "was detached meanwhile" : "does not answer",
			  strerror(-rc));
		return rc;
	}
	rc = first ? check_dead(k, victim, name) : 0;
	if (!rc && first && victim)
		rc = announce(k, d, victim, name);
	if (rc)
		return rc;
	if (referee_hold(d->path, victim, why) != REFEREE_WON) {
		log_error("domain %s: %s", k->o->domain, why);
		return -EBUSY;
	}
	if (victim)
		printf("disk %s (%s): taken from %s (PREEMPT AND ABORT, key 0x%" PRIx64 ")\n",
		       d->vdev, d->path, name, victim);
	else
		printf("disk %s (%s): held by this host\n", d->vdev, d->path);
	fflush(stdout);
	return 0;
}

static void give_back(struct takeover *k)
{
	if (k->announced && !k->held)
		k->held = 1;
	while (k->held)
		referee_release(k->disks.disk[--k->held].path, NULL, NULL);
	k->announced = false;
}

static int fence(struct takeover *k)
{
	int rc = k->disks.n ? 0 : check_dead(k, 0, "");

	while (!rc && k->held < k->disks.n) {
		rc = fence_one(k, &k->disks.disk[k->held], k->held == 0);
		if (!rc)
			k->held++;
	}
	if (rc)
		give_back(k);
	return rc;
}

/* A migration to this host that has lost its sender may just be ending: it detaches what it has
 * attached, and does not know that we have found it there. */
static int take_disks(struct takeover *k)
{
	for (unsigned again = 3;; again--) {
		int rc = open_disks(k);

		if (rc)
			return rc;
		rc = fence(k);
		if (!again || !vanished(rc))
			return rc;
		log_warn("domain %s: attaching its disks again", k->o->domain);
		config_disks_close(&k->disks);
	}
}

/* ---- its start ---- */

static void on_started(void *arg, int rc)
{
	struct takeover *k = arg;

	if (rc) {
		log_error("domain %s: it is here, but does not start: %s: xl unpause %s",
			  k->o->domain, toolstack_cause(k->t, rc), k->o->domain);
	} else {
		printf("%s runs here, from its disk\n", k->o->domain);
		monitor_start(k->o->domain, true);
	}
	loop_stop(k->loop, rc ? 1 : 0);
}

static void on_created(void *arg, int rc)
{
	struct takeover *k = arg;

	if (rc) {
		log_error("domain %s: its old host is fenced, but it cannot be created here: %s",
			  k->o->domain, toolstack_cause(k->t, rc));
		give_back(k);
		loop_stop(k->loop, 1);
		return;
	}
	rc = libxl_domain_unpause(toolstack_ctx(k->t), k->domid,
				  toolstack_how(k->t, &k->op, on_started, k));
	if (rc)
		toolstack_failed(&k->op, rc);
}

static int start(struct takeover *k)
{
	int rc = libxl_domain_create_new(toolstack_ctx(k->t), &k->config, &k->domid,
					 toolstack_how(k->t, &k->op, on_created, k), NULL);

	if (rc)
		toolstack_failed(&k->op, rc);
	return loop_run(k->loop);
}

int takeover_run(struct loop *l, struct toolstack *t, const struct takeover_options *o)
{
	struct takeover *k = calloc(1, sizeof(*k));
	int status = 1;

	if (!k)
		return 1;
	*k = (struct takeover){.o = o, .loop = l, .t = t};
	libxl_domain_config_init(&k->config);
	if (!check_absent(k) && !load(k) && !take_disks(k))
		status = start(k);
	config_disks_close(&k->disks);
	libxl_domain_config_dispose(&k->config);
	keepsake_fini(&k->kept);
	free(k);
	return status;
}
