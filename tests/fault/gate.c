/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lab-gate NAME PROGRAM...: runs a program that a test wants to stop at lines of its log on stderr.
 * When there is a file /tmp/NAME.at, and a line contains what that says, the file becomes
 * /tmp/NAME.held, and the program stands still, right before it writes the line, until that is
 * gone. A second line of NAME.at: which such line it is to be, from 1.
 *
 * lab-gate --until FILE...: waits until one of the files is there, and prints its name.
 *
 * A filter stops the program at its writes to stderr and nowhere else. Its children are not
 * watched: what they say on stderr is lost (ENOSYS).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static char at[256], held[256];
static unsigned seen; /* lines that matched, since the file came to be */

/* Of what comes and goes in the folder of a file. */
static int watch_folder(int watch, const char *file)
{
	char path[256];

	snprintf(path, sizeof(path), "%s", file);
	return inotify_add_watch(watch, dirname(path),
				 IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO);
}

/* The next such event, or a child's end. */
static void await_change(int watch, int children)
{
	struct pollfd p[2] = {{.fd = watch, .events = POLLIN}, {.fd = children, .events = POLLIN}};
	char events[4096];

	if (poll(p, 2, -1) < 0)
		return;
	for (int i = 0; i < 2; i++)
		if (p[i].revents && read(p[i].fd, events, sizeof(events)) < 0 && errno != EAGAIN)
			exit(2);
}

static int until(char **files)
{
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	for (char **f = files; *f; f++)
		if (watch_folder(watch, *f) < 0)
			return 2;
	for (;;) {
		for (char **f = files; *f; f++)
			if (access(*f, F_OK) == 0)
				return puts(*f) < 0;
		await_change(watch, -1);
	}
}

/* Its process may be killed meanwhile. */
static void hold(pid_t pid)
{
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), children;
	siginfo_t end;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (watch_folder(watch, held) < 0 || children < 0)
		exit(2);
	rename(at, held);
	for (;;) {
		end.si_pid = 0;
		if (access(held, F_OK) ||
		    waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT | __WALL) ||
		    end.si_pid)
			break;
		await_change(watch, children);
	}
	close(watch);
	close(children);
}

static bool is_there(const char *said)
{
	char text[256], *count;
	int fd = open(at, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0) {
		seen = 0;
		return false;
	}
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	count = text + strlen(text) + 1;
	if (!strstr(said, text))
		return false;
	return ++seen >= (count < text + n ? strtoul(count, NULL, 10) : 1);
}

/* n bytes at an address of the program's. */
static size_t take(pid_t pid, unsigned long from, void *to, size_t n)
{
	struct iovec mine = {to, n}, theirs = {(void *)from, n};
	ssize_t k = process_vm_readv(pid, &mine, 1, &theirs, 1, 0);

	return k < 0 ? 0 : (size_t)k;
}

static void look(pid_t pid)
{
	struct user_regs_struct r;
	struct iovec v[8];
	char line[4097];
	size_t len = 0;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &r))
		return;
	if (r.orig_rax == SYS_write) {
		len = take(pid, r.rsi, line, r.rdx < 4096 ? r.rdx : 4096);
	} else if (r.rdx <= 8 && take(pid, r.rsi, v, r.rdx * sizeof(*v)) == r.rdx * sizeof(*v)) {
		for (unsigned i = 0; i < r.rdx; i++)
			if (v[i].iov_len <= 4096 - len)
				len += take(pid, (unsigned long)v[i].iov_base, line + len,
					    v[i].iov_len);
	}
	line[len] = 0;
	if (!is_there(line))
		return;
	seen = 0;
	hold(pid);
}

static void become(char **argv)
{
	static struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_writev, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STDERR_FILENO, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(f) / sizeof(f[0]), f};

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(126);
	execvp(argv[0], argv);
	_exit(127);
}

int main(int argc, char **argv)
{
	pid_t first, pid;
	int status, signal_to_pass;

	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "--until"))
		return until(argv + 2);
	snprintf(at, sizeof(at), "/tmp/%s.at", argv[1]);
	snprintf(held, sizeof(held), "/tmp/%s.held", argv[1]);
	signal(SIGINT, SIG_IGN);
	first = fork();
	if (first == 0)
		become(argv + 2);
	if (first < 0 || waitpid(first, &status, 0) < 0 ||
	    ptrace(PTRACE_SETOPTIONS, first, NULL, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE) ||
	    ptrace(PTRACE_CONT, first, NULL, NULL))
		return 2;
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (!WIFSTOPPED(status)) {
			if (pid == first)
				return WIFEXITED(status) ? WEXITSTATUS(status)
							 : 128 + WTERMSIG(status);
			continue;
		}
		signal_to_pass = WSTOPSIG(status);
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8))
			look(pid);
		if (signal_to_pass == SIGTRAP || signal_to_pass == SIGSTOP)
			signal_to_pass = 0; /* our own */
		ptrace(PTRACE_CONT, pid, NULL, (void *)(long)signal_to_pass);
	}
	return 2;
}
