/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of a disk's target=. */
#include "xen/hotplug.h"

#include <errno.h>

#include "tests/unit/check.h"

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

int main(void)
{
	CHECK_RUN(test_words);
	CHECK_RUN(test_bad_words);
	CHECK_RUN(test_bad_words_are_named);
	return CHECK_DONE();
}
