# Objects that several programs of a folder share.
$(O)/tests/unit/sandbox/test_live $(O)/tests/unit/sandbox/test_fence: \
	$(O)/tests/unit/sandbox/fixture.o
