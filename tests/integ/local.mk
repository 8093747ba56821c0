# Client of the crowd and soak tests; runs inside a sandbox.
integ-progs := $(O)/tests/integ/crowd

$(O)/tests/integ/crowd: $(O)/tests/integ/crowd.o
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $< $(call pkg,libs,openssl) $(LDLIBS)

.SECONDARY: $(integ-progs:%=%.o)
.PHONY: integ-progs soak crowd
integ-progs: $(integ-progs)
test-progs: integ-progs

crowd: all $(integ-progs) ## the crowd test at its full size: NAMES=100000 new names, CONNS=10000 connections of one sandbox; root
	$(Q)OSH_BUILD=$(abspath $(O)) NAMES='$(or $(NAMES),100000)' CONNS='$(or $(CONNS),10000)' tests/integ/77-crowd.sh

soak: all $(integ-progs) ## all workloads at once for T seconds (600); fails when something grows; root
	$(Q)OSH_BUILD=$(abspath $(O)) tests/integ/soak $(or $(T),600)
