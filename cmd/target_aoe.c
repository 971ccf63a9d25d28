/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/target_aoe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"

static int bad(const char *word, const char *what)
{
	log_error("--aoe %s: %s; write it as IFACE[,shelf=0..65534][,slot=0..254]", word, what);
	return -EINVAL;
}

static int parse_key(struct aoe_setup *s, const char *word, char *key)
{
	char *value = strchr(key, '=');
	uint64_t n;
	if (!value)
		return bad(word, "a key without a value");
	*value++ = '\0';
	if (parse_u64(value, &n))
		return bad(word, "a value that is no number");
	if (strcmp(key, "shelf") == 0) {
		if (n >= AOE_SHELF_ALL)
			return bad(word, "no such shelf");
		s->shelf = (uint16_t)n;
	} else if (strcmp(key, "slot") == 0) {
		if (n >= AOE_SLOT_ALL)
			return bad(word, "no such slot");
		s->slot = (uint8_t)n;
	} else {
		return bad(word, "an unknown key");
	}
	return 0;
}

static int parse(struct aoe_setup *s, const char *word)
{
	char copy[128], *rest = copy, *part;
	*s = (struct aoe_setup){.shelf = 0};
	if ((size_t)snprintf(copy, sizeof(copy), "%s", word) >= sizeof(copy))
		return bad(word, "too long");
	part = strsep(&rest, ",");
	if (!*part || strlen(part) >= sizeof(s->ifname))
		return bad(word, "no name of an interface");
	strcpy(s->ifname, part);
	while ((part = strsep(&rest, ","))) {
		int rc = parse_key(s, word, part);
		if (rc)
			return rc;
	}
	return 0;
}

int aoe_setups_parse(struct aoe_setup *setups, const struct opt_list *words)
{
	if (words->n > TARGET_MAX_AOE) {
		log_error("--aoe: more than %d of them", TARGET_MAX_AOE);
		return -EINVAL;
	}
	for (size_t i = 0; i < words->n; i++) {
		if (parse(&setups[i], words->v[i]))
			return -EINVAL;
		for (size_t k = 0; k < i; k++)
			if (strcmp(setups[k].ifname, setups[i].ifname) == 0)
				return bad(words->v[i], "this interface has been named before");
	}
	return 0;
}

int aoe_allow_parse(struct aoe_macs *allow, const struct opt_list *words)
{
	for (size_t i = 0; i < words->n; i++) {
		uint8_t mac[AOE_MAC];
		if (aoe_mac_parse(words->v[i], mac)) {
			log_error("--aoe-allow %s: not an Ethernet address; write it as "
				  "52:54:00:12:34:56",
				  words->v[i]);
			return -EINVAL;
		}
		if (!aoe_macs_add(allow, mac)) {
			log_error("--aoe-allow: more than %u of them", AOE_MACS_MAX);
			return -EINVAL;
		}
	}
	return 0;
}
