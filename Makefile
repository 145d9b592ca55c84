# SPDX-License-Identifier: MIT
#
# make            build/sockfront, its library and the examples
# make demo       install what is missing, build, show every mode on real traffic
# make check      install what is missing, build, run every test
# make deps       install what "make check" needs (Debian packages; said before it is done)
# make examples   the programs in lib/examples/, into build/examples/
# make lint       clang-format, clang-tidy, cppcheck, shellcheck, mandoc, pyflakes
# make fuzz       each fuzzer of tests/fuzz/, FUZZ_RUNS (10000000) inputs, in build/fuzz/
# make sanitize   unit and system tests under AddressSanitizer and UBSan, in build/sanitize/
# make valgrind   unit tests under valgrind
# make install    PREFIX, LIBDIR, DESTDIR; make uninstall takes the same
# make clean      remove build/
#
# Variables: CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR, BUILD; V=1 shows the commands,
# WERROR=1 turns warnings into errors.

CC         ?= cc
AR         ?= ar
CFLAGS     ?= -O2 -g
BUILD      ?= build

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/sockfront
UNITDIR    ?= $(PREFIX)/lib/systemd/system
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions

VERSION    := 0.1.0
SONAME     := libsockfront.so.$(firstword $(subst ., ,$(VERSION)))
PYTHON     := /usr/bin/python3

ifneq ($(V),1)
Q := @
say = @printf '  %-8s%s\n' '$(1)' '$(2)'
endif

warnings := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wconversion \
            -Wwrite-strings -Wpointer-arith -Wvla -Wundef -Wformat=2 $(if $(WERROR),-Werror)
cppflags := -D_GNU_SOURCE -Ilib/include -I. -DSOCKFRONT_VERSION='"$(VERSION)"'
compile   = $(CC) -std=gnu11 $(warnings) $(cppflags) $(CPPFLAGS) $(CFLAGS) -MMD -MP -pthread
link      = $(CC) $(CFLAGS) $(LDFLAGS) -pthread

objects = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard $(1))))

