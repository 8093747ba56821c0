# Installation: GNU variables, DESTDIR honoured, nothing of the running system touched, a
# configuration that is there already left alone.
man-pages := $(sort $(wildcard user/man/*.[1-8]))
policies  := $(sort $(wildcard policies/*.yaml))
subst-dirs = sed -e 's|@SBINDIR@|$(SBINDIR)|g; s|@DATADIR@|$(DATADIR)|g; s|@BINDIR@|$(BINDIR)|g'

install: all ## install under PREFIX (DESTDIR honoured)
	$(Q)$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(DOCDIR) $(DESTDIR)$(UNITDIR) \
		$(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(TMPFILESDIR) $(DESTDIR)$(BASHCOMPDIR) \
		$(DESTDIR)$(DATADIR)/openshell/policies $(DESTDIR)$(SYSCONFDIR)/openshell
	$(Q)$(INSTALL) -m 755 $(O)/openshelld $(DESTDIR)$(SBINDIR)/openshelld
	$(Q)$(INSTALL) -m 755 $(O)/openshellctl $(DESTDIR)$(BINDIR)/openshellctl
	$(Q)ln -sf openshellctl $(DESTDIR)$(BINDIR)/openshell
	$(Q)$(subst-dirs) user/systemd/openshelld.service.in >$(O)/openshelld.service
	$(Q)$(INSTALL) -m 644 $(O)/openshelld.service $(DESTDIR)$(UNITDIR)/openshelld.service
	$(Q)$(INSTALL) -m 644 user/systemd/openshell.sysusers $(DESTDIR)$(SYSUSERSDIR)/openshell.conf
	$(Q)$(INSTALL) -m 644 user/systemd/openshell.tmpfiles $(DESTDIR)$(TMPFILESDIR)/openshell.conf
	$(Q)for p in $(policies); do $(INSTALL) -m 644 $$p $(DESTDIR)$(DATADIR)/openshell/policies/; done
	$(Q)for m in $(man-pages); do d=$(DESTDIR)$(MANDIR)/man$${m##*.}; $(INSTALL) -d $$d; $(INSTALL) -m 644 $$m $$d/; done
	$(Q)ln -sf openshellctl.1 $(DESTDIR)$(MANDIR)/man1/openshell.1
	$(Q)$(O)/openshellctl completions bash >$(O)/openshellctl.bash
	$(Q)$(INSTALL) -m 644 $(O)/openshellctl.bash $(DESTDIR)$(BASHCOMPDIR)/openshellctl
	$(Q)ln -sf openshellctl $(DESTDIR)$(BASHCOMPDIR)/openshell
	$(Q)$(INSTALL) -m 644 README.md LICENSE $(sort $(wildcard user/doc/*.md)) $(DESTDIR)$(DOCDIR)/
	$(Q)$(subst-dirs) user/systemd/openshelld.yaml.in >$(O)/openshelld.yaml
	$(Q)[ -e $(DESTDIR)$(SYSCONFDIR)/openshell/openshelld.yaml ] || \
		$(INSTALL) -m 644 $(O)/openshelld.yaml $(DESTDIR)$(SYSCONFDIR)/openshell/openshelld.yaml
	@echo 'Next: systemd-sysusers (or tools/setup-users), then systemctl enable --now openshelld'

uninstall: ## remove what install put there (state and a configuration that was changed stay)
	$(Q)$(subst-dirs) user/systemd/openshelld.yaml.in | \
		cmp -s - $(DESTDIR)$(SYSCONFDIR)/openshell/openshelld.yaml && \
		rm -f $(DESTDIR)$(SYSCONFDIR)/openshell/openshelld.yaml || :
	$(Q)rmdir $(DESTDIR)$(SYSCONFDIR)/openshell 2>/dev/null || :
	$(Q)rm -f $(DESTDIR)$(SBINDIR)/openshelld $(DESTDIR)$(BINDIR)/openshellctl $(DESTDIR)$(BINDIR)/openshell \
		$(DESTDIR)$(UNITDIR)/openshelld.service $(DESTDIR)$(SYSUSERSDIR)/openshell.conf \
		$(DESTDIR)$(TMPFILESDIR)/openshell.conf $(DESTDIR)$(BASHCOMPDIR)/openshellctl \
		$(DESTDIR)$(BASHCOMPDIR)/openshell $(DESTDIR)$(MANDIR)/man1/openshell.1 \
		$(foreach m,$(man-pages),$(DESTDIR)$(MANDIR)/man$(lastword $(subst ., ,$(m)))/$(notdir $(m)))
	$(Q)rm -rf $(DESTDIR)$(DATADIR)/openshell $(DESTDIR)$(DOCDIR)
