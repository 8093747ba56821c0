# The interface description, as C string literals for service.c
$(O)/gen/ctl-interface.inc: user/ctl/io.openshell.varlink
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< >$@

$(O)/user/ctl/service.o: | $(O)/gen/ctl-interface.inc
