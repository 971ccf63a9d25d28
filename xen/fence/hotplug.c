/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/hotplug.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <xenstore.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"
#include "xen/fence/disk_watch.h"
#include "xen/guest.h"
#include "xen/held_disks.h"
#include "xen/fence/paths.h"
#include "xen/fence/referee.h"
#include "xen/release.h"
#include "xen/fence/reservation.h"

#define PATH_LEN 512

/* Words with a text, under our name and under block-iscsi's. */
static const struct word {
	const char *name;
	size_t field;
} words[] = {
#define F(f) offsetof(struct attach_request, f)
	{"portal", F(portal)},
	{"iqn", F(target)},
	{"serial", F(serial)},
	{"initiator", F(initiator)},
	{"chap-user", F(chap_user)},
	{"user", F(chap_user)},
	{"chap-secret-file", F(chap_secret_file)},
	{"password", F(chap_secret)},
	{"mutual-user", F(mutual_user)},
	{"mutual-secret-file", F(mutual_secret_file)},
#undef F
};

static bool is_secret(const char *word)
{
	return strcmp(word, "password") == 0;
}

/* 0, -ENOENT: there is no such word; or -EINVAL: it has no such value */
static int take_word(struct attach_request *r, const char *word, const char *value)
{
	uint64_t n;

	if (!*value)
		return -EINVAL;
	if (strcmp(word, "lun") == 0) {
		if (parse_u64(value, &n) || n > ISCSI_LUN_MAX)
			return -EINVAL;
		r->lun = (unsigned)n;
		return 0;
	}
	if (strcmp(word, "replacement-timeout") == 0) {
		if (parse_u64(value, &n) || n > ATTACH_REPLACEMENT_MAX)
			return -EINVAL;
		r->replacement_timeout = n ? (int)n : -1;
		return 0;
	}
	if (strcmp(word, "via") == 0)
		return attach_via(value, &r->via) ? -EINVAL : 0;
	if (strcmp(word, "aoe") == 0) {
		r->via = ATTACH_AOE;
		r->portal = value;
		return 0;
	}
	/* block-iscsi's word for what we do anyway */
	if (strcmp(word, "multipath") == 0)
		return strcmp(value, "n") ? -EINVAL : 0;
	if ((strcmp(word, "iqn") == 0 || strcmp(word, "initiator") == 0) &&
	    !iscsi_name_valid(value))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i].name) == 0) {
			*(const char **)((char *)r + words[i].field) = value;
			return 0;
		}
	}
	return -ENOENT;
}

