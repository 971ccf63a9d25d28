/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/scsi/pr_state.h"

#include <string.h>
#include <strings.h>

#include "storage/scsi/limits.h"
#include "storage/scsi/scsi.h"

bool pr_type_valid(unsigned type)
{
	return type == PR_WRITE_EXCLUSIVE || type == PR_EXCLUSIVE_ACCESS ||
	       (type >= PR_WRITE_EXCLUSIVE_REGISTRANTS && type <= PR_EXCLUSIVE_ACCESS_ALL);
}

bool pr_type_all(enum pr_type type)
{
	return type >= PR_WRITE_EXCLUSIVE_ALL;
}

bool pr_type_registrants(enum pr_type type)
{
	return type >= PR_WRITE_EXCLUSIVE_REGISTRANTS;
}

bool pr_type_exclusive(enum pr_type type)
{
	return type == PR_EXCLUSIVE_ACCESS || type == PR_EXCLUSIVE_ACCESS_REGISTRANTS ||
	       type == PR_EXCLUSIVE_ACCESS_ALL;
}

/* iSCSI names are in lower case, but the ISID's digits may be in either. */
int pr_find_port(const struct pr_state *s, const char *initiator, uint16_t target_port)
{
	for (unsigned i = 0; i < s->n; i++) {
		const struct registration *reg = &s->reg[i];
		if (!reg->gone && (reg->all_ports || reg->target_port == target_port) &&
		    strcasecmp(reg->initiator, initiator) == 0)
			return (int)i;
	}
	return -1;
}

bool pr_matches(const struct registration *reg, const struct lun_nexus *n)
{
	return (reg->all_ports || reg->target_port == n->target_port) &&
	       strcasecmp(reg->initiator, n->initiator) == 0;
}

int pr_find(const struct pr_state *s, const struct lun_nexus *n)
{
	return pr_find_port(s, n->initiator, n->target_port);
}

bool pr_holds(const struct pr_state *s, int i)
{
	return s->type != PR_NONE && i >= 0 && (pr_type_all(s->type) || s->holder == i);
}

bool reservations_permit(const struct lun_nexus *n, uint8_t flags)
{
	const struct pr_state *s = &n->lun->reservations->now;
	int self;

	if (n->lun->reserved_by && n->lun->reserved_by != n && !(flags & OP_ALWAYS))
		return false;
	if (s->type == PR_NONE || !(flags & (OP_CONFLICT_READ | OP_CONFLICT_WRITE)))
		return true;
	if (!(flags & OP_CONFLICT_WRITE) && !pr_type_exclusive(s->type))
		return true;
	self = pr_find(s, n);
	return self >= 0 && (pr_type_registrants(s->type) || s->holder == self);
}

/* ---- steps of a change ---- */

int pr_add(struct pr_state *s, const char *initiator, uint16_t target_port, uint64_t key)
{
	struct registration *reg = &s->reg[s->n];
	size_t len = strlen(initiator);
	if (s->n == LIMIT_REGISTRATIONS || len >= sizeof(reg->initiator))
		return -1;
	*reg = (struct registration){.key = key, .target_port = target_port};
	memcpy(reg->initiator, initiator, len + 1);
	return (int)s->n++;
}

bool pr_any_left(const struct pr_state *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (!s->reg[i].gone)
			return true;
	return false;
}

void pr_notify(struct pr_state *s, int except, uint16_t code)
{
	for (unsigned i = 0; i < s->n; i++)
		if (!s->reg[i].gone && (int)i != except)
			s->reg[i].attention = code;
}

void pr_release(struct pr_state *s)
{
	s->type = PR_NONE;
	s->holder = -1;
}

void pr_unregister(struct pr_state *s, int i)
{
	s->reg[i].gone = true;
	if (s->holder == i) {
		if (pr_type_registrants(s->type))
			pr_notify(s, i, ASC_RESERVATIONS_RELEASED);
		pr_release(s);
	} else if (!pr_any_left(s)) { /* the last of all registrants */
		pr_release(s);
	}
}

void pr_copy(struct pr_state *to, const struct pr_state *from)
{
	struct registration *reg = to->reg;
	memcpy(reg, from->reg, from->n * sizeof(*reg));
	*to = *from;
	to->reg = reg;
}
