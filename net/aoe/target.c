/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/aoe/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/json.h"
#include "core/log.h"
#include "net/aoe/disk.h"
#include "net/aoe/port.h"

#define SLOTS	     255u /* 255 means all of them */
#define QUESTIONS    3u
#define QUESTION_TAG 0x76737472u /* of one who wants the address: "vstr" */
#define NOT_SERVED   "it is not served by AoE"

uint64_t aoe_question_gap = 100 * MS_NS;

/* A disk's address on one interface. */
struct address {
	struct aoe_disk *disk; /* NULL: none has it */
	enum { AWAY, ASKING, OURS, TAKEN } state;
	unsigned asked;
};

struct aoe_way {
	struct aoe_target *target;
	struct aoe_port port;
	uint8_t slot; /* of LUN 0 */
	struct address at[SLOTS];
	struct aoe_disk *last;	 /* who got the last frame of this turn */
	int bound;		 /* the interface's index; 0: to none */
	const char *why;	 /* it is not served; NULL: it is */
	struct loop_timer timer; /* the next questions */
	struct aoe_way *next;
};

struct aoe_target {
	const struct aoe_macs *allow;
	struct loop *loop; /* NULL: not started */
	struct disk_engine *engine;
	struct aoe_way *ways;
	struct aoe_disk *disks, *retired;
	void (*drained)(void *arg);
	void *drained_arg;
	struct loop_task drain;
};

static struct log_limit others = {.burst = 5, .period_ns = 60 * SEC_NS};

/* ---- addresses ---- */

static const char *ifname(const struct aoe_way *w)
{
	return w->port.link.name;
}

