/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "sandbox/sandbox.h"

#define ENTRIES_MAX   4096u
#define STRINGIFY_(x) #x
#define STRINGIFY(x)  STRINGIFY_(x)
#define PROXY	      "http://127.0.0.1:" STRINGIFY(OSH_SANDBOX_PROXY_PORT)
#define CA	      "/etc/openshell-tls/openshell-ca.pem"
#define BUNDLE	      "/etc/openshell-tls/ca-bundle.pem"

static const char *const fixed[] = {
	"OPENSHELL_SANDBOX=1",	  "HOME=" OSH_SANDBOX_HOME,
	"USER=" OSH_SANDBOX_USER, "LOGNAME=" OSH_SANDBOX_USER,
	"SHELL=/bin/bash",	  "PATH=/usr/local/bin:/usr/bin:/bin",
	"LANG=C.UTF-8",		  "PS1=\\u@\\h:\\w\\$ ",
};

static const char *const proxy[] = {
	"ALL_PROXY=" PROXY,
	"HTTP_PROXY=" PROXY,
	"HTTPS_PROXY=" PROXY,
	"http_proxy=" PROXY,
	"https_proxy=" PROXY,
	"all_proxy=" PROXY,
	"grpc_proxy=" PROXY,
	"NO_PROXY=127.0.0.1,localhost,::1",
	"no_proxy=127.0.0.1,localhost,::1",
	"NODE_USE_ENV_PROXY=1",
};

static const char *const tls[] = {
	"NODE_EXTRA_CA_CERTS=" CA, "DENO_CERT=" CA,
	"SSL_CERT_FILE=" BUNDLE,   "REQUESTS_CA_BUNDLE=" BUNDLE,
	"CURL_CA_BUNDLE=" BUNDLE,  "GIT_SSL_CAINFO=" BUNDLE,
	"PIP_CERT=" BUNDLE,	   "CARGO_HTTP_CAINFO=" BUNDLE,
	"AWS_CA_BUNDLE=" BUNDLE,
};

struct builder {
	const char *entry[ENTRIES_MAX];
	size_t count;
};

static size_t name_len(const char *entry)
{
	return strcspn(entry, "=");
}

/* A later entry of the same name takes the place of the earlier. */
static int put(struct builder *b, const char *entry)
{
	size_t n = name_len(entry);

	if (!n || entry[n] != '=')
		return -EINVAL;
	for (size_t i = 0; i < b->count; i++)
		if (strncmp(b->entry[i], entry, n + 1) == 0) {
			b->entry[i] = entry;
			return 0;
		}
	if (b->count == ENTRIES_MAX - 1)
		return -E2BIG;
	b->entry[b->count++] = entry;
	return 0;
}

static int put_all(struct builder *b, const char *const *entries, size_t count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = put(b, entries[i]);
	return r;
}

static int put_list(struct builder *b, const char *const *list, bool is_user)
{
	int r = 0;

	for (; r == 0 && list && *list; list++) {
		/* Names of ours cannot be set from outside. */
		if (is_user && strncmp(*list, "OPENSHELL_", strlen("OPENSHELL_")) == 0)
			continue;
		r = put(b, *list);
	}
	return r;
}

/* One allocation: the array, then the texts. */
static int flatten(const struct builder *b, char ***ret_envp)
{
	size_t bytes = (b->count + 1) * sizeof(char *);
	char **envp, *at;

	for (size_t i = 0; i < b->count; i++)
		bytes += strlen(b->entry[i]) + 1;
	envp = malloc(bytes);
	if (!envp)
		return -ENOMEM;
	at = (char *)(envp + b->count + 1);
	for (size_t i = 0; i < b->count; i++) {
		size_t n = strlen(b->entry[i]) + 1;

		memcpy(at, b->entry[i], n);
		envp[i] = at;
		at += n;
	}
	envp[b->count] = NULL;
	*ret_envp = envp;
	return 0;
}

int osh_sandbox_env_build(const struct osh_sandbox_env *env, char ***ret_envp)
{
	osh_auto_free struct builder *b = calloc(1, sizeof(*b));
	char term[128];
	int r;

	if (!b)
		return -ENOMEM;
	(void)snprintf(term, sizeof(term), "TERM=%s",
		       env->term && env->term[0] ? env->term : "xterm-256color");
	r = put_all(b, fixed, OSH_ARRAY_SIZE(fixed));
	if (r == 0)
		r = put(b, term);
	if (r == 0)
		r = put_list(b, env->user, true);
	if (r == 0)
		r = put_all(b, proxy, OSH_ARRAY_SIZE(proxy));
	if (r == 0 && env->has_ca)
		r = put_all(b, tls, OSH_ARRAY_SIZE(tls));
	if (r == 0)
		r = put_list(b, env->placeholders, false);
	return r < 0 ? r : flatten(b, ret_envp);
}
