/* SPDX-License-Identifier: BSD-2-Clause */
/* CHAP: responses, binary values as text, files with secrets. */
#include "net/iscsi/chap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/check.h"

static void test_response(void)
{
	/* echo -en '\x07secretsecretchallenge' | md5sum, sha1sum, sha256sum, openssl sha3-256 */
	static const struct {
		unsigned algorithm;
		const char *text;
	} cases[] = {
		{CHAP_MD5, "0x86c83b16dc3ccdec6e4c7abd9ec85125"},
		{CHAP_SHA1, "0xac9ef7104635243448e8a11b17b05fd267de8fdc"},
		{CHAP_SHA256, "0x414b7380d5220298574e5825b2d3b0c5918df966633e3cba6cf6a7047340485f"},
		{CHAP_SHA3_256,
		 "0x9d8275ce5a803290985cd2cc9d852530128a0591ddff55309018b84e7c1e249e"},
	};
	uint8_t out[CHAP_DIGEST_MAX];
	char text[CHAP_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		chap_response(cases[i].algorithm, 7, "secretsecret", (const uint8_t *)"challenge",
			      9, out);
		CHECK_STR(chap_encode(out, chap_digest_len(cases[i].algorithm), text),
			  cases[i].text);
	}
	CHECK_EQ(chap_digest_len(0), 0);
	CHECK_EQ(chap_digest_len(9), 0);
}

static void test_text(void)
{
	static const char *const bad[] = {
		"",    "0",	 "0x",	   "0xg1",   "12",   "0b",
		"0bA", "0bA===", "0bAA=A", "0bA*==", "0y00", "0x0102030405"};
	uint8_t out[4];

	CHECK_EQ(chap_decode("0x01fF", out, sizeof(out)), 2);
	CHECK_MEM(out, "\x01\xff", 2);
	CHECK_EQ(chap_decode("0X1ff", out, sizeof(out)), 2);
	CHECK_MEM(out, "\x01\xff", 2);
	CHECK_EQ(chap_decode("0bAf8=", out, sizeof(out)), 2);
	CHECK_MEM(out, "\x01\xff", 2);
	CHECK_EQ(chap_decode("0bAf+/", out, sizeof(out)), 3);
	CHECK_MEM(out, "\x01\xff\xbf", 3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!CHECK_EQ(chap_decode(bad[i], out, sizeof(out)), -EINVAL))
			printf("# '%s'\n", bad[i]);
}

/* Reads a file of that mode and content. */
static int read_file(const char *content, size_t len, mode_t mode, char out[CHAP_SECRET_MAX])
{
	char path[] = "/tmp/vstor-chap-XXXXXX";
	int fd = mkstemp(path), err;

	CHECK_EQ(write(fd, content, len), len);
	CHECK_EQ(fchmod(fd, mode), 0);
	close(fd);
	err = chap_read_secret(path, out);
	unlink(path);
	return err;
}

static void test_secret_files(void)
{
	char out[CHAP_SECRET_MAX], longest[300];

	memset(longest, 's', sizeof(longest));
	CHECK_EQ(read_file("secret\nmore\n", 12, 0600, out), 0);
	CHECK_STR(out, "secret");
	CHECK_EQ(read_file("no newline", 10, 0400, out), 0);
	CHECK_STR(out, "no newline");
	CHECK_EQ(read_file("dos\r\n", 5, 0600, out), 0);
	CHECK_STR(out, "dos");
	CHECK_EQ(read_file(longest, 255, 0600, out), 0);
	CHECK_EQ(strlen(out), 255);
	CHECK_EQ(read_file("secret", 6, 0640, out), -EPERM);
	CHECK_STR(out, "");
	CHECK_EQ(read_file("secret", 6, 0604, out), -EPERM);
	CHECK_EQ(read_file("", 0, 0600, out), -EMSGSIZE);
	CHECK_EQ(read_file("\nsecret", 7, 0600, out), -EMSGSIZE);
	CHECK_EQ(read_file(longest, 256, 0600, out), -EMSGSIZE);
	CHECK_EQ(chap_read_secret("/nonexistent", out), -ENOENT);
}

static void test_misfit(void)
{
	CHECK_STR(chap_misfit(NULL, NULL, NULL, NULL), NULL);
	CHECK_STR(chap_misfit("u", "/f", NULL, NULL), NULL);
	CHECK_STR(chap_misfit("u", "/f", "m", "/g"), NULL);
	CHECK_STR(chap_misfit("u", NULL, "m", NULL),
		  "--chap-user and --chap-secret-file go together");
	CHECK_STR(chap_misfit(NULL, "/f", NULL, NULL),
		  "--chap-user and --chap-secret-file go together");
	CHECK_STR(chap_misfit(NULL, NULL, "m", NULL),
		  "--mutual-user and --mutual-secret-file go together");
	CHECK_STR(chap_misfit("u", "/f", NULL, "/g"),
		  "--mutual-user and --mutual-secret-file go together");
	CHECK_STR(chap_misfit(NULL, NULL, "m", "/g"),
		  "--mutual-user: needs --chap-user as well (RFC 7143, 12.1.3)");
}

int main(void)
{
	CHECK_RUN(test_response);
	CHECK_RUN(test_text);
	CHECK_RUN(test_secret_files);
	CHECK_RUN(test_misfit);
	return CHECK_DONE();
}