static const uint8_t everybody[AOE_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct aoe_frame *new_frame(struct aoe_way *w, const uint8_t *to, unsigned slot)
{
	struct aoe_frame *f = aoe_port_frame(&w->port);
	uint8_t *p = f ? f->data : NULL;
	if (!f)
		return NULL;
	memset(p, 0, AOE_FRAME_MIN);
	memcpy(p + AOE_DST, to, AOE_MAC);
	memcpy(p + AOE_SRC, w->port.link.now.mac, AOE_MAC);
	put_be16(p + AOE_TYPE, AOE_ETHERTYPE);
	p[AOE_FLAGS] = AOE_VERSION_1;
	put_be16(p + AOE_SHELF, w->port.shelf);
	p[AOE_SLOT] = (uint8_t)slot;
	p[AOE_COMMAND] = AOE_CONFIG;
	f->len = AOE_FRAME_MIN;
	return f;
}

static void question(struct aoe_way *w, unsigned slot)
{
	struct aoe_frame *f = new_frame(w, everybody, slot);
	if (!f)
		return;
	put_be32(f->data + AOE_TAG, QUESTION_TAG);
	aoe_port_send(f);
}

/* An answer that nobody has asked for, to all; but not to those who get none. */
static void tell(struct aoe_way *w, unsigned slot)
{
	const struct aoe_macs *allow = w->target->allow;
	for (unsigned i = 0; i < MAX(allow->n, 1u); i++) {
		struct aoe_frame *f = new_frame(w, allow->n ? allow->v[i] : everybody, slot);
		if (f)
			aoe_disk_tell(w->at[slot].disk, f);
	}
}

static void ours(struct aoe_way *w, unsigned slot)
{
	struct address *a = &w->at[slot];
	a->state = OURS;
	log_info("%s: e%u.%u by AoE on %s, %u sectors a frame", disk_path(a->disk->lun->disk),
		 w->port.shelf, slot, ifname(w), aoe_port_sectors(&w->port));
	tell(w, slot);
}

static void taken(struct aoe_way *w, unsigned slot, const uint8_t *mac)
{
	struct address *a = &w->at[slot];
	char text[AOE_MAC_TEXT];
	a->state = TAKEN;
	log_error("%s: e%u.%u is in use on %s, %s answers for it: " NOT_SERVED
		  " there; choose another shelf= or slot=",
		  disk_path(a->disk->lun->disk), w->port.shelf, slot, ifname(w),
		  aoe_mac_text(mac, text));
}

static void ask_on(void *arg)
{
	struct aoe_way *w = arg;
	bool more = false;
	for (unsigned i = 0; i < SLOTS; i++) {
		struct address *a = &w->at[i];
		if (a->state != ASKING)
			continue;
		if (a->asked++ == QUESTIONS) {
			ours(w, i);
			continue;
		}
		question(w, i);
		more = true;
	}
	if (more)
		loop_timer_set(w->target->loop, &w->timer, aoe_question_gap, ask_on, w);
}

/* ---- the interface ---- */

static const char *unfit(const struct aoe_way *w)
{
	const struct link_state *s = &w->port.link.now;
	if (!s->index)
		return "no such interface; AoE waits for it";
	if (!s->ethernet)
		return "not Ethernet; name another interface for AoE";
	if (!aoe_port_sectors(&w->port))
		return "its MTU is too small; AoE waits for one of 534 or more, as a sector takes";
	if (!s->running)
		return "the link is down; AoE waits for it";
	return NULL;
}

/* Once for each reason. True: it can be served. */
static bool fit(struct aoe_way *w)
{
	const char *why = unfit(w);
	if (why && why != w->why)
		log_error("--aoe %s: %s; all else goes on", ifname(w), why);
	w->why = why;
	return !why;
}

static void leave(struct aoe_way *w)
{
	w->bound = 0;
	loop_timer_del(w->target->loop, &w->timer);
	for (unsigned i = 0; i < SLOTS; i++)
		w->at[i].state = AWAY;
}

static void ask_from_now(struct aoe_way *w)
{
	if (!w->timer.pos)
		loop_timer_set(w->target->loop, &w->timer, 0, ask_on, w);
}

static void enter(struct aoe_way *w)
{
	int rc = aoe_port_bind(&w->port);
	w->bound = rc ? 0 : w->port.link.now.index;
	if (rc) {
		log_error("--aoe %s: %s; AoE waits for it to change", ifname(w), strerror(-rc));
		return;
	}
	for (unsigned i = 0; i < SLOTS; i++)
		if (w->at[i].disk)
			w->at[i] = (struct address){.disk = w->at[i].disk, .state = ASKING};
	ask_from_now(w);
}

static void on_link(void *arg)
{
	struct aoe_way *w = arg;
	if (!fit(w)) {
		leave(w);
	} else if (w->bound != w->port.link.now.index) {
		leave(w);
		enter(w);
	} else { /* it may take larger frames now, or smaller ones */
		for (unsigned i = 0; i < SLOTS; i++)
			if (w->at[i].state == OURS)
				tell(w, i);
	}
}

/* ---- frames ---- */

static bool is_ours(const struct aoe_target *t, const uint8_t *mac)
{
	for (const struct aoe_way *w = t->ways; w; w = w->next)
		if (memcmp(w->port.link.now.mac, mac, AOE_MAC) == 0)
			return true;
	return false;
}

/* Somebody answers for what is ours. */
static void on_response(struct aoe_way *w, const uint8_t *p)
{
	unsigned slot = p[AOE_SLOT], more;
	char text[AOE_MAC_TEXT];
	if (slot >= SLOTS || get_be16(p + AOE_SHELF) != w->port.shelf ||
	    is_ours(w->target, p + AOE_SRC))
		return;
	if (w->at[slot].state == ASKING)
		taken(w, slot, p + AOE_SRC);
	else if (w->at[slot].state == OURS && log_allowed(&others, &more))
		log_error("%s: %s on %s answers for e%u.%u, too: initiators take it for a way to "
			  "this disk, and data will be lost: stop one of the two",
			  disk_path(w->at[slot].disk->lun->disk), aoe_mac_text(p + AOE_SRC, text),
			  ifname(w), w->port.shelf, slot);
}

/* Another one wants the same address at the same time: of two, one gets it. */
static void on_rival(struct aoe_way *w, const uint8_t *p)
{
	if (get_be32(p + AOE_TAG) == QUESTION_TAG && p[AOE_COMMAND] == AOE_CONFIG &&
	    !is_ours(w->target, p + AOE_SRC) &&
	    memcmp(p + AOE_SRC, w->port.link.now.mac, AOE_MAC) < 0)
		taken(w, p[AOE_SLOT], p + AOE_SRC);
}

static void give(struct aoe_way *w, unsigned slot, struct aoe_frame *f)
{
	struct aoe_disk *d = w->at[slot].disk;
	if (w->last && w->last != d)
		aoe_disk_turn(w->last);
	w->last = d;
	put_be16(f->data + AOE_SHELF, w->port.shelf);
	f->data[AOE_SLOT] = (uint8_t)slot;
	aoe_disk_take(d, f);
}

/* To all: a question only, for each a copy. */
static void on_broadcast(struct aoe_way *w, struct aoe_frame *f)
{
	unsigned what = f->len > AOE_CFG_COMMAND ? f->data[AOE_CFG_COMMAND] & 0x0f : AOE_CFG_FORCE;
	if (f->data[AOE_COMMAND] == AOE_CONFIG && what <= AOE_CFG_PREFIX)
		for (unsigned i = 0; i < SLOTS; i++) {
			struct aoe_frame *copy =
				w->at[i].state == OURS ? aoe_port_frame(&w->port) : NULL;
			if (!copy)
				continue;
			copy->len = f->len;
			memcpy(copy->data, f->data, f->len);
			give(w, i, copy);
		}
	aoe_port_drop(f);
}

static void on_frame(void *arg, struct aoe_frame *f)
{
	struct aoe_way *w = arg;
	const uint8_t *p = f->data;
	unsigned shelf = get_be16(p + AOE_SHELF), slot = p[AOE_SLOT];

	if (p[AOE_FLAGS] & AOE_RESPONSE)
		on_response(w, p);
	else if (shelf == w->port.shelf && slot < SLOTS && w->at[slot].state == ASKING)
		on_rival(w, p);
	else if (p[AOE_SRC] & 1 || !aoe_macs_admit(w->target->allow, p + AOE_SRC) ||
		 is_ours(w->target, p + AOE_SRC))
		; /* a group sends nothing, and those not allowed get nothing */
	else if (slot == AOE_SLOT_ALL) {
		on_broadcast(w, f);
		return;
	} else if (shelf == w->port.shelf && w->at[slot].state == OURS) {
		give(w, slot, f);
		return;
	}
	aoe_port_drop(f);
}

static void on_turn(void *arg)
{
	struct aoe_way *w = arg;
	if (w->last)
		aoe_disk_turn(w->last);
	w->last = NULL;
}

/* ---- LUNs ---- */

static void add_at(struct aoe_way *w, struct aoe_disk *d)
{
	unsigned slot = w->slot + d->lun->number;
	if (slot >= SLOTS) {
		log_error("%s: LUN %u would be slot %u on %s, and 254 is the last: " NOT_SERVED
			  " there; choose a smaller lun= or slot=",
			  disk_path(d->lun->disk), d->lun->number, slot, ifname(w));
		return;
	}
	if (w->at[slot].disk) {
		log_error("%s: slot %u on %s is LUN %u of another target's: " NOT_SERVED
			  " there; choose another lun=",
			  disk_path(d->lun->disk), slot, ifname(w), d->lun->number);
		return;
	}
	w->at[slot] = (struct address){.disk = d, .state = w->bound ? ASKING : AWAY};
	if (w->bound)
		ask_from_now(w);
}

void aoe_target_add(struct aoe_target *t, struct lun *l, bool writeback)
{
	struct aoe_disk *d;
	if (!t->ways || aoe_disk_new(&d, l, t->engine, writeback))
		return;
	d->next = t->disks;
	t->disks = d;
	for (struct aoe_way *w = t->ways; w; w = w->next)
		add_at(w, d);
}

static void settled(void *arg)
{
	struct aoe_target *t = arg;
	if (!t->drained || t->disks || t->retired)
		return;
	t->drained(t->drained_arg);
	t->drained = NULL;
}

static void unlist(struct aoe_disk **list, struct aoe_disk *d)
{
	while (*list != d)
		list = &(*list)->next;
	*list = d->next;
}

static void gone(void *arg, struct aoe_disk *d)
{
	struct aoe_target *t = arg;
	unlist(&t->retired, d);
	aoe_disk_free(d);
	if (t->drained)
		loop_defer(t->loop, &t->drain);
}

static void retire(struct aoe_target *t, struct aoe_disk *d)
{
	for (struct aoe_way *w = t->ways; w; w = w->next)
		for (unsigned i = 0; i < SLOTS; i++)
			if (w->at[i].disk == d)
				w->at[i] = (struct address){.state = AWAY};
	unlist(&t->disks, d);
	d->next = t->retired;
	t->retired = d;
	aoe_disk_retire(d, gone, t);
}

void aoe_target_remove(struct aoe_target *t, const struct lun *l)
{
	for (struct aoe_disk *d = t->disks, *next; d; d = next) {
		next = d->next;
		if (d->lun == l)
			retire(t, d);
	}
}

/* ---- what is told ---- */

static void report_way(const struct aoe_way *w, struct json *j, FILE *f)
{
	static const char *const states[] = {"waiting", "asking", "serving", "in use by another"};
	const char *why = unfit(w);
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct address *a = &w->at[i];
		char name[16];
		if (!a->disk)
			continue;
		snprintf(name, sizeof(name), "e%u.%u", w->port.shelf, i);
		if (!j) {
			fprintf(f, "AoE: %s on %s is LUN %u, %s: %s\n", name, ifname(w),
				a->disk->lun->number, disk_path(a->disk->lun->disk),
				why ? why : states[a->state]);
			continue;
		}
		json_object(j, NULL);
		json_string(j, "address", name);
		json_string(j, "interface", ifname(w));
		json_u64(j, "lun", a->disk->lun->number);
		json_string(j, "path", disk_path(a->disk->lun->disk));
		json_string(j, "state", states[a->state]);
		json_u64(j, "reserved_for", a->disk->lists.reserved.n);
		json_object_end(j);
	}
}

