/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/loadfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/check.h"

static struct loadfile l;

/* Reads this text as a loadfile; what is complained of goes nowhere. */
static int take(const char *text)
{
	char path[] = "/tmp/vstor-loadfile-XXXXXX";
	int fd = mkstemp(path), null = open("/dev/null", O_WRONLY | O_CLOEXEC), err, kept;

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
	fflush(stdout);
	kept = dup(STDERR_FILENO);
	dup2(null, STDERR_FILENO);
	loadfile_free(&l);
	err = loadfile_read(&l, path);
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(null);
	unlink(path);
	return err;
}

static void test_takes_dbench_lines(void)
{
	if (!CHECK_EQ(take("# a comment\n"
			   "Deltree \"\\clients\\client1\" NT_STATUS_OK\n"
			   "Mkdir \"\\clients\" NT_STATUS_OK\n"
			   "0.125 NTCreateX \"\\clients\\client1\\A\\B.TXT\" 0x40 0x2 77 "
			   "NT_STATUS_OK\n"
			   "NTCreateX \"\\clients\\client1\\x\" 0x40 0x1 78 "
			   "NT_STATUS_OBJECT_NAME_NOT_FOUND\r\n"
			   "NTCreateX \"\\clients\\client1\\a\" 0x1 0x2 79 NT_STATUS_OK\n"
			   "WriteX 77 65536 4096 4096 NT_STATUS_OK\n"
			   "Close 77 NT_STATUS_OK\n"
			   "NTCreateX \"\\clients\\client1\\a\\b.txt\" 0x40 0x5 80 NT_STATUS_OK\n"
			   "FIND_FIRST \"\\clients\\client1\\a\\*.txt\" 260 1366 0 NT_STATUS_OK\n"
			   "Rename \"\\clients\\client1\\a\\b.txt\" \"\\clients\\client1\\c\" "
			   "NT_STATUS_OK\n"),
		      0) ||
	    !CHECK_EQ(l.steps, 9))
		return;
	CHECK_EQ(l.step[0].op, STEP_DELTREE);
	CHECK_STR(l.name[l.step[0].a], ".");
	CHECK_EQ(l.step[1].op, STEP_OPEN);
	CHECK_STR(l.name[l.step[1].a], "a/b.txt");
	CHECK_EQ(l.step[1].how, O_RDWR | O_CREAT);
	CHECK_EQ(l.step[1].line, 4);
	CHECK(l.step[2].fails && !l.step[1].fails);
	CHECK_EQ(l.step[3].op, STEP_OPENDIR);
	CHECK_EQ(l.step[4].offset, 65536);
	CHECK_EQ(l.step[4].size, 4096);
	CHECK_EQ(l.step[4].slot, l.step[1].slot);
	CHECK_EQ(l.step[6].slot, l.step[1].slot); /* free again after the close */
	CHECK_EQ(l.step[6].how, O_RDWR | O_CREAT | O_TRUNC);
	CHECK_EQ(l.step[6].a, l.step[1].a); /* upper and lower case are one */
	CHECK_STR(l.name[l.step[7].a], "a");
	CHECK_STR(l.name[l.step[8].b], "c");
	CHECK_EQ(l.slots, 2);
}

static void test_refuses_what_is_none(void)
{
	static const char *const wrong[] = {
		"",
		"# nothing\n",
		"Frobnicate 1 NT_STATUS_OK\n",
		"Close 5 NT_STATUS_OK\n",
		"Close\n",
		"WriteX 1 NT_STATUS_OK\n",
		"Unlink \"\\etc\\passwd\" NT_STATUS_OK\n",
		"Unlink \"\\clients\\client1x\\a\" NT_STATUS_OK\n",
		"Unlink \"\\clients\\client1\\..\\..\\a\" NT_STATUS_OK\n",
		"NTCreateX \"\\clients\\client1\\a\" 0x40 two 7 NT_STATUS_OK\n",
		"NTCreateX \"\\clients\\client1\\a\" 0x40 0x2 7 NT_STATUS_OK\n"
		"WriteX 7 0 1048577 1048577 NT_STATUS_OK\n",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (!CHECK_EQ(take(wrong[i]), -EINVAL))
			printf("# %s\n", wrong[i]);
}

/* A client that starts anew finds what it found the first time: nothing. */
static void test_mix_leaves_no_file(void)
{
	static int there[4096];
	unsigned opened = 0, seen[STEP_UNLOCK + 1] = {0};
	size_t steps;

	CHECK_EQ(loadfile_mix(&l, 1), 0);
	steps = l.steps;
	for (size_t i = 0; i < l.steps; i++) {
		const struct step *s = &l.step[i];

		seen[s->op]++;
		if (s->op == STEP_OPEN) {
			CHECK_EQ(opened++, 0);
			CHECK(there[s->a] || s->how & O_CREAT);
			there[s->a] = 1;
		} else if (s->op == STEP_CLOSE) {
			opened--;
		} else if (s->op == STEP_READ || s->op == STEP_WRITE || s->op == STEP_FLUSH) {
			CHECK_EQ(opened, 1);
		} else if (s->op == STEP_RENAME) {
			CHECK(there[s->a] && !there[s->b]);
			there[s->a] = 0;
			there[s->b] = 1;
		} else if (s->op == STEP_UNLINK) {
			CHECK(there[s->a]);
			there[s->a] = 0;
		}
	}
	for (unsigned i = 0; i < l.names; i++)
		CHECK_EQ(there[i], 0);
	CHECK(seen[STEP_READ] && seen[STEP_WRITE] && seen[STEP_FLUSH] && seen[STEP_RENAME] &&
	      seen[STEP_UNLINK] && seen[STEP_LIST] && seen[STEP_STAT]);
	loadfile_free(&l);
	CHECK_EQ(loadfile_mix(&l, 1), 0);
	CHECK_EQ(l.steps, steps);
	loadfile_free(&l);
}

int main(void)
{
	CHECK_RUN(test_takes_dbench_lines);
	CHECK_RUN(test_refuses_what_is_none);
	loadfile_free(&l);
	CHECK_RUN(test_mix_leaves_no_file);
	return CHECK_DONE();
}
