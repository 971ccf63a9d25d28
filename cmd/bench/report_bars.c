/* SPDX-License-Identifier: BSD-2-Clause */
/* How long the guest was gone as each clock saw it, on one scale, and what the downtime was spent
 * on. */
#include <math.h>
#include <string.h>

#include "cmd/bench/report.h"
#include "core/bytes.h"

#define LEFT	92 /* of the bars, in the units of the drawing; the names are before */
#define ROOM	70 /* behind them, for the figure */
#define ROW	22
#define BAR	12
#define COLUMNS 64

size_t report_parts(const struct run *r, struct report_part part[REPORT_PARTS])
{
	static const struct {
		const char *key, *name, *what;
	} parts[REPORT_PARTS] = {
		{"suspend", "suspend", "until it had suspended itself"},
		{"copy", "last copy", "until the last of it was sent"},
		{"restore", "restore", "until it was restored there"},
		{"devices", "devices", "until its devices were there"},
		{"quiesce", "quiesce", "until its disks had answered, if that took longer"},
		{"start", "unpause", "until it ran there"},
		{NULL, "first reply", "from there to the first reply to a ping"},
	};
	yajl_val split = run_get(r->migration, "downtime_parts_ms");

	if (!YAJL_IS_OBJECT(split))
		return 0;
	for (size_t i = 0; i < REPORT_PARTS; i++)
		part[i] = (struct report_part){
			.name = parts[i].name,
			.what = parts[i].what,
			.ms = parts[i].key ? run_number(split, parts[i].key) : r->first_reply,
		};
	return REPORT_PARTS;
}

/* Parts that are not known take no room. */
static double length_of(const struct report_part *part)
{
	return part->ms > 0 ? part->ms : 0;
}

static double whole(const struct report_part *part, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += length_of(&part[i]);
	return sum;
}

static const char *const row_names[1 + RUN_GAPS] = {"predicted", "the tool's", "guest's clock",
						    "ping", "disk step"};

/* As run_gap_names has them, the prediction first. */
static double row_ms(const struct run *r, int row)
{
	return row ? r->gap[row - 1] : run_number(r->migration, "predicted_ms");
}

static void key(FILE *f, const struct report_part *part, size_t parts)
{
	fputs("<div class=\"key\">", f);
	for (size_t i = 0; i < parts; i++) {
		fprintf(f,
			"<span><svg viewBox=\"0 0 34 8\" aria-hidden=\"true\"><rect class=\"p%zu\" "
			"width=\"34\" height=\"8\"/></svg>%zu %s ",
			i, i + 1, part[i].name);
		if (isnan(part[i].ms))
			fputs(TABLE_MISSING "</span>", f);
		else
			fprintf(f, "%.0f ms</span>", part[i].ms);
	}
	fputs("</div>\n", f);
}

/* A row for each clock; under the tool's, its parts. */
static void draw(FILE *f, const struct run *r, const struct report_part *part, size_t parts,
		 double most)
{
	double per_ms = (PLOT_WIDTH - LEFT - ROOM) / most, x = LEFT;
	int y = 4, height = ROW * (1 + RUN_GAPS) + (parts ? ROW : 0) + 4;

	fprintf(f,
		"<svg viewBox=\"0 0 %d %d\" font-size=\"%d\" role=\"img\" aria-label=\"How long "
		"the guest was gone\">\n",
		PLOT_WIDTH, height, PLOT_FONT);
	for (int i = 0; i <= RUN_GAPS; i++, y += ROW) {
		double ms = row_ms(r, i), width = isnan(ms) ? 0 : ms * per_ms;

		fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", LEFT - 6,
			y + 10, row_names[i]);
		if (width > 0)
			fprintf(f,
				"<rect class=\"bar\" x=\"%d\" y=\"%d\" width=\"%.1f\" "
				"height=\"%d\"/>\n",
				LEFT, y, fmax(width, 1), BAR);
		fprintf(f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"start\">", LEFT + width + 4,
			y + 10);
		if (isnan(ms))
			fputs(TABLE_MISSING "</text>\n", f);
		else
			fprintf(f, "%.0f ms</text>\n", ms);
		if (i != 1 || !parts)
			continue;
		y += ROW;
		for (size_t k = 0; k < parts; k++) {
			width = length_of(&part[k]) * per_ms;
			if (width > 0)
				fprintf(f,
					"<rect class=\"p%zu\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" "
					"height=\"%d\"><title>%s</title></rect>\n",
					k, x, y - 6, fmax(width - 0.7, 0.5), BAR, part[k].what);
			x += width;
		}
	}
	fputs("</svg>\n", f);
}

void report_gap_bars(FILE *f, const struct run *r)
{
	struct report_part part[REPORT_PARTS];
	size_t parts = report_parts(r, part);
	double most = whole(part, parts);

	for (int i = 0; i <= RUN_GAPS; i++)
		most = fmax(most, row_ms(r, i)); /* without those that are NAN */
	if (!(most > 0))
		return;
	fputs("<figure>\n<h3>How long the guest was gone: predicted, and by four clocks</h3>\n", f);
	draw(f, r, part, parts, most);
	if (parts)
		key(f, part, parts);
	fputs("</figure>\n", f);
}

/* The parts on a line, a digit for each column. */
void report_part_line(FILE *f, const struct run *r)
{
	struct report_part part[REPORT_PARTS];
	size_t parts = report_parts(r, part), k = 0;
	double all = whole(part, parts), end = 0;

	if (!(all > 0))
		return;
	fputs("  ", f);
	for (int i = 0; i < COLUMNS; i++) {
		double at = all * (i + 0.5) / COLUMNS;

		while (k < parts && end + length_of(&part[k]) <= at)
			end += length_of(&part[k++]);
		putc((int)('1' + MIN(k, parts - 1)), f);
	}
	fprintf(f, "  0 to %.0f ms:", all);
	for (size_t i = 0; i < parts; i++)
		fprintf(f, "%s %zu %s", i ? "," : "", i + 1, part[i].name);
	putc('\n', f);
}
