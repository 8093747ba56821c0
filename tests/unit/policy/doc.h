/* SPDX-License-Identifier: MIT */
/* What the tests of policy documents share: load a text, look at what was said about it. */
#ifndef OSH_TESTS_DOC_H
#define OSH_TESTS_DOC_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/model.h"

struct doc {
	struct osh_policy *policy; /* NULL: refused */
	struct osh_diag diag;
	struct osh_buf text; /* the rendered messages, NUL-terminated */
};

static inline void doc_load(struct doc *d, const char *yaml)
{
	*d = (struct doc){ 0 };
	osh_diag_init(&d->diag, NULL);
	osh_buf_init(&d->text, 1u << 20, 0);
	if (osh_policy_load(osh_str(yaml), "p.yaml", &d->policy, &d->diag) < 0)
		assert_null(d->policy);
	assert_int_equal(osh_buf_add(&d->text, "", 0), 0);
	assert_int_equal(osh_diag_render(&d->diag, &d->text), 0);
}

static inline void doc_free(struct doc *d)
{
	d->policy = osh_policy_free(d->policy);
	osh_diag_fini(&d->diag);
	osh_buf_fini(&d->text);
}

/* Refused, with this somewhere in the rendered messages. */
static inline void refuses(const char *yaml, const char *message)
{
	struct doc d;

	doc_load(&d, yaml);
	if (d.policy)
		fail_msg("accepted: %s", yaml);
	if (!d.text.data || !strstr(d.text.data, message))
		fail_msg("no \"%s\" in: %s", message, d.text.data ? d.text.data : "(nothing)");
	doc_free(&d);
}

/* Accepted, with this among the warnings (NULL: no warning at all). */
static inline void accepts(const char *yaml, const char *warning)
{
	struct doc d;

	doc_load(&d, yaml);
	if (!d.policy)
		fail_msg("refused: %s\n%s", yaml, d.text.data);
	if (warning && (!d.text.data || !strstr(d.text.data, warning)))
		fail_msg("no \"%s\" in: %s", warning, d.text.data ? d.text.data : "(nothing)");
	if (!warning && d.diag.warnings)
		fail_msg("warns: %s", d.text.data);
	doc_free(&d);
}

/* One endpoint in one entry; @fields is a YAML flow mapping without its braces. */
#define EP(fields)                              \
	"version: 1\nnetwork_policies:\n  k:\n" \
	"    endpoints: [{" fields "}]\n"       \
	"    binaries: [{path: /usr/bin/curl}]\n"
#define REST "host: a.example.org, port: 443, protocol: rest, enforcement: enforce"

#endif
