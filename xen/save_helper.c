/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/save_helper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <_libxl_save_msgs_helper.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/loop.h"
#include "xen/kept_memory.h"
#include "xen/precopy.h"
#include "xen/toolstack.h"

/* libxl's own main(), renamed when it was compiled. */
int libxl_save_helper_main(int argc, char **argv);
void __real_helper_setcallbacks_save(struct save_callbacks *cbs, unsigned cbflags);
void __wrap_helper_setcallbacks_save(struct save_callbacks *cbs, unsigned cbflags);

static struct precopy policy;
static uint32_t domid;
static int (*real_suspend)(void *user);

/* fd 1 is libxl's channel of messages: a report goes along it, as a line of the log. */
static void report(const struct precopy_report *r)
{
	char text[256];

	precopy_report_print(r, text, sizeof(text));
	helper_stub_log(XTL_DEBUG, (uint32_t)-1, TOOLSTACK_REPORT, text, NULL);
}

/* libxc asks twice a round: before sending, with the number of dirty pages, and after, without. */
static int precopy_policy(struct precopy_stats s, void *user)
{
	struct precopy_report r = {.what = PRECOPY_ROUND, .at = clock_ns(), .round = s.iteration};

	(void)user;
	if (s.dirty_count < 0) {
		precopy_after(&policy, r.at);
		return XGS_POLICY_CONTINUE_PRECOPY;
	}
	r.verdict = precopy_before(&policy, r.at, s.iteration, (uint64_t)s.dirty_count);
	r.dirty = policy.round_pages;
	r.rate = policy.rate;
	r.predicted_ns = policy.predicted_ns;
	report(&r);
	switch (r.verdict) {
	case PRECOPY_STOP: return XGS_POLICY_STOP_AND_COPY;
	case PRECOPY_ABORT: return XGS_POLICY_ABORT;
	default: return XGS_POLICY_CONTINUE_PRECOPY;
	}
}

static int suspend(void *user)
{
	struct precopy_report r = {.what = PRECOPY_SUSPEND, .at = clock_ns()};
	int rc;

	report(&r);
	rc = real_suspend(user);
	r.what = PRECOPY_SUSPENDED;
	r.at = clock_ns();
	if (rc)
		report(&r);
	return rc;
}

static uint64_t guest_pages(void)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xc_domaininfo_t info;
	uint64_t pages = 0;

	if (xch && xc_domain_getinfolist(xch, domid, 1, &info) == 1 && info.domain == domid)
		pages = info.tot_pages;
	if (xch)
		xc_interface_close(xch);
	return pages;
}

void __wrap_helper_setcallbacks_save(struct save_callbacks *cbs, unsigned cbflags)
{
	struct precopy_limits limits;

	precopy_limits_parse(save_helper_get(domid, PRECOPY_ENV), &limits);
	precopy_init(&policy, &limits, guest_pages());
	__real_helper_setcallbacks_save(cbs, cbflags);
	cbs->precopy_policy = precopy_policy;
	if (cbs->suspend) {
		real_suspend = cbs->suspend;
		cbs->suspend = suspend;
	}
}

/*
 * A save that ends badly has to go through libxc's clean-up: that switches log-dirty off. libxl
 * ends it by SIGTERM, which it is made for; a closed pipe or the keys of a terminal must not kill
 * it.
 */
static void survive(void)
{
	static const int signals[] = {SIGPIPE, SIGINT, SIGQUIT, SIGHUP};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_IGN);
}

int save_helper_main(int argc, char **argv)
{
	/* MODE FD BACK-FD DOMID ...; libxl's main only asserts that they are there. */
	if (argc < 8 ||
	    (strcmp(argv[1], "--save-domain") != 0 && strcmp(argv[1], "--restore-domain") != 0)) {
		log_error("the save helper is run by libxl, not by hand");
		return 2;
	}
	if (strcmp(argv[1], "--save-domain") == 0)
		survive();
	domid = (uint32_t)strtoul(argv[4], NULL, 10);
	kept_memory_start();
	return libxl_save_helper_main(argc, argv);
}

/* argv is the one that libxl gives: PROGRAM --save-domain FD BACK-FD DOMID ... */
static bool saves(const char *args, size_t n, uint32_t of)
{
	const char *words[5] = {0};
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(words) && at < n; i++) {
		words[i] = args + at;
		at += strlen(words[i]) + 1;
	}
	return words[4] && strcmp(words[1], "--save-domain") == 0 &&
	       strtoul(words[4], NULL, 10) == of;
}

pid_t save_helper_of(uint32_t of)
{
	char path[64], args[512];
	struct dirent *e;
	pid_t found = 0;
	DIR *d = opendir("/proc");

	while (d && !found && (e = readdir(d))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
		fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (fd < 0)
			continue;
		n = read(fd, args, sizeof(args) - 1);
		close(fd);
		if (n <= 0)
			continue;
		args[n] = 0;
		if (saves(args, (size_t)n, of))
			found = pid;
	}
	if (d)
		closedir(d);
	return found;
}

int save_helper_install(void)
{
	return setenv("LIBXL_SAVE_HELPER", "/proc/self/exe", 1) ? -errno : 0;
}

static void variable(uint32_t of, const char *name, char out[64])
{
	snprintf(out, 64, "%s_%u", name, of);
}

int save_helper_set(uint32_t of, const char *name, const char *value)
{
	char full[64];

	variable(of, name, full);
	return (value ? setenv(full, value, 1) : unsetenv(full)) ? -errno : 0;
}

const char *save_helper_get(uint32_t of, const char *name)
{
	char full[64];

	variable(of, name, full);
	return getenv(full);
}
