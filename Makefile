# vstor: `make` gives build/vstor, one static binary. `make help` lists the targets, V=1 shows commands.

VSTOR_VERSION := 0.1.0
# The Xen release that libxenlight comes from, which is the one it can talk to: a Debian source version, or
# a release (4.17) for the newest that the mirror serves. The default gives way to the next point release
# when the mirror no longer has it.
XEN_VERSION ?= 4.17.5+72-g01140da4e8-1
PREFIX ?= /usr/local

CFLAGS ?= -O2 -g
ifeq ($(SANITIZE),1)
CC := gcc
B := build/san
CFLAGS += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
else
CC := musl-gcc
B := build
LDFLAGS += -static
endif
O := $(B)/obj

ifneq ($(V),1)
Q := @
say = @echo "$(1)";
endif
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/vstor

include xen/build.mk

# ---- sources ---------------------------------------------------------------------------------------------
FLOORS := core storage net xen cmd
dirs = $(1) $(1)/scsi $(1)/iscsi $(1)/bench
SRCS := $(sort $(wildcard $(foreach f,$(FLOORS),$(addsuffix /*.c,$(call dirs,$(f))))))
objs = $(patsubst %.c,$(O)/%.o,$(filter $(1),$(SRCS)))
LOW_OBJS := $(call objs,core/% storage/% net/%)
HIGH_OBJS := $(call objs,xen/% cmd/%)

STD := -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -I. \
	-ffile-prefix-map=$(CURDIR)=. -ffunction-sections -fdata-sections -fstack-protector-strong -pthread
# Only the two upper floors may see Xen.
$(HIGH_OBJS): STD += $(XEN_CFLAGS) -include $(O)/config.h
$(HIGH_OBJS): $(O)/config.h

$(O)/config.h: $(XEN_LIBS) Makefile
	@mkdir -p $(@D)
	@v=$$(cat $(XEN)/version) && printf '#define VSTOR_VERSION "%s"\n#define VSTOR_XEN "%s"\n#define VSTOR_XEN_PACKAGE "%s"\n' \
		"$(VSTOR_VERSION)" "$${v%%[+-]*}" "$$v" > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(O)/%.o: %.c | $(UAPI)
	@mkdir -p $(@D)
	$(call say,CC $<) $(CC) $(STD) $(CFLAGS) $(UAPI_CFLAGS) -MMD -MP -c -o $@ $<

# The unstripped binary stays beside the product, for debuggers.
$(B)/vstor.debug: $(LOW_OBJS) $(HIGH_OBJS) $(XEN_LIBS)
	$(call say,LD $@) $(CC) $(CFLAGS) $(LDFLAGS) $(XEN_LINK_FLAGS) -Wl,--gc-sections -o $@ $(LOW_OBJS) $(HIGH_OBJS) $(XEN_LDLIBS)

$(B)/vstor: $(B)/vstor.debug
	$(call say,STRIP $@) strip -o $@ $<

-include $(patsubst %.o,%.d,$(LOW_OBJS) $(HIGH_OBJS))

clean:
	rm -rf build/obj build/san build/vstor build/vstor.debug

distclean:
	rm -rf build

.PHONY: all clean distclean
