# SPDX-License-Identifier: BSD-2-Clause
# A table in Markdown from build/bench/migrate.csv. Ratios are taken within a turn (vstor's migration
# by xl's of the same turn), and their median is shown. A cell that misses its goal is bold.
BEGIN {
	FS = ","
	set_goal("idle", 0.35, 0.3, 0.6)
	set_goal("compile", 0.5, 0.45, 0.4)
	set_goal("dirty", 0.4, 0.3, 0.15)
	set_goal("disk", 0.5, 0.45, 0.4)
}
function set_goal(load, total, bytes, gap) { goal[load, 7] = total; goal[load, 8] = bytes; goal[load, 9] = gap }
/^#guest=/ { about = substr($0, 8); next }
$1 == "type" || NF < 11 { next }
{
	point = $1 "," $2 "," $3
	if (!(point in seen)) { seen[point] = 1; order[++points] = point }
	if ($4 > turns[point]) turns[point] = $4
	if ($6 != 0) { failed[point, $5]++; next }
	for (i = 7; i <= 11; i++) if ($i != "") value[point, $4, $5, i] = $i
}
function median(n,   i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] > v[j]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
	return n ? (n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2) : ""
}
function of(point, tool, i,   t, n) {
	for (t = 1; t <= turns[point]; t++) if ((point, t, tool, i) in value) v[++n] = value[point, t, tool, i] + 0
	return median(n)
}
function ratio(point, i,   t, n) {
	for (t = 1; t <= turns[point]; t++)
		if ((point, t, "vstor", i) in value && (point, t, "xl", i) in value && value[point, t, "xl", i] > 0)
			v[++n] = value[point, t, "vstor", i] / value[point, t, "xl", i]
	return median(n)
}
function show(x, by, digits) { return x == "" ? "-" : sprintf("%." digits "f", x / by) }
function cell(point, load, i, by, digits,   r, g, text) {
	r = ratio(point, i)
	g = goal[load, i]
	text = r == "" ? "-" : sprintf("%.2f", r)
	if (r != "") { goals++; if (text + 0 <= g) reached++; else text = "**" text "**" }
	return show(of(point, "vstor", i), by, digits) " / " show(of(point, "xl", i), by, digits) " | " text " (" g ")"
}
END {
	print "Guest: " about ". Medians; vstor / xl, then vstor by xl within a turn (goal); bold: missed.\n"
	print "| guest, link | load | total s | ratio | MB sent | ratio | longest ping gap s | ratio | downtime told ms | disk, worst 5 s |"
	print "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
	for (p = 1; p <= points; p++) {
		split(order[p], part, ",")
		load = part[3]
		disk = ""
		if (load == "disk") {
			d = of(order[p], "vstor", 11)
			if (d != "") { goals++; if (d >= 0.85) reached++ }
			disk = (d == "" ? "-" : sprintf(d >= 0.85 ? "%.2f" : "**%.2f**", d)) " / " show(of(order[p], "xl", 11), 1, 2) " (0.85)"
		}
		print "| " part[1] ", " (part[2] == "off" ? "unshaped" : part[2]) " | " load " | " cell(order[p], load, 7, 1, 1) \
			" | " cell(order[p], load, 8, 1e6, 0) " | " cell(order[p], load, 9, 1000, 2) \
			" | " show(of(order[p], "vstor", 10), 1, 0) " | " disk " |"
		for (t in failed) {
			split(t, who, SUBSEP)
			if (who[1] == order[p]) notes = notes "\n" part[1] ", " part[2] ", " load ": " failed[t] " of " turns[order[p]] " by " who[2] " failed."
		}
	}
	print notes
	printf "Of %d goals %d are reached.\n", goals, reached
}
