/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/bench/far.h"

#include <string.h>

static bool begins(const char *path, const char *scheme)
{
	return strncmp(path, scheme, strlen(scheme)) == 0;
}

bool far_named(const char *path)
{
	return begins(path, REMOTE_LUN_SCHEME) || begins(path, AOE_REMOTE_SCHEME);
}

void far_init(struct far *f)
{
	*f = (struct far){.lun.fd = -1, .disk.fd = -1};
}

int far_open(struct far *f, const char *path, char error[FAR_ERROR])
{
	int err;

	far_init(f);
	f->aoe = begins(path, AOE_REMOTE_SCHEME);
	err = f->aoe ? aoe_remote_open(&f->disk, path, error)
		     : remote_lun_open(&f->lun, path, error);
	if (err)
		return err;
	f->block = f->aoe ? AOE_SECTOR : f->lun.block;
	f->size = (f->aoe ? f->disk.sectors : f->lun.blocks) * f->block;
	return 0;
}

ssize_t far_read(struct far *f, void *p, size_t n, uint64_t at)
{
	return f->aoe ? aoe_remote_read(&f->disk, p, n, at) : remote_lun_read(&f->lun, p, n, at);
}

ssize_t far_write(struct far *f, const void *p, size_t n, uint64_t at)
{
	return f->aoe ? aoe_remote_write(&f->disk, p, n, at) : remote_lun_write(&f->lun, p, n, at);
}

int far_flush(struct far *f)
{
	return f->aoe ? aoe_remote_flush(&f->disk) : remote_lun_flush(&f->lun);
}

void far_close(struct far *f)
{
	aoe_remote_close(&f->disk);
	remote_lun_close(&f->lun);
}
