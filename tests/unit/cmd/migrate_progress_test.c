/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/migrate_progress.h"

#include "core/loop.h"
#include "tests/unit/check.h"

#define MIB (1ull << 20)

static struct migrate_progress shown;

static const char *line(const struct migration_progress *p)
{
	static char text[160];

	migrate_progress_line(&shown, "web1", p, text, sizeof(text));
	return text;
}

static void test_time_left(void)
{
	struct migration_progress p = {.state = S_COPY,
				       .round = 1,
				       .round_bytes = 100 * MIB,
				       .speed = 100,
				       .elapsed_ns = 1 * SEC_NS};

	shown = (struct migrate_progress){0};
	/* Nothing to go by yet. */
	CHECK(strstr(line(&p), "round 1 (0 %), 0.0 MB sent, 0.0 MB/s") != NULL);
	p.round_sent = p.sent = 20 * MIB;
	p.elapsed_ns = 3 * SEC_NS;
	CHECK(strstr(line(&p), "round 1 (20 %, 8 s left), 20.0 MB sent, 10.0 MB/s") != NULL);
	/* The rate is of the last second, the time left by all of the round. */
	p.round_sent = p.sent = 40 * MIB;
	p.elapsed_ns = 4 * SEC_NS;
	p.dirty = 5 * MIB;
	p.speed = 30;
	CHECK(strstr(line(&p), "round 1 (40 %, 4 s left), 40.0 MB sent, 20.0 MB/s, 5.0 MB dirty, "
			       "slowed to 30 %") != NULL);
	/* Another round begins anew. */
	p.round = 2;
	CHECK(strstr(line(&p), "round 2 (40 %), ") != NULL);
	p.round_bytes = 10 * MIB;
	p.round_sent = 0;
	CHECK(strstr(line(&p), "round 2 (0 %), ") != NULL);
	p.round_sent = 10 * MIB;
	CHECK(strstr(line(&p), "round 2, ") != NULL);
}

static void test_too_long(void)
{
	const struct migration_progress p = {.state = S_COPY, .round = 1, .dirty = 5 * MIB};
	char small[8];

	shown = (struct migrate_progress){0};
	migrate_progress_line(&shown, "a long name", &p, small, sizeof(small));
	CHECK_STR(small, "a long ");
}

int main(void)
{
	CHECK_RUN(test_time_left);
	CHECK_RUN(test_too_long);
	return CHECK_DONE();
}
