/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/fence/fencing.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <xenstore.h>

#include "core/log.h"
#include "xen/disk_id.h"
#include "xen/fence/hotplug.h"
#include "xen/fence/paths.h"

#define AGAIN_NS (300 * MS_NS)

uint64_t fencing_patience = 40 * SEC_NS;
/* The source that has lost the destination claims the guest at once. If it is dead it does not. */
uint64_t fencing_grace = 5 * SEC_NS;

/* ---- which disks ---- */

static bool exists(const char *dir, const char *name)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

const char *fencing_device(dev_t number, char path[32])
{
	char dir[256], target[PATH_MAX];
	const char *misfit;
	ssize_t n;

	snprintf(dir, sizeof(dir), "%s/dev/block/%u:%u", disk_id_sysfs, major(number),
		 minor(number));
	n = readlink(dir, target, sizeof(target) - 1);
	if (n < 0)
		return "it is no block device of this host";
	target[n] = 0;
	if (exists(dir, "partition"))
		return "it is a part of a disk, which is reserved as a whole";
	misfit = exists(dir, "dm")		    ? paths_misfit(dir)
		 : !exists(dir, "device/scsi_disk") ? "it is no SCSI disk"
						    : NULL;
	if (misfit)
		return misfit;
	if ((size_t)snprintf(path, 32, "/dev/%s", strrchr(target, '/') + 1) >= 32)
		return "its device has a long name";
	return NULL;
}

/* A disk of the list, while that is sorted. */
struct found {
	char id[DISK_ID_MAX];
	struct referee_disk disk;
};

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->id, ((const struct found *)b)->id);
}

static char *node(struct xs_handle *xs, const char *dir, const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%.200s/%s", dir, name);
	return xs_read(xs, XBT_NULL, path, NULL);
}

/* The disk of a back end (Xen: public/io/blkif.h): NULL when it can be fenced, or need not be
 * (*skip). */
static const char *look(struct xs_handle *xs, const char *back, struct found *f, bool *skip,
			char text[160])
{
	char *mode = node(xs, back, "mode"), *number = node(xs, back, "physical-device");
	const char *why = "it is no block device of this host";
	unsigned maj, min;
	char who[128];

	*skip = mode && mode[0] == 'r';
	if (number && sscanf(number, "%x:%x", &maj, &min) == 2) {
		why = fencing_device(makedev(maj, min), f->disk.path);
		if (!why && disk_id(makedev(maj, min), f->id))
			why = "it has no identity (WWID)";
		if (!why && hotplug_guest_of(makedev(maj, min), back, who, sizeof(who))) {
			snprintf(text, 160, "it is shared with %s", who);
			why = text;
		}
	}
	free(number);
	free(mode);
	return why;
}

static void refuse(struct verdicts *v, bool lenient, const char *vdev, const char *why)
{
	if (!v)
		return;
	verdict(v, lenient ? VERDICT_WARN : VERDICT_NO,
		lenient ? "fence: disk %s: not fenced: %s"
			: "fence: disk %s: cannot be fenced: %s: --no-fence moves the guest all "
			  "the "
			  "same",
		vdev, why);
}

/* One virtual disk; true when f is one to fence. */
static bool list_one(struct xs_handle *xs, const char *front, bool lenient, struct found *f,
		     struct verdicts *v)
{
	char *back = node(xs, front, "backend"), *vdev = back ? node(xs, back, "dev") : NULL;
	const char *why = NULL;
	char text[160];
	bool skip = !back;

	if (vdev)
		snprintf(f->disk.vdev, sizeof(f->disk.vdev), "%s", vdev);
	if (back)
		why = look(xs, back, f, &skip, text);
	if (!skip && why)
		refuse(v, lenient, f->disk.vdev, why);
	free(vdev);
	free(back);
	return !skip && !why;
}

