/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/xenstore_wire.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

#define HEADER sizeof(struct xsd_sockmsg)

int __real_sigaction(int signo, const struct sigaction *act, struct sigaction *old);

/* What has been gathered of a request. Each thread may be in the midst of one of its own. */
static _Thread_local struct {
	uint8_t bytes[HEADER + XENSTORE_PAYLOAD_MAX];
	size_t have, whole;
} request;

static bool write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

bool __wrap_xs_write_all(int fd, const void *data, unsigned int len)
{
	struct xsd_sockmsg header;

	if (!request.have) {
		if (len != HEADER)
			return write_all(fd, data, len);
		memcpy(&header, data, HEADER);
		if (header.len > XENSTORE_PAYLOAD_MAX)
			return write_all(fd, data, len);
		request.whole = HEADER + header.len;
	}
	if (len > request.whole - request.have) {
		request.have = 0;
		errno = EINVAL;
		return false;
	}
	memcpy(request.bytes + request.have, data, len);
	request.have += len;
	if (request.have < request.whole)
		return true;
	request.have = 0;
	return write_all(fd, request.bytes, request.whole);
}

int __wrap_sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
	static atomic_bool ignored; /* SIGPIPE; whoever changes that by signal() is about to exec */
	int rc;

	if (signo == SIGPIPE && ignored && act && act->sa_handler == SIG_IGN) {
		if (old)
			*old = (struct sigaction){.sa_handler = SIG_IGN};
		return 0;
	}
	rc = __real_sigaction(signo, act, old);
	/* Only when it was so before: libxenstore puts back what it has found. */
	if (signo == SIGPIPE && rc == 0 && act)
		ignored = act->sa_handler == SIG_IGN && old && old->sa_handler == SIG_IGN;
	return rc;
}
