/* SPDX-License-Identifier: BSD-2-Clause */
/* The ways to a channel: a key, a command with stdin and stdout, a TCP connection, a listener. */
#ifndef NET_CHANNEL_OPEN_H
#define NET_CHANNEL_OPEN_H

#include "net/channel.h"
#include "net/sock.h"

/*
 * Reads a key file: what is in it, without the newlines at its end. 0, or -errno with a line in
 * `text` that names the file, the cause and the way out: not there, readable by others than its
 * owner, shorter than CHANNEL_KEY_MIN or longer than CHANNEL_KEY_MAX.
 */
int channel_key_load(struct channel_key *k, const char *path, char text[CHANNEL_TEXT_MAX]);
void channel_key_wipe(struct channel_key *k);

/*
 * Runs `command` by /bin/sh with its stdin and stdout as the channel; its stderr stays ours. It
 * does not see SIGINT (a Ctrl-C is ours to handle: the peer must be told). The channel ends after
 * the command has: by itself, or soon after channel_free(). cfg->server must be false.
 */
int channel_command(struct loop *l, const char *command, const struct channel_config *cfg,
		    struct channel **out);

/* Connects by TCP and makes a channel; failing to connect comes as on_close(). */
int channel_connect(struct loop *l, const struct sock_addrs *to, const struct channel_config *cfg,
		    struct channel **out);

/*
 * Accepting channels by TCP with a key. Peers that have not proved the key yet are limited in
 * number (CHANNEL_UNPROVED_MAX) and lifetime (cfg->handshake_ns), cannot make this process remember
 * anything, and are logged at a limited rate; only those who have are given to on_accept.
 */
#define CHANNEL_UNPROVED_MAX 16

struct channel_listener;
/*
 * cfg: key, handshake_ns, dead_ns and high_water for each channel; its ops and arg are ignored.
 * on_accept gets an open channel, which is then the callee's, and must call channel_set_ops() or
 * channel_free() before it returns. `where` as in sock_listen(). 0 or -errno (sock_strerror()).
 */
int channel_listen(struct loop *l, const char *where, uint16_t default_port,
		   const struct channel_config *cfg,
		   void (*on_accept)(void *arg, struct channel *c), void *arg,
		   struct channel_listener **out);
/* Stops listening and drops those who have not proved the key; accepted channels stay. */
void channel_listener_free(struct channel_listener *s);
uint16_t channel_listener_port(const struct channel_listener *s);

#endif
