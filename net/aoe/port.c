/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/aoe/port.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/log.h"

_Static_assert((offsetof(struct aoe_frame, data) + AOE_ATA_DATA) % 64 == 0, "data are aligned");

unsigned aoe_port_sectors(const struct aoe_port *p)
{
	return MIN(aoe_sectors(p->link.now.mtu), AOE_SECTORS_MAX);
}

struct aoe_frame *aoe_port_frame(struct aoe_port *p)
{
	struct aoe_frame *f = p->idle;
	if (f) {
		p->idle = f->next;
		p->idle_n--;
	}
	return f;
}

static void await(struct aoe_port *p)
{
	if (p->watch.on)
		loop_fd_mod(p->loop, &p->watch,
			    (p->idle ? LOOP_READ : 0) | (p->full ? LOOP_WRITE : 0));
}

/* ---- receiving ---- */

static struct tpacket2_hdr *slot(const struct aoe_port *p, unsigned n)
{
	unsigned at = (p->next + n) % AOE_RING_SLOTS;
	return (struct tpacket2_hdr *)(p->ring + at / AOE_RING_IN_BLOCK * AOE_RING_BLOCK +
				       at % AOE_RING_IN_BLOCK * AOE_RING_SLOT);
}

/* How many frames lie in the ring, or may be in the socket, of those that we take at a time. */
static unsigned ready(const struct aoe_port *p)
{
	unsigned n = 0;
	if (!p->ring)
		return AOE_BATCH;
	while (n < AOE_BATCH &&
	       __atomic_load_n(&slot(p, n)->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)
		n++;
	return n;
}

/* Its bytes; 0: there is none, or it is too large. What lies in the ring is copied, so that a disk
 * that takes its time does not keep others' frames out. */
static uint32_t take(struct aoe_port *p, uint8_t *data)
{
	struct tpacket2_hdr *h;
	uint32_t len;
	if (!p->ring) {
		ssize_t n = recv(p->fd, data, AOE_BYTES_MAX, MSG_DONTWAIT | MSG_TRUNC);
		return n > 0 && n <= (ssize_t)AOE_BYTES_MAX ? (uint32_t)n : 0;
	}
	h = slot(p, 0);
	len = h->tp_len == h->tp_snaplen && h->tp_len <= AOE_BYTES_MAX ? h->tp_len : 0;
	memcpy(data, (uint8_t *)h + h->tp_mac, len);
	__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	p->next = (p->next + 1) % AOE_RING_SLOTS;
	return len;
}

static unsigned receive(struct aoe_port *p, struct aoe_frame **frames)
{
	unsigned most = ready(p), n = 0, good = 0;

	while (n < most && (frames[n] = aoe_port_frame(p)))
		frames[n++]->len = 0;
	loop_unlock(p->loop);
	for (unsigned i = 0; i < n; i++) {
		frames[i]->len = take(p, frames[i]->data);
		if (!frames[i]->len && !p->ring)
			break; /* there are no more in the socket */
	}
	loop_lock(p->loop);
	for (unsigned i = 0; i < n; i++)
		if (frames[i]->len < AOE_ARG)
			aoe_port_drop(frames[i]);
		else
			frames[good++] = frames[i];
	return good;
}

static void on_readable(void *arg, unsigned events)
{
	struct aoe_port *p = arg;
	struct aoe_frame *frames[AOE_BATCH];
	unsigned n;

	if (p->full && events & LOOP_WRITE) {
		p->full = false;
		loop_defer(p->loop, &p->send);
	}
	n = receive(p, frames);
	for (unsigned i = 0; i < n; i++)
		p->frame(p->arg, frames[i]);
	if (n)
		p->turn(p->arg);
	await(p);
}

/* ---- sending ---- */

/* One in the way of the others is left out, as a wire may lose any: who waits for it asks again. */
static void send_queued(void *arg)
{
	struct aoe_port *p = arg;
	struct mmsghdr messages[AOE_BATCH];
	struct iovec iov[AOE_BATCH];
	struct aoe_frame *f;

	while (p->out && !p->full) {
		unsigned n = 0;
		int sent, err = 0;
		for (f = p->out; f && n < AOE_BATCH; f = f->next, n++) {
			iov[n] = (struct iovec){f->data, f->len};
			messages[n].msg_hdr = (struct msghdr){.msg_iov = &iov[n], .msg_iovlen = 1};
		}
		loop_unlock(p->loop);
		/* musl's sendmmsg() is a system call for each. */
		sent = (int)syscall(SYS_sendmmsg, p->fd, messages, n, MSG_DONTWAIT);
		err = sent < 0 ? errno : 0;
		loop_lock(p->loop);
		if (err == EAGAIN) {
			p->full = true;
			await(p);
			return;
		}
		for (sent = MAX(sent, 1); sent > 0; sent--) {
			f = p->out;
			p->out = f->next;
			aoe_port_drop(f);
		}
		if (!p->out)
			p->out_tail = &p->out;
	}
}

void aoe_port_send(struct aoe_frame *f)
{
	struct aoe_port *p = f->port;
	f->next = NULL;
	*p->out_tail = f;
	p->out_tail = &f->next;
	loop_defer(p->loop, &p->send);
}

void aoe_port_drop(struct aoe_frame *f)
{
	struct aoe_port *p = f->port;
	bool none = !p->idle;
	f->next = p->idle;
	p->idle = f;
	p->idle_n++;
	if (none)
		await(p);
}

/* ---- */

static void on_link(void *arg)
{
	struct aoe_port *p = arg;
	p->changed(p->arg);
}

int aoe_port_start(struct aoe_port *p, struct loop *loop)
{
	int rc = link_watch(&p->link, loop, on_link, p);
	p->all = aligned_alloc(64, AOE_FRAMES * sizeof(*p->all));
	if (!p->all)
		return -ENOMEM;
	for (unsigned i = 0; i < AOE_FRAMES; i++) {
		p->all[i].port = p;
		p->all[i].next = p->idle;
		p->idle = &p->all[i];
	}
	p->idle_n = AOE_FRAMES;
	p->out_tail = &p->out;
	p->loop = loop;
	p->send = (struct loop_task){.fn = send_queued, .arg = p};
	return rc ? rc : loop_fd_add(loop, &p->watch, p->fd, LOOP_READ, on_readable, p);
}

void aoe_port_stop(struct aoe_port *p)
{
	if (!p->loop)
		return;
	loop_fd_del(p->loop, &p->watch);
}

void aoe_port_close(struct aoe_port *p)
{
	if (p->loop) {
		loop_fd_del(p->loop, &p->watch);
		loop_defer_cancel(p->loop, &p->send);
	}
	link_close(&p->link);
	if (p->ring)
		munmap(p->ring, AOE_RING_BYTES);
	p->ring = NULL;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	free(p->all);
	p->all = p->idle = NULL;
}
