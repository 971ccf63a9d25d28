/* SPDX-License-Identifier: BSD-2-Clause */
/* The report as one page that needs nothing else: no script, no font, no picture from elsewhere. */
#include <math.h>
#include <string.h>

#include "cmd/bench/report.h"
#include "core/opts.h"

/*
 * Colours of Okabe and Ito, which also the colour-blind tell apart; each line has a dash pattern of
 * its own besides. The drawings keep their size of some 350 pixels: on a wide screen they stand
 * side by side.
 */
static const char style[] =
	":root{color-scheme:light dark;--back:#fff;--text:#1a1a1a;--dim:#595959;--grid:#e3e3e3;"
	"--moving:#0072b21f;--silent:#d55e0066;--warmup:#8080801f;"
	"--c0:#0072b2;--c1:#d55e00;--c2:#007a59;--c3:#a8558a;--c4:#5b5b5b;--c5:#8a6100;"
	"--c6:#2f6f9f;--c7:#b0413e}\n"
	"@media screen and (prefers-color-scheme:dark){:root{--back:#141414;--text:#ececec;"
	"--dim:#ababab;--grid:#343434;--moving:#56b4e92e;--silent:#ff8a3d70;--warmup:#a0a0a02e;"
	"--c0:#56b4e9;--c1:#ff8a3d;--c2:#2fcf9f;--c3:#e39cc6;--c4:#c9c9c9;--c5:#f0c050;"
	"--c6:#9ac7f0;--c7:#ff9d9a}}\n"
	"*{box-sizing:border-box}body{margin:0 auto;padding:12px;max-width:1420px;"
	"background:var(--back);color:var(--text);font:15px/1.45 system-ui,sans-serif}\n"
	"h1{font-size:1.5em;margin:.3em 0}h2{font-size:1.2em;margin:1.4em 0 .4em}"
	"h3{font-size:1em;margin:0 0 .2em;overflow-wrap:anywhere}"
	"p,li{max-width:75ch;overflow-wrap:anywhere}ul{padding-left:1.2em}\n"
	".plots{display:grid;gap:20px;"
	"grid-template-columns:repeat(auto-fit,minmax(min(340px,100%),1fr))}"
	"figure{margin:0;min-width:0;max-width:520px;break-inside:avoid}svg{display:block;width:"
	"100%;"
	"height:auto}svg text{fill:var(--text);font-family:system-ui,sans-serif}\n"
	".grid{stroke:var(--grid);fill:none}.axis{stroke:var(--dim);fill:none}"
	".line{fill:none;stroke-width:1.8;stroke-linejoin:round}.thin{stroke-width:1}"
	".range{fill:none;stroke-width:1;opacity:.35}"
	".moving{fill:var(--moving)}.silent{fill:var(--silent)}.warmup{fill:var(--warmup)}\n"
	".l0{stroke:var(--c0)}.l1{stroke:var(--c1);stroke-dasharray:7 3}"
	".l2{stroke:var(--c2);stroke-dasharray:2 2}.l3{stroke:var(--c3);stroke-dasharray:8 3 2 3}"
	".l4{stroke:var(--c4);stroke-dasharray:1 3}.l5{stroke:var(--c5);stroke-dasharray:12 4}"
	".l6{stroke:var(--c6);stroke-dasharray:3 3 9 3}.l7{stroke:var(--c7);stroke-dasharray:1 2 6 "
	"2}"
	".range{stroke-dasharray:none}\n"
	".bar{fill:var(--dim)}.p0{fill:var(--c0)}.p1{fill:var(--c1)}.p2{fill:var(--c2)}"
	".p3{fill:var(--c3)}.p4{fill:var(--c4)}.p5{fill:var(--c5)}"
	".p6{fill:none;stroke:var(--c7);stroke-width:1.5}\n"
	".key{font-size:.85em;color:var(--dim);display:flex;flex-wrap:wrap;gap:2px 14px;margin:2px "
	"0}"
	".key "
	"svg{display:inline-block;width:34px;height:8px;margin-right:5px;vertical-align:middle}\n"
	".scroll{overflow:auto;max-width:100%;margin:6px 0}figure .scroll{max-height:11em}"
	"table{border-collapse:collapse;font-size:.85em;font-variant-numeric:tabular-nums}"
	"caption{text-align:left;color:var(--dim);padding:2px 0}"
	"th,td{padding:2px 8px;border-bottom:1px solid var(--grid);text-align:right;"
	"white-space:nowrap}.w{text-align:left}th:first-child,td:first-child{text-align:left;"
	"padding-left:0}\n"
	"@media print{body{max-width:none;padding:0;font-size:11px}.scroll,figure .scroll{"
	"max-height:none;overflow:visible}.plots{grid-template-columns:1fr 1fr}}\n";

