# SPDX-License-Identifier: BSD-2-Clause
# Tables in Markdown from build/bench/target.csv; -v readme=1: as the README quotes them.
# A goal is met when the median is, rounded as it is printed.

BEGIN { FS = "," }
/^#/ { i = index($0, "="); meta[substr($0, 2, i - 2)] = substr($0, i + 1); next }
$1 == "part" { for (i = 7; i <= NF; i++) field[i] = $i; next }
{
	key = $1 SUBSEP $2 SUBSEP $3
	if (!((key, $4) in seen)) { seen[key, $4] = 1; order[key, ++count[key]] = $4 }
	for (i = 7; i <= NF; i++) value[key, $4, $5, field[i], $6] = $i
	if ($6 + 0 > repeats) repeats = $6 + 0
}

function sort_values(n,   i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] > v[j]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
	return n ? (n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2) : ""
}
# the median over the repetitions, or "" when there is none
function median(key, point, target, name,   r, n) {
	for (r = 1; r <= repeats; r++)
		if ((key, point, target, name, r) in value) v[++n] = value[key, point, target, name, r] + 0
	return sort_values(n)
}
# the median of the ratios within each repetition; low and high are set to the extremes
function ratio(key, point, target, by, name,   r, n) {
	low = high = ""
	for (r = 1; r <= repeats; r++)
		if ((key, point, target, name, r) in value && (key, point, by, name, r) in value &&
		    value[key, point, by, name, r] > 0)
			v[++n] = value[key, point, target, name, r] / value[key, point, by, name, r]
	r = sort_values(n)
	if (n) { low = v[1]; high = v[n] }
	return r
}
# Which of tgtd and istgt has the better median.
function better(key, point, name, more,   a, b) {
	a = median(key, point, "tgtd", name); b = median(key, point, "istgt", name)
	if (a == "" || b == "") return a == "" ? "istgt" : "tgtd"
	return (more ? a >= b : a <= b) ? "tgtd" : "istgt"
}
function digits(x) { return x == "" ? "-" : sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : "%.2f", x) }
function thousands(x) { return x == "" ? "-" : x >= 10000 ? sprintf("%.0f k", x / 1000) : sprintf("%.0f", x) }
# A ratio with its extremes; notes whether the goal is met. at_least: the goal is a least value.
# by_floor: what the floor has in x's place, where that is known.
function judged(x, goal, at_least, what, by_floor,   text, ok) {
	if (x == "") return "-"
	text = sprintf("%.2f", x)
	ok = at_least ? text + 0 >= goal : text + 0 <= goal
	goals++
	if (ok) reached++
	else {
		missed[goals - reached] = what ": " text " instead of " goal (by_floor == "" ? "" : sprintf(" (the floor %.2f)", by_floor))
		if (by_floor != "" && (at_least ? by_floor < goal : by_floor > goal)) nobody++
	}
	if (readme) return ok ? text : "**" text "**"
	return text (low == "" ? "" : sprintf(" (%.2f-%.2f)", low, high)) (at_least ? " >= " : " <= ") goal (ok ? "" : " MISSED")
}
function set_goals(point) {
	cpu_goal = 0.2; speed_goal = 4; floor_goal = 1.5; latency = 0
	if (point ~ /4k-1x1$/) { cpu_goal = 0.7; speed_goal = 0.85; floor_goal = 1.3; latency = 1 }
	else if (point ~ /64k|256k/) { cpu_goal = 0.5; speed_goal = 1.5; floor_goal = 1.2 }
	else if (point ~ /1m/) { cpu_goal = 0.8; speed_goal = 1.2; floor_goal = 1.2 }
	small = point ~ /4k-/ && point !~ /64k/
	cpu = small ? "cpu_us_op" : "cpu_us_mib"
	speed = latency ? "mean_us" : small ? "iops" : "mib_s"
}
# The three ratios of a point, each against its goal.
function judge(key, point, where,   name, peer, by_floor, x) {
	set_goals(point)
	name = point " (" where ") "
	peer = better(key, point, cpu, 0)
	by_floor = ratio(key, point, "floor", peer, cpu)
	x = ratio(key, point, "vstor", peer, cpu)
	cpu_cell = judged(x, cpu_goal, 0, name "CPU against the better peer", by_floor)
	peer = better(key, point, speed, !latency)
	by_floor = ratio(key, point, "floor", peer, speed)
	x = ratio(key, point, "vstor", peer, speed)
	speed_cell = judged(x, speed_goal, !latency, name (latency ? "latency" : "throughput") " against the better peer", by_floor)
	if (median(key, point, "vstor", "client_cpu") >= 90) { speed_cell = speed_cell " c"; limited = 1 }
	x = ratio(key, point, "vstor", "floor", cpu)
	floor_cell = judged(x, floor_goal, 0, name "CPU against the floor", "")
}
function spell(point,   a, b) {
	split(point, a, "-"); split(a[2], b, "x")
	sub(/^rr/, "random read ", a[1]); sub(/^rw/, "random write ", a[1])
	sub(/^rd/, "sequential read ", a[1]); sub(/^wr/, "sequential write ", a[1])
	sub(/k$/, " KiB", a[1]); sub(/1m$/, "1 MiB", a[1])
	return a[1] ", " b[1] " x " b[2]
}
function full_table(title, key, where,   i, point) {
	if (!count[key]) return
	printf "\n### %s\n\n", title
	print "| workload | CPU: vstor | tgtd | istgt | floor | by the better peer | by the floor | speed: vstor | tgtd | istgt | floor | by the better peer | client's CPU |"
	print "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= count[key]; i++) {
		point = order[key, i]
		judge(key, point, where)
		printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %.0f %% |\n", point,
			digits(median(key, point, "vstor", cpu)), digits(median(key, point, "tgtd", cpu)),
			digits(median(key, point, "istgt", cpu)), digits(median(key, point, "floor", cpu)), cpu_cell, floor_cell,
			thousands(median(key, point, "vstor", speed)), thousands(median(key, point, "tgtd", speed)),
			thousands(median(key, point, "istgt", speed)), thousands(median(key, point, "floor", speed)),
			speed_cell, median(key, point, "vstor", "client_cpu")
	}
}
function readme_table(memory, disk,   i, point, c, s, f) {
	print "| operations, connections x depth | CPU us: vstor | better peer | floor | by the peer: memory, disk (goal) | by the floor (goal) | speed: vstor | by the better peer (goal) |"
	print "|---|--:|--:|--:|--:|--:|--:|--:|"
	for (i = 1; i <= count[memory]; i++) {
		point = order[memory, i]
		judge(memory, point, "memory"); c = cpu_cell; s = speed_cell; f = floor_cell
		if (count[disk]) { judge(disk, point, "disk"); c = c ", " cpu_cell; s = s ", " speed_cell; f = f ", " floor_cell }
		printf "| %s | %s | %s | %s | %s (%s) | %s (%s) | %s | %s (%s) |\n", spell(point),
			digits(median(memory, point, "vstor", cpu)), digits(median(memory, point, better(memory, point, cpu, 0), cpu)),
			digits(median(memory, point, "floor", cpu)), c, cpu_goal, f, floor_goal,
			thousands(median(memory, point, "vstor", speed)) (latency ? " us" : small ? " a second" : " MiB/s"),
			s, speed_goal
	}
}
# Shares of what a link carries: 1448 bytes of payload in each 1514 that the shaper counts.
function share(key, point, target, rate,   x) {
	x = median(key, point, target, "mib_s")
	return x == "" ? "" : x * 1048576 * 8 / rate
}
function links_table(   k, rate, key, i, point, x, cell) {
	if (!count["links" SUBSEP "1gbit" SUBSEP "batch"]) return
	if (!readme) print "\n### Narrow links"
	print "\n| link, sequential 64 KiB, depth 16 | vstor: of the wire | of what TCP can carry (goal 0.95) | tgtd: of the wire |\n|---|--:|--:|--:|"
	for (k = 1; k <= 2; k++) {
		rate = k == 1 ? 1e9 : 1e8
		key = "links" SUBSEP (k == 1 ? "1gbit" : "100mbit") SUBSEP "batch"
		for (i = 1; i <= count[key]; i++) {
			point = order[key, i]
			x = share(key, point, "vstor", rate); low = ""
			cell = judged(x == "" ? "" : x * 1514 / 1448, 0.95, 1, point " over " rate / 1e6 " Mbit/s")
			printf "| %s Mbit/s, %s | %s | %s | %s |\n", rate / 1e6, point ~ /^rd/ ? "read" : "write", percent(x), cell,
				percent(share(key, point, "tgtd", rate))
		}
	}
}
function percent(x) { return x == "" ? "-" : sprintf("%.1f %%", 100 * x) }
function extra_table(   key, i, point, cell) {
	key = "digests" SUBSEP "memory" SUBSEP "batch"
	if (!count[key]) return
	if (!readme) print "\n### Digests, memory, start"
	print "\n| digests on, CPU | by that of digests off (goal 1.3) | by a floor with digests (goal 1.2, 4 KiB: 1.5) |\n|---|--:|--:|"
	for (i = 1; i <= count[key]; i++) {
		point = order[key, i]
		# Large reads are not copied without digests: with them, the floor is what can be had.
		cell = ratio(key, point, "digests", "plain", "cpu_us_op")
		cell = point ~ /^rd/ ? sprintf("%.2f (no goal)", cell) : judged(cell, 1.3, 0, point " with digests")
		printf "| %s | %s | %s |\n", spell(point), cell,
			judged(ratio(key, point, "digests", "bare", "cpu_us_op"), point ~ /4k/ ? 1.5 : 1.2, 0, point " with digests against the floor")
	}
	low = ""
	print "\n| | measured | goal |\n|---|--:|--:|"
	number("resident memory, idle, MiB", "idle_kib", 1024, 10)
	number("with 32 sessions x depth 128, 4 KiB random reads, MiB", "crowd_kib_rr4k", 1024, 64)
	number("then 4 KiB random writes, MiB", "crowd_kib_rw4k", 1024, 64)
	number("then 64 KiB sequential reads, MiB", "crowd_kib_rd64k", 1024, 64)
	number("then 64 KiB sequential writes, MiB", "crowd_kib_wr64k", 1024, 64)
	number("from its start until it listens, ms", "ready_us", 1000, 50)
}
function number(what, name, unit, goal) {
	if (name in meta) printf "| %s | %s | %s |\n", what, judged(meta[name] / unit, goal, 0, what), goal
}
END {
	machine = meta["cpus"] " CPUs " meta["cpu"] ", Linux " meta["kernel"] ", " meta["date"]
	memory = "speed" SUBSEP "memory" SUBSEP "batch"; disk = "speed" SUBSEP "disk" SUBSEP "batch"
	single = "speed" SUBSEP "memory" SUBSEP "single"
	if (readme) {
		print "## How fast\n"
		print "`make bench-target` runs vstor, tgtd " meta["tgtd"] ", istgt " meta["istgt"] " and a floor by turns in one run: the floor"
		print "(`tests/bench/floor.c`) speaks the protocol and does nothing else. Measured on " machine " (load " meta["load"] " before);"
		print "medians of " meta["reps"] " repetitions of " meta["ms"] " ms over the loopback, files of " meta["size"] " MiB in memory and on disk (" meta["disk"] ", in the page cache)."
		print "CPU is all of the target's threads, in us for an operation, or for a MiB from 64 KiB on. \"By\" is vstor's figure divided by"
		print "the other's: CPU should be low, throughput high (at depth 1 the latency stands in its place). **Bold**: the goal is missed."
		print "Before it sleeps vstor looks up to 50 us for the next request, while that pays; the others do not: its lead at depth 1 comes of that."
		print "c: the client, not the target, was the limit.\n"
		readme_table(memory, disk)
		if (count[single]) {
			silent = reached " " goals
			for (i = 1; i <= count[single]; i++) judge(single, order[single, i], "one PDU a send")
			split(silent, before, " ")
			print "\nA client that sends each PDU by itself, as most initiators do: " reached - before[1] " of " goals - before[2] " of the same goals are reached."
		}
		if (count["links" SUBSEP "1gbit" SUBSEP "batch"]) {
			print "\nOver a link shaped to 1 Gbit/s and to 100 Mbit/s (Ethernet frames of 1514 bytes, of which TCP leaves 1448 for payload:"
			print "95.6 % of the wire are the most there is):"
			links_table()
		}
		extra_table()
		print "\nOf " goals " goals " reached " are reached; " nobody + 0 " of the others are missed by the floor, too."
		exit
	}
	print "# vstor target: " machine
	print "\n" meta["vstor"] (meta["arguments"] == "" ? "" : ", " meta["arguments"]) "; tgtd " meta["tgtd"] "; istgt " meta["istgt"] "; floor " meta["floor"] "."
	print "Load at the start " meta["load"] "; " meta["reps"] " repetitions of " meta["ms"] " ms; files of " meta["size"] " MiB; disk: " meta["disk"] "."
	print "CPU: us of all the target's threads for an operation, or for a MiB from 64 KiB on. Speed: operations a second, MiB/s from"
	print "64 KiB on, at 1x1 the mean latency in us. \"By\": vstor's by the other's, median of the ratios in each repetition (extremes) and goal."
	full_table("Files in memory", memory, "memory")
	full_table("Files on disk", disk, "disk")
	full_table("Files in memory, a client that sends one PDU at a time", single, "one PDU a send")
	if (limited) print "\nc: the client used 90 % of a CPU or more: it is the limit, not the target."
	links_table()
	extra_table()
	printf "\n%d of %d goals reached in %s s; the floor misses %d of the others, too", reached, goals, meta["seconds"], nobody
	for (i = 1; i <= goals - reached; i++) printf "%s\n- %s", i == 1 ? ". Missed:\n" : "", missed[i]
	print ""
}