daemon     := $(BUILD)/daemon/main.o $(BUILD)/daemon.a
archives   := $(BUILD)/conf.a $(BUILD)/libsockfront.a
examples   := $(patsubst lib/examples/%.c,$(BUILD)/examples/%,$(sort $(wildcard lib/examples/*.c)))
unit_tests := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))

lib_libs    := -lsystemd
daemon_libs := -levent_core -linih $(lib_libs)

all: $(BUILD)/sockfront lib examples
lib: $(BUILD)/libsockfront.a $(BUILD)/libsockfront.so
examples: $(examples)
unit: $(unit_tests)

$(BUILD)/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(compile) $(pic) -c -o $@ $<

# One set of objects for both libraries; a static one may end up in a shared object too.
$(BUILD)/lib/%.o: pic := -fPIC -fno-semantic-interposition

$(BUILD)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libsockfront.a: $(call objects,lib/*.c)

$(BUILD)/libsockfront.so.$(VERSION): $(call objects,lib/*.c) lib/libsockfront.map
	$(call say,LINK,$@)
	$(Q)$(link) -shared -o $@ $(filter %.o,$^) -Wl,-soname,$(SONAME) \
		-Wl,--version-script=lib/libsockfront.map $(shared_flags) $(lib_libs)

$(BUILD)/$(SONAME): $(BUILD)/libsockfront.so.$(VERSION)
$(BUILD)/libsockfront.so: $(BUILD)/$(SONAME)
$(BUILD)/$(SONAME) $(BUILD)/libsockfront.so:
	$(Q)ln -sf $(<F) $@

$(BUILD)/conf.a: $(call objects,conf/*.c)
$(BUILD)/daemon.a: $(filter-out $(BUILD)/daemon/main.o,$(call objects,daemon/*.c))

$(BUILD)/sockfront: $(daemon) $(archives)
	$(call say,LINK,$@)
	$(Q)$(link) -o $@ $^ $(daemon_libs)

$(BUILD)/examples/%: $(BUILD)/lib/examples/%.o $(BUILD)/libsockfront.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(link) -o $@ $^ $(lib_libs)

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(BUILD)/daemon.a $(archives)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(link) -o $@ $^ -lcmocka $(daemon_libs)

demo:
	$(Q)bash tests/deps.sh demo
	$(Q)$(MAKE) --no-print-directory all
	$(Q)bash tests/demo.sh $(BUILD)

deps:
	$(Q)bash tests/deps.sh check

check: deps
	$(Q)$(PYTHON) tests/run

sanitize valgrind: deps
	$(Q)$(PYTHON) tests/run $@

# Lint.  Each C file is one clang-tidy target, so that -j spreads them.

c_files      := $(shell find lib conf daemon tests -name '*.[ch]' 2>/dev/null | sort)
c_sources    := $(filter %.c,$(c_files))
shell_files  := .ci/run $(wildcard tests/*.sh) daemon/sockfront.bash
python_files := tests/run $(shell find tests -name '*.py' 2>/dev/null | sort)
man_pages    := $(wildcard daemon/*.8 conf/*.5 lib/*.3)
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
	$(Q)! mandoc -Tlint -W style $(man_pages) 2>&1 | grep -v -e 'manual not found' -e 'mandoc.db'

lint-python:
	$(call say,LINT,pyflakes)
	$(Q)$(PYTHON) -m pyflakes $(python_files)

# Installation.  The units get the path of the installed binary; nothing is
# written to /etc, and no systemd is needed.

units    := $(wildcard systemd/*.service systemd/*.socket)
samples  := README.md LICENSE $(wildcard conf/*.conf)
unit_examples := $(shell find systemd/examples -type f 2>/dev/null | sort)
with_bindir    = sed 's|/usr/bin/sockfront|$(BINDIR)/sockfront|g'

install: $(BUILD)/sockfront
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -D -m 755 $(BUILD)/sockfront '$(DESTDIR)$(BINDIR)/sockfront'
	$(Q)install -D -m 644 daemon/sockfront.8 '$(DESTDIR)$(MANDIR)/man8/sockfront.8'
	$(Q)install -D -m 644 conf/sockfront.conf.5 '$(DESTDIR)$(MANDIR)/man5/sockfront.conf.5'
	$(Q)install -D -m 644 daemon/sockfront.bash '$(DESTDIR)$(BASHDIR)/sockfront'
	$(Q)install -d '$(DESTDIR)$(UNITDIR)' '$(DESTDIR)$(DOCDIR)'
	$(Q)for file in $(units); do \
		$(with_bindir) "$$file" | install -m 644 /dev/stdin \
			'$(DESTDIR)$(UNITDIR)'/"$${file##*/}" || exit 1; \
	done
	$(Q)install -m 644 $(samples) '$(DESTDIR)$(DOCDIR)'
	$(Q)for file in $(unit_examples); do \
		$(with_bindir) "$$file" | install -D -m 644 /dev/stdin \
			'$(DESTDIR)$(DOCDIR)'/"$${file#systemd/}" || exit 1; \
	done

uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/sockfront' '$(DESTDIR)$(BASHDIR)/sockfront' \
		'$(DESTDIR)$(MANDIR)/man8/sockfront.8' '$(DESTDIR)$(MANDIR)/man5/sockfront.conf.5' \
		$(patsubst systemd/%,'$(DESTDIR)$(UNITDIR)/%',$(units))
	rm -rf '$(DESTDIR)$(DOCDIR)'

help:
	@sed -n 's/^# \(make.*\|Var.*\|WERR.*\)/\1/p' Makefile

clean:
	rm -rf $(BUILD)

.PHONY: all examples unit demo deps check sanitize valgrind lint $(lint_targets) install \
	uninstall help clean
.SECONDARY:

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
