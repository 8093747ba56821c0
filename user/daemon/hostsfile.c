/* SPDX-License-Identifier: MIT */
/* Host-gateway aliases in /etc/hosts: put there by whoever runs this host in a container. */
#include "daemon/config.h"
#include "policy/host.h"
#include "sys/fs.h"

enum { HOSTS_FILE_MAX = 1 << 20 };

static bool is_known(const struct osh_config *cfg, struct osh_str alias)
{
	for (size_t i = 0; i < cfg->ngateways; i++)
		if (osh_str_ieq(alias, osh_str(cfg->gateways[i].host)))
			return true;
	return false;
}

static bool next_word(struct osh_str *rest, struct osh_str *ret_word)
{
	size_t n = 0;

	*rest = osh_str_trim(*rest);
	while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
		n++;
	*ret_word = osh_str_sub(*rest, 0, n);
	*rest = osh_str_sub(*rest, n, rest->n);
	return n > 0;
}

/* "ADDR NAME..."; the first line of an alias counts, usable or not, as it does for libc. */
static void take_line(struct osh_config *cfg, struct osh_str line,
		      bool ret_usable[OSH_ARRAY_SIZE(cfg->gateways)])
{
	struct osh_str text, name;
	struct osh_addr addr = { 0 };
	bool usable;

	line = osh_str_sub(line, 0, osh_str_find(line, '#'));
	if (!next_word(&line, &text))
		return;
	usable = osh_addr_parse(text, &addr) == 0 && osh_addr_is_gateway(&addr);
	while (next_word(&line, &name)) {
		size_t i = cfg->ngateways;

		if (!osh_host_is_gateway_alias(name) || is_known(cfg, name) ||
		    i == OSH_ARRAY_SIZE(cfg->gateways))
			continue;
		for (size_t k = 0; k < name.n; k++)
			cfg->gateways[i].host[k] = osh_lower(name.p[k]);
		(void)osh_addr_text(&addr, cfg->gateways[i].addr);
		ret_usable[i] = usable;
		cfg->ngateways++;
	}
}

void osh_config_read_hosts(struct osh_config *cfg)
{
	bool usable[OSH_ARRAY_SIZE(cfg->gateways)] = { false };
	osh_auto_bufmem struct osh_buf text;
	struct osh_str rest, line;
	size_t n = 0;

	osh_buf_init(&text, HOSTS_FILE_MAX, 0);
	cfg->ngateways = 0;
	if (osh_fs_read("/etc/hosts", HOSTS_FILE_MAX, &text) < 0)
		return; /* no aliases: such names are judged like any other */
	rest = osh_buf_str(&text);
	while (osh_str_split(&rest, '\n', &line))
		take_line(cfg, line, usable);
	for (size_t i = 0; i < cfg->ngateways; i++)
		if (usable[i])
			cfg->gateways[n++] = cfg->gateways[i];
	cfg->ngateways = n;
}
