/* SPDX-License-Identifier: BSD-2-Clause */
/* What vstor attach and vstor discover refuse before they look for a target. */
#include "cmd/cmd.h"

#include "tests/unit/capture.h"
#include "tests/unit/check.h"

#define STATUS(cmd, ...)                                                                           \
	cmd((int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__, NULL})

/* What would have no effect is not taken in silence. */
static void test_options_of_one_disk(void)
{
	CHECK_EQ(STATUS(cmd_attach, "attach", "--config", "/none", "--lun", "0"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "--config", "/none", "--serial", "s"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "--config", "/none", "--via", "kernel"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "--config", "/none", "--digests"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "--config", "/none", "--chap-user", "u"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "--config", "/none", "--replacement-timeout", "5"),
		 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "--list", "--lun", "3"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "--list", "--wait", "3"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "--resume", "--json"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "--config", "/none", "--wait", "0"), 1);
}

static void test_malformed_values(void)
{
	CHECK_EQ(STATUS(cmd_discover, "discover", "127.0.0.1:99999"), 2);
	CHECK_EQ(STATUS(cmd_discover, "discover", "127.0.0.1:0"), 2);
	CHECK_EQ(STATUS(cmd_discover, "discover", "127.0.0.1", "--chap-user", "u"), 2);
	CHECK_EQ(STATUS(cmd_discover, "discover", "127.0.0.1", "--mutual-secret-file", "f"), 2);
	CHECK_EQ(STATUS(cmd_discover, "discover", "127.0.0.1", "--initiator", "x"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "127.0.0.1:99999"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "127.0.0.1", "--chap-user", "u"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "127.0.0.1", "--via", "x"), 2);
	CHECK_EQ(STATUS(cmd_attach, "attach", "--via", "aoe", "127.0.0.1:1"), 2);
	/* not so what depends on this host and its network */
	CHECK_EQ(STATUS(cmd_discover, "discover", "127.0.0.1:1"), 1);
	CHECK_EQ(STATUS(cmd_discover, "discover", "127.0.0.1", "--chap-user", "u",
			"--chap-secret-file", "/none"),
		 1);
}

static void test_json_of_a_config(void)
{
	capture_begin();
	CHECK_EQ(STATUS(cmd_attach, "attach", "--config", "/none", "--json"), 1);
	CHECK_STR(capture_end(), "[]\n");
	capture_begin();
	CHECK_EQ(STATUS(cmd_attach, "attach", "--config", "/dev/null", "--json"), 0);
	CHECK_STR(capture_end(), "[]\n");
}

int main(void)
{
	CHECK_RUN(test_options_of_one_disk);
	CHECK_RUN(test_malformed_values);
	CHECK_RUN(test_json_of_a_config);
	return CHECK_DONE();
}
