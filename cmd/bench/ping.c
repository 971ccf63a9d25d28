/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/ping.h"

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>

#include "cmd/bench/bench.h"
#include "cmd/bench/console.h"
#include "core/bytes.h"
#include "core/log.h"
#include "core/opts.h"

struct pinging {
	struct loop *loop;
	struct ping *ping;
	const char *host;
	char address[NI_MAXHOST];
	uint64_t interval, count, duration, sample;
	struct console console;
	struct loop_timer tick, end;
	struct loop_signal sigint, sigterm;
	bool interrupted;
	uint64_t ticks, last_tick; /* since the start */
	uint64_t last_sent;
	struct hist span;
	/* Jitter: how far a round trip differs from the one before (RFC 3550, 6.4.1, without its
	 * smoothing); ns. */
	uint64_t last_rtt, differences;
	double difference_sum;
};

static void reply(void *arg, uint64_t seq, uint64_t rtt_ns)
{
	struct pinging *p = arg;

	(void)seq;
	if (p->last_rtt) {
		p->difference_sum += fabs((double)rtt_ns - (double)p->last_rtt);
		p->differences++;
	}
	p->last_rtt = rtt_ns;
	hist_add(&p->span, rtt_ns);
}

static void take_sample(struct pinging *p)
{
	const struct ping_stats *s = ping_stats(p->ping);
	uint64_t now = clock_ns() - s->start_ns, silence = ping_silence(p->ping);
	FILE *f = p->console.lines;

	/* What is left at the end is too short for a line. */
	if (now - p->last_tick >= p->sample / 2 && !p->console.csv) {
		fprintf(f, "%6.1f s  sent %llu  received %llu  ", (double)now / (double)SEC_NS,
			(unsigned long long)(s->sent - p->last_sent),
			(unsigned long long)p->span.n);
		console_latency(f, &p->span);
		if (silence > 2 * p->interval + 100 * MS_NS)
			fprintf(f, "  silent for %.1f s", (double)silence / (double)SEC_NS);
		putc('\n', f);
	}
	console_add_row(&p->console,
			(struct console_row){.from_ns = p->last_tick,
					     .to_ns = now,
					     .sent = s->sent - p->last_sent,
					     .ops = p->span.n},
			&p->span);
	hist_reset(&p->span);
	p->last_sent = s->sent;
	p->last_tick = now;
}

static void tick(void *arg)
{
	struct pinging *p = arg;
	uint64_t start = ping_stats(p->ping)->start_ns, now, due;

	take_sample(p);
	now = clock_ns();
	do {
		due = start + ++p->ticks * p->sample;
	} while (due <= now);
	loop_timer_set(p->loop, &p->tick, due - now, tick, p);
}

static void end(void *arg)
{
	struct pinging *p = arg;

	ping_finish(p->ping);
}

static void interrupt(void *arg, int signo)
{
	struct pinging *p = arg;

	(void)signo;
	p->interrupted = true;
	ping_finish(p->ping);
}

static void finished(void *arg)
{
	struct pinging *p = arg;

	loop_timer_del(p->loop, &p->tick);
	if (ping_stats(p->ping)->sent > p->last_sent || p->span.n)
		take_sample(p);
	loop_stop(p->loop, 0);
}

static double ms(uint64_t ns)
{
	return (double)ns / (double)MS_NS;
}

static double jitter_ms(const struct pinging *p)
{
	return p->difference_sum / (double)p->differences / (double)MS_NS;
}

static void print_json(struct pinging *p, const struct ping_stats *s, double seconds)
{
	struct json j;

	console_json_begin(&p->console, &j, "ping", seconds, p->interrupted);
	json_string(&j, "host", p->host);
	json_string(&j, "address", p->address);
	json_double(&j, "interval_ms", ms(p->interval));
	json_double(&j, "sample_s", (double)p->sample / (double)SEC_NS);
	json_u64(&j, "sent", s->sent);
	json_u64(&j, "received", s->received);
	json_u64(&j, "lost", s->lost);
	json_u64(&j, "late", s->late);
	json_u64(&j, "duplicates", s->duplicates);
	json_u64(&j, "send_errors", s->send_errors);
	console_json_latency(&j, "rtt_ms", &s->rtt);
	json_double(&j, "jitter_ms", jitter_ms(p));
	json_double(&j, "longest_gap_ms", ms(s->gap_ns));
	json_double(&j, "longest_gap_start_ms", ms(s->gap_start_ns));
	json_u64(&j, "loss_runs_total", s->runs);
	json_array(&j, "loss_runs");
	for (uint64_t i = 0; i < MIN(s->runs, PING_MAX_RUNS); i++) {
		json_object(&j, NULL);
		json_double(&j, "start_ms", ms(s->run[i].start_ns));
		json_u64(&j, "lost", s->run[i].lost);
		json_double(&j, "ms", ms(s->run[i].length_ns));
		json_object_end(&j);
	}
	json_array_end(&j);
	console_json_end(&p->console, &j);
}

