/* SPDX-License-Identifier: BSD-2-Clause */
/* `vstor bench` as a program would use it: words in, exit status, one JSON object out. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "core/log.h"
#include "tests/unit/check.h"

static char out[1 << 20], err[1 << 20]; /* what was said on stdout, stderr */
static char dir[] = "/tmp/vstor-bench-XXXXXX";

static int temporary(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		abort();
	return fd;
}

static void take(int fd, char *to)
{
	ssize_t n = pread(fd, to, sizeof(out) - 1, 0);

	to[n < 0 ? 0 : n] = '\0';
	close(fd);
}

/* Runs `bench LINE` in a child; when signo is not 0, sends it once the first line has come. _ in a
 * word stands for a space. Returns its exit status. */
static int bench(const char *line, int signo)
{
	static char copy[1024];
	char *args[32], c;
	int argc = 0, status, said = temporary(), complained = temporary(), lines[2];
	pid_t pid;

	snprintf(copy, sizeof(copy), "bench %s", line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		args[argc++] = w;
	args[argc] = NULL;
	for (int i = 0; i < argc; i++)
		for (char *p = args[i]; (p = strchr(p, '_'));)
			*p = ' ';
	if (pipe2(lines, O_CLOEXEC) < 0)
		abort();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(said, STDOUT_FILENO);
		dup2(signo ? lines[1] : complained, STDERR_FILENO);
		log_init("vstor bench");
		exit(cmd_bench(argc, args));
	}
	close(lines[1]);
	if (signo && read(lines[0], &c, 1) == 1) {
		kill(pid, signo);
		while (read(lines[0], &c, 1) == 1)
			;
	}
	close(lines[0]);
	waitpid(pid, &status, 0);
	take(said, out);
	take(complained, err);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static unsigned lines(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

/* One line with one object that closes all it opens, and has this in it. */
static bool is_object_with(const char *what)
{
	int depth = 0;

	for (const char *c = out; *c; c++)
		depth += (*c == '{' || *c == '[') - (*c == '}' || *c == ']');
	return lines(out) == 1 && out[0] == '{' && depth == 0 && strstr(out, what);
}

static void test_lists_its_loads(void)
{
	CHECK_EQ(bench("", 0), 2);
	CHECK(strstr(err, "memory") && !*out);
	CHECK_EQ(bench("--help", 0), 0);
	CHECK(strstr(out, "ping") && !*err);
	CHECK_EQ(bench("nothing", 0), 2);
	CHECK_EQ(lines(err), 1);
}

static void test_cpu(void)
{
	CHECK_EQ(bench("cpu --duration 0.2 --prime 500", 0), 0);
	CHECK(strstr(out, "ops/s") && strstr(out, "p99"));
	CHECK_EQ(bench("cpu --duration 0.2 --prime 500 --threads 3 --json", 0), 0);
	CHECK(is_object_with("\"threads\":3"));
	CHECK(is_object_with("\"interrupted\":false"));
}

static void test_memory(void)
{
	CHECK_EQ(bench("memory --duration 0.2 --size 1M --threads 2 --json", 0), 0);
	CHECK(is_object_with("\"mb_per_s\":"));
	CHECK_EQ(bench("memory --duration 0.2 --size 1M --rate 1M --threads 1 --json", 0), 0);
	CHECK(is_object_with("\"rate\":1048576"));
}

static void test_disk_in_a_directory_leaves_nothing(void)
{
	char words[256];

	snprintf(words, sizeof(words),
		 "disk --raw %s --size 1M --write 50 --random --fsync 10 --depth 2 --duration 0.2 "
		 "--json",
		 dir);
	CHECK_EQ(bench(words, 0), 0);
	CHECK(is_object_with("\"write_percent\":50"));
	CHECK_EQ(rmdir(dir), 0);
	CHECK_EQ(mkdir(dir, 0700), 0);
}

/* A file: read freely, written only when that was allowed. */
static void test_disk_file_is_not_destroyed_by_accident(void)
{
	static char before[65536], after[65536];
	char path[128], words[256];
	int fd;

	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	memset(before, 'x', sizeof(before));
	CHECK_EQ(write(fd, before, sizeof(before)), sizeof(before));

	snprintf(words, sizeof(words), "disk --raw %s --duration 0.1 --json", path);
	CHECK_EQ(bench(words, 0), 0);
	CHECK(is_object_with("\"size\":65536"));
	snprintf(words, sizeof(words), "disk --raw %s --write 100 --duration 0.1", path);
	CHECK_EQ(bench(words, 0), 1);
	CHECK_EQ(lines(err), 1);
	CHECK_EQ(pread(fd, after, sizeof(after), 0), sizeof(after));
	CHECK_MEM(before, after, sizeof(after));
	snprintf(words, sizeof(words),
		 "disk --raw %s --size 32k --write 100 --overwrite --duration 0.1", path);
	CHECK_EQ(bench(words, 0), 0);
	CHECK_EQ(pread(fd, after, sizeof(after), 0), sizeof(after));
	CHECK(memcmp(before, after, 32768) != 0);
	CHECK_MEM(before + 32768, after + 32768, 32768); /* not beyond --size */
	close(fd);
	unlink(path);
}

static void test_disk_of_clients_leaves_nothing(void)
{
	char words[256], path[128];
	FILE *f;

	snprintf(words, sizeof(words), "disk %s --duration 0.3 --warmup 0.1 --sample 0.1 --json",
		 dir);
	CHECK_EQ(bench(words, 0), 0);
	CHECK(is_object_with("\"clients\":2"));
	CHECK(is_object_with("\"otherwise\":0"));
	CHECK(is_object_with("\"warmup\":true"));
	CHECK_EQ(rmdir(dir), 0);
	CHECK_EQ(mkdir(dir, 0700), 0);

	/* What goes otherwise than recorded is told, with its line. */
	snprintf(path, sizeof(path), "%s/loadfile", dir);
	f = fopen(path, "we");
	fputs("NTCreateX \"\\clients\\client1\\A\" 0x1 0x2 7 NT_STATUS_OK\n"
	      "NTCreateX \"\\clients\\client1\\A\\B\" 0x40 0x2 8 NT_STATUS_OK\n"
	      "WriteX 8 0 512 512 NT_STATUS_OK\n"
	      "Close 8 NT_STATUS_OK\n"
	      "Close 7 NT_STATUS_OK\n"
	      "Unlink \"\\clients\\client1\\a\\none\" 0x6 NT_STATUS_OK\n",
	      f);
	fclose(f);
	snprintf(words, sizeof(words), "disk %s --duration 0.1 --clients 1 --loadfile %s", dir,
		 path);
	CHECK_EQ(bench(words, 0), 0);
	CHECK(strstr(out, "the first in line 6: No such file"));
	unlink(path);
	CHECK_EQ(rmdir(dir), 0);
	CHECK_EQ(mkdir(dir, 0700), 0);
}

/* Where it is started, when no directory is named. */
static void test_disk_has_a_place(void)
{
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK_EQ(chdir(dir), 0);
	CHECK_EQ(bench("disk --duration 0.1 --json", 0), 0);
	CHECK(is_object_with("\"path\":\".\""));
	CHECK_EQ(fchdir(here), 0);
	close(here);
	CHECK_EQ(rmdir(dir), 0);
	CHECK_EQ(mkdir(dir, 0700), 0);
}

/* On a file system of 256 KiB, in a namespace of its own: 77 when that cannot be had. */
static int fill_a_small_disk(void)
{
	char words[256];

	if (unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("small", dir, "tmpfs", 0, "size=256k") < 0)
		return 77;
	snprintf(words, sizeof(words), "disk %s --duration 30", dir);
	if (bench(words, 0) != 1)
		return 1;
	return strstr(err, dir) && strstr(err, "No space left") ? 0 : 2;
}

static void test_a_full_disk_is_named(void)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(fill_a_small_disk());
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		printf("# no small file system to be had here: a full disk is not tried\n");
	else
		CHECK_EQ(status, 0);
}

/* Runs in an /etc of its own, which is empty but for a key that others may read. */
static int look_for_a_key(void)
{
	static const char *const wanting[] = {"agent",
					      "migrate --test 4 --guest 127.0.0.1 guest1 hostb"};
	int fd;

	if (unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("etc", "/etc", "tmpfs", 0, NULL) < 0)
		return 77;
	for (int i = 0; i < 2; i++)
		if (bench(wanting[i], 0) != 2 || lines(err) != 1 ||
		    !strstr(err, "no /etc/vstor.key"))
			return 1;
	fd = open("/etc/vstor.key", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "a secret of 16 bytes and more\n", 30) != 30 || fchmod(fd, 0644))
		return 2;
	close(fd);
	/* It is taken, and looked at as closely as any. */
	for (int i = 0; i < 2; i++)
		if (bench(wanting[i], 0) != 1 || !strstr(err, "/etc/vstor.key: others") ||
		    !strstr(err, "chmod 600"))
			return 3;
	return 0;
}

