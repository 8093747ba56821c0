# Measurements of the policy decision; not part of `make check`.
bench-decide: $(O)/tests/bench/bench_decide ## ns of one decision, 10 to 10,000 entries
	$(Q)$(O)/tests/bench/bench_decide

$(O)/tests/bench/bench_decide: $(O)/tests/bench/bench_decide.o $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $< $(libosh) $(osh-libs) $(LDLIBS)

.PHONY: bench-decide

# The proxy against other TLS-inspecting proxies: tests/bench/proxy.
bench-progs := $(O)/tests/bench/load $(O)/tests/bench/px_serve
bench-proxy: $(bench-progs) ## CPU of the proxy beside other proxies: S=A,B P=nginx R=3 (tests/bench/README.md)
	$(Q)S='$(S)' P='$(P)' R='$(R)' SECS='$(SECS)' tests/bench/proxy $(O)

# perf with stacks by unwind tables: neither we nor the libraries are built with frame pointers for it
flame: $(bench-progs) ## where the proxy's CPU goes, as a flame graph and lists: S=A -> build/flame-A.svg
	$(Q)PROFILE=1 P=none S='$(S)' SECS='$(or $(SECS),4)' tests/bench/proxy $(O)

bench-deps: ## the Debian packages that bench-proxy compares with; root
	$(Q)tools/install-deps bench

$(O)/tests/bench/load: $(O)/tests/bench/load.o
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $< $(call pkg,libs,openssl) $(LDLIBS)

$(O)/tests/bench/px_serve: $(O)/tests/bench/px_serve.o $(O)/tests/wire/harness.o $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $(filter %.o,$^) $(libosh) $(osh-libs) $(LDLIBS)

.PHONY: bench-proxy bench-deps flame
# What the fence costs in the kernel; root.
bench-kern: $(O)/tests/bench/bench_kern ## connect(), exec and policy swap with and without the fence
	$(Q)$(O)/tests/bench/bench_kern

$(O)/tests/bench/bench_kern: $(O)/tests/bench/bench_kern.o $(O)/tests/bpf/kt.o $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $(filter %.o,$^) $(libosh) $(osh-libs) $(LDLIBS)

.PHONY: bench-kern
