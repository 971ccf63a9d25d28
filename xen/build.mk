# Xen's libraries: built once for a Xen version and a compiler, from Debian's source packages.

XEN := build/xen/$(XEN_VERSION)/$(CC)-$(shell $(CC) -dumpfullversion)
XEN_LIBS := $(XEN)/version
DOWNLOADS := build/downloads
ifeq ($(origin XEN_VERSION),file)
XEN_WANTED := $(XEN_VERSION),or-next
else
XEN_WANTED := $(XEN_VERSION)
endif

XEN_CFLAGS := -D__XEN_TOOLS__ -DHAVE_YAJL_YAJL_VERSION_H=1 -isystem $(XEN)/include
# libxenguest registers its kernel loaders in constructors: without the whole archive there is no loader.
XEN_LDLIBS := -L$(XEN)/lib -lxlsavehelper -Wl,--whole-archive -lxenguest -Wl,--no-whole-archive \
	-Wl,--start-group -lxlutil -lxenlight -lxenhypfs -lxenctrl -lxenstore -lxendevicemodel \
	-lxenforeignmemory -lxengnttab -lxenevtchn -lxencall -lxentoollog -lxentoolcore -Wl,--end-group \
	-lyajl -luuid -lz
# Our pre-copy policy steps in where the helper sets its callbacks up.
ifneq ($(wildcard xen/save_helper.c),)
XEN_LINK_FLAGS := -Wl,--wrap=helper_setcallbacks_save
endif

$(XEN_LIBS): xen/build-libs.sh xen/fetch-sources.sh
	$(Q)xen/build-libs.sh $(XEN) $(DOWNLOADS) $(XEN_WANTED) $(CC)

# The kernel's interface headers, which musl-gcc does not look for.
UAPI := build/uapi
UAPI_CFLAGS := -idirafter $(UAPI)
$(UAPI):
	@mkdir -p $@.new && ln -sfn /usr/include/linux /usr/include/asm-generic $@.new/ && \
		ln -sfn /usr/include/$$(gcc -dumpmachine)/asm $@.new/asm && mv $@.new $@
