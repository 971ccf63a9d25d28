/* SPDX-License-Identifier: BSD-2-Clause */
/* The receiver's other side and its libxl, played: a sender that tells of a guest, sends all of it
 * when it may, and says GO; `w` has what it is to do, and what came of it. */
#ifndef TESTS_UNIT_XEN_RECEPTION_RIG_H
#define TESTS_UNIT_XEN_RECEPTION_RIG_H

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"
#include "tests/unit/xen/fence/disks.h"
#include "tests/unit/xen/copy/stream_bytes.h"
#include "xen/migration/reception_priv.h"

#define HERE  A /* threads are this host's */
#define THERE B

#define ID "0123456789abcdef0123456789abcdef"

/* A sender that hears nothing goes. Where calls fail it goes early, for there are many of them:
 * what is judged holds then, too, but such a run is not a clean one. */
static uint64_t patience_ns = 20 * SEC_NS;

static char dir[] = "/tmp/vstor-faults-XXXXXX", kept[64], disk[64];

static struct sender {
	struct loop *loop;
	struct toolstack *t;
	struct channel *c;
	struct reception *r;
	int socket; /* the receiver's */
	struct referee referee;
	struct loop_timer turn, patience;
	char why[256]; /* it was refused */
	void (*at_verdicts)(void), (*at_ready)(void);
	int weight; /* of the guest when it began to run */
	bool all_said, plugged, refused, running, failed, closed, ended, has_card;
} w;

/* ---- the sender ---- */

static void stop_when_over(void)
{
	if (w.closed && w.ended)
		loop_stop(w.loop, 0);
}

static void on_open(void *arg)
{
	struct buf b = {0};

	(void)arg;
	message_put(&b, "protocol", "%u", MIGRATION_PROTOCOL);
	message_put(&b, "mode", "migrate");
	message_put(&b, "id", "%s", ID);
	message_put(&b, "boot", "another");
	message_put(&b, "xen", "%u.%u", RELEASE_BUILT.major, RELEASE_BUILT.minor);
	message_send(w.c, MSG_HELLO, &b);
}

static void config(libxl_domain_config *c)
{
	c->c_info.type = LIBXL_DOMAIN_TYPE_PVH;
	c->c_info.name = strdup("guest");
	memset(libxl_uuid_bytearray(&c->c_info.uuid), 9, 16); /* of the domain that is restored */
	c->num_disks = 1;
	c->disks = calloc(1, sizeof(*c->disks));
	libxl_device_disk_init(c->disks);
	c->disks->vdev = strdup("xvda");
	c->disks->pdev_path = strdup(disk);
	c->disks->readwrite = 1;
	c->num_nics = w.has_card;
	c->b_info.sched_params.weight = 512;
	c->nics = calloc(1, sizeof(*c->nics));
	c->nics->script = w.has_card ? strdup("/bin/true") : NULL;
}

static void describes_guest(void)
{
	struct buf b = {0};

	buf_printf(&b, "{}");
	message_send(w.c, MSG_CONFIG, &b);
	b = (struct buf){0};
	message_put(&b, "disk", "xvda naa.1");
	message_put(&b, "fence_host", "%u", referee_host_of(w.referee.mine));
	referee_put(&b, &w.referee);
	message_send(w.c, MSG_PREFLIGHT, &b);
}

/* A whole stream with hardly anything in it (Xen: libxl-migration-stream.pandoc). */
static void sends_all(void)
{
	struct buf b = {0}, m = {0};

	buf_put(&b, "LibxlFmt\0\0\0\2\0\0\0\0", 16);
	le32(&b, 1); /* LIBXC_CONTEXT */
	le32(&b, 0);
	buf_put_be64(&b, UINT64_MAX);
	buf_put_be32(&b, 0x58454e46);
	buf_put_be32(&b, 3);
	zeros(&b, 8);
	le32(&b, 2);
	le32(&b, 12);
	le32(&b, 4);
	le32(&b, 17);
	zeros(&b, 8); /* END of libxc's */
	zeros(&b, 8); /* END */
	message_send(w.c, MSG_BEGIN, &(struct buf){0});
	if (channel_send(w.c, MSG_DATA, b.data, b.len) == 0) {
		message_put(&m, "bytes", "%zu", b.len);
		message_send(w.c, MSG_END, &m);
		w.all_said = true;
	}
	buf_free(&b);
}

static void hears_verdicts(const uint8_t *p, size_t n)
{
	struct referee there;
	w.refused = message_get(p, n, "no", w.why, sizeof(w.why)) == 0;
	if (w.refused || referee_get(p, n, &there)) {
		channel_finish(w.c);
		return;
	}
	w.referee.theirs = there.mine;
	if (w.at_verdicts)
		w.at_verdicts();
	else
		sends_all();
}

static void on_close(void *arg, int err, const char *text);

static void on_silence(void *arg)
{
	on_close(arg, -ETIMEDOUT, "");
}

static bool on_frame(void *arg, uint8_t type, const uint8_t *p, size_t n)
{
	loop_timer_set(w.loop, &w.patience, patience_ns, on_silence, arg);
	switch (type) {
	case MSG_HELLO: describes_guest(); break;
	case MSG_VERDICTS: hears_verdicts(p, n); break;
	case MSG_READY:
		if (w.at_ready)
			w.at_ready();
		message_send(w.c, MSG_GO, &(struct buf){0});
		break;
	case MSG_RUNNING:
		w.running = true;
		w.weight = fake_domain(9)->weight;
		break;
	case MSG_FAILED: w.failed = true; break;
	case MSG_SETTLED: channel_finish(w.c); break;
	default: break;
	}
	return true;
}

static void on_close(void *arg, int err, const char *text)
{
	(void)arg;
	(void)err;
	(void)text;
	loop_timer_del(w.loop, &w.patience);
	channel_free(w.c);
	w.c = NULL;
	w.closed = true;
	stop_when_over();
}

static const struct channel_ops sender_ops = {
	.on_open = on_open, .on_frame = on_frame, .on_close = on_close};

/* ---- this host ---- */

static void on_done(void *arg, enum reception_end end)
{
	(void)arg;
	(void)end;
	w.ended = true;
	stop_when_over();
}

/* libxl does its part: plugs the disk, reads, then restores what has come. */
static void on_turn(void *arg)
{
	int n = 0, pipe = w.r->restoring.started ? w.r->restoring.pipe[0] : -1;
	uint8_t bytes[256];

	if (pipe >= 0 && !ioctl(pipe, FIONREAD, &n) && n > 0)
		CHECK(read(pipe, bytes, sizeof(bytes)) > 0);
	loop_timer_set(w.loop, &w.turn, MS_NS, on_turn, arg);
	w.plugged |= fake.plugs[0] != NULL;
	if (fake.plugs[0] && fake_node("/libxl/9/vstor-hold")) { /* as the block script does */
		fake_node_set("backend/vbd/9/51712", "");
		fake_node_set("backend/vbd/9/51712/vstor-held", "8:0");
	}
	fake_plugged(0, 0);
	fake_plugged(1, 0);
	if (w.all_said && w.plugged && fake.restore && w.r->restoring.all_here)
		fake_restore_ends(0);
}

#endif