static void paragraph(void *arg, const char *text)
{
	FILE *f = arg;

	fputs("<li>", f);
	html_text(f, text);
	fputs("</li>\n", f);
}

static void give(FILE *f, struct table *t, const char *caption)
{
	if (t->n)
		table_html(f, t, caption);
	table_free(t);
}

static void figure(FILE *f, const struct metric *m)
{
	struct plot_span span[REPORT_SPANS];
	struct table samples = {0};
	struct plot p;

	fputs("<figure>\n<h3>", f);
	if (!isnan(m->test))
		fprintf(f, "Test %g: ", m->test);
	html_text(f, m->title);
	if (metric_figure(m))
		fprintf(f, " (the study's figure %s)", metric_figure(m));
	fputs("</h3>\n", f);
	if (plot_scale(&p, m)) {
		p.spans = report_spans(m->line[0].run, span);
		p.span = span;
		plot_svg(f, &p);
		fputs("<div class=\"key\">", f);
		for (size_t i = 0; i < m->n; i++) {
			fprintf(f,
				"<span><svg viewBox=\"0 0 34 8\" aria-hidden=\"true\"><path "
				"class=\"line l%zu%s\" d=\"M0 4H34\"/></svg>",
				i % PLOT_STYLES, i ? " thin" : "");
			html_text(f, m->line[i].run->title);
			fputs("</span>", f);
		}
		fputs("</div>\n", f);
	} else {
		fputs("<p>There is nothing to draw: nothing was measured, or only zeros.</p>\n", f);
	}
	for (size_t i = 0; i < m->n; i++) {
		report_samples(&samples, m, &m->line[i]);
		give(f, &samples, m->line[i].run->title);
	}
	fputs("</figure>\n", f);
}

static void of_run(FILE *f, const struct findings *all, const struct run *r)
{
	struct table t = {0};

	fputs("<h2>", f);
	html_text(f, r->title);
	fputs("</h2>\n<ul>\n", f);
	findings_words(all, r, paragraph, f);
	fputs("</ul>\n", f);
	report_storage(&t, r);
	give(f, &t, "Local against remote; medians");
	report_gap_bars(f, r);
	report_downtime(&t, r);
	give(f, &t, "What the downtime was spent on");
	report_rounds(&t, r);
	give(f, &t, "Rounds of the copy: a ratio of dirtied by sent above 1 never ends by itself");
	report_environment(&t, r);
	give(f, &t, r->path);
}

void report_html(FILE *f, const struct findings *all)
{
	struct table t = {0};

	fprintf(f,
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
		"<title>vstor bench</title>\n<style>\n%s</style></head><body>\n"
		"<h1>vstor bench: %zu run%s</h1>\n",
		style, all->runs, all->runs == 1 ? "" : "s");
	report_compare(&t, all);
	give(f, &t, "Means; the worst sample during the migration. \xe2\x80\x93: not measured");
	report_gaps(&t, all);
	give(f, &t, "How long the guest was gone, ms, as each saw it");
	if (all->n) {
		fputs("<h2>Over time</h2>\n<div class=\"plots\">\n", f);
		for (size_t i = 0; i < all->n; i++)
			figure(f, &all->metric[i]);
		fputs("</div>\n", f);
	}
	for (size_t i = 0; i < all->runs; i++)
		of_run(f, all, &all->run[i]);
	fputs("<p>", f);
	html_text(f, opts_version);
	fputs("</p>\n</body></html>\n", f);
}
