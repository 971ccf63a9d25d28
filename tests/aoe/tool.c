/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One AoE request from the command line, and its answer as a line; see usage. Exit status: 0 an
 * answer without an error, 1 one with an error, 2 none came, 3 wrong usage.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "tests/aoe/wire.h"

static struct wire w;
static uint64_t wait_ns = 3 * SEC_NS;
static uint8_t frame[WIRE_FRAME_MAX], answer[WIRE_FRAME_MAX];

static int usage(void)
{
	fputs("tool [-w MS] [-f MAC] INTERFACE SHELF SLOT COMMAND\n"
	      "  -w MS   wait so long; -f MAC  from this address\n"
	      "  find                            who it is\n"
	      "  config read|test|prefix|set|force [TEXT]\n"
	      "  mask [+MAC|-MAC|?MAC]...        edits the list, or reads it\n"
	      "  reserve read|set|force [MAC]...\n"
	      "  ata COMMAND LBA SECTORS [FILL]  with data of this byte\n"
	      "  raw HEX                         whatever follows the Ethernet addresses\n"
	      "  heard                           waits for an answer that nobody asked for\n",
	      stderr);
	return 3;
}

static void parse_mac(const char *text, uint8_t *mac)
{
	unsigned b[AOE_MAC] = {0};
	sscanf(text, "%x:%x:%x:%x:%x:%x", b, b + 1, b + 2, b + 3, b + 4, b + 5);
	for (unsigned i = 0; i < AOE_MAC; i++)
		mac[i] = (uint8_t)b[i];
}

static void print_mac(const uint8_t *m)
{
	printf(" %02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static uint32_t new_tag(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint32_t)t.tv_nsec ^ (uint32_t)t.tv_sec << 20;
}

/* 0, or the exit status; an error has been told of. */
static int ask(size_t len, size_t *got)
{
	*got = wire_ask(&w, frame, len, answer, wait_ns);
	if (!*got) {
		puts("none");
		return 2;
	}
	if (answer[AOE_FLAGS] & AOE_IS_ERROR) {
		printf("error %u\n", answer[AOE_ERROR]);
		return 1;
	}
	return 0;
}

static int ask_padded(size_t len, size_t *got)
{
	return ask(MAX(len, (size_t)AOE_FRAME_MIN), got);
}

static int find(void)
{
	struct wire_target t;
	if (wire_find(&w, &t, wait_ns)) {
		puts("none");
		return 2;
	}
	printf("sectors=%llu frame=%u buffers=%u serial=%s model=%s from",
	       (unsigned long long)t.sectors, t.per_frame, t.buffers, t.serial, t.model);
	print_mac(t.mac);
	putchar('\n');
	return 0;
}

static int config(int argc, char **argv)
{
	static const char *const names[] = {"read", "test", "prefix", "set", "force"};
	const char *text = argc > 1 ? argv[1] : "";
	size_t n = strlen(text), got;
	int rc;
	wire_head(&w, frame, AOE_CONFIG, new_tag());
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(argv[0], names[i]) == 0)
			frame[AOE_CFG_COMMAND] = (uint8_t)i;
	put_be16(frame + AOE_CFG_LENGTH, (uint16_t)n);
	memcpy(frame + AOE_CFG_STRING, text, n);
	rc = ask_padded(AOE_CFG_STRING + n, &got);
	if (rc == 0)
		printf("config '%.*s'\n", get_be16(answer + AOE_CFG_LENGTH),
		       answer + AOE_CFG_STRING);
	return rc;
}

static int mask(int argc, char **argv)
{
	size_t got;
	int rc;
	wire_head(&w, frame, AOE_MASK, new_tag());
	frame[AOE_MASK_COMMAND] = argc ? AOE_MASK_EDIT : AOE_MASK_READ;
	frame[AOE_MASK_COUNT] = (uint8_t)argc;
	for (int i = 0; i < argc; i++) {
		uint8_t *d = frame + AOE_MASK_DIRECTIVES + 8 * i;
		d[0] = 0;
		d[1] = argv[i][0] == '+' ? AOE_MASK_ADD : argv[i][0] == '-' ? AOE_MASK_DELETE : 7;
		parse_mac(argv[i] + 1, d + 2);
	}
	rc = ask_padded(AOE_MASK_DIRECTIVES + 8 * (size_t)argc, &got);
	if (rc)
		return rc;
	printf("mask");
	if (answer[AOE_MASK_ERROR]) {
		printf(" error %u at %u\n", answer[AOE_MASK_ERROR], answer[AOE_MASK_COUNT]);
		return 1;
	}
	for (unsigned i = 0; i < answer[AOE_MASK_COUNT]; i++)
		print_mac(answer + AOE_MASK_DIRECTIVES + 8 * i + 2);
	putchar('\n');
	return 0;
}

