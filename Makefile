# SPDX-License-Identifier: MIT
# OpenShell-C: one non-recursive make. `make help` lists the targets.
#
# Sources are found per folder: every user/<module>/*.c belongs to libosh.a, user/daemon and
# user/cli to their programs. Folders add rules of their own in <folder>/local.mk.

O          ?= build
V          ?= 0
WERROR     ?= 0
SANITIZE   ?= 0
CC         ?= cc
CLANG      ?= clang
AR         ?= ar
BPFTOOL    ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config
INSTALL    ?= install

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
DATADIR    ?= $(PREFIX)/share
MANDIR     ?= $(DATADIR)/man
DOCDIR     ?= $(DATADIR)/doc/openshell
SYSCONFDIR ?= /etc
UNITDIR    ?= $(if $(filter /usr,$(PREFIX)),/usr/lib,$(PREFIX)/lib)/systemd/system
SYSUSERSDIR ?= $(if $(filter /usr,$(PREFIX)),/usr/lib,$(PREFIX)/lib)/sysusers.d
TMPFILESDIR ?= $(if $(filter /usr,$(PREFIX)),/usr/lib,$(PREFIX)/lib)/tmpfiles.d
BASHCOMPDIR ?= $(DATADIR)/bash-completion/completions

VERSION    := $(shell sed -n 's/^.*OSH_VERSION *"\(.*\)".*/\1/p' include/openshell/version.h)

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-5s %s\n' $(1) $(2)
endif

# ---- flags: ours first, the user's last ----
ifeq ($(origin CFLAGS),undefined)
  ifneq ($(SANITIZE),0)
    opt-flags := -O1 -g -fno-omit-frame-pointer
  else
    opt-flags := -O2 -g -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2 \
                 $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
  endif
endif
# 1: addresses and undefined behaviour; thread: data races
ifneq ($(SANITIZE),0)
  san-flags := $(if $(filter thread,$(SANITIZE)),-fsanitize=thread,-fsanitize=address,undefined \
	-fno-sanitize-recover=undefined)
  san-objs  := $(O)/tools/sanitize.o
endif
osh-cflags := -std=gnu17 -fPIE -fno-common -fno-strict-aliasing \
	-Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes \
	-Wmissing-declarations -Wwrite-strings -Wundef -Wvla -Wdate-time -Wformat=2 -Wno-format-nonliteral \
	-Wimplicit-fallthrough -Wno-missing-field-initializers -Wno-cast-qual \
	-Werror=implicit-function-declaration -Werror=incompatible-pointer-types \
	-Werror=int-conversion -Werror=return-type -Werror=strict-prototypes -Werror=format-security \
	$(if $(filter 1,$(WERROR)),-Werror) $(opt-flags) $(san-flags)
osh-cppflags := -D_GNU_SOURCE -Iinclude -Iuser -I$(O)/gen
osh-ldflags := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed -Wl,--gc-sections $(san-flags)

# $(call pkg,cflags|libs,names)
pkg = $(shell $(PKG_CONFIG) --$(1) $(2))
lib-pkgs := libbpf openssl yaml-0.1 libseccomp sqlite3 jansson libcares
osh-cppflags += $(call pkg,cflags,$(lib-pkgs))
osh-libs := $(call pkg,libs,$(lib-pkgs)) -lelf -lz -lpthread

# ---- sources ----
lib-modules := base sys io policy http dns tls kern audit state sandbox selftest ctl proxy
lib-srcs    := $(sort $(wildcard $(lib-modules:%=user/%/*.c)))
lib-objs    := $(lib-srcs:%.c=$(O)/%.o)
daemon-srcs := $(sort $(wildcard user/daemon/*.c))
cli-srcs    := $(sort $(wildcard user/cli/*.c))
daemon-objs := $(daemon-srcs:%.c=$(O)/%.o)
cli-objs    := $(cli-srcs:%.c=$(O)/%.o)
libosh      := $(O)/libosh.a
programs    := $(if $(daemon-srcs),$(O)/openshelld) $(if $(filter %/main.c,$(cli-srcs)),$(O)/openshellctl $(O)/openshell)
skel        := $(O)/gen/openshell.skel.h

all: $(programs) ## build openshelld and openshellctl (default)

-include $(sort $(wildcard bpf/local.mk user/*/local.mk tests/*/local.mk tests/local.mk))

$(O)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(osh-cppflags) $(CPPFLAGS) $(osh-cflags) $(CFLAGS) -MMD -MP -MT $@ -MF $@.d -c -o $@ $<

$(libosh): $(lib-objs)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(lib-objs)

$(O)/openshelld: $(daemon-objs) $(san-objs) $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $(daemon-objs) $(san-objs) $(libosh) $(osh-libs) $(LDLIBS)

$(O)/openshellctl: $(cli-objs) $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $(cli-objs) $(libosh) $(osh-libs) $(LDLIBS)

$(O)/openshell: $(O)/openshellctl
	$(Q)ln -sf openshellctl $@

-include $(shell find $(O) -name '*.d' 2>/dev/null)

# ---- checks ----

.PHONY: test-progs bench
.PHONY: all check check-unit lint fmt install uninstall clean distclean help
check: test-progs ## build and run every test; last line: N passed, N failed, N skipped
	$(Q)tests/run $(O)

test-progs: all ## build what the tests run, run nothing

bench: bench-decide bench-kern bench-proxy ## every measurement, as ratios to peers in the same run

lint: ## layers, map documentation, formatting, banned calls, docs
	$(Q)for t in tools/check-*; do [ -x $$t ] && { $$t || exit 1; }; done; echo "lint: clean"

fmt: ## clang-format every C file
	$(Q)git ls-files '*.c' '*.h' | grep -v '^vmlinux/' | xargs clang-format -i

clean: ## remove the build folder
	$(Q)rm -rf $(O)
distclean: clean

help: ## this list
	@awk -F ':.*## ' '/^[a-zA-Z_-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'Variables: O=build V=0|1 WERROR=0|1 SANITIZE=0|1|thread PREFIX=/usr/local SYSCONFDIR=/etc DESTDIR= CC CLANG CFLAGS LDFLAGS'

print-%:
	@echo '$* = $($*)'