void aoe_target_report(void *arg, struct json *j, FILE *f)
{
	const struct aoe_target *t = arg;
	if (j)
		json_array(j, "aoe");
	for (const struct aoe_way *w = t->ways; w; w = w->next)
		report_way(w, j, f);
	if (j)
		json_array_end(j);
}

/* ---- the beginning and the end ---- */

struct aoe_target *aoe_target_new(const struct aoe_macs *allow)
{
	struct aoe_target *t = calloc(1, sizeof(*t));
	if (t) {
		t->allow = allow;
		t->drain = (struct loop_task){.fn = settled, .arg = t};
	}
	return t;
}

int aoe_target_open(struct aoe_target *t, const char *name, uint16_t shelf, uint8_t slot)
{
	struct aoe_way *w = calloc(1, sizeof(*w)), **p;
	int rc = w ? aoe_port_open(&w->port, name, shelf) : -ENOMEM;
	if (rc) {
		log_error("--aoe %s: %s; all else goes on", name,
			  rc == -EPERM ? "no right to open packet sockets: run as root, or give "
					 "CAP_NET_RAW"
				       : strerror(-rc));
		free(w);
		return rc;
	}
	w->target = t;
	w->slot = slot;
	w->port.arg = w;
	w->port.frame = on_frame;
	w->port.turn = on_turn;
	w->port.changed = on_link;
	(void)fit(w);
	for (p = &t->ways; *p; p = &(*p)->next)
		;
	*p = w;
	return 0;
}

