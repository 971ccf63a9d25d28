/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "net/oneshot.h"
#include "net/sock.h"

#define DEFAULT_PORT 9860
#define HEAD_MAX     4096 /* a request with its header fields */

struct metrics {
	struct sock_listener listener;
	struct oneshot_server server;
	void (*page)(void *arg, FILE *f);
	void *arg;
};

static void reply(struct oneshot *x, const char *status, const char *more, const char *body,
		  size_t len)
{
	struct buf b = {0};
	buf_printf(&b,
		   "HTTP/1.0 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
		   "Content-Length: %zu\r\nConnection: close\r\n%s\r\n",
		   status, len, more);
	buf_put(&b, body, len);
	oneshot_reply(x, b.data, b.failed ? 0 : b.len);
	buf_free(&b);
}

static void refuse(struct oneshot *x, const char *status, const char *more)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%s\n", status);
	reply(x, status, more, text, (size_t)n);
}

static void send_page(struct metrics *m, struct oneshot *x, bool head_only)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	bool ok = f;
	if (f) {
		m->page(m->arg, f);
		ok = !ferror(f);
		ok &= fclose(f) == 0;
	}
	if (!ok)
		refuse(x, "503 Service Unavailable", "");
	else
		reply(x, "200 OK", "", text, head_only ? 0 : len);
	free(text);
}

/* The target of "METHOD TARGET HTTP/1.x", cut off where it ends; NULL: it is none of these. */
static char *parse_line(char *line)
{
	char *target = strchr(line, ' '), *version;
	line[strcspn(line, "\r\n")] = '\0';
	version = target ? strchr(target + 1, ' ') : NULL;
	if (!version || strncmp(version + 1, "HTTP/1.", 7) != 0)
		return NULL;
	*target++ = *version = '\0';
	target[strcspn(target, "?")] = '\0';
	return target;
}

static void serve(void *arg, struct oneshot *x, const struct buf *request)
{
	struct metrics *m = arg;
	char *line = (char *)request->data, *target;
	bool head;

	if (!strstr(line, "\r\n\r\n") && !strstr(line, "\n\n")) {
		refuse(x,
		       request->len >= HEAD_MAX ? "431 Request Header Fields Too Large"
						: "400 Bad Request",
		       "");
		return;
	}
	target = parse_line(line);
	head = strcmp(line, "HEAD") == 0;
	if (!target)
		refuse(x, "400 Bad Request", "");
	else if (!head && strcmp(line, "GET") != 0)
		refuse(x, "405 Method Not Allowed", "Allow: GET, HEAD\r\n");
	else if (strcmp(target, "/metrics") != 0)
		refuse(x, "404 Not Found", "");
	else
		send_page(m, x, head);
}

static bool whole(const struct buf *b, bool eof)
{
	const char *p = (const char *)b->data;
	return (b->len && eof) || (b->len >= 2 && memmem(p, b->len, "\n\n", 2)) ||
	       (b->len >= 4 && memmem(p, b->len, "\r\n\r\n", 4));
}

static void on_connection(void *arg, int fd, const struct sock_addr *peer)
{
	struct metrics *m = arg;
	(void)peer;
	oneshot_accept(&m->server, fd);
}

int metrics_open(struct metrics **out, struct loop *l, const char *address,
		 void (*page)(void *arg, FILE *f), void *arg)
{
	struct metrics *m = calloc(1, sizeof(*m));
	int rc = m ? 0 : -ENOMEM;
	*out = NULL;
	if (rc == 0)
		rc = sock_listen(l, &m->listener, address, DEFAULT_PORT, on_connection, m);
	if (rc) {
		log_error("cannot serve metrics on %s: %s; choose another --metrics ADDR:PORT",
			  address, sock_strerror(rc));
		free(m);
		return rc;
	}
	m->server = (struct oneshot_server){
		.loop = l, .request_max = HEAD_MAX, .whole = whole, .serve = serve, .arg = m};
	m->page = page;
	m->arg = arg;
	*out = m;
	return 0;
}

void metrics_close(struct metrics *m)
{
	if (!m)
		return;
	sock_listen_close(&m->listener);
	oneshot_close(&m->server);
	free(m);
}

uint16_t metrics_port(const struct metrics *m)
{
	return sock_listen_port(&m->listener);
}
