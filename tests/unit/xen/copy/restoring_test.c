/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest being restored, and its devices being plugged meanwhile: whichever ends first, and how.
 */
#include "xen/copy/restoring.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/buf.h"
#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

#define DOMID 9

static struct loop *loop;
static struct toolstack *t;
static libxl_domain_config config;
static struct restoring r;
static struct loop_timer timer;
static bool done;
static int err;
static bool hold;

static void on_done(void *arg, int e)
{
	(void)arg;
	CHECK(!done);
	done = true;
	err = e;
}

static void stop(void *arg)
{
	loop_stop(arg, 0);
}

/* Until all that is due has been done. */
static void settle(void)
{
	for (int i = 0; i < 6; i++) {
		loop_timer_set(loop, &timer, 0, stop, loop);
		loop_run(loop);
	}
}

static void begin(int disks, int nics)
{
	fake_reset();
	fake.made = DOMID;
	loop = loop_new();
	CHECK_EQ(toolstack_open(loop, &t), 0);
	done = false;
	libxl_domain_config_init(&config);
	config.c_info.type = LIBXL_DOMAIN_TYPE_PVH;
	config.c_info.name = strdup("guest--incoming");
	config.num_disks = disks;
	config.disks = calloc((size_t)disks, sizeof(*config.disks));
	for (int i = 0; i < disks; i++)
		libxl_device_disk_init(&config.disks[i]);
	config.num_nics = nics;
	config.nics = calloc((size_t)nics, sizeof(*config.nics));
	for (int i = 0; i < nics; i++)
		libxl_device_nic_init(&config.nics[i]);
}

/* A stream begins to come, and the helper to read it. */
static void starts(void)
{
	uint8_t preamble[STREAM_PREAMBLE];
	struct buf b = {0};

	restoring_start(&r, loop, t, &config, NULL, on_done, NULL);
	if (hold)
		restoring_hold_disks(&r);
	hold = false;
	buf_put(&b, "LibxlFmt\0\0\0\2\0\0\0\0\1\0\0\0\0\0\0\0", STREAM_PREAMBLE);
	CHECK(restoring_data(&r, b.data, b.len));
	buf_free(&b);
	if (fake.restore)
		CHECK_EQ(read(r.pipe[0], preamble, sizeof(preamble)), sizeof(preamble));
}

/* The same, until its devices are being plugged. */
static void plugs(void)
{
	starts();
	while (r.plug.next < r.plug.n)
		settle();
}

/* The rest of it: what stream.c would find out is not at issue here. */
static void all_here(void)
{
	r.stream.ended = true;
	CHECK_EQ(restoring_end(&r, STREAM_PREAMBLE), 0);
}

/* The caller has its configuration back as it was. */
static void end(int disks, int nics)
{
	CHECK(done);
	CHECK_EQ(config.num_disks, disks);
	CHECK_EQ(config.num_nics, nics);
	restoring_fini(&r);
	libxl_domain_config_dispose(&config);
	toolstack_close(t);
	loop_free(loop);
	CHECK_EQ(fake.open, 0);
}

/* ---- a good day ---- */

static void test_plugged_before_restored(void)
{
	begin(2, 1);
	plugs();
	CHECK_STR(fake.did, "restore 9, store 9, disk 9, disk 9, nic 9, ");
	CHECK_EQ(config.num_disks, 0); /* or libxl would plug them once more */
	CHECK_EQ(config.num_nics, 0);
	for (int i = 0; i < 3; i++)
		fake_plugged(i, 0);
	settle();
	CHECK_EQ(config.num_disks, 0);
	all_here();
	CHECK(!done);
	fake_restore_ends(0);
	settle();
	CHECK_EQ(err, 0);
	CHECK_EQ(r.domid, DOMID);
	end(2, 1);
}

static void test_plugged_after_restored(void)
{
	begin(1, 1);
	plugs();
	all_here();
	fake_plugged(1, 0);
	fake_restore_ends(0);
	settle();
	CHECK(!done);
	fake_plugged(0, 0);
	settle();
	CHECK_EQ(err, 0);
	CHECK(r.done_at >= r.here_at);
	end(1, 1);
}

/* ---- disks that wait for network cards ---- */

static void holds(int disks, int nics, bool wish, bool really)
{
	begin(disks, nics);
	hold = wish;
	plugs();
	CHECK_EQ(fake_node("/libxl/9/vstor-hold") != NULL, really);
	CHECK_EQ(r.holds, really);
	for (int i = 0; i < disks + nics; i++)
		fake_plugged(i, 0);
	all_here();
	fake_restore_ends(0);
	settle();
	CHECK_EQ(err, 0);
	CHECK_EQ(r.holds, really); /* the caller is to know */
	end(disks, nics);
}

static void test_holds_disks(void)
{
	holds(2, 1, true, true);
	holds(2, 1, false, false);
	holds(2, 0, true, false); /* they would wait for nothing */
	holds(0, 1, true, false);
}

static void test_cannot_hold_disks(void)
{
	begin(1, 1);
	hold = true;
	fake.fails = "xs_write";
	plugs();
	CHECK(!r.holds);
	for (int i = 0; i < 2; i++)
		fake_plugged(i, 0);
	all_here();
	fake_restore_ends(0);
	settle();
	CHECK_EQ(err, 0);
	end(1, 1);
}

/* ---- devices that libxl is to plug itself ---- */

