# Unit tests: tests/unit/<module>/test_<x>.c, one program each (cmocka), linked with libosh.a.
unit-srcs := $(sort $(wildcard tests/unit/*/test_*.c))
unit-progs := $(unit-srcs:%.c=$(O)/%)
cmocka-libs = $(call pkg,libs,cmocka)

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $(filter %.o,$^) $(libosh) $(osh-libs) $(cmocka-libs) $(LDLIBS)

.SECONDARY: $(unit-progs:%=%.o)
.PHONY: unit-progs
unit-progs: $(unit-progs)

check-unit: unit-progs ## unit tests only
	$(Q)tests/run $(O) unit

test-progs: unit-progs
