#!/bin/bash
# Fetches Debian source packages into a folder, by apt, from the mirrors this machine is configured
# for, with apt's own signature checks. Nothing outside the folder changes: apt gets a private state.
# usage: fetch-sources.sh DIR PACKAGE=VERSION[,or-next][,upstream]...
#   VERSION   a Debian source version (4.17.5+72-g01140da4e8-1), or the start of one at a dot (4.17):
#             then the newest served is taken
#   or-next   when that version is no longer served, take the nearest of its point releases that is:
#             first the next newer one, then the next older one (4.17.x stays 4.17.x), then any that
#             lies in DIR
#   upstream  upstream's tarball will do, should the mirror have lost the rest; its checksum is in the
#             signed index, of which the entry is kept as PACKAGE_VERSION.index. At the very last, a
#             release of upstream's own that somebody has put into DIR (xen-4.20.4.tar.gz), unchecked
# Prints the path of one .dsc (or .index, or that tarball) a package, in the order asked for. Packages
# already in DIR, complete by the checksums in them, are taken as they are: without a network, copy them
# there by hand.
set -euo pipefail

say() { echo "$*" >&2; }
die() { say "fetch-sources: $*"; exit 1; }

[ $# -ge 2 ] || die "usage: fetch-sources.sh DIR PACKAGE=VERSION[,or-next][,upstream]..."
mkdir -p "$1"
DIR=$(cd "$1" && pwd)
shift
APT=$DIR/apt
LOG=$DIR/apt.log

# The Debian release that carries a Xen release; everything else comes from the one vstor is built on.
suite_of() {
	case $1 in
	xen=4.14*) echo bullseye ;;
	xen=4.17*) echo bookworm ;;
	xen=4.20*) echo trixie ;;
	xen=*) echo sid ;;
	*) echo bookworm ;;
	esac
}

# The machine's Debian entries, as deb-src entries for the wanted suites. Entries of other vendors
# are told by their suite names and components, not by host: mirrors have any name.
HEAD='(buster|bullseye|bookworm|trixie|forky|sid|stable|oldstable|oldoldstable|testing|unstable)'
convert_list() { # one-line format: deb [options] URI SUITE COMPONENT...
	awk -v head="^$HEAD(-updates|-security|/updates)?\$" -v want="$1" '
	$1 == "deb" {
		opts = ""
		i = 2
		if ($2 ~ /^\[/) {
			while (i <= NF) {
				opts = opts " " $i
				if ($(i++) ~ /\]$/)
					break
			}
			gsub(/ arch=[^] ]*/, " ", opts)
			sub(/\[arch=[^] ]*/, "[", opts)
			if (opts ~ /^ *\[ *\]$/)
				opts = ""
		}
		suite = $(i + 1)
		ok = 0
		for (c = i + 2; c <= NF; c++)
			ok = ok || $c == "main"
		if (!ok || suite !~ head)
			next
		tail = suite ~ /[-\/]/ ? (suite ~ /updates$/ && suite !~ /\// ? "-updates" : "-security") : ""
		n = split(want, w, " ")
		for (k = 1; k <= n; k++)
			if (w[k] != "sid" || tail == "")
				print "deb-src" opts, $i, w[k] tail, "main"
	}' "$2"
}

