/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/check.h"

/* The sandbox is for good: each test enters it in a child, whose failed checks count as well. */
static char top[] = "/tmp/vstor-sandbox-XXXXXX", dir[64];

static bool ours(const char *name)
{
	return strncmp(name, "state", 5) == 0;
}

static void in_a_child(void (*fn)(void))
{
	int status = 0;
	pid_t pid;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		check_failures = 0;
		fn();
		fflush(stdout);
		_exit(check_failures != 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

static const char *in_top(const char *name)
{
	static char path[2][96];
	static unsigned i;
	i = !i;
	snprintf(path[i], sizeof(path[i]), "%s/%s", top, name);
	return path[i];
}

static int make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int enter(const char *where)
{
	static struct sandbox_user u; /* its name stays in use */
	const struct sandbox s = {.user = &u, .dir = where, .ours = ours};
	CHECK_EQ(sandbox_find_user(&u, NULL), 0);
	return sandbox_enter(&s);
}

/* What a system call that is refused says, one way or the other. */
#define REFUSED(call)                                                                              \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK((call) < 0);                                                                 \
		CHECK(errno == EPERM || errno == EACCES);                                          \
	} while (0)

static void files(void)
{
	int outside = make(in_top("outside")), fd;
	char b[4];
	CHECK(outside >= 0);
	CHECK_EQ(enter(dir), 0);
	CHECK_EQ(sandbox_state()->uid, geteuid());
	CHECK(!getuid() == !geteuid());
	/* what was open stays open, for all that a disk needs */
	CHECK_EQ(pwrite(outside, "data", 4, 0), 4);
	CHECK_EQ(pread(outside, b, 4, 0), 4);
	CHECK_EQ(fdatasync(outside), 0);
	CHECK_EQ(ftruncate(outside, 8192), 0);
	close(outside);
	if (!sandbox_state()->landlock) {
		puts("# no Landlock on this kernel");
		return;
	}
	REFUSED(open(in_top("outside"), O_RDONLY));
	REFUSED(open("../outside", O_RDONLY));
	REFUSED(open("/etc/passwd", O_RDONLY));
	REFUSED(open("/tmp", O_RDONLY | O_DIRECTORY));
	REFUSED(make(in_top("another")) < 0 ? -1 : 0);
	REFUSED(unlink(in_top("outside")));
	fd = open("/dev/null", O_WRONLY);
	CHECK(fd >= 0);
	close(fd);
	/* the working directory is the one that stays */
	fd = make("state.new");
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_EQ(fsync(fd), 0);
	close(fd);
	CHECK_EQ(rename("state.new", "state.now"), 0);
	REFUSED(rename("state.now", "../state.now"));
	fd = open(".", O_RDONLY | O_DIRECTORY);
	CHECK_EQ(fsync(fd), 0);
	close(fd);
	fd = open("state.now", O_WRONLY | O_TRUNC);
	CHECK(fd >= 0);
	close(fd);
	CHECK_EQ(unlink("state.now"), 0);
	REFUSED(mkdir("state.dir", 0700));
	REFUSED(symlink("/etc", "state.link"));
}

static void test_only_one_directory_is_left(void)
{
	in_a_child(files);
	unlink(in_top("outside"));
}

static void *in_a_thread(void *arg)
{
	int fd = open("/etc/passwd", O_RDONLY);
	(void)arg;
	if (fd >= 0)
		close(fd);
	return (void *)(intptr_t)fd;
}

static void calls(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(9),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "x"};
	char *const argv[] = {"true", NULL};
	int before = socket(AF_INET, SOCK_STREAM, 0), sv[2];
	struct ifaddrs *list;
	pthread_t thread;
	void *result, *p;

	CHECK(before >= 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	CHECK_EQ(enter(NULL), 0);
	CHECK(sandbox_state()->no_new_privs);
	if (!sandbox_state()->seccomp) {
		puts("# no seccomp on this kernel");
		return;
	}
	REFUSED(execve("/bin/true", argv, environ));
	REFUSED(socket(AF_INET, SOCK_STREAM, 0));
	REFUSED(socket(AF_INET6, SOCK_DGRAM, 0));
	REFUSED(socket(AF_UNIX, SOCK_STREAM, 0));
	REFUSED(socket(AF_PACKET, SOCK_RAW, 0));
	REFUSED(connect(before, (struct sockaddr *)&to, sizeof(to)));
	REFUSED(connect(sv[0], (struct sockaddr *)&a, sizeof(a)));
	REFUSED(setuid(0));
	REFUSED(chmod("/tmp/nothing", 0777));
	REFUSED(chdir("/tmp"));
	REFUSED(setns(0, 0));
	REFUSED(syscall(SYS_io_uring_setup, 4, NULL));
	REFUSED(syscall(SYS_io_uring_register, before, 0, NULL, 0));
#ifndef __SANITIZE_ADDRESS__ /* it has to */
	REFUSED(fork());
	REFUSED(kill(getppid(), 0));
#endif
	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p == MAP_FAILED);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	REFUSED(mprotect(p, 4096, PROT_READ | PROT_EXEC));
	/* threads that start later are in it, too */
	CHECK_EQ(pthread_create(&thread, NULL, in_a_thread, NULL), 0);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK((intptr_t)result < 0 || !sandbox_state()->landlock);
	/* for hosts on directly connected networks */
	CHECK_EQ(getifaddrs(&list), 0);
	freeifaddrs(list);
}

