/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests. A test is `static void test_x(void)`; main() runs each with CHECK_RUN(test_x), which
 * prints `ok module: x` or `not ok module: x`, and ends with `return CHECK_DONE();`.
 *
 * A check that fails says where and what, and the test goes on; each check is an expression that is
 * true when it held, for the case that going on makes no sense: `if (!CHECK(p)) return;`.
 */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned int check_failures; /* in the running test */
static unsigned int check_failed_tests;

static inline bool check_fail(const char *file, int line, const char *what)
{
	printf("# %s:%d: %s\n", file, line, what);
	check_failures++;
	return false;
}

static inline bool check_int(const char *file, int line, const char *a, const char *b, long long av,
			     long long bv)
{
	if (av == bv)
		return true;
	printf("# %s:%d: %s is %lld (0x%llx), %s is %lld (0x%llx)\n", file, line, a, av,
	       (unsigned long long)av, b, bv, (unsigned long long)bv);
	check_failures++;
	return false;
}

static inline bool check_str(const char *file, int line, const char *a, const char *b,
			     const char *av, const char *bv)
{
	if (av == bv || (av && bv && strcmp(av, bv) == 0))
		return true;
	printf("# %s:%d: %s is \"%s\", %s is \"%s\"\n", file, line, a, av ? av : "(null)", b,
	       bv ? bv : "(null)");
	check_failures++;
	return false;
}

static inline bool check_mem(const char *file, int line, const char *a, const char *b,
			     const void *av, const void *bv, size_t len)
{
	const unsigned char *x = av;
	const unsigned char *y = bv;
	size_t i;

	for (i = 0; i < len; i++) {
		if (x[i] == y[i])
			continue;
		printf("# %s:%d: %s and %s differ at byte %zu of %zu: 0x%02x, 0x%02x\n", file, line,
		       a, b, i, len, x[i], y[i]);
		check_failures++;
		return false;
	}
	return true;
}

static inline void check_run(const char *file, const char *name, void (*test)(void))
{
	const char *module = strstr(file, "unit/");
	const char *end;

	module = module ? module + strlen("unit/") : file;
	if (strncmp(name, "test_", strlen("test_")) == 0)
		name += strlen("test_");
	end = strstr(module, "_test.c");
	check_failures = 0;
	test();
	printf("%sok %.*s: %s\n", check_failures ? "not " : "",
	       (int)(end ? (size_t)(end - module) : strlen(module)), module, name);
	fflush(stdout);
	if (check_failures)
		check_failed_tests++;
}

/* A directory that the test made, and all in it. 0, or what rm(1) says. */
static inline int check_remove(const char *dir)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

#define CHECK(cond)	     ((cond) ? true : check_fail(__FILE__, __LINE__, "not true: " #cond))
#define CHECK_EQ(a, b)	     check_int(__FILE__, __LINE__, #a, #b, (long long)(a), (long long)(b))
#define CHECK_STR(a, b)	     check_str(__FILE__, __LINE__, #a, #b, a, b)
#define CHECK_MEM(a, b, len) check_mem(__FILE__, __LINE__, #a, #b, a, b, len)
#define CHECK_RUN(test)	     check_run(__FILE__, #test, test)
#define CHECK_DONE()	     (check_failed_tests != 0)

#endif
