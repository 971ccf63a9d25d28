/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages of a migration: frames of a channel. Most carry fields, one a line, `key=value`;
 * unknown keys are ignored, so that later versions can add some. Values hold no newline.
 *
 *   sender                                         receiver
 *   HELLO     protocol, vstor, xen, boot, id, mode ->
 *                                              <-  HELLO     protocol, vstor, xen, boot, codec,
 *                                                            cache (see xen/copy/compression.h),
 *                                                            and what it has (see xen/host.h)
 *   CONFIG    libxl's configuration, as JSON   ->
 *   PREFLIGHT what else must be known of it;   ->            (checks; attaches the disks, and
 *             its fenced disks, and key                       registers with those)
 *                                              <-  VERDICTS  ok=, warn= or no= for each condition;
 *                                                            fenced disks, keys
 * (xen/fence/referee.h) BEGIN                                      -> DATA      the migration
 * stream ...         ->
 *                                              <-  ARRIVED   next (with --data: net/lanes.h)
 *   END       bytes                            ->
 *                                              <-  READY     restored, paused, devices there;
 *                                                            devices_ns: how long those took
 *   GO        the point of no return           ->
 *                                              <-  RUNNING   took_ns: from GO to unpaused
 *                                              <-  SETTLED   it is connected, and has its name
 * A HELLO's protocol and vstor, and FAILED with its cause, are read by every version alike: who
 * hears another version's HELLO refuses it (message_agree()), whatever else it says. At any time
 * FAILED from the receiver (cause): it has destroyed what it had made and promises never to start
 * it. Who only wants the receiver's HELLO (mode=survey) hangs up then. HELLO with mode=ask is
 * answered by ANSWER (is, see xen/migration/handover.h): what became of that id.
 */
#ifndef XEN_MESSAGE_H
#define XEN_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "net/channel.h"

#define MIGRATION_PROTOCOL 2u
#define MIGRATION_ID_LEN   32 /* hexadecimal digits */

enum message_type {
	MSG_HELLO = CHANNEL_TYPE_USER,
	MSG_CONFIG,
	MSG_PREFLIGHT,
	MSG_VERDICTS,
	MSG_BEGIN,
	MSG_DATA,
	MSG_END,
	MSG_READY,
	MSG_GO,
	MSG_RUNNING,
	MSG_FAILED,
	MSG_ANSWER,
	MSG_ARRIVED,
	MSG_SETTLED,
};

/* Adds `key=value`; control characters in the value become spaces. */
__attribute__((format(printf, 3, 4))) void message_put(struct buf *b, const char *key,
						       const char *fmt, ...);
/* Sends b as a frame and frees it; 0 or -errno as channel_send(), -ENOMEM. */
int message_send(struct channel *c, enum message_type type, struct buf *b);

/* -EPROTO unless all of it is lines of key=value without control characters. */
int message_check(const uint8_t *p, size_t n);
/* The value of the first `key`, in out with a NUL. -ENOENT; -EMSGSIZE when it does not fit. */
int message_get(const uint8_t *p, size_t n, const char *key, char *out, size_t size);
/* The same as a decimal number; -EINVAL when it is none. */
int message_get_u64(const uint8_t *p, size_t n, const char *key, uint64_t *out);
/* Walks over the fields of a checked message: *at starts at 0. False at the end. Key and value are
 * not NUL-terminated. */
struct message_field {
	const char *key, *value;
	size_t key_len, value_len;
};
bool message_next(const uint8_t *p, size_t n, size_t *at, struct message_field *f);
bool message_field_is(const struct message_field *f, const char *key);

/* 0 when a checked HELLO is of this protocol, or -EPROTO with a line for both ends in `why`: which
 * end speaks which version. `sender`: it is the one who has heard it. */
int message_agree(const uint8_t *p, size_t n, bool sender, char *why, size_t size);

/* True when `id` has the form of a migration's id; only then may it become a file's name. */
bool migration_id_valid(const char *id);

#endif
