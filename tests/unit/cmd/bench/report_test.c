/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports of made-up runs: what is in them, what is missing, and that no label lies on another. */
#include "cmd/bench/report.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/bench/bench.h"
#include "core/opts.h"
#include "tests/unit/check.h"

#define RUNS_MAX 3

static char path[RUNS_MAX][64];
static struct run run[RUNS_MAX];
static struct findings all;
static size_t runs;
static char *page, *text, *csv;

static int read_run(const char *json)
{
	int fd, err, kept = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	strcpy(path[runs], "/tmp/vstor-run-XXXXXX");
	fd = mkstemp(path[runs]);
	if (fd < 0 || write(fd, json, strlen(json)) != (ssize_t)strlen(json))
		abort();
	close(fd);
	dup2(null, STDERR_FILENO);
	err = run_read(&run[runs], path[runs]);
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(null);
	unlink(path[runs]);
	runs++;
	return err;
}

static char *write_out(void (*fn)(FILE *f, const struct findings *all))
{
	char *s;
	size_t n;
	FILE *f = open_memstream(&s, &n);

	fn(f, &all);
	fclose(f);
	return s;
}

static void report(void)
{
	CHECK_EQ(findings_make(&all, run, runs), 0);
	page = write_out(report_html);
	text = write_out(report_text);
	csv = write_out(report_csv);
}

static void clear(void)
{
	findings_free(&all);
	while (runs > 0)
		run_free(&run[--runs]);
	free(page);
	free(text);
	free(csv);
	page = text = csv = NULL;
}

/* A run of bench migrate: 120 s, moved from 60 to 80 s, silent from 77 for `silent` s (negative:
 * and the guest's clock is not known); a disk that is slow meanwhile, and fast once, at 10 s. */
static char *moved(double silent, const char *extra)
{
	char *s;
	size_t n;
	FILE *f = open_memstream(&s, &n);
	char jump[16] = "null";

	if (silent > 0)
		snprintf(jump, sizeof(jump), "%g", silent);
	silent = fabs(silent);
	fprintf(f,
		"{\"bench\":\"migrate\",\"test\":1,\"tool\":\"vstor migrate\",%s"
		"\"phases\":[{\"name\":\"before\",\"from\":0,\"to\":60},{\"name\":\"during\","
		"\"from\":60,\"to\":80},{\"name\":\"after\",\"from\":80,\"to\":120}],"
		"\"gaps_ms\":{\"first_reply\":%s,\"tool\":312,\"ping\":%g},\"environment\":{"
		"\"vstor\":\"1 <b>\"},"
		"\"migration\":{\"domain\":\"g\",\"host\":\"b\",\"result\":\"moved\","
		"\"downtime_ms\":312,\"predicted_ms\":300,\"brownout_s\":1.5,\"total_s\":20,"
		"\"downtime_parts_ms\":{\"suspend\":12,\"copy\":100},"
		"\"each_round\":[{\"seconds\":9,\"pages\":100,\"ratio\":1.25,\"speed_percent\":40,"
		"\"then\":\"continue\"}]},\"loads\":[",
		extra, silent > 2.4 ? "null" : "88", silent * 1000);
	/* The disk's clock stood still with the guest. */
	fprintf(f,
		"{\"name\":\"disk\",\"at\":0.5,\"jump_at\":77,\"jump\":%s,\"load\":{\"bench\":"
		"\"disk\",\"samples\":[",
		jump);
	for (int t = 0; t < 118; t++)
		fprintf(f,
			"%s{\"from\":%d,\"to\":%d,\"ops\":100,\"bytes\":%d,\"mean_ms\":10,"
			"\"max_ms\":%d}",
			t ? "," : "", t, t + 1,
			t == 10		    ? 90000000
			: t >= 60 && t < 78 ? 5000000
					    : 20000000,
			t == 70 ? 2000 : 20);
	fprintf(f,
		"]}},{\"name\":\"ping\",\"at\":0,\"load\":{\"bench\":\"ping\","
		"\"longest_gap_ms\":%g,\"longest_gap_start_ms\":77000,\"samples\":[",
		silent * 1000);
	for (int t = 0; t < 1200; t++) {
		bool there = t < 770 || t >= 770 + (int)(silent * 10);

		fprintf(f, "%s{\"from\":%g,\"to\":%g,\"sent\":10,\"ops\":%d", t ? "," : "",
			t / 10.0, (t + 1) / 10.0, there ? 10 : 0);
		if (there)
			fprintf(f, ",\"mean_ms\":%g,\"max_ms\":%g", 0.4 + 0.1 * (t % 3),
				t == 600 ? 300 : 0.9);
		fputs("}", f);
	}
	fputs("]}}]}\n", f);
	fclose(f);
	return s;
}

