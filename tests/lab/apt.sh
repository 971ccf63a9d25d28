# Debian packages without installing them: a private apt state made from the machine's own sources,
# for the Debian that has the wanted release of Xen, whatever Debian the machine is.
# shellcheck shell=bash

apt_options=()

# Reads the package lists once; source packages are included even if the machine leaves them out.
apt_prepare() {
	local state=$HOME_OF_XEN/apt f here suite

	suite=$(suite_of "$XEN_RELEASE")

	apt_options=(-q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$state/sources"
		-o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache"
		-o APT::Sandbox::User=root)
	[ -e "$state/stamp" ] && return
	rm -rf "$state"
	mkdir -p "$state"/{sources,lists/partial,cache}
	here=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
	for f in /etc/apt/sources.list.d/*.sources; do
		[ -e "$f" ] && sed "s/^Types:.*/Types: deb deb-src/
			/^Suites:/s/\\b$here\\b/$suite/g" "$f" >"$state/sources/${f##*/}"
	done
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -e "$f" ] && sed -n "s/^\(deb .*[ \t]\)$here\b/\1$suite/; s/^deb /&/p; s/^deb /deb-src /p" "$f" \
			>"$state/sources/${f##*/}"
	done
	apt-get "${apt_options[@]}" update >"$state/log" 2>&1 ||
		die "apt-get update failed: see $state/log, check the machine's apt sources"
	touch "$state/stamp"
}

# Versions of a package (binary, or source with kind = Sources), newest first.
apt_versions() {
	apt-cache "${apt_options[@]}" madison "$1" |
		awk -F' *[|] *' -v kind="$2" '$3 ~ kind "$" { print $2 }' | sort -rVu
}

# apt_download PACKAGE...: into the current folder. An index may name a version that its server
# no longer has; then the next older one is taken.
apt_download() {
	local package version

	apt-get "${apt_options[@]}" download "$@" >download.log 2>&1 && return
	for package; do
		for version in $(apt_versions "$package" Packages); do
			apt-get "${apt_options[@]}" download "$package=$version" \
				>>download.log 2>&1 && continue 2
		done
		die "package $package cannot be downloaded: see $PWD/download.log"
	done
}
