/* SPDX-License-Identifier: BSD-2-Clause */
/* How the vstor of another host is reached: --ssh, or --tcp and --key-file. */
#ifndef CMD_WAY_H
#define CMD_WAY_H

#include "core/opts.h"
#include "net/channel_open.h"
#include "xen/migration/inquiry.h"

struct way {
	const char *ssh, *key_file; /* the options, as given */
	uint64_t port;
	struct migration_way to; /* chosen; what it points to is in here */
	char *command;		 /* by ssh */
	char *key_path;		 /* absolute */
	struct sock_addrs addrs; /* by TCP */
	struct channel_key key;
};

/* Rows of an option table. */
#define WAY_OPTIONS(w)                                                                             \
	{.name = "ssh",                                                                            \
	 .type = OPT_STRING,                                                                       \
	 .out = &(w).ssh,                                                                          \
	 .arg = "CMD",                                                                             \
	 .help = "run `CMD HOST vstor receive` as the other end (default: ssh)"},                  \
		{.name = "tcp",                                                                    \
		 .type = OPT_U64,                                                                  \
		 .out = &(w).port,                                                                 \
		 .arg = "PORT",                                                                    \
		 .help = "connect to `vstor receive --listen` there instead",                      \
		 .min = 1,                                                                         \
		 .max = 65535},                                                                    \
	{                                                                                          \
		.name = "key-file", .type = OPT_STRING, .out = &(w).key_file, .arg = "F",          \
		.help = "with --tcp: the secret that both ends have"                               \
	}

/* Fills w->to in by the options. w and host stay until way_fini(), w where it is. 0, or an exit
 * status after one logged line. */
int way_choose(struct way *w, const char *host);
/* Wipes the key. Harmless when all zero. */
void way_fini(struct way *w);

#endif
