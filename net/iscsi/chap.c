/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/chap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/digest.h"
#include "core/sha3.h"
#include "core/weak_digest.h"

size_t chap_digest_len(unsigned algorithm)
{
	switch (algorithm) {
	case CHAP_MD5: return MD5_LEN;
	case CHAP_SHA1: return SHA1_LEN;
	case CHAP_SHA256: return SHA256_LEN;
	case CHAP_SHA3_256: return SHA3_256_LEN;
	default: return 0;
	}
}

void chap_response(unsigned algorithm, uint8_t id, const char *secret, const uint8_t *challenge,
		   size_t len, uint8_t out[CHAP_DIGEST_MAX])
{
	uint8_t text[1 + CHAP_SECRET_MAX + CHAP_CHALLENGE_MAX];
	const size_t secret_len = strlen(secret);
	size_t n = 1 + secret_len + len;
	struct sha256 s;

	/* RFC 1994, 4.1: identifier, secret, challenge */
	text[0] = id;
	memcpy(text + 1, secret, secret_len);
	memcpy(text + 1 + secret_len, challenge, len);
	switch (algorithm) {
	case CHAP_MD5: md5(text, n, out); break;
	case CHAP_SHA1: sha1(text, n, out); break;
	case CHAP_SHA3_256: sha3_256(text, n, out); break;
	default:
		sha256_init(&s);
		sha256_update(&s, text, n);
		sha256_final(&s, out);
		break;
	}
	wipe(text, sizeof(text));
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode_hex(const char *s, uint8_t *out, size_t max)
{
	size_t n = strlen(s), bytes = (n + 1) / 2;
	int hi, lo;

	if (!n || bytes > max)
		return -EINVAL;
	for (size_t i = 0; i < bytes; i++) {
		/* An odd number of digits lacks a leading zero. */
		hi = i == 0 && n % 2 ? 0 : digit(*s++);
		lo = digit(*s++);
		if (hi < 0 || lo < 0)
			return -EINVAL;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return (int)bytes;
}

static int decode_base64(const char *s, uint8_t *out, size_t max)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const size_t len = strlen(s), data = strcspn(s, "=");
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	if (!len || len % 4 || len - data > 2 || strspn(s + data, "=") != len - data)
		return -EINVAL;
	for (size_t i = 0; i < data; i++) {
		const char *p = strchr(set, s[i]);

		if (!p)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)(p - set);
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (n == max)
			return -EINVAL;
		out[n++] = (uint8_t)(bits >> have);
	}
	return n ? (int)n : -EINVAL;
}

int chap_decode(const char *text, uint8_t *out, size_t max)
{
	if (text[0] != '0')
		return -EINVAL;
	switch (text[1]) {
	case 'x':
	case 'X': return decode_hex(text + 2, out, max);
	case 'b':
	case 'B': return decode_base64(text + 2, out, max);
	default: return -EINVAL;
	}
}

const char *chap_encode(const uint8_t *p, size_t n, char out[CHAP_TEXT_MAX])
{
	size_t at = 2;

	memcpy(out, "0x", 3);
	for (size_t i = 0; i < n; i++, at += 2)
		snprintf(out + at, 3, "%02x", p[i]);
	return out;
}

const char *chap_misfit(const char *user, const char *secret_file, const char *mutual_user,
			const char *mutual_file)
{
	if (!user != !secret_file)
		return "--chap-user and --chap-secret-file go together";
	if (!mutual_user != !mutual_file)
		return "--mutual-user and --mutual-secret-file go together";
	if (mutual_user && !user)
		return "--mutual-user: needs --chap-user as well (RFC 7143, 12.1.3)";
	return NULL;
}

int chap_read_secret(const char *path, char out[CHAP_SECRET_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	out[0] = '\0';
	return fd < 0 ? -errno : chap_take_secret(fd, out);
}

int chap_take_secret(int fd, char out[CHAP_SECRET_MAX])
{
	struct stat st;
	ssize_t n;
	int err = 0;

	out[0] = '\0';
	if (fstat(fd, &st) < 0) {
		err = -errno;
		goto out;
	}
	if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		err = -EPERM;
		goto out;
	}
	n = read(fd, out, CHAP_SECRET_MAX);
	if (n < 0) {
		err = -errno;
		goto out;
	}
	if (n == CHAP_SECRET_MAX && !memchr(out, '\n', CHAP_SECRET_MAX))
		err = -EMSGSIZE;
	out[n < CHAP_SECRET_MAX ? n : CHAP_SECRET_MAX - 1] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	if (!out[0])
		err = -EMSGSIZE;
out:
	if (err)
		wipe(out, CHAP_SECRET_MAX);
	close(fd);
	return err;
}

const char *chap_secret_strerror(int err)
{
	switch (err) {
	case -EPERM: return "others can read it: chmod 600";
	case -EMSGSIZE: return "its first line must be a secret of 1 to 255 characters";
	default: return strerror(-err);
	}
}