static void test_the_key_has_a_place(void)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(look_for_a_key());
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		printf("# no /etc of its own to be had here: the key's place is not tried\n");
	else
		CHECK_EQ(status, 0);
}

static void test_csv(void)
{
	CHECK_EQ(bench("cpu --duration 0.25 --sample 0.1 --prime 500 --csv", 0), 0);
	CHECK(strncmp(out, "from_s,to_s,warmup,", 19) == 0);
	CHECK(lines(out) >= 3);
	CHECK(strstr(err, "cpu: ")); /* the summary */
	CHECK_EQ(bench("exec echo_7_MB --pattern ([0-9]+)_MB --csv", 0), 0);
	CHECK(strstr(out, ",0,0,,,7,,,,,\n"));
}

static void test_memory_ways(void)
{
	CHECK_EQ(bench("memory --duration 0.1 --size 1M --read --random --block-size 64 --json", 0),
		 0);
	CHECK(is_object_with("\"read\":true,\"random\":true,\"tlb\":false"));
	CHECK_EQ(bench("memory --duration 0.1 --size 1M --tlb --json", 0), 0);
	CHECK(is_object_with("\"tlb\":true"));
	CHECK_EQ(bench("memory --duration 0.1 --size 1M --rate 1000000G --threads 1", 0), 0);
	CHECK(strstr(out, "slower than --rate"));
}

