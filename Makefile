# SPDX-License-Identifier: MIT
#
# make            build/sockfront, its library and the examples
# make demo       install what is missing, build, show the modes on real traffic (vsock needs a machine)
# make check      install what is missing, build, run every test
# make check-vm   the tests that need systemd and vsock, in a virtual machine; a part of "make check"
# make deps       install what "make check" needs (Debian packages; said before it is done)
# make bench      measure sockfront beside other proxies; BENCH='--quick' or other options of tests/bench/run
# make bench-delay measure how long a byte is on the way, and at what price: the table of sockfront.conf(5)
# make bench-plots measure what the README shows, and draw it into tests/bench/plots/
# make bench-deps install those proxies (Debian packages), and what draws the plots
# make page-picture draw the status page as the README shows it, into daemon/status/page.png
# make examples   the programs in lib/examples/, into build/examples/ (one of them wants glib)
# make lint       clang-format, clang-tidy, cppcheck, shellcheck, mandoc, pyflakes
# make fuzz       each fuzzer of tests/fuzz/, FUZZ_RUNS (10000000) inputs, in build/fuzz/
# make soak       random traffic, reloads, upgrades and kills for SOAK_MINUTES (20); SOAK_SEED
# make sanitize   unit and system tests under AddressSanitizer and UBSan, in build/sanitize/
# make tsan       the tests in which threads meet under ThreadSanitizer, in build/tsan/
# make valgrind   unit tests under valgrind
# make install    PREFIX, LIBDIR, DESTDIR; make uninstall takes the same
# make test       as make check, with what is installed: for those who make packages; STEPS='unit system'
# make dist       a tarball, the same bytes each time, in build/; SOURCE_DATE_EPOCH
# make deb        Debian packages of that, in build/deb/; DEB_BUILD_OPTIONS, DEB for dpkg-buildpackage
# make rpm        RPM packages of it, in build/rpm/; RPM='--nodeps' or other options of rpmbuild
# make clean      remove build/
#
# UNIX=0 VSOCK=0 SYSTEMD=0 INETD=0 OPTIONS=0 MULTI=0 each leave a part out of the
# library: UNIX sockets; vsock; sd-listen and accept-from-fd, and with them
# libsystemd; stdin and stdout; the table of options; several addresses in one
# call.  ARGP=0 is for a C library without argp.  The daemon can do without vsock
# and without libsystemd, and then knows nothing of a service manager; without any
# other, only the library is built.
#
# Variables: CC, CFLAGS, LDFLAGS, PREFIX, LIBDIR, DESTDIR, BUILD; HOSTCC, where CC builds for
# another machine; V=1 shows the commands, WERROR=1 turns warnings into errors.

CC         ?= cc
HOSTCC     ?= $(CC)
AR         ?= ar
CFLAGS     ?= -O2 -g
BUILD      ?= build

PREFIX     ?= /usr/local
# It stands in the units and in the .pc files, which are read from elsewhere.  With a blank
# in it, it is several words to make.
absolute = $(if $(filter /%,$(firstword $(1))),$(1),$(CURDIR)/$(1))
override PREFIX := $(if $(word 2,$(PREFIX)),$(call absolute,$(PREFIX)),$(abspath $(PREFIX)))
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/sockfront
UNITDIR    ?= $(PREFIX)/lib/systemd/system
USERUNITDIR ?= $(PREFIX)/lib/systemd/user
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
FISHDIR    ?= $(PREFIX)/share/fish/vendor_completions.d

VERSION    := 0.1.0
ABI        := $(firstword $(subst ., ,$(VERSION)))
PYTHON     := /usr/bin/python3

ifneq ($(V),1)
Q := @
say = @printf '  %-8s%s\n' '$(1)' '$(2)'
endif

warnings := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wconversion \
            -Wwrite-strings -Wpointer-arith -Wvla -Wundef -Wformat=2 $(if $(WERROR),-Werror)
# Where a pointer has 32 bits, so would an inode's number, and stat() fails where it is larger.
# Elsewhere this says nothing.
cppflags := -D_GNU_SOURCE '-D_FILE_OFFSET_BITS=((__SIZEOF_POINTER__ < 8) * 64)' \
            -Ilib/include -I. -DSOCKFRONT_VERSION='"$(VERSION)"'
