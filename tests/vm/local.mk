check-vm: $(O)/tests/bpf/kt ## kernel tests on Debian's kernels in an emulated machine; K="6.1 6.12"
	$(Q)tests/vm/run $(O) $(K)

.PHONY: check-vm
