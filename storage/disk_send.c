/* SPDX-License-Identifier: BSD-2-Clause */
/* From the page cache to a pipe without a copy. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/sandbox.h"
#include "storage/disk_priv.h"

#define PAGES_MAX 2048u /* of one question: 8 MiB of 4 KiB pages */

void disk_send_begin(struct disk *d)
{
	void *p;
	/* Kept as it is when the disk grows: loops may be asking. What is beyond it counts as not
	 * resident until the disk is opened anew. */
	if (d->in_memory || d->size > SIZE_MAX / 2)
		return;
	p = mmap(NULL, (size_t)d->size, PROT_READ, MAP_SHARED, d->fd, 0);
	if (p == MAP_FAILED)
		return;
	d->map = p;
	d->map_len = d->size;
}

void disk_send_end(struct disk *d)
{
	if (d->map)
		munmap(d->map, (size_t)d->map_len);
	d->map = NULL;
	d->map_len = 0;
}

/* To who neither owns the file nor may write it the kernel says that all is resident (mincore(2)):
 * whoever runs with fewer rights than the file was opened with must not believe it. */
static bool may_ask(struct disk *d, uid_t owner)
{
	int8_t may = __atomic_load_n(&d->may_ask, __ATOMIC_RELAXED);
	if (!may) {
		uid_t us = geteuid();
		may = us == 0 || us == owner || sandbox_state()->asks ? 1 : -1;
		__atomic_store_n(&d->may_ask, may, __ATOMIC_RELAXED);
	}
	return may > 0;
}

bool disk_resident(struct disk *d, uint64_t off, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), begin = off & ~(page - 1), pages;
	unsigned char vec[PAGES_MAX];
	struct stat st;

	/* A file that has become shorter: who reads it gets the error, and can tell of it. */
	if (fstat(d->fd, &st) < 0 || (!d->blockdev && (uint64_t)st.st_size < off + n))
		return false;
	if (d->in_memory)
		return true;
	pages = (off + n - begin + page - 1) / page;
	if (off + n > d->map_len || pages > PAGES_MAX || !may_ask(d, st.st_uid) ||
	    mincore(d->map + begin, pages * page, vec) < 0)
		return false;
	for (size_t i = 0; i < pages; i++)
		if (!(vec[i] & 1))
			return false;
	return true;
}

int disk_send(struct disk *d, uint64_t off, size_t n, int pipe)
{
	off_t at = (off_t)off;
	ssize_t r;
	do
		r = splice(d->fd, &at, pipe, NULL, MIN(n, (size_t)INT32_MAX), SPLICE_F_NONBLOCK);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r ? (int)r : -EIO; /* the file became shorter beneath us */
}
