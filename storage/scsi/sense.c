/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/scsi/sense.h"

#include <string.h>

#include "core/bytes.h"

/* Sense-key specific bytes: field pointer (SPC-4, 4.5.2.4.2). */
static void put_key_specific(uint8_t *p, const struct sense_extra *x)
{
	if (x->progress) { /* progress indication, 4.5.2.4.4 */
		p[0] = 0x80;
		put_be16(p + 1, x->progress);
		return;
	}
	p[0] = (uint8_t)(0x80 | (x->in_cdb ? 0x40 : 0) | (x->bit >= 0 ? 0x08 | x->bit : 0));
	put_be16(p + 1, (uint16_t)x->field);
}

static unsigned build_descriptor(uint8_t *out, uint8_t key, uint16_t asc,
				 const struct sense_extra *x)
{
	unsigned n = 8;
	out[0] = 0x72;
	out[1] = key;
	put_be16(out + 2, asc);
	if (x && x->has_info) { /* information descriptor, 4.5.2.2 */
		out[n] = 0x00;
		out[n + 1] = 0x0a;
		out[n + 2] = 0x80;
		put_be64(out + n + 4, x->info);
		n += 12;
	}
	if (x && (x->field >= 0 || x->progress)) { /* sense-key specific descriptor, 4.5.2.4 */
		out[n] = 0x02;
		out[n + 1] = 0x06;
		put_key_specific(out + n + 4, x);
		n += 8;
	}
	out[7] = (uint8_t)(n - 8);
	return n;
}

unsigned sense_build(uint8_t *out, bool descriptor, uint8_t key, uint16_t asc,
		     const struct sense_extra *x)
{
	memset(out, 0, SENSE_MAX);
	if (descriptor)
		return build_descriptor(out, key, asc, x);
	out[0] = 0x70;
	out[2] = key;
	out[7] = 10;
	put_be16(out + 12, asc);
	if (x && x->has_info && x->info <= UINT32_MAX) {
		out[0] |= 0x80; /* VALID */
		put_be32(out + 3, (uint32_t)x->info);
	}
	if (x && (x->field >= 0 || x->progress))
		put_key_specific(out + 15, x);
	return 18;
}
