/* SPDX-License-Identifier: MIT */
/* The part of the configuration that a proxy gets, as the JSON of proxy/config.h. */
#ifndef OSH_DAEMON_PROXYCONF_H
#define OSH_DAEMON_PROXYCONF_H

#include "daemon/config.h"

#define OSH_CONFIG_PROXY_MAX 65536

int osh_proxyconf_write(const struct osh_config *cfg, unsigned int worker,
			struct osh_buf *ret_json) OSH_MUST_CHECK;

/* PEM of the system bundle and of every ca_file, appended; @diag says which file is bad. */
int osh_proxyconf_bundle(const struct osh_config *cfg, struct osh_buf *ret_pem,
			 struct osh_diag *diag) OSH_MUST_CHECK;

#endif
