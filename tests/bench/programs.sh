# SPDX-License-Identifier: BSD-2-Clause
# Programs of this machine, for a guest of the lab that has none: with the libraries they run with, in
# a directory of their own on the guest's disk. Sourced inside a lab.
# shellcheck shell=bash

# tree_put NAME: sends $RUN/NAME to the guest, as /data/NAME.
tree_put() {
	tar -C "$RUN/$1" -cf "$RUN/$1.tar" .
	LAB_WAIT=600 on --send "$RUN/$1.tar" guest "mkdir -p /data/$1 && tar -C /data/$1 -xf -"
	rm -rf "${RUN:?}/$1" "$RUN/$1.tar"
}

# program_into NAME FILE: run there by program_line NAME FILE
program_into() {
	local file

	mkdir -p "$RUN/$1"
	cp -L "$2" "$RUN/$1/"
	ldd "$2" | grep -o '/[^ ]*' | while read -r file; do cp -L "$file" "$RUN/$1/"; done
}

# program_line NAME FILE: the words that start it in the guest.
program_line() {
	echo "/data/$1/ld-linux-x86-64.so.2 --library-path /data/$1 /data/$1/${2##*/}"
}

# compiler_put: a C compiler, and sources of our own to compile.
compiler_put() {
	local file

	program_into cc "$(gcc -print-prog-name=cc1)"
	for file in net/ping.c storage/disk.c core/loop.c; do
		gcc -std=gnu11 -D_GNU_SOURCE -I"$TOP" -E "$TOP/$file" >"$RUN/cc/${file##*/}.i"
	done
	tree_put cc
}

# compiler_line: compiles them over and over, a line for each.
compiler_line() {
	echo "while :; do for file in /data/cc/*.i; do $(program_line cc cc1) -quiet -fpreprocessed -O2 \$file -o /tmp/out.s || exit; echo \$file; done; done"
}
