/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/lun.h"

#include "storage/scsi/sense.h"

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
	lun_ended(l);
}

void lun_attention(struct lun_nexus *n, uint16_t code)
{
	for (unsigned i = 0; i < n->ua_n; i++)
		if (n->ua[i] == code)
			return;
	if (n->ua_n < LUN_UA_MAX)
		n->ua[n->ua_n++] = code;
}

void lun_attention_clear(struct lun_nexus *n, uint16_t code)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < n->ua_n; i++)
		if (n->ua[i] != code)
			n->ua[kept++] = n->ua[i];
	n->ua_n = (uint8_t)kept;
}

void lun_attention_all(struct lun *l, const struct lun_nexus *except, uint16_t code)
{
	for (struct lun_nexus *n = l->nexuses; n; n = n->next)
		if (n != except)
			lun_attention(n, code);
}

void lun_reset(struct lun *l)
{
	l->reserved_by = NULL;
	l->swp = false;
	l->d_sense = false;
	for (struct lun_nexus *n = l->nexuses; n; n = n->next)
		n->prevent = false;
	lun_attention_all(l, NULL, ASC_BUS_DEVICE_RESET);
}

void lun_ended(struct lun *l)
{
	/* From the loop: the caller may be deep in a command of this LUN. */
	if (l->retiring)
		loop_defer(disk_engine_loop(l->change.engine), &l->change.check);
}