compile   = $(CC) -std=gnu11 $(warnings) $(cppflags) $(CPPFLAGS) $(CFLAGS) -MMD -MP -pthread
link      = $(CC) $(CFLAGS) $(LDFLAGS) -pthread

define link_test
$(call say,LINK,$@)
@mkdir -p $(@D)
$(Q)$(link) -o $@ $^ -lcmocka $(daemon_libs) \
	$(addprefix -Wl$(comma)@,$(wildcard $(patsubst $(BUILD)/tests/%,tests/unit/%.wrap,$@)))
endef

# For the linker: calls of these functions go to __wrap_NAME of the test instead.
wrap = $(addprefix -Wl$(comma)--wrap=,$(1))
comma := ,

OBJ     ?= $(BUILD)
objects = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard $(1))))

# What can be left out of the library.  Where a part is, its files are dropped
# and lib/absent/PART.c stands in for them, which says so to whoever asks.
UNIX    := 1
VSOCK   := 1
SYSTEMD := 1
INETD   := 1
OPTIONS := 1
MULTI   := 1
ARGP    := 1

part = $(if $(filter 1,$($(1))),$(2:%=lib/%.c),lib/absent/$(3).c)
optional := option_table socket_options multi
lib_sources := $(filter-out $(optional:%=lib/%.c),$(sort $(wildcard lib/*.c))) \
               $(sort $(wildcard lib/proxy_protocol/*.c)) \
               lib/kind/tcp.c lib/adapter/getopt.c lib/adapter/inih.c \
               $(call part,UNIX,kind/unix kind/place,unix) $(call part,VSOCK,kind/vsock,vsock) \
               $(call part,SYSTEMD,kind/sd_listen kind/fd kind/inherited kind/bound kind/former,systemd) \
               $(call part,INETD,kind/inetd,inetd) $(call part,MULTI,multi,multi) \
               $(call part,OPTIONS,option_table socket_options,option_table) \
               $(if $(filter 1,$(SYSTEMD) $(INETD)),lib/kind/single.c) \
               $(if $(filter 1,$(ARGP)),lib/adapter/argp.c)
lib_objects := $(lib_sources:%.c=$(OBJ)/%.o)
event_objects := $(patsubst %.c,$(OBJ)/%.o,$(sort $(wildcard lib/adapter/event*.c)))
switches    := $(foreach s,UNIX VSOCK SYSTEMD INETD OPTIONS MULTI ARGP,$(s)=$($(s)))
words_UNIX := UNIX sockets
words_VSOCK := vsock
words_SYSTEMD := sd-listen, accept-from-fd and libsystemd
words_INETD := stdin and stdout
words_OPTIONS := the table of options
words_MULTI := several addresses in one call
words_ARGP := argp
left_out    := $(patsubst %=0,%,$(filter %=0,$(switches)))
# The daemon can do without vsock and without libsystemd.
whole       := $(if $(filter-out 1,$(UNIX) $(INETD) $(OPTIONS) $(MULTI)),,yes)

# The rooms of the daemon, from right to left: a room uses those behind it, and so
# the linker wants them.  $(call from,ROOM,$(rooms)) is a room with all that it may use.
rooms      := control handover status worker session proxy backend relay base
from        = $(if $(filter $(1),$(firstword $(2))),$(2),$(call from,$(1),$(filter-out $(firstword $(2)),$(2))))
archives_of = $(patsubst %,$(BUILD)/daemon/%.a,$(call from,$(1),$(rooms)))
# Without libsystemd, ROOM/absent/FILE.c stands in for ROOM/FILE.c.
stand_ins   = $(if $(filter 1,$(SYSTEMD)),,$(wildcard daemon/$(1)/absent/*.c))
room_files  = $(filter-out $(subst /absent/,/,$(call stand_ins,$(1))),$(wildcard daemon/$(1)/*.c)) \
              $(call stand_ins,$(1))
daemon     := $(patsubst %,$(BUILD)/daemon/%.o,main help modes ask_status http_get) $(rooms:%=$(BUILD)/daemon/%.a)
archives   := $(BUILD)/conf.a $(BUILD)/libsockfront-event.a $(BUILD)/libsockfront.a
completions := $(foreach s,bash zsh fish,$(BUILD)/completion/sockfront.$(s))
examples   := $(patsubst lib/examples/%.c,$(BUILD)/examples/%,$(sort $(wildcard lib/examples/*.c)))
fuzzers    := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
unit_tests := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/unit/test_*.c tests/unit/*/test_*.c)))

