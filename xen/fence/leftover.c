/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/leftover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/log.h"
#include "xen/fence/config_disks.h"
#include "xen/fence/hotplug.h"
#include "xen/keepsake.h"
#include "xen/fence/paths.h"

struct leftover {
	const char *path;
	unsigned found;
};

static void tell(void *arg, enum reservation_action a, uint64_t key, bool holds)
{
	struct leftover *l = arg;

	l->found++;
	printf("%s: PERSISTENT RESERVE OUT, %s, key 0x%016" PRIx64 "%s%s\n", l->path,
	       reservation_action_name(a), key,
	       a == RESERVATION_REGISTER ? " to 0" : " of an earlier nexus",
	       holds ? ": this host held it" : "");
	fflush(stdout);
}

/* One disk; 0, or 1 after one logged line. */
static int release(struct leftover *l, const char *path)
{
	char who[128], map[32];
	struct stat st;
	dev_t number;
	int rc;

	if (stat(path, &st) == 0 && hotplug_guest_of(st.st_rdev, NULL, who, sizeof(who))) {
		log_info("%s stays reserved: it is a disk of %s", path, who);
		return 0;
	}
	/* By all of its paths, also those that do not answer. */
	if (stat(path, &st) == 0 && paths_map_of(st.st_rdev, map, &number))
		path = map;
	l->path = path;
	rc = referee_release(path, tell, l);
	if (rc && rc != -EOPNOTSUPP) {
		log_error("%s: cannot be given up: %s", path, strerror(-rc));
		return 1;
	}
	return 0;
}

static int release_guest(struct leftover *l, struct toolstack *t, const char *name)
{
	char left_out[ATTACH_ERROR], error[ATTACH_ERROR];
	struct config_disks disks;
	libxl_domain_config c;
	struct keepsake k;
	int status = 1;

	libxl_domain_config_init(&c);
	if (keepsake_find(name, &k))
		log_error(
			"domain %s: its configuration is not kept here: without a name, --release "
			"looks at all attached disks",
			name);
	else if (libxl_domain_config_from_json(toolstack_ctx(t), &c, k.json))
		log_error("domain %s: its configuration cannot be read: %s", name,
			  toolstack_cause(t, ERROR_FAIL));
	else if (config_disks_open(&c, &disks, left_out, error))
		log_error("domain %s: %s", name, error);
	else {
		status = 0;
		for (unsigned i = 0; i < disks.n; i++)
			status |= release(l, disks.disk[i].path);
		config_disks_close(&disks);
	}
	libxl_domain_config_dispose(&c);
	keepsake_fini(&k);
	return status;
}

static int release_attached(struct leftover *l)
{
	struct iscsi_session *sessions;
	struct iscsi_disk *disks;
	size_t n, m;
	int status = 0;

	if (iscsi_sessions(&sessions, &n))
		return 1;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(sessions[i].state, "LOGGED_IN") != 0) {
			log_warn("%s: the session is down (%s): left alone", sessions[i].target,
				 sessions[i].state);
			continue;
		}
		if (iscsi_disks(&sessions[i], &disks, &m))
			continue;
		for (size_t k = 0; k < m; k++)
			status |= release(l, disks[k].path);
		free(disks);
	}
	free(sessions);
	return status;
}

int leftover_release(struct toolstack *t, const char *name)
{
	struct leftover l = {0};
	int status = name ? release_guest(&l, t, name) : release_attached(&l);

	if (!status && !l.found)
		printf("nothing is reserved by this host that no guest here needs\n");
	return status;
}
