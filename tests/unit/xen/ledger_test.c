/* SPDX-License-Identifier: BSD-2-Clause */
/* Journals: whatever fails, and whenever the power does, there is the old text or the new one. */
#include "xen/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "tests/unit/fake/files.h"

static char dir[] = "/tmp/vstor-ledger-XXXXXX";

static struct buf text(const char *s)
{
	struct buf b = {0};

	buf_put(&b, s, strlen(s));
	return b;
}

static int create(struct ledger *j, const char *name, const char *s)
{
	struct buf b = text(s);
	int rc = ledger_create(j, name, &b);

	buf_free(&b);
	return rc;
}

static int put(struct ledger *j, const char *s, bool sync)
{
	struct buf b = text(s);
	int rc = ledger_put(j, &b, sync);

	buf_free(&b);
	return rc;
}

/* What is in it; "" when it cannot be read, rc says why. */
static const char *words(const char *name, int *rc)
{
	static char out[64];
	struct ledger j;
	struct buf b = {0};

	*rc = ledger_open(&j, name, &b);
	snprintf(out, sizeof(out), "%.*s", (int)b.len, b.len ? (const char *)b.data : "");
	ledger_close(&j);
	buf_free(&b);
	return out;
}

static void test_texts(void)
{
	struct ledger j;
	int rc;

	CHECK_EQ(create(&j, "a", "one"), 0);
	CHECK_STR(words("a", &rc), "one");
	CHECK_EQ(rc, -EBUSY); /* its process lives: us */
	CHECK_EQ(put(&j, "two", true), 0);
	CHECK_STR(words("a", &rc), "two");
	CHECK_EQ(put(&j, "three", false), 0);
	CHECK_EQ(put(&j, "", true), 0);
	CHECK_STR(words("a", &rc), "");
	CHECK_EQ(put(&j, "four", true), 0);
	ledger_close(&j);
	ledger_close(&j);
	CHECK_EQ(put(&j, "five", true), -EBADF);
	CHECK_STR(words("a", &rc), "four");
	CHECK_EQ(rc, 0);
	CHECK_EQ(create(&j, "a", "again"), -EEXIST);
	CHECK_STR(words("a", &rc), "four");
	CHECK_EQ(ledger_remove("a"), 0);
	CHECK_EQ(ledger_remove("a"), 0);
	words("a", &rc);
	CHECK_EQ(rc, -ENOENT);
}

static void test_names(void)
{
	struct ledger j;
	int rc;

	CHECK_EQ(create(&j, "../x", "one"), -EINVAL);
	CHECK_EQ(create(&j, ".x", "one"), -EINVAL);
	CHECK_EQ(create(&j, "", "one"), -EINVAL);
	words("../x", &rc);
	CHECK_EQ(rc, -EINVAL);
	CHECK_EQ(ledger_remove("../x"), -EINVAL);
}

static void test_size(void)
{
	struct ledger j;
	struct buf b = {0};

	for (int i = 0; i < LEDGER_TEXT_MAX; i++)
		buf_put_u8(&b, 'x');
	CHECK_EQ(ledger_create(&j, "b", &b), 0);
	buf_put_u8(&b, 'x');
	CHECK_EQ(ledger_put(&j, &b, true), -EMSGSIZE);
	ledger_close(&j);
	b.len = 0;
	CHECK_EQ(ledger_open(&j, "b", &b), 0);
	CHECK_EQ(b.len, LEDGER_TEXT_MAX);
	ledger_close(&j);
	buf_free(&b);
	CHECK_EQ(ledger_remove("b"), 0);
}

/* Overwrites some of the file of "c". */
static void spoil(off_t at, const char *with, size_t n)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/c", dir);
	fd = open(path, O_WRONLY);
	CHECK_EQ(pwrite(fd, with, n, at), (ssize_t)n);
	close(fd);
}