lib_names   := libsockfront libsockfront-event
libraries   := $(foreach l,$(lib_names),$(BUILD)/$(l).a $(BUILD)/$(l).so)
lib_libs    := $(if $(filter 1,$(SYSTEMD)),-lsystemd)
event_libs  := -levent_extra -levent_core
daemon_libs := $(event_libs) -linih $(lib_libs) -lresolv -lm

all: $(if $(whole),$(BUILD)/sockfront $(completions)) lib $(if $(whole),$(filter %/http-server,$(examples)))
lib: $(libraries) $(if $(left_out),say-left-out)
examples: $(examples)
unit: $(unit_tests)
fuzzers: $(fuzzers)

say-left-out:
	@printf 'without %s\n' $(foreach s,$(left_out),'$(words_$(s)) ($(s)=0)') $(if $(whole),,'the daemon')

# The oldest that will do.  What pkg-config does not know is left to the compiler.
PKG_CONFIG ?= pkg-config
oldest     := libevent=2.1.8 inih=32 $(if $(filter 1,$(SYSTEMD)),libsystemd=246)

define check_versions
for need in $(oldest); do \
	name=$${need%=*} least=$${need#*=}; \
	found=$$($(PKG_CONFIG) --modversion $$name 2>/dev/null) || continue; \
	$(PKG_CONFIG) --atleast-version=$$least $$name || { \
		echo "$$name $$found is too old: $$least is needed" >&2; exit 1; } \
done
endef

# Objects of another compiler, or made with other flags, are made anew: what they were made
# with is written beside them.  "cc" may be the same as "gcc".
compiler  := $(or $(realpath $(shell command -v $(firstword $(CC)))),$(firstword $(CC)))
made_with := $(strip $(compiler) $(wordlist 2,9,$(CC)) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS))

ifneq ($(made_with),$(strip $(file <$(OBJ)/made-with.txt)))
$(OBJ)/made-with.txt: FORCE
endif
$(OBJ)/made-with.txt:
	@$(check_versions)
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(made_with))' >$@

$(OBJ)/%.o: %.c Makefile $(OBJ)/made-with.txt
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(compile) $(pic) -c -o $@ $<

# One set of objects for both libraries; a static one may end up in a shared object too.
$(OBJ)/lib/%.o: pic := -fPIC -fno-semantic-interposition

$(BUILD)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/libsockfront.a: $(lib_objects) $(BUILD)/switches.txt
$(BUILD)/libsockfront-event.a: $(event_objects)

# Written when the switches are others than last time, so that the library follows.
$(BUILD)/switches.txt: FORCE
	@mkdir -p $(@D)
	@echo '$(switches)' | cmp -s - $@ || echo '$(switches)' >$@

# The shared ones export what their .map names, and nothing else.
link_shared = $(link) -shared -o $@ $(filter %.o,$^) -Wl,-soname,$(@F:.$(VERSION)=.$(ABI)) \
              -Wl,--version-script=$(filter %.map,$^)

$(BUILD)/libsockfront.so.$(VERSION): $(lib_objects) lib/libsockfront.map $(BUILD)/switches.txt
	$(call say,LINK,$@)
	$(Q)$(link_shared) $(lib_libs)

$(BUILD)/libsockfront-event.so.$(VERSION): $(event_objects) lib/libsockfront-event.map \
		$(BUILD)/libsockfront.so
	$(call say,LINK,$@)
	$(Q)$(link_shared) $(BUILD)/libsockfront.so $(event_libs)

$(BUILD)/%.so.$(ABI): $(BUILD)/%.so.$(VERSION)
	$(Q)ln -sf $(<F) $@
