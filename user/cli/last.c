/* SPDX-License-Identifier: MIT */
/*
 * The sandbox used last, per control socket, in a small file below XDG_STATE_HOME. It is a
 * convenience: when it cannot be read or written, there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cli/rpc.h"
#include "policy/names.h"

static bool state_file(const struct osh_cli *cli, bool make, char *dst, size_t size)
{
	const char *xdg = secure_getenv("XDG_STATE_HOME"), *home = secure_getenv("HOME");
	char dir[3072];
	uint64_t h = 0xcbf29ce484222325ull;
	int n;

	if (xdg && *xdg == '/')
		n = snprintf(dir, sizeof(dir), "%s/openshell", xdg);
	else if (home && *home == '/')
		n = snprintf(dir, sizeof(dir), "%s/.local/state/openshell", home);
	else
		return false;
	if (n < 0 || (size_t)n >= sizeof(dir))
		return false;
	/* parents first; what exists stays as it is */
	for (char *p = dir + 1; make && (p = strchr(p, '/')); p++) {
		*p = '\0';
		(void)mkdir(dir, 0700);
		*p = '/';
	}
	if (make)
		(void)mkdir(dir, 0700);
	for (const char *p = cli->socket; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3ull;
	n = snprintf(dst, size, "%s/last-%016llx", dir, (unsigned long long)h);
	return n > 0 && (size_t)n < size;
}

static bool load(const struct osh_cli *cli, char dst[64])
{
	char path[4096];
	osh_auto_close int fd = -1;
	ssize_t n;

	if (!state_file(cli, false, path, sizeof(path)))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd < 0 ? -1 : read(fd, dst, 63);
	if (n <= 0)
		return false;
	dst[n] = '\0';
	return osh_sandbox_name_ok(osh_str(dst), NULL);
}

const char *osh_last_resolve(struct osh_cli *cli, const char *given, char dst[64])
{
	if (given) {
		const char *why;

		if (osh_sandbox_name_ok(osh_str(given), &why))
			return given;
		(void)osh_cli_fail(cli, NULL, NULL, "sandbox name %s %s", OSH_Q(given), why);
		return NULL;
	}
	if (!load(cli, dst)) {
		(void)osh_cli_fail(cli, NULL, NULL,
				   "No sandbox name provided and no last-used sandbox.\n"
				   "Specify a sandbox name or connect to one first: openshell "
				   "sandbox connect <name>");
		return NULL;
	}
	osh_cli_note(cli, cli->err, '>', "Using sandbox '%s' (last used)", dst);
	return dst;
}

void osh_last_save(struct osh_cli *cli, const char *name)
{
	char path[4096], tmp[4112];
	osh_auto_close int fd = -1;

	if (!state_file(cli, true, path, sizeof(path)))
		return;
	(void)snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid());
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	if (write(fd, name, strlen(name)) != (ssize_t)strlen(name) || rename(tmp, path) < 0)
		(void)unlink(tmp);
}

void osh_last_clear(struct osh_cli *cli, const char *name)
{
	char path[4096], have[64];

	if (load(cli, have) && !strcmp(have, name) && state_file(cli, false, path, sizeof(path)))
		(void)unlink(path);
}

/* ---- small helpers about arguments ---- */

int osh_cli_read_file(struct osh_cli *cli, const char *what, const char *path, size_t max,
		      struct osh_buf *ret_text)
{
	osh_auto_close int fd = -1;
	int r;

	osh_buf_fini(ret_text);
	osh_buf_init(ret_text, max, 0);
	fd = !strcmp(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	r = fd < 0 ? -errno : osh_buf_read_all(ret_text, fd);
	if (r == -EMSGSIZE)
		return osh_cli_fail(cli, what, NULL, "%s is bigger than %zu bytes", path, max);
	if (r < 0)
		return osh_cli_fail(cli, what, NULL, "%s: %s", path, strerror(-r));
	return 0;
}

int osh_cli_pairs(struct osh_cli *cli, const struct osh_args *args, const char *option,
		  const char *json_key, struct osh_json *j)
{
	size_t n = osh_args_count(args, option);

	if (!n)
		return 0;
	osh_json_key(j, json_key);
	osh_json_obj(j);
	for (size_t i = 0; i < n; i++) {
		struct osh_str pair = osh_str(osh_args_at(args, option, i));
		size_t eq = osh_str_find(pair, '=');
		osh_auto_free char *key = osh_str_dup(osh_str_sub(pair, 0, eq));

		if (eq == pair.n || !eq || !key)
			return osh_cli_usage(cli, args,
					     "invalid value %s for --%s: expected KEY=VALUE",
					     OSH_Q(pair.p), option);
		for (size_t k = 0; k < i; k++) {
			struct osh_str other = osh_str(osh_args_at(args, option, k));

			if (osh_str_has_prefix(other, osh_str_sub(pair, 0, eq + 1)))
				return osh_cli_usage(cli, args, "--%s %s was given twice", option,
						     OSH_Q(key));
		}
		osh_json_kstr(j, key, osh_str_sub(pair, eq + 1, pair.n));
	}
	osh_json_obj_end(j);
	return 0;
}

int osh_cli_u64(struct osh_cli *cli, const struct osh_args *args, const char *option, uint64_t max,
		uint64_t otherwise, uint64_t *ret_value)
{
	const char *text = osh_args_get(args, option);

	*ret_value = otherwise;
	if (!text || osh_parse_u64(osh_str(text), max, ret_value) == 0)
		return 0;
	return osh_cli_usage(cli, args, "invalid value %s for %s%s: expected a number up to %llu",
			     OSH_Q(text), strlen(option) > 1 ? "--" : "-", option,
			     (unsigned long long)max);
}
