/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"

struct network {
	int family;
	uint8_t addr[16];
	unsigned bits;
};

struct access {
	struct network *networks;
	unsigned networks_n;
	const char **names;
	unsigned names_n;
};

/* The address bytes, an IPv4-mapped IPv6 address as IPv4. Returns the family, or 0. */
static int address_bytes(const struct sockaddr *sa, const uint8_t **out)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (sa->sa_family == AF_INET) {
		*out = (const uint8_t *)&((const struct sockaddr_in *)sa)->sin_addr;
		return AF_INET;
	}
	if (sa->sa_family != AF_INET6)
		return 0;
	*out = (const uint8_t *)&((const struct sockaddr_in6 *)sa)->sin6_addr;
	if (memcmp(*out, mapped, sizeof(mapped)) == 0) {
		*out += 12;
		return AF_INET;
	}
	return AF_INET6;
}

static bool same_network(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;
	if (memcmp(a, b, bits / 8))
		return false;
	return !rest || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

static int parse_network(const char *word, struct network *n)
{
	char text[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(word, '/');
	size_t len = slash ? (size_t)(slash - word) : strlen(word);
	uint64_t bits;
	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, word, len);
	text[len] = '\0';
	*n = (struct network){.family = strchr(text, ':') ? AF_INET6 : AF_INET};
	if (inet_pton(n->family, text, n->addr) != 1)
		return -EINVAL;
	bits = n->family == AF_INET ? 32 : 128;
	n->bits = (unsigned)bits;
	if (slash) {
		uint64_t given;
		if (parse_u64(slash + 1, &given) || given > bits)
			return -EINVAL;
		n->bits = (unsigned)given;
	}
	return 0;
}

struct access *access_new(const char *const *words, unsigned n)
{
	struct access *a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->networks = calloc(n + 1, sizeof(*a->networks));
	a->names = calloc(n + 1, sizeof(*a->names));
	if (!a->networks || !a->names)
		goto fail;
	for (unsigned i = 0; i < n; i++) {
		const char *w = words[i];
		if (strncasecmp(w, "iqn.", 4) == 0 || strncasecmp(w, "eui.", 4) == 0 ||
		    strncasecmp(w, "naa.", 4) == 0) {
			a->names[a->names_n++] = w;
		} else if (parse_network(w, &a->networks[a->networks_n]) == 0) {
			a->networks_n++;
		} else {
			log_error("--allow %s: neither a network (192.0.2.0/24) nor an initiator "
				  "name (iqn.2026-11.local:*)",
				  w);
			access_free(a);
			errno = EINVAL;
			return NULL;
		}
	}
	return a;
fail:
	access_free(a);
	errno = ENOMEM;
	return NULL;
}

void access_free(struct access *a)
{
	if (!a)
		return;
	free(a->networks);
	free(a->names);
	free(a);
}

static unsigned mask_bits(const uint8_t *m, unsigned len)
{
	unsigned bits = 0;
	while (bits < 8 * len && m[bits / 8] & 0x80 >> bits % 8)
		bits++;
	return bits;
}

/* Asked anew each time: interfaces come and go while we run. */
static bool directly_connected(int family, const uint8_t *addr)
{
	struct ifaddrs *list;
	bool found = false;
	if (getifaddrs(&list) < 0)
		return false;
	for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
		const uint8_t *own, *mask;
		if (!i->ifa_addr || !i->ifa_netmask || !(i->ifa_flags & IFF_UP))
			continue;
		if (address_bytes(i->ifa_addr, &own) != family ||
		    address_bytes(i->ifa_netmask, &mask) != family)
			continue;
		found = same_network(own, addr, mask_bits(mask, family == AF_INET ? 4 : 16));
	}
	freeifaddrs(list);
	return found;
}

bool access_same_host(const struct sock_addr *a, const struct sock_addr *b)
{
	const uint8_t *x, *y;
	int family = address_bytes((const struct sockaddr *)&a->ss, &x);
	return family && address_bytes((const struct sockaddr *)&b->ss, &y) == family &&
	       same_network(x, y, family == AF_INET ? 32 : 64);
}

bool access_address(const struct access *a, const struct sock_addr *peer)
{
	const uint8_t *addr;
	int family = address_bytes((const struct sockaddr *)&peer->ss, &addr);
	if (!family)
		return false;
	if (!a->networks_n)
		return directly_connected(family, addr);
	for (unsigned i = 0; i < a->networks_n; i++)
		if (a->networks[i].family == family &&
		    same_network(a->networks[i].addr, addr, a->networks[i].bits))
			return true;
	return false;
}

bool access_name(const struct access *a, const char *initiator)
{
	if (!a->names_n)
		return true;
	for (unsigned i = 0; i < a->names_n; i++)
		if (fnmatch(a->names[i], initiator, FNM_NOESCAPE | FNM_CASEFOLD) == 0)
			return true;
	return false;
}
