# SPDX-License-Identifier: BSD-2-Clause
# Sourced by tests/bench/thesis: what its runs tell, as a page for a browser, as Markdown, and as a manual
# page. Figures come from the runs alone; what is not in them is a dash.
# shellcheck shell=bash disable=SC2153,SC2154

# of KEY FILE: the first figure of that name.
of() { sed -n "s/.*\"$1\": *\(-\{0,1\}[0-9][-+0-9.e]*\).*/\1/p;T;q" <(tr ',{' '\n\n' <"$2"); }
took() { sed -n 's/.*"name":"during","from":\([-0-9.e]*\),"to":\([-0-9.e]*\)}.*/\1 \2/p;T;q' "$1" | awk '{ printf "%.1f", $2 - $1 }'; }
dash() { [ -n "$1" ] && echo "$1" || echo –; }
seconds() { [ -n "$1" ] && awk -v x="$1" 'BEGIN { printf "%.2f", x / 1000 }'; }

# figures PATTERN: a line for each run whose name matches, in the order of the plan, with tabs:
# name, migration s, ping's silence, guest's clock, the tool's downtime, first reply, MB sent, MB of pages
# that were not empty, link Mbit/s
figures() {
	local line name file

	plan | while read -r line; do
		# shellcheck disable=SC2086
		name=$(name_of $line)
		file=$OUT/$name.json
		[ -s "$file" ] && grep -qE -- "$1" <<<"$name" || continue
		printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "$(dash "$(took "$file")")" "$(dash "$(seconds "$(of ping "$file")")")" \
			"$(dash "$(seconds "$(of guest_clock "$file")")")" "$(dash "$(seconds "$(of tool "$file")")")" \
			"$(dash "$(seconds "$(of first_reply "$file")")")" \
			"$(dash "$(of bytes <(grep -o '"migration":{.*' "$file") | awk 'NF { printf "%.0f", $1 / 1e6 }')")" \
			"$(dash "$(of pages_whole "$file" | awk 'NF { printf "%.0f", $1 * 4096 / 1e6 }')")" \
			"$(dash "$(sed -n 's|.*"link to it, measured, Mbit/s":\([0-9.]*\).*|\1|p;T;q' "$file" | awk 'NF { printf "%.0f", $1 }')")"
	done
}

# prices: a line for each run of a tool that tells: name, predicted ms, downtime ms, brownout s, rounds, and
# what the downtime was spent on, ms.
prices() {
	local line name file key

	plan | while read -r line; do
		# shellcheck disable=SC2086
		name=$(name_of $line)
		file=$OUT/$name.json
		[ -s "$file" ] && grep -q '"downtime_parts_ms"' "$file" || continue
		printf %s "$name"
		for key in predicted_ms downtime_ms brownout_s rounds suspend copy restore devices quiesce start; do
			printf '\t%s' "$(dash "$(of $key "$file" | awk -v key=$key 'NF { printf key == "brownout_s" ? "%.1f" : "%.0f", $1 }')")"
		done
		echo
	done
}

heads=(run took ping guest tool reply MB whole link)
price_heads=(run pred down brown rnds susp copy rest devs quies start)

# rows PATTERN: as a table in Markdown.
rows() {
	(IFS='|' && echo "|${heads[*]}|")
	echo "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
	figures "$1" | sed 's/\t/ | /g; s/^/| /; s/$/ |/'
	echo
}
price_rows() {
	(IFS='|' && echo "|${price_heads[*]}|")
	echo "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
	prices | sed 's/\t/ | /g; s/^/| /; s/$/ |/'
	echo
}

# in_columns: lines with tabs as columns of text.
in_columns() {
	awk -F '\t' '{ printf "%-38s", $1; for (i = 2; i <= NF; i++) printf "%s%s", substr("      ", width($i)), $i; print "" }
		function width(s) { gsub(/–/, "-", s); return length(s) + 1 }'
}
# columns PATTERN: the table of rows() so.
columns() { { (IFS=$'\t' && echo "${heads[*]}"); figures "$1"; } | in_columns; }

runs_there() { plan | while read -r line; do
	# shellcheck disable=SC2086
	[ -s "$OUT/$(name_of $line).json" ] && echo "$OUT/$(name_of $line).json"
done; }

runs_missing() { plan | while read -r line; do
	# shellcheck disable=SC2086
	[ -s "$OUT/$(name_of $line).json" ] || name_of $line
done; }