static void test_bad_files(void)
{
	struct ledger j;
	char path[128];
	int rc;

	snprintf(path, sizeof(path), "%s/c", dir);
	/* cut short, at any length */
	for (int n = 0; n < 2 * 8192; n += 4000) {
		CHECK_EQ(create(&j, "c", "one"), 0);
		CHECK_EQ(put(&j, "two", true), 0);
		ledger_close(&j);
		CHECK_EQ(truncate(path, n), 0);
		words("c", &rc);
		CHECK_EQ(rc, -EBADMSG);
		CHECK_EQ(ledger_remove("c"), 0);
	}
	/* the last one is damaged: then the one before it; both */
	CHECK_EQ(create(&j, "c", "one"), 0);
	CHECK_EQ(put(&j, "two", true), 0);
	ledger_close(&j);
	spoil(41, "?", 1);
	CHECK_STR(words("c", &rc), "one");
	spoil(8192 + 41, "?", 1);
	words("c", &rc);
	CHECK_EQ(rc, -EBADMSG);
	CHECK(strstr(ledger_cause(rc), "cut short") != NULL);
	CHECK_EQ(ledger_remove("c"), 0);
	/* of another version, whatever the other place says */
	CHECK_EQ(create(&j, "c", "one"), 0);
	CHECK_EQ(put(&j, "two", true), 0);
	ledger_close(&j);
	spoil(16, "\0\0\0\2", 4);
	words("c", &rc);
	CHECK_EQ(rc, -EPROTONOSUPPORT);
	CHECK(strstr(ledger_cause(rc), "another version") != NULL);
	CHECK_EQ(ledger_remove("c"), 0);
}

/* ---- the n-th call fails ---- */

/* A life in which calls fail: makes it, writes three texts, one of them not synced, and ends. How
 * many texts are sure to be on the disk, and how many may be. */
struct life {
	int sure, tried;
};

static struct life live(void)
{
	struct life l = {0};
	struct ledger j;

	l.tried = 1;
	if (create(&j, "d", "1"))
		return l;
	l.sure = 1;
	for (int i = 2; i <= 5; i++) {
		char s[2] = {(char)('0' + i), 0};
		bool sync = i != 3;

		l.tried = i;
		if (put(&j, s, sync) == 0 && sync)
			l.sure = i;
	}
	ledger_close(&j);
	return l;
}

/* One that was killed must leave it as it is: its files are closed, and nothing else is done. */
static unsigned run(enum fake_fault fault, unsigned n)
{
	struct life l;
	char word;
	int rc;

	fake_files_fail(n, fault);
	l = live();
	n = fake_files.failed ? n : 0;
	fake_files_fail(0, 0);
	word = words("d", &rc)[0];
	if (!l.sure) {
		CHECK(rc == -ENOENT || (rc == 0 && word == '1'));
	} else {
		CHECK_EQ(rc, 0);
		CHECK(word >= '0' + l.sure && word <= '0' + l.tried);
	}
	CHECK_EQ(ledger_remove("d"), 0);
	return n;
}

static void test_faults(void)
{
	for (int fault = 0; fault < FAKE_FAULTS; fault++) {
		unsigned n = 1;

		while (run((enum fake_fault)fault, n))
			n++;
		CHECK(n > 10); /* there were calls to fail */
	}
}

/* After a failure the next text counts, not what may have got there. */
static void test_goes_on(void)
{
	struct ledger j;
	int rc;

	for (int fault = 0; fault < FAKE_CUT; fault++) {
		CHECK_EQ(create(&j, "e", "one"), 0);
		fake_files_fail(2, (enum fake_fault)fault); /* the sync */
		(void)put(&j, "two", true);
		CHECK(fake_files.failed);
		fake_files_fail(0, 0);
		CHECK_EQ(put(&j, "three", true), 0);
		ledger_close(&j);
		CHECK_STR(words("e", &rc), "three");
		CHECK_EQ(ledger_remove("e"), 0);
	}
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	ledger_dir = dir;
	CHECK_RUN(test_texts);
	CHECK_RUN(test_names);
	CHECK_RUN(test_size);
	CHECK_RUN(test_bad_files);
	CHECK_RUN(test_faults);
	CHECK_RUN(test_goes_on);
	return check_remove(dir) != 0 || CHECK_DONE();
}
