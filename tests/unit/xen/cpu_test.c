/* SPDX-License-Identifier: BSD-2-Clause */
/* The text in which a guest's CPU features travel; comparing them needs a Xen host. */
#include "xen/cpu.h"

#include <errno.h>

#include "tests/unit/check.h"

static void test_parse(void)
{
	struct cpu_word w[CPU_WORDS];

	CHECK_EQ(cpu_words_parse("1.0.2:fffa3203 80000001.0.3:2fd3fbff ", w), 2);
	CHECK_EQ(w[0].leaf, 1);
	CHECK_EQ(w[0].reg, 2);
	CHECK_EQ(w[0].bits, 0xfffa3203);
	CHECK_EQ(w[1].leaf, 0x80000001);
	CHECK_EQ(w[1].bits, 0x2fd3fbff);
	CHECK_EQ(cpu_words_parse("", w), 0);
}

static void test_hostile(void)
{
	struct cpu_word w[CPU_WORDS];
	char many[(CPU_WORDS + 1) * 8 + 1] = "";

	CHECK_EQ(cpu_words_parse("x", w), -EINVAL);
	CHECK_EQ(cpu_words_parse("1.0.4:1", w), -EINVAL);
	CHECK_EQ(cpu_words_parse("1.0", w), -EINVAL);
	CHECK_EQ(cpu_words_parse("1.0.2:", w), -EINVAL);
	for (int i = 0; i <= CPU_WORDS; i++)
		strcat(many, "1.0.2:7 ");
	CHECK_EQ(cpu_words_parse(many, w), -EINVAL);
}

int main(void)
{
	CHECK_RUN(test_parse);
	CHECK_RUN(test_hostile);
	return CHECK_DONE();
}
