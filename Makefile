# vstor: `make` gives build/vstor, one static binary. `make help` lists the targets; V=1 shows commands.

VSTOR_VERSION := 0.1.0
# The Xen release that libxenlight comes from, which is the only one it can talk to: 4.14, 4.17 or 4.20
# (xen/build.mk has the versions of their Debian source packages), or such a version in full.
XEN_DEFAULT := 4.17
XEN_VERSION ?= $(XEN_DEFAULT)
PREFIX ?= /usr/local

# What `make deps` installs: to build, to test, and for the lab's two Xen hosts. Each target sees to what it
# needs itself; on a machine that has it, nothing is installed.
DEPS_BUILD := gcc libc6-dev make musl-tools linux-libc-dev acpica-tools dpkg-dev patch perl python3 xz-utils bzip2
DEPS_TEST := clang-format cppcheck spin libiscsi-bin libiscsi-dev qemu-utils qemu-block-extra mandoc file vblade
DEPS_LAB := qemu-system-x86 iproute2 e2fsprogs bison flex m4 cpio gzip lz4 zstd kmod
DEPS_THESIS := dbench sysbench iputils-ping chromium-headless-shell
DEPS_FUZZ := clang libclang-rt-dev

CFLAGS ?= -O2 -g
ifeq ($(SANITIZE),1)
CC := gcc
B := build/san
CFLAGS += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
else ifeq ($(SANITIZE),thread)
CC := gcc
B := build/tsan
CFLAGS += -O1 -fno-omit-frame-pointer -fsanitize=thread
else
CC := musl-gcc
B := build
LDFLAGS += -static
endif
O := $(B)/obj
# What is compiled against Xen has a tree for each release: going from one to another compiles nothing anew.
H = $(O)/xen-$(XEN_SERIES)

MAKEFLAGS += --no-builtin-rules --no-print-directory
# All processors, unless the caller gives a -j.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
ifneq ($(V),1)
Q := @
say = @echo "$(1)";
endif
.DELETE_ON_ERROR:
.SECONDARY:

# What is built after packages were installed is built by a make of its own: the compiler may not have been
# there before.
all: deps-build
	@$(MAKE) $(B)/vstor

include xen/build.mk

