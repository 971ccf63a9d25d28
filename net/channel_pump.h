/* SPDX-License-Identifier: BSD-2-Clause */
/* Bulk between a pipe and a channel: bytes are copied once, into or out of the frame itself. */
#ifndef NET_CHANNEL_PUMP_H
#define NET_CHANNEL_PUMP_H

#include "net/channel.h"
#include "net/lanes.h"

/*
 * A pipe's bytes as frames of one type: reads whenever there is something and the channel has room.
 * done(arg, 0) at the pipe's end of file, done(arg, -errno) when it cannot be read; the pump has
 * stopped then. It does not end the channel and adds no frame of its own. The user's on_writable
 * must call channel_pump_kick().
 */
struct channel_pump {
	struct loop *loop;
	struct channel *c;
	struct lanes_out *lanes; /* instead of c, unless NULL */
	int fd;
	uint8_t type;
	bool brief;
	uint64_t bytes;
	uint64_t rate;	/* bytes/s; 0: no limit */
	int64_t credit; /* bytes that may go now; what a frame takes too much is owed */
	uint64_t credit_at;
	struct loop_fd watch;
	struct loop_timer timer;
	struct loop_task kicked;
	void (*done)(void *arg, int err);
	void *arg;
};
/* fd stays the caller's and is made non-blocking. 0 or -errno. */
int channel_pump_start(struct loop *l, struct channel_pump *p, struct channel *c, uint8_t type,
		       int fd, void (*done)(void *arg, int err), void *arg);
/* Sends no more than so many bytes a second, averaged over CHANNEL_PUMP_BURST_NS: as long as the
 * loop may be busy with other things without falling behind the rate. 0: no limit. */
#define CHANNEL_PUMP_BURST_NS (100 * MS_NS)
void channel_pump_limit(struct channel_pump *p, uint64_t bytes_per_s);
/*
 * From now on one frame at a time. Several at once empty a full pipe, so that its writer and the
 * pump take turns less often, each of which costs some 0.2 ms in a PV dom0; but what comes after
 * them waits for all.
 */
void channel_pump_briefly(struct channel_pump *p);
/* From now on the bytes go over lanes: their on_room must call channel_pump_kick(). */
void channel_pump_over(struct channel_pump *p, struct lanes_out *lanes);
void channel_pump_kick(struct channel_pump *p);
/* Harmless when not started (all zero) or at its end. */
void channel_pump_stop(struct channel_pump *p);

/*
 * Frames into a pipe. on_frame passes its payload on and returns the result: false holds the frame
 * until the pipe has taken all of it. failed(arg, -errno) when the pipe's reader is gone (-EPIPE):
 * from then on payloads are dropped. SIGPIPE must be ignored.
 */
struct channel_sink {
	struct loop *loop;
	struct channel *c;
	struct lanes_in *lanes; /* where the bytes come from, unless NULL: then from c */
	int fd;
	size_t at; /* how much of the held frame the pipe has */
	uint64_t bytes;
	struct loop_fd watch;
	int err;
	void (*failed)(void *arg, int err);
	void *arg;
};
int channel_sink_start(struct loop *l, struct channel_sink *s, struct channel *c, int fd,
		       void (*failed)(void *arg, int err), void *arg);
bool channel_sink_frame(struct channel_sink *s, const uint8_t *p, size_t n);
/* Asks for what was held once more. */
void channel_sink_resume(struct channel_sink *s);
/* After this fd is the caller's alone again (close it: the pipe's reader sees the end). A frame
 * that is held is the caller's to release by channel_resume(). */
void channel_sink_stop(struct channel_sink *s);

#endif
