/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmd/way.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

static int open_command(void *arg, struct loop *l, const struct channel_config *cfg,
			struct channel **out)
{
	return channel_command(l, ((struct way *)arg)->command, cfg, out);
}

static int open_tcp(void *arg, struct loop *l, const struct channel_config *cfg,
		    struct channel **out)
{
	return channel_connect(l, &((struct way *)arg)->addrs, cfg, out);
}

/* The host becomes part of a shell command. */
static bool host_plain(const char *host)
{
	return host[0] && host[0] != '-' &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    "._-:@%[]") == strlen(host);
}

int way_choose(struct way *w, const char *host)
{
	char text[CHANNEL_TEXT_MAX];
	int rc;

	w->to.host = host;
	w->to.arg = w;
	w->to.ssh = w->ssh;
	w->to.port = (unsigned)w->port;
	if (!host_plain(host)) {
		log_error("%s: not a host name or address", host);
		return 2;
	}
	if (!w->port) {
		if (w->key_file) {
			log_error("--key-file goes with --tcp: over ssh there is no key");
			return 2;
		}
		w->to.open = open_command;
		if (asprintf(&w->command, "exec %s %s vstor receive", w->ssh ? w->ssh : "ssh",
			     host) < 0) {
			w->command = NULL;
			log_error("%s: no memory", host);
			return 1;
		}
		return 0;
	}
	if (w->ssh || !w->key_file) {
		log_error(w->ssh ? "--ssh and --tcp: choose one"
				 : "--tcp needs --key-file, the same secret as the receiver's");
		return 2;
	}
	if (channel_key_load(&w->key, w->key_file, text)) {
		log_error("%s", text);
		return 1;
	}
	rc = sock_resolve(host, (uint16_t)w->port, &w->addrs);
	if (rc) {
		log_error("%s: %s", host, sock_strerror(rc));
		return 1;
	}
	w->to.key = &w->key;
	w->key_path = realpath(w->key_file, NULL);
	w->to.key_file = w->key_path;
	w->to.open = open_tcp;
	return 0;
}

void way_fini(struct way *w)
{
	channel_key_wipe(&w->key);
	free(w->command);
	free(w->key_path);
	w->command = w->key_path = NULL;
}