# ---- the program -----------------------------------------------------------------------------------------
rooms = $(1) $(addprefix $(1)/,scsi iscsi aoe copy fence migration bench)
sources = $(sort $(wildcard $(foreach floor,$(1),$(addsuffix /*.c,$(call rooms,$(floor))))))
LOW := $(patsubst %.c,$(O)/%.o,$(call sources,core storage net))
HIGH := $(patsubst %.c,$(H)/%.o,$(call sources,xen cmd))
OBJS := $(LOW) $(HIGH)

STD := -std=gnu11 -D_GNU_SOURCE -I. -pthread -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes \
	-fstack-protector-strong -ffunction-sections -fdata-sections -ffile-prefix-map=$(CURDIR)=. $(UAPI_CFLAGS)
# Only the two upper floors may see Xen.
HIGH_CFLAGS := $(XEN_CFLAGS) -include $(H)/config.h
HIGH_STD := $(STD) $(HIGH_CFLAGS)

# These change only when what is in them does.
update = mkdir -p $(@D) && $(1) > $@.new && if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
$(O)/flags $(H)/flags: FORCE
	@command -v $(CC) > /dev/null || { echo "make: $(CC) is missing: run make deps-build" >&2; exit 1; }
	@$(call update,echo '$(CC) $(STD) $(CFLAGS) $(LDFLAGS)' $(if $(filter $(H)/%,$@),'$(HIGH_CFLAGS) $(XEN_LINK)'))
$(H)/config.h: $(XEN_LIBS) FORCE
	@version=$$(cat $(XEN_LIBS)) && $(call update,printf '#define VSTOR_%s %s\n' VERSION '"$(VSTOR_VERSION)"' \
		XEN "\"$${version%%[+~-]*}\"" XEN_RELEASES '"$(XEN_RELEASES)"' XEN_MAJOR $(basename $(XEN_SERIES)) XEN_MINOR $(subst .,,$(suffix $(XEN_SERIES))))

$(O)/%.o: %.c $(O)/flags | $(UAPI)
	@mkdir -p $(@D)
	$(call say,CC $<) $(CC) $(STD) $(CFLAGS) -MMD -MP -c -o $@ $<
$(H)/%.o: %.c $(H)/flags $(H)/config.h $(XEN_LIBS) | $(UAPI)
	@mkdir -p $(@D)
	$(call say,CC $< for Xen $(XEN_SERIES)) $(CC) $(HIGH_STD) $(CFLAGS) -MMD -MP -c -o $@ $<

# The unstripped binary stays beside the product, for debuggers. vstor itself is that of the release that
# was made last.
$(B)/vstor-$(XEN_SERIES).debug: $(OBJS) $(XEN_LIBS)
	$(call say,LD $@) $(CC) $(CFLAGS) $(LDFLAGS) -pthread -Wl,--gc-sections $(XEN_LINK) -o $@ $(OBJS) $(XEN_LDLIBS)
$(B)/vstor-$(XEN_SERIES): $(B)/vstor-$(XEN_SERIES).debug
	$(call say,STRIP $@) strip -o $@ $<
$(B)/vstor $(B)/lab-tool: $(B)/%: $(B)/%-$(XEN_SERIES) FORCE
	@cmp -s $< $@ || cp $< $@
all-xen: deps-build
	@for release in $(XEN_RELEASES); do $(MAKE) XEN_VERSION=$$release $(B)/vstor-$$release || exit; done

xen-libs: $(XEN_LIBS)

# ---- unit tests: sanitized; those of the lower floors do without Xen's libraries ---------------------------
LOW_TESTS := $(patsubst tests/%.c,$(B)/%,$(call sources,$(addprefix tests/unit/,core storage net)))
# $(U): those of the default release, and of another one beside them.
U := $(B)/unit$(if $(filter $(XEN_DEFAULT),$(XEN_SERIES)),,-$(XEN_SERIES))
HIGH_TESTS := $(patsubst tests/unit/%.c,$(U)/%,$(call sources,$(addprefix tests/unit/,xen cmd)))
# The upper floors' tests play the Xen host: what the fake defines takes the place of libxl's own.
FAKE := $(patsubst %.c,$(H)/%.o,$(wildcard tests/unit/fake/*.c))
FAKE_LINK := $(addprefix -Wl$(comma)--wrap=,$(shell sed -n 's/.*__wrap_\([a-z_]*\).*/\1/p' tests/unit/fake/*.c | sort -u))
TEST_OBJS := $(LOW_TESTS:$(B)/%=$(O)/tests/%.o) $(HIGH_TESTS:$(U)/%=$(H)/tests/unit/%.o) $(FAKE)

$(O)/low.a: $(LOW)
	@rm -f $@ && ar rcsD $@ $^
$(LOW_TESTS): $(B)/%: $(O)/tests/%.o $(O)/low.a
	@mkdir -p $(@D)
	$(call say,LD $@) $(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^
$(HIGH_TESTS): $(U)/%: $(H)/tests/unit/%.o $(FAKE) $(filter-out $(H)/cmd/main.o,$(OBJS)) $(XEN_LIBS)
	@mkdir -p $(@D)
	$(call say,LD $@) $(CC) $(CFLAGS) $(LDFLAGS) -pthread $(XEN_LINK) $(FAKE_LINK) -o $@ $(filter %.o,$^) $(XEN_LDLIBS)

unit-programs: $(LOW_TESTS) $(HIGH_TESTS)

# ---- fuzzing: a short run without libFuzzer in `make test`, long ones with it in `make fuzz` ------------------
FUZZ_OBJS := $(patsubst %,$(O)/tests/fuzz/%.o,target aoe pages driver)
$(B)/fuzz/target $(B)/fuzz/aoe: $(B)/fuzz/%: $(O)/tests/fuzz/%.o $(O)/tests/fuzz/driver.o $(O)/low.a
	@mkdir -p $(@D)
	$(call say,LD $@) $(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^
PAGES := page_decoder pagecache stream
$(B)/fuzz/pages: $(O)/tests/fuzz/pages.o $(O)/tests/fuzz/driver.o $(PAGES:%=$(H)/xen/copy/%.o) $(O)/low.a
	@mkdir -p $(@D)
	$(call say,LD $@) $(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ -L$(XEN)/lib -lzstd
FUZZ_SECONDS ?= 600
build/fuzz/libfuzzer: tests/fuzz/target.c $(call sources,core storage net) | $(UAPI)
	@mkdir -p $(@D)
	$(call say,CLANG $@) clang -g -O1 -fsanitize=fuzzer,address,undefined -std=gnu11 -D_GNU_SOURCE -I. -pthread -o $@ $^
build/fuzz/libfuzzer-pages: tests/fuzz/pages.c $(PAGES:%=xen/copy/%.c) $(call sources,core) $(XEN_LIBS) | $(UAPI)
	@mkdir -p $(@D)
	$(call say,CLANG $@) clang -g -O1 -fsanitize=fuzzer,address,undefined -std=gnu11 -D_GNU_SOURCE -I. \
		$(XEN_CFLAGS) -pthread -o $@ $(filter %.c,$^) -L$(XEN)/lib -lzstd
# It has something in the place of the network.
build/fuzz/libfuzzer-aoe: tests/fuzz/aoe.c $(filter-out net/link.c net/aoe/port_open.c,$(call sources,core storage net)) | $(UAPI)
	@mkdir -p $(@D)
	$(call say,CLANG $@) clang -g -O1 -fsanitize=fuzzer,address,undefined -std=gnu11 -D_GNU_SOURCE -I. -pthread -o $@ $^
fuzz-aoe: deps-fuzz
	@$(MAKE) build/fuzz/libfuzzer-aoe
	@mkdir -p build/fuzz/corpus-aoe
	cd build/fuzz && ./libfuzzer-aoe -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -rss_limit_mb=1024 corpus-aoe ../../tests/fuzz/corpus-aoe
fuzz-pages: deps-fuzz
	@$(MAKE) SANITIZE=1 build/fuzz/libfuzzer-pages
	@mkdir -p build/fuzz/corpus-pages
	cd build/fuzz && ./libfuzzer-pages -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -rss_limit_mb=1024 \
		corpus-pages ../../tests/fuzz/corpus-pages
fuzz: deps-fuzz
	@$(MAKE) build/fuzz/libfuzzer
	@mkdir -p build/fuzz/corpus
	cd build/fuzz && ./libfuzzer -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -rss_limit_mb=1024 corpus ../../tests/fuzz/corpus

# ---- the lab's tool: what xl would do in the lab's hosts ------------------------------------------------------
LAB_OBJ := $(H)/tests/lab/tool.o
$(B)/lab-tool-$(XEN_SERIES): $(LAB_OBJ)
	$(call say,LD $@) $(CC) $(CFLAGS) $(LDFLAGS) -pthread -Wl,--gc-sections $(XEN_LINK_PLAIN) -s -o $@ $< $(XEN_LDLIBS)

# Two hosts that let a disk decide between them: tests/attach.
JUDGE := $(O)/tests/attach/judge.o
$(B)/judge: $(JUDGE) $(patsubst %,$(H)/xen/%.o,message disk_id $(addprefix fence/,referee referee_paths referee_seen paths reservation own_keys)) $(O)/low.a
	$(call say,LD $@) $(CC) $(CFLAGS) $(LDFLAGS) -pthread -Wl,--gc-sections -s -o $@ $^

-include $(patsubst %.o,%.d,$(OBJS) $(TEST_OBJS) $(FUZZ_OBJS) $(LAB_OBJ) $(JUDGE))

# ---- tests: each suite prints ok and not ok lines, tests/run adds them up ------------------------------------
sanitized: deps-build
	@$(MAKE) SANITIZE=1 build/san/vstor unit-programs build/san/fuzz/target build/san/fuzz/aoe build/san/fuzz/pages
	@$(MAKE) SANITIZE=thread build/tsan/vstor
unit: deps-build
	@$(MAKE) SANITIZE=1 unit-programs
	@tests/run unit
# The libraries of another release may not be to be had, then its tests are left out; but what is compiled
# with them has to compile.
others = for r in $(1); do $(MAKE) XEN_VERSION=$$r xen-libs || continue; \
	$(MAKE) XEN_VERSION=$$r $(B)/vstor-$$r $(B)/lab-tool-$$r || exit; done
# One step from release to release: to the newest, or where that cannot be had, from the oldest.
another = $(call others,4.20); [ -e $(B)/vstor-4.20 ] || { $(call others,4.14); }
test: deps
	@$(MAKE) $(B)/vstor $(B)/lab-tool
	@$(call another)
	@$(MAKE) sanitized
	@tests/run build unit model fuzz report conformance aoe attach lab fault format cppcheck floors manual
conformance: deps
	@$(MAKE) $(B)/vstor
	@tests/run conformance
aoe: deps
	@$(MAKE) $(B)/vstor
	@tests/run aoe
attach: deps
	@$(MAKE) $(B)/vstor
	@tests/run attach
test-attach: deps
	@$(MAKE) $(B)/vstor $(B)/lab-tool $(B)/judge
	@tests/attach/run full
lab: deps
	@$(MAKE) $(B)/vstor $(B)/lab-tool
	@$(call another)
	@tests/run lab
test-report: all
	@tests/run report
model: deps
	@tests/run model
fault: deps
	@$(MAKE) all $(B)/lab-tool
	@tests/run fault
test-fault: deps
	@$(MAKE) all $(B)/lab-tool
	@tests/fault/matrix all
test-releases: deps
	@$(MAKE) $(B)/vstor $(B)/lab-tool
	@$(call others,4.14 4.20)
	@for r in 4.14 4.20; do [ ! -e $(B)/vstor-$$r ] || $(MAKE) SANITIZE=1 XEN_VERSION=$$r unit-programs || exit; done
	@tests/run releases
check-format: deps
	@tests/run format
cppcheck: deps
	@tests/run cppcheck
demo: deps
	@$(MAKE) $(B)/vstor $(B)/lab-tool
	@tests/lab/demo
bench-target: deps
	@$(MAKE) $(B)/vstor
	@tests/bench/$(if $(LIO),lio,target)
bench-migrate: deps
	@$(MAKE) $(B)/vstor $(B)/lab-tool
	@tests/bench/migrate
$(B)/bench/replay: $(H)/tests/bench/replay.o $(filter-out $(H)/cmd/main.o,$(OBJS)) $(XEN_LIBS)
	@mkdir -p $(@D)
	$(call say,LD $@) $(CC) $(CFLAGS) $(LDFLAGS) -pthread -Wl,--gc-sections $(XEN_LINK) -o $@ $(filter %.o,$^) $(XEN_LDLIBS)
bench-codec: deps
	@$(MAKE) $(B)/vstor $(B)/lab-tool $(B)/bench/replay
	@tests/bench/codec
test-bench: deps
	@$(MAKE) $(B)/vstor $(B)/lab-tool
	@tests/bench/faults
thesis: deps deps-thesis
	@$(MAKE) all $(B)/lab-tool
	@tests/bench/thesis
bench-originals: deps-thesis
	@$(MAKE) all
	@tests/bench/originals
bench-aoe: deps
	$(call install,vblade)
	@$(MAKE) $(B)/vstor
	@tests/bench/aoe
bench-attach: deps
	@$(MAKE) $(B)/vstor
	@tests/attach/compare

# ---- the rest --------------------------------------------------------------------------------------------
# Nothing is asked of apt when all are there. The package lists are refreshed only if they turn out too
# old. Where there is no dpkg, each tool that is missing is named by who needs it.
missing = there=" $$(dpkg-query -W -f '$${Package}:$${db:Status-Abbrev} ' $(1) 2> /dev/null)"; missing=; \
	for p in $(1); do case "$$there" in *" $$p:"?i*) ;; *) missing="$$missing $$p" ;; esac; done; \
	[ -n "$$missing" ] || exit 0
install = @command -v dpkg-query > /dev/null || exit 0; \
	$(call missing,$(1)); \
	mkdir -p build; exec 9> build/deps.lock; flock 9; \
	$(call missing,$(1)); \
	echo "INSTALL$$missing"; \
	sudo=; [ $$(id -u) = 0 ] || sudo=sudo; \
	get() { $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$$@" < /dev/null; }; \
	get install --no-install-recommends $$missing > build/deps.log 2>&1 || { get update && \
		get install --no-install-recommends $$missing; } >> build/deps.log 2>&1 || { \
		echo "deps: apt-get could not install$$missing: its words are in build/deps.log" >&2; exit 1; }
deps:
	$(call install,$(DEPS_BUILD) $(DEPS_TEST) $(DEPS_LAB))
deps-build:
	$(call install,$(DEPS_BUILD))
deps-thesis:
	$(call install,$(DEPS_THESIS))
deps-fuzz:
	$(call install,$(DEPS_BUILD) $(DEPS_FUZZ))

install: all
	install -D -m 755 $(B)/vstor $(DESTDIR)$(PREFIX)/sbin/vstor
	@for r in $(XEN_RELEASES); do [ ! -e $(B)/vstor-$$r ] || \
		(set -x; install -D -m 755 $(B)/vstor-$$r $(DESTDIR)/usr/lib/vstor/vstor-$$r) || exit; done
	install -d $(DESTDIR)$(PREFIX)/share/man/man7 $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)/etc/xen/scripts
	install -m 644 $(wildcard cmd/*.7) $(DESTDIR)$(PREFIX)/share/man/man7/
	install -m 644 $(wildcard cmd/*.8) $(DESTDIR)$(PREFIX)/share/man/man8/
	ln -sfn $(PREFIX)/sbin/vstor $(DESTDIR)/etc/xen/scripts/block-vstor
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)/etc/init.d
	sed 's|/usr/local|$(PREFIX)|' cmd/vstor-attach.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/vstor-attach.service
	sed 's|/usr/local|$(PREFIX)|' cmd/vstor-attach.openrc > $(DESTDIR)/etc/init.d/vstor-attach
	chmod 755 $(DESTDIR)/etc/init.d/vstor-attach

help:
	@echo "all (default)  build/vstor, static; SANITIZE=1: build/san/vstor with the sanitizers (thread: build/tsan)"
	@echo "all-xen        build/vstor-4.14, vstor-4.17, vstor-4.20: one for each release of Xen"
	@echo "deps           install the Debian packages needed; deps-build: those for building only"
	@echo "demo           a live guest moves between two Xen hosts, on this machine, in QEMU"
	@echo "test           the suites of the next line, with build, fuzz, report, floors, manual and a quick part of fault, summed up; like demo, it installs the packages that it needs"
	@echo "unit model conformance aoe attach lab check-format cppcheck   one suite"
	@echo "test-fault     all cells of the fault matrix: what dies, when, in two Xen hosts; goes on where it was stopped; by estimate three quarters of an hour on an idle machine"
	@echo "test-attach    attaching at length: in a Xen host, long outages, reboots, multipath, tgtd, LIO"
	@echo "test-report    the page of vstor bench report in chromium, where that is installed"
	@echo "test-bench     vstor bench migrate in the lab, made to fail: a full disk, a Ctrl-C, an agent that dies; six minutes"
	@echo "test-releases  Xen 4.14, 4.17 and 4.20: the binaries, and guests that move among them"
	@echo "bench-target   the target against tgtd, istgt and a floor, by turns: CPU time, throughput, latency; 12 minutes (LIO=1: against Linux's own, 3)"
	@echo "bench-migrate  vstor migrate against xl migrate, by turns, under four loads: time, bytes, ping gap; two hours"
	@echo "thesis         the founding study repeated, with a report; resumable; three and a half hours; QUICK=1: a part of it, 18 minutes"
	@echo "bench-originals  the loads of vstor bench beside dbench, sysbench and ping, by turns; four minutes"
	@echo "bench-codec    recorded migrations over slow and fast links, against plain, gzip and zstd"
	@echo "bench-aoe      the AoE target against vblade, and AoE against iSCSI: CPU time, throughput, latency"
	@echo "bench-attach   attach against open-iscsi, by turns: speed, memory, recovery"
	@echo "fuzz           the target under libFuzzer for FUZZ_SECONDS ($(FUZZ_SECONDS))"
	@echo "fuzz-aoe       the AoE target likewise"
	@echo "fuzz-pages     the decoder of compressed pages likewise"
	@echo "install        binary (and those of make all-xen, in /usr/lib/vstor), man pages, block script, services; PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)"
	@echo "clean          what was compiled of vstor; distclean: Xen's libraries and downloads too"
	@echo "variables      XEN_VERSION=$(XEN_VERSION) (of $(XEN_RELEASES)) SANITIZE=1 V=1"

clean:
	rm -rf build/obj build/san build/tsan build/test build/vstor build/lab-tool build/vstor-* build/lab-tool-*
distclean:
	rm -rf build

FORCE:
.PHONY: FORCE all all-xen aoe attach bench-aoe bench-attach bench-codec bench-migrate bench-originals bench-target clean cppcheck check-format conformance demo deps deps-build deps-fuzz deps-thesis distclean fuzz fuzz-aoe fuzz-pages \
	fault help install lab model \
	sanitized test test-attach test-bench test-fault test-releases test-report thesis unit unit-programs xen-libs
