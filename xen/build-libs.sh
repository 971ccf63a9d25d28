#!/bin/bash
# Builds what the toolstack needs of Xen, the three libraries Xen itself needs, and Zstandard for the
# pages on their way (xen/copy/pagecodec.h), as static archives.
# usage: build-libs.sh OUT DOWNLOADS XEN_VERSION CC
#   OUT          made afresh: include/, lib/, version (the Debian version built), recipe (this script's
#                checksum), log (all output); it appears only when all is done
#   DOWNLOADS    folder for the source packages, see fetch-sources.sh
#   XEN_VERSION  as fetch-sources.sh takes it
#   CC           musl-gcc or gcc
# No source is patched. The bytes made do not depend on OUT.
set -Eeuo pipefail

[ $# = 4 ] || { echo "usage: build-libs.sh OUT DOWNLOADS XEN_VERSION CC" >&2; exit 2; }
HERE=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$(dirname "$1")" "$2"
DONE=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
OUT=$DONE.new
DOWNLOADS=$(cd "$2" && pwd)
XEN_VERSION=$3
CC=$4
SRC=$OUT/src
SYS=$OUT/sysroot
JOBS=$(nproc)

# Companions, at the versions they were tried with; a point release does as well.
COMPANIONS=("yajl=2.1.0-3+deb12u2,or-next" "util-linux=2.38.1-5+deb12u3,or-next" "zlib=1:1.2.13.dfsg-1,or-next"
	"libzstd=1.5.4+dfsg2-5,or-next")

# A make above us must not share its flags or job slots with the makefiles of others.
unset MAKEFLAGS MAKELEVEL MFLAGS V O CFLAGS LDFLAGS
export LC_ALL=C

die() { echo "build-libs: $*" >&2; exit 1; }
failed() {
	grep -E 'rror:|rror [0-9]+$' "$OUT/log" | tail -n 5 | cut -c 1-200 >&2 || true
	echo "build-libs: Xen $XEN_VERSION for $CC failed: all output is in $OUT/log" >&2
}

[ "$(uname -m)" = x86_64 ] || die "Xen's x86 toolstack is built on x86_64 only, this is $(uname -m)"
for tool in "$CC" make dpkg-source patch perl python3 iasl xz; do
	command -v "$tool" > /dev/null || die "$tool is missing: run make deps"
done

# Of two builds started at once, the second finds the work done. So does one after a checkout that
# made this script newer but not different.
exec 8> "$DONE.lock"
flock 8
recipe=$(sha256sum < "$HERE/build-libs.sh")
if [ "$recipe" = "$(cat "$DONE/recipe" 2> /dev/null)" ]; then
	touch "$DONE/version"
	exit 0
fi
rm -rf "$OUT"
mkdir -p "$SRC" "$SYS/include" "$SYS/lib" "$OUT/include" "$OUT/lib"
: > "$OUT/log"

# ---- sources -------------------------------------------------------------------------------------
dscs=$("$HERE/fetch-sources.sh" "$DOWNLOADS" "xen=$XEN_VERSION,upstream" "${COMPANIONS[@]}") || exit 1
trap 'failed' ERR
for dsc in $dscs; do
	name=$(basename "$dsc")
	name=${name%%_*}
	case $name in
	xen-*) # a release of upstream's own
		version=${name#xen-}
		version=${version%.tar.*}
		mkdir "$SRC/xen"
		tar xf "$dsc" -C "$SRC/xen" --strip-components=1
		;;
	xen)
		# Debian's patches remove the generated tools/configure; upstream's sources are what we want.
		version=$(basename "${dsc%.*}")
		version=${version#xen_}
		mkdir "$SRC/xen"
		tar xf "${dsc%-*}".orig.tar.[gx]z -C "$SRC/xen" --strip-components=1
		;;
	*) dpkg-source -x "$dsc" "$SRC/$name" >> "$OUT/log" 2>&1 ;;
	esac
done
echo "XENLIBS $version for $CC"

# ---- a sysroot of our own ------------------------------------------------------------------------
# musl-gcc sees musl's headers only; Xen's want the kernel's interface too.
for dir in linux asm-generic; do ln -s "/usr/include/$dir" "$SYS/include/$dir"; done
ln -s "/usr/include/$(gcc -dumpmachine)/asm" "$SYS/include/asm"
CF=(-O2 -g -ffunction-sections -fdata-sections "-ffile-prefix-map=$OUT=.")

