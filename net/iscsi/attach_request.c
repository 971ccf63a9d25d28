/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/attach_request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"

int attach_failed(char error[ATTACH_ERROR], int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, ATTACH_ERROR, fmt, ap);
	va_end(ap);
	return err;
}

int attach_via(const char *name, enum attach_via *via)
{
	static const char *const names[] = {[ATTACH_KERNEL] = "kernel",
					    [ATTACH_OPEN_ISCSI] = "open-iscsi",
					    [ATTACH_AOE] = "aoe"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0) {
			*via = (enum attach_via)i;
			return 0;
		}
	return -EINVAL;
}
