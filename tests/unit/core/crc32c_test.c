/* SPDX-License-Identifier: BSD-2-Clause */
/* The source itself: so that the way without the CPU's instruction is tested everywhere. */
#include "core/crc32c.c"

#include "tests/unit/check.h"

/* The examples of RFC 3720, appendix B.4, as the 32-bit value; there they are written byte by byte
 * in wire order. */
static void test_examples_of_rfc_3720(void)
{
	static const uint8_t read_pdu[48] = {
		0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,	   0, 0, 0, 0,
		0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
		0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,	   0, 0, 0, 0};
	uint8_t b[32];

	memset(b, 0, sizeof(b));
	CHECK_EQ(crc32c(0, b, 32), 0x8a9136aa);
	memset(b, 0xff, sizeof(b));
	CHECK_EQ(crc32c(0, b, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)i;
	CHECK_EQ(crc32c(0, b, 32), 0x46dd794e);
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)(31 - i);
	CHECK_EQ(crc32c(0, b, 32), 0x113fdb5c);
	CHECK_EQ(crc32c(0, read_pdu, 48), 0xd9963a56);
	CHECK_EQ(crc32c(0, "123456789", 9), 0xe3069283);
}

/* Bit by bit, from the definition. */
static uint32_t reference(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	while (n--) {
		c ^= *p++;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
	}
	return ~c;
}

static uint8_t data[3 * 4096];

static void fill(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 131 + (i >> 3) + (i >> 11));
}

/* Short ones all; long ones around what is taken in at once, 256, 504 and 4080 bytes. */
static size_t longer(size_t n)
{
	return n < 40 || n % 256 < 10 || n % 504 < 18 || n % 4080 < 40 ? n + 1 : n + 13;
}

static void test_every_length_and_alignment(void)
{
	fill();
	for (size_t at = 0; at < 9; at++)
		for (size_t n = 0; at + n <= sizeof(data); n = longer(n))
			if (!CHECK_EQ(crc32c(0, data + at, n), reference(data + at, n)))
				return;
}

/* From any value on, not only from that of the beginning. */
static void test_long_after_anything(void)
{
	fill();
	for (uint32_t bit = 0; bit < 32; bit++) {
		uint32_t begin = crc32c(1u << bit, data, 24);
		CHECK_EQ(crc32c(1u << bit, data, sizeof(data)),
			 crc32c(crc32c(begin, data + 24, 1000), data + 1024, sizeof(data) - 1024));
		CHECK_EQ(crc32c(1u << bit, data, sizeof(data)),
			 ~update_table(~(1u << bit), data, sizeof(data)));
	}
}

static void test_without_the_instruction(void)
{
	fill();
	crc32c(0, data, 0); /* makes the table */
	for (size_t at = 0; at < 8; at++)
		for (size_t n = 0; at + n <= sizeof(data); n = longer(n))
			if (!CHECK_EQ(~update_table(~0u, data + at, n), reference(data + at, n)))
				return;
}

/* Where there is something better than the instruction. */
static void test_the_instruction(void)
{
#ifdef WITH_INSTRUCTION
	fill();
	crc32c(0, data, 0);
	for (size_t at = 0; at < 8 && has_instruction(); at++)
		for (size_t n = 0; at + n <= sizeof(data); n = longer(n))
			if (!CHECK_EQ(~update_instruction(~0u, data + at, n),
				      reference(data + at, n)))
				return;
#endif
}

static void test_continues_from_any_place(void)
{
	uint8_t b[100];
	uint32_t whole;

	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 77);
	whole = crc32c(0, b, sizeof(b));
	for (size_t cut = 0; cut <= sizeof(b); cut++)
		CHECK_EQ(crc32c(crc32c(0, b, cut), b + cut, sizeof(b) - cut), whole);
}

int main(void)
{
	CHECK_RUN(test_examples_of_rfc_3720);
	CHECK_RUN(test_every_length_and_alignment);
	CHECK_RUN(test_long_after_anything);
	CHECK_RUN(test_without_the_instruction);
	CHECK_RUN(test_the_instruction);
	CHECK_RUN(test_continues_from_any_place);
	return CHECK_DONE();
}
