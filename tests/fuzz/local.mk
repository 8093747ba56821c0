# Fuzz targets tests/fuzz/fuzz_<name>.c, seeds tests/fuzz/corpus/<name>/.
# `make check` replays the seeds with the ordinary compiler; `make fuzz` needs clang.
fuzz-srcs    := $(sort $(wildcard tests/fuzz/fuzz_*.c))
fuzz-names   := $(fuzz-srcs:tests/fuzz/fuzz_%.c=%)
fuzz-replays := $(fuzz-names:%=$(O)/tests/fuzz/replay_%)

$(O)/tests/fuzz/replay_%: $(O)/tests/fuzz/fuzz_%.o $(O)/tests/fuzz/replay.o $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $(filter %.o,$^) $(libosh) $(osh-libs) $(LDLIBS)

.SECONDARY: $(fuzz-names:%=$(O)/tests/fuzz/fuzz_%.o) $(O)/tests/fuzz/replay.o
test-progs: $(fuzz-replays)

# The library again, instrumented; only the modules that targets use.
fuzz-modules := base sys io policy http dns audit
fuzz-lib-srcs := $(sort $(wildcard $(fuzz-modules:%=user/%/*.c)))
fuzz-lib-objs := $(fuzz-lib-srcs:%.c=$(O)/fuzz/%.o)
fuzz-flags := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -O1 -g \
	-fno-omit-frame-pointer

$(O)/fuzz/%.o: %.c
	$(call say,FUZZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(osh-cppflags) $(CPPFLAGS) -std=gnu17 -Wall -Wextra -Wno-gnu-designator \
		$(fuzz-flags) -MMD -MP -MT $@ -MF $@.d -c -o $@ $<

$(O)/fuzz/libosh.a: $(fuzz-lib-objs)
	$(Q)rm -f $@ && $(AR) rcs $@ $(fuzz-lib-objs)

$(O)/fuzz/fuzz_%: $(O)/fuzz/tests/fuzz/fuzz_%.o $(O)/fuzz/libosh.a
	$(call say,LD,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(osh-libs)

.SECONDARY: $(fuzz-names:%=$(O)/fuzz/tests/fuzz/fuzz_%.o)
T ?= 60
.PHONY: fuzz
fuzz: $(if $(F),$(O)/fuzz/fuzz_$(F)) ## fuzz one target: F=name T=seconds; new inputs go to build/fuzz/corpus
	$(if $(F),,@echo 'targets: $(fuzz-names)')
	$(if $(F),$(Q)mkdir -p $(O)/fuzz/corpus/$(F) && cd $(O)/fuzz && \
		./fuzz_$(F) -max_total_time=$(T) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		$(patsubst %,-dict=%,$(wildcard $(CURDIR)/tests/fuzz/$(F).dict)) corpus/$(F) $(CURDIR)/tests/fuzz/corpus/$(F))
