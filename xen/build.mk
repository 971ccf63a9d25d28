# Xen's libraries: built once for a Xen version and a compiler, from Debian's source packages.

comma := ,
# The releases that vstor knows, as Debian 11, 12 and 13 have them. A release gives way to its next point
# release when the mirror no longer has this one; a version that somebody asked for in full does not.
XEN_4.14 := 4.14.6-1
XEN_4.17 := 4.17.5+72-g01140da4e8-1
XEN_4.20 := 4.20.4+63-g7abfd2bce2-0+deb13u1
XEN_RELEASES := 4.14 4.17 4.20
XEN_SERIES := $(shell expr "x$(XEN_VERSION)" : 'x\([0-9]*\.[0-9]*\)')
ifeq ($(XEN_$(XEN_SERIES)),)
$(error XEN_VERSION=$(XEN_VERSION): vstor knows the Xen releases $(XEN_RELEASES), and versions of them)
endif
ifeq ($(XEN_VERSION),$(XEN_SERIES))
XEN_PACKAGE := $(XEN_$(XEN_SERIES))
XEN_WANTED := $(XEN_PACKAGE),or-next
else
XEN_PACKAGE := $(XEN_VERSION)
XEN_WANTED := $(XEN_PACKAGE)
endif
XEN := build/xen/$(XEN_PACKAGE)/$(CC)-$(shell $(CC) -dumpfullversion 2> /dev/null)
XEN_LIBS := $(XEN)/version

XEN_CFLAGS := -D__XEN_TOOLS__ -DHAVE_YAJL_YAJL_VERSION_H=1 -isystem $(XEN)/include
# libxenguest registers its kernel loaders in constructors: without the whole archive there is no loader.
XEN_LDLIBS := -L$(XEN)/lib -lxlsavehelper -Wl,--whole-archive -lxenguest -Wl,--no-whole-archive \
	-Wl,--start-group -lxlutil -lxenlight -lxenhypfs -lxenctrl -lxenstore -lxendevicemodel \
	-lxenforeignmemory -lxengnttab -lxenevtchn -lxencall -lxentoollog -lxentoolcore -Wl,--end-group \
	-lyajl -luuid -lz -lzstd -lm
# Our pre-copy policy steps in where the save helper sets its callbacks up, our codec where libxc writes
# and reads; nobody listens to libxc's progress; the helpers' memory is kept; what is restored gets superpages; a request to xenstore is one write.
XEN_WRAP := helper_setcallbacks_save write_exact writev_exact read_exact xencall_alloc_buffer xencall_free_buffer \
	xc_domain_populate_physmap_exact helper_stub_restore_results helper_stub_progress xs_write_all sigaction
XEN_LINK := $(addprefix -Wl$(comma)--wrap=,$(XEN_WRAP))
# For a program without xen/: libxenguest's memory is libc's.
XEN_LINK_PLAIN := $(foreach f,malloc calloc realloc free,-Wl$(comma)--defsym=kept_$(f)=$(f))

$(XEN_LIBS): xen/build-libs.sh
	$(Q)xen/build-libs.sh $(XEN) build/downloads $(XEN_WANTED) $(CC)

# The kernel's interface headers, where musl-gcc does not look for them.
UAPI := build/uapi
UAPI_CFLAGS := -idirafter $(UAPI)
$(UAPI):
	@machine=$$(gcc -dumpmachine) && mkdir -p $@.new && \
		ln -sfn /usr/include/linux /usr/include/asm-generic $@.new/ && \
		ln -sfn /usr/include/$$machine/asm $@.new/asm && mv $@.new $@
