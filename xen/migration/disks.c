/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/self.h"
#include "xen/devices.h"
#include "xen/disk_id.h"
#include "xen/fence/hotplug.h"

#define SCRIPT	 "block-vstor"
#define TEXT_MAX 4096

static void next_disk(void *arg);

static const char *basename_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ---- one `vstor attach` ---- */

/* The first line, or a substitute. */
static void first_line(const struct buf *b, const char *otherwise, char *line, size_t size)
{
	const uint8_t *end = b->len ? memchr(b->data, '\n', b->len) : NULL;
	size_t n = end ? (size_t)(end - b->data) : b->len;

	snprintf(line, size, "%.*s", n ? (int)n : (int)strlen(otherwise),
		 n ? (const char *)b->data : otherwise);
}

/* Remembers a device that we have to take away again if the guest does not come. */
static void remember(struct disks *d, const char *device)
{
	char **list = realloc(d->attached, (size_t)(d->n_attached + 1) * sizeof(*list));

	if (!list)
		return;
	d->attached = list;
	list[d->n_attached] = strdup(device);
	if (list[d->n_attached])
		d->n_attached++;
}

/* Whether that device there is the disk that the guest writes to here. */
static bool another_disk(struct disks *d, const char *vdev, const char *device, dev_t number)
{
	char here[DISK_ID_MAX], there[DISK_ID_MAX];

	if (disk_ids_get(d->ids->data, d->ids->len, vdev, here) || disk_id(number, there) ||
	    strcmp(here, there) == 0)
		return false;
	verdict(d->v, VERDICT_NO, "disk %s: %s there is another disk (%s) than here (%s)", vdev,
		device, there, here);
	return true;
}

static void attached(struct disks *d)
{
	struct stat st;
	const libxl_device_disk *disk = &d->config->disks[d->next - 1];
	char line[512], device[64] = "?";
	const char *at;

	if (!WIFEXITED(d->status) || WEXITSTATUS(d->status)) {
		first_line(&d->err.text, "vstor attach failed without a word", line, sizeof(line));
		/* Its own name is not the user's concern. */
		verdict(d->v, VERDICT_NO, "disk %s: %s", disk->vdev,
			strncmp(line, "vstor attach: ", 14) ? line : line + 14);
		return;
	}
	first_line(&d->out.text, "", line, sizeof(line));
	at = strstr(line, "\"device\":\"");
	if (at)
		sscanf(at, "\"device\":\"%63[^\"]", device);
	if (strstr(line, "\"existed\":false"))
		remember(d, device);
	if (stat(device, &st) == 0) {
		if (another_disk(d, disk->vdev, device, st.st_rdev))
			return;
		d->numbers[d->next - 1] = st.st_rdev;
	}
	verdict(d->v, VERDICT_OK, "disk %s: attached there as %s", disk->vdev, device);
}

static void one_ended(struct disks *d)
{
	if (--d->waiting)
		return;
	attached(d);
	buf_free(&d->out.text);
	buf_free(&d->err.text);
	d->out.text = d->err.text = (struct buf){0};
	next_disk(d);
}

static void on_text(void *arg, unsigned events)
{
	struct disks_pipe *p = arg;
	uint8_t chunk[512];
	ssize_t n = read(p->fd, chunk, sizeof(chunk));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		if (p->text.len < TEXT_MAX)
			buf_put(&p->text, chunk, (size_t)n);
		return;
	}
	loop_fd_del(p->owner->loop, &p->watch);
	close(p->fd);
	p->fd = -1;
	one_ended(p->owner);
}

static void on_exit_of(void *arg, int status)
{
	struct disks *d = arg;

	d->status = status;
	one_ended(d);
}

/* A secret is nothing for a command line, which everybody can read: it goes as a file without a
 * name. The file's fd, or -errno. */
