/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/loads.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/bench/far.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"

#define FILL_CHUNK (1 << 20)
#define TEMP_SIZE  (256 << 20)
#define ALIGNMENT  4096 /* what O_DIRECT asks of a buffer's address, on any disk */

struct raw_thread {
	struct far far; /* instead of the file */
	uint8_t *buf;
	uint64_t random, writes;
};

struct raw_load {
	const char *path;
	/* depth: operations under way at a time, each by a thread of its own */
	uint64_t depth, size, block, write_percent, fsync_every;
	bool random, direct, overwrite, remote;
	int fd;
	uint64_t blocks;
	_Atomic uint64_t next; /* block, when sequential */
	struct raw_thread *thread;
};

static int64_t transfer(void *arg, unsigned thread)
{
	struct raw_load *d = arg;
	struct raw_thread *t = &d->thread[thread];
	uint64_t r = load_random(&t->random), block;
	bool write = (r >> 32) % 100 < d->write_percent;
	off_t at;
	ssize_t n;
	int err = 0;

	block = (d->random ? load_random(&t->random) : atomic_fetch_add(&d->next, 1)) % d->blocks;
	at = (off_t)(block * d->block);
	if (write)
		memcpy(t->buf, &r, sizeof(r)); /* no two blocks alike */
	if (d->remote)
		n = write ? far_write(&t->far, t->buf, d->block, (uint64_t)at)
			  : far_read(&t->far, t->buf, d->block, (uint64_t)at);
	else if ((n = write ? pwrite(d->fd, t->buf, d->block, at)
			    : pread(d->fd, t->buf, d->block, at)) < 0)
		n = -errno;
	if (n != (ssize_t)d->block)
		return n < 0 ? n : -EIO;
	if (write && d->fsync_every && ++t->writes % d->fsync_every == 0)
		err = d->remote ? far_flush(&t->far) : fdatasync(d->fd) < 0 ? -errno : 0;
	return err ? err : n;
}

static void describe(void *arg, struct json *j)
{
	const struct raw_load *d = arg;

	json_string(j, "path", d->path);
	json_bool(j, "raw", true);
	json_u64(j, "depth", d->depth);
	json_u64(j, "size", d->size);
	json_u64(j, "block_size", d->block);
	json_bool(j, "random", d->random);
	json_u64(j, "write_percent", d->write_percent);
	json_bool(j, "direct", d->direct);
	json_u64(j, "fsync_every", d->fsync_every);
}

static void close_raw(void *arg)
{
	struct raw_load *d = arg;

	if (!d)
		return;
	for (unsigned i = 0; d->thread && i < d->depth; i++) {
		far_close(&d->thread[i].far);
		free(d->thread[i].buf);
	}
	free(d->thread);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

/* A file in the directory that is gone when we are. */
static int open_temporary(const char *dir, int flags)
{
	char name[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	if (snprintf(name, sizeof(name), "%s/vstor-bench.%ld", dir, (long)getpid()) >=
	    (int)sizeof(name)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);
	if (fd >= 0)
		unlink(name);
	return fd;
}

/* Writes the whole file once: holes would be read from nowhere. */
static int fill(int fd, uint64_t size)
{
	uint64_t x = load_seed(0);
	uint64_t *buf = aligned_alloc(ALIGNMENT, FILL_CHUNK);
	int err = buf ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < FILL_CHUNK / sizeof(*buf); i++)
		buf[i] = load_random(&x);
	/* Where the file system can tell at once that there is no room, do not fill it first. */
	if (!err && fallocate(fd, 0, 0, (off_t)size) < 0 && errno != EOPNOTSUPP)
		err = -errno;
	for (uint64_t at = 0; !err && at < size;) {
		size_t want = MIN(size - at, FILL_CHUNK);
		ssize_t n = pwrite(fd, buf, want, (off_t)at);

		if (n <= 0)
			err = n < 0 ? -errno : -EIO;
		else
			at += (uint64_t)n;
	}
	free(buf);
	if (!err && fdatasync(fd) < 0)
		err = -errno;
	/* Start with a cold cache, whatever is asked of it then. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return err;
}

/* Opens d->path and finds its size; 0, or -errno after an error line. */
static int open_path(struct raw_load *d)
{
	int flags = d->direct ? O_DIRECT : 0, err;
	bool temporary;
	uint64_t size = 0;
	struct stat st;

	if (stat(d->path, &st) < 0)
		goto failed;
	temporary = S_ISDIR(st.st_mode);
	if (!temporary && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		log_error("%s: neither a directory, a file nor a block device", d->path);
		return -EINVAL;
	}
	if (!temporary && d->write_percent && !d->overwrite) {
		log_error(
			"%s: --write would destroy what is on it; give --overwrite to allow that, "
			"or a directory for a temporary file",
			d->path);
		return -EEXIST;
	}
	if (temporary)
		d->fd = open_temporary(d->path, flags);
	else /* O_EXCL: not one that is mounted or in use otherwise (open(2)) */
		d->fd = open(d->path, O_CLOEXEC | flags | (d->write_percent ? O_RDWR : O_RDONLY) |
					      (S_ISBLK(st.st_mode) ? O_EXCL : 0));
	if (d->fd < 0 && errno == EBUSY) {
		log_error("%s: is in use (mounted, swap, or under another device): unmount it, or "
			  "measure a directory on it",
			  d->path);
		return -EBUSY;
	}
	if (d->fd < 0)
		goto failed;
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(d->fd, BLKGETSIZE64, &size) < 0)
			goto failed;
	} else if (temporary) {
		size = d->size ? d->size : TEMP_SIZE;
		size -= size % d->block;
		err = fill(d->fd, size);
		if (err) {
			errno = -err;
			goto failed;
		}
	} else {
		size = (uint64_t)st.st_size;
	}
	if (d->size > size) {
		log_error("%s: has %llu bytes, less than --size", d->path,
			  (unsigned long long)size);
		return -EINVAL;
	}
	if (!d->size || temporary)
		d->size = size;
	return 0;
failed:
	err = -errno;
	log_error("%s: %s; %s", d->path, strerror(errno),
		  d->direct && err == -EINVAL
			  ? "try without --direct, or blocks of a multiple of 4096 bytes"
			  : "the operand is a directory with room, a file or a block device");
	return err;
}

