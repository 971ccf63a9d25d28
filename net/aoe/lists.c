/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/aoe/lists.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/bytes.h"

/* ---- lists of addresses ---- */

static int find(const struct aoe_macs *m, const uint8_t *mac)
{
	for (unsigned i = 0; i < m->n; i++)
		if (memcmp(m->v[i], mac, AOE_MAC) == 0)
			return (int)i;
	return -1;
}

bool aoe_macs_admit(const struct aoe_macs *m, const uint8_t *mac)
{
	return !m->n || find(m, mac) >= 0;
}

bool aoe_macs_add(struct aoe_macs *m, const uint8_t *mac)
{
	if (find(m, mac) >= 0)
		return true;
	if (m->n == AOE_MACS_MAX)
		return false;
	memcpy(m->v[m->n++], mac, AOE_MAC);
	return true;
}

static void delete (struct aoe_macs *m, const uint8_t *mac)
{
	int i = find(m, mac);
	if (i < 0)
		return;
	m->n--;
	memmove(m->v[i], m->v[i + 1], (m->n - (unsigned)i) * AOE_MAC);
}

const char *aoe_mac_text(const uint8_t *mac, char buf[AOE_MAC_TEXT])
{
	snprintf(buf, AOE_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		 mac[4], mac[5]);
	return buf;
}

int aoe_mac_parse(const char *text, uint8_t mac[AOE_MAC])
{
	for (unsigned i = 0; i < AOE_MAC; i++, text += 3) {
		unsigned v;
		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
		    text[2] != (i < AOE_MAC - 1 ? ':' : '\0') || sscanf(text, "%2x", &v) != 1)
			return -EINVAL;
		mac[i] = (uint8_t)v;
	}
	return 0;
}

/* ---- what a frame asks for ---- */

static enum aoe_lists_do ask_config(const struct aoe_lists *l, const uint8_t *f, uint32_t len)
{
	unsigned command, n;
	if (len < AOE_CFG_STRING)
		return AOE_LISTS_SILENT;
	command = f[AOE_CFG_COMMAND] & 0x0f;
	n = get_be16(f + AOE_CFG_LENGTH);
	if (command == AOE_CFG_READ)
		return AOE_LISTS_READ;
	if (command > AOE_CFG_FORCE || n > AOE_CONFIG_MAX || n > len - AOE_CFG_STRING)
		return AOE_LISTS_BAD;
	if (command == AOE_CFG_SET || command == AOE_CFG_FORCE)
		return AOE_LISTS_CHANGE;
	if (n > l->config_len || (command == AOE_CFG_TEST && n != l->config_len) ||
	    memcmp(l->config, f + AOE_CFG_STRING, n) != 0)
		return AOE_LISTS_SILENT;
	return AOE_LISTS_READ;
}

static enum aoe_lists_do ask_mask(const uint8_t *f, uint32_t len)
{
	if (len < AOE_MASK_DIRECTIVES)
		return AOE_LISTS_SILENT;
	if (f[AOE_MASK_COMMAND] == AOE_MASK_READ)
		return AOE_LISTS_READ;
	if (f[AOE_MASK_COMMAND] != AOE_MASK_EDIT ||
	    len - AOE_MASK_DIRECTIVES < f[AOE_MASK_COUNT] * AOE_DIRECTIVE)
		return AOE_LISTS_BAD;
	return AOE_LISTS_CHANGE;
}

static enum aoe_lists_do ask_reserve(const uint8_t *f, uint32_t len)
{
	if (len < AOE_RES_MACS)
		return AOE_LISTS_SILENT;
	if (f[AOE_RES_COMMAND] == AOE_RES_READ)
		return AOE_LISTS_READ;
	if (f[AOE_RES_COMMAND] > AOE_RES_FORCE || f[AOE_RES_COUNT] > AOE_MACS_MAX ||
	    len - AOE_RES_MACS < f[AOE_RES_COUNT] * (uint32_t)AOE_MAC)
		return AOE_LISTS_BAD;
	return AOE_LISTS_CHANGE;
}

enum aoe_lists_do aoe_lists_ask(const struct aoe_lists *l, const uint8_t *f, uint32_t len)
{
	switch (f[AOE_COMMAND]) {
	case AOE_CONFIG: return ask_config(l, f, len);
	case AOE_MASK: return ask_mask(f, len);
	default: return ask_reserve(f, len);
	}
}

/* ---- changes ---- */

/* Who has set this very string may be repeating it, its answer lost. */
static enum aoe_error set_config(struct aoe_lists *l, const uint8_t *f)
{
	uint16_t n = get_be16(f + AOE_CFG_LENGTH);
	if ((f[AOE_CFG_COMMAND] & 0x0f) == AOE_CFG_SET && l->config_len)
		return l->config_len == n && memcmp(l->config, f + AOE_CFG_STRING, n) == 0
			       ? AOE_OK
			       : AOE_CONFIG_PRESENT;
	l->config_len = n;
	memcpy(l->config, f + AOE_CFG_STRING, n);
	return AOE_OK;
}