static int secret_file(const char *secret)
{
	int fd = memfd_create("secret", 0), err = 0;

	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) < 0 || write(fd, secret, strlen(secret)) != (ssize_t)strlen(secret))
		err = errno ? -errno : -EIO;
	if (err)
		close(fd);
	return err ? err : fd;
}

static int start_attach(struct disks *d, const struct attach_request *r)
{
	char lun[16], secret_path[32];
	const struct {
		const char *option, *value;
	} options[] = {
		{"--via", r->via == ATTACH_OPEN_ISCSI ? "open-iscsi"
			  : r->via == ATTACH_AOE      ? "aoe"
						      : NULL},
		{"--target", r->target},
		{"--serial", r->serial},
		{"--initiator", r->initiator},
		{"--chap-user", r->chap_user},
		{"--chap-secret-file", r->chap_secret ? secret_path : r->chap_secret_file},
		{"--mutual-user", r->mutual_user},
		{"--mutual-secret-file", r->mutual_secret_file},
	};
	char *argv[7 + 2 * ARRAY_SIZE(options)] = {"vstor", "attach", "--json",
						   "--lun", lun,      (char *)r->portal};
	int n = 6, secret = -1, out[2], err[2] = {-1, -1}, rc;
	pid_t pid;

	snprintf(lun, sizeof(lun), "%u", r->lun);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (!options[i].value)
			continue;
		argv[n++] = (char *)options[i].option;
		argv[n++] = (char *)options[i].value;
	}
	if (pipe2(out, O_CLOEXEC))
		return -errno;
	if (pipe2(err, O_CLOEXEC)) {
		rc = -errno;
		goto failed;
	}
	if (r->chap_secret) {
		secret = secret_file(r->chap_secret);
		if (secret < 0) {
			rc = secret;
			goto failed;
		}
		snprintf(secret_path, sizeof(secret_path), "/proc/self/fd/%d", secret);
	}
	rc = self_spawn((const char *const *)argv, out[1], err[1], &pid);
	if (secret >= 0)
		close(secret);
	if (rc)
		goto failed;
	close(out[1]);
	close(err[1]);
	d->waiting = 3;
	d->out = (struct disks_pipe){.owner = d, .fd = out[0]};
	d->err = (struct disks_pipe){.owner = d, .fd = err[0]};
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	loop_fd_add(d->loop, &d->out.watch, out[0], LOOP_READ, on_text, &d->out);
	loop_fd_add(d->loop, &d->err.watch, err[0], LOOP_READ, on_text, &d->err);
	loop_child_add(d->loop, &d->child, pid, on_exit_of, d);
	return 0;
failed:
	close(out[0]);
	close(out[1]);
	if (err[0] >= 0) {
		close(err[0]);
		close(err[1]);
	}
	return rc;
}

/* ---- all of them ---- */

/* True when its `vstor attach` has been started. */
static bool attach_one(struct disks *d, const libxl_device_disk *disk)
{
	struct hotplug_words w;
	char error[ATTACH_ERROR], script[512];
	int rc;

	if (!devices_script(disk->script, SCRIPT, script, sizeof(script))) {
		verdict(d->v, VERDICT_NO, "disk %s: there is no %s there, a link to vstor",
			disk->vdev, script);
		return false;
	}

	if (hotplug_parse(disk->pdev_path ? disk->pdev_path : "", &w, error)) {
		verdict(d->v, VERDICT_NO, "disk %s: %s", disk->vdev, error);
		return false;
	}
	rc = start_attach(d, &w.r);
	if (rc)
		verdict(d->v, VERDICT_NO, "disk %s: cannot run vstor attach: %s", disk->vdev,
			strerror(-rc));
	return rc == 0;
}

