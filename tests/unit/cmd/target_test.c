/* SPDX-License-Identifier: BSD-2-Clause */
/* What vstor target, and what asks one, refuse before anything is served. */
#include "cmd/cmd.h"

#include "core/log.h"
#include "tests/unit/check.h"

#define STATUS(cmd, ...)                                                                           \
	cmd((int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__, NULL})

/* Words that cannot be meant are 2, what this host lacks is 1. */
static void test_statuses(void)
{
	CHECK_EQ(STATUS(cmd_target, "target", "--lun", "/none", "--listen", "127.0.0.1:99999"), 2);
	CHECK_EQ(STATUS(cmd_target, "target", "--lun", "/none", "--metrics", "127.0.0.1:99999"), 2);
	CHECK_EQ(STATUS(cmd_target, "target", "--lun", "/none", "--metrics", "[::1"), 2);
	CHECK_EQ(STATUS(cmd_target, "target", "--config", "/none"), 1);
	CHECK_EQ(STATUS(cmd_target, "target", "--config", "/"), 1);
	CHECK_EQ(STATUS(cmd_target, "target", "--lun", "/none", "--user", "no such user"), 1);
	CHECK_EQ(STATUS(cmd_lun, "lun", "--control", "/none", "resize", "1", "1Q"), 2);
	CHECK_EQ(STATUS(cmd_lun, "lun", "--control", "/none", "remove", "x"), 2);
	CHECK_EQ(STATUS(cmd_lun, "lun", "--control", "/none", "resize", "1", "1G"), 1);
}

static void test_aoe_allow_goes_with_aoe(void)
{
	CHECK_EQ(STATUS(cmd_target, "target", "--lun", "/none", "--aoe-allow", "52:54:00:12:34:56"),
		 2);
}

int main(void)
{
	CHECK_RUN(test_statuses);
	CHECK_RUN(test_aoe_allow_goes_with_aoe);
	return CHECK_DONE();
}
