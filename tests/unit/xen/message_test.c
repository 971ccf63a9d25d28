/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/message.h"

#include <errno.h>

#include "tests/unit/check.h"

static void test_round_trip(void)
{
	struct buf b = {0};
	struct message_field f;
	char text[16];
	uint64_t v;
	size_t at = 0;

	message_put(&b, "name", "a=b %d", 7);
	message_put(&b, "empty", "%s", "");
	message_put(&b, "bytes", "%u", 42u);
	message_put(&b, "name", "second");
	CHECK_EQ(message_check(b.data, b.len), 0);
	CHECK_EQ(message_get(b.data, b.len, "name", text, sizeof(text)), 0);
	CHECK_STR(text, "a=b 7");
	CHECK_EQ(message_get(b.data, b.len, "empty", text, sizeof(text)), 0);
	CHECK_STR(text, "");
	CHECK_EQ(message_get_u64(b.data, b.len, "bytes", &v), 0);
	CHECK_EQ(v, 42);
	CHECK_EQ(message_get(b.data, b.len, "nam", text, sizeof(text)), -ENOENT);
	CHECK_EQ(message_get(b.data, b.len, "name", text, 5), -EMSGSIZE);
	CHECK_EQ(message_get_u64(b.data, b.len, "name", &v), -EINVAL);
	for (int i = 0; i < 4; i++)
		CHECK(message_next(b.data, b.len, &at, &f));
	CHECK(message_field_is(&f, "name"));
	CHECK_EQ(f.value_len, 6);
	CHECK(!message_next(b.data, b.len, &at, &f));
	buf_free(&b);
}

/* A value cannot become a field of its own. */
static void test_no_smuggling(void)
{
	struct buf b = {0};
	char text[64];

	message_put(&b, "cause", "bad\nis=running\r\x1b[2J");
	CHECK_EQ(message_check(b.data, b.len), 0);
	CHECK_EQ(message_get(b.data, b.len, "is", text, sizeof(text)), -ENOENT);
	CHECK_EQ(message_get(b.data, b.len, "cause", text, sizeof(text)), 0);
	CHECK_STR(text, "bad is=running  [2J");
	buf_free(&b);
}

static int check_text(const char *s, size_t n)
{
	return message_check((const uint8_t *)s, n);
}

static void test_hostile(void)
{
	CHECK_EQ(check_text("", 0), 0);
	CHECK_EQ(check_text("a=b\n", 4), 0);
	CHECK_EQ(check_text("a=b", 3), -EPROTO);
	CHECK_EQ(check_text("a\n", 2), -EPROTO);
	CHECK_EQ(check_text("=b\n", 3), -EPROTO);
	CHECK_EQ(check_text("\n", 1), -EPROTO);
	CHECK_EQ(check_text("a=\0\n", 4), -EPROTO);
	CHECK_EQ(check_text("a=\x7f\n", 4), -EPROTO);
	CHECK_EQ(check_text("a=b\nc", 5), -EPROTO);
}

static void test_ids(void)
{
	CHECK(migration_id_valid("0123456789abcdef0123456789abcdef"));
	CHECK(!migration_id_valid(""));
	CHECK(!migration_id_valid("../../../../../../etc/passwd1234"));
	CHECK(!migration_id_valid("0123456789ABCDEF0123456789abcdef"));
	CHECK(!migration_id_valid("0123456789abcdef0123456789abcdef0"));
}

int main(void)
{
	CHECK_RUN(test_round_trip);
	CHECK_RUN(test_no_smuggling);
	CHECK_RUN(test_hostile);
	CHECK_RUN(test_ids);
	return CHECK_DONE();
}
