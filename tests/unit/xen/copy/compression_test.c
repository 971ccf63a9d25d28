/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/compression.h"

#include <errno.h>

#include "tests/unit/check.h"
#include "xen/copy/pagecodec.h"

#define MIB (1ull << 20)

static char why[200];
static struct compression_plan plan;

static int agree(const struct compression *c, uint64_t ours, uint64_t guest, const char *hello)
{
	why[0] = 0;
	return compression_agree(c, ours, guest, (const uint8_t *)hello, strlen(hello), &plan, why,
				 sizeof(why));
}

static void test_words(void)
{
	static const char *const bad[] = {"", "0", "10", "-1", "1x", "Auto", "on", "auto "};
	struct compression c;

	CHECK_EQ(compression_parse("off", &c), 0);
	CHECK(c.off);
	CHECK_EQ(compression_parse("auto", &c), 0);
	CHECK(!c.off && !c.level);
	CHECK_EQ(compression_parse("9", &c), 0);
	CHECK(!c.off && c.level == 9);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(compression_parse(bad[i], &c), -EINVAL);
}

static void test_default(void)
{
	const struct compression c = {0};
	struct buf b = {0};

	/* What one end offers is what the other understands. */
	compression_offer(&b, 100 * MIB);
	CHECK_EQ(
		compression_agree(&c, 80 * MIB, 1000 * MIB, b.data, b.len, &plan, why, sizeof(why)),
		0);
	buf_free(&b);
	CHECK(plan.on);
	CHECK_EQ(plan.level, 0);
	CHECK_EQ(plan.cache_bytes, 40 * MIB);
	CHECK_EQ(agree(&c, 200 * MIB, 1000 * MIB, "codec=1\ncache=104857600\n"), 0);
	CHECK_EQ(plan.cache_bytes, 50 * MIB);
	CHECK_EQ(agree(&c, 200 * MIB, 20 * MIB, "codec=1\ncache=104857600\n"), 0);
	CHECK_EQ(plan.cache_bytes, 20 * MIB);
	CHECK_EQ(agree(&c, 0, 20 * MIB, "codec=1\ncache=0\n"), 0);
	CHECK(plan.on && plan.cache_bytes == 0);
}

static void test_peer_without(void)
{
	static const char *const without[] = {"protocol=1\n", "codec=2\ncache=1\n", "codec=1\n",
					      "codec=x\ncache=1\n", "codec=1\ncache=-1\n"};
	const struct compression by_default = {0}, level = {.level = 3},
				 cache = {.cache_given = true, .cache_bytes = MIB};

	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
		CHECK_EQ(agree(&by_default, MIB, MIB, without[i]), 0);
		CHECK(!plan.on);
		CHECK_EQ(agree(&level, MIB, MIB, without[i]), -EOPNOTSUPP);
		CHECK(!plan.on && strstr(why, "--compress"));
		CHECK_EQ(agree(&cache, MIB, MIB, without[i]), -EOPNOTSUPP);
	}
}

static void test_as_told(void)
{
	const struct compression off = {.off = true},
				 cache = {.level = 5, .cache_given = true, .cache_bytes = 64 * MIB};

	CHECK_EQ(agree(&off, MIB, MIB, "codec=1\ncache=1048576\n"), 0);
	CHECK(!plan.on);
	CHECK_EQ(agree(&cache, 64 * MIB, 256 * MIB, "codec=1\ncache=67108864\n"), 0);
	CHECK_EQ(plan.level, 5);
	CHECK_EQ(plan.cache_bytes, 64 * MIB);
	CHECK_EQ(agree(&cache, 63 * MIB, 256 * MIB, "codec=1\ncache=67108864\n"), -ENOMEM);
	CHECK(strstr(why, "this host") && strstr(why, "63 MB"));
	CHECK_EQ(agree(&cache, 64 * MIB, 256 * MIB, "codec=1\ncache=1048576\n"), -ENOMEM);
	CHECK(strstr(why, "the host there") && strstr(why, "1 MB"));
	/* A guest has no more pages than it has. */
	CHECK_EQ(agree(&cache, MIB, MIB, "codec=1\ncache=1048576\n"), 0);
	CHECK_EQ(plan.cache_bytes, MIB);
}

static void test_to_the_helper(void)
{
	static const char *const others[] = {
		NULL, "", "off", "level=1", "level=10 cache=1", "level=-1 cache=1"};
	struct compression_plan in = {.on = true, .level = 7, .cache_bytes = 123456789}, got;
	char text[64];

	compression_print(&in, text, sizeof(text));
	compression_plan_parse(text, &got);
	CHECK(got.on && got.level == 7 && got.cache_bytes == 123456789);
	in.on = false;
	compression_print(&in, text, sizeof(text));
	compression_plan_parse(text, &got);
	CHECK(!got.on);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		compression_plan_parse(others[i], &got);
		CHECK(!got.on);
	}
}

static void test_report(void)
{
	const struct compression_report in = {1, 2, 3, 4, 5, 6, 7, UINT64_MAX, -50, 9};
	struct compression_report out = {0};
	char text[320];

	compression_report_print(&in, text, sizeof(text));
	CHECK_EQ(compression_report_parse(text, &out), 0);
	CHECK_EQ(out.same, 4);
	CHECK_EQ(out.left_out, 5);
	CHECK_EQ(out.bytes_out, 7);
	CHECK_EQ(out.pack_ns, UINT64_MAX);
	CHECK_EQ(out.level, -50);
	CHECK_EQ(out.cache_bytes, 9);
	CHECK_EQ(compression_report_parse("round at=1", &out), -EINVAL);
	CHECK_EQ(compression_report_parse("", &out), -EINVAL);
	CHECK_EQ(out.zero, 1);
}

int main(void)
{
	CHECK_RUN(test_words);
	CHECK_RUN(test_default);
	CHECK_RUN(test_peer_without);
	CHECK_RUN(test_as_told);
	CHECK_RUN(test_to_the_helper);
	CHECK_RUN(test_report);
	return CHECK_DONE();
}
