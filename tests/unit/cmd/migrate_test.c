/* SPDX-License-Identifier: BSD-2-Clause */
/* What vstor migrate and vstor receive refuse before they look for a Xen host. */
#include "cmd/cmd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/capture.h"
#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

static char key[] = "/tmp/vstor-key-XXXXXX";

#define STATUS(cmd, ...)                                                                           \
	cmd((int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__, NULL})

/* Before any host is asked: also what only a vstor migrate of theirs would look at. */
static void test_evacuate_and_balance(void)
{
	CHECK_EQ(STATUS(cmd_evacuate, "evacuate"), 2);
	CHECK_EQ(STATUS(cmd_evacuate, "evacuate", "host", "host"), 2);
	CHECK_EQ(STATUS(cmd_evacuate, "evacuate", "host; reboot"), 2);
	CHECK_EQ(STATUS(cmd_evacuate, "evacuate", "--dry-run", "host"), 2);
	CHECK_EQ(STATUS(cmd_balance, "balance", "--plan", "host"), 2);
	CHECK_EQ(STATUS(cmd_balance, "balance", "--parallel", "0", "host"), 2);
	CHECK_EQ(STATUS(cmd_evacuate, "evacuate", "--max-downtime", "soon", "host"), 2);
	CHECK_EQ(STATUS(cmd_evacuate, "evacuate", "--max-downtime", "0", "host"), 2);
	CHECK_EQ(STATUS(cmd_evacuate, "evacuate", "--bandwidth", "fast", "host"), 2);
	CHECK_EQ(STATUS(cmd_balance, "balance", "--timeout", "never", "host"), 2);
	CHECK_EQ(STATUS(cmd_balance, "balance", "--tcp", "7002", "host"), 2);
}

static void test_migrate(void)
{
	CHECK_EQ(STATUS(cmd_migrate, "migrate"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "guest"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "guest", "host", "more"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--bogus", "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--max-downtime", "soon", "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--max-downtime", "0", "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--max-downtime", "-1", "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--bandwidth", "0", "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--bandwidth", "fast", "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--timeout", "never", "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--timeout", "-3", "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--force-stop=5", "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--no-throttle", "--offline", "guest"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "guest", "host; reboot"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "guest", "-oProxyCommand=x"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "guest", "--", "-host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "guest", ""), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--tcp", "7002", "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--key-file", key, "guest", "host"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--ssh", "ssh", "--tcp", "7002", "--key-file", key,
			"guest", "host"),
		 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--tcp", "70000", "--key-file", key, "g", "h"), 2);
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--tcp", "7002", "--key-file", "/nonexistent", "g",
			"127.0.0.1"),
		 1);
	chmod(key, 0644); /* others can read it */
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--tcp", "7002", "--key-file", key, "g",
			"127.0.0.1"),
		 1);
	chmod(key, 0600);
}

/* One JSON object, whenever it ends. */
static void test_json_of_an_early_failure(void)
{
	fake_reset();
	capture_begin();
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--json", "none", "b"), 1);
	CHECK_STR(capture_end(),
		  "{\"domain\":\"none\",\"host\":\"b\",\"result\":\"not moved\","
		  "\"guest\":\"has not been touched\",\"cause\":\"domain none: there is none "
		  "of that name or number on this host\"}\n");
	CHECK_EQ(fake.open, 0);
	capture_begin();
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--json", "--tcp", "7002", "--key-file",
			"/nonexistent", "g", "b"),
		 1);
	CHECK(strstr(capture_end(), "\"cause\":\"/nonexistent: ") != NULL);
	capture_begin();
	CHECK_EQ(STATUS(cmd_evacuate, "evacuate", "--json", "--tcp", "7002", "--key-file",
			"/nonexistent", "b"),
		 1);
	CHECK(strstr(capture_end(), "{\"steps\":[],\"not_placed\":[],\"cause\":\"/nonexistent: ") !=
	      NULL);
}

static void test_receive(void)
{
	CHECK_EQ(STATUS(cmd_receive, "receive", "--listen", "127.0.0.1"), 2);
	CHECK_EQ(STATUS(cmd_receive, "receive", "--key-file", key), 2);
	CHECK_EQ(STATUS(cmd_receive, "receive", "argument"), 2);
	CHECK_EQ(STATUS(cmd_receive, "receive", "--listen", "127.0.0.1", "--key-file", "/none"), 1);
}

static void test_help(void)
{
	CHECK_EQ(STATUS(cmd_migrate, "migrate", "--help"), 0);
	CHECK_EQ(STATUS(cmd_receive, "receive", "--help"), 0);
}

int main(void)
{
	int fd = mkstemp(key), out = dup(1), null = open("/dev/null", O_WRONLY);

	if (fd < 0 || write(fd, "0123456789abcdef", 16) != 16)
		return 1;
	/* The messages are for people, and the usage would look like results. */
	dup2(null, 2);
	CHECK_RUN(test_migrate);
	CHECK_RUN(test_json_of_an_early_failure);
	CHECK_RUN(test_evacuate_and_balance);
	CHECK_RUN(test_receive);
	fflush(stdout);
	dup2(null, 1);
	test_help();
	fflush(stdout);
	dup2(out, 1);
	printf(check_failures ? "not ok cmd/migrate: help\n" : "ok cmd/migrate: help\n");
	unlink(key);
	return CHECK_DONE() || check_failures;
}
