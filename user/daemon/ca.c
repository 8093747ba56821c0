/* SPDX-License-Identifier: MIT */
/*
 * Certificate authorities of sandboxes: asked of the signer, and asked again of one that was restarted;
 * the certificate is kept with the sandbox.
 */
#include "daemon/monitor.h"

#include <errno.h>

struct ca_wait {
	struct osh_list node;
	uint32_t sandbox;
	osh_ca_done_fn *done;
};

static struct osh_list ca_waits = { &ca_waits, &ca_waits };

static void send_ca_make(struct osh_sandbox *sb)
{
	struct osh_msg_ca msg = { .sandbox = sb->id };

	(void)osh_strlcpy(msg.name, sb->name, sizeof(msg.name));
	osh_role_send(&sb->m->signer, OSH_MSG_CA_MAKE, 0, &msg, sizeof(msg), NULL, 0);
}

void osh_signer_ask_ca(struct osh_sandbox *sb, osh_ca_done_fn *done)
{
	struct ca_wait *w = calloc(1, sizeof(*w));

	if (!w) {
		done(sb, -ENOMEM);
		return;
	}
	w->sandbox = sb->id;
	w->done = done;
	osh_list_add_tail(&ca_waits, &w->node);
	send_ca_make(sb); /* a restarted signer is asked again in osh_signer_ready() */
}

void osh_signer_drop_ca(struct osh_sandbox *sb)
{
	struct osh_msg_ca msg = { .sandbox = sb->id };

	(void)osh_strlcpy(msg.name, sb->name, sizeof(msg.name));
	osh_role_send(&sb->m->signer, OSH_MSG_CA_DROP, 0, &msg, sizeof(msg), NULL, 0);
}

int osh_signer_on_ca(struct osh_monitor *m, const struct osh_msg_ca *msg)
{
	struct osh_sandbox *sb = osh_sb_by_id(m, msg->sandbox);
	struct osh_list *it, *tmp;
	int r = msg->status > 0 ? -EIO : msg->status;

	if (sb && r == 0) {
		size_t n = strnlen(msg->pem, sizeof(msg->pem));

		if (n == sizeof(msg->pem))
			return -EBADMSG;
		osh_buf_reset(&sb->ca_pem);
		r = osh_buf_add(&sb->ca_pem, msg->pem, n);
	}
	osh_list_for_each_safe (it, tmp, &ca_waits) {
		struct ca_wait *w = osh_list_entry(it, struct ca_wait, node);

		if (w->sandbox != msg->sandbox)
			continue;
		osh_list_del(&w->node);
		if (sb)
			w->done(sb, r);
		free(w);
	}
	return 0;
}

void osh_signer_ready(struct osh_monitor *m)
{
	struct osh_list *it;

	osh_list_for_each (it, &m->sandboxes) {
		struct osh_sandbox *sb = osh_list_entry(it, struct osh_sandbox, node);

		if (sb->phase != OSH_PHASE_STOPPED && sb->phase != OSH_PHASE_DELETING)
			send_ca_make(sb);
	}
}

void osh_signer_forget(void)
{
	while (!osh_list_is_empty(&ca_waits)) {
		struct ca_wait *w = osh_list_entry(ca_waits.next, struct ca_wait, node);

		osh_list_del(&w->node);
		free(w);
	}
}
