/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hostile initiators against a running target. After each attack a session opened before the first
 * one still has to be served, and a new one let in; at the end no descriptor may be left over.
 * usage: hostile PID HOST PORT IQN LUN SEED [nomem]      nomem: the target's memory is not judged
 */
#include "tests/iscsi/hostile.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/loop.h"

static struct raw bystander;
static const char *target_pid;
static bool judge_memory = true;
static uint64_t seed;

bool hostile_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("# ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	return false;
}

uint64_t hostile_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

unsigned long hostile_target_kib(void)
{
	char path[64], line[128];
	unsigned long kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/status", target_pid);
	f = judge_memory ? fopen(path, "r") : NULL;
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %lu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static unsigned target_descriptors(void)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", target_pid);
	d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

void hostile_pause(void)
{
	raw_ping(&bystander);
}

static bool serves(struct raw *r)
{
	uint8_t cdb[10], block[4096];

	raw_rw10(cdb, false, 0, 8);
	return raw_ping(r) && raw_run(r, cdb, 10, NULL, 0, block, sizeof(block)) == 0;
}

static bool others_are_served(void)
{
	struct raw newcomer;
	bool ok = raw_open(&newcomer, 1) && serves(&newcomer) && raw_logout(&newcomer);

	raw_close(&newcomer);
	if (!ok)
		return hostile_fail("a new session is not served");
	if (!serves(&bystander)) {
		raw_close(&bystander);
		raw_open(&bystander, 0);
		return hostile_fail("the session from before is not served any more");
	}
	return true;
}

static bool reachable(void)
{
	struct raw r;
	bool ok = raw_connect(&r);

	raw_close(&r);
	return ok;
}

static unsigned run(const struct attack *a)
{
	unsigned failed = 0;

	for (; a->name; a++) {
		bool ok = a->run();

		ok = others_are_served() && ok;
		printf("%sok iscsi: hostile: %s\n", ok ? "" : "not ", a->name);
		fflush(stdout);
		failed += !ok;
		if (!ok && !reachable()) {
			puts("not ok iscsi: hostile: the target has ended");
			exit(1);
		}
	}
	return failed;
}

/* Connections end when the target has seen our end of them: soon, not at once. */
static bool no_descriptor_left(unsigned before)
{
	unsigned now;

	for (int i = 0; i < 200; i++) {
		now = target_descriptors();
		if (now <= before)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 100 * (long)MS_NS}, NULL);
	}
	return hostile_fail("%u descriptors, %u before", now, before);
}

int main(int argc, char **argv)
{
	unsigned failed = 0, before;
	bool ok;

	if (argc < 7)
		return 2;
	target_pid = argv[1];
	raw_target = (struct raw_target){
		.host = argv[2], .port = argv[3], .iqn = argv[4], .lun = (uint8_t)atoi(argv[5])};
	seed = strtoull(argv[6], NULL, 10) | 1;
	judge_memory = argc < 8;
	printf("# seed %llu\n", (unsigned long long)seed);
	if (!raw_open(&bystander, 0) || !others_are_served()) {
		puts("not ok iscsi: hostile: log in");
		return 1;
	}
	before = target_descriptors();
	failed += run(stream_attacks);
	failed += run(login_attacks);
	failed += run(text_attacks);
	failed += run(data_attacks);
	ok = no_descriptor_left(before);
	printf("%sok iscsi: hostile: no descriptor is left over\n", ok ? "" : "not ");
	raw_close(&bystander);
	return failed || !ok;
}
