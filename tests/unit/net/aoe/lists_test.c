/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/aoe/lists.h"

#include <errno.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "net/aoe/port.h"
#include "tests/unit/check.h"

static const uint8_t a[AOE_MAC] = {2, 0, 0, 0, 0, 0xa}, b[AOE_MAC] = {2, 0, 0, 0, 0, 0xb};
static struct aoe_lists lists;
static uint8_t frame[AOE_BYTES_MAX], mask_error, at;

static void head(uint8_t command, const uint8_t *from)
{
	memset(frame, 0, sizeof(frame));
	memcpy(frame + AOE_SRC, from, AOE_MAC);
	frame[AOE_COMMAND] = command;
}

static uint32_t config(uint8_t command, const char *text)
{
	head(AOE_CONFIG, a);
	frame[AOE_CFG_COMMAND] = command;
	put_be16(frame + AOE_CFG_LENGTH, (uint16_t)strlen(text));
	memcpy(frame + AOE_CFG_STRING, text, strlen(text));
	return AOE_CFG_STRING + (uint32_t)strlen(text);
}

static void test_config(void)
{
	uint32_t len = config(AOE_CFG_SET, "x");
	memset(&lists, 0, sizeof(lists));
	CHECK_EQ(aoe_lists_ask(&lists, frame, len), AOE_LISTS_CHANGE);
	CHECK_EQ(aoe_lists_change(&lists, frame, &mask_error, &at), AOE_OK);
	CHECK_EQ(aoe_lists_change(&lists, frame, &mask_error, &at), AOE_OK); /* repeated */
	CHECK_EQ(aoe_lists_ask(&lists, frame, len - 1), AOE_LISTS_BAD);
	CHECK_EQ(aoe_lists_ask(&lists, frame, AOE_CFG_STRING - 1), AOE_LISTS_SILENT);
	config(AOE_CFG_SET, "y");
	CHECK_EQ(aoe_lists_change(&lists, frame, &mask_error, &at), AOE_CONFIG_PRESENT);
	len = config(AOE_CFG_FORCE, "abc");
	CHECK_EQ(aoe_lists_change(&lists, frame, &mask_error, &at), AOE_OK);
	CHECK_EQ(aoe_lists_answer(&lists, frame), len);
	CHECK_MEM(frame + AOE_CFG_STRING, "abc", 3);
	len = config(AOE_CFG_TEST, "ab");
	CHECK_EQ(aoe_lists_ask(&lists, frame, len), AOE_LISTS_SILENT);
	frame[AOE_CFG_COMMAND] = AOE_CFG_PREFIX;
	CHECK_EQ(aoe_lists_ask(&lists, frame, len), AOE_LISTS_READ);
	frame[AOE_CFG_COMMAND] = AOE_CFG_FORCE + 1;
	CHECK_EQ(aoe_lists_ask(&lists, frame, len), AOE_LISTS_BAD);
	len = config(AOE_CFG_FORCE, "");
	put_be16(frame + AOE_CFG_LENGTH, AOE_CONFIG_MAX + 1);
	CHECK_EQ(aoe_lists_ask(&lists, frame, sizeof(frame)), AOE_LISTS_BAD);
}

static void directive(unsigned i, uint8_t what, const uint8_t *mac)
{
	frame[AOE_MASK_COUNT] = (uint8_t)(i + 1);
	frame[AOE_MASK_DIRECTIVES + 8 * i + 1] = what;
	memcpy(frame + AOE_MASK_DIRECTIVES + 8 * i + 2, mac, AOE_MAC);
}

static void test_masks(void)
{
	uint8_t mac[AOE_MAC] = {4};
	memset(&lists, 0, sizeof(lists));
	CHECK(aoe_macs_admit(&lists.masks, b));
	head(AOE_MASK, a);
	frame[AOE_MASK_COMMAND] = AOE_MASK_EDIT;
	directive(0, AOE_MASK_ADD, a);
	directive(1, 9, b);
	CHECK_EQ(aoe_lists_change(&lists, frame, &mask_error, &at), AOE_OK);
	CHECK_EQ(mask_error, AOE_MASK_BAD_DIRECTIVE);
	CHECK_EQ(at, 1);
	CHECK_EQ(lists.masks.n, 0); /* all or nothing */
	directive(1, AOE_MASK_NONE, b);
	CHECK_EQ(aoe_lists_ask(&lists, frame, AOE_MASK_DIRECTIVES + 15), AOE_LISTS_BAD);
	CHECK_EQ(aoe_lists_ask(&lists, frame, AOE_MASK_DIRECTIVES + 16), AOE_LISTS_CHANGE);
	aoe_lists_change(&lists, frame, &mask_error, &at);
	CHECK(aoe_macs_admit(&lists.masks, a) && !aoe_macs_admit(&lists.masks, b));
	while (lists.masks.n < AOE_MACS_MAX) {
		mac[5]++;
		CHECK(aoe_macs_add(&lists.masks, mac));
	}
	directive(0, AOE_MASK_ADD, b);
	aoe_lists_change(&lists, frame, &mask_error, &at);
	CHECK_EQ(mask_error, AOE_MASK_FULL);
	directive(0, AOE_MASK_DELETE, a);
	directive(1, AOE_MASK_ADD, b);
	aoe_lists_change(&lists, frame, &mask_error, &at);
	CHECK_EQ(mask_error, 0);
	CHECK(!aoe_macs_admit(&lists.masks, a) && aoe_macs_admit(&lists.masks, b));
	CHECK(aoe_lists_answer(&lists, frame) <= 1514); /* Ethernet's largest */
}

