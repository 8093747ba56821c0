# Conformance rows through the functions of the product.
conf-srcs   := $(sort $(wildcard tests/conformance/*.c))
conf-objs   := $(conf-srcs:%.c=$(O)/%.o)
conf-runner := $(O)/tests/conformance/runner
ROWS        ?= $(sort $(wildcard tests/conformance/rows/*.jsonl))

$(conf-runner): $(conf-objs) $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $(conf-objs) $(libosh) $(osh-libs) $(LDLIBS)

.PHONY: conformance
conformance: $(conf-runner) ## run the conformance rows, or ROWS='a.jsonl b.jsonl'
	$(Q)$(conf-runner) $(ROWS)

test-progs: $(conf-runner)