int aoe_target_start(struct aoe_target *t, struct disk_engine *e)
{
	int rc = 0;
	t->engine = e;
	t->loop = disk_engine_loop(e);
	for (struct aoe_way *w = t->ways; w && !rc; w = w->next) {
		rc = aoe_port_start(&w->port, t->loop);
		if (rc == 0 && fit(w))
			enter(w);
	}
	return rc;
}

void aoe_target_drain(struct aoe_target *t, void (*done)(void *arg), void *arg)
{
	t->drained = done;
	t->drained_arg = arg;
	for (struct aoe_way *w = t->ways; w; w = w->next) {
		loop_timer_del(t->loop, &w->timer);
		aoe_port_stop(&w->port);
	}
	while (t->disks)
		retire(t, t->disks);
	loop_defer(t->loop, &t->drain);
}

void aoe_target_free(struct aoe_target *t)
{
	if (!t)
		return;
	for (struct aoe_disk **list = &t->disks; list;
	     list = list == &t->disks ? &t->retired : NULL)
		while (*list) {
			struct aoe_disk *d = *list;
			*list = d->next;
			aoe_disk_free(d);
		}
	while (t->ways) {
		struct aoe_way *w = t->ways;
		t->ways = w->next;
		if (t->loop)
			loop_timer_del(t->loop, &w->timer);
		aoe_port_close(&w->port);
		free(w);
	}
	if (t->loop)
		loop_defer_cancel(t->loop, &t->drain);
	free(t);
}