/* ---- the drawings ---- */

struct box {
	double x0, x1, y0, y1;
	char text[64];
};

/* Letters are narrower than this in the fonts of browsers, on average. */
static double width_of(const char *s)
{
	return 0.6 * PLOT_FONT * (double)strlen(s);
}

/* Every label within the drawing, and none on another. */
static unsigned check_labels(const char *svg, const char *end)
{
	static struct box box[64];
	unsigned n = 0;

	for (const char *p = svg; (p = strstr(p, "<text ")) && p < end && n < 64; p++) {
		struct box *b = &box[n++];
		char anchor[16];
		double x, y, w;

		if (!CHECK_EQ(sscanf(p,
				     "<text x=\"%lf\" y=\"%lf\" text-anchor=\"%15[a-z]\">%63[^<]",
				     &x, &y, anchor, b->text),
			      4))
			return 0;
		w = width_of(b->text);
		x -= strcmp(anchor, "end") == 0 ? w : strcmp(anchor, "middle") == 0 ? w / 2 : 0;
		*b = (struct box){x, x + w, y - 9, y + 2, ""};
		sscanf(p, "<text x=\"%*f\" y=\"%*f\" text-anchor=\"%*[a-z]\">%63[^<]", b->text);
		if (!CHECK(b->x0 >= 0 && b->x1 <= PLOT_WIDTH && b->y0 >= 0 && b->y1 <= PLOT_HEIGHT))
			printf("# \"%s\" is cut off: %.1f to %.1f\n", b->text, b->x0, b->x1);
		for (struct box *o = box; o < b; o++)
			if (!CHECK(b->x0 >= o->x1 || b->x1 <= o->x0 || b->y0 >= o->y1 ||
				   b->y1 <= o->y0))
				printf("# \"%s\" lies on \"%s\"\n", b->text, o->text);
	}
	return n;
}

static unsigned check_drawings(void)
{
	unsigned n = 0;

	for (const char *p = page; (p = strstr(p, "<svg viewBox=\"0 0 360")); p++, n++) {
		const char *end = strstr(p, "</svg>");

		CHECK(end && check_labels(p, end) >= 6);
	}
	return n;
}

static bool balanced(const char *tag)
{
	char open[16], close[16];
	int n = 0;

	snprintf(open, sizeof(open), "<%s", tag);
	snprintf(close, sizeof(close), "</%s>", tag);
	for (const char *p = page; (p = strstr(p, open)); p++)
		n += p[strlen(open)] == '>' || p[strlen(open)] == ' ';
	for (const char *p = page; (p = strstr(p, close)); p++)
		n--;
	return n == 0;
}

/* ---- tests ---- */

static void test_page_of_a_migration(void)
{
	char *json = moved(2.5, "");

	CHECK_EQ(read_run(json), 0);
	free(json);
	report();
	/* Disk rate, disk latency, ping; the gaps by five clocks. */
	CHECK_EQ(check_drawings(), 4);
	CHECK(balanced("table") && balanced("svg") && balanced("figure") && balanced("tr") &&
	      balanced("li") && balanced("text") && balanced("div"));
	/* One file, no script, nothing from elsewhere. */
	CHECK(!strstr(page, "<script") && !strstr(page, "http") && !strstr(page, "<link") &&
	      !strstr(page, "<img") && !strstr(page, "url("));
	CHECK(strstr(page, "Test 1: disk, MB/s (the study's figure 4.2)</h3>"));
	CHECK(strstr(page, "class=\"moving\"") && strstr(page, "class=\"silent\""));
	CHECK(strstr(page, "stroke-dasharray") && strstr(page, "prefers-color-scheme:dark") &&
	      strstr(page, "@media print"));
	CHECK(strstr(page, "1 &lt;b&gt;") && !strstr(page, "<b>"));
	/* The figures: a quarter of the speed; back afterwards; the study's beside it. */
	CHECK(strstr(text, "-55 % at its lowest"));
	CHECK(strstr(page, "The guest stood still for 312 ms"));
	CHECK(strstr(page, "it was 12 ms longer"));
	CHECK(strstr(page, "silent for 2500 ms at most, from 17.0 s on"));
	CHECK(strstr(page, "1 outlier apart from the migration: 90 at -49.5 s"));
	CHECK(!strstr(page, "has not come back"));
	clear();
}