static int reserve(int argc, char **argv)
{
	size_t got;
	int rc;
	wire_head(&w, frame, AOE_RESERVE, new_tag());
	frame[AOE_RES_COMMAND] = strcmp(argv[0], "set") == 0	 ? AOE_RES_SET
				 : strcmp(argv[0], "force") == 0 ? AOE_RES_FORCE
								 : AOE_RES_READ;
	frame[AOE_RES_COUNT] = (uint8_t)(argc - 1);
	for (int i = 1; i < argc; i++)
		parse_mac(argv[i], frame + AOE_RES_MACS + AOE_MAC * (i - 1));
	rc = ask_padded(AOE_RES_MACS + AOE_MAC * ((size_t)argc - 1), &got);
	if (rc)
		return rc;
	printf("reserve");
	for (unsigned i = 0; i < answer[AOE_RES_COUNT]; i++)
		print_mac(answer + AOE_RES_MACS + AOE_MAC * i);
	putchar('\n');
	return 0;
}

static int ata(int argc, char **argv)
{
	uint8_t command = (uint8_t)strtoul(argv[0], NULL, 16);
	uint64_t lba = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	unsigned sectors = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	size_t data = argc > 3 ? sectors * AOE_SECTOR : 0, got;
	int rc;
	wire_ata(&w, frame, command, lba, sectors, new_tag());
	if (data)
		memset(frame + AOE_ATA_DATA, atoi(argv[3]), data);
	rc = ask_padded(AOE_ATA_DATA + data, &got);
	if (rc)
		return rc;
	printf("status %02x error %02x", answer[AOE_ATA_COMMAND], answer[AOE_ATA_FEATURE]);
	if (got >= AOE_ATA_DATA + sectors * AOE_SECTOR && sectors) {
		const uint8_t *p = answer + AOE_ATA_DATA;
		size_t n = sectors * AOE_SECTOR, same = 1;
		while (same < n && p[same] == p[0])
			same++;
		if (same == n)
			printf(" all %u", p[0]);
		else
			printf(" mixed");
	}
	putchar('\n');
	return answer[AOE_ATA_COMMAND] & ATA_ERR ? 1 : 0;
}

static int raw(const char *hex)
{
	size_t n = AOE_TYPE, got;
	wire_head(&w, frame, 0, new_tag());
	for (; isxdigit((unsigned char)hex[0]) && n < sizeof(frame); hex += 2) {
		unsigned v;
		sscanf(hex, "%2x", &v);
		frame[n++] = (uint8_t)v;
	}
	if (ask(n, &got))
		return answer[AOE_FLAGS] & AOE_IS_ERROR ? 1 : 2;
	puts("answered");
	return 0;
}

static int heard(void)
{
	uint64_t end = clock_ns() + wait_ns;
	while (clock_ns() < end) {
		size_t n = wire_receive(&w, answer, end - clock_ns());
		if (n >= AOE_CFG_STRING && answer[AOE_FLAGS] & AOE_RESPONSE &&
		    get_be16(answer + AOE_SHELF) == w.shelf && answer[AOE_SLOT] == w.slot) {
			printf("heard frame=%u\n", answer[AOE_CFG_SECTORS]);
			return 0;
		}
	}
	puts("none");
	return 2;
}

static int run(int argc, char **argv)
{
	if (strcmp(argv[0], "find") == 0)
		return find();
	if (strcmp(argv[0], "heard") == 0)
		return heard();
	if (strcmp(argv[0], "mask") == 0)
		return mask(argc - 1, argv + 1);
	if (argc < 2)
		return usage();
	if (strcmp(argv[0], "config") == 0)
		return config(argc - 1, argv + 1);
	if (strcmp(argv[0], "reserve") == 0)
		return reserve(argc - 1, argv + 1);
	if (strcmp(argv[0], "ata") == 0)
		return ata(argc - 1, argv + 1);
	if (strcmp(argv[0], "raw") == 0)
		return raw(argv[1]);
	return usage();
}

int main(int argc, char **argv)
{
	const char *from = NULL;
	int rc;
	for (argc--, argv++; argc > 1 && argv[0][0] == '-'; argc -= 2, argv += 2) {
		if (strcmp(argv[0], "-w") == 0)
			wait_ns = (uint64_t)atoi(argv[1]) * MS_NS;
		else
			from = argv[1];
	}
	if (argc < 4)
		return usage();
	rc = wire_open(&w, argv[0]);
	if (rc) {
		fprintf(stderr, "tool: %s: %s\n", argv[0], strerror(-rc));
		return 3;
	}
	wire_address(&w, (uint16_t)atoi(argv[1]), (uint8_t)atoi(argv[2]));
	if (from)
		parse_mac(from, w.mac);
	return run(argc - 3, argv + 3);
}