$(BUILD)/%.so: $(BUILD)/%.so.$(ABI)
	$(Q)ln -sf $(<F) $@

$(BUILD)/conf.a: $(call objects,conf/*.c) $(BUILD)/conf/service_template.o

# Has the shipped service in it.
$(BUILD)/conf/service_template.o: conf/service_template.S systemd/sockfront@.service Makefile \
		$(OBJ)/made-with.txt
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<

# A room is an archive, and its tests link with nothing to its right.
define room
$$(BUILD)/daemon/$(1).a: $$(call objects,$$(call room_files,$(1))) $$(BUILD)/switches.txt
$$(filter $$(BUILD)/tests/$(1)/%,$$(unit_tests)): $$(BUILD)/tests/$(1)/%: \
		$$(BUILD)/tests/unit/$(1)/%.o $$(call archives_of,$(1)) $$(archives)
	$$(link_test)
endef
$(foreach r,$(rooms),$(eval $(call room,$(r))))

# The status page is a part of the program.
$(BUILD)/daemon/status.a: $(BUILD)/daemon/status/page_file.o
$(BUILD)/daemon/status/page_file.o: $(BUILD)/daemon/status/page_file.c $(OBJ)/made-with.txt
	$(call say,CC,$<)
	$(Q)$(compile) -c -o $@ $<
$(BUILD)/daemon/status/page_file.c: daemon/status/page.html daemon/status/embed.sh
	$(call say,EMBED,$<)
	@mkdir -p $(@D)
	$(Q)sh daemon/status/embed.sh $< >$@.new && mv $@.new $@

$(BUILD)/sockfront: $(daemon) $(archives)
	$(call say,LINK,$@)
	$(Q)$(link) -o $@ $^ $(daemon_libs)

# The completions: the table of options, as a program of this machine writes it down for a
# shell, and functions for that shell.
host     := $(BUILD)$(if $(filter-out $(CC),$(HOSTCC)),/host)
generate := $(host)/generate

$(BUILD)/completion/sockfront.%: conf/completion/sockfront.% $(generate)
	$(call say,WRITE,$@)
	@mkdir -p $(@D)
	$(Q)$(generate) $* >$@.new && cat $< >>$@.new && mv $@.new $@

$(BUILD)/generate: $(call objects,conf/completion/*.c) $(archives)
	$(call say,LINK,$@)
	$(Q)$(link) -o $@ $^ -linih $(lib_libs)

ifneq ($(host),$(BUILD))
$(generate): FORCE
	$(Q)$(MAKE) --no-print-directory BUILD='$(host)' OBJ='$(host)' CC='$(HOSTCC)' CFLAGS=-O1 \
		CPPFLAGS= LDFLAGS= $@
endif

# What an example needs beside the library.
$(BUILD)/examples/http-server: $(BUILD)/libsockfront-event.a
$(BUILD)/examples/http-server: example_libs = $(event_libs)
$(BUILD)/examples/echo-ini: example_libs = -linih
$(BUILD)/examples/echo-glib: example_libs = $(shell pkg-config --libs glib-2.0)
$(OBJ)/lib/examples/echo-glib.o $(BUILD)/tidy/lib/examples/echo-glib.ok: \
	cppflags += $(patsubst -I%,-isystem %,$(shell pkg-config --cflags glib-2.0))

# The library comes last: libsockfront-event.a uses it.
$(BUILD)/examples/%: $(OBJ)/lib/examples/%.o $(BUILD)/libsockfront.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(link) -o $@ $(filter %.o,$^) $(filter %-event.a,$^) $(BUILD)/libsockfront.a \
		$(example_libs) $(lib_libs)

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(archives)
	$(link_test)

# Which kinds of addresses a library can open: what tests/switches builds each of.
$(BUILD)/kinds: $(OBJ)/tests/kinds.o $(BUILD)/libsockfront.a
	$(call say,LINK,$@)
	$(Q)$(link) -o $@ $^ $(lib_libs)

# With the flags of the fuzz step of tests/run, which calls this for BUILD=build/fuzz.
$(BUILD)/tests/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/lookup.o $(archives)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(link) -fsanitize=fuzzer -o $@ $^ -linih $(lib_libs) \
		$(call wrap,getpwnam_r getgrnam_r getservbyname_r)

demo:
	$(Q)bash tests/deps.sh demo
	$(Q)$(MAKE) --no-print-directory all
	$(Q)bash tests/demo.sh $(BUILD)

deps:
	$(Q)bash tests/deps.sh check

deps-vm:
	$(Q)bash tests/deps.sh vm || echo 'deps: what needs a virtual machine will be skipped'

check: deps deps-vm
	$(Q)$(PYTHON) tests/run

test:
	$(Q)WERROR='$(WERROR)' $(PYTHON) tests/run $(STEPS)

check-vm: deps-vm
	$(Q)$(PYTHON) tests/run vm

fuzz: deps
	$(Q)FUZZ_RUNS=$${FUZZ_RUNS:-10000000} $(PYTHON) tests/run fuzz

soak: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD='$(BUILD)' SOCKFRONT='$(BUILD)/sockfront' $(PYTHON) tests/soak/run

# The bench: a load generator with its backend, and a reference relay.  Peers
# that are missing are skipped; bench-deps installs them.

bench_relay := $(BUILD)/tests/bench/epoll_relay.o
bench_paced := $(BUILD)/tests/bench/paced.o
bench_piece := $(addprefix $(BUILD)/tests/bench/,clock.o histogram.o piece.o)
bench_load  := $(filter-out $(bench_relay) $(bench_paced),$(call objects,tests/bench/*.c))

$(BUILD)/bench/load: $(bench_load)
$(BUILD)/bench/epoll_relay: $(bench_relay) $(BUILD)/tests/bench/address.o
$(BUILD)/bench/paced: $(bench_paced) $(bench_piece) $(BUILD)/tests/bench/address.o
$(BUILD)/tests/test_piece: $(bench_piece)
$(BUILD)/bench/load $(BUILD)/bench/epoll_relay $(BUILD)/bench/paced:
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(link) -o $@ $^

bench: $(BUILD)/sockfront $(BUILD)/bench/load $(BUILD)/bench/epoll_relay
	$(Q)$(PYTHON) tests/bench/run --build $(BUILD) $(BENCH)

# Delay and processor time of one stream at many paces, for each coalesce-time.
bench-delay: $(BUILD)/sockfront $(BUILD)/bench/paced
	$(Q)$(PYTHON) tests/bench/delay --build $(BUILD) $(BENCH)

# The plots that the README shows; its figures are from the same run.
bench-plots: BENCH = --readme
bench-plots: bench

page-picture:
	$(call say,DRAW,daemon/status/page.png)
	$(Q)$(PYTHON) tests/system/support/page_picture.py daemon/status/page.png

bench-deps:
	$(Q)bash tests/deps.sh bench

sanitize tsan valgrind: deps
	$(Q)$(PYTHON) tests/run $@

# Lint.  Each C file is one clang-tidy target, so that -j spreads them.

c_files      := $(shell find lib conf daemon tests -name '*.[ch]' 2>/dev/null | sort)
c_sources    := $(filter %.c,$(c_files))
shell_files  := .ci/run $(wildcard tests/*.sh systemd/packaging/make-* systemd/packaging/build-* \
                systemd/packaging/debian/tests/[ls]*) conf/completion/sockfront.bash daemon/status/embed.sh
python_files := tests/run tests/switches tests/bench/run tests/bench/delay tests/soak/run tests/vm/boot $(shell find tests -name '*.py' 2>/dev/null | sort)
lib_pages    := $(sort $(wildcard lib/*.[37] lib/adapter/*.3 lib/proxy_protocol/*.3))
daemon_pages := $(sort $(wildcard daemon/*.[78] conf/*.5))
man_pages    := $(daemon_pages) $(lib_pages)
lint_targets := lint-format lint-tidy lint-cppcheck lint-shell lint-man lint-python

lint: $(lint_targets)

lint-format:
	$(call say,LINT,clang-format)
	$(Q)clang-format --dry-run -Werror $(c_files)

lint-tidy: $(patsubst %.c,$(BUILD)/tidy/%.ok,$(c_sources))
$(BUILD)/tidy/%.ok: %.c .clang-tidy $(filter %.h,$(c_files))
	$(call say,TIDY,$<)
	@mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- -std=gnu11 $(cppflags) 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

# cppcheck reads no system header by itself, and needs the macros of this one.
# It takes a struct that a function fills for uninitialised, which gcc, valgrind
# and clang-tidy tell apart; and readdir_r, which it asks for, is deprecated.
queue_h := $(firstword $(wildcard /usr/include/sys/queue.h /usr/include/*/sys/queue.h))

