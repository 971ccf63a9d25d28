/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/held_disks.h"

#include <stdlib.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/xen.h"

#define BACKEND "backend/vbd/9/51712"
#define NUMBER	BACKEND "/physical-device"
#define HELD	BACKEND "/vstor-held"
#define WISH	"/libxl/9/vstor-hold"

static struct xs_handle *xs;

static void begin(void)
{
	fake_reset();
	fake_node_set(BACKEND, "");
	xs = xs_open(0);
}

static void end(void)
{
	xs_close(xs);
	CHECK_EQ(fake.open, 0);
}

/* As the block script does; false: the transaction has to be done again. */
static bool script_puts(const char *backend)
{
	xs_transaction_t t = xs_transaction_start(xs);

	CHECK(held_disks_put(xs, t, backend, "8:10"));
	return xs_transaction_end(xs, t, false);
}

static void is_number(const char *number)
{
	char *is = held_disks_number(xs, BACKEND);

	CHECK_STR(is ? is : "none", number);
	free(is);
}

static void test_not_held(void)
{
	begin();
	is_number("none");
	CHECK(script_puts(BACKEND));
	CHECK_STR(fake_node(NUMBER), "8:10");
	CHECK(!fake_node(HELD));
	is_number("8:10");
	held_disks_let_go(9); /* there is nothing to let go */
	CHECK_STR(fake_node(NUMBER), "8:10");
	end();
}

static void test_held_and_let_go(void)
{
	begin();
	CHECK_EQ(held_disks_begin(9), 0);
	CHECK(script_puts("/local/domain/0/" BACKEND)); /* libxl's way to write it */
	CHECK(!fake_node("/local/domain/0/" NUMBER));
	CHECK(script_puts(BACKEND)); /* ours */
	CHECK(!fake_node(NUMBER));
	is_number("8:10"); /* no other guest may lose it meanwhile */
	held_disks_let_go(9);
	CHECK_STR(fake_node(NUMBER), "8:10");
	CHECK(!fake_node(HELD));
	CHECK(!fake_node(WISH));
	held_disks_let_go(9);
	CHECK_STR(fake_node(NUMBER), "8:10");
	end();
}

/* One that the running guest is given later, and another guest's. */
static void test_only_what_is_plugged_before(void)
{
	begin();
	CHECK_EQ(held_disks_begin(9), 0);
	CHECK(script_puts("backend/vbd/99/51712"));
	CHECK_STR(fake_node("backend/vbd/99/51712/physical-device"), "8:10");
	held_disks_let_go(9);
	CHECK(script_puts(BACKEND));
	CHECK_STR(fake_node(NUMBER), "8:10");
	end();
}

static void let_go(void)
{
	held_disks_let_go(9);
}

/* Letting go comes between the script's look and its word: it looks again, and holds nothing. */
static void test_let_go_amid_the_script(void)
{
	begin();
	CHECK_EQ(held_disks_begin(9), 0);
	fake.meanwhile = let_go;
	CHECK(!script_puts(BACKEND));
	CHECK(!fake_node(HELD));
	CHECK(script_puts(BACKEND));
	CHECK_STR(fake_node(NUMBER), "8:10");
	end();
}

static void test_failures(void)
{
	begin();
	fake.fails = "xs_write";
	CHECK(held_disks_begin(9) < 0);
	CHECK(!held_disks_put(xs, XBT_NULL, BACKEND, "8:10"));
	fake.fails = NULL;
	/* What could not be let go still can be. */
	CHECK_EQ(held_disks_begin(9), 0);
	CHECK(script_puts(BACKEND));
	fake.fails = "xs_write";
	held_disks_let_go(9);
	CHECK_STR(fake_node(HELD), "8:10");
	fake.fails = NULL;
	held_disks_let_go(9);
	CHECK_STR(fake_node(NUMBER), "8:10");
	end();
}

int main(void)
{
	CHECK_RUN(test_not_held);
	CHECK_RUN(test_held_and_let_go);
	CHECK_RUN(test_only_what_is_plugged_before);
	CHECK_RUN(test_let_go_amid_the_script);
	CHECK_RUN(test_failures);
	return CHECK_DONE();
}
