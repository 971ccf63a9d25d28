/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket of a running vstor: a local (unix) stream socket that only its owner may use,
 * and root.
 * A request is words, one a line, and an empty line; the reply is a digit (0: done, 1: failed), a
 * newline and text, which is the result or the cause. An open file may come with a request.
 */
#ifndef NET_CONTROL_H
#define NET_CONTROL_H

#include <stdio.h>

#include "core/buf.h"
#include "core/loop.h"

struct control;
struct control_request;

#define CONTROL_WORDS 8

/* Where `vstor target` has it when it runs as root; made on demand. */
#define CONTROL_DEFAULT "/run/vstor/target.sock"

/*
 * Makes the socket, mode 0600, and its directory if that is missing. A socket that a dead process
 * has left is replaced; -EADDRINUSE: somebody answers there. `serve` gets each request's words
 * (n >= 1; NUL-terminated, valid until it returns) and has it answered once, now or later.
 */
int control_open(struct control **out, struct loop *l, const char *path,
		 void (*serve)(void *arg, struct control_request *r, char *const *words,
			       unsigned n),
		 void *arg);
/* Removes the socket. No request may be left unanswered. */
void control_close(struct control *c);
/* Removes the socket from the file system, if it is still the one that was made; for another
 * process than that which serves it, too. */
void control_unlink(const struct control *c);

/* The open file that came with the request, the caller's from now on; -1: none. */
int control_fd(struct control_request *r);
/* Where the text of the reply goes; NULL: out of memory. */
FILE *control_text(struct control_request *r);
/* Sends the reply; r is gone. */
void control_reply(struct control_request *r, int status);

/*
 * The client, blocking: sends the words, and a copy of `file` (-1: none), waits for the reply and
 * appends its text to `text`. The reply's status (0 or 1), or negative errno; -EINVAL: a word that
 * cannot be sent, -EPROTO: not a reply.
 */
int control_call(const char *path, const char *const *words, unsigned n, int file,
		 struct buf *text);

#endif