/* What is not in the file is a dash, never a figure. */
static void test_missing_is_shown_as_missing(void)
{
	char *json = moved(2.5, "\"interrupted\":true,\"missing\":[\"a guest clock\"],");
	struct table t = {0};

	CHECK_EQ(read_run(json), 0);
	free(json);
	report();
	CHECK(strstr(page, "cut off") && strstr(page, "Missing: a guest clock."));
	report_gaps(&t, &all);
	/* In the drawing, too: the clock of the guest, and the disk. */
	CHECK(strstr(page, ">guest's clock</text>\n<text x=\"96.0\" y=\"80\" "
			   "text-anchor=\"start\">" TABLE_MISSING "</text>"));
	if (CHECK_EQ(t.n, 16)) {
		CHECK_STR(t.cell[10], "312");
		CHECK_STR(t.cell[11], TABLE_MISSING); /* guest_clock */
		CHECK_STR(t.cell[12], "2500");
		CHECK_STR(t.cell[13], TABLE_MISSING); /* disk_write */
	}
	table_free(&t);
	report_downtime(&t, &run[0]);
	CHECK_STR(t.cell[9], "3 restore");
	CHECK_STR(t.cell[10], TABLE_MISSING);
	CHECK_STR(t.cell[t.n - 3], "7 first reply");
	CHECK_STR(t.cell[t.n - 2], TABLE_MISSING);
	table_free(&t);
	/* In the silence there is no round trip: a gap in the table, the CSV and the line. */
	CHECK(strstr(csv, ",\"ping\",\"\",18.000,18.100,0,,,\n"));
	clear();
}

static void test_samples_lie_where_they_were(void)
{
	char *json = moved(2.5, "");
	struct metric_row row;

	CHECK_EQ(read_run(json), 0);
	free(json);
	report();
	if (!CHECK_EQ(all.n, 3))
		return;
	/* 76 s after its start, 16 after the migration's, the guest stood still for 2.5 s. */
	CHECK(fabs(run[0].series[0].p[0].from + 59.5) < 1e-6);
	CHECK(fabs(run[0].series[0].p[76].from - 16.5) < 1e-6);
	CHECK(fabs(run[0].series[0].p[76].to - 20) < 1e-6);
	CHECK(fabs(run[0].series[0].p[77].from - 20) < 1e-6);
	CHECK(run[0].from == 0 && run[0].to == 20 && run[0].silent == 17);
	row = metric_compare(&all.metric[0], &all.metric[0].line[0]);
	CHECK(fabs(row.before.median - 20) < 1e-6);
	CHECK(row.during.worst < 2); /* 5 MB in 3.5 s */
	CHECK(fabs(row.after.mean - 20) < 1);
	CHECK(row.change < -0.6);
	/* The greatest latency of the migration, not the greatest mean. */
	row = metric_compare(&all.metric[1], &all.metric[1].line[0]);
	CHECK(fabs(row.during.worst - 2000) < 1e-6);
	clear();
}

/* What the guest sampled after the stop is nowhere, rather than somewhere. */
static void test_samples_without_a_clock(void)
{
	char *json = moved(-2.5, "");
	struct metric_row row;

	CHECK_EQ(read_run(json), 0);
	free(json);
	report();
	if (!CHECK_EQ(all.n, 3))
		return;
	CHECK_EQ(run[0].series[0].n, 76);
	for (int latency = 0; latency < 2; latency++) {
		row = metric_compare(&all.metric[latency], &all.metric[latency].line[0]);
		CHECK(!isnan(row.before.mean) && isnan(row.after.mean));
	}
	CHECK(strstr(page, "disk, MB/s: nothing was measured after it."));
	CHECK(!strstr(csv, "nan") && !strstr(page, "nan"));
	clear();
}

static void test_runs_side_by_side(void)
{
	const char *load = "{\"bench\":\"disk\",\"samples\":[{\"from\":0,\"to\":1,\"warmup\":true,"
			   "\"ops\":1,\"bytes\":1000000},{\"from\":1,\"to\":2,\"ops\":0}]}";
	char *json = moved(70, "");

	CHECK_EQ(read_run(json), 0);
	free(json);
	json = moved(0.04, "\"label\":\"two networks\",");
	CHECK_EQ(read_run(json), 0);
	free(json);
	CHECK_EQ(read_run(load), 0);
	report();
	CHECK_EQ(check_drawings(), 6); /* what is of no test stands apart; two of gaps */
	CHECK(strstr(page, "class=\"line l1 thin\""));
	CHECK(strstr(page, "test 1, two networks"));
	/* A second in which nothing was done is one of zero bytes. */
	CHECK(strstr(csv, "\"disk\",\"MB/s\",1.000,2.000,0,0,,"));
	clear();
}

