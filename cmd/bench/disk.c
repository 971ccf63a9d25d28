/* SPDX-License-Identifier: BSD-2-Clause */
/* The mixed load on a file system, in the manner of dbench: clients that work through a loadfile.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cmd/bench/loadfile.h"
#include "cmd/bench/loads.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"

#define CLIENTS_MAX 256

struct client {
	int dir;   /* its own directory */
	int *slot; /* open files, -1: none */
	size_t at; /* the step that comes next */
	uint8_t *buf;
	uint64_t stamp;
	/* Steps that went otherwise than when they were recorded. */
	uint64_t otherwise;
	const struct step *first;
	int first_error;
};

struct mixed_load {
	const char *path, *loadfile;
	uint64_t clients;
	int dir; /* that of all clients, in `path` */
	char name[48];
	struct loadfile file;
	struct client client[];
};

/* Removes what is in the directory that `fd` stands for, which it closes. */
static int empty_directory(int fd)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	int err = 0;

	if (!d) {
		err = -errno;
		close(fd);
		return err;
	}
	while ((e = readdir(d))) {
		int below;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    unlinkat(dirfd(d), e->d_name, 0) == 0)
			continue;
		below = openat(dirfd(d), e->d_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0)
			empty_directory(below);
		if (unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) < 0)
			err = -errno;
	}
	closedir(d);
	return err;
}

static int remove_tree(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : empty_directory(fd);
}

static int list(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		return err;
	}
	while (readdir(d))
		;
	closedir(d);
	return 0;
}

static int64_t transfer(struct client *c, const struct step *s)
{
	int fd = c->slot[s->slot];
	ssize_t n;

	if (s->op == STEP_WRITE) {
		memcpy(c->buf, &c->stamp, sizeof(c->stamp)); /* no two blocks alike */
		c->stamp++;
		n = pwrite(fd, c->buf, s->size, (off_t)s->offset);
		if (n >= 0 && n != (ssize_t)s->size)
			return -ENOSPC;
	} else {
		n = pread(fd, c->buf, s->size, (off_t)s->offset);
	}
	return n < 0 ? -errno : n;
}

