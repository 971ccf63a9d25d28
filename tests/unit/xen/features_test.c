/* SPDX-License-Identifier: BSD-2-Clause */
/* What a hypervisor lacks, because of its release or of how it was built, is found by asking it,
 * and `vstor migrate --check` says it. The other host's part of that is played. */
#include "tests/unit/xen/migration/migration_rig.h"
#include "xen/migration/preflight.h"
#include "xen/release.h"

struct search {
	const char *word, *text;
	bool found;
};

static void on_verdict(void *arg, const char *word, const char *text, size_t len)
{
	struct search *s = arg;

	if (strcmp(word, s->word) == 0 && memmem(text, len, s->text, strlen(s->text)))
		s->found = true;
}

static void checks(enum migration_end expected, const char *word, const char *text)
{
	struct search s = {word, text, false};

	w.o.check_only = true;
	migrate();
	CHECK_EQ(w.result.end, expected);
	CHECK_STR(fake.did, "retrieve 5, ");
	verdicts_each(migration_verdicts(w.m), on_verdict, &s);
	if (!CHECK(s.found))
		printf("# not said: %s: %s (cause: %s)\n", word, text, w.result.cause);
	end();
}

static void test_shadow_paging(void)
{
	begin();
	w.guest->pv = true;
	checks(MIGRATION_CHECKED, "ok", "copy: live");

	begin();
	w.guest->pv = fake.no_shadow = true;
	checks(MIGRATION_HERE, "no",
	       "copy: this hypervisor is built without SHADOW_PAGING, so a PV guest cannot be "
	       "copied while it runs: use --offline");

	begin();
	w.guest->pv = fake.no_shadow = true;
	w.o.saving.offline = true;
	checks(MIGRATION_CHECKED, "ok", "copy: offline");
}

static void test_nested_paging(void)
{
	begin();
	fake.no_shadow = true;
	checks(MIGRATION_CHECKED, "ok", "copy: live");
	begin();
	fake.no_hap = true;
	checks(MIGRATION_CHECKED, "ok", "copy: live");
	begin();
	fake.no_hap = fake.no_shadow = true;
	checks(MIGRATION_HERE, "no", "copy: this hypervisor");
	begin();
	fake.no_physinfo = true;
	checks(MIGRATION_HERE, "no", "copy: cannot ask this hypervisor what it can do");
}

static void test_caps(void)
{
	begin();
	w.o.saving.precopy.throttle = true;
	w.guest->scheduler = LIBXL_SCHEDULER_CREDIT2;
	checks(MIGRATION_CHECKED, "ok", "pace: the guest can be slowed down");
	begin();
	w.o.saving.precopy.throttle = true;
	w.guest->scheduler = LIBXL_SCHEDULER_RTDS;
	checks(MIGRATION_CHECKED, "warn", "pace: the scheduler rtds has no cap");
}

/* ---- at the other host ---- */

static void hears(const char *word, const char *text, struct release sender)
{
	struct search s = {word, text, false};
	struct preflight_peer peer = {
		.xen = sender, .cpu = "1.0.2:1", .said = (const uint8_t *)"", .said_len = 0};
	struct verdicts v = {0};
	libxl_domain_config c;

	begin();
	libxl_domain_config_init(&c);
	c.c_info.type = LIBXL_DOMAIN_TYPE_PVH;
	c.c_info.name = strdup("moved");
	preflight_destination(w.t, &c, "{}", &peer, &v);
	verdicts_each(&v, on_verdict, &s);
	if (!CHECK(s.found))
		printf("# not said: %s: %s in %.*s\n", word, text, (int)v.fields.len,
		       (const char *)v.fields.data);
	verdicts_fini(&v);
	libxl_domain_config_dispose(&c);
	toolstack_close(w.t);
	loop_free(w.loop);
}

static void test_releases(void)
{
	const struct release here = RELEASE_BUILT;
	char text[160];

	hears("ok", "Xen: from", here);
	hears("ok", "Xen: from", (struct release){here.major, here.minor - 1});
	snprintf(text, sizeof(text),
		 "Xen: from %u.%u to %u.%u: a guest cannot go back to an older release: bring that "
		 "host to %u.%u first",
		 here.major, here.minor + 1, here.major, here.minor, here.major, here.minor + 1);
	hears("no", text, (struct release){here.major, here.minor + 1});
}

/* A release that does not tell its CPU policy: said, and no reason to refuse. */
static void test_cpu_policy(void)
{
	hears("warn", "this hypervisor does not tell its CPU policy", RELEASE_BUILT);
}

/* The hypervisor is of one release, xl and its libraries are of another. */
static void test_tools(void)
{
	char tools[64], text[160];

	snprintf(tools, sizeof(tools), "%s/xen-4.99", dir);
	CHECK_EQ(mkdir(tools, 0755), 0);
	release_libraries = dir;
	snprintf(text, sizeof(text),
		 "tools: that host runs Xen %u.%u, but its xl is of 4.99: reboot it",
		 RELEASE_BUILT.major, RELEASE_BUILT.minor);
	hears("warn", text, RELEASE_BUILT);
}

int main(void)
{
	rig_open();
	CHECK_RUN(test_shadow_paging);
	CHECK_RUN(test_nested_paging);
	CHECK_RUN(test_caps);
	CHECK_RUN(test_releases);
	CHECK_RUN(test_cpu_policy);
	CHECK_RUN(test_tools);
	return rig_close() || CHECK_DONE();
}
