# Measurements of the policy decision; not part of `make check`.
bench-decide: $(O)/tests/bench/bench_decide ## ns of one decision, 10 to 10,000 entries
	$(Q)$(O)/tests/bench/bench_decide

$(O)/tests/bench/bench_decide: $(O)/tests/bench/bench_decide.o $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $< $(libosh) $(osh-libs) $(LDLIBS)

.PHONY: bench-decide