# When and on what, and what there is not.
circumstances() {
	local missing

	missing=$(runs_missing | paste -sd ,)

	echo "By \`${QUICK:+QUICK=1 }make thesis\`, $(date -u -r "${runs[0]}" +%F); $(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo)," \
		"$(nproc) CPUs; hosts in QEMU, whose CPUs are emulated: ratios count, not seconds; a guest of $MEMORY MiB, $CPUS vCPU." \
		"${#runs[@]} of $(plan | wc -l) runs are there."
	[ -z "$missing" ] || echo "Not run, or failed: ${missing//,/, }."
	echo "They took $(awk '{ of[$1] = $2 } END { for (run in of) sum += of[run]; printf "%.0f", sum / 60 }' "$OUT/took") min."
}

legend='Columns: the seconds that the migration took (took), of the longest silence of a ping a hundred times a second
(ping), that the guest stood still by its own clock (guest) and by that of the tool (tool), and from there to the
first reply to a ping (reply); what was sent, of how much that was neither empty nor there already (MB, whole); what
the link to the other host carried, in Mbit/s, just before the load began (link).
Names of runs: storage, network, tool, test, load.
A dash: not measured, or not told by that tool.'
price_legend='The pause predicted and the downtime (pred, down: ms), work lost beside it (brown: s), rounds of the copy (rnds);
then what the downtime was spent on (ms): until the guest had suspended itself, the last copy was sent, it was
restored, its devices were there, its disks had answered (if that took longer), it ran.'

