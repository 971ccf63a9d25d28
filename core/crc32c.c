/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* bits reflected */

static uint32_t table[8][256];
static uint32_t (*update)(uint32_t, const uint8_t *, size_t);
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Slicing by 8: eight table look-ups take in eight bytes. */
static uint32_t update_table(uint32_t c, const uint8_t *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		uint32_t lo, hi;
		memcpy(&lo, p, 4);
		memcpy(&hi, p + 4, 4);
		lo ^= c;
		c = table[7][lo & 255] ^ table[6][lo >> 8 & 255] ^ table[5][lo >> 16 & 255] ^
		    table[4][lo >> 24] ^ table[3][hi & 255] ^ table[2][hi >> 8 & 255] ^
		    table[1][hi >> 16 & 255] ^ table[0][hi >> 24];
	}
	while (n--)
		c = table[0][(c ^ *p++) & 255] ^ c >> 8;
	return c;
}

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
		table[0][i] = c;
	}
	for (int t = 1; t < 8; t++)
		for (int i = 0; i < 256; i++)
			table[t][i] = table[0][table[t - 1][i] & 255] ^ table[t - 1][i] >> 8;
}

#if defined(__x86_64__) || defined(__aarch64__)
#if defined(__x86_64__)
#define WITH_INSTRUCTION __attribute__((target("sse4.2")))
#define CRC_U64(c, v)	 ((uint32_t)__builtin_ia32_crc32di(c, v))
#define CRC_U8(c, v)	 __builtin_ia32_crc32qi(c, v)

static bool has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#else
#define WITH_INSTRUCTION __attribute__((target("+crc")))
#define CRC_U64(c, v)	 __crc32cd(c, v)
#define CRC_U8(c, v)	 __crc32cb(c, v)

static bool has_instruction(void)
{
	return getauxval(AT_HWCAP) & 1u << 7; /* HWCAP_CRC32 */
}
#endif

/*
 * The instruction takes a new operand every cycle, but gives its result only after three: so three
 * parts of the data, side by side. The sums of the first two are then moved on past the bytes that
 * follow them: what a sum becomes over n zero bytes is linear in its bits, one table for each of
 * its bytes (after crc32c.c by Mark Adler). A part is a third of a block of 4096 bytes, or of 512,
 * less what eight does not divide.
 */
#define AHEAD 4096
enum { LONG, SHORT, PARTS };
static const size_t part_len[PARTS] = {1360, 168};
static uint32_t past[PARTS][4][256];

static uint32_t skip(uint32_t t[4][256], uint32_t c)
{
	return t[0][c & 255] ^ t[1][c >> 8 & 255] ^ t[2][c >> 16 & 255] ^ t[3][c >> 24];
}

static void make_past(void)
{
	static const uint8_t zeros[1360];
	for (int i = 0; i < PARTS; i++)
		for (int byte = 0; byte < 4; byte++) {
			uint32_t *t = past[i][byte];
			for (uint32_t v = 1; v < 256; v++)
				t[v] = v & (v - 1)
					       ? t[v & (v - 1)] ^ t[v & -v]
					       : update_table(v << 8 * byte, zeros, part_len[i]);
		}
}

