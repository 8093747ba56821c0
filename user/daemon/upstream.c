/* SPDX-License-Identifier: MIT */
/* "upstream_proxy:" of openshelld.yaml. Half a configuration is none: it is refused. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/config.h"
#include "http/chain.h"
#include "http/noproxy.h"
#include "policy/schema.h"

enum { AUTH_FILE_MAX = OSH_CHAIN_USERPASS_MAX + 2 };

static void set_url(struct osh_reader *rd, const struct osh_node *node, const char *what,
		    struct osh_str *ret_url)
{
	struct osh_authority a;
	struct osh_str url;
	const char *why;

	if (!osh_schema_text(rd, node, what, &url))
		return;
	/* the value is not quoted: a password may stand in it */
	if (osh_chain_url_parse(url, &a, &why) < 0)
		osh_diag_err(rd->diag, node->line, node->col, "upstream_proxy.%s: %s", what, why);
	else
		*ret_url = osh_reader_str(rd, url);
}

static void set_https(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	set_url(rd, node, "https", &((struct osh_config *)obj)->upstream.https);
}

static void set_http(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	set_url(rd, node, "http", &((struct osh_config *)obj)->upstream.http);
}

static void set_no_proxy(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_config_list *list = &((struct osh_config *)obj)->upstream.no_proxy;

	if (!osh_schema_is_seq(rd, node, "no_proxy"))
		return;
	if (node->n > OSH_NOPROXY_MAX) {
		osh_diag_err(rd->diag, node->line, node->col,
			     "no_proxy may have at most %d entries", OSH_NOPROXY_MAX);
		return;
	}
	list->v = osh_reader_array(rd, node->n, sizeof(*list->v));
	if (!list->v)
		return;
	osh_node_for_each(it, node)
	{
		struct osh_noproxy entry;
		const char *why = "";
		struct osh_str text;

		if (!osh_schema_text(rd, it, "no_proxy entry", &text))
			continue;
		if (osh_noproxy_parse(text, &entry, &why) < 0)
			osh_diag_err(rd->diag, it->line, it->col, "no_proxy entry %s: %s",
				     osh_quote(text), why);
		else
			list->v[list->n++] = osh_reader_str(rd, text);
	}
}

static const struct osh_key upstream_keys[] = {
	OSH_KEY_CALL("https", OSH_KEY_ANY, 0, set_https),
	OSH_KEY_CALL("http", OSH_KEY_ANY, 0, set_http),
	OSH_KEY_CALL("no_proxy", OSH_KEY_SEQ, 0, set_no_proxy),
	OSH_KEY_FIELD("auth_file", OSH_KEY_TEXT, 0, struct osh_config, upstream.auth_file),
	OSH_KEY_FIELD("auth_allow_insecure", OSH_KEY_BOOL, 0, struct osh_config,
		      upstream.auth_allow_insecure),
	OSH_KEY_FIELD("connect_by_hostname", OSH_KEY_BOOL, 0, struct osh_config,
		      upstream.connect_by_hostname),
	{ 0 },
};

void osh_config_read_upstream(struct osh_reader *rd, const struct osh_node *node, void *obj)
{
	struct osh_config *cfg = obj;
	size_t before = rd->diag->errors;
	const char *what = NULL;

	osh_schema_read(rd, node, upstream_keys, cfg, "upstream_proxy");
	if (rd->diag->errors != before)
		return; /* what is missing may only be misspelt */
	if (!cfg->upstream.https.n && !cfg->upstream.http.n)
		what = "names no proxy: it needs https or http";
	else if (cfg->upstream.auth_file.n &&
		 !osh_str_has_prefix(cfg->upstream.auth_file, OSH_STR("/")))
		what = "auth_file must be an absolute path";
	else if (cfg->upstream.auth_file.n && !cfg->upstream.auth_allow_insecure)
		what = "auth_file without auth_allow_insecure: true: the credentials travel "
		       "unencrypted to an http:// proxy, which must be asked for";
	else if (cfg->upstream.auth_allow_insecure && !cfg->upstream.auth_file.n)
		what = "auth_allow_insecure without auth_file";
	if (what)
		osh_diag_err(rd->diag, node->line, node->col, "upstream_proxy: %s", what);
}

/* Who could write it could choose the credentials, who could read it has them. */
static const char *check_owner(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "it is not a regular file";
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "it must belong to root";
	if (st->st_mode & 077)
		return "group and others must have no access to it (chmod 600)";
	return NULL;
}

static int read_auth(struct osh_config *cfg, const char **ret_why)
{
	osh_auto_bufmem struct osh_buf text;
	osh_auto_close int fd = -1;
	struct stat st;
	int r;

	osh_buf_init(&text, AUTH_FILE_MAX, OSH_BUF_SECRET);
	/* O_NONBLOCK: a FIFO must not stop the start */
	fd = open(cfg->upstream.auth_file.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_why = check_owner(&st);
	if (*ret_why)
		return -EPERM;
	r = osh_buf_read_all(&text, fd);
	if (r == -EMSGSIZE)
		*ret_why = "it is longer than 512 bytes";
	if (r < 0)
		return r;
	return osh_chain_auth(osh_buf_str(&text), &cfg->upstream.auth, ret_why);
}

int osh_config_load_auth(struct osh_config *cfg, struct osh_diag *diag)
{
	const char *why = NULL;
	int r;

	if (!cfg->upstream.auth_file.n || diag->errors)
		return 0;
	r = read_auth(cfg, &why);
	if (r < 0)
		osh_diag_err(diag, 0, 0, "upstream_proxy.auth_file %s: %s",
			     osh_quote(cfg->upstream.auth_file), why ? why : strerror(-r));
	return r;
}
