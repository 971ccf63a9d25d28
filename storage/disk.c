/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/disk_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"
#include "storage/claim.h"

#define ZERO_STEP (1u << 20)

const char *disk_path(const struct disk *d)
{
	return d->path;
}

uint64_t disk_size(const struct disk *d)
{
	return d->size;
}

bool disk_readonly(const struct disk *d)
{
	return d->readonly;
}

uint64_t disk_inode(const struct disk *d)
{
	struct stat st;
	return d->blockdev || fstat(d->fd, &st) < 0 ? 0 : st.st_ino;
}

int disk_flush_error(const struct disk *d)
{
	return __atomic_load_n(&d->flush_error, __ATOMIC_RELAXED);
}

void disk_flush_acknowledge(struct disk *d)
{
	__atomic_store_n(&d->flush_error, 0, __ATOMIC_RELAXED);
}

void disk_flush_failed(struct disk *d, int err)
{
	int none = 0;
	if (__atomic_compare_exchange_n(&d->flush_error, &none, err, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		log_error("%s: a flush failed: %s; what was written before may be lost, so all "
			  "flushes and FUA writes fail from now on: find out why, check the data, "
			  "then vstor lun acknowledge",
			  d->path, strerror(err));
}

static int flush(struct disk *d)
{
	int err;
	if (fdatasync(d->fd) == 0)
		return 0;
	err = errno;
	disk_flush_failed(d, err);
	errno = err;
	return -1;
}

/* By system call: musl has had the wrappers only since 1.2.5. */
ssize_t disk_rw(struct disk *d, bool write, const struct iovec *iov, unsigned n, uint64_t off,
		int flags)
{
	long r;
	if (n == 1 && !flags) /* less to do for the kernel */
		return write ? pwrite(d->fd, iov->iov_base, iov->iov_len, (off_t)off)
			     : pread(d->fd, iov->iov_base, iov->iov_len, (off_t)off);
	if (!disk_is_set(&d->no_rwf) || flags & RWF_NOWAIT) {
		r = syscall(write ? SYS_pwritev2 : SYS_preadv2, d->fd, iov, (long)n, (long)off, 0L,
			    (long)flags);
		if (r >= 0 || (errno != ENOSYS && errno != EPERM))
			return r;
		disk_set(&d->no_rwf);
		if (flags & RWF_NOWAIT)
			return r;
	}
	r = write ? pwritev(d->fd, iov, (int)n, (off_t)off)
		  : preadv(d->fd, iov, (int)n, (off_t)off);
	return r >= 0 && flags & RWF_DSYNC && flush(d) < 0 ? -1 : r;
}

/* A write with RWF_DSYNC has failed, by itself, which loses nothing that was there before, or by
 * its flush: then it can be done without. */
static void find_blame(struct disk *d, const struct iovec *iov, unsigned n, uint64_t off, int err)
{
	if (!disk_flush_error(d) && (disk_rw(d, true, iov, n, off, 0) >= 0 || errno != err))
		disk_flush_failed(d, err);
}

int disk_transfer(struct disk *d, bool write, struct iovec *iov, unsigned n, uint64_t *off,
		  int flags)
{
	uint64_t begin = *off;
	while (n) {
		ssize_t r = disk_rw(d, write, iov, MIN(n, 1024u), *off, flags);
		if (r < 0) {
			int err = errno;
			if (err == EINTR)
				continue;
			if (flags & RWF_DSYNC)
				find_blame(d, iov, MIN(n, 1024u), *off, err);
			return -err;
		}
		if (r == 0 && iov->iov_len)
			return -EIO; /* the file became shorter beneath us */
		*off += (uint64_t)r;
		while (n && (size_t)r >= iov->iov_len) {
			r -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n) {
			iov->iov_base = (char *)iov->iov_base + r;
			iov->iov_len -= (size_t)r;
		}
	}
	if (!(flags & RWF_DSYNC) || !disk_flush_error(d))
		return 0;
	*off = begin;
	return -EIO;
}

/* ---- blocking calls, for workers ---- */

int disk_read(struct disk *d, void *p, size_t n, uint64_t off, uint64_t *reached)
{
	struct iovec v = {p, n};
	int rc = disk_transfer(d, false, &v, 1, &off, 0);
	if (reached)
		*reached = off;
	return rc;
}

int disk_write(struct disk *d, const void *p, size_t n, uint64_t off, bool fua, uint64_t *reached)
{
	struct iovec v = {(void *)p, n};
	int rc = disk_transfer(d, true, &v, 1, &off, fua || d->writethrough ? RWF_DSYNC : 0);
	if (reached)
		*reached = off;
	return rc;
}

int disk_sync(struct disk *d)
{
	if (flush(d) < 0)
		return -errno;
	return disk_flush_error(d) ? -EIO : 0;
}

static int write_zeros(struct disk *d, uint64_t off, uint64_t n)
{
	uint8_t *zeros = calloc(1, (size_t)MIN(n, ZERO_STEP));
	int rc = zeros ? 0 : -ENOMEM;
	while (n && rc == 0) {
		size_t step = (size_t)MIN(n, ZERO_STEP);
		rc = disk_write(d, zeros, step, off, false, NULL);
		off += step;
		n -= step;
	}
	free(zeros);
	return rc;
}

/* A device discards whole blocks of its own, which may be larger than a LUN's: what lies in a part
 * of one, at the beginning and the end, is written. 0 or -errno. */
static int write_ends(struct disk *d, uint64_t *off, uint64_t *n)
{
	uint64_t begin = (*off + d->granularity - 1) / d->granularity * d->granularity;
	uint64_t end = (*off + *n) / d->granularity * d->granularity;
	int rc;
	if (begin >= end) {
		begin = *off + *n;
		end = begin;
	}
	rc = write_zeros(d, *off, begin - *off);
	if (rc == 0)
		rc = write_zeros(d, end, *off + *n - end);
	*off = begin;
	*n = end - begin;
	return rc;
}

int disk_discard(struct disk *d, uint64_t off, uint64_t n)
{
	int rc = write_ends(d, &off, &n);
	if (rc || n == 0)
		return rc;
	/* On block devices, too, this zeroes and deallocates where the device can do both. */
	if (!disk_is_set(&d->no_punch)) {
		if (fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
			      (off_t)n) == 0)
			return d->writethrough ? disk_sync(d) : 0;
		if (errno != EOPNOTSUPP && errno != ENOSYS && errno != ENODEV)
			return -errno;
		disk_set(&d->no_punch);
	}
	return write_zeros(d, off, n);
}

int disk_allocate(struct disk *d, uint64_t off, uint64_t n)
{
	if (d->blockdev || fallocate(d->fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)n) == 0)
		return 0;
	return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

int disk_map(struct disk *d, uint64_t off, bool *mapped, uint64_t *run)
{
	off_t data;
	uint64_t size;
	*mapped = true;
	size = __atomic_load_n(&d->size, __ATOMIC_RELAXED);
	*run = size > off ? size - off : 0;
	if (d->blockdev)
		return 0; /* a block device does not tell */
	data = lseek(d->fd, (off_t)off, SEEK_DATA);
	if (data < 0 && errno == ENXIO) {
		*mapped = false;
		return 0;
	}
	if (data < 0)
		return errno == EINVAL ? 0 : -errno;
	if ((uint64_t)data > off) {
		*mapped = false;
		*run = (uint64_t)data - off;
		return 0;
	}
	data = lseek(d->fd, (off_t)off, SEEK_HOLE);
	if (data > (off_t)off)
		*run = (uint64_t)data - off;
	return 0;
}

/* ---- open and close ---- */

static int refuse(const char *path, int err, const char *hint)
{
	log_error("%s: %s; %s", path, strerror(err), hint);
	return -err;
}

static int open_file(const char *path, const struct disk_opts *o, bool *created)
{
	int flags = (o->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK, fd;
	struct stat st;
	*created = false;
	/* O_EXCL on a block device: the kernel refuses one that is mounted or held. */
	if (stat(path, &st) == 0 && S_ISBLK(st.st_mode) && !o->readonly)
		flags |= O_EXCL;
	fd = open(path, flags);
	if (fd < 0 && errno == ENOENT && o->create_size) {
		fd = open(path, flags | O_CREAT | O_EXCL, 0600);
		if (fd >= 0 && ftruncate(fd, (off_t)o->create_size) < 0) {
			int err = errno;
			unlink(path);
			close(fd);
			return refuse(path, err, "choose a smaller size= or another place");
		}
		*created = fd >= 0;
	}
	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
		return refuse(path, ENOENT,
			      "name an existing file or device, or add ,size=BYTES to "
			      "create a sparse file");
	case EBUSY: return claim_refused(path);
	case EACCES:
	case EROFS:
	case EPERM: return refuse(path, errno, "run as a user who may write it, or add ,ro");
	default: return refuse(path, errno, "name a file or a block device");
	}
}

int disk_open_file(const char *path, const struct disk_opts *o, bool *created)
{
	int fd = open_file(path, o, created), rc;
	if (fd < 0)
		return fd;
	rc = claim_disk(fd, path, o->readonly);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/* A descriptor from somebody else: is it for what we shall do with it? */
static int check_mode(struct disk *d)
{
	int flags = fcntl(d->fd, F_GETFL), mode = flags & O_ACCMODE;
	if (flags >= 0 && !(flags & O_PATH) &&
	    (mode == O_RDWR || (mode == O_RDONLY && d->readonly)))
		return 0;
	return refuse(d->path, EBADF, "it is not open for what it shall be served for");
}

/* What the file or device says; 0 when it is empty. */
static int read_size(struct disk *d, uint64_t *size)
{
	struct stat st;
	if (fstat(d->fd, &st) < 0)
		return refuse(d->path, errno, "is it still there?");
	*size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(d->fd, BLKGETSIZE64, size) < 0)
		return refuse(d->path, errno, "the device does not tell its size");
	return 0;
}

static int find_size(struct disk *d)
{
	struct stat st;
	struct statfs fs;
	int rc;
	if (fstat(d->fd, &st) < 0)
		return refuse(d->path, errno, "name a file or a block device");
	d->granularity = 1;
	if (S_ISBLK(st.st_mode)) {
		int block = 0;
		d->blockdev = true;
		if (ioctl(d->fd, BLKSSZGET, &block) == 0 && block > 0)
			d->granularity = (uint32_t)block;
	} else if (S_ISREG(st.st_mode)) {
		if (fstatfs(d->fd, &fs) == 0)
			d->in_memory = (unsigned long)fs.f_type == TMPFS_MAGIC;
	} else {
		log_error("%s: neither a file nor a block device; name one of these", d->path);
		return -EINVAL;
	}
	rc = read_size(d, &d->size);
	if (rc)
		return rc;
	if (d->size == 0) {
		log_error("%s: empty; give it a size first (truncate -s), or remove it and add "
			  ",size=BYTES",
			  d->path);
		return -EINVAL;
	}
	return 0;
}

int disk_resize(struct disk *d, uint64_t grow, uint64_t *size)
{
	int rc = read_size(d, size);
	if (rc)
		return rc;
	if (grow > *size) {
		if (d->blockdev)
			return refuse(d->path, EOPNOTSUPP, "grow the device by its own tools");
		if (d->readonly)
			return refuse(d->path, EROFS, "it is exported read only");
		if (ftruncate(d->fd, (off_t)grow) < 0)
			return refuse(d->path, errno, "choose a smaller size");
		*size = grow;
	} else if (grow && grow < *size) {
		return refuse(d->path, EINVAL,
			      "it is longer than that by now, and nothing is cut off here");
	}
	if (*size == 0)
		return refuse(d->path, EINVAL, "it is empty");
	/* Read by the workers while they map it. */
	__atomic_store_n(&d->size, *size, __ATOMIC_RELAXED);
	return 0;
}

int disk_open(struct disk **out, const char *path, const struct disk_opts *o)
{
	struct disk *d = calloc(1, sizeof(*d));
	bool created;
	int rc = -ENOMEM;
	*out = NULL;
	if (!d)
		return rc;
	d->fd = -1;
	d->readonly = o->readonly;
	d->writethrough = o->writethrough;
	d->path = strdup(path);
	if (!d->path)
		goto fail;
	d->fd = o->opened ? fcntl(o->fd, F_DUPFD_CLOEXEC, 0) : open_file(path, o, &created);
	if (d->fd < 0) {
		rc = o->opened ? refuse(path, errno, "it was not handed over open") : d->fd;
		goto fail;
	}
	rc = check_mode(d);
	if (rc == 0)
		rc = find_size(d);
	if (rc == 0)
		rc = claim_disk(d->fd, path, d->readonly);
	if (rc)
		goto fail;
	disk_send_begin(d);
	*out = d;
	return 0;
fail:
	if (d->fd >= 0)
		close(d->fd);
	free(d->path);
	free(d);
	return rc;
}

int disk_close(struct disk *d)
{
	int rc = 0;
	if (!d)
		return 0;
	disk_pool_free(d);
	if (!d->readonly) {
		rc = disk_sync(d);
		if (rc)
			log_error("%s: closed, but what was written last may be lost: %s", d->path,
				  strerror(-rc));
	}
	disk_send_end(d);
	close(d->fd);
	free(d->path);
	free(d);
	return rc;
}
