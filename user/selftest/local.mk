# The program that runs inside the throw-away sandbox: static, carried in libosh.a as data (program.c).
probe-objs := $(patsubst %,$(O)/user/%.o,base/str \
	$(addprefix selftest/,common fetch http identity packet probe/main process proxy run socket table \
	ways))

$(O)/openshell-probe: $(probe-objs) $(san-objs)
	$(call say,LD,$@)
	$(Q)$(CC) $(init-ldflags) $(LDFLAGS) -o $@ $(probe-objs) $(san-objs) -lpthread

$(O)/openshell-probe.o: $(O)/openshell-probe
	$(call say,EMBED,$<)
	$(Q)cd $(O) && $(LD) -r -b binary -z noexecstack -o openshell-probe.o openshell-probe

lib-objs += $(O)/openshell-probe.o
