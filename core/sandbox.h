/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving up rights for good: another user, no way to gain privileges by execve (no_new_privs), a
 * seccomp filter that lets through the system calls that the target needs and no others
 * (core/syscalls), and Landlock, which leaves no file system but one directory. Behind these two
 * one capability can stay: CAP_FOWNER, without which mincore(2) says of each page of a file that is
 * not the user's to write that it is resident. What else it is good for, chmod(2) and the like,
 * they refuse.
 */
#ifndef CORE_SANDBOX_H
#define CORE_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#define SANDBOX_USER                                                                               \
	"vstor" /* who root becomes where nobody is named; nobody if there is no such */

struct sandbox_user {
	char name[64];
	uid_t uid;
	gid_t gid;
	bool drop; /* it is another one than we are */
};

/* Who `name` is; NULL: whom to become by default, which for a user who is not root is himself.
 * -ENOENT: there is no such user; -EPERM: only root can become another. */
int sandbox_find_user(struct sandbox_user *u, const char *name);

struct sandbox {
	const struct sandbox_user *user;
	/* The working directory from then on, the only one whose files can be opened, made, renamed
	 * and removed (but for writing to /dev/null); NULL: none. If it is root's, and has nothing
	 * but files that ours() knows by their name, it is given to the user, as are the files in
	 * it that root has made. */
	const char *dir;
	bool (*ours)(const char *name);
	/* Called when the user has changed and limits are raised, and every system call is still
	 * there: makes what cannot be made later. */
	void (*prepare)(void *arg);
	void *arg;
	bool syslog; /* the log goes there: connects anew when the daemon was restarted */
};

/* Enters it, for the whole process and for good: before there are threads. What is open stays so.
 * What the kernel cannot do is left out, with a line in the log. 0 or -errno, logged. */
int sandbox_enter(const struct sandbox *s);

/* What is in force; all zero before sandbox_enter(). */
struct sandbox_state {
	const char *user;
	uid_t uid;
	bool no_new_privs, seccomp;
	bool asks;    /* mincore(2) tells of files that others own, too */
	int landlock; /* the version of the kernel's interface; 0: not in force */
};
const struct sandbox_state *sandbox_state(void);

#endif
