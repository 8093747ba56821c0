# PID 1 of sandboxes: a small static program, carried in libosh.a as data (program.c).
init-objs := $(patsubst %,$(O)/user/%.o,base/arena base/buf base/str \
	$(addprefix sandbox/,confine etcfiles fslist init init/main jks landlock mnt path root rules \
	session spec))
# The sanitizers need their shared libraries.
init-ldflags := $(if $(san-flags),-pie $(san-flags),-static-pie -s) \
	-Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections

$(O)/openshell-init: $(init-objs) $(san-objs)
	$(call say,LD,$@)
	$(Q)$(CC) $(init-ldflags) $(LDFLAGS) -o $@ $(init-objs) $(san-objs)

$(O)/openshell-init.o: $(O)/openshell-init
	$(call say,EMBED,$<)
	$(Q)cd $(O) && $(LD) -r -b binary -z noexecstack -o openshell-init.o openshell-init

lib-objs += $(O)/openshell-init.o