static void test_extremes_of_the_axes(void)
{
	static const char *const values[] = {"0.000001", "1", "99999", "123456789012", "-5"};

	for (size_t i = 0; i < 5; i++)
		for (int seconds = 1; seconds < 100000; seconds *= 37) {
			char json[512];

			snprintf(json, sizeof(json),
				 "{\"bench\":\"exec\",\"unit\":\"x\",\"samples\":[{\"from\":0,"
				 "\"to\":%d,\"value\":%s,\"mean_ms\":1,\"max_ms\":%s}]}",
				 seconds, values[i], values[i]);
			CHECK_EQ(read_run(json), 0);
			report();
			check_drawings();
			clear();
		}
}

static void test_migrate_json_alone(void)
{
	CHECK_EQ(read_run("{\"domain\":\"web1\",\"host\":\"hostb\",\"result\":\"not moved\","
			  "\"cause\":\"no memory\",\"downtime_ms\":null}"),
		 0);
	report();
	CHECK(strstr(text, "not moved: no memory"));
	CHECK(strstr(page, "web1 to hostb"));
	clear();
}

static void test_what_is_no_run(void)
{
	static const char *const wrong[] = {"",
					    "{",
					    "[]",
					    "{}",
					    "7",
					    "{\"bench\":\"disk\"",
					    "{\"bench\":7}",
					    "hello",
					    "{\"domain\":\"a\"}"};
	struct run r;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (!CHECK_EQ(read_run(wrong[i]), -EINVAL))
			printf("# %s\n", wrong[i]);
		clear();
	}
	freopen("/dev/null", "w", stderr);
	CHECK_EQ(run_read(&r, "/nonexistent"), -ENOENT);
	run_free(&r);
}

/* `vstor bench report WORDS`: its exit status; what it said on stderr is in `said`. */
static char said[4096];
static int command(int argc, char **argv)
{
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), p[2], status;
	ssize_t n;

	if (pipe(p) < 0)
		abort();
	fflush(NULL);
	dup2(p[1], STDERR_FILENO);
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
	status = bench_report(argc, argv);
	fflush(NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	close(p[1]);
	n = read(p[0], said, sizeof(said) - 1);
	said[n < 0 ? 0 : n] = '\0';
	close(p[0]);
	return status;
}
#define COMMAND(...)                                                                               \
	command((int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)),                           \
		(char *[]){__VA_ARGS__, NULL})

/* One clear line that names the file; and no page, or the one that was there before. */
static void test_command_line(void)
{
	char good[] = "/tmp/vstor-run-XXXXXX", none[] = "/tmp/vstor-none-XXXXXX", to[64];
	char *json = moved(2.5, "");
	int fd = mkstemp(good), other = mkstemp(none);

	CHECK(write(fd, json, strlen(json)) == (ssize_t)strlen(json) && write(other, "{}", 2) == 2);
	free(json);
	close(fd);
	close(other);
	snprintf(to, sizeof(to), "%s.html", good);

	CHECK_EQ(COMMAND("report"), 2);
	CHECK_EQ(COMMAND("report", "--width", good), 2);
	CHECK_EQ(COMMAND("report", "-o"), 2);
	CHECK_EQ(COMMAND("report", good, none, "-o", to), 1);
	CHECK(strstr(said, none) && strstr(said, "is no run") &&
	      strchr(said, '\n') == said + strlen(said) - 1);
	CHECK(access(to, F_OK) != 0);
	CHECK_EQ(COMMAND("report", good, "-o", "/nonexistent/page.html"), 1);
	CHECK(strstr(said, "/nonexistent/page.html: cannot be written: No such file"));
	CHECK(strchr(said, '\n') == said + strlen(said) - 1);
	if (access("/dev/full", W_OK) == 0) {
		CHECK(symlink("/dev/full", "/tmp/vstor-full.html.new") == 0);
		CHECK_EQ(COMMAND("report", good, "-o", "/tmp/vstor-full.html"), 1);
		CHECK(strstr(said, "/tmp/vstor-full.html: cannot be written: No space left"));
		CHECK(access("/tmp/vstor-full.html", F_OK) != 0);
		unlink("/tmp/vstor-full.html.new");
	}
	CHECK_EQ(COMMAND("report", good, "-o", to), 0);
	CHECK_STR(said, "");
	CHECK(access(to, F_OK) == 0);
	unlink(to);
	unlink(good);
	unlink(none);
}

int main(void)
{
	opts_version = "vstor test";
	CHECK_RUN(test_page_of_a_migration);
	CHECK_RUN(test_missing_is_shown_as_missing);
	CHECK_RUN(test_samples_lie_where_they_were);
	CHECK_RUN(test_samples_without_a_clock);
	CHECK_RUN(test_runs_side_by_side);
	CHECK_RUN(test_extremes_of_the_axes);
	CHECK_RUN(test_migrate_json_alone);
	CHECK_RUN(test_command_line);
	CHECK_RUN(test_what_is_no_run);
	return CHECK_DONE();
}
