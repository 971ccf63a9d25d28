/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/iscsi/server.h"

#include <stdlib.h>
#include <string.h>

struct target *target_find(struct target_server *s, const char *name)
{
	struct target *t = s->targets;
	/* iqn names are compared after folding to lower case (RFC 3722). */
	while (t && strcasecmp(t->name, name))
		t = t->next;
	return t;
}

struct target *target_server_get(struct target_server *s, const char *name)
{
	struct target *t = target_find(s, name), **p;
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->name = strdup(name);
	if (!t->name) {
		free(t);
		return NULL;
	}
	for (p = &s->targets; *p; p = &(*p)->next)
		;
	*p = t;
	return t;
}

const char *target_name(const struct target *t)
{
	return t->name;
}

struct lun *target_find_lun(const struct target *t, unsigned number)
{
	for (unsigned i = 0; i < t->luns_n; i++)
		if (t->luns[i]->number == number)
			return t->luns[i];
	return NULL;
}
