/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/aoe/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
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
	if (f)
		p->idle = f->next;
	return f;
}

static void await(struct aoe_port *p)
{
	if (p->watch.on)
		loop_fd_mod(p->loop, &p->watch,
			    (p->idle || p->in[0] ? LOOP_READ : 0) | (p->full ? LOOP_WRITE : 0));
}

/* ---- receiving ---- */

/* How many can be received. */
static unsigned prepare(struct aoe_port *p)
{
	for (unsigned i = 0; i < AOE_BATCH; i++) {
		if (p->in[i])
			continue;
		p->in[i] = aoe_port_frame(p);
		if (!p->in[i])
			return i;
		p->in_iov[i] = (struct iovec){p->in[i]->data, AOE_BYTES_MAX};
		p->in_message[i].msg_hdr =
			(struct msghdr){.msg_iov = &p->in_iov[i], .msg_iovlen = 1};
	}
	return AOE_BATCH;
}

static unsigned receive(struct aoe_port *p, struct aoe_frame **frames)
{
	unsigned n = prepare(p), good = 0;
	int got;

	if (!n)
		return 0;
	loop_unlock(p->loop);
	got = recvmmsg(p->fd, p->in_message, n, MSG_DONTWAIT, NULL);
	loop_lock(p->loop);
	for (int i = 0; i < got; i++) {
		struct aoe_frame *f = p->in[i];
		p->in[i] = NULL;
		f->len = p->in_message[i].msg_len;
		if (f->len < AOE_ARG || p->in_message[i].msg_hdr.msg_flags & MSG_TRUNC)
			aoe_port_drop(f);
		else
			frames[good++] = f;
	}
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
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	free(p->all);
	p->all = p->idle = NULL;
}
