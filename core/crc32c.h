/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC32C (Castagnoli), as in iSCSI digests (RFC 7143, 13.1; RFC 3720 appendix B.4). */
#ifndef CORE_CRC32C_H
#define CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 at the start) over n bytes. Uses the CPU's instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

#endif
