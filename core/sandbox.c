/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/log.h"
#include "core/syscalls.h"

#define NOBODY	      65534 /* where there is no list of users at all */
#define FILES_WANTED  4096
#define LOCKED_WANTED (64ull << 20) /* bytes: rings and their buffers, before Linux 5.12 */

static struct sandbox_state state;

const struct sandbox_state *sandbox_state(void)
{
	return &state;
}

/* ---- the user ---- */

static bool look_up(struct sandbox_user *u, const char *name)
{
	const struct passwd *p = getpwnam(name);
	if (!p)
		return false;
	snprintf(u->name, sizeof(u->name), "%s", name);
	u->uid = p->pw_uid;
	u->gid = p->pw_gid;
	return true;
}

static void find_self(struct sandbox_user *u)
{
	const struct passwd *p = getpwuid(geteuid());
	u->uid = geteuid();
	u->gid = getegid();
	if (p)
		snprintf(u->name, sizeof(u->name), "%s", p->pw_name);
	else
		snprintf(u->name, sizeof(u->name), "%u", (unsigned)u->uid);
}

int sandbox_find_user(struct sandbox_user *u, const char *name)
{
	*u = (struct sandbox_user){0};
	if (name) {
		if (!look_up(u, name))
			return -ENOENT;
	} else if (geteuid() != 0) {
		find_self(u);
	} else if (!look_up(u, SANDBOX_USER) && !look_up(u, "nobody")) {
		*u = (struct sandbox_user){.name = "nobody", .uid = NOBODY, .gid = NOBODY};
	}
	u->drop = u->uid != geteuid();
	return u->drop && geteuid() != 0 ? -EPERM : 0;
}

/* The capability that sandbox.h tells of, and no other; or none at all. */
static int limit_capabilities(bool keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
	sets[0].permitted = sets[0].effective = keep ? 1u << CAP_FOWNER : 0;
	return syscall(SYS_capset, &head, sets) < 0 ? -errno : 0;
}

static int become(const struct sandbox_user *u)
{
	int rc;
	state.asks = u->uid == 0;
	if (!u->drop)
		return 0;
	rc = prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
			     setresgid(u->gid, u->gid, u->gid) < 0 ||
			     setresuid(u->uid, u->uid, u->uid) < 0
		     ? -errno
		     : limit_capabilities(true);
	state.asks = rc == 0;
	if (rc && geteuid() == u->uid) /* root had not got it, in a container */
		rc = limit_capabilities(false);
	if (rc)
		log_error("cannot become user %s: %s; --user root stays what it is", u->name,
			  strerror(-rc));
	return rc;
}

/* ---- limits: what the user may use is fixed before ---- */

static void raise_limit(int resource, rlim_t want)
{
	struct rlimit r;
	if (getrlimit(resource, &r) < 0 || r.rlim_cur >= want)
		return;
	if (r.rlim_max < want &&
	    setrlimit(resource, &(struct rlimit){.rlim_cur = want, .rlim_max = want}) == 0)
		return; /* CAP_SYS_RESOURCE */
	r.rlim_cur = r.rlim_max < want ? r.rlim_max : want;
	if (setrlimit(resource, &r) < 0)
		log_debug("limit %d stays as it is: %s", resource, strerror(errno));
}

/* ---- the directory ---- */

static int not_ours(const struct sandbox *s, const char *what)
{
	log_error("%s: %s, and user %s is to write here: chown it, or name another directory",
		  s->dir, what, s->user->name);
	return -EPERM;
}

/* Gives root's files in it away. Not what has a second name, which may be anywhere. */
static int give_files(const struct sandbox *s, int dir, bool only_look)
{
	DIR *d = fdopendir(fcntl(dir, F_DUPFD_CLOEXEC, 0));
	struct dirent *e;
	int rc = d ? 0 : -errno;
	if (d)
		rewinddir(d);
	while (rc == 0 && (e = readdir(d))) {
		struct stat st;
		int fd;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (!s->ours(e->d_name)) {
			rc = only_look ? -ENOTEMPTY : 0;
			continue;
		}
		fd = only_look ? -1 : openat(dir, e->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
		    st.st_uid == 0 &&
		    fchownat(fd, "", s->user->uid, s->user->gid, AT_EMPTY_PATH) < 0)
			rc = -errno;
		close(fd);
	}
	if (d)
		closedir(d);
	return rc;
}

static int give_directory(const struct sandbox *s, int dir)
{
	const struct sandbox_user *u = s->user;
	struct stat st;
	int rc;
	if (fstat(dir, &st) < 0)
		return not_ours(s, strerror(errno));
	if (st.st_uid != u->uid && !(st.st_mode & S_IWOTH) &&
	    !(st.st_mode & S_IWGRP && st.st_gid == u->gid)) {
		if (st.st_uid != 0)
			return not_ours(s, "it is neither root's nor that user's");
		rc = give_files(s, dir, true);
		if (rc)
			return not_ours(s, rc == -ENOTEMPTY ? "it has other files, too"
							    : strerror(-rc));
		if (fchown(dir, u->uid, u->gid) < 0)
			return not_ours(s, strerror(errno));
	}
	rc = give_files(s, dir, false);
	return rc ? not_ours(s, strerror(-rc)) : 0;
}

static int open_directory(const struct sandbox *s, int *dir)
{
	int rc = 0;
	*dir = -1;
	if (!s->dir)
		return 0;
	*dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0) {
		rc = -errno;
		log_error("%s: %s; make a directory there, or name another", s->dir,
			  strerror(errno));
	} else if (s->user->drop) {
		rc = give_directory(s, *dir);
	}
	return rc;
}

