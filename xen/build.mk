# Xen's libraries: built once for a Xen version and a compiler, from Debian's source packages.

comma := ,
XEN := build/xen/$(XEN_VERSION)/$(CC)-$(shell $(CC) -dumpfullversion 2> /dev/null)
XEN_LIBS := $(XEN)/version
# The pinned default may give way to a newer point release, a version that somebody asked for may not.
XEN_WANTED := $(XEN_VERSION)$(if $(filter file,$(origin XEN_VERSION)),$(comma)or-next)

XEN_CFLAGS := -D__XEN_TOOLS__ -DHAVE_YAJL_YAJL_VERSION_H=1 -isystem $(XEN)/include
# libxenguest registers its kernel loaders in constructors: without the whole archive there is no loader.
XEN_LDLIBS := -L$(XEN)/lib -lxlsavehelper -Wl,--whole-archive -lxenguest -Wl,--no-whole-archive \
	-Wl,--start-group -lxlutil -lxenlight -lxenhypfs -lxenctrl -lxenstore -lxendevicemodel \
	-lxenforeignmemory -lxengnttab -lxenevtchn -lxencall -lxentoollog -lxentoolcore -Wl,--end-group \
	-lyajl -luuid -lz -lzstd -lm
# Our pre-copy policy steps in where the save helper sets its callbacks up, our codec where libxc writes
# and reads; the helpers' memory is kept; what is restored gets superpages.
XEN_WRAP := helper_setcallbacks_save write_exact writev_exact read_exact xencall_alloc_buffer xencall_free_buffer \
	xc_domain_populate_physmap_exact helper_stub_restore_results
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