/* A disk of another kind: whether it is the same storage is for its owner to know. */
static void look_at(struct disks *d, const libxl_device_disk *disk)
{
	const char *path = disk->pdev_path;
	char script[512], id[DISK_ID_MAX];
	struct stat st;

	if (disk->script) {
		if (!devices_script(disk->script, NULL, script, sizeof(script)))
			verdict(d->v, VERDICT_NO, "disk %s: there is no %s there", disk->vdev,
				script);
		else
			verdict(d->v, VERDICT_OK, "disk %s: by %s", disk->vdev, script);
	} else if (!path || !path[0]) {
		verdict(d->v, VERDICT_OK, "disk %s: empty", disk->vdev);
	} else if (stat(path, &st)) {
		verdict(d->v, VERDICT_NO, "disk %s: there is no %s there", disk->vdev, path);
	} else if (S_ISBLK(st.st_mode) && another_disk(d, disk->vdev, path, st.st_rdev)) {
		return;
	} else if (S_ISBLK(st.st_mode) &&
		   disk_ids_get(d->ids->data, d->ids->len, disk->vdev, id) == 0 &&
		   disk_id(st.st_rdev, id) == 0) {
		d->numbers[disk - d->config->disks] = st.st_rdev;
		verdict(d->v, VERDICT_OK, "disk %s: %s is there, the same disk (%s)", disk->vdev,
			path, id);
	} else {
		verdict(d->v, VERDICT_WARN,
			"disk %s: %s is there; that it is the same storage as here cannot be seen",
			disk->vdev, path);
	}
}

static void next_disk(void *arg)
{
	struct disks *d = arg;

	while (d->next < d->config->num_disks) {
		const libxl_device_disk *disk = &d->config->disks[d->next++];
		const char *script = disk->script ? basename_of(disk->script) : "";

		if (strcmp(script, SCRIPT) != 0)
			look_at(d, disk);
		else if (attach_one(d, disk))
			return;
	}
	d->done(d->arg);
}

void disks_attach(struct disks *d, struct loop *l, const libxl_domain_config *config,
		  const struct buf *ids, struct verdicts *v, void (*done)(void *arg), void *arg)
{
	*d = (struct disks){.loop = l,
			    .config = config,
			    .ids = ids,
			    .v = v,
			    .done = done,
			    .arg = arg,
			    .task = {.fn = next_disk, .arg = d}};
	d->numbers = calloc((size_t)config->num_disks + 1, sizeof(*d->numbers));
	if (!d->numbers) {
		verdict(v, VERDICT_NO, "disks: out of memory there");
		d->next = config->num_disks;
	}
	loop_defer(l, &d->task);
}

dev_t disks_number(const struct disks *d, const char *vdev)
{
	for (int i = 0; d->numbers && i < d->config->num_disks; i++)
		if (d->config->disks[i].vdev && strcmp(d->config->disks[i].vdev, vdev) == 0)
			return d->numbers[i];
	return 0;
}

/* Of no importance to anybody here: it outlives us if need be. */
static void detach(const char *device)
{
	const char *const argv[] = {"vstor", "detach", "--if-attached", "-q", device, NULL};

	self_leave(argv, SELF_NULL, SELF_KEEPS);
}

void disks_release(struct disks *d)
{
	for (int i = 0; i < d->n_attached; i++)
		detach(d->attached[i]);
	disks_fini(d);
}

void disks_attached(const struct disks *d, char text[DISKS_TEXT])
{
	size_t at = 0;

	text[0] = 0;
	for (int i = 0; i < d->n_attached; i++)
		if (at + strlen(d->attached[i]) + 2 <= DISKS_TEXT)
			at += (size_t)sprintf(text + at, "%s%s", at ? " " : "", d->attached[i]);
}

void disks_release_named(const char *text)
{
	char copy[DISKS_TEXT], *rest;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
		detach(w);
}

void disks_fini(struct disks *d)
{
	for (int i = 0; i < d->n_attached; i++)
		free(d->attached[i]);
	free(d->attached);
	free(d->numbers);
	d->attached = NULL;
	d->numbers = NULL;
	d->n_attached = 0;
}
