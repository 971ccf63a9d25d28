/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file that persistent reservations survive in: text, one line a fact, the last one the CRC32C
 * of all before it.
 *
 *	vstor-reservations 1
 *	type 5
 *	register KEY TARGET-PORT a- h- INITIATOR	(A: at all ports; H: holds the reservation)
 *	crc 01234567
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "storage/scsi/limits.h"
#include "storage/scsi/persist.h"

#define FIRST_LINE "vstor-reservations 1"
#define CRC_FORMAT "crc %08" PRIx32 "\n"
#define CRC_LINE   13 /* its length */
#define FILE_MAX   (1u << 20)

/* ---- saving ---- */

/* A name with blanks or line ends in it would be read back as something else. */
static bool name_ok(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isgraph((unsigned char)*c))
			return false;
	return *name;
}

static int format(struct buf *b, const struct pr_state *s)
{
	buf_printf(b, FIRST_LINE "\ntype %d\n", (int)s->type);
	for (unsigned i = 0; i < s->n; i++) {
		const struct registration *reg = &s->reg[i];
		if (reg->gone)
			continue;
		if (!name_ok(reg->initiator))
			return -EINVAL;
		buf_printf(b, "register %016" PRIx64 " %u %c %c %s\n", reg->key, reg->target_port,
			   reg->all_ports ? 'A' : 'a', s->holder == (int)i ? 'H' : 'h',
			   reg->initiator);
	}
	if (!b->failed)
		buf_printf(b, CRC_FORMAT, crc32c(0, b->data, b->len));
	return b->failed ? -ENOMEM : 0;
}

static int write_all(int fd, const struct buf *b)
{
	size_t at = 0;
	while (at < b->len) {
		ssize_t n = write(fd, b->data + at, b->len - at);
		if (n < 0 && errno != EINTR)
			return -errno;
		at += n < 0 ? 0 : (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_file(const char *path, const struct buf *b)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc;
	if (fd < 0)
		return -errno;
	rc = write_all(fd, b);
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

/* A rename or a removal has happened only once the directory is on the medium. */
static int sync_directory(const char *path)
{
	char *copy = strdup(path);
	int rc = -ENOMEM, fd;
	if (!copy)
		return rc;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 || fsync(fd) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

static int replace(const char *path, const struct pr_state *s)
{
	struct buf content = {0}, name = {0};
	const char *fresh;
	int rc = format(&content, s);

	buf_printf(&name, "%s.new", path);
	buf_put_u8(&name, 0);
	if (name.failed)
		rc = -ENOMEM;
	if (rc)
		goto out;
	fresh = (const char *)name.data;
	rc = write_file(fresh, &content);
	if (rc == 0 && rename(fresh, path) < 0)
		rc = -errno;
	if (rc == 0)
		rc = sync_directory(path);
out:
	buf_free(&content);
	buf_free(&name);
	return rc;
}

int pr_save(const char *path, const struct pr_state *s)
{
	int rc;
	if (s->aptpl)
		rc = replace(path, s);
	else if (unlink(path) < 0 && errno != ENOENT)
		rc = -errno;
	else
		rc = sync_directory(path);
	if (rc)
		log_error("%s: cannot keep the reservations: %s; the initiator was told so", path,
			  strerror(-rc));
	return rc;
}

/* ---- loading ---- */

static bool parse_registration(struct pr_state *s, const char *line)
{
	struct registration *reg = &s->reg[s->n];
	unsigned port;
	char all, holds;
	int at = 0;

	if (s->n == LIMIT_REGISTRATIONS ||
	    sscanf(line, "register %" SCNx64 " %u %c %c %n", &reg->key, &port, &all, &holds, &at) !=
		    4 ||
	    at == 0 || port > UINT16_MAX || !name_ok(line + at) ||
	    strlen(line + at) >= sizeof(reg->initiator))
		return false;
	reg->target_port = (uint16_t)port;
	reg->all_ports = all == 'A';
	snprintf(reg->initiator, sizeof(reg->initiator), "%s", line + at);
	if (holds == 'H')
		s->holder = (int)s->n;
	s->n++;
	return true;
}

/* `text` ends with NUL and is cut into lines. */
static bool parse(struct pr_state *s, char *text, size_t len)
{
	char want[CRC_LINE + 1], *next, *line;
	unsigned type;

	if (len < CRC_LINE)
		return false;
	len -= CRC_LINE;
	snprintf(want, sizeof(want), CRC_FORMAT, crc32c(0, text, len));
	if (memcmp(text + len, want, CRC_LINE) != 0)
		return false;
	text[len] = '\0';
	line = strtok_r(text, "\n", &next);
	if (!line || strcmp(line, FIRST_LINE) != 0)
		return false;
	line = strtok_r(NULL, "\n", &next);
	if (!line || sscanf(line, "type %u", &type) != 1 || (type && !pr_type_valid(type)))
		return false;
	s->type = (enum pr_type)type;
	while ((line = strtok_r(NULL, "\n", &next)))
		if (!parse_registration(s, line))
			return false;
	/* Somebody must hold what is held by one, and nobody else may. */
	return (s->holder >= 0) == (s->type != PR_NONE && !pr_type_all(s->type)) &&
	       (s->type == PR_NONE || s->n);
}

static int read_file(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	ssize_t n = 1;
	if (fd < 0)
		return -errno;
	while (rc == 0 && n != 0) {
		uint8_t *p = b->len < FILE_MAX ? buf_reserve(b, 4096) : NULL;
		n = p ? read(fd, p, 4096) : -1;
		if (!p)
			rc = -EFBIG;
		else if (n < 0 && errno != EINTR)
			rc = -errno;
		else if (n > 0)
			b->len += (size_t)n;
	}
	close(fd);
	buf_put_u8(b, 0);
	return rc == 0 && b->failed ? -ENOMEM : rc;
}

int pr_load(const char *path, struct pr_state *s, bool *found)
{
	struct buf b = {0};
	int rc = read_file(path, &b);

	*found = rc == 0;
	if (rc == -ENOENT) {
		rc = 0;
	} else if (rc) {
		log_error("%s: cannot read the reservations: %s; give vstor the right to, or "
			  "remove the file to start without any",
			  path, strerror(-rc));
	} else if (!parse(s, (char *)b.data, b.len - 1)) {
		rc = -EBADMSG;
		log_error("%s: damaged; restore it, or remove it to start without reservations",
			  path);
	}
	s->aptpl = *found;
	buf_free(&b);
	return rc;
}