static int64_t open_file(struct client *c, const struct step *s, const char *name)
{
	int fd, flags = s->op == STEP_OPENDIR ? O_RDONLY | O_DIRECTORY : s->how;

	if (s->op == STEP_OPENDIR)
		mkdirat(c->dir, name, 0700);
	fd = openat(c->dir, name, flags | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EISDIR)
		fd = openat(c->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (s->fails) { /* it should not be there */
		close(fd);
		return 0;
	}
	c->slot[s->slot] = fd;
	return 0;
}

static int lock(const struct client *c, const struct step *s)
{
	struct flock f = {
		.l_type = s->op == STEP_LOCK ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_len = 1};

	return fcntl(c->slot[s->slot], F_SETLK, &f);
}

/* A step of a client: bytes, or -errno. */
static int64_t do_step(const struct mixed_load *m, struct client *c, const struct step *s)
{
	const char *a = m->file.name[s->a];
	int *slot = &c->slot[s->slot];
	struct statvfs vfs;
	struct stat st;
	int rc = 0;

	switch ((enum step_op)s->op) {
	case STEP_OPEN:
	case STEP_OPENDIR: return open_file(c, s, a);
	case STEP_READ:
	case STEP_WRITE: return transfer(c, s);
	case STEP_FLUSH: rc = fsync(*slot); break;
	case STEP_CLOSE:
		rc = close(*slot);
		*slot = -1;
		break;
	case STEP_RENAME: rc = renameat(c->dir, a, c->dir, m->file.name[s->b]); break;
	case STEP_UNLINK: rc = unlinkat(c->dir, a, 0); break;
	case STEP_RMDIR: rc = unlinkat(c->dir, a, AT_REMOVEDIR); break;
	case STEP_MKDIR: rc = mkdirat(c->dir, a, 0700); break;
	case STEP_DELTREE: return remove_tree(c->dir, a);
	case STEP_STAT: rc = fstatat(c->dir, a, &st, 0); break;
	case STEP_FSTAT: rc = fstat(*slot, &st); break;
	case STEP_STATFS: rc = fstatvfs(c->dir, &vfs); break;
	case STEP_LIST: return list(c->dir, a);
	case STEP_TOUCH: rc = futimens(*slot, NULL); break;
	case STEP_LOCK:
	case STEP_UNLOCK: rc = lock(c, s); break;
	}
	return rc < 0 ? -errno : 0;
}

/* What the file system itself cannot do ends the load. */
static bool fatal(int64_t err)
{
	return err == -ENOSPC || err == -EDQUOT || err == -EIO || err == -EROFS || err == -EMFILE;
}

static int64_t client_step(void *arg, unsigned thread)
{
	struct mixed_load *m = arg;
	struct client *c = &m->client[thread];
	const struct step *s = &m->file.step[c->at];
	int64_t n = do_step(m, c, s);

	c->at = (c->at + 1) % m->file.steps;
	if (fatal(n))
		return n;
	if (n < 0 && !s->fails && !c->otherwise++) {
		c->first = s;
		c->first_error = (int)n;
	}
	return MAX(n, 0);
}

static void describe(void *arg, struct json *j)
{
	const struct mixed_load *m = arg;
	uint64_t otherwise = 0;

	for (unsigned i = 0; i < m->clients; i++)
		otherwise += m->client[i].otherwise;
	json_string(j, "path", m->path);
	json_u64(j, "clients", m->clients);
	json_string(j, "loadfile", m->loadfile);
	json_u64(j, "otherwise", otherwise);
}

static void remark(void *arg, const struct load_sample *total, FILE *f)
{
	const struct mixed_load *m = arg;

	(void)total;
	for (unsigned i = 0; i < m->clients; i++) {
		const struct client *c = &m->client[i];

		if (c->otherwise)
			fprintf(f,
				"        client %u: %llu steps went otherwise than recorded, the "
				"first in line %u: %s\n",
				i, (unsigned long long)c->otherwise, c->first->line,
				strerror(-c->first_error));
	}
}

static void close_mixed(void *arg)
{
	struct mixed_load *m = arg;
	int top;

	for (unsigned i = 0; i < m->clients; i++) {
		struct client *c = &m->client[i];

		for (unsigned k = 0; c->slot && k < m->file.slots; k++)
			if (c->slot[k] >= 0)
				close(c->slot[k]);
		if (c->dir >= 0)
			close(c->dir);
		free(c->slot);
		free(c->buf);
	}
	if (m->dir >= 0) {
		empty_directory(m->dir);
		top = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (top >= 0) {
			unlinkat(top, m->name, AT_REMOVEDIR);
			close(top);
		}
	}
	loadfile_free(&m->file);
	free(m);
}

static int prepare_client(struct mixed_load *m, unsigned i)
{
	struct client *c = &m->client[i];
	char name[16];

	snprintf(name, sizeof(name), "client%u", i + 1);
	c->slot = malloc(MAX(m->file.slots, 1) * sizeof(*c->slot));
	c->buf = malloc(STEP_MAX_BYTES);
	if (!c->slot || !c->buf)
		return -ENOMEM;
	for (unsigned k = 0; k < m->file.slots; k++)
		c->slot[k] = -1;
	c->stamp = load_seed(i);
	for (size_t k = 0; k < STEP_MAX_BYTES; k += sizeof(uint64_t)) {
		uint64_t r = load_random(&c->stamp);

		memcpy(c->buf + k, &r, sizeof(r));
	}
	if (mkdirat(m->dir, name, 0700) < 0)
		return -errno;
	c->dir = openat(m->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return c->dir < 0 ? -errno : 0;
}

/* 0, or -errno after an error line. */
static int prepare(struct mixed_load *m)
{
	int top, err;

	err = m->loadfile ? loadfile_read(&m->file, m->loadfile) : loadfile_mix(&m->file, 1);
	if (err)
		return err;
	top = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(m->name, sizeof(m->name), "vstor-bench.%ld", (long)getpid());
	if (top < 0 || mkdirat(top, m->name, 0700) < 0)
		err = -errno;
	else
		m->dir = openat(top, m->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!err && m->dir < 0)
		err = -errno;
	if (top >= 0)
		close(top);
	for (unsigned i = 0; !err && i < m->clients; i++)
		err = prepare_client(m, i);
	if (err)
		log_error("%s: %s; it is to be a directory where files can be made (a device: "
			  "--raw)",
			  m->path, strerror(-err));
	return err;
}

static bool open_disk(int argc, char **argv, struct load_spec *spec, struct console *con,
		      int *status)
{
	uint64_t clients = 2;
	const char *loadfile = NULL;
	struct load_times times = LOAD_TIMES;
	const struct opt table[] = {
		{"clients", OPT_U64, &clients, "N", "how many at once (default 2)", 1, CLIENTS_MAX},
		{"loadfile", OPT_STRING, &loadfile, "FILE",
		 "do what dbench's loadfile says (default: a mix of our own)", 0, 0},
		LOAD_OPTIONS(times, *con),
		{0},
	};
	const struct opts o = {
		.name = "bench disk",
		.synopsis = "[DIRECTORY] [options]",
		.description = "Clients make, write, read, rename, fsync and remove files in the "
			       "manner of "
			       "dbench,\nin a directory of their own, which is removed at the end: "
			       "bytes a "
			       "second, time a step.\nDIRECTORY is . by default.",
		.table = table,
		.json = &con->json,
		.max_operands = 1,
		.epilog = "`vstor bench disk --raw --help`: reads and writes of one file or "
			  "device instead.",
	};
	struct mixed_load *m;
	int n;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--raw") == 0)
			return load_raw.open(argc, argv, spec, con, status);
	n = opts_parse(&o, argc, argv);
	if (n < 0) {
		*status = opts_exit(n);
		return false;
	}
	*status = 1;
	m = calloc(1, sizeof(*m) + clients * sizeof(m->client[0]));
	if (!m) {
		log_error("out of memory for %llu clients", (unsigned long long)clients);
		return false;
	}
	m->path = n ? argv[1] : ".";
	m->loadfile = loadfile;
	m->clients = clients;
	m->dir = -1;
	for (unsigned i = 0; i < clients; i++)
		m->client[i].dir = -1;
	if (prepare(m)) {
		close_mixed(m);
		return false;
	}
	*spec = (struct load_spec){.name = "disk",
				   .where = m->path,
				   .threads = (unsigned)clients,
				   .times = times,
				   .op = client_step,
				   .describe = describe,
				   .remark = remark,
				   .close = close_mixed,
				   .arg = m};
	return true;
}

const struct load_kind load_disk = {
	"disk", "clients on a file system; --raw: one file or block device", open_disk};