/* Another program's figures: those of the pattern, with its unit. */
static void test_exec(void)
{
	CHECK_EQ(bench("exec echo_[_1s_]_thds:_2_eps:_123.5_lat_\\(ms,95%\\):_4.25 --pattern "
		       "sysbench --json",
		       0),
		 0);
	CHECK(is_object_with("\"value\":123.5,\"mean_ms\":4.25"));
	CHECK(is_object_with("\"unit\":\"events/s\""));
	CHECK_EQ(bench("exec echo_[r=1.5k_IOPS] --pattern fio --json", 0), 0);
	CHECK(is_object_with("\"value\":1500"));
	/* A program that goes on, and its children, are ended. */
	CHECK_EQ(bench("exec while_:;do_echo_x;sleep_0.01;done --sample 0.05 --duration 0.3 --json",
		       0),
		 0);
	CHECK(is_object_with("\"unit\":\"lines/s\""));
	/* One that fails is named, with its last words. */
	CHECK_EQ(bench("exec echo_no_disk;exit_3", 0), 1);
	CHECK(strstr(err, "status 3") && strstr(err, "no disk"));
	CHECK_EQ(bench("exec exit_3 --json", 0), 1);
	CHECK(is_object_with("\"error\":\"ended with status 3; its last line: (none)\""));
}

/* A program that ends between two samples loses nothing, and a part of a second is not shown as
 * a whole one. */
