#include "storage/lun.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/digest.h"
#include "core/log.h"
#include "storage/scsi/scsi.h"

/* Locally assigned NAA 3 would be 8 bytes and collide; NAA 6 with a hash in place of vendor bits
 * stays the same for one name, number and serial on whatever machine (SPC-4, 7.8.6.6.5). */
static void derive_identity(struct lun *l, const struct lun_config *c)
{
	uint8_t hash[SHA256_LEN];
	struct sha256 s;
	char number[16];
	sha256_init(&s);
	if (c->serial) {
		sha256_update(&s, c->serial, strlen(c->serial));
	} else {
		snprintf(number, sizeof(number), ",%u", c->number);
		sha256_update(&s, c->target, strlen(c->target));
		sha256_update(&s, number, strlen(number));
	}
	sha256_final(&s, hash);
	memcpy(l->naa, hash, sizeof(l->naa));
	l->naa[0] = (uint8_t)(0x60 | (hash[0] & 0x0f));
	if (c->serial)
		snprintf(l->serial, sizeof(l->serial), "%s", c->serial);
	else
		for (unsigned i = 0; i < 8; i++)
			snprintf(l->serial + 2 * i, 3, "%02x", hash[i]);
}

int lun_open(struct lun **out, const struct lun_config *c)
{
	struct lun *l = calloc(1, sizeof(*l));
	int rc = -ENOMEM;
	*out = NULL;
	if (!l)
		return rc;
	l->number = c->number;
	l->block_size = c->block_size;
	l->block_shift = (unsigned)__builtin_ctz(c->block_size);
	l->thin = c->thin;
	l->removable = c->removable;
	l->writethrough = c->disk.writethrough;
	l->waiting_tail = &l->waiting;
	rc = reservations_new(&l->reservations, c->state_path);
	if (rc)
		goto fail;
	rc = disk_open(&l->disk, c->path, &c->disk);
	if (rc)
		goto fail;
	l->blocks = disk_size(l->disk) >> l->block_shift;
	if (!l->blocks) {
		log_error("%s: smaller than one block of %u bytes", c->path, c->block_size);
		rc = -EINVAL;
		goto fail;
	}
	if (disk_size(l->disk) & (l->block_size - 1))
		log_warn("%s: its size is no multiple of %u: the last %llu bytes are not exported",
			 c->path, l->block_size,
			 (unsigned long long)(disk_size(l->disk) & (l->block_size - 1)));
	derive_identity(l, c);
	*out = l;
	return 0;
fail:
	lun_close(l);
	return rc;
}

void lun_stop(struct lun *l)
{
	if (l->sanitize)
		log_warn("%s: stopped in the middle of SANITIZE: sanitize it again",
			 disk_path(l->disk));
	__atomic_store_n(&l->stopping, true, __ATOMIC_RELAXED);
}

int lun_close(struct lun *l)
{
	int rc;
	if (!l)
		return 0;
	rc = disk_close(l->disk);
	reservations_free(l->reservations);
	free(l->sanitize);
	free(l);
	return rc;
}

void lun_nexus_add(struct lun *l, struct lun_nexus *n, const char *initiator, uint16_t target_port)
{
	*n = (struct lun_nexus){
		.lun = l, .initiator = initiator, .target_port = target_port, .next = l->nexuses};
	l->nexuses = n;
	lun_attention(n, ASC_POWER_ON);
}

void lun_nexus_remove(struct lun_nexus *n)
{
	struct lun *l = n->lun;
	if (!l)
		return;
	for (struct lun_nexus **p = &l->nexuses; *p; p = &(*p)->next) {
		if (*p == n) {
			*p = n->next;
			break;
		}
	}
	/* An I_T nexus loss ends what a nexus alone holds (SAM-5, 6.3.4). */
	if (l->reserved_by == n)
		l->reserved_by = NULL;
	n->lun = NULL;
}

void lun_attention(struct lun_nexus *n, uint16_t code)
{
	for (unsigned i = 0; i < n->ua_n; i++)
		if (n->ua[i] == code)
			return;
	if (n->ua_n < LUN_UA_MAX)
		n->ua[n->ua_n++] = code;
}

void lun_attention_all(struct lun *l, const struct lun_nexus *except, uint16_t code)
{
	for (struct lun_nexus *n = l->nexuses; n; n = n->next)
		if (n != except)
			lun_attention(n, code);
}

void lun_reset(struct lun *l, const struct lun_nexus *by)
{
	l->reserved_by = NULL;
	l->swp = false;
	l->d_sense = false;
	for (struct lun_nexus *n = l->nexuses; n; n = n->next)
		n->prevent = false;
	lun_attention_all(l, NULL, ASC_BUS_DEVICE_RESET);
	(void)by;
}