lint-cppcheck:
	$(call say,LINT,cppcheck)
	$(Q)cppcheck -q -j2 --std=c11 --enable=warning,performance,portability --inline-suppr \
		--suppress=uninitvar --suppress=readdirCalled --error-exitcode=1 \
		--library=posix --include=$(queue_h) -Ilib/include -I. -D_GNU_SOURCE $(c_sources)

lint-shell:
	$(call say,LINT,shellcheck)
	$(Q)shellcheck $(shell_files)

# Which other manuals a machine has is no fault of ours.
lint-man:
	$(call say,LINT,mandoc)
	$(Q)! for page in $(man_pages); do mandoc -Tlint -W style $$page; done 2>&1 | \
		grep -v -e 'manual not found' -e 'mandoc.db'

lint-python:
	$(call say,LINT,pyflakes)
	$(Q)$(PYTHON) -m pyflakes $(python_files)

# Installation.  The units get the path of the installed binary; nothing is
# written to /etc, and no systemd is needed.

with_units = $(if $(filter 1,$(SYSTEMD)),$(1))
units    := $(call with_units,$(wildcard systemd/*.service systemd/*.socket))
user_units := $(call with_units,$(wildcard systemd/user/*))
samples  := README.md NEWS.md LICENSE tests/FAULTS.md $(wildcard conf/*.conf)
unit_examples := $(shell find systemd/examples -type f 2>/dev/null | sort)
blank := $() $()
# In a unit and in a .pc file, a blank is written otherwise than it is.
with_bindir    = sed 's|/usr/bin/sockfront|$(subst $(blank),\\x20,$(BINDIR))/sockfront|g'

headers   := $(filter-out $(if $(filter 1,$(ARGP)),,%/argp.h),$(wildcard lib/include/sockfront/*.h))
page_dir   = $(MANDIR)/man$(patsubst .%,%,$(suffix $(1)))
escaped    = $(subst $(blank),\\ ,$(1))
under_prefix = $(call escaped,$(subst $(PREFIX)/,$${prefix}/,$(1)))

install: install-lib $(if $(whole),install-daemon)

install-lib: $(libraries)
	$(call say,INSTALL,$(DESTDIR)$(LIBDIR))
	$(Q)install -d '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(INCLUDEDIR)/sockfront' \
		'$(DESTDIR)$(MANDIR)/man3' '$(DESTDIR)$(MANDIR)/man7'
	$(Q)install -m 644 $(headers) '$(DESTDIR)$(INCLUDEDIR)/sockfront'
	$(Q)for lib in $(lib_names); do \
		install -m 644 $(BUILD)/$$lib.a '$(DESTDIR)$(LIBDIR)' && \
		install -m 755 $(BUILD)/$$lib.so.$(VERSION) '$(DESTDIR)$(LIBDIR)' && \
		ln -sf $$lib.so.$(VERSION) '$(DESTDIR)$(LIBDIR)'/$$lib.so.$(ABI) && \
		ln -sf $$lib.so.$(ABI) '$(DESTDIR)$(LIBDIR)'/$$lib.so && \
		sed -e 's|@PREFIX@|$(call escaped,$(PREFIX))|' -e 's|@LIBDIR@|$(call under_prefix,$(LIBDIR))|' \
			-e 's|@INCLUDEDIR@|$(call under_prefix,$(INCLUDEDIR))|' \
			-e 's|@VERSION@|$(VERSION)|' \
			-e 's|@SYSTEMD@|$(if $(filter 1,$(SYSTEMD)),libsystemd)|' lib/$$lib.pc.in | \
		install -m 644 /dev/stdin '$(DESTDIR)$(LIBDIR)'/pkgconfig/$$lib.pc || exit 1; \
	done
	$(Q)for page in $(lib_pages); do \
		install -m 644 $$page '$(DESTDIR)$(MANDIR)'/man$${page##*.} || exit 1; \
	done

install-daemon: $(BUILD)/sockfront $(completions)
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -D -m 755 $(BUILD)/sockfront '$(DESTDIR)$(BINDIR)/sockfront'
	$(Q)for page in $(daemon_pages); do \
		install -D -m 644 $$page '$(DESTDIR)$(MANDIR)'/man$${page##*.}/$${page##*/} || exit 1; \
	done
	$(Q)install -D -m 644 $(BUILD)/completion/sockfront.bash '$(DESTDIR)$(BASHDIR)/sockfront'
	$(Q)install -D -m 644 $(BUILD)/completion/sockfront.zsh '$(DESTDIR)$(ZSHDIR)/_sockfront'
	$(Q)install -D -m 644 $(BUILD)/completion/sockfront.fish '$(DESTDIR)$(FISHDIR)/sockfront.fish'
	$(Q)install -d '$(DESTDIR)$(UNITDIR)' '$(DESTDIR)$(USERUNITDIR)' '$(DESTDIR)$(DOCDIR)'
	$(Q)for file in $(units) $(user_units); do \
		case $$file in systemd/user/*) to='$(USERUNITDIR)' ;; *) to='$(UNITDIR)' ;; esac; \
		$(with_bindir) "$$file" | install -m 644 /dev/stdin \
			'$(DESTDIR)'"$$to/$${file##*/}" || exit 1; \
	done
	$(Q)install -m 644 $(samples) '$(DESTDIR)$(DOCDIR)'
	$(Q)for file in $(unit_examples); do \
		$(with_bindir) "$$file" | install -D -m 644 /dev/stdin \
			'$(DESTDIR)$(DOCDIR)'/"$${file#systemd/}" || exit 1; \
	done

uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/sockfront' '$(DESTDIR)$(BASHDIR)/sockfront' \
		'$(DESTDIR)$(ZSHDIR)/_sockfront' '$(DESTDIR)$(FISHDIR)/sockfront.fish' \
		$(foreach p,$(man_pages),'$(DESTDIR)$(call page_dir,$(p))/$(notdir $(p))') \
		$(foreach l,$(lib_names),$(foreach f,.a .so .so.$(ABI) .so.$(VERSION), \
			'$(DESTDIR)$(LIBDIR)/$(l)$(f)') '$(DESTDIR)$(LIBDIR)/pkgconfig/$(l).pc') \
		$(patsubst systemd/%,'$(DESTDIR)$(UNITDIR)/%',$(units)) \
		$(patsubst systemd/user/%,'$(DESTDIR)$(USERUNITDIR)/%',$(user_units))
	rm -rf '$(DESTDIR)$(DOCDIR)' '$(DESTDIR)$(INCLUDEDIR)/sockfront'

# Packages.  What they are made of lies in systemd/packaging/.

tarball := $(BUILD)/sockfront-$(VERSION).tar.gz

dist: $(tarball)
$(tarball): FORCE
	$(call say,DIST,$@)
	$(Q)systemd/packaging/make-dist $(VERSION) $@

deb: $(tarball)
	$(Q)systemd/packaging/build-deb $(VERSION) $(tarball) $(BUILD)/deb $(DEB)

rpm: $(tarball)
	$(Q)systemd/packaging/build-rpm $(tarball) $(BUILD)/rpm $(RPM)

help:
	@sed -n '3,/^$$/s/^#\( \|$$\)//p' Makefile

clean:
	rm -rf $(BUILD)

.PHONY: FORCE all lib say-left-out examples unit fuzzers demo deps deps-vm check check-vm test dist deb rpm bench \
	bench-delay bench-plots bench-deps page-picture fuzz soak sanitize tsan valgrind lint $(lint_targets) install \
	install-lib install-daemon uninstall help clean
.SECONDARY:

-include $(shell find $(sort $(BUILD) $(OBJ)) \( -name deb -o -name rpm -o -name sysroot \) -prune -o -type f -name '*.d' -print 2>/dev/null)
