# Wire tests: the proxy and signer roles as processes, without a kernel fence.
wire-progs := $(addprefix $(O)/tests/wire/, \
	live \
	wire \
	dns \
	faults \
	chain \
	limits \
	timeouts \
	shortage \
	stage \
	chatter \
	peers \
	resolvers \
	memory \
	steady)
wire-lib   := $(O)/tests/wire/harness.o

$(wire-progs): $(O)/tests/wire/%: $(O)/tests/wire/%.o $(wire-lib) $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $(filter %.o,$^) $(libosh) $(osh-libs) $(LDLIBS)

$(O)/tests/wire/limits $(O)/tests/wire/timeouts: $(O)/tests/wire/key.o

.SECONDARY: $(wire-progs:%=%.o) $(wire-lib) $(O)/tests/wire/key.o
.PHONY: wire-progs
wire-progs: $(wire-progs)
test-progs: wire-progs
