/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What initiators may leave with an AoE target (AoEr11, 3.2 to 3.4): a configuration string, a list
 * of those who get an answer (MAC mask list), and one of those who may read and write (reserve
 * list). Each of the lists lets everybody in while it is empty.
 */
#ifndef NET_AOE_LISTS_H
#define NET_AOE_LISTS_H

#include <stdbool.h>
#include <stdint.h>

#include "net/aoe/frame.h"

struct aoe_macs {
	unsigned n;
	uint8_t v[AOE_MACS_MAX][AOE_MAC];
};

struct aoe_lists {
	uint16_t config_len;
	uint8_t config[AOE_CONFIG_MAX];
	struct aoe_macs masks, reserved;
};

/* Does the list let it in: is it empty, or has it this one? */
bool aoe_macs_admit(const struct aoe_macs *m, const uint8_t *mac);

enum aoe_lists_do {
	AOE_LISTS_SILENT, /* no answer */
	AOE_LISTS_READ,	  /* it asks only: aoe_lists_answer() */
	AOE_LISTS_CHANGE, /* it wants a change: aoe_lists_change() */
	AOE_LISTS_BAD,	  /* a bad argument */
};
/* What a frame of len bytes (its command one of config, mask, reserve) is about. */
enum aoe_lists_do aoe_lists_ask(const struct aoe_lists *l, const uint8_t *frame, uint32_t len);

/*
 * Makes the change that a frame asks for, for which aoe_lists_ask() has said so. Of one frame all
 * is done or nothing. AOE_OK, or why not; a mask list's own error is in *mask_error then, with the
 * directive that is to blame in *at.
 */
enum aoe_error aoe_lists_change(struct aoe_lists *l, const uint8_t *frame, uint8_t *mask_error,
				uint8_t *at);

/* Adds one that is not in it yet; false: the list is full. */
bool aoe_macs_add(struct aoe_macs *m, const uint8_t *mac);

/* Puts the answer's own part into the frame, which has room for AOE_BYTES_MAX: all but the header,
 * and but for what a config query tells of the port. Its length. */
uint32_t aoe_lists_answer(const struct aoe_lists *l, uint8_t *frame);

/* A text of lines, for a file. *text is the caller's to free; its length, or -ENOMEM. */
int aoe_lists_save(const struct aoe_lists *l, char **text);
/* Takes it back. -EINVAL: it is none. */
int aoe_lists_load(struct aoe_lists *l, const char *text);

/* "52:54:00:00:00:01" and back: 0 or -EINVAL. */
#define AOE_MAC_TEXT 18
const char *aoe_mac_text(const uint8_t *mac, char buf[AOE_MAC_TEXT]);
int aoe_mac_parse(const char *text, uint8_t mac[AOE_MAC]);

#endif
