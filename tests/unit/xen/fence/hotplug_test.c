/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of a disk's target=, and whose it may be then. */
#include "xen/fence/hotplug.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/check.h"
#include "tests/unit/xen/fence/host_disks.h"
#include "xen/guest.h"

#define IQN "iqn.2026-11.local.vstor:t"

static void test_words(void)
{
	char error[ATTACH_ERROR] = "";
	struct hotplug_words w;

	CHECK_EQ(hotplug_parse("portal=192.0.2.1,lun=3,iqn=" IQN, &w, error), 0);
	CHECK_STR(w.r.portal, "192.0.2.1");
	CHECK_STR(w.r.target, IQN);
	CHECK_EQ(w.r.lun, 3);
	CHECK_EQ(w.r.replacement_timeout, 0);
	CHECK_EQ(hotplug_parse("portal=[fd00::1]:3261", &w, error), 0);
	CHECK_STR(w.r.portal, "[fd00::1]:3261");
	CHECK(!w.r.target);
	CHECK_EQ(w.r.lun, 0);
	/* as written for Xen's block-iscsi */
	CHECK_EQ(hotplug_parse("iqn=" IQN ",portal=192.0.2.1:3260,multipath=n", &w, error), 0);
	CHECK_STR(w.r.target, IQN);
	CHECK_EQ(hotplug_parse("iqn=" IQN ",portal=h,user=u,password=secretsecret", &w, error), 0);
	CHECK_STR(w.r.chap_user, "u");
	CHECK_STR(w.r.chap_secret, "secretsecret");
	CHECK_EQ(hotplug_parse("portal=h,chap-user=u,chap-secret-file=/f,mutual-user=t,"
			       "mutual-secret-file=/g,serial=S1,initiator=" IQN,
			       &w, error),
		 0);
	CHECK_STR(w.r.chap_secret_file, "/f");
	CHECK_STR(w.r.mutual_user, "t");
	CHECK_STR(w.r.mutual_secret_file, "/g");
	CHECK_STR(w.r.serial, "S1");
	CHECK_STR(w.r.initiator, IQN);
	CHECK_EQ(hotplug_parse("portal=h,replacement-timeout=5", &w, error), 0);
	CHECK_EQ(w.r.replacement_timeout, 5);
	CHECK_EQ(hotplug_parse("portal=h,replacement-timeout=0", &w, error), 0);
	CHECK_EQ(w.r.replacement_timeout, -1);
	CHECK_EQ(hotplug_parse("portal=h,via=open-iscsi", &w, error), 0);
	CHECK_EQ(w.r.via, ATTACH_OPEN_ISCSI);
	CHECK_EQ(hotplug_parse("aoe=1.0", &w, error), 0);
	CHECK_EQ(w.r.via, ATTACH_AOE);
	CHECK_STR(w.r.portal, "1.0");
}

static void test_bad_words_are_named(void)
{
	char error[ATTACH_ERROR] = "";
	struct hotplug_words w;

	CHECK_EQ(hotplug_parse("portal=h,foo=2", &w, error), -EINVAL);
	CHECK_STR(error, "'foo=' is unknown: vstor-attach(8) lists the words for a disk");
	CHECK_EQ(hotplug_parse("portal=h,lun=x", &w, error), -EINVAL);
	CHECK_STR(error, "'lun=' cannot be 'x': see vstor-attach(8)");
}

static void test_bad_words(void)
{
	static const char *const bad[] = {
		"",
		"iqn=" IQN,
		"portal",
		"portal=",
		"portal=h,lun=",
		"portal=h,lun=x",
		"portal=h,lun=-1",
		"portal=h,lun=16384",
		"portal=h,iqn=t",
		"portal=h,iqn=",
		"portal=h,nonsense=1",
		"portal=h,multipath=y",
		"portal=h,via=magic",
		"portal=h,replacement-timeout=86401",
		"portal=h,replacement-timeout=soon",
		"/dev/sda",
		"aoe=",
		"aoe=1",
		"aoe=1.255",
		"aoe=65535.0",
		"aoe=1.0.1",
		"aoe=1.-1",
		"aoe=1.0,iqn=" IQN,
		"aoe=1.0,lun=1",
	};
	char error[ATTACH_ERROR], longest[2 * HOTPLUG_PARAMS];
	struct hotplug_words w;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error[0] = '\0';
		if (!CHECK(hotplug_parse(bad[i], &w, error) < 0) || !CHECK(error[0]))
			printf("# '%s'\n", bad[i]);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	memcpy(longest, "portal=", 7);
	CHECK(hotplug_parse(longest, &w, error) < 0);
}

/* ---- the reservation ---- */

#define BACK	 "/local/domain/0/backend/vbd/5/51712"
#define INCOMING "guest--incoming"

