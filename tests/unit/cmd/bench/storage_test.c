/* SPDX-License-Identifier: BSD-2-Clause */
/* `vstor bench storage` and `bench disk --raw iscsi://` with a `vstor target` beside them. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/bench/bench.h"
#include "cmd/bench/run_file.h"
#include "cmd/cmd.h"
#include "core/log.h"
#include "core/opts.h"
#include "net/iscsi/remote_lun.h"
#include "tests/unit/check.h"

#define SIZE (4 << 20)
#define IQN  "iqn.2026-11.local.vstor:bench"

static char dir[] = "/tmp/vstor-storage-XXXXXX";
static char disk[64], local[64], url[128], out[64], said[1 << 14], given[1 << 14];
static pid_t target;

static unsigned free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&a, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		abort();
	close(fd);
	return ntohs(a.sin_port);
}

static void target_start(void)
{
	char listen[32], fd[16], control[64], c;
	unsigned port = free_port();
	int p[2];

	snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	snprintf(url, sizeof(url), "iscsi://%s/" IQN "/0", listen);
	snprintf(control, sizeof(control), "%s/control", dir);
	if (pipe(p) < 0)
		abort();
	fflush(NULL);
	target = fork();
	if (target == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(fd, sizeof(fd), "%d", p[1]);
		close(p[0]);
		execl("/proc/self/exe", "vstor", "target", "--lun", disk, "--name", IQN, "--listen",
		      listen, "--control", control, "--ready-fd", fd, NULL);
		_exit(127);
	}
	close(p[1]);
	CHECK_EQ(read(p[0], &c, 1), 1);
	close(p[0]);
}

static void target_stop(void)
{
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
}

/* Runs one of vstor bench's; stdout goes to `given`, stderr to `said`. kill_target: once it has a
 * session of its own (its first sample). */
static int run(int (*fn)(int argc, char **argv), const char *words, bool kill_target)
{
	static char copy[1024];
	char *args[40], path[96], c;
	int argc = 0, status, fd, p[2];
	ssize_t n;
	pid_t pid;

	snprintf(copy, sizeof(copy), "%s", words);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		args[argc++] = w;
	args[argc] = NULL;
	snprintf(path, sizeof(path), "%s/said", dir);
	if (pipe(p) < 0)
		abort();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (!freopen(path, "w", stderr))
			_exit(126);
		dup2(p[1], STDOUT_FILENO);
		close(p[0]);
		close(p[1]);
		log_init("vstor bench");
		exit(fn(argc, args));
	}
	close(p[1]);
	if (kill_target && read(p[0], &c, 1) == 1)
		target_stop();
	for (n = 0; read(p[0], &c, 1) == 1;)
		if (n < (ssize_t)sizeof(given) - 1)
			given[n++] = c;
	given[n] = '\0';
	close(p[0]);
	waitpid(pid, &status, 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, said, sizeof(said) - 1);
	said[n < 0 ? 0 : n] = '\0';
	close(fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int disk_load(int argc, char **argv)
{
	return bench_load(&load_disk, argc, argv);
}

static void make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, SIZE) < 0)
		abort();
	close(fd);
}

static void test_what_is_written_is_read(void)
{
	static uint8_t data[1 << 20], back[1 << 20];
	char error[REMOTE_LUN_ERROR];
	struct remote_lun l;
	int fd;

	target_start();
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	if (!CHECK_EQ(remote_lun_open(&l, url, error), 0)) {
		printf("# %s\n", error);
		return;
	}
	CHECK_EQ(l.block * l.blocks, SIZE);
	CHECK_EQ(remote_lun_write(&l, data, sizeof(data), 1 << 20), sizeof(data));
	CHECK_EQ(remote_lun_flush(&l), 0);
	CHECK_EQ(remote_lun_read(&l, back, sizeof(back), 1 << 20), sizeof(back));
	CHECK_MEM(back, data, sizeof(data));
	fd = open(disk, O_RDONLY | O_CLOEXEC);
	CHECK_EQ(pread(fd, back, sizeof(back), 1 << 20), sizeof(back));
	CHECK_MEM(back, data, sizeof(data));
	close(fd);
	CHECK_EQ(remote_lun_read(&l, back, sizeof(back), SIZE), -EIO); /* beyond its end */
	remote_lun_close(&l);
	target_stop();
}

/* The file's own bytes. */
static bool gave_the_file(const char *path)
{
	static char kept[sizeof(given)];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, kept, sizeof(kept) - 1);

	close(fd);
	kept[n < 0 ? 0 : n] = '\0';
	return n > 0 && kept[0] == '{' && strcmp(given, kept) == 0 &&
	       strchr(kept, '\n') == kept + n - 1;
}