static void print_summary(struct pinging *p)
{
	const struct ping_stats *s = ping_stats(p->ping);
	double seconds = (double)p->last_tick / (double)SEC_NS;
	FILE *f = p->console.summary;

	if (p->console.json) {
		print_json(p, s, seconds);
		return;
	}
	fprintf(f, "ping %s: sent %llu, received %llu, lost %llu in %.1f s\n", p->address,
		(unsigned long long)s->sent, (unsigned long long)s->received,
		(unsigned long long)s->lost, seconds);
	if (s->received) {
		fputs("  round trip: ", f);
		console_latency(f, &s->rtt);
		if (p->differences)
			fprintf(f, ", jitter %.3f ms", jitter_ms(p));
		putc('\n', f);
	}
	fprintf(f, "  longest gap between replies: %.1f ms, from %.2f s on\n", ms(s->gap_ns),
		(double)s->gap_start_ns / (double)SEC_NS);
	for (uint64_t i = 0; i < MIN(s->runs, PING_MAX_RUNS); i++)
		fprintf(f, "  lost %llu in a row at %.2f s, for %.1f ms\n",
			(unsigned long long)s->run[i].lost,
			(double)s->run[i].start_ns / (double)SEC_NS, ms(s->run[i].length_ns));
	if (s->runs > PING_MAX_RUNS)
		fprintf(f, "  and %llu more such runs\n",
			(unsigned long long)(s->runs - PING_MAX_RUNS));
	if (s->send_errors)
		fprintf(f, "  %llu could not be sent: %s\n", (unsigned long long)s->send_errors,
			strerror(s->last_error));
}

/* Resolves the host and starts; 0, or -errno after an error line. */
static int start(struct pinging *p)
{
	const struct ping_events ev = {.reply = reply, .finished = finished, .arg = p};
	struct sockaddr_storage addr;
	const char *why;
	socklen_t len;
	int err = ping_resolve(p->host, &addr, &len, &why);

	if (err) {
		log_error("%s: %s; give a host name or an IP address", p->host, why);
		return err;
	}
	getnameinfo((struct sockaddr *)&addr, len, p->address, sizeof(p->address), NULL, 0,
		    NI_NUMERICHOST);
	err = loop_signal_add(p->loop, &p->sigint, SIGINT, interrupt, p);
	if (!err)
		err = loop_signal_add(p->loop, &p->sigterm, SIGTERM, interrupt, p);
	if (!err)
		err = ping_new(p->loop, (struct sockaddr *)&addr, len, p->interval, p->count, &ev,
			       &p->ping);
	if (!err)
		return 0;
	log_error("%s: cannot ping: %s%s", p->host, strerror(-err),
		  err == -EACCES || err == -EPERM
			  ? "; run as root, or let your group in net.ipv4.ping_group_range"
			  : "; is there a route to it?");
	return err;
}

int bench_ping(int argc, char **argv)
{
	struct pinging p = {.interval = SEC_NS, .sample = SEC_NS};
	const struct opt table[] = {
		{"interval", OPT_SECONDS, &p.interval, "S", "from one echo to the next (default 1)",
		 PING_MIN_INTERVAL, 3600 * SEC_NS},
		{"count", OPT_U64, &p.count, "N", "how many echoes (default: no limit)", 1, 0},
		{"duration", OPT_SECONDS, &p.duration, "S", "how long (default: until interrupted)",
		 0, 0},
		{"sample", OPT_SECONDS, &p.sample, "S",
		 "from one sample to the next, from 0.01 on (default 1)", 10 * MS_NS,
		 3600 * SEC_NS},
		CONSOLE_OPTION(p.console),
		{0},
	};
	const struct opts o = {
		.name = "bench ping",
		.synopsis = "HOST [options]",
		.description =
			"Sends ICMP echoes and tells which were lost and how long HOST was silent."
			"\nAn echo is lost without a reply within 10 s, or 1 s after the last.",
		.table = table,
		.json = &p.console.json,
		.min_operands = 1,
		.max_operands = 1,
		.epilog = "Exit status: 0 HOST answered; 1 it never did, or cannot be pinged.",
	};
	int n = opts_parse(&o, argc, argv), status = 1;

	if (n < 0)
		return opts_exit(n);
	p.host = argv[1];
	p.loop = loop_new();
	if (!p.loop) {
		log_error("%s: %s", p.host, strerror(errno));
		return 1;
	}
	if (start(&p) == 0) {
		console_start(&p.console);
		p.ticks = 1;
		loop_timer_set(p.loop, &p.tick, p.sample, tick, &p);
		if (p.duration)
			loop_timer_set(p.loop, &p.end, p.duration, end, &p);
		loop_run(p.loop);
		print_summary(&p);
		status = ping_stats(p.ping)->received ? 0 : 1;
	}
	ping_free(p.ping);
	console_free(&p.console);
	loop_free(p.loop);
	return status;
}
