# SPDX-License-Identifier: MIT
#
# make            build/sockfront, the library and the examples
# make demo       install what is missing, build, show every mode on real traffic
# make check      install what is missing, build, run every test
# make install    PREFIX, DESTDIR
#
# Variables for builders: CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR, BUILD, V=1.

CC         ?= cc
AR         ?= ar
PKG_CONFIG ?= pkg-config
CFLAGS     ?= -O2 -g
BUILD      ?= build

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
SYSCONFDIR ?= /etc
MANDIR     ?= $(PREFIX)/share/man
UNITDIR    ?= $(PREFIX)/lib/systemd/system

VERSION    := 0.1.0

ifneq ($(V),1)
Q := @
say = @printf '  %-8s%s\n' '$(1)' '$(2)'
endif

warnings := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wconversion \
            -Wwrite-strings -Wpointer-arith -Wvla -Wundef -Wformat=2
cppflags := -D_GNU_SOURCE -Ilib/include -I. -DSOCKFRONT_VERSION='"$(VERSION)"'
compile   = $(CC) -std=gnu11 $(warnings) $(cppflags) $(CPPFLAGS) $(CFLAGS) -MMD -MP -pthread

lib_objects    := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard lib/*.c)))
conf_objects   := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard conf/*.c)))
daemon_objects := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard daemon/*.c)))
examples       := $(patsubst lib/examples/%.c,$(BUILD)/examples/%,$(sort $(wildcard lib/examples/*.c)))

lib_libs    := -lsystemd
daemon_libs := -levent_core -linih

all: $(BUILD)/sockfront $(examples)

$(BUILD)/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(compile) -c -o $@ $<

$(BUILD)/libsockfront.a: $(lib_objects)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/conf.a: $(conf_objects)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/sockfront: $(daemon_objects) $(BUILD)/conf.a $(BUILD)/libsockfront.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(daemon_libs) $(lib_libs)

$(BUILD)/examples/%: $(BUILD)/lib/examples/%.o $(BUILD)/libsockfront.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(lib_libs)

clean:
	rm -rf $(BUILD)

.PHONY: all clean
.SECONDARY:

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