convert_sources() { # deb822 format: fields that we do not rewrite (URIs, Signed-By and its key) stay
	awk -v head="^$HEAD(-updates|-security|/updates)?\$" -v want="$1" '
	BEGIN { RS = ""; FS = "\n" }
	{
		rest = suites = ""
		n = 0
		for (i = 1; i <= NF; i++) {
			if ($i ~ /^#/)
				continue
			if ($i ~ /^[ \t]/) # goes on with the field above
				field[n] = field[n] "\n" $i
			else
				field[++n] = $i
		}
		main = deb = off = 0
		for (i = 1; i <= n; i++) {
			key = tolower(field[i])
			sub(/:.*/, "", key)
			value = field[i]
			sub(/^[^:]*:/, "", value)
			words = split(value, word, /[ \t\n]+/)
			if (key == "suites") {
				wanted = split(want, w, " ")
				for (k = 1; k <= words; k++) {
					if (word[k] !~ head)
						continue
					tail = ""
					if (word[k] ~ /-updates$/)
						tail = "-updates"
					else if (word[k] ~ /[-\/]/)
						tail = "-security"
					for (j = 1; j <= wanted; j++)
						if (w[j] != "sid" || tail == "")
							suites = suites " " w[j] tail
				}
			} else if (key == "types" || key == "components" || key == "enabled") {
				for (k = 1; k <= words; k++) {
					deb = deb || word[k] == "deb"
					main = main || word[k] == "main"
					off = off || tolower(word[k]) ~ /^(no|false|off|disable|without|0)$/
				}
			} else if (key != "architectures") {
				rest = rest field[i] "\n"
			}
		}
		if (deb && main && !off && suites != "")
			printf "Types: deb-src\nSuites:%s\nComponents: main\n%s\n", suites, rest
	}' "$2"
}

apt_ready=
apt_setup() { # the suites wanted
	local d l p f
	[ -z "$apt_ready" ] || return 0
	apt_ready=1
	command -v apt-get > /dev/null || die "apt-get is missing: sources come from Debian's source packages; copy them into $DIR by hand"
	rm -rf "$APT"
	mkdir -p "$APT"/{parts,lists/partial,cache/archives/partial}
	eval "$(apt-config shell d Dir::Etc/d l Dir::Etc::SourceList/f p Dir::Etc::SourceParts/d)"
	for f in "$l" "${p%/}"/*.list; do
		[ ! -f "$f" ] || convert_list "$1" "$f"
	done > "$APT/sources.list"
	for f in "${p%/}"/*.sources; do
		[ ! -f "$f" ] || convert_sources "$1" "$f" > "$APT/parts/$(basename "$f")"
	done
	[ -n "$(cat "$APT/sources.list" "$APT"/parts/* 2> /dev/null)" ] ||
		die "no Debian mirror in ${d%/}: add one for bookworm main, or copy the source packages into $DIR by hand"
	# Hooks of the machine (package caches, desktop indexes) are not for a private state.
	cat > "$APT/apt.conf" <<-EOF
	#clear APT::Update::Pre-Invoke;
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	Dir::Etc::SourceList "$APT/sources.list";
	Dir::Etc::SourceParts "$APT/parts";
	Dir::State::Lists "$APT/lists";
	Dir::Cache "$APT/cache";
	APT::Sandbox::User "$(id -un)";
	Acquire::Languages "none";
	Acquire::Retries "3";
	EOF
	# One mirror out of several may be unreachable: what counts is whether the packages are found.
	apt-get -q -c "$APT/apt.conf" update >> "$LOG" 2>&1 < /dev/null || true
}

# whole FILE PATTERN: are all files here that FILE lists the checksums of, and that match? Prints it.
whole() {
	[ -f "$1" ] || return 1
	(cd "$DIR" && awk -v pattern="$2" '/^Checksums-Sha256:/ { on = 1; next } /^[^ ]/ { on = 0 }
		on && $3 ~ pattern { print $1 "  " $3 }' "$1" | sha256sum --check --status 2> /dev/null) || return 1
	echo "$1"
}

# Is NAME VERSION here?
have() {
	local base=$DIR/$1_${2#*:}
	whole "$base.dsc" . || { [ -n "$upstream" ] && whole "$base.index" '\.orig\.tar\.[a-z0-9]*$'; }
}

apt_source() { (cd "$DIR" && apt-get -q -c "$APT/apt.conf" --download-only --only-source source "$@") >> "$LOG" 2>&1 < /dev/null; }

# The suites that list NAME VERSION. apt asks the first of them; a file that Debian's own archive has lost may
# still be in that of its security team, and the other way round.
suites_with() {
	apt-cache -c "$APT/apt.conf" madison "$1" 2>> "$LOG" | awk -F' *[|] *' -v version="$2" '
	$2 == version && $3 ~ /Sources$/ { split($3, word, " "); sub(/\/.*/, "", word[2]); print word[2] }' | sort -u || true
}

# The signed index's entry for NAME VERSION: with the checksums of its files.
entry() {
	apt-cache -c "$APT/apt.conf" showsrc "$1" 2>> "$LOG" | awk -v RS= -v version="$2" '
		index("\n" $0 "\n", "\nVersion: " version "\n") { print; exit }' || true
}

get() {
	local suite
	have "$1" "$2" && return
	say "FETCH $1 $2"
	apt_source "$1=$2" || for suite in $(suites_with "$1" "$2"); do apt_source "$1/$suite" && break; done
	have "$1" "$2" && return
	# What lies here already need not be served.
	[ -z "$upstream" ] || entry "$1" "$2" > "$DIR/$1_${2#*:}.index"
	have "$1" "$2" && return
	[ -z "$upstream" ] || apt_source --tar-only "$1=$2" ||
		for suite in $(suites_with "$1" "$2"); do apt_source --tar-only "$1/$suite" && break; done
	have "$1" "$2" && return
	rm -f "$DIR/$1_${2#*:}.index"
	return 1
}

