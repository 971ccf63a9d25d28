/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender, when the vstor at the other end is an older or a newer one. The receiver:
 * reception_test. */
#include "tests/unit/xen/migration/migration_rig.h"

static unsigned int its_protocol, heard;

static bool speaks_otherwise(enum message_type type)
{
	struct buf b = {0};

	heard++;
	if (type != MSG_HELLO)
		return true;
	message_put(&b, "later", "something that nobody knows here");
	message_put(&b, "protocol", "%u", its_protocol);
	message_put(&b, "vstor", "7.8.9");
	message_put(&b, "boot", "another");
	CHECK_EQ(message_send(w.receiver, MSG_HELLO, &b), 0);
	return true;
}

static void test_other_versions(void)
{
	char expect[200];

	for (its_protocol = 0; its_protocol <= MIGRATION_PROTOCOL + 1; its_protocol++) {
		if (its_protocol == MIGRATION_PROTOCOL)
			continue;
		begin();
		heard = 0;
		w.hears = speaks_otherwise;
		stays();
		CHECK_EQ(heard, 1);
		CHECK_STR(fake.did, "retrieve 5, ");
		snprintf(expect, sizeof(expect),
			 "the sender's vstor " VSTOR_VERSION
			 " speaks version %u of the protocol of "
			 "migrations, the receiver's vstor 7.8.9 version %u: install the newer "
			 "vstor on both hosts",
			 MIGRATION_PROTOCOL, its_protocol);
		CHECK_STR(w.result.cause, expect);
		end();
	}
}

/* An older one refuses by itself, in its own words. */
static bool refuses_the_version(enum message_type type)
{
	heard++;
	if (type == MSG_HELLO)
		says(MSG_FAILED, "cause", "speak as I do");
	return true;
}

static void test_refused_for_its_version(void)
{
	begin();
	heard = 0;
	w.hears = refuses_the_version;
	stays();
	CHECK_EQ(heard, 1);
	CHECK(strstr(w.result.cause, "speak as I do") != NULL);
	end();
}

int main(void)
{
	rig_open();
	CHECK_RUN(test_other_versions);
	CHECK_RUN(test_refused_for_its_version);
	return rig_close() || CHECK_DONE();
}