int hotplug_parse(const char *params, struct hotplug_words *w, char error[ATTACH_ERROR])
{
	char *save = NULL, *word, *value;
	int rc;

	memset(w, 0, sizeof(*w));
	w->r.timeout_ns = ATTACH_TIMEOUT;
	if ((size_t)snprintf(w->text, sizeof(w->text), "%s", params) >= sizeof(w->text)) {
		snprintf(error, ATTACH_ERROR, "the disk's target= is too long");
		return -EINVAL;
	}
	for (word = strtok_r(w->text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		value = strchr(word, '=');
		if (!value) {
			snprintf(error, ATTACH_ERROR, "'%s' is not of the form key=value", word);
			return -EINVAL;
		}
		*value++ = '\0';
		rc = take_word(&w->r, word, value);
		if (rc == -ENOENT)
			snprintf(error, ATTACH_ERROR,
				 "'%s=' is unknown: vstor-attach(8) lists the words for a disk",
				 word);
		else if (rc)
			snprintf(error, ATTACH_ERROR, "'%s=' cannot be '%s': see vstor-attach(8)",
				 word, is_secret(word) ? "..." : value);
		if (rc)
			return -EINVAL;
	}
	if (w->r.via == ATTACH_AOE && w->r.portal && attach_aoe_only(&w->r)) {
		snprintf(error, ATTACH_ERROR,
			 "aoe= takes SHELF.SLOT, and none of iSCSI's words beside it");
		return -EINVAL;
	}
	if (!w->r.portal) {
		snprintf(error, ATTACH_ERROR, "no portal=HOST[:PORT] is named");
		return -EINVAL;
	}
	return 0;
}

/* ---- xenstore ------------------------------------------------------------------------------- */

/* A node below the backend; NULL when it is not there. The caller frees it. */
static char *read_node(struct xs_handle *xs, const char *backend, const char *node)
{
	char path[PATH_LEN];
	unsigned len;

	snprintf(path, sizeof(path), "%s/%s", backend, node);
	return xs_read(xs, XBT_NULL, path, &len);
}

static bool write_node(struct xs_handle *xs, xs_transaction_t t, const char *backend,
		       const char *node, const char *value)
{
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s/%s", backend, node);
	return xs_write(xs, t, path, value, (unsigned)strlen(value));
}

/* Writes the disk's number, unless that is NULL, a node, and hotplug-status at once. */
static int write_result(struct xs_handle *xs, const char *backend, const char *number,
			const char *node, const char *value, const char *status)
{
	xs_transaction_t t;
	bool ok;

	do {
		t = xs_transaction_start(xs);
		if (!t)
			return -errno;
		ok = (!number || held_disks_put(xs, t, backend, number)) &&
		     write_node(xs, t, backend, node, value) &&
		     write_node(xs, t, backend, "hotplug-status", status);
		if (!ok) {
			int err = -errno;

			xs_transaction_end(xs, t, true);
			return err;
		}
		if (xs_transaction_end(xs, t, false))
			return 0;
	} while (errno == EAGAIN);
	return -errno;
}

/* One line to the log, and to where libxl looks for it. */
static int fail(struct xs_handle *xs, const char *backend, int err, const char *error)
{
	log_error("%s", error);
	if (write_result(xs, backend, NULL, "hotplug-error", error, "error"))
		log_error("%s: hotplug-error: %s", backend, strerror(errno));
	return err;
}

static struct xs_handle *open_xenstore(void)
{
	struct xs_handle *xs = xs_open(0);

	if (!xs)
		log_error("xenstore: %s: run it in dom0, as root, with xenstored up",
			  strerror(errno));
	return xs;
}

/* The backend's params, taken apart. */
static int read_words(struct xs_handle *xs, const char *backend, struct hotplug_words *w)
{
	char error[ATTACH_ERROR], *params = read_node(xs, backend, "params");
	int err;

	if (!params) {
		snprintf(error, sizeof(error),
			 "%s/params: %s: run by libxl for a disk with "
			 "script=block-vstor",
			 backend, strerror(errno));
		return fail(xs, backend, -ENOENT, error);
	}
	err = hotplug_parse(params, w, error);
	free(params);
	return err ? fail(xs, backend, err, error) : 0;
}

static int connected(struct xs_handle *xs, const char *backend, const struct iscsi_disk *d)
{
	char number[32], error[ATTACH_ERROR];
	int err;

	snprintf(number, sizeof(number), "%x:%x", major(d->dev), minor(d->dev));
	/* What an earlier attempt may have left. */
	snprintf(error, sizeof(error), "%s/hotplug-error", backend);
	xs_rm(xs, XBT_NULL, error);
	err = write_result(xs, backend, number, "physical-device-path", d->path, "connected");
	if (!err)
		return 0;
	snprintf(error, sizeof(error), "%s: %s", backend, strerror(-err));
	return fail(xs, backend, err, error);
}

/* ---- the reservation ------------------------------------------------------------------------ */

/* True when the guest may write to the disk. */
static bool writable(struct xs_handle *xs, const char *backend)
{
	char *mode = read_node(xs, backend, "mode");
	bool is = !mode || mode[0] != 'r';

	free(mode);
	return is;
}

/* True for a guest that is being received, by vstor or by xl: both give it such a name. */
static bool incoming(struct xs_handle *xs, const char *backend)
{
	uint32_t domid = held_disks_domid(backend);
	char path[64], *name;
	size_t n;
	bool is;

	if (!domid)
		return false;
	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	name = read_node(xs, path, "name");
	n = name ? strlen(name) : 0;
	is = n > strlen(GUEST_INCOMING) &&
	     strcmp(name + n - strlen(GUEST_INCOMING), GUEST_INCOMING) == 0;
	free(name);
	return is;
}

/* Of a guest that vstor receives: its receiver has registered with what the migration fences, and
 * with nothing else. The source's guest runs yet: not even a disk that nobody holds may be taken
 * from it. */
static int not_fenced(const struct iscsi_disk *d, uint64_t holder, const char *name,
		      char error[ATTACH_ERROR])
{
	if (holder)
		return attach_failed(error, -EBUSY,
				     "%s is reserved by %s, and the migration does not fence it: "
				     "the warnings of vstor migrate --check say why",
				     d->path, name);
	log_info("%s: not reserved: the migration does not fence it", d->path);
	return 0;
}

int hotplug_reserve(struct xs_handle *xs, const char *backend, const struct iscsi_disk *d,
		    bool *reserved, char error[ATTACH_ERROR])
{
	char why[REFEREE_TEXT], name[ISCSI_NAME + 1], map[32];
	uint64_t victim = 0;
	dev_t number;
	int rc;

	if (!writable(xs, backend))
		return 0;
	/* What is held by this path belongs to the others, too. */
	if (paths_map_of(d->dev, map, &number) &&
	    hotplug_guest_of(number, backend, name, sizeof(name)))
		return attach_failed(error, -EBUSY, "%s is a path of %s, which is a disk of %s",
				     d->path, map, name);
	rc = reservation_check(d->path);
	if (rc == -EOPNOTSUPP || rc == -ENOLCK) {
		log_info("%s: not reserved: its target %s", d->path,
			 rc == -ENOLCK ? "forgets reservations when it is restarted"
				       : "has no reservations");
		return 0;
	}
	if (rc == 0 && incoming(xs, backend)) {
		/* Unless that is certain nothing may be taken: the source's guest runs yet. */
		rc = referee_registered(d->path);
		if (rc > 0)
			return 0;
		if (!rc)
			rc = referee_holder(d->path, &victim, name, sizeof(name));
		if (!rc && getenv(GUEST_RECEIVED_ENV))
			return not_fenced(d, victim, name, error);
		if (!referee_is_key(victim))
			victim = 0;
	}
	if (rc)
		return attach_failed(error, rc, "%s does not say who has reserved it: %s", d->path,
				     strerror(-rc));
	switch (referee_hold(d->path, victim, why)) {
	case REFEREE_WON: *reserved = true; return 0;
	case REFEREE_LOST:
		return attach_failed(error, -EBUSY,
				     "%s: a guest runs there with it; if that host is dead: vstor "
				     "takeover",
				     why);
	case REFEREE_SILENT: break;
	}
	return attach_failed(error, -EIO, "%s", why);
}

static void give_up(const struct iscsi_session *s, const struct iscsi_disk *d)
{
	int rc = strcmp(s->state, "LOGGED_IN") ? -EHOSTDOWN : referee_release(d->path, NULL, NULL);

	if (rc && rc != -EOPNOTSUPP)
		log_warn("%s: what this host has reserved of it cannot be given up: %s: vstor "
			 "recover --release",
			 d->path, strerror(-rc));
}

/* ---- add and remove ------------------------------------------------------------------------- */

static int attach_and_reserve(struct xs_handle *xs, const char *backend,
			      const struct hotplug_words *w, struct attachment *a, bool *reserved,
			      char error[ATTACH_ERROR])
{
	char ignored[ATTACH_ERROR];
	int err = attach_disk(&w->r, a, error);

	if (err)
		return err;
	err = hotplug_reserve(xs, backend, &a->disk, reserved, error);
	if (err && !a->existed)
		attach_end(&w->r, a, false, ignored);
	return err;
}

int hotplug_add(const char *xenbus_path)
{
	struct xs_handle *xs = open_xenstore();
	char error[ATTACH_ERROR], misfit[RELEASE_TEXT];
	struct hotplug_words w;
	struct attachment a;
	bool reserved = false;
	int err;

	if (!xs)
		return -ENOENT;
	/* Whatever else goes on with this guest would fail: before anything is done. */
	err = release_check(misfit);
	err = err ? fail(xs, xenbus_path, err, misfit) : read_words(xs, xenbus_path, &w);
	if (!err) {
		err = attach_and_reserve(xs, xenbus_path, &w, &a, &reserved, error);
		err = err ? fail(xs, xenbus_path, err, error) : connected(xs, xenbus_path, &a.disk);
	}
	if (!err && reserved && held_disks_domid(xenbus_path))
		disk_watch_start(held_disks_domid(xenbus_path));
	xs_close(xs);
	return err;
}

/* Not attached is as good as detached, and so is what another guest still needs. */
static int detach_words(struct xs_handle *xs, const struct hotplug_words *w,
			const char *xenbus_path, char error[ATTACH_ERROR])
{
	struct attachment a;
	char who[128];
	int err = attach_find(&w->r, &a, error);

	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	if (hotplug_guest_of(a.disk.dev, xenbus_path, who, sizeof(who))) {
		log_info("%s stays: it is a disk of %s too", a.disk.path, who);
		return 0;
	}
	if (writable(xs, xenbus_path) && w->r.via != ATTACH_AOE)
		give_up(&a.session, &a.disk);
	return attach_end(&w->r, &a, false, error);
}

int hotplug_remove(const char *xenbus_path)
{
	struct xs_handle *xs = open_xenstore();
	char error[ATTACH_ERROR], *params;
	struct hotplug_words w;
	int err;

	if (!xs)
		return -ENOENT;
	/* A backend that is gone from xenstore can only be a repetition. */
	params = read_node(xs, xenbus_path, "params");
	err = params ? read_words(xs, xenbus_path, &w) : 0;
	if (params && !err) {
		err = detach_words(xs, &w, xenbus_path, error);
		if (err)
			fail(xs, xenbus_path, err, error);
	}
	free(params);
	xs_close(xs);
	return err;
}

/* The last two parts of a backend's path: domain and device numbers. */
static bool same_backend(const char *path, const char *domid, const char *devid)
{
	char end[64];
	size_t n = (size_t)snprintf(end, sizeof(end), "/%s/%s", domid, devid), len = strlen(path);

	return len >= n && strcmp(path + len - n, end) == 0;
}

static bool serves(struct xs_handle *xs, const char *domid, const char *devid, const char *number,
		   char *who, size_t size)
{
	char backend[PATH_LEN - 32], *physical, *name;
	bool same;

	snprintf(backend, sizeof(backend), "backend/vbd/%s/%s", domid, devid);
	physical = held_disks_number(xs, backend);
	same = physical && strcmp(physical, number) == 0;
	free(physical);
	if (!same)
		return false;
	snprintf(backend, sizeof(backend), "/local/domain/%s", domid);
	name = read_node(xs, backend, "name");
	snprintf(who, size, "guest %s, disk %s", name ? name : domid, devid);
	free(name);
	return true;
}

bool hotplug_guest_of(dev_t dev, const char *except, char *who, size_t size)
{
	struct xs_handle *xs;
	char map[32];
	dev_t above;
	char number[32], path[PATH_LEN], **doms, **devs;
	unsigned n_doms = 0, n_devs;
	bool found = false;

	if (paths_map_of(dev, map, &above) && hotplug_guest_of(above, except, who, size))
		return true;
	xs = xs_open(0);
	if (!xs)
		return false;
	snprintf(number, sizeof(number), "%x:%x", major(dev), minor(dev));
	doms = xs_directory(xs, XBT_NULL, "backend/vbd", &n_doms);
	for (unsigned i = 0; doms && i < n_doms && !found; i++) {
		snprintf(path, sizeof(path), "backend/vbd/%s", doms[i]);
		n_devs = 0;
		devs = xs_directory(xs, XBT_NULL, path, &n_devs);
		for (unsigned k = 0; devs && k < n_devs && !found; k++)
			if (!except || !same_backend(except, doms[i], devs[k]))
				found = serves(xs, doms[i], devs[k], number, who, size);
		free(devs);
	}
	free(doms);
	xs_close(xs);
	return found;
}