static void test_other_system_calls_are_refused(void)
{
	in_a_child(calls);
}

/* Pages of root's file that are not in memory; where all are, the file system keeps them there. */
static void *absent(int *fd)
{
	static char data[1 << 20];
	char name[] = "build/sandbox_test.XXXXXX";
	void *p = MAP_FAILED;
	*fd = mkstemp(name);
	if (*fd >= 0 && unlink(name) == 0 && write(*fd, data, sizeof(data)) == sizeof(data) &&
	    fdatasync(*fd) == 0 && posix_fadvise(*fd, 0, 0, POSIX_FADV_DONTNEED) == 0)
		p = mmap(NULL, sizeof(data), PROT_READ, MAP_SHARED, *fd, 0);
	return p;
}

static bool resident(void *p)
{
	unsigned char vec[256];
	unsigned n = 0;
	CHECK_EQ(mincore(p, sizeof(vec) * 4096, vec), 0);
	for (unsigned i = 0; i < sizeof(vec); i++)
		n += vec[i] & 1;
	return n == sizeof(vec);
}

static void ask(void)
{
	int fd;
	void *p = absent(&fd);
	bool before;
	if (!CHECK(p != MAP_FAILED))
		return;
	before = resident(p);
	CHECK_EQ(enter(NULL), 0);
	if (sandbox_state()->asks)
		CHECK_EQ(resident(p), before);
	else
		puts("# mincore() tells nothing here");
	REFUSED(fchmod(fd, 0777));
	REFUSED(fchown(fd, 1, 1));
}

static void test_what_is_in_memory_is_told(void)
{
	in_a_child(ask);
}

static void abort_now(void)
{
	CHECK_EQ(enter(NULL), 0);
	abort();
}

/* A fault that the program finds itself still ends it. */
static void test_abort_ends_the_process(void)
{
	int status = 0;
	pid_t pid;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		abort_now();
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status));
}

static void test_users(void)
{
	struct sandbox_user u;
	CHECK_EQ(sandbox_find_user(&u, "nosuchuser"), -ENOENT);
	CHECK_EQ(sandbox_find_user(&u, NULL), 0);
	CHECK_EQ(u.drop, geteuid() == 0);
	CHECK(u.uid != 0);
	if (geteuid() == 0) {
		CHECK_EQ(sandbox_find_user(&u, "root"), 0);
		CHECK(!u.drop);
	} else {
		CHECK_EQ(sandbox_find_user(&u, "root"), -EPERM);
	}
}

