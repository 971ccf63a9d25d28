/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/sendq.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/bytes.h"

#define IOVECS 16

struct sendq_chunk {
	struct sendq_chunk *next;
	size_t start, end, cap;
	uint8_t data[];
};

static void free_list(struct sendq_chunk *k)
{
	while (k) {
		struct sendq_chunk *next = k->next;
		free(k);
		k = next;
	}
}

void sendq_free(struct sendq *q)
{
	free_list(q->head);
	free_list(q->spare);
	*q = (struct sendq){.keep = q->keep};
}

static struct sendq_chunk *chunk_get(struct sendq *q, size_t need)
{
	struct sendq_chunk *k = q->spare;
	if (k && k->cap >= need) {
		q->spare = k->next;
		q->spares--;
	} else {
		size_t cap = MAX(need, SENDQ_CHUNK);
		k = malloc(sizeof(*k) + cap);
		if (!k)
			return NULL;
		k->cap = cap;
	}
	k->next = NULL;
	k->start = k->end = 0;
	return k;
}

static void chunk_put(struct sendq *q, struct sendq_chunk *k)
{
	if (k->cap > SENDQ_CHUNK || q->spares >= q->keep) {
		free(k);
		return;
	}
	k->next = q->spare;
	q->spare = k;
	q->spares++;
}

uint8_t *sendq_room(struct sendq *q, size_t n)
{
	struct sendq_chunk *k = q->tail;
	if (!k || k->cap - k->end < n) {
		k = chunk_get(q, n);
		if (!k)
			return NULL;
		if (q->tail)
			q->tail->next = k;
		else
			q->head = k;
		q->tail = k;
	}
	return k->data + k->end;
}

void sendq_add(struct sendq *q, size_t n)
{
	q->tail->end += n;
	q->queued += n;
}

static void written(struct sendq *q, size_t n)
{
	q->queued -= n;
	while (q->head) {
		struct sendq_chunk *k = q->head;
		size_t take = MIN(n, k->end - k->start);
		k->start += take;
		n -= take;
		if (k->start < k->end)
			return;
		if (!k->next) {
			/* The last one stays, empty. */
			k->start = k->end = 0;
			return;
		}
		q->head = k->next;
		chunk_put(q, k);
	}
}

ssize_t sendq_write(struct sendq *q, int fd)
{
	struct iovec v[IOVECS];
	struct msghdr m = {.msg_iov = v};
	ssize_t n;
	int count = 0;
	for (struct sendq_chunk *k = q->head; k && count < IOVECS; k = k->next)
		if (k->start < k->end)
			v[count++] = (struct iovec){k->data + k->start, k->end - k->start};
	if (!count)
		return 0;
	m.msg_iovlen = (unsigned)count;
	do {
		n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == ENOTSOCK)
			n = writev(fd, v, count);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	written(q, (size_t)n);
	return n;
}