report() {
	local runs

	mapfile -t runs < <(runs_there)
	[ ${#runs[@]} -gt 0 ] || die "nothing has been run yet"
	"$VSTOR" bench report "${runs[@]}" -o "$OUT/report.html" || return
	"$VSTOR" bench report --csv "${runs[@]}" >"$OUT/runs.csv" || return
	"$VSTOR" bench report "${runs[@]}" >"$OUT/report.txt" || return
	{
		echo "# The founding study, repeated"
		echo
		circumstances
		echo "$legend"
		echo
		answers rows "## "
		echo "## All runs"
		echo
		rows '-[1-7]-'
		echo "## The price, as vstor migrate tells it"
		echo
		echo "$price_legend"
		echo
		price_rows
		echo "## Before, during, after"
		echo
		echo '```'
		sed -n '/^Means/,/^How long/p' "$OUT/report.txt" | sed '$d'
		echo '```'
	} >"$OUT/thesis.md"
	say "the report: ${OUT#"$TOP"/}/report.html, ${OUT#"$TOP"/}/thesis.md"
}

# by NAME OTHER: how the first run compares with the other one, in a sentence; nothing unless both are there.
by() {
	local a b

	a=$(figures "^$1\$") b=$(figures "^$2\$")
	[ -n "$a" ] && [ -n "$b" ] || return 0
	awk -F '\t' -v name="$1" -v other="$2" 'function of(x, y) { return x > 0 && y > 0 ? sprintf("%.2f", x / y) : "–" }
		{ for (i = 2; i <= 3; i++) x[NR, i] = $i }
		END { printf "%s by %s: took %s, ping %s of it.\n", name, other, of(x[1, 2], x[2, 2]), of(x[1, 3], x[2, 3]) }' <<<"$a"$'\n'"$b"
}
# first_replies: over all runs that tell.
first_replies() {
	figures . | awk -F '\t' '$6 != "–" { n++; if (n == 1 || $6 + 0 < low) low = $6 + 0; if ($6 + 0 > high) high = $6 + 0 }
		END { if (n) printf "In %d runs the first reply came %.1f to %.1f s after the guest ran there; in test 6 of the study after 29 s.\n", n, low, high }'
}

# answers ROWS HEADING: what the study had left open, each with its table.
answers() {
	echo "$2ATA over Ethernet in place of iSCSI: test 1, a busy disk"
	echo
	$1 '^(iscsi|aoe)-100mbit-.*-1-'
	by aoe-100mbit-vstor-1-ours iscsi-100mbit-vstor-1-ours
	by aoe-100mbit-vstor-1-dbench iscsi-100mbit-vstor-1-dbench
	echo
	echo "$2A faster network, and two: test 7, memory written faster than the link carries it"
	echo
	$1 '^iscsi-.*-7-'
	by iscsi-off-vstor-7-ours iscsi-100mbit-vstor-7-ours
	by iscsi-two-vstor-7-ours iscsi-100mbit-vstor-7-ours
	by iscsi-100mbit-vstor-7-ours iscsi-100mbit-xl-7-ours
	echo
	echo "$2Unreachable after the migration (MAC addresses): tests 4 and 6"
	echo
	$1 '-(4|6)-'
	first_replies
	echo
}

# ---- the manual page: what is wider than a terminal is laid out anew

# Of the text report: the metrics of a test, a block each, the runs below one another.
# means TEST
means() {
	sed -n '/^Means/,/^$/p' "$OUT/report.txt" | awk -F '  +' -v test="test $1, " '
		index($2, test) == 1 && $3 !~ /host, % busy|guest.s speed/ {
			if ($3 != last) printf "%-30s   before   during    worst    after    change\n", $3
			last = $3
			printf "  %-28s", substr($2, length(test) + 1)
			for (i = 4; i <= 8; i++) printf "%s%s", substr(i < 8 ? "         " : "          ", width($i)), $i
			print ""
			if ($10 != "–" && $10 != "") study[$3] = $10
		}
		END { for (m in study) printf "The study, %s: %s\n", m, study[m] }
		function width(s) { gsub(/–/, "-", s); return length(s) }'
}

# plots TEST: the plots of a test, with the name of each run above its line: of the study's own network only, the
# report has all.
plots() {
	awk -v test="test $1: " '
		/^$/ { on = 0 }
		index($0, test) == 1 { on = $0 !~ /host, % busy|guest.s speed/; if (on) print; next }
		on && /^    / {
			# 64 columns of plot, then what it is
			line = $0
			if (match(line, /  test [1-7], /)) {
				name = substr(line, RSTART + 10); line = substr(line, 1, RSTART - 1)
				wanted = name ~ /^iscsi 100mbit/
				if (!wanted) next
				print "  " name; print line
			} else if (wanted && match(line, /  [0-9-]+ to /)) {
				span = substr(line, RSTART)
				sub(/;.*/, "", span)
				print substr(line, 1, RSTART - 1) span
			}
		}' "$OUT/report.txt"
}

literal() {
	echo ".Bd -literal"
	sed 's/\\/\\e/g; s/^\([.'"'"']\)/\\\&\1/'
	echo ".Ed"
}

# Rows as the manual page has them.
literal_rows() { columns "$1" | literal; }

page() {
	local runs test titles=("" "1: a disk in use" "2: the CPUs" "3: memory" "4: ping only" "5: tests 1 to 3 at once" "6: a compiler"
		"7: memory that is written faster than the link carries it")

	mapfile -t runs < <(runs_there)
	[ ${#runs[@]} -gt 0 ] || die "nothing has been run yet"
	"$VSTOR" bench report "${runs[@]}" >"$OUT/report.txt" || return
	cat <<-END
		.\" Made by tests/bench/thesis --page out of its runs.
		.Dd $(LC_ALL=C date -u -r "${runs[0]}" '+%B %-d, %Y')
		.Dt VSTOR-BENCH-STUDY 7
		.Os
		.Sh NAME
		.Nm vstor-bench-study
		.Nd the founding study of vstor, repeated
		.Sh DESCRIPTION
		The study (UFLA, 2009) moved a guest of 1 GB between two Xen hosts on a network of
		100 Mbit/s, with its disk on an iSCSI target, under seven loads.
		This is that, repeated by
		.Ql ${QUICK:+QUICK=1 }make thesis ,
		which leaves the same as a page for a browser, with all samples.
		.Pp
		$(circumstances | sed 's/`[^`]*`/it/')
		.Pp
		$legend
		.Sh A REMOTE DISK AGAINST A LOCAL ONE
		The study's section 4.1, in a host: files of two clients; both disks are files of one
		machine, and flushes reach them.
		By its own disk the study's remote one was 47 % slower, its latency 35 % and the
		network's 68 % higher.
	END
	awk '/^storage, / { name = $NF; sub(/.*\//, "", name); sub(/\.json.*/, "", name) }
		/^Local against remote/ { if (n++) print ""; print name ": medians" ; on = 1; next }
		/^$/ { on = 0 }
		on { sub(/^  /, ""); print }' "$OUT/report.txt" | literal
	echo ".Sh WHAT IT HAD LEFT OPEN"
	answers literal_rows ".Ss " | sed '/^$/d'
	echo ".Sh THE PRICE, AS VSTOR MIGRATE TELLS IT"
	echo "$price_legend"
	{ (IFS=$'\t' && echo "${price_heads[*]:0:5}"); prices | cut -f 1-5; } | in_columns | literal
	{ (IFS=$'\t' && echo "run"$'\t'"${price_heads[*]:5}"); prices | cut -f 1,6-; } | in_columns | literal
	echo ".Sh THE TESTS"
	echo "Means of the time before, during and after the migration; the worst sample during it."
	echo "In the plots a column is about a sixtieth of the time, its height that of the worst sample in it;"
	echo "below, w is the warm-up, m the migration, n no reply to a ping."
	echo "Those of iSCSI at 100 Mbit/s are here."
	for test in 1 2 3 4 5 6 7; do
		[ -n "$(means $test)" ] || continue
		echo ".Ss ${titles[test]}"
		columns "-$test-" | literal
		means $test | literal
		plots $test | literal
	done
	cat <<-END
		.Sh SEE ALSO
		.Xr vstor-bench 8 ,
		.Xr vstor-migrate 8
		.Sh AUTHORS
		.An The vstor authors .
	END
}
