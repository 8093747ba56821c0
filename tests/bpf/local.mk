# Kernel tests: one program, many cases; tests/bpf/NN-*.sh runs them.
kt-objs := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard tests/bpf/*.c)))

$(O)/tests/bpf/kt: $(kt-objs) $(san-objs) $(libosh)
	$(call say,LD,$@)
	$(Q)$(CC) $(osh-ldflags) $(LDFLAGS) -o $@ $(kt-objs) $(san-objs) $(libosh) $(osh-libs) $(LDLIBS)

unit-progs check: $(O)/tests/bpf/kt