# The versions that the mirrors list, oldest first.
listed() {
	apt-cache -c "$APT/apt.conf" showsrc "$1" 2>> "$LOG" | awk -v p="$1" '
	$1 == "Package:" { is = $2 == p } $1 == "Version:" && is { print $2 }' |
		sort -u | sort -V || true # apt-cache fails when it knows nothing of the name
}

# The versions of NAME that lie here and begin with START, newest first.
here() {
	find "$DIR" -name "$1_${2#*:}[.+~-]*.dsc" -o -name "$1_${2#*:}[.+~-]*.index" |
		sed "s|.*/$1_||; s/\.dsc\$//; s/\.index\$//" | sort -ruV
}

series_of() { sed -E 's/^([0-9]+:)?([0-9]+\.[0-9]+).*/\2/' <<< "$1"; }

# Candidates for NAME VERSION, best first: see "or-next" above.
candidates() {
	local series v newer='' older=''
	series=$(series_of "$2")
	for v in $(listed "$1"); do
		case ${v#*:} in "$series"[.+~-]*) ;; *) continue ;; esac
		if [ "$3" = start ]; then
			case ${v#*:} in "${2#*:}"[.+~-]*) older="$v $older" ;; esac
		elif dpkg --compare-versions "$v" gt "$2"; then
			newer="$newer $v"
		elif [ "$v" != "$2" ]; then
			older="$v $older"
		fi
	done
	echo "$newer $older"
}

# A release of upstream's own in DIR, the newest of the series.
upstreams_release() {
	find "$DIR" -name "$1-$(series_of "$2")*.tar.[gx]z" | grep -E "/$1-[0-9]+\.[0-9]+\.[0-9]+\.tar\.[gx]z\$" | sort -rV | sed 1q || true
}

# The ways out are named by what apt said last of the version that was wanted, or of the newest one.
unavailable() {
	local list why version file
	if [ -n "$upstream" ]; then
		file=$(upstreams_release "$1" "$2")
		if [ -n "$file" ]; then
			say "NOTE $1 $2 cannot be had: ${file##*/} taken in its place, as it is, which nobody has signed for here"
			echo "$file"
			return
		fi
	fi
	list=$(listed "$1" | xargs)
	why=$(grep -m 1 -E '^[EW]: ' "$LOG" | cut -c 1-200) || true
	version=$(listed "$1" | grep -Fx -- "$2" || listed "$1" | tail -n 1)
	file=$(entry "$1" "$version" | awk '/^Checksums-Sha256:/ { on = 1; next } /^[^ ]/ { on = 0 }
		on && $3 ~ /\.orig\.tar\.[a-z0-9]*$/ { print $3 " (SHA256 " $1 ")" }')
	file=${file:-its source package}
	[ -z "$upstream" ] || file="$file or upstream's release $1-$(series_of "$2").N.tar.gz"
	die "$1 $2 cannot be had: this machine's Debian mirrors (suites $SUITES) list ${list:-no $1 at all} and serve none that will do;" \
		"add a mirror that has it to the machine's apt sources, or put $file into $DIR; apt: \"$why\", more in $LOG"
}

fetch() {
	local name=${1%%=*} version=${1#*=} next='' upstream='' v
	case $version in *,upstream) upstream=1 version=${version%,upstream} ;; esac
	case $version in *,or-next) next=1 version=${version%,or-next} ;; esac
	have "$name" "$version" && return
	case $version in
	*-*) ;;
	*)
		# A release, not a version: what lies here already will do.
		for v in $(here "$name" "$version"); do
			have "$name" "$v" && return
		done
		apt_setup "$SUITES"
		for v in $(candidates "$name" "$version" start); do
			get "$name" "$v" && return
		done
		unavailable "$name" "$version"
		;;
	esac
	apt_setup "$SUITES"
	get "$name" "$version" && return
	if [ -n "$next" ]; then
		for v in $(candidates "$name" "$version" next) $(here "$name" "$(series_of "$version")"); do
			get "$name" "$v" || continue
			say "NOTE $name $version is no longer served: $v taken in its place"
			return
		done
	fi
	unavailable "$name" "$version"
}

# Two builds may want the same packages at once.
exec 9> "$DIR/.lock"
flock 9
: > "$LOG"
SUITES=$(for p in "$@"; do suite_of "$p"; done | sort -u | xargs)
for p in "$@"; do fetch "$p"; done
