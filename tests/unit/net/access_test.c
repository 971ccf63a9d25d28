/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "core/bytes.h"
#include "core/log.h"
#include "tests/unit/check.h"

static struct sock_addr address(const char *text)
{
	struct sock_addr a = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a.ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.ss;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		a.len = sizeof(*v4);
	} else {
		CHECK_EQ(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		a.len = sizeof(*v6);
	}
	return a;
}

static bool allows(const struct access *a, const char *text)
{
	struct sock_addr addr = address(text);
	return access_address(a, &addr);
}

static void test_networks(void)
{
	static const char *const words[] = {"192.0.2.0/24", "198.51.100.7", "2001:db8::/33"};
	struct access *a = access_new(words, ARRAY_SIZE(words));
	if (!CHECK(a != NULL))
		return;
	CHECK(allows(a, "192.0.2.0") && allows(a, "192.0.2.255"));
	CHECK(!allows(a, "192.0.3.0") && !allows(a, "192.0.1.255"));
	CHECK(allows(a, "198.51.100.7") && !allows(a, "198.51.100.8"));
	CHECK(allows(a, "2001:db8:7fff::1") && !allows(a, "2001:db8:8000::1"));
	CHECK(allows(a, "::ffff:192.0.2.1")); /* IPv4 that came to an IPv6 socket */
	CHECK(!allows(a, "127.0.0.1"));	      /* named networks replace the default */
	CHECK(access_name(a, "iqn.2026-11.local:any"));
	access_free(a);
}

static void test_hosts(void)
{
	struct sock_addr a = address("2001:db8:1:2:3:4:5:6"), b = address("2001:db8:1:2::1"),
			 c = address("2001:db8:1:3::1"), d = address("192.0.2.1"),
			 e = address("192.0.2.2"), f = address("::ffff:192.0.2.1");
	CHECK(access_same_host(&a, &b)); /* a /64 is one host's */
	CHECK(!access_same_host(&a, &c));
	CHECK(!access_same_host(&d, &e) && access_same_host(&d, &f) && !access_same_host(&a, &d));
}

static void test_default_is_near(void)
{
	struct access *a = access_new(NULL, 0);
	if (!CHECK(a != NULL))
		return;
	CHECK(allows(a, "127.0.0.1") && allows(a, "127.3.4.5"));
	CHECK(!allows(a, "203.0.113.9"));
	CHECK(access_name(a, "iqn.2026-11.local:any"));
	access_free(a);
}

static void test_names(void)
{
	static const char *const words[] = {"iqn.2026-11.local:host-?", "iqn.2026-11.lab:*"};
	struct access *a = access_new(words, ARRAY_SIZE(words));
	if (!CHECK(a != NULL))
		return;
	CHECK(access_name(a, "iqn.2026-11.local:host-a"));
	CHECK(access_name(a, "IQN.2026-11.Local:HOST-a"));
	CHECK(!access_name(a, "iqn.2026-11.local:host-ab"));
	CHECK(access_name(a, "iqn.2026-11.lab:x:y"));
	CHECK(!access_name(a, "iqn.2026-11.other:x"));
	CHECK(allows(a, "127.0.0.1"));
	access_free(a);
}

static void test_bad_words(void)
{
	static const char *const bad[] = {"192.0.2.0/33", "2001:db8::/129", "300.1.1.1", "host",
					  "10.0.0.0/",	  "10.0.0.0/8x",    ""};
	CHECK_EQ(log_set_destination("syslog"), 0); /* the messages are not what is tested */
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		errno = 0;
		CHECK(access_new(&bad[i], 1) == NULL);
		CHECK_EQ(errno, EINVAL);
	}
}

int main(void)
{
	CHECK_RUN(test_networks);
	CHECK_RUN(test_hosts);
	CHECK_RUN(test_default_is_near);
	CHECK_RUN(test_names);
	CHECK_RUN(test_bad_words);
	return CHECK_DONE();
}