static enum aoe_error reserve(uint8_t command, const uint8_t *from, const uint8_t *whom)
{
	head(AOE_RESERVE, from);
	frame[AOE_RES_COMMAND] = command;
	frame[AOE_RES_COUNT] = whom ? 1 : 0;
	if (whom)
		memcpy(frame + AOE_RES_MACS, whom, AOE_MAC);
	return aoe_lists_change(&lists, frame, &mask_error, &at);
}

static void test_reserve(void)
{
	memset(&lists, 0, sizeof(lists));
	CHECK_EQ(reserve(AOE_RES_SET, a, a), AOE_OK);
	CHECK_EQ(reserve(AOE_RES_SET, b, b), AOE_RESERVED);
	CHECK_EQ(reserve(AOE_RES_SET, a, b), AOE_OK); /* handed over */
	CHECK_EQ(reserve(AOE_RES_SET, a, a), AOE_RESERVED);
	CHECK_EQ(reserve(AOE_RES_FORCE, a, a), AOE_OK);
	CHECK_EQ(reserve(AOE_RES_SET, a, NULL), AOE_OK);
	CHECK_EQ(lists.reserved.n, 0);
	frame[AOE_RES_COUNT] = AOE_MACS_MAX + 1;
	CHECK_EQ(aoe_lists_ask(&lists, frame, sizeof(frame)), AOE_LISTS_BAD);
	frame[AOE_RES_COUNT] = 2;
	CHECK_EQ(aoe_lists_ask(&lists, frame, AOE_RES_MACS + 11), AOE_LISTS_BAD);
	CHECK_EQ(aoe_lists_ask(&lists, frame, AOE_RES_MACS - 1), AOE_LISTS_SILENT);
}

static void test_file(void)
{
	static const char *const bad[] = {"",
					  "config 0\nend\n",
					  "config zz\nend\n",
					  "mask 02\nend\n",
					  "mask 02:00:00:00:00:0a",
					  "else\nend\n",
					  "reserve 02:00:00:00:00:0a:\nend\n"};
	struct aoe_lists again;
	char *text;
	memset(&lists, 0, sizeof(lists));
	lists.config_len = 3;
	memcpy(lists.config, "a\0\n", 3);
	aoe_macs_add(&lists.masks, a);
	aoe_macs_add(&lists.masks, b);
	aoe_macs_add(&lists.reserved, b);
	CHECK(aoe_lists_save(&lists, &text) > 0);
	CHECK_EQ(aoe_lists_load(&again, text), 0);
	CHECK_MEM(&again, &lists, sizeof(lists));
	/* Cut off anywhere it is none: it would let in whom it must not. */
	for (size_t n = strlen(text) - 2; n > 0; n--) {
		text[n] = '\0';
		CHECK_EQ(aoe_lists_load(&again, text), -EINVAL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(aoe_lists_load(&again, bad[i]), -EINVAL);
	free(text);
}

static void test_mac(void)
{
	static const char *const bad[] = {"",
					  "02:00:00:00:00",
					  "02:00:00:00:00:0g",
					  "02:00:00:00:00:0a:",
					  "0x:00:00:00:00:0a",
					  "02-00-00-00-00-0a"};
	char text[AOE_MAC_TEXT];
	uint8_t mac[AOE_MAC];
	CHECK_EQ(aoe_mac_parse("02:00:00:00:00:0A", mac), 0);
	CHECK_STR(aoe_mac_text(mac, text), "02:00:00:00:00:0a");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(aoe_mac_parse(bad[i], mac), -EINVAL);
}

int main(void)
{
	CHECK_RUN(test_config);
	CHECK_RUN(test_masks);
	CHECK_RUN(test_reserve);
	CHECK_RUN(test_file);
	CHECK_RUN(test_mac);
	return CHECK_DONE();
}
