/* SPDX-License-Identifier: BSD-2-Clause */
/* AoE's frames on an interface, as an initiator in user space sends and sees them. */
#ifndef TESTS_AOE_WIRE_H
#define TESTS_AOE_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "net/aoe/frame.h"

#define WIRE_FRAME_MAX 9216u
#define WIRE_BATCH     32u

struct wire {
	int fd;
	uint8_t mac[AOE_MAC]; /* ours */
	unsigned mtu_sectors; /* that a frame takes */
	unsigned n, at;	      /* frames received, and handed over of them */
	uint32_t len[WIRE_BATCH];
	uint8_t frames[WIRE_BATCH][WIRE_FRAME_MAX];
	uint8_t to[AOE_MAC]; /* the target; broadcast before wire_find() */
	uint16_t shelf;
	uint8_t slot;
};

struct wire_target {
	uint8_t mac[AOE_MAC];
	unsigned per_frame, buffers; /* sectors; frames that it takes at a time */
	uint64_t sectors;
	char serial[21], model[41];
	uint8_t identify[512];
};

/* A packet socket for AoE on that interface. 0 or -errno. */
int wire_open(struct wire *w, const char *ifname);
/* Whom frames are for from now on, wherever he is. */
void wire_address(struct wire *w, uint16_t shelf, uint8_t slot);
/* The header of a request to whom wire_address() says, all else of 64 bytes zero. */
void wire_head(const struct wire *w, uint8_t *frame, uint8_t command, uint32_t tag);
/* An ATA command, without its data. */
void wire_ata(const struct wire *w, uint8_t *frame, uint8_t command, uint64_t lba, unsigned sectors,
	      uint32_t tag);
/* Sends one frame as it is. */
void wire_send(const struct wire *w, const void *frame, size_t len);
/* Hands over the frames that are there, until fn() wants no more. How many it got. */
unsigned wire_poll(struct wire *w, bool (*fn)(void *arg, const uint8_t *frame, size_t len),
		   void *arg);
/* Waits for a frame, until `ns` have passed: its length, 0: none came. */
size_t wire_receive(struct wire *w, uint8_t frame[WIRE_FRAME_MAX], uint64_t ns);
/* Sends until a response with this tag comes: its length, 0: none came. Again every 100 ms. */
size_t wire_ask(struct wire *w, const void *frame, size_t len, uint8_t answer[WIRE_FRAME_MAX],
		uint64_t ns);
/* Asks for the target's configuration and identity. 0 or -1. */
int wire_find(struct wire *w, struct wire_target *t, uint64_t ns);

#endif
