# Client of the crowd and soak tests; runs inside a sandbox.
integ-progs := $(O)/tests/integ/crowd

$(O)/tests/integ/crowd: $(O)/tests/integ/crowd.o
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $< $(call pkg,libs,openssl) $(LDLIBS)

.SECONDARY: $(integ-progs:%=%.o)
.PHONY: integ-progs soak
integ-progs: $(integ-progs)
test-progs: integ-progs

soak: all $(integ-progs) ## all workloads at once for T seconds (600); fails when something grows; root
	$(Q)OSH_BUILD=$(abspath $(O)) tests/integ/soak $(or $(T),600)
