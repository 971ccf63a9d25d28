/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/target_opener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/target_config.h"
#include "cmd/target_open.h"
#include "core/bytes.h"
#include "core/log.h"
#include "tests/unit/check.h"

/* A directory with the files a, b, c, secret, and conf; an opener for a target that has them. */
static char dir[] = "/tmp/vstor-opener-XXXXXX", conf[64];
static struct opener *opener;
static struct target_config *config;

static const char *in_dir(const char *name)
{
	static char path[4][64];
	static unsigned i;
	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

__attribute__((format(printf, 1, 2))) static void configure(const char *fmt, ...)
{
	FILE *f = fopen(conf, "we");
	va_list ap;
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	fclose(f);
}

static void make(const char *name)
{
	FILE *f = fopen(in_dir(name), "we");
	fputs(name, f);
	fclose(f);
	chmod(in_dir(name), 0600);
}

static char *argv[8];

static void up(void)
{
	int argc = 0;
	argv[argc++] = "target";
	argv[argc++] = "--config";
	argv[argc++] = conf;
	CHECK_EQ(target_config_read(&config, argc, argv, NULL), 0);
	CHECK_EQ(target_opener_start(&opener, argc, argv, config, NULL), 0);
}

static void down(void)
{
	opener_end(opener);
	target_config_free(config);
}

static int ask(enum target_thing what, const char *name)
{
	int fd = target_open(opener, what, name);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void test_what_is_named_is_opened(void)
{
	int fd;
	configure("lun = %s\nlun = %s,ro\nlun = %s,size=64k\nchap-user = u\nchap-secret-file = "
		  "%s\n",
		  in_dir("a"), in_dir("b"), in_dir("new"), in_dir("secret"));
	up();
	CHECK_EQ(ask(TARGET_CONFIG, conf), 0);
	CHECK_EQ(ask(TARGET_SECRET, in_dir("secret")), 0);
	fd = target_open(opener, TARGET_LUN, in_dir("a"));
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	close(fd);
	fd = target_open(opener, TARGET_LUN_READONLY, in_dir("b"));
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
	CHECK_EQ(ask(TARGET_LUN, in_dir("new")), 0); /* made */
	CHECK_EQ(unlink(in_dir("new")), 0);
	down();
}

static void test_nothing_else_is(void)
{
	configure("lun = %s\nlun = %s,ro\n", in_dir("a"), in_dir("b"));
	up();
	CHECK_EQ(ask(TARGET_CONFIG, in_dir("secret")), -EACCES);
	CHECK_EQ(ask(TARGET_SECRET, in_dir("secret")), -EACCES);
	CHECK_EQ(ask(TARGET_SECRET, conf), -EACCES);
	CHECK_EQ(ask(TARGET_LUN, in_dir("c")), -EACCES);
	CHECK_EQ(ask(TARGET_LUN, in_dir("./a")), -EACCES);
	CHECK_EQ(ask(TARGET_LUN, "/etc/shadow"), -EACCES);
	CHECK_EQ(ask(TARGET_LUN, in_dir("b")), -EACCES); /* only to read */
	CHECK_EQ(ask(TARGET_LUN_READONLY, in_dir("a")), -EACCES);
	CHECK_EQ(ask(TARGET_PORTAL, "127.0.0.1:1"), -EACCES);
	CHECK_EQ(ask((enum target_thing)99, in_dir("a")), -EACCES);
	/* What the command line does not name is none even if the file does. */
	configure("lun = %s\nconfig = %s\n", in_dir("a"), in_dir("secret"));
	CHECK_EQ(ask(TARGET_CONFIG, conf), 0);
	CHECK_EQ(ask(TARGET_CONFIG, in_dir("secret")), -EACCES);
	down();
}

static void test_what_the_file_names_by_now(void)
{
	configure("lun = %s\n", in_dir("a"));
	up();
	configure("lun = %s\n", in_dir("b"));
	CHECK_EQ(ask(TARGET_LUN, in_dir("b")), -EACCES); /* not before it is read anew */
	CHECK_EQ(ask(TARGET_CONFIG, conf), 0);
	CHECK_EQ(ask(TARGET_LUN, in_dir("b")), 0);
	CHECK_EQ(ask(TARGET_LUN, in_dir("a")), 0); /* the way back */
	target_opener_taken(opener);
	CHECK_EQ(ask(TARGET_LUN, in_dir("b")), 0);
	CHECK_EQ(ask(TARGET_LUN, in_dir("a")), -EACCES);
	/* A file that cannot be read changes nothing. */
	configure("nonsense\n");
	CHECK_EQ(ask(TARGET_CONFIG, conf), 0);
	CHECK_EQ(ask(TARGET_LUN, in_dir("b")), 0);
	CHECK_EQ(ask(TARGET_LUN, in_dir("a")), -EACCES);
	target_opener_taken(opener);
	CHECK_EQ(ask(TARGET_LUN, in_dir("b")), 0);
	down();
}

static void test_portals(void)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);
	int fds[FDS_MAX], n, listens = 0;
	socklen_t size = sizeof(listens);
	char text[32];
	/* A port that is free: some other socket has just had it. */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_EQ(listen(fd, 1), 0);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	snprintf(text, sizeof(text), "127.0.0.1:%u", get_be16((uint8_t *)&a + 2));
	configure("lun = %s\nlisten = %s\n", in_dir("a"), text);
	up();
	n = opener_ask(opener, TARGET_PORTAL, text, fds);
	if (CHECK_EQ(n, 1)) {
		CHECK_EQ(getsockopt(fds[0], SOL_SOCKET, SO_ACCEPTCONN, &listens, &size), 0);
		CHECK(listens);
		close(fds[0]);
	}
	CHECK_EQ(opener_ask(opener, TARGET_PORTAL, "127.0.0.1:0", fds), -EACCES);
	CHECK_EQ(opener_ask(opener, TARGET_PORTAL, TARGET_ANYWHERE, fds), -EACCES);
	down();
}

int main(void)
{
	static const char *const names[] = {"a", "b", "c", "secret"};
	if (!mkdtemp(dir)) {
		puts("not ok cmd/target_opener: no directory");
		return 1;
	}
	snprintf(conf, sizeof(conf), "%s/conf", dir);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		make(names[i]);
	log_set_destination("syslog"); /* the messages are not what is tested */
	CHECK_RUN(test_what_is_named_is_opened);
	CHECK_RUN(test_nothing_else_is);
	CHECK_RUN(test_what_the_file_names_by_now);
	CHECK_RUN(test_portals);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		unlink(in_dir(names[i]));
	unlink(conf);
	rmdir(dir);
	return CHECK_DONE();
}
