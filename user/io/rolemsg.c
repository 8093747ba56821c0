/* SPDX-License-Identifier: MIT */
#include "io/rolemsg.h"

#include <string.h>

#include "base/str.h"
#include "openshell/role.h"

enum { ERRNO_MAX = 4095, EXE_STATUS_MAX = OSH_EXE_MISMATCH };

static bool is_text(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

/* 0 or -errno. */
static bool is_status(int32_t status)
{
	return status <= 0 && status >= -ERRNO_MAX;
}

/* A name or an address literal as the proxies write them. */
static bool is_host(const char *s, size_t size)
{
	size_t n = strnlen(s, size);

	if (!n || n == size)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!osh_is_alnum(s[i]) && !strchr("-._:", s[i]))
			return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] >= 'A' && s[i] <= 'Z')
			return false;
	return true;
}

static bool check_policy(const void *body)
{
	const struct osh_msg_policy *m = body;

	return m->sandbox && m->generation && is_status(m->status);
}

static bool check_exe_ask(const void *body)
{
	const struct osh_msg_exe *m = body;

	return m->sandbox && m->exe_id && m->status <= EXE_STATUS_MAX && !m->path[0] &&
	       !m->script[0];
}

/* Either an id or a name is asked for. */
static bool check_name_ask(const void *body)
{
	const struct osh_msg_name *m = body;

	if (!m->sandbox || m->status)
		return false;
	return m->host_id ? !m->host[0] : is_host(m->host, sizeof(m->host));
}

static bool check_ca_ask(const void *body)
{
	const struct osh_msg_ca *m = body;

	return m->sandbox && m->name[0] && is_text(m->name, sizeof(m->name));
}

static bool check_ca(const void *body)
{
	const struct osh_msg_ca *m = body;

	/* empty after CA_DROP */
	return check_ca_ask(body) && is_status(m->status) && is_text(m->pem, sizeof(m->pem)) &&
	       (m->status == 0 || !m->pem[0]);
}

static bool check_sign(const void *body)
{
	const struct osh_msg_sign *m = body;

	return m->sandbox && m->pubkey_len && m->pubkey_len <= sizeof(m->pubkey) &&
	       is_host(m->host, sizeof(m->host));
}

static bool check_cert(const void *body)
{
	const struct osh_msg_cert *m = body;

	return m->sandbox && is_status(m->status) && m->cert_len <= sizeof(m->cert) &&
	       (m->status < 0 || m->cert_len) && is_host(m->host, sizeof(m->host));
}

#define ANY SIZE_MAX /* size is up to the receiver */

static const struct rule {
	enum osh_rolemsg_link link;
	uint32_t type;
	size_t bytes;
	unsigned int fds;
	bool (*check)(const void *body);
} rules[] = {
	{ OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_READY, 0, 0, NULL },
	{ OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_PONG, 0, 0, NULL },
	{ OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_POLICY_LOADED, sizeof(struct osh_msg_policy), 0,
	  check_policy },
	{ OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_POLICY_ACTIVE, sizeof(struct osh_msg_policy), 0,
	  check_policy },
	{ OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_EXE_ASK, sizeof(struct osh_msg_exe), 0,
	  check_exe_ask },
	{ OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_NAME_ASK, sizeof(struct osh_msg_name), 0,
	  check_name_ask },
	{ OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_FLOWS, ANY, 0, NULL },
	{ OSH_ROLEMSG_PROXY_TO_MONITOR, OSH_MSG_STATS, ANY, 0, NULL },

	{ OSH_ROLEMSG_SIGNER_TO_MONITOR, OSH_MSG_READY, 0, 0, NULL },
	{ OSH_ROLEMSG_SIGNER_TO_MONITOR, OSH_MSG_PONG, 0, 0, NULL },
	{ OSH_ROLEMSG_SIGNER_TO_MONITOR, OSH_MSG_CA, sizeof(struct osh_msg_ca), 0, check_ca },

	{ OSH_ROLEMSG_MONITOR_TO_SIGNER, OSH_MSG_PING, 0, 0, NULL },
	{ OSH_ROLEMSG_MONITOR_TO_SIGNER, OSH_MSG_CA_MAKE, sizeof(struct osh_msg_ca), 0,
	  check_ca_ask },
	{ OSH_ROLEMSG_MONITOR_TO_SIGNER, OSH_MSG_CA_DROP, sizeof(struct osh_msg_ca), 0,
	  check_ca_ask },
	{ OSH_ROLEMSG_MONITOR_TO_SIGNER, OSH_MSG_PROXY_ADD, 0, 1, NULL },

	{ OSH_ROLEMSG_PROXY_TO_SIGNER, OSH_MSG_SIGN, sizeof(struct osh_msg_sign), 0, check_sign },

	{ OSH_ROLEMSG_SIGNER_TO_PROXY, OSH_MSG_CERT, sizeof(struct osh_msg_cert), 0, check_cert },
};

int osh_rolemsg_check(enum osh_rolemsg_link link, const struct osh_seqpkt_msg *msg)
{
	for (size_t i = 0; i < OSH_ARRAY_SIZE(rules); i++) {
		const struct rule *rule = &rules[i];

		if (rule->link != link || rule->type != msg->hdr.type)
			continue;
		if (msg->fd_count != rule->fds ||
		    (rule->bytes != ANY && msg->hdr.len != rule->bytes))
			return -EBADMSG;
		return rule->check && !rule->check(msg->body) ? -EBADMSG : 0;
	}
	return -EBADMSG;
}
