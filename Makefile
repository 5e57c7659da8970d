# Jeton. `make help` lists what can be made; HACKING.md is one page on working with it.
#
# Builds are out of tree, in $(B), so that variants stand side by side:
#	make B=build/asan SANITIZE=address,undefined
#	make B=build/clang CC=clang WERROR=yes
#	make B=build/valgrind AUTOINIT=no		(so that valgrind still sees uninitialised reads)
# What a compiler can do is probed once and kept in $(B)/config.mk, with the flags of the packages.

VERSION := 0.1.0
SONAME := libjeton.so.0

B ?= build
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd
PKG_CONFIG ?= pkg-config
OBJCOPY ?= objcopy
OPT ?= -O2 -g

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
.PHONY: all tests benches fuzzers help deps deps-bench demo run check bench bench-instructions fuzz lint format install deb clean
say = @$(if $(V),,printf '  %-6s %s\n' '$(1)' '$(@:$(B)/%=%)';)

# ---- what is compiled into what ------------------------------------------------------------------
# The client's half of the protocol is no part of the agent, nor the agent's half of the library.

is_client = $(filter protocol/jeton%.c protocol/client%.c protocol/map-hold.c protocol/map-read.c protocol/call-write%.c protocol/reply-read%.c,$(1))
is_server = $(filter protocol/call-read%.c protocol/reply-write%.c protocol/interface%.c,$(1))
sources = $(sort $(wildcard $(1)))