static void test_raw_load_over_iscsi(void)
{
	char words[256];

	target_start();
	snprintf(words, sizeof(words),
		 "disk --raw %s --depth 3 --random --write 50 --overwrite --fsync 2 --duration 0.2",
		 url);
	CHECK_EQ(run(disk_load, words, false), 0);
	snprintf(words, sizeof(words), "disk --raw %s --write 50", url);
	CHECK_EQ(run(disk_load, words, false), 1);
	CHECK(strstr(said, "--overwrite"));
	snprintf(words, sizeof(words), "disk --raw %s --block-size 8", url);
	CHECK_EQ(run(disk_load, words, false), 1);
	CHECK(strstr(said, "multiple of 512"));
	snprintf(words, sizeof(words), "disk --raw %s7 --duration 0.1", url);
	CHECK_EQ(run(disk_load, words, false), 1);
	CHECK(strstr(said, "not ready"));
	/* A target that is killed ends the load with an error, not with a hang. */
	snprintf(words, sizeof(words), "disk --raw %s --duration 0 --sample 0.05", url);
	CHECK_EQ(run(disk_load, words, true), 1);
	CHECK(strstr(said, "ended early") && strstr(said, url));
}

static void test_local_against_remote(void)
{
	char words[512];
	struct run r;
	yajl_val rows;

	target_start();
	snprintf(words, sizeof(words),
		 "storage --local %s --remote %s --runs 2 --duration 0.1 --warmup 0 --overwrite "
		 "--label own --output %s",
		 local, url, out);
	CHECK_EQ(run(bench_storage, words, false), 0);
	CHECK(strstr(said,
		     "step 1 of 12, turn 1 of 2: local disk and network; about 2 s left\n"
		     "step 2 of 12, turn 1 of 2: local disk and CPU; about 2 s left\n") == said);
	CHECK(strstr(said, "step 12 of 12, turn 2 of 2: remote disk and memory; about 1 s left\n"));
	if (!CHECK_EQ(run_read(&r, out), 0))
		return;
	rows = run_get(r.tree, "rows");
	CHECK_EQ(YAJL_GET_ARRAY(rows)->len, 6);
	for (size_t i = 0; i < YAJL_GET_ARRAY(rows)->len; i++) {
		yajl_val row = YAJL_GET_ARRAY(rows)->values[i];

		CHECK_EQ((int)run_number(row, "runs"), 2);
		CHECK(run_number(row, "local") >= 0 && run_number(row, "remote") >= 0);
		CHECK(run_text(row, "study"));
	}
	CHECK_STR(run_text(run_get(r.tree, "environment"), "pinged"), "127.0.0.1");
	CHECK_STR(r.title, "storage, own");
	CHECK(strstr(given, "disk, latency") && given[0] != '{');
	run_free(&r);
	unlink(out);

	/* Without a place to ping, and on files: the network is missing, nothing else. */
	snprintf(words, sizeof(words),
		 "storage -q --json --local %s --remote %s --runs 1 --duration 0.1 --warmup 0 "
		 "--output %s",
		 dir, dir, out);
	CHECK_EQ(run(bench_storage, words, false), 0);
	CHECK_STR(said, "");
	CHECK(gave_the_file(out));
	CHECK_EQ(run_read(&r, out), 0);
	rows = run_get(r.tree, "rows");
	CHECK(run_number(YAJL_GET_ARRAY(rows)->values[0], "local") > 0);
	CHECK(!(run_number(YAJL_GET_ARRAY(rows)->values[2], "local") >= 0));
	run_free(&r);
	unlink(out);
	target_stop();

	/* The side that fails is named. */
	snprintf(words, sizeof(words),
		 "storage --local %s --remote %s --runs 1 --duration 0.1 --warmup 0 --output %s",
		 local, url, out);
	CHECK_EQ(run(bench_storage, words, false), 1);
	CHECK(strstr(said, url) && strstr(said, "refused"));
	unlink(out);
	CHECK_EQ(run(bench_storage, "storage --local /nonexistent --remote /tmp", false), 1);
	CHECK(strstr(said, "/nonexistent"));
	CHECK_EQ(run(bench_storage, "storage --local /tmp", false), 2);
}

int main(int argc, char **argv)
{
	opts_version = "vstor test";
	if (argc > 1 && strcmp(argv[0], "vstor") == 0) {
		log_init("vstor bench");
		signal(SIGPIPE, SIG_IGN);
		return strcmp(argv[1], "target") == 0 ? cmd_target(argc - 1, argv + 1)
						      : cmd_bench(argc - 1, argv + 1);
	}
	if (!mkdtemp(dir))
		abort();
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	snprintf(local, sizeof(local), "%s/local", dir);
	snprintf(out, sizeof(out), "%s/run.json", dir);
	make(disk);
	make(local);
	CHECK_RUN(test_what_is_written_is_read);
	CHECK_RUN(test_raw_load_over_iscsi);
	CHECK_RUN(test_local_against_remote);
	return check_remove(dir) || CHECK_DONE();
}
