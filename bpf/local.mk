# BPF: one object per hook family, linked into one, turned into a skeleton for user/kern.
bpf-srcs := $(sort $(wildcard bpf/*.bpf.c))
bpf-objs := $(bpf-srcs:%.c=$(O)/%.o)
bpf-arch := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m)))
bpf-multiarch := $(shell $(CC) -print-multiarch 2>/dev/null)

# -O2: the verifier needs the optimiser; -mcpu=v3: atomics that return a value; the prefix map keeps
# build paths out of .BTF
bpf-cflags := -g -O2 -target bpf -mcpu=v3 -std=gnu17 -D__TARGET_ARCH_$(bpf-arch) -Iinclude -Ivmlinux \
	-Ibpf $(if $(bpf-multiarch),-idirafter /usr/include/$(bpf-multiarch)) \
	-ffile-prefix-map=$(CURDIR)/= -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers \
	$(if $(filter 1,$(WERROR)),-Werror)

$(O)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(bpf-cflags) -MMD -MP -MT $@ -MF $@.d -c -o $@ $<

$(O)/gen/openshell.bpf.o: $(bpf-objs)
	$(call say,BPFLD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen object $@ $(bpf-objs)

$(skel): $(O)/gen/openshell.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name openshell_bpf > $@

kern-objs := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard user/kern/*.c)))
$(kern-objs): | $(skel)