void fencing_list(uint32_t domid, bool lenient, struct referee *r, struct verdicts *v)
{
	struct found *found = calloc(REFEREE_DISKS, sizeof(*found));
	struct xs_handle *xs = xs_open(0);
	char dir[64], front[128], **list = NULL;
	unsigned n = 0;

	memset(r, 0, sizeof(*r));
	snprintf(dir, sizeof(dir), "/local/domain/%u/device/vbd", domid);
	if (xs && found)
		list = xs_directory(xs, XBT_NULL, dir, &n);
	for (unsigned i = 0; list && i < n; i++) {
		snprintf(front, sizeof(front), "%s/%.40s", dir, list[i]);
		if (r->n == REFEREE_DISKS)
			refuse(v, lenient, list[i], "there are too many");
		else if (list_one(xs, front, lenient, &found[r->n], v))
			r->n++;
	}
	if (found)
		qsort(found, r->n, sizeof(*found), by_id);
	for (unsigned i = 0; i < r->n; i++)
		r->disk[i] = found[i].disk;
	free(list);
	free(found);
	if (xs)
		xs_close(xs);
}

/* ---- beside the loop ---- */

/* Leaves out what cannot keep reservations. */
static void check(struct fencing *f)
{
	struct referee *r = &f->r;
	unsigned kept = 0;

	for (unsigned i = 0; i < r->n; i++) {
		const char *path = r->disk[i].path;
		int rc = referee_check(path);
		char why[160];

		if (rc == 0) {
			r->disk[kept++] = r->disk[i];
			continue;
		}
		if (rc == -EOPNOTSUPP)
			snprintf(why, sizeof(why), "%s has no reservations", path);
		else if (rc == -ENOLCK)
			snprintf(why, sizeof(why),
				 "%s forgets its reservations when its target is restarted (vstor "
				 "target keeps them with --state-dir)",
				 path);
		else
			snprintf(why, sizeof(why), "%s does not answer: %s", path, strerror(-rc));
		refuse(&f->v, f->lenient, r->disk[i].vdev, why);
	}
	r->n = kept;
}

static void tell(struct fencing *f, const char *how, const char *where)
{
	if (f->says != REFEREE_WON)
		verdict(&f->v, VERDICT_NO, "fence: %s%s", where, f->r.why);
	for (unsigned i = 0; f->says == REFEREE_WON && i < f->r.n; i++)
		verdict(&f->v, VERDICT_OK, "fence: disk %s: %s, %s", f->r.disk[i].vdev,
			f->r.disk[i].path, how);
}

/* For `vstor migrate --check`: changes nothing. */
static void tell_holders(struct fencing *f)
{
	char name[256];
	uint64_t key;

	for (unsigned i = 0; i < f->r.n; i++) {
		const struct referee_disk *d = &f->r.disk[i];
		int rc = referee_holder(d->path, &key, name, sizeof(name));

		if (rc)
			verdict(&f->v, VERDICT_NO, "fence: disk %s: %s does not answer: %s",
				d->vdev, d->path, strerror(-rc));
		else if (key)
			verdict(&f->v, VERDICT_NO, "fence: disk %s: %s is held by %s", d->vdev,
				d->path, name);
		else
			verdict(&f->v, VERDICT_OK, "fence: disk %s: %s can be fenced", d->vdev,
				d->path);
	}
}

/* What REFEREE_LOST has destroyed has to be elsewhere: a host of vstor's holds the disk. A foreign
 * key, or one of this host's that is not known to be, says nothing of the guest. */
static enum referee_says reclaim(struct referee *r)
{
	enum referee_says says = referee_reclaim(r);
	char name[RESERVATION_NAME_MAX];
	uint64_t key;

	for (unsigned i = 0; says == REFEREE_LOST && i < r->n; i++)
		if (referee_holder(r->disk[i].path, &key, name, sizeof(name)) == 0 &&
		    referee_is_key(key))
			return says;
	return says == REFEREE_LOST ? REFEREE_SILENT : says;
}