static void test_exec_ends_within_a_sample(void)
{
	const char *text;

	CHECK_EQ(bench("exec echo_hi", 0), 0);
	CHECK_EQ(lines(out), 1);
	CHECK(strncmp(out, "exec: 1 line in 0.", 18) == 0 && !strstr(out, "lines/s"));
	CHECK_EQ(bench("exec echo_hi --json", 0), 0);
	CHECK(is_object_with("\"lines\":1,\"samples\":[{\"from\":0,\"to\":0."));
	CHECK(!*err); /* no line of figures a second */
	text = strstr(out, "\"seconds\":");
	CHECK(text && strtod(text + 10, NULL) > 0);
	/* By its real length, which is half a second or more: six lines are less than twelve a
	 * second, and more than one. */
	CHECK_EQ(bench("exec seq_6;sleep_0.6 --json", 0), 0);
	text = strstr(out, "\"value\":");
	CHECK(text && strtod(text + 8, NULL) > 1 && strtod(text + 8, NULL) < 10.1);
	CHECK_EQ(lines(err), 1);
	CHECK_EQ(bench("exec echo_7_MB;echo_9_MB --pattern ([0-9]+)_MB --unit MB", 0), 0);
	CHECK_EQ(lines(out), 3);
	CHECK(strstr(out, "exec: 2 figures in ") && strstr(out, "mean 8, least 7, most 9 MB\n"));
	CHECK_EQ(bench("exec echo_hi --csv", 0), 0);
	CHECK(lines(out) == 2 && strstr(err, "exec: 1 line"));
}

static void test_ping_samples(void)
{
	CHECK_EQ(bench("ping 127.0.0.1 --count 5 --interval 0.02 --sample 0.01 --json", 0), 0);
	CHECK(is_object_with("\"jitter_ms\":"));
	CHECK(is_object_with("\"sample_s\":0.01"));
}

static void test_bad_words_and_places(void)
{
	static const struct {
		const char *words;
		int status;
	} wrong[] = {
		{"disk /tmp /tmp", 2},
		{"disk /nonexistent", 1},
		{"disk /proc", 1},
		{"disk /tmp --clients 0", 2},
		{"disk /tmp --loadfile /nonexistent", 1},
		{"disk --raw", 2},
		{"disk --raw /nonexistent", 1},
		{"disk --raw /dev/null", 1},
		{"disk --raw /proc/version", 1},
		{"disk --raw /tmp --write 101", 2},
		{"cpu --sample 0", 2},
		{"memory --tlb --random", 2},
		{"exec", 2},
		{"exec true --pattern [", 2},
		{"exec true --pattern nogroup", 2},
		{"exec true --pattern dbench", 1},
		{"exec false", 1},
		{"cpu --threads 0", 2},
		{"cpu operand", 2},
		{"memory --block-size 33", 2},
		{"memory --size 4k --block-size 8k", 2},
		{"memory --size 1000000T", 1},
		{"ping", 2},
		{"ping 127.0.0.1 --interval 0", 2},
		{"ping 300.300.300.300", 1},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (!CHECK_EQ(bench(wrong[i].words, 0), wrong[i].status) ||
		    !CHECK_EQ(lines(err), 1) || !CHECK_STR(out, ""))
			printf("# %s: %s", wrong[i].words, err);
	}
}

/* With --json the lines go to stderr, so the object is all there is on stdout. */
static void test_signal_ends_it_with_its_summary(void)
{
	static const int signals[] = {SIGINT, SIGTERM};

	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(bench("cpu --duration 0 --prime 500 --json", signals[i]), 0);
		CHECK(is_object_with("\"interrupted\":true"));
		CHECK(is_object_with("\"samples\":[{"));
	}
}

int main(void)
{
	if (!mkdtemp(dir))
		abort();
	CHECK_RUN(test_lists_its_loads);
	CHECK_RUN(test_cpu);
	CHECK_RUN(test_memory);
	CHECK_RUN(test_memory_ways);
	CHECK_RUN(test_csv);
	CHECK_RUN(test_exec);
	CHECK_RUN(test_exec_ends_within_a_sample);
	CHECK_RUN(test_ping_samples);
	CHECK_RUN(test_disk_of_clients_leaves_nothing);
	CHECK_RUN(test_disk_has_a_place);
	CHECK_RUN(test_a_full_disk_is_named);
	CHECK_RUN(test_the_key_has_a_place);
	CHECK_RUN(test_disk_in_a_directory_leaves_nothing);
	CHECK_RUN(test_disk_file_is_not_destroyed_by_accident);
	CHECK_RUN(test_bad_words_and_places);
	CHECK_RUN(test_signal_ends_it_with_its_summary);
	rmdir(dir);
	return CHECK_DONE();
}
