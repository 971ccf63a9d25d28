/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may connect and log in: networks in CIDR notation and initiator names with wildcards. */
#ifndef NET_ACCESS_H
#define NET_ACCESS_H

#include <stdbool.h>

#include "net/sock.h"

struct access;

/* Takes "192.0.2.0/24", "2001:db8::/32", a plain address, or "iqn.2026-11.*" words. NULL with
 * errno; a word that is neither is -EINVAL, logged. */
struct access *access_new(const char *const *words, unsigned n);
void access_free(struct access *a);

/* Is it the same address, whatever the port? Of IPv6 the same /64, all of which a host may have. */
bool access_same_host(const struct sock_addr *a, const struct sock_addr *b);
/* With address words: one must match. Without: loopback and directly connected networks. */
bool access_address(const struct access *a, const struct sock_addr *peer);
/* With name words: one must match. Without: every name. */
bool access_name(const struct access *a, const char *initiator);

#endif