# ---- zlib, yajl (JSON, for libxl), libuuid (for libxl) -------------------------------------------
(
	cd "$SRC/zlib"
	CC="$CC" CFLAGS="${CF[*]}" ./configure --static --prefix="$SYS"
	make -j"$JOBS" libz.a
	cp libz.a "$SYS/lib"
	cp zlib.h zconf.h "$SYS/include"

	cd "$SRC/yajl/src"
	mkdir "$SYS/include/yajl"
	cp api/*.h "$SYS/include/yajl"
	# shellcheck disable=SC2016	# these are cmake's
	sed 's/${YAJL_MAJOR}/2/; s/${YAJL_MINOR}/1/; s/${YAJL_MICRO}/0/' api/yajl_version.h.cmake \
		> "$SYS/include/yajl/yajl_version.h"
	$CC "${CF[@]}" -DNDEBUG -I"$SYS/include" -c yajl*.c
	ar rcsD "$SYS/lib/libyajl.a" yajl*.o

	cd "$SRC/util-linux/libuuid/src"
	mkdir "$SYS/include/uuid"
	cp uuid.h "$SYS/include/uuid"
	$CC "${CF[@]}" -D_GNU_SOURCE -DHAVE_NANOSLEEP -DHAVE_GETRANDOM -DHAVE_TLS -DHAVE_UNISTD_H \
		-DHAVE_STDLIB_H -DHAVE_SYS_FILE_H -DHAVE_SYS_TIME_H -DHAVE_SYS_IOCTL_H \
		-DHAVE_SYS_SOCKET_H -DHAVE_SYS_SYSCALL_H -DHAVE_NET_IF_H -DHAVE_NETINET_IN_H \
		-DHAVE_ERR_H -I"$SRC/util-linux/include" -I. -c \
		clear.c compare.c copy.c gen_uuid.c isnull.c pack.c parse.c unpack.c unparse.c \
		uuid_time.c predefined.c "$SRC"/util-linux/lib/{randutils,md5,sha1}.c
	ar rcsD "$SYS/lib/libuuid.a" ./*.o
) >> "$OUT/log" 2>&1 < /dev/null

# ---- Zstandard: one thread, no old formats, no dictionaries -------------------------------------
(
	cd "$SRC/libzstd/lib"
	cp zstd.h zstd_errors.h "$SYS/include"
	mkdir objects
	cd objects
	for c in ../common/*.c ../compress/*.c ../decompress/*.[cS]; do
		$CC "${CF[@]}" -DZSTD_LEGACY_SUPPORT=0 -DZSTD_NO_TRACE -DZSTD_STRIP_ERROR_STRINGS=1 -c "$c"
	done
	ar rcsD "$SYS/lib/libzstd.a" ./*.o
) >> "$OUT/log" 2>&1 < /dev/null

# ---- Xen -----------------------------------------------------------------------------------------
X=$SRC/xen
series=$(cut -d. -f1,2 <<< "$version")
# Before 4.15 the libraries lay here and there, and libxenguest with libxenctrl.
case $series in
4.14) LIBXL=$X/tools/libxl FORMATS=$X/tools/libxc/xc_sr_stream_format.h ;;
*) LIBXL=$X/tools/libs/light FORMATS=$X/tools/libs/guest/xg_sr_stream_format.h ;;
esac
folder_of() {
	case $series-$1 in
	4.14-ctrl | 4.14-guest) echo tools/libxc ;;
	4.14-store) echo tools/xenstore ;;
	4.14-light | 4.14-util) echo tools/libxl ;;
	*) echo "tools/libs/$1" ;;
	esac
}
(
	cd "$X"
	# A host that is not the build machine: no check for Python's headers, none of them is used.
	# The ac_cv_*: curses and argp are asked for but not used by tools/libs; the kernel
	# decompressors (bzip2, lzma, lzo) are left out alike for both C libraries.
	# PKG_CONFIG: nothing of the build machine's own libraries gets in.
	# --libexec: where a host's libxl-save-helper would be; vstor brings its own.
	ac_cv_header_ncurses_h=yes ac_cv_lib_ncurses_clear=yes ac_cv_lib_tinfo_define_key=no \
	ac_cv_header_argp_h=yes ac_cv_lib_argp_argp_usage=no \
	ac_cv_header_bzlib_h=no ac_cv_header_lzma_h=no ac_cv_header_lzo_lzo1x_h=no \
	./configure --build=x86_64-linux-gnu --host=x86_64-vstor-linux-musl CC="$CC" PKG_CONFIG=/bin/false \
		PREPEND_INCLUDES="$SYS/include" PREPEND_LIB="$SYS/lib" \
		--prefix=/usr --sysconfdir=/etc --localstatedir=/var --libdir=/usr/lib/x86_64-linux-gnu \
		--with-libexec-leaf-dir="xen-$series" --disable-xen --disable-docs --disable-stubdom \
		--disable-ocamltools --disable-golang --disable-monitors --disable-xsmpolicy \
		--disable-seabios --disable-pvshim --disable-qemu-traditional --disable-rombios \
		--disable-systemd --with-xenstored=xenstored --with-system-qemu=/usr/libexec/xen-qemu-system-i386

	export XEN_TARGET_ARCH=x86_64 XEN_COMPILE_ARCH=x86_64
	# configure's CC does not reach these makefiles: it has to be given again. An old Xen's sources do
	# not know all that a new compiler warns of.
	xmake() {
		make CC="$CC" debug=n -j"$JOBS" APPEND_CFLAGS=-Wno-error \
			EXTRA_CFLAGS_XEN_TOOLS="-ffunction-sections -fdata-sections -ffile-prefix-map=$OUT=." "$@"
	}
	xmake -C tools/include
	for lib in toolcore toollog call evtchn gnttab foreignmemory devicemodel hypfs ctrl guest store light util; do
		folder=$(folder_of "$lib")
		case $lib in
		# libxenstore's reader thread is in its .so only, unless asked for; without it a reply
		# that comes after a watch event fails with EINVAL, and libxl with it.
		store) xmake -C "$folder" CFLAGS_xs.o=-DUSE_PTHREAD libxenstore.a ;;
		light) xmake -C "$folder" libxenlight.a _libxl_save_msgs_helper.c _libxl_save_msgs_helper.h ;;
		util) xmake -C "$folder" libxlutil.a ;;
		*) xmake -C "$folder" "libxen$lib.a" ;;
		esac
		cp "$folder"/libx*.a "$SYS/lib/"
	done
	# In the save helper its memory is kept from batch to batch: xen/copy/kept_memory.h.
	for f in malloc calloc realloc free; do echo "$f kept_$f"; done > "$SYS/kept"
	objcopy -D --redefine-syms="$SYS/kept" "$SYS/lib/libxenguest.a"

	if [ "$series" = 4.14 ]; then
		cp tools/{libs/*,libxc,xenstore}/include/*.h "$LIBXL"/libxl{,_event,_json,_utils,_uuid,util}.h \
			"$LIBXL"/_libxl_{types,types_json,list}.h tools/include/
	fi
	# libxl-save-helper, as a function of the binary that links it.
	cd "$LIBXL"
	for c in libxl_save_helper _libxl_save_msgs_helper; do
		$CC "${CF[@]}" -std=gnu99 -w -D__XEN_TOOLS__ -DHAVE_YAJL_YAJL_VERSION_H=1 -Dmain=libxl_save_helper_main \
			-I"$SYS/include" -I"$X/tools/include" -I. -c $c.c
	done
	ar rcsD "$SYS/lib/libxlsavehelper.a" libxl_save_helper.o _libxl_save_msgs_helper.o
) >> "$OUT/log" 2>&1 < /dev/null

# ---- what stays ----------------------------------------------------------------------------------
# Next to the installed headers, those of the migration stream's formats and of the helper's messages.
cp -rL "$X/tools/include/." "$OUT/include/"
cp -r "$SYS/include/"{zlib.h,zconf.h,zstd.h,zstd_errors.h,yajl,uuid} "$OUT/include/"
cp "$LIBXL"/{libxl_sr_stream_format,_libxl_save_msgs_helper}.h "$OUT/include/"
cp "$FORMATS" "$OUT/include/xg_sr_stream_format.h"
mv "$SYS"/lib/*.a "$OUT/lib/"
echo "$recipe" > "$OUT/recipe"
echo "$version" > "$OUT/version"
rm -rf "$SRC" "$SYS" "$DONE"
mv "$OUT" "$DONE"
