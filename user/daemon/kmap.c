/* SPDX-License-Identifier: MIT */
/*
 * The kernel's share of a policy image: which binary classes may reach a name or a literal address on
 * a port, and which classes an executable belongs to. It says "possibly": what it cannot know (a name
 * or file younger than the table) goes to the proxy, which has the last word.
 */
#include <errno.h>

#include "base/log.h"
#include "daemon/publish.h"
#include "policy/addr.h"
#include "policy/image.h"

struct rows {
	const struct osh_image *img;
	struct osh_kern_row *v;
	size_t n, cap;
	uint16_t *ports; /* every port some endpoint names, each once */
	size_t nports;
	bool literals_listed;
};

static int add_row(struct rows *rows, const struct osh_pol_key *key, uint64_t classes,
		   uint64_t inherit)
{
	if (rows->n == OSH_POLICY_MAX - 1)
		return -E2BIG;
	if (rows->n == rows->cap) {
		size_t cap = rows->cap ? 2 * rows->cap : 256;
		struct osh_kern_row *v = realloc(rows->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		rows->v = v;
		rows->cap = cap;
	}
	rows->v[rows->n++] = (struct osh_kern_row){ *key, classes, inherit };
	return 0;
}

static void rows_fini(struct rows *rows)
{
	free(rows->v);
	free(rows->ports);
}

/* ---- ports ---- */

static int collect_ports(struct rows *rows)
{
	uint8_t *seen = calloc(1, 65536 / 8);
	size_t n = 0;

	if (!seen)
		return -ENOMEM;
	for (size_t i = 0; i < osh_image_target_count(rows->img); i++) {
		struct osh_image_target t;

		osh_image_target(rows->img, i, &t);
		for (size_t k = 0; k < t.nports; k++) {
			n += !(seen[t.ports[k] / 8] >> t.ports[k] % 8 & 1);
			seen[t.ports[k] / 8] |= (uint8_t)(1u << t.ports[k] % 8);
		}
	}
	rows->ports = calloc(n ? n : 1, sizeof(*rows->ports));
	for (unsigned int port = 0; rows->ports && port < 65536; port++)
		if (seen[port / 8] >> port % 8 & 1)
			rows->ports[rows->nports++] = (uint16_t)port;
	free(seen);
	return rows->ports ? 0 : -ENOMEM;
}

static int rows_init(struct rows *rows, const struct osh_image *img)
{
	*rows = (struct rows){ .img = img, .literals_listed = true };
	return collect_ports(rows);
}

/* ---- destinations ---- */

static int add_destination(struct rows *rows, struct osh_pol_key *key, const char *host)
{
	for (size_t i = 0; i < rows->nports; i++) {
		uint64_t classes = osh_image_dest_mask(rows->img, osh_str(host), rows->ports[i]);
		int r;

		if (!classes)
			continue;
		key->port_be = htons(rows->ports[i]);
		r = add_row(rows, key, classes, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_name(uint32_t host_id, const char *host, void *arg)
{
	struct osh_pol_key key = { .kind = OSH_POL_HOST, .id = host_id };
	int r = add_row(arg, &key, 0, 0); /* port 0: the name is known to this map */

	return r < 0 ? r : add_destination(arg, &key, host);
}

/* Could this pattern match an address written as text? Then not every literal can be listed. */
static bool matches_literals(const struct osh_image_target *t)
{
	struct osh_str host = t->host;
	bool letter = false;

	if (!t->is_glob)
		return host.n == 0;
	while (osh_str_find(host, '.') < host.n)
		host = osh_str_sub(host, osh_str_find(host, '.') + 1, host.n);
	for (size_t i = 0; i < host.n; i++) {
		if (!osh_is_alnum(host.p[i]) && host.p[i] != '-')
			return true;
		letter |= !osh_is_digit(host.p[i]);
	}
	return !letter;
}

static int add_literals(struct rows *rows)
{
	for (size_t i = 0; i < osh_image_target_count(rows->img); i++) {
		struct osh_pol_key key = { .kind = OSH_POL_ADDR };
		struct osh_image_target t;
		struct osh_addr addr;
		char host[OSH_HOST_LEN];
		int r;

		osh_image_target(rows->img, i, &t);
		if (matches_literals(&t))
			rows->literals_listed = false;
		if (t.is_glob || !t.host.n || t.host.n >= sizeof(host) ||
		    osh_addr_parse(t.host, &addr) < 0)
			continue;
		memcpy(host, t.host.p, t.host.n);
		host[t.host.n] = '\0';
		memcpy(key.addr, addr.b, sizeof(key.addr));
		r = add_destination(rows, &key, host);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- executables ---- */

static int add_exe(uint32_t exe, const char *path, const uint8_t *sha256, bool usable, void *arg)
{
	struct osh_pol_key key = { .kind = OSH_POL_EXE, .id = exe };
	struct rows *rows = arg;
	uint64_t self = 0, inherit = 0;

	if (usable && !sha256)
		return 0; /* not hashed yet: a pin might match, so the proxy is asked */
	if (usable)
		osh_image_binary_mask(rows->img, osh_str(path), sha256, &self, &inherit);
	return add_row(rows, &key, self, inherit);
}

/* ---- publishing ---- */

static int publish_rows(struct osh_sandbox *sb, const struct osh_sb_policy *policy,
			struct rows *rows)
{
	struct osh_kern_policy kp = { .generation = policy->generation };
	const struct osh_config *cfg = &sb->m->cfg;
	int r = 0;

	if (osh_str_is(cfg->kernel_deny, "none")) {
		kp.flags = OSH_POL_ALL_TO_PROXY;
		return osh_kern_publish(sb->m->kern, sb->id, &kp);
	}
	if (!policy->quarantine) {
		r = osh_names_each(sb, add_name, rows);
		if (r == 0)
			r = add_literals(rows);
		if (r == 0)
			r = osh_idents_each(sb->m, sb->id, add_exe, rows);
	}
	if (r == -E2BIG) {
		/* how many names and executables there are is the sandbox's doing: it must not be able
		 * to keep an old policy in force */
		osh_log_warn("kernel policy of sandbox %s is too large; the proxy judges alone",
			     OSH_Q(sb->name));
		kp.flags = OSH_POL_ALL_TO_PROXY;
		return osh_kern_publish(sb->m->kern, sb->id, &kp);
	}
	if (r < 0)
		return r;
	kp.rows = rows->v;
	kp.count = rows->n;
	if (rows->literals_listed)
		kp.flags |= OSH_POL_LITERALS_LISTED;
	if (osh_str_is(cfg->kernel_deny, "non_web"))
		kp.flags |= OSH_POL_WEB_TO_PROXY;
	return osh_kern_publish(sb->m->kern, sb->id, &kp);
}

int osh_kmap_publish(struct osh_sandbox *sb, const struct osh_sb_policy *policy)
{
	struct rows rows;
	int r = rows_init(&rows, policy->image);

	if (r == 0)
		r = publish_rows(sb, policy, &rows);
	rows_fini(&rows);
	return r;
}

static void put_rows(struct osh_sandbox *sb, struct rows *rows, int r)
{
	if (r == 0 && rows->n)
		r = osh_kern_policy_put(sb->m->kern, sb->id, sb->active.generation, rows->v,
					rows->n);
	/* without the rows the proxy is asked, as it is for everything the kernel does not know */
	if (r < 0 && r != -ESTALE && r != -E2BIG && r != -ENOSPC)
		osh_log_warn_errno(r, "cannot add to the kernel policy of sandbox %s",
				   OSH_Q(sb->name));
	rows_fini(rows);
}

static bool wants_rows(const struct osh_sandbox *sb)
{
	return sb->active.image && !sb->active.quarantine &&
	       !osh_str_is(sb->m->cfg.kernel_deny, "none");
}

void osh_kmap_add_name(struct osh_sandbox *sb, uint32_t host_id, const char *host)
{
	struct rows rows;
	int r;

	if (!wants_rows(sb))
		return;
	r = rows_init(&rows, sb->active.image);
	if (r == 0)
		r = add_name(host_id, host, &rows);
	put_rows(sb, &rows, r);
}

void osh_kmap_add_exe(struct osh_sandbox *sb, uint32_t exe)
{
	struct rows rows;
	int r;

	if (!wants_rows(sb))
		return;
	r = rows_init(&rows, sb->active.image);
	if (r == 0)
		r = osh_idents_one(sb->m, exe, add_exe, &rows);
	put_rows(sb, &rows, r);
}
