/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/target_open.h"

#include <errno.h>
#include <fcntl.h>

#include "core/fds.h"
#include "core/log.h"

int target_open_file(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int target_open(struct opener *o, enum target_thing what, const char *name)
{
	int fds[FDS_MAX], n;
	if (!o)
		return target_open_file(name);
	n = opener_ask(o, what, name, fds);
	if (n == -EPIPE)
		log_error("%s: who opened files for this target is gone; restart it", name);
	return n == 1 ? fds[0] : n < 0 ? n : -EPROTO;
}