static void *run(void *arg)
{
	struct fencing *f = arg;
	struct referee *r = &f->r;

	f->says = REFEREE_WON;
	switch (f->what) {
	case FENCING_CHECK:
		check(f);
		tell(f, "can be fenced there", "");
		break;
	case FENCING_LOOK:
		check(f);
		tell_holders(f);
		break;
	case FENCING_BEGIN:
		check(f);
		f->says = referee_begin(r);
		tell(f, "held by this host", "");
		break;
	case FENCING_JOIN:
		check(f);
		f->says = referee_join(r);
		tell(f, "registered there", "there: ");
		break;
	case FENCING_CLAIM: f->says = referee_claim(r, false); break;
	case FENCING_RACE: f->says = referee_claim(r, true); break;
	case FENCING_RECLAIM: f->says = reclaim(r); break;
	case FENCING_LEAVE_SOURCE:
	case FENCING_LEAVE:
		if (referee_leave(r, f->what == FENCING_LEAVE_SOURCE))
			f->says = REFEREE_SILENT;
		break;
	case FENCING_MEND:
		for (unsigned i = 0; i < r->n; i++)
			if (referee_mend(r->disk[i].path) < 0)
				f->says = REFEREE_SILENT;
		break;
	}
	eventfd_write(f->fd, 1);
	return NULL;
}

static void begin(void *arg);

static void finish(void *arg)
{
	struct fencing *f = arg;

	loop_fd_del(f->loop, &f->watch);
	close(f->fd);
	f->running = false;
	f->done(f->arg, f->says);
}

static void on_run(void *arg, unsigned events)
{
	struct fencing *f = arg;
	bool asks =
		f->what == FENCING_CLAIM || f->what == FENCING_RACE || f->what == FENCING_RECLAIM;
	eventfd_t n;

	(void)events;
	eventfd_read(f->fd, &n);
	pthread_join(f->thread, NULL);
	f->threaded = false;
	if (asks && f->says == REFEREE_SILENT && (!f->deadline || clock_ns() < f->deadline)) {
		log_debug("%s: asking again", f->r.why);
		loop_timer_set(f->loop, &f->again, AGAIN_NS, begin, f);
	} else {
		finish(f);
	}
}

static void begin(void *arg)
{
	struct fencing *f = arg;
	sigset_t all, old;

	/* Signals are the loop's thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	f->threaded = pthread_create(&f->thread, NULL, run, f) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!f->threaded) /* out of memory: it may pass */
		loop_timer_set(f->loop, &f->again, AGAIN_NS, begin, f);
}

void fencing_start(struct fencing *f, struct loop *l, enum fencing_do what, bool lenient,
		   const struct referee *r, uint64_t limit_ns,
		   void (*done)(void *arg, enum referee_says says), void *arg)
{
	*f = (struct fencing){.loop = l,
			      .what = what,
			      .lenient = lenient,
			      .running = true,
			      .deadline = limit_ns ? clock_ns() + limit_ns : 0,
			      .r = *r,
			      .says = REFEREE_SILENT,
			      .done = done,
			      .arg = arg};
	f->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->fd < 0 || loop_fd_add(l, &f->watch, f->fd, LOOP_READ, on_run, f)) {
		snprintf(f->r.why, sizeof(f->r.why), "no descriptor is left: %s", strerror(errno));
		loop_timer_set(l, &f->again, 0, finish, f);
	} else {
		loop_timer_set(l, &f->again, what == FENCING_RACE ? fencing_grace : 0, begin, f);
	}
}

void fencing_stop(struct fencing *f)
{
	if (!f->running)
		return;
	if (f->threaded)
		pthread_join(f->thread, NULL);
	loop_timer_del(f->loop, &f->again);
	loop_fd_del(f->loop, &f->watch);
	close(f->fd);
	f->running = f->threaded = false;
}

void fencing_fini(struct fencing *f)
{
	fencing_stop(f);
	verdicts_fini(&f->v);
	f->v = (struct verdicts){0};
}