static inline uint64_t load(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

WITH_INSTRUCTION static uint32_t three_parts(uint32_t c, const uint8_t *p, int which)
{
	size_t n = part_len[which];
	const uint8_t *end = p + n;
	uint32_t second = 0, third = 0;
	for (; p < end; p += 8) {
		/* Three streams are more than a processor sees by itself. */
		if ((end - p) % 64 == 0) {
			__builtin_prefetch(p + AHEAD);
			__builtin_prefetch(p + n + AHEAD);
			__builtin_prefetch(p + 2 * n + AHEAD);
		}
		c = CRC_U64(c, load(p));
		second = CRC_U64(second, load(p + n));
		third = CRC_U64(third, load(p + 2 * n));
	}
	return skip(past[which], skip(past[which], c) ^ second) ^ third;
}

WITH_INSTRUCTION static uint32_t update_instruction(uint32_t c, const uint8_t *p, size_t n)
{
	for (int i = 0; i < PARTS; i++)
		for (; n >= 3 * part_len[i]; n -= 3 * part_len[i], p += 3 * part_len[i])
			c = three_parts(c, p, i);
	for (; n >= 8; n -= 8, p += 8)
		c = CRC_U64(c, load(p));
	while (n--)
		c = CRC_U8(c, *p++);
	return c;
}
#endif

#if defined(__x86_64__)
/*
 * Newer processors multiply four pairs of polynomials at a time, which takes half the time: what
 * has been read, 256 bytes in four registers, is moved on past the next 256 and added to them. A
 * register holds four polynomials of 128 bits; to move one on by d bits its halves are multiplied
 * by x^(d+32) and x^(d-32) (Intel, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
 * Instruction"). The sum of what is left in the end is the sum of all.
 */
#define WITH_WIDE __attribute__((target("avx512f,vpclmulqdq,pclmul")))
#define REGISTERS 4
#define WIDTH	  64u /* bytes of a register */

static uint64_t move[REGISTERS][2]; /* by 4, 3, 2, 1 registers */

/* x^n mod the polynomial; bits reflected, and one further for a product's odd length. */
static uint64_t power(unsigned n)
{
	uint32_t c = 1u << 31;
	while (n--)
		c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
	return (uint64_t)c << 1;
}

static void make_move(void)
{
	for (unsigned i = 0; i < REGISTERS; i++) {
		unsigned bits = (REGISTERS - i) * WIDTH * 8;
		move[i][0] = power(bits + 32);
		move[i][1] = power(bits - 32);
	}
}

WITH_WIDE static __m512i factors(unsigned i)
{
	return _mm512_set4_epi64((long long)move[i][1], (long long)move[i][0],
				 (long long)move[i][1], (long long)move[i][0]);
}

WITH_WIDE static inline __m512i moved(__m512i x, __m512i by, __m512i to)
{
	return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, by, 0x00),
					 _mm512_clmulepi64_epi128(x, by, 0x11), to, 0x96);
}

WITH_WIDE static uint32_t update_wide(uint32_t c, const uint8_t *p, size_t n)
{
	const __m512i all = factors(0);
	__m512i x[REGISTERS];
	uint8_t left[WIDTH];
	if (n < 2 * sizeof(x))
		return update_instruction(c, p, n);
#pragma GCC unroll 4
	for (unsigned i = 0; i < REGISTERS; i++)
		x[i] = _mm512_loadu_si512(p + i * WIDTH);
	x[0] = _mm512_xor_si512(x[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)c)));
	for (p += sizeof(x), n -= sizeof(x); n >= sizeof(x); p += sizeof(x), n -= sizeof(x)) {
#pragma GCC unroll 4
		for (unsigned i = 0; i < REGISTERS; i++)
			x[i] = moved(x[i], all, _mm512_loadu_si512(p + i * WIDTH));
	}
#pragma GCC unroll 3
	for (unsigned i = 1; i < REGISTERS; i++)
		x[REGISTERS - 1] = moved(x[i - 1], factors(i), x[REGISTERS - 1]);
	_mm512_storeu_si512(left, x[REGISTERS - 1]);
	return update_instruction(update_instruction(0, left, sizeof(left)), p, n);
}
#endif

static void choose(void)
{
	make_table();
	update = update_table;
#ifdef WITH_INSTRUCTION
	if (has_instruction()) {
		make_past();
		update = update_instruction;
	}
#endif
#if defined(__x86_64__)
	if (update == update_instruction && __builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("vpclmulqdq")) {
		make_move();
		update = update_wide;
	}
#endif
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	pthread_once(&once, choose);
	return ~update(~crc, p, n);
}
