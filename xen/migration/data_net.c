/* SPDX-License-Identifier: BSD-2-Clause */
#include "xen/migration/data_net.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"

/* ---- the sender ---- */

void data_net_ask(const struct data_net_out *d, struct buf *hello)
{
	if (d->addresses)
		message_put(hello, "data", "1");
}

int data_net_hear(struct data_net_out *d, const struct channel_key *key, const uint8_t *p, size_t n)
{
	char text[CHANNEL_TEXT_MAX];
	uint64_t port;

	if (!d->addresses)
		return 0;
	if (message_get_u64(p, n, "data_port", &port) || !port || port > UINT16_MAX)
		return -ENOENT;
	d->port = (uint16_t)port;
	if (key) {
		d->key = *key;
		return 0;
	}
	if (message_get(p, n, "data_key", text, sizeof(text)) || strlen(text) < CHANNEL_KEY_MIN)
		return -ENOENT;
	d->key.len = strlen(text);
	memcpy(d->key.data, text, d->key.len);
	return 0;
}

int data_net_arrived(struct data_net_out *d, const uint8_t *p, size_t n)
{
	uint64_t next;

	if (message_get_u64(p, n, "next", &next))
		return -EPROTO;
	/* What comes late, of lanes that are closed, is no news. */
	return d->lanes ? lanes_out_arrived(d->lanes, next) : d->addresses ? 0 : -EPROTO;
}

uint64_t data_net_bytes(const struct data_net_out *d)
{
	return d->lanes ? lanes_out_bytes(d->lanes) : d->bytes;
}

void data_net_close(struct data_net_out *d)
{
	if (d->lanes)
		d->bytes = lanes_out_bytes(d->lanes);
	lanes_out_free(d->lanes);
	d->lanes = NULL;
	channel_key_wipe(&d->key);
}

/* ---- the receiver ---- */

/* A lane may be faster than the channel on which BEGIN comes. */
static bool on_bytes(void *arg, const uint8_t *p, size_t n)
{
	struct data_net_in *d = arg;

	return d->restoring->started && restoring_data(d->restoring, p, n);
}

static void on_arrived(void *arg, uint64_t next)
{
	struct data_net_in *d = arg;

	d->arrived(d->arg, next);
}

static const struct lanes_in_ops ops = {.on_bytes = on_bytes, .on_arrived = on_arrived};

void data_net_heard(struct data_net_in *d, const uint8_t *p, size_t n)
{
	uint64_t wanted;

	d->wanted = !message_get_u64(p, n, "data", &wanted) && wanted;
}

void data_net_offer(struct data_net_in *d, struct loop *l, const struct channel_key *key,
		    struct restoring *restoring, void (*arrived)(void *arg, uint64_t next),
		    void *arg, struct buf *hello)
{
	int rc;

	if (!d->wanted)
		return;
	*d = (struct data_net_in){.restoring = restoring, .arrived = arrived, .arg = arg};
	rc = lanes_in_open(l, key, &ops, d, &d->lanes);
	if (rc) {
		d->lanes = NULL;
		log_warn("no port for data connections can be opened: %s", sock_strerror(rc));
		return;
	}
	message_put(hello, "data_port", "%u", lanes_in_port(d->lanes));
	if (!key)
		message_put(hello, "data_key", "%.*s", (int)lanes_in_key(d->lanes)->len,
			    (const char *)lanes_in_key(d->lanes)->data);
}

void data_net_start(struct data_net_in *d)
{
	if (!d->lanes)
		return;
	restoring_over(d->restoring, d->lanes);
	lanes_in_resume(d->lanes);
}

void data_net_end(struct data_net_in *d)
{
	lanes_in_free(d->lanes);
	d->lanes = NULL;
}