/* A session for each of those that work at a time. 0, or -errno after an error line. */
static int open_sessions(struct raw_load *d)
{
	char error[FAR_ERROR];
	uint64_t size = 0;
	int err = 0;

	if (d->write_percent && !d->overwrite) {
		log_error("%s: --write would destroy what is on it; give --overwrite to allow that",
			  d->path);
		return -EEXIST;
	}
	for (unsigned i = 0; !err && i < d->depth; i++) {
		struct far *f = &d->thread[i].far;

		err = far_open(f, d->path, error);
		if (err)
			log_error("%s", error);
		else if (d->block % f->block) {
			log_error("%s: --block-size must be a multiple of %u, its blocks", d->path,
				  f->block);
			err = -EINVAL;
		}
		size = f->size;
	}
	if (!err && d->size > size) {
		log_error("%s: has %llu bytes, less than --size", d->path,
			  (unsigned long long)size);
		err = -EINVAL;
	}
	if (!d->size)
		d->size = size;
	return err;
}

static int prepare(struct raw_load *d)
{
	int err;

	d->remote = far_named(d->path);
	d->thread = calloc(d->depth, sizeof(d->thread[0]));
	for (unsigned i = 0; d->thread && i < d->depth; i++)
		far_init(&d->thread[i].far);
	if (!d->thread) {
		log_error("%s: out of memory for a depth of %llu", d->path,
			  (unsigned long long)d->depth);
		return -ENOMEM;
	}
	err = d->remote ? open_sessions(d) : open_path(d);
	if (err)
		return err;
	d->blocks = d->size / d->block;
	if (!d->blocks) {
		log_error("%s: %llu bytes are too few for a block of %llu", d->path,
			  (unsigned long long)d->size, (unsigned long long)d->block);
		return -EINVAL;
	}
	for (unsigned i = 0; i < d->depth; i++) {
		struct raw_thread *t = &d->thread[i];

		t->random = load_seed(i);
		if (posix_memalign((void **)&t->buf, ALIGNMENT, d->block))
			break;
		for (uint64_t k = 0; k + 8 <= d->block; k += 8) {
			uint64_t r = load_random(&t->random);

			memcpy(t->buf + k, &r, sizeof(r));
		}
		if (i + 1 == d->depth)
			return 0;
	}
	log_error("%s: out of memory for a depth of %llu", d->path, (unsigned long long)d->depth);
	return -ENOMEM;
}

static bool open_raw(int argc, char **argv, struct load_spec *spec, struct console *con,
		     int *status)
{
	struct raw_load c = {.depth = 1, .block = 4096, .fd = -1}, *d;
	struct load_times times = LOAD_TIMES;
	bool raw;
	const struct opt table[] = {
		{"raw", OPT_FLAG, &raw, NULL, "what chose this load", 0, 0},
		{"size", OPT_SIZE, &c.size, "SIZE",
		 "the part that is used (default: all; 256M for a temporary file)", 1, 0},
		{"block-size", OPT_SIZE, &c.block, "SIZE", "bytes an operation (default 4k)", 8,
		 1 << 30},
		{"random", OPT_FLAG, &c.random, NULL, "anywhere (default: one after the other)", 0,
		 0},
		{"write", OPT_U64, &c.write_percent, "PERCENT",
		 "writes among 100 operations (default 0)", 0, 100},
		{"overwrite", OPT_FLAG, &c.overwrite, NULL,
		 "allow writes to an existing file or device", 0, 0},
		{"direct", OPT_FLAG, &c.direct, NULL, "without the page cache (O_DIRECT)", 0, 0},
		{"fsync", OPT_U64, &c.fsync_every, "N",
		 "fdatasync after every Nth write, as part of it (default 0: never)", 0, 0},
		{"depth", OPT_U64, &c.depth, "N",
		 "how many at a time, each by a thread (default 1)", 1, LOAD_MAX_THREADS},
		LOAD_OPTIONS(times, *con),
		{0},
	};
	const struct opts o = {
		.name = "bench disk",
		.synopsis = "--raw PATH [options]",
		.description =
			"Reads and writes a file, a block device that is not in use, a temporary "
			"file\nwhen PATH is a directory, iscsi://HOST[:PORT]/IQN/LUN, or "
			"aoe://IFACE/SHELF.SLOT:\noperations and bytes a second, time an "
			"operation.",
		.table = table,
		.json = &con->json,
		.min_operands = 1,
		.max_operands = 1,
	};
	int n = opts_parse(&o, argc, argv);

	if (n < 0) {
		*status = opts_exit(n);
		return false;
	}
	c.path = argv[1];
	d = malloc(sizeof(*d));
	if (d)
		*d = c;
	if (!d || prepare(d)) {
		close_raw(d);
		*status = 1;
		return false;
	}
	*spec = (struct load_spec){.name = "disk",
				   .where = d->path,
				   .threads = (unsigned)c.depth,
				   .times = times,
				   .op = transfer,
				   .describe = describe,
				   .close = close_raw,
				   .arg = d};
	return true;
}

const struct load_kind load_raw = {"disk --raw", "read and write a file or block device", open_raw};
