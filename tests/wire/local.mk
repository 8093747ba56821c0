# Wire tests: the proxy and signer roles as processes, without a kernel fence.
wire-progs := $(O)/tests/wire/live $(O)/tests/wire/wire $(O)/tests/wire/dns $(O)/tests/wire/faults \
	$(O)/tests/wire/chain $(O)/tests/wire/limits $(O)/tests/wire/shortage $(O)/tests/wire/stage $(O)/tests/wire/chatter \
	$(O)/tests/wire/peers $(O)/tests/wire/resolvers $(O)/tests/wire/steady
wire-lib   := $(O)/tests/wire/harness.o

$(wire-progs): $(O)/tests/wire/%: $(O)/tests/wire/%.o $(wire-lib) $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $< $(wire-lib) $(libosh) $(osh-libs) $(LDLIBS)

.SECONDARY: $(wire-progs:%=%.o) $(wire-lib)
.PHONY: wire-progs
wire-progs: $(wire-progs)
test-progs: wire-progs