/* By its descriptor: the user may have no way to it by its path. */
static int enter_directory(const struct sandbox *s, int dir)
{
	if (dir < 0) {
		(void)!chdir("/"); /* so that no file system is kept from being unmounted */
		return 0;
	}
	if (fchdir(dir) == 0 && access(".", R_OK | W_OK | X_OK) == 0)
		return 0;
	return not_ours(s, strerror(errno));
}

/* ---- Landlock (landlock(7)): by system call, C libraries have no functions for it ---- */

#define LANDLOCK_CREATE	  444 /* the same on all architectures */
#define LANDLOCK_ADD	  445
#define LANDLOCK_RESTRICT 446

#define FS_WRITE_FILE  (1ull << 1)
#define FS_READ_FILE   (1ull << 2)
#define FS_READ_DIR    (1ull << 3)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_REG    (1ull << 8)
#define FS_TRUNCATE    (1ull << 14)
#define NET_TCP	       3ull /* bind and connect */
#define SCOPED	       3ull /* abstract sockets and signals */

struct ruleset {
	uint64_t fs, net, scoped;
};

/* All that this version can restrict: 13 rights of files at first, then REFER, TRUNCATE, TCP,
 * IOCTL_DEV, scopes. */
static struct ruleset all_of(int version)
{
	unsigned fs = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
	return (struct ruleset){.fs = (1ull << fs) - 1,
				.net = version >= 4 ? NET_TCP : 0,
				.scoped = version >= 6 ? SCOPED : 0};
}

static int allow_beneath(int ruleset, int dir, uint64_t rights)
{
	struct {
		uint64_t rights;
		int32_t parent;
	} __attribute__((packed)) rule = {rights, dir};
	return syscall(LANDLOCK_ADD, ruleset, 1 /* PATH_BENEATH */, &rule, 0) < 0 ? -errno : 0;
}

static int allow_path(int ruleset, const char *path, uint64_t rights)
{
	int rc = 0, fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return 0; /* then there is nothing to be allowed */
	rc = allow_beneath(ruleset, fd, rights);
	close(fd);
	return rc;
}

/* *version: 0 when the kernel has no Landlock. */
static int restrict_files(int dir, int *version)
{
	long v = syscall(LANDLOCK_CREATE, NULL, 0, 1 /* tell the version */);
	struct ruleset rules = all_of((int)v);
	int fd, rc = 0;
	*version = v > 0 ? (int)v : 0;
	if (v <= 0)
		return v < 0 ? -errno : 0;
	fd = (int)syscall(LANDLOCK_CREATE, &rules, sizeof(rules), 0);
	if (fd < 0)
		return -errno;
	if (dir >= 0)
		rc = allow_beneath(fd, dir,
				   rules.fs & (FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR |
					       FS_REMOVE_FILE | FS_MAKE_REG | FS_TRUNCATE));
	if (rc == 0) /* where a pipe is emptied to */
		rc = allow_path(fd, "/dev/null", FS_WRITE_FILE);
#ifdef __SANITIZE_ADDRESS__ /* the search for leaks reads what memory and threads there are */
	if (rc == 0)
		rc = allow_path(fd, "/proc", FS_READ_FILE | FS_READ_DIR);
#endif
	if (rc == 0 && syscall(LANDLOCK_RESTRICT, fd, 0) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* ---- all of it ---- */

static int not_there(const char *what, int rc)
{
	/* Containers may forbid what they do not know. */
	if (rc == -ENOSYS || rc == -EOPNOTSUPP || rc == -EINVAL || rc == -EPERM) {
		log_info("no %s on this kernel (%s): going on without", what, strerror(-rc));
		return 0;
	}
	log_error("%s: %s", what, strerror(-rc));
	return rc;
}

/* Without all of the sandbox around it that capability is too much. */
static int forget_asking(const struct sandbox *s)
{
	int rc = s->user->drop && state.asks ? limit_capabilities(false) : 0;
	state.asks = state.asks && !s->user->drop;
	if (rc)
		log_error("cannot give up a capability: %s", strerror(-rc));
	return rc;
}

static int restrict_self(const struct sandbox *s, int dir)
{
	int rc;
	state.no_new_privs = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
	if (!state.no_new_privs)
		return not_there("no_new_privs", -errno);
	rc = restrict_files(dir, &state.landlock);
	if (rc) {
		state.landlock = 0;
		rc = not_there("Landlock", rc);
	}
	if (rc)
		return rc;
	if (!state.landlock)
		rc = forget_asking(s);
	if (rc)
		return rc;
	rc = syscalls_limit(s->syslog);
	state.seccomp = rc == 0;
	if (rc)
		rc = not_there("seccomp", rc);
	return rc || state.seccomp ? rc : forget_asking(s);
}

int sandbox_enter(const struct sandbox *s)
{
	int dir, rc;
	raise_limit(RLIMIT_NOFILE, FILES_WANTED);
	raise_limit(RLIMIT_MEMLOCK, LOCKED_WANTED);
	rc = open_directory(s, &dir);
	if (rc == 0)
		rc = become(s->user);
	if (rc == 0)
		rc = enter_directory(s, dir);
	if (rc == 0 && s->prepare)
		s->prepare(s->arg);
	if (rc == 0)
		rc = restrict_self(s, dir);
	if (dir >= 0)
		close(dir);
	if (rc)
		return rc;
	state.user = s->user->name;
	state.uid = s->user->uid;
	log_info("user %s, %s, %s", state.user, state.seccomp ? "seccomp" : "no seccomp",
		 state.landlock ? "Landlock" : "no Landlock");
	return 0;
}