static enum aoe_error edit_masks(struct aoe_lists *l, const uint8_t *f, uint8_t *mask_error,
				 uint8_t *at)
{
	struct aoe_macs fresh = l->masks;
	*mask_error = 0;
	for (unsigned i = 0; i < f[AOE_MASK_COUNT]; i++) {
		const uint8_t *d = f + AOE_MASK_DIRECTIVES + (size_t)i * AOE_DIRECTIVE;
		if (d[1] == AOE_MASK_DELETE)
			delete (&fresh, d + 2);
		else if (d[1] > AOE_MASK_DELETE)
			*mask_error = AOE_MASK_BAD_DIRECTIVE;
		else if (d[1] == AOE_MASK_ADD && !aoe_macs_add(&fresh, d + 2))
			*mask_error = AOE_MASK_FULL;
		if (*mask_error) {
			*at = (uint8_t)i;
			return AOE_OK;
		}
	}
	l->masks = fresh;
	return AOE_OK;
}

static enum aoe_error set_reserved(struct aoe_lists *l, const uint8_t *f)
{
	if (f[AOE_RES_COMMAND] == AOE_RES_SET && !aoe_macs_admit(&l->reserved, f + AOE_SRC))
		return AOE_RESERVED;
	l->reserved.n = 0;
	for (unsigned i = 0; i < f[AOE_RES_COUNT]; i++)
		aoe_macs_add(&l->reserved, f + AOE_RES_MACS + (size_t)i * AOE_MAC);
	return AOE_OK;
}

enum aoe_error aoe_lists_change(struct aoe_lists *l, const uint8_t *f, uint8_t *mask_error,
				uint8_t *at)
{
	*mask_error = 0;
	switch (f[AOE_COMMAND]) {
	case AOE_CONFIG: return set_config(l, f);
	case AOE_MASK: return edit_masks(l, f, mask_error, at);
	default: return set_reserved(l, f);
	}
}

/* ---- answers ---- */

uint32_t aoe_lists_answer(const struct aoe_lists *l, uint8_t *f)
{
	switch (f[AOE_COMMAND]) {
	case AOE_CONFIG:
		put_be16(f + AOE_CFG_LENGTH, l->config_len);
		memcpy(f + AOE_CFG_STRING, l->config, l->config_len);
		return AOE_CFG_STRING + l->config_len;
	case AOE_MASK:
		f[AOE_MASK_ERROR] = 0;
		f[AOE_MASK_COUNT] = (uint8_t)l->masks.n;
		for (unsigned i = 0; i < l->masks.n; i++) {
			uint8_t *d = f + AOE_MASK_DIRECTIVES + (size_t)i * AOE_DIRECTIVE;
			d[0] = d[1] = 0;
			memcpy(d + 2, l->masks.v[i], AOE_MAC);
		}
		return AOE_MASK_DIRECTIVES + l->masks.n * AOE_DIRECTIVE;
	default:
		f[AOE_RES_COUNT] = (uint8_t)l->reserved.n;
		memcpy(f + AOE_RES_MACS, l->reserved.v, (size_t)l->reserved.n * AOE_MAC);
		return AOE_RES_MACS + l->reserved.n * AOE_MAC;
	}
}

/* ---- the file ---- */

static void put_macs(struct buf *b, const char *word, const struct aoe_macs *m)
{
	char text[AOE_MAC_TEXT];
	for (unsigned i = 0; i < m->n; i++)
		buf_printf(b, "%s %s\n", word, aoe_mac_text(m->v[i], text));
}

int aoe_lists_save(const struct aoe_lists *l, char **text)
{
	struct buf b = {0};
	buf_printf(&b, "config ");
	for (unsigned i = 0; i < l->config_len; i++)
		buf_printf(&b, "%02x", l->config[i]);
	buf_printf(&b, "\n");
	put_macs(&b, "mask", &l->masks);
	put_macs(&b, "reserve", &l->reserved);
	buf_printf(&b, "end\n");
	buf_put_u8(&b, 0);
	if (b.failed) {
		buf_free(&b);
		return -ENOMEM;
	}
	*text = (char *)b.data;
	return (int)b.len - 1;
}

static int load_config(struct aoe_lists *l, const char *hex)
{
	size_t n = strlen(hex);
	if (n % 2 || n / 2 > AOE_CONFIG_MAX || strspn(hex, "0123456789abcdef") != n)
		return -EINVAL;
	l->config_len = (uint16_t)(n / 2);
	for (size_t i = 0; i < n / 2; i++) {
		unsigned v;
		sscanf(hex + 2 * i, "%2x", &v);
		l->config[i] = (uint8_t)v;
	}
	return 0;
}

static int load_line(struct aoe_lists *l, const char *line)
{
	uint8_t mac[AOE_MAC];
	if (strncmp(line, "config ", 7) == 0)
		return load_config(l, line + 7);
	if (strncmp(line, "mask ", 5) == 0)
		return aoe_mac_parse(line + 5, mac) || !aoe_macs_add(&l->masks, mac) ? -EINVAL : 0;
	if (strncmp(line, "reserve ", 8) == 0)
		return aoe_mac_parse(line + 8, mac) || !aoe_macs_add(&l->reserved, mac) ? -EINVAL
											: 0;
	return -EINVAL;
}

int aoe_lists_load(struct aoe_lists *l, const char *text)
{
	char *copy = strdup(text), *rest = copy, *line;
	int rc = copy ? -EINVAL : -ENOMEM;
	memset(l, 0, sizeof(*l));
	while (copy && (line = strsep(&rest, "\n"))) {
		if (strcmp(line, "end") == 0) {
			rc = 0;
			break;
		}
		if (load_line(l, line))
			break;
	}
	free(copy);
	return rc;
}
