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
	CHECK_RUN(test_json_of_a_config);
	return CHECK_DONE();
}