static void left_to_libxl(const char *did)
{
	hold = true;
	starts();
	CHECK_STR(fake.did, did);
	CHECK(!r.holds); /* nobody would know when to let go of them */
	CHECK_EQ(config.num_disks, 1);
	all_here();
	fake_restore_ends(0);
	settle();
	CHECK_EQ(err, 0);
	end(1, 0);
}

static void test_left_to_libxl(void)
{
	begin(1, 0);
	config.disks[0].backend = LIBXL_DISK_BACKEND_QDISK;
	left_to_libxl("restore 9, ");
	begin(1, 0);
	config.c_info.type = LIBXL_DOMAIN_TYPE_HVM;
	left_to_libxl("restore 9, ");
	begin(1, 0);
	fake.nameless = true;
	left_to_libxl("restore 9, ");
	begin(1, 0);
	fake.fails = "store";
	left_to_libxl("restore 9, store 9, ");
}

static void test_no_devices(void)
{
	begin(0, 0);
	starts();
	CHECK_STR(fake.did, "restore 9, ");
	all_here();
	fake_restore_ends(0);
	settle();
	CHECK_EQ(err, 0);
	end(0, 0);
}

/* ---- failures ---- */

/* The guest is not started without one of its devices: the restore is called off. */
static void test_plug_fails(void)
{
	begin(1, 1);
	plugs();
	fake_plugged(0, ERROR_FAIL);
	settle();
	CHECK(!done);
	fake_plugged(1, 0);
	settle();
	CHECK_STR(fake.did, "restore 9, store 9, disk 9, nic 9, abort 9, ");
	CHECK_STR(r.cause, "its devices cannot be plugged: device 0 ends with -3");
	CHECK(err < 0);
	CHECK_EQ(r.domid, DOMID); /* the caller's to destroy */
	end(1, 1);
}

static void test_plug_fails_at_once(void)
{
	begin(0, 1);
	fake.fails = "nic";
	fake.says = "no such bridge";
	plugs();
	settle();
	CHECK_STR(fake.did, "restore 9, store 9, nic 9, abort 9, ");
	CHECK_STR(r.cause, "its devices cannot be plugged: no such bridge");
	CHECK(err < 0);
	end(0, 1);
}

static void test_plug_fails_after_restored(void)
{
	begin(1, 0);
	plugs();
	all_here();
	fake_restore_ends(0);
	settle();
	fake_plugged(0, ERROR_TIMEDOUT);
	settle();
	CHECK_STR(fake.did, "restore 9, store 9, disk 9, ");
	CHECK_STR(r.cause, "its devices cannot be plugged: device 0 ends with -9");
	CHECK(err < 0);
	end(1, 0);
}

/* No hotplug script may go on behind the domain's back. */
static void test_restore_fails(void)
{
	begin(1, 1);
	plugs();
	fake_plugged(0, 0);
	fake_restore_ends(ERROR_FAIL);
	settle();
	CHECK_STR(fake.did, "restore 9, store 9, disk 9, nic 9, abort plug 9, ");
	CHECK_STR(r.cause, "restoring it failed: the restore ends with -3");
	CHECK(err < 0);
	end(1, 1);
}

static void test_no_memory(void)
{
	begin(0, 0);
	starts();
	fake.need_kib = 2 << 20;
	fake_restore_ends(ERROR_FAIL);
	settle();
	CHECK(strstr(r.cause, "2048 MB of memory needed, 1024 MB free") != NULL);
	CHECK(err < 0);
	end(0, 0);
}

static void test_called_off(void)
{
	begin(1, 1);
	plugs();
	restoring_abort(&r);
	settle();
	CHECK_STR(fake.did,
		  "restore 9, store 9, disk 9, nic 9, abort plug 9, abort plug 9, abort 9, ");
	CHECK_STR(r.cause, "");
	CHECK_EQ(err, -ECANCELED);
	end(1, 1);
}

static void test_called_off_before_plugging(void)
{
	begin(1, 1);
	starts();
	restoring_abort(&r);
	settle();
	CHECK_EQ(err, -ECANCELED);
	CHECK_EQ(fake.plugs[0] || fake.plugs[1], 0);
	end(1, 1);
}

static void test_called_off_when_plugged(void)
{
	begin(1, 0);
	plugs();
	fake_plugged(0, 0);
	settle();
	restoring_abort(&r);
	settle();
	CHECK_STR(fake.did, "restore 9, store 9, disk 9, abort 9, ");
	CHECK_EQ(err, -ECANCELED);
	end(1, 0);
}

static void test_restore_does_not_start(void)
{
	begin(1, 0);
	fake.fails = "restore";
	starts();
	settle();
	CHECK_STR(fake.did, "restore 9, ");
	CHECK(err < 0);
	end(1, 0);
}

int main(void)
{
	CHECK_RUN(test_plugged_before_restored);
	CHECK_RUN(test_plugged_after_restored);
	CHECK_RUN(test_holds_disks);
	CHECK_RUN(test_cannot_hold_disks);
	CHECK_RUN(test_left_to_libxl);
	CHECK_RUN(test_no_devices);
	CHECK_RUN(test_plug_fails);
	CHECK_RUN(test_plug_fails_at_once);
	CHECK_RUN(test_plug_fails_after_restored);
	CHECK_RUN(test_restore_fails);
	CHECK_RUN(test_no_memory);
	CHECK_RUN(test_called_off);
	CHECK_RUN(test_called_off_before_plugging);
	CHECK_RUN(test_called_off_when_plugged);
	CHECK_RUN(test_restore_does_not_start);
	return CHECK_DONE();
}