static char dir[] = "/tmp/vstor-hotplug-XXXXXX";
static char said[ATTACH_ERROR];
static bool has_it;

/* Host A runs a guest with the disk; B is the one whose script is run, for a guest of that name. */
static void begin(const char *name, bool received)
{
	char why[REFEREE_TEXT];

	disks_up();
	fake_reset();
	fake_node_set("/local/domain/5/name", name);
	fake_node_set(BACK "/mode", "w");
	be(A);
	CHECK_EQ(referee_hold("/dev/0", 0, why), REFEREE_WON);
	be(B);
	if (received)
		setenv(GUEST_RECEIVED_ENV, "1", 1);
}

static int reserve(unsigned disk)
{
	struct iscsi_disk d = {.dev = makedev(8, disk)};
	struct xs_handle *xs = xs_open(0);
	int rc;

	snprintf(d.path, sizeof(d.path), "/dev/%u", disk);
	said[0] = 0;
	has_it = false;
	rc = hotplug_reserve(xs, BACK, &d, &has_it, said);
	xs_close(xs);
	return rc;
}

static void end(void)
{
	unsetenv(GUEST_RECEIVED_ENV);
	CHECK_EQ(fake.open, 0);
	rig_down();
}

static void test_reserves_at_the_start(void)
{
	begin("guest", false);
	CHECK_EQ(reserve(1), 0);
	CHECK(has_it);
	CHECK(writes(B, 1) && !writes(A, 1));

	CHECK_EQ(reserve(0), -EBUSY);
	CHECK(strstr(said, "/dev/0 is held by ") == said);
	CHECK(strstr(said, ": a guest runs there with it; if that host is dead: vstor takeover") !=
	      NULL);
	CHECK(!has_it);
	CHECK(writes(A, 0) && !writes(B, 0));
	end();
}

static void test_read_only(void)
{
	begin("guest", false);
	fake_node_set(BACK "/mode", "r");
	CHECK_EQ(reserve(0), 0);
	CHECK(!has_it);
	CHECK(writes(A, 0) && !writes(B, 0));
	end();
}

/* xl runs the script when the source's guest is suspended. */
static void test_received_by_xl(void)
{
	begin(INCOMING, false);
	CHECK_EQ(reserve(0), 0);
	CHECK(has_it);
	CHECK(writes(B, 0) && !writes(A, 0));
	end();
}

/* The reception has registered; who takes it is decided later. */
static void test_received_by_vstor(void)
{
	char name[RESERVATION_NAME_MAX];
	uint64_t holder;

	begin(INCOMING, true);
	CHECK_EQ(referee_holder("/dev/0", &holder, name, sizeof(name)), 0);
	CHECK_EQ(referee_announce("/dev/0", holder), 0);
	CHECK_EQ(reserve(0), 0);
	CHECK(!has_it);
	CHECK(writes(A, 0));
	end();
}

/* The guest runs at the source while the script is run here. */
static void test_not_fenced_by_its_migration(void)
{
	begin(INCOMING, true);
	CHECK_EQ(reserve(0), -EBUSY);
	CHECK(strstr(said, "/dev/0 is reserved by ") == said);
	CHECK(strstr(said, ", and the migration does not fence it: ") != NULL);
	CHECK(!has_it);
	CHECK(writes(A, 0) && !writes(B, 0));

	/* Nobody's: it stays so. */
	CHECK_EQ(reserve(1), 0);
	CHECK(!has_it);
	CHECK(writes(A, 1) && writes(B, 1));
	end();

	/* What its monitor starts later is no reception's. */
	begin("guest", true);
	CHECK_EQ(reserve(1), 0);
	CHECK(has_it);
	end();
}

static int mute(const char *device, struct sg_io_hdr *io)
{
	(void)device;
	(void)io;
	return -EIO;
}

static void test_silent(void)
{
	begin("guest", false);
	reservation_sg_io = mute;
	CHECK_EQ(reserve(0), -EIO);
	CHECK(strstr(said, "/dev/0 does not say who has reserved it: ") == said);
	CHECK(!has_it);
	end();
}

int main(void)
{
	log_set_level("error");
	if (!mkdtemp(dir))
		return 1;
	make_sysfs(dir);
	CHECK_RUN(test_words);
	CHECK_RUN(test_bad_words);
	CHECK_RUN(test_bad_words_are_named);
	CHECK_RUN(test_reserves_at_the_start);
	CHECK_RUN(test_read_only);
	CHECK_RUN(test_received_by_xl);
	CHECK_RUN(test_received_by_vstor);
	CHECK_RUN(test_not_fenced_by_its_migration);
	CHECK_RUN(test_silent);
	return check_remove(dir) != 0 || CHECK_DONE();
}
