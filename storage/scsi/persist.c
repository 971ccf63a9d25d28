/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file that persistent reservations survive in: text, one line a fact, the last one the CRC32C
 * of all before it.
 *
 *	vstor-reservations 2
 *	disk PATH
 *	type 5
 *	register KEY TARGET-PORT a- h- INITIATOR	(A: at all ports; H: holds the reservation)
 *	crc 01234567
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#include "storage/scsi/state_file.h"

#define FIRST_LINE "vstor-reservations 2"
#define CRC_FORMAT "crc %08" PRIx32 "\n"
#define CRC_LINE   13 /* its length */
#define FILE_MAX   (1u << 20)

/* ---- saving ---- */

/* Blanks and line ends are what separates: they become %20 and the like. */
static void put_text(struct buf *b, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c <= ' ' || c == 0x7f || c == '%')
			buf_printf(b, "%%%02x", c);
		else
			buf_put_u8(b, c);
	}
	buf_put_u8(b, '\n');
}

static int format(struct buf *b, const char *disk, const struct pr_state *s)
{
	buf_printf(b, FIRST_LINE "\ndisk ");
	put_text(b, disk);
	buf_printf(b, "type %d\n", (int)s->type);
	for (unsigned i = 0; i < s->n; i++) {
		const struct registration *reg = &s->reg[i];
		if (reg->gone)
			continue;
		buf_printf(b, "register %016" PRIx64 " %u %c %c ", reg->key, reg->target_port,
			   reg->all_ports ? 'A' : 'a', s->holder == (int)i ? 'H' : 'h');
		put_text(b, reg->initiator);
	}
	if (!b->failed)
		buf_printf(b, CRC_FORMAT, crc32c(0, b->data, b->len));
	return b->failed ? -ENOMEM : 0;
}

int pr_save(const char *path, const char *disk, const struct pr_state *s)
{
	struct buf content = {0};
	int rc;
	if (s->aptpl) {
		rc = format(&content, disk, s);
		if (rc == 0)
			rc = state_file_write(path, content.data, content.len);
		buf_free(&content);
	} else {
		rc = state_file_remove(path);
	}
	if (rc)
		log_error("%s: cannot keep the reservations of %s: %s; the initiator was told so",
			  path, disk, strerror(-rc));
	return rc;
}

/* ---- loading ---- */

/* Undoes put_text(), in place. False: it cannot be of it. */
static bool take_text(char *text)
{
	char *to = text;
	for (const char *from = text; *from; from++) {
		unsigned c = (unsigned char)*from;
		if (c == '%') {
			if (!isxdigit((unsigned char)from[1]) ||
			    !isxdigit((unsigned char)from[2]) || sscanf(from + 1, "%2x", &c) != 1 ||
			    !c)
				return false;
			from += 2;
		}
		*to++ = (char)c;
	}
	*to = '\0';
	return to != text;
}

static bool parse_registration(struct pr_state *s, char *line)
{
	struct registration *reg = &s->reg[s->n];
	unsigned port;
	char all, holds;
	int at = 0;

	if (s->n == LIMIT_REGISTRATIONS ||
	    sscanf(line, "register %" SCNx64 " %u %c %c %n", &reg->key, &port, &all, &holds, &at) !=
		    4 ||
	    at == 0 || port > UINT16_MAX || !take_text(line + at) ||
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

/* `text` ends with NUL and is cut into lines, of which *disk is one. */
static bool parse(struct pr_state *s, char *text, size_t len, const char **disk)
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
	if (!line || strncmp(line, "disk ", 5) != 0 || !take_text(line + 5))
		return false;
	*disk = line + 5;
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
	const char *disk;
	struct buf b = {0};
	int rc = read_file(path, &b);

	*found = rc == 0;
	if (rc == -ENOENT) {
		rc = 0;
	} else if (rc) {
		log_error("%s: cannot read the reservations: %s; give vstor the right to, or "
			  "remove the file to start without any",
			  path, strerror(-rc));
	} else if (!parse(s, (char *)b.data, b.len - 1, &disk)) {
		rc = -EBADMSG;
		log_error("%s: damaged; restore it, or remove it to start without reservations",
			  path);
	}
	s->aptpl = *found;
	buf_free(&b);
	return rc;
}

int pr_whose(const char *path, char *disk, size_t size)
{
	struct pr_state s = {.holder = -1};
	const char *whose = "?";
	struct buf b = {0};
	int rc = read_file(path, &b);

	s.reg = rc == 0 ? calloc(LIMIT_REGISTRATIONS, sizeof(*s.reg)) : NULL;
	if (rc == 0 && !(s.reg && parse(&s, (char *)b.data, b.len - 1, &whose)))
		rc = -EBADMSG;
	snprintf(disk, size, "%s", whose);
	free(s.reg);
	buf_free(&b);
	return rc;
}
