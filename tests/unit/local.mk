# Objects that several programs of a folder share.
$(O)/tests/unit/sandbox/test_live $(O)/tests/unit/sandbox/test_fence: \
	$(O)/tests/unit/sandbox/fixture.o

$(O)/tests/unit/cli/test_cli $(O)/tests/unit/cli/test_session: $(O)/tests/unit/cli/fake.o \
	| $(O)/openshellctl

# test_oom programs count allocations and fail the n-th.
$(O)/tests/unit/%/test_oom: LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

# Sessions and certificates age while test_session runs.
$(O)/tests/unit/tls/test_session: LDFLAGS += -Wl,--wrap=time