/* ---- whose the directory is: only root can give it away ---- */

static uid_t owner_of(const char *name)
{
	struct stat st;
	return lstat(in_top(name), &st) < 0 ? (uid_t)-1 : st.st_uid;
}

static void enter_it(void)
{
	CHECK_EQ(enter(dir), 0);
	CHECK(open("state,0", O_RDWR | O_CLOEXEC) >= 0);
}

static void refuse_it(void)
{
	CHECK_EQ(log_set_destination("syslog"), 0); /* the messages are not what is tested */
	CHECK_EQ(enter(dir), -EPERM);
}

static void test_a_directory_of_root_is_given_away(void)
{
	struct sandbox_user u;
	if (geteuid() != 0)
		return;
	CHECK_EQ(sandbox_find_user(&u, NULL), 0);
	close(make(in_top("outside")));
	close(make(in_top("dir/state,0")));
	CHECK_EQ(link(in_top("outside"), in_top("dir/state,1")), 0);
	CHECK_EQ(symlink(in_top("outside"), in_top("dir/state,2")), 0);
	in_a_child(enter_it);
	CHECK_EQ(owner_of("dir"), u.uid);
	CHECK_EQ(owner_of("dir/state,0"), u.uid);
	/* but nothing by a second name */
	CHECK_EQ(owner_of("outside"), 0);
	/* What root has made there since, too; other files never. */
	close(make(in_top("dir/state,3")));
	close(make(in_top("dir/notes")));
	in_a_child(enter_it);
	CHECK_EQ(owner_of("dir/state,3"), u.uid);
	CHECK_EQ(owner_of("dir/notes"), 0);
	/* Nor the directory, if there are others in it. */
	CHECK_EQ(chown(dir, 0, 0), 0);
	in_a_child(refuse_it);
	CHECK_EQ(owner_of("dir"), 0);
	CHECK_EQ(unlink(in_top("dir/notes")), 0);
	/* Nor if it is somebody else's. */
	CHECK_EQ(chown(dir, u.uid + 1, 0), 0);
	in_a_child(refuse_it);
	CHECK_EQ(owner_of("dir"), u.uid + 1);
	/* One that all may write in stays as it is. */
	CHECK_EQ(chown(dir, 0, 0), 0);
	CHECK_EQ(chmod(dir, 01777), 0);
	in_a_child(enter_it);
	CHECK_EQ(owner_of("dir"), 0);
	for (unsigned i = 0; i < 4; i++) {
		char name[16];
		snprintf(name, sizeof(name), "dir/state,%u", i);
		CHECK_EQ(unlink(in_top(name)), 0);
	}
	unlink(in_top("outside"));
}

static void refuse_missing(void)
{
	CHECK_EQ(log_set_destination("syslog"), 0);
	CHECK_EQ(enter("/nonexistent/state"), -ENOENT);
}

static void test_a_directory_has_to_be_there(void)
{
	in_a_child(refuse_missing);
}

int main(void)
{
	mkdir("build", 0777);
	if (!mkdtemp(top)) {
		puts("not ok core/sandbox: no directory");
		return 1;
	}
	snprintf(dir, sizeof(dir), "%s/dir", top);
	mkdir(dir, 0700);
	CHECK_RUN(test_only_one_directory_is_left);
	CHECK_RUN(test_other_system_calls_are_refused);
	CHECK_RUN(test_what_is_in_memory_is_told);
	CHECK_RUN(test_abort_ends_the_process);
	CHECK_RUN(test_users);
	CHECK_RUN(test_a_directory_of_root_is_given_away);
	CHECK_RUN(test_a_directory_has_to_be_there);
	rmdir(dir);
	rmdir(top);
	return CHECK_DONE();
}