protocol := $(call sources,protocol/*.c)
client := $(call is_client,$(protocol))
server := $(call is_server,$(protocol))
shared := $(call sources,protocol/base/*.c) $(filter-out $(client) $(server),$(protocol))
policy := $(call sources,agent/policy/*.c)
agent := $(filter-out agent/main.c,$(call sources,agent/*.c)) $(policy)
ctl := $(filter-out ctl/main.c ctl/helper-main.c,$(call sources,ctl/*.c))
tests := $(call sources,tests/unit/test-*.c tests/agent/test-*.c tests/ctl/test-*.c tests/load/load.c)
benches := $(call sources,tests/bench/bench-*.c)
fuzzers := $(call sources,tests/fuzz/fuzz-*.c)
support := $(filter-out %/clock.c,$(call sources,tests/support/*.c)) $(filter-out $(tests) $(benches),$(call sources,tests/unit/*.c tests/bench/*.c))
every := $(protocol) $(call sources,protocol/base/*.c agent/*.c agent/policy/*.c ctl/*.c) $(support) $(tests) $(benches) \
	$(call sources,tests/fuzz/*.c) tests/support/clock.c

objects = $(patsubst %.c,$(B)/$(2)%.o,$(1))
programs := $(B)/jetond $(B)/jetonctl $(B)/jeton-helper $(B)/libjeton.a $(B)/libjeton.so $(B)/jeton.pc
test_programs := $(tests:%.c=$(B)/%)
bench_programs := $(benches:%.c=$(B)/%)
fuzz_programs := $(fuzzers:%.c=$(B)/%)

all: $(programs) ## the agent, the tool and the library (the default)

# ---- flags ---------------------------------------------------------------------------------------

WARN := -Wall -Wextra -Wformat=2 -Wconversion -Wimplicit-fallthrough -Wvla -Walloca -Wmissing-prototypes \
	-Wstrict-prototypes $(if $(WERROR),-Werror)
# Each is used where the compiler knows it; tests/ground/hardening looks at what came of them.
HARDEN = -fstack-clash-protection -fstack-protector-strong -fcf-protection=full -mbranch-protection=standard \
	-fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing -fstrict-flex-arrays=3 \
	-fzero-call-used-regs=used-gpr $(if $(AUTOINIT:no=),-ftrivial-auto-var-init=zero) \
	$(if $(SANITIZE),,-D_FORTIFY_SOURCE=3)
LDHARDEN := -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,separate-code -Wl,--as-needed
AUTOINIT ?= $(if $(SANITIZE),no,yes)
sanitize := $(if $(SANITIZE),-DJETON_SANITIZED -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
flags = -std=gnu17 -D_GNU_SOURCE -I. -DJETON_VERSION='"$(VERSION)"' $(OPT) $(WARN) $(sanitize) \
	-ffile-prefix-map=$(CURDIR)=. $(CPPFLAGS) $(CFLAGS)
packages := libsystemd libsodium nettle libseccomp sqlite3 inih check
statics := libinih libsodium libnettle

# $(call keep,FILE,TEXT): a file of this text, written anew only when the text is another.
keep = $(if $(filter-out $(subst $() ,_,$(file <$(1))),$(subst $() ,_,$(2))),$(shell mkdir -p $(dir $(1)))$(file >$(1),$(2)))

need_build := $(filter-out help deps deps-bench fuzz lint format deb clean,$(or $(MAKECMDGOALS),all))
ifneq ($(need_build),)
$(call keep,$(B)/config.key,$(strip $(CC) $(flags) $(HARDEN) $(LDHARDEN) $(LDFLAGS) $(packages) $(statics)))
$(call keep,$(B)/sources,$(every))
include $(B)/config.mk
endif

$(B)/config.key $(B)/sources: ;
# demo and check install what is missing before anything is probed.
$(B)/config.mk: $(B)/config.key | $(if $(filter demo check,$(MAKECMDGOALS)),$(B)/deps)
	@for p in $(packages); do $(PKG_CONFIG) --exists $$p || \
		{ echo "The package $$p is not there: \`make deps\` installs all that is needed." >&2; exit 1; }; done
	@probe() { flags=; for f in "$$@"; do echo 'int main(void) { return 0; }' | \
		$(CC) -Werror $(OPT) $$f -x c - -o $@.probe 2>$@.log && flags="$$flags $$f"; done; echo $$flags; }; \
	{ echo "harden := $$(probe $(HARDEN))"; echo "ldharden := $$(probe $(LDHARDEN))"; \
	for p in $(statics); do echo "$${p}_static := $$(probe -l:$$p.a)"; done; \
	for p in $(packages); do echo "$${p}_cflags := $$($(PKG_CONFIG) --cflags $$p)"; \
		echo "$${p}_libs := $$($(PKG_CONFIG) --libs $$p)"; done; } >$@
	@rm -f $@.probe $@.log

cflags = $(flags) $(harden) $(foreach p,$(packages),$($(p)_cflags)) -MMD -MP
ldflags = $(ldharden) $(sanitize) $(LDFLAGS)
nettle = $(or $(libnettle_static),$(nettle_libs))
agent_libs = $(libsystemd_libs) $(libsodium_libs) $(nettle) $(libseccomp_libs) $(sqlite3_libs) $(inih_libs)

$(B)/pic/%.o: %.c $(B)/config.mk
	$(call say,CC)mkdir -p $(@D) && $(CC) $(cflags) -fPIC -c $< -o $@
$(B)/%.o: %.c $(B)/config.mk
	$(call say,CC)mkdir -p $(@D) && $(CC) $(cflags) -fPIE -c $< -o $@
-include $(patsubst %.o,%.d,$(call objects,$(every)) $(call objects,$(shared) $(client),pic/))
$(B)/protocol/interface.o: protocol/io.jeton.Agent.varlink protocol/io.jeton.Verifier.varlink

# ---- archives, libraries, programs ---------------------------------------------------------------

$(B)/libshared.a: $(call objects,$(shared))
$(B)/libprotocol.a: $(call objects,$(shared) $(server))
$(B)/libclient.a: $(call objects,$(client))
$(B)/libpolicy.a: $(call objects,$(policy))
$(B)/libagent.a: $(call objects,$(agent))
$(B)/libctl.a: $(call objects,$(ctl))
$(B)/libsupport.a: $(call objects,$(support))
$(foreach a,shared protocol client policy agent ctl support,$(B)/lib$(a).a): $(B)/sources
	$(call say,AR)rm -f $@ && $(AR) rcsD $@ $(filter %.o,$^)

link = $(call say,LD)mkdir -p $(@D) && $(CC) -pie $(ldflags) -o $@ $(filter %.o,$^) $(filter %.a,$^)
$(B)/jetond $(B)/tests/support/jetond-clock: $(B)/agent/main.o $(B)/libagent.a $(B)/libprotocol.a
	$(link) $(agent_libs)
# What the tool costs is its start: a library less to load is a tenth of it.
tool_archives := $(foreach a,ctl policy client shared,$(B)/lib$(a).a)
tool_libs = $(or $(libinih_static),$(inih_libs)) $(or $(libsodium_static),$(libsodium_libs)) $(if $(libnettle_static),,$(nettle_libs))
$(B)/jetonctl: $(B)/ctl/main.o $(tool_archives)
	$(link) $(tool_libs)
$(B)/jeton-helper: $(B)/ctl/helper-main.o $(tool_archives)
	$(link) $(tool_libs)

# One object with nothing of its inside to be seen, so that it clashes with no name of whoever links it.
$(B)/libjeton.a: $(call objects,$(shared) $(client),pic/)
	$(call say,AR)rm -f $@ && $(CC) -r -nostdlib -o $(B)/pic/libjeton.o $^ $(libnettle_static) && \
	$(OBJCOPY) --wildcard --keep-global-symbol='jeton_*' $(B)/pic/libjeton.o && $(AR) rcsD $@ $(B)/pic/libjeton.o
$(B)/libjeton.so: $(call objects,$(shared) $(client),pic/) protocol/libjeton.map
	$(call say,LD)$(CC) -shared $(ldflags) -Wl,-soname,$(SONAME) -Wl,--version-script=protocol/libjeton.map \
		$(if $(SANITIZE),,-Wl,-z,defs) -o $(B)/libjeton.so.$(VERSION) $(filter %.o,$^) $(nettle) && \
	ln -sf libjeton.so.$(VERSION) $(B)/$(SONAME) && ln -sf $(SONAME) $@ && touch -h $@
pc = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' -e 's|@VERSION@|$(VERSION)|g' \
	-e 's|@PRIVATE@|$(if $(libnettle_static),,-lnettle)|'
$(B)/jeton.pc: protocol/jeton.pc.in Makefile
	@$(pc) $< >$@

test_archives := $(foreach a,support ctl client agent protocol,$(B)/lib$(a).a)
$(test_programs) $(bench_programs): $(B)/%: $(B)/%.o $(test_archives)
	$(link) $(check_libs) $(agent_libs)

# Each replays what is kept for it; with FUZZ=yes libFuzzer makes up more (tests/fuzz/run).
$(fuzz_programs): $(B)/%: $(B)/%.o $(if $(FUZZ),,$(B)/tests/fuzz/replay.o) $(test_archives)
	$(link) $(agent_libs) $(if $(FUZZ),-fsanitize=fuzzer) $(addprefix @,$(filter %.wrap,$^))
$(addprefix $(B)/tests/fuzz/fuzz-,agent restore): $(call objects,$(call sources,tests/fuzz/agent-*.c)) tests/fuzz/agent.wrap
$(B)/tests/support/jetond-clock $(addprefix $(B)/tests/fuzz/fuzz-,agent restore): $(B)/tests/support/clock.o
fuzzers: $(fuzz_programs)
tests: $(test_programs) $(bench_programs) $(B)/tests/support/jetond-clock $(if $(FUZZ),,fuzzers)
benches: $(bench_programs)

# ---- what people ask for -------------------------------------------------------------------------

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

deps: ## installs the Debian packages that are missing for build, check and demo
	@.ci/deps build check
deps-bench: ## likewise for bench and lint
	@.ci/deps build bench lint
$(B)/deps: .ci/deps
	@.ci/deps build check && mkdir -p $(@D) && touch $@

demo: all ## a small HTTP API that admits by Jeton's tokens, from issue to revocation
	@tests/demo/run $(B)
run: all ## an agent of your own in a temporary directory, in the foreground
	@tests/support/run-agent $(B)
check: all tests ## every test; T=unit/test-vault: those that match
	@tests/run $(B) $(T)
bench: all benches ## what things cost, beside floors and rivals; BENCH="verify start" for some; PAGE=yes: docs/performance.md too
	@tests/bench/run $(B) $(if $(PAGE),--page) $(BENCH)
bench-instructions: all; @tests/ground/test-instructions ## instructions a call, beside those of before (make check does, too)
fuzz: ## bytes made up by libFuzzer, TIME seconds (60) for each target; T=json: those that match
	@tests/fuzz/run $(or $(TIME),60) $(T)
lint: ## clang-tidy, cppcheck, shellcheck, clang-format
	@.ci/lint
format: ; @git clang-format --extensions c,h ## clang-format over the lines you changed

install: all ## into DESTDIR, below PREFIX (/usr/local)
	@B='$(B)' VERSION='$(VERSION)' SONAME='$(SONAME)' DESTDIR='$(DESTDIR)' SYSCONFDIR='$(SYSCONFDIR)' BINDIR='$(BINDIR)' \
	SBINDIR='$(SBINDIR)' LIBDIR='$(LIBDIR)' INCLUDEDIR='$(INCLUDEDIR)' MANDIR='$(MANDIR)' UNITDIR='$(UNITDIR)' ZSHDIR='$(ZSHDIR)' units/install
	@$(pc) protocol/jeton.pc.in >'$(DESTDIR)$(LIBDIR)/pkgconfig/jeton.pc'

deb: ## the Debian packages, into build/deb
	@.ci/deps build deb
	@units/debian/build '$(B)/deb' '$(VERSION)'

clean: ; rm -rf $(B) ## removes $(B)
