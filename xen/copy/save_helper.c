/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/copy/save_helper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <_libxl_save_msgs_helper.h>

#include "core/bytes.h"
#include "core/leave.h"
#include "core/log.h"
#include "xen/copy/kept_memory.h"
#include "xen/release.h"
#include "xen/copy/restore_pages.h"
#include "xen/copy/restoring.h"
#include "xen/copy/save_pages.h"
#include "xen/copy/save_policy.h"
#include "xen/copy/saving.h"
#include "xen/copy/superpages.h"

/* libxl's own main(), renamed when it was compiled. */
int libxl_save_helper_main(int argc, char **argv);
void __real_helper_setcallbacks_save(struct save_callbacks *cbs, unsigned cbflags);
void __wrap_helper_setcallbacks_save(struct save_callbacks *cbs, unsigned cbflags);

void __real_helper_stub_restore_results(xen_pfn_t store, xen_pfn_t console, void *user);
void __wrap_helper_stub_restore_results(xen_pfn_t store, xen_pfn_t console, void *user);

void __wrap_helper_stub_progress(const char *context, const char *doing_what, unsigned long done,
				 unsigned long total, void *user);

static uint32_t domid;

void __wrap_helper_setcallbacks_save(struct save_callbacks *cbs, unsigned cbflags)
{
	__real_helper_setcallbacks_save(cbs, cbflags);
	save_policy_install(cbs, domid);
}

/* libxc has the guest whole; what libxl does from here on are its devices. */
void __wrap_helper_stub_restore_results(xen_pfn_t store, xen_pfn_t console, void *user)
{
	char text[64];

	snprintf(text, sizeof(text), RESTORING_REPORT, clock_ns());
	helper_stub_log(XTL_DEBUG, (uint32_t)-1, TOOLSTACK_REPORT, text, NULL);
	__real_helper_stub_restore_results(store, console, user);
}

/*
 * libxc tells of each 4 MiB of guest physical memory, holes included, of which a PVH guest has some
 * thousand: each time two writes here, and some ten system calls of libxl's. Nobody listens to it;
 * save_policy.c tells more.
 */
void __wrap_helper_stub_progress(const char *context, const char *doing_what, unsigned long done,
				 unsigned long total, void *user)
{
	(void)context;
	(void)doing_what;
	(void)done;
	(void)total;
	(void)user;
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

static void complain(const char *text)
{
	helper_stub_log(XTL_ERROR, (uint32_t)-1, "vstor", text, NULL);
}

/* To the user, through whoever has libxl save. */
static void tell(const char *text)
{
	char note[160];

	snprintf(note, sizeof(note), SAVING_NOTE "%s", text);
	helper_stub_log(XTL_DEBUG, (uint32_t)-1, TOOLSTACK_REPORT, note, NULL);
}

/* What is done to libxc's stream, whichever way it goes. */
static void start_pages(const char *mode, int fd)
{
	struct compression_plan plan;

	compression_plan_parse(save_helper_get(domid, COMPRESSION_ENV), &plan);
	if (strcmp(mode, "--save-domain") == 0)
		save_pages_start(fd, &plan, save_policy_sent, tell);
	else
		restore_pages_start(fd, complain);
}

int save_helper_main(int argc, char **argv)
{
	char misfit[RELEASE_TEXT];

	/* MODE FD BACK-FD DOMID ...; libxl's main only asserts that they are there. */
	if (argc < 8 ||
	    (strcmp(argv[1], "--save-domain") != 0 && strcmp(argv[1], "--restore-domain") != 0)) {
		log_error("the save helper is run by libxl, not by hand");
		return 2;
	}
	if (release_check(misfit)) {
		log_error("save helper: %s", misfit);
		return 1;
	}
	domid = (uint32_t)strtoul(argv[4], NULL, 10);
	if (strcmp(argv[1], "--save-domain") == 0)
		survive();
	else
		superpages_start(domid);
	kept_memory_start();
	/* libxl waits for our end while the guest runs nowhere. */
	leave_memory_behind();
	start_pages(argv[1], atoi(argv[2]));
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
