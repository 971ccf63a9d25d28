/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/guest_claim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

const char *guest_claim_dir = "/run/vstor";

static int file_of(const char *uuid, char *path, size_t size)
{
	if (strspn(uuid, "0123456789abcdef-") != strlen(uuid) ||
	    snprintf(path, size, "%s/%s.lock", guest_claim_dir, uuid) >= (int)size)
		return -EINVAL;
	return 0;
}

int guest_claim(const char *uuid)
{
	char path[512];
	int fd, rc;

	if (mkdir(guest_claim_dir, 0700) && errno != EEXIST)
		return -errno;
	rc = file_of(uuid, path, sizeof(path));
	if (rc)
		return rc;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
	close(fd);
	return rc;
}

int guest_claim_note_cap(int claim, uint32_t domid, int cap)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "domid=%" PRIu32 " cap=%d\n", domid, cap);

	if (ftruncate(claim, 0))
		return -errno;
	return pwrite(claim, text, (size_t)n, 0) == n ? 0 : -EIO;
}

bool guest_claim_noted_cap(int claim, uint32_t domid, int *cap)
{
	char text[64];
	uint32_t of;
	ssize_t n = pread(claim, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return sscanf(text, "domid=%" SCNu32 " cap=%d\n", &of, cap) == 2 && of == domid;
}

bool guest_claim_read_cap(const char *uuid, uint32_t domid, int *cap)
{
	char path[512];
	int fd = file_of(uuid, path, sizeof(path)) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	bool is = fd >= 0 && guest_claim_noted_cap(fd, domid, cap);

	if (fd >= 0)
		close(fd);
	return is;
}

void guest_claim_forget_cap(int claim)
{
	if (ftruncate(claim, 0))
		log_warn("%s: a lock's file cannot be emptied: %s", guest_claim_dir,
			 strerror(errno));
}
