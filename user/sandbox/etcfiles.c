/* SPDX-License-Identifier: MIT */
#include "sandbox/etcfiles.h"

#include "sandbox/jks.h"

#include <fcntl.h>
#include <sys/stat.h>

#define BUNDLE_MAX   (16u * 1024 * 1024)
#define JAVA_CACERTS "/etc/ssl/certs/java/cacerts"

static int write_all(int fd, struct osh_str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s = osh_str_sub(s, (size_t)n, s.n);
	}
	return 0;
}

static int write_file(int dir_fd, const char *name, struct osh_str text)
{
	osh_auto_close int fd = openat(dir_fd, name,
				       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return -errno;
	return write_all(fd, text);
}

static int add_accounts(const struct osh_sandbox_ids *ids, struct osh_buf *passwd,
			struct osh_buf *group)
{
	int r = osh_buf_printf(passwd,
			       "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n"
			       "%s:x:%u:%u:sandbox:%s:/bin/bash\n",
			       OSH_SANDBOX_USER, ids->uid, ids->gid, OSH_SANDBOX_HOME);

	if (r == 0 && ids->uid != 65534)
		r = osh_buf_printf(passwd, "nobody:x:65534:65534:nobody:/nonexistent:"
					   "/usr/sbin/nologin\n");
	if (r == 0)
		r = osh_buf_printf(group, "root:x:0:\n%s:x:%u:\n", OSH_SANDBOX_USER, ids->gid);
	if (r == 0 && ids->gid != 65534)
		r = osh_buf_printf(group, "nogroup:x:65534:\n");
	return r;
}

/* The host's roots and ours. A host without a bundle has no roots to offer: ours alone. */
static int merge_bundle(const struct osh_spec *spec, struct osh_buf *bundle)
{
	osh_auto_close int fd = open(spec->system_bundle, O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0 && errno != ENOENT)
		return -errno;
	if (fd >= 0)
		r = osh_buf_read_all(bundle, fd);
	if (r == 0 && bundle->len && bundle->data[bundle->len - 1] != '\n')
		r = osh_buf_add_c(bundle, '\n');
	if (r == 0)
		r = osh_buf_add_str(bundle, spec->ca_pem);
	return r;
}

static int make_dir(int dir_fd, const char *name, int *ret_fd)
{
	if (mkdirat(dir_fd, name, 0755) < 0)
		return -errno;
	*ret_fd = openat(dir_fd, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *ret_fd < 0 ? -errno : 0;
}

/* Java knows no bundle: its own store is replaced where the host has one. */
static int write_java(int certs_fd, struct osh_str bundle)
{
	osh_auto_bufmem struct osh_buf jks;
	osh_auto_close int java = -1;
	int r;

	osh_buf_init(&jks, BUNDLE_MAX, 0);
	if (access(JAVA_CACERTS, F_OK) < 0)
		return 0;
	r = osh_jks_from_pem(bundle, &jks);
	if (r == 0)
		r = make_dir(certs_fd, "java", &java);
	return r ? r : write_file(java, "cacerts", osh_buf_str(&jks));
}

static int write_tls(int etc_fd, const struct osh_spec *spec)
{
	osh_auto_close int tls = -1, ssl = -1, certs = -1;
	osh_auto_bufmem struct osh_buf bundle;
	int r;

	osh_buf_init(&bundle, BUNDLE_MAX, 0);
	r = merge_bundle(spec, &bundle);
	if (r == 0)
		r = make_dir(etc_fd, "openshell-tls", &tls);
	if (r == 0)
		r = write_file(tls, "openshell-ca.pem", spec->ca_pem);
	if (r == 0)
		r = write_file(tls, "ca-bundle.pem", osh_buf_str(&bundle));
	/* For programs that ask no variable: the place where the system keeps its bundle. */
	if (r == 0)
		r = make_dir(etc_fd, "ssl", &ssl);
	if (r == 0)
		r = make_dir(ssl, "certs", &certs);
	if (r == 0 &&
	    symlinkat("../../openshell-tls/ca-bundle.pem", certs, "ca-certificates.crt") < 0)
		r = -errno;
	return r ? r : write_java(certs, osh_buf_str(&bundle));
}

int osh_etc_write(int etc_fd, const struct osh_spec *spec, const char **ret_what)
{
	struct {
		const char *name;
		struct osh_buf text;
	} files[] = {
		{ .name = "resolv.conf" }, { .name = "hosts" }, { .name = "hostname" },
		{ .name = "passwd" },	   { .name = "group" },
	};
	int r;

	for (size_t i = 0; i < OSH_ARRAY_SIZE(files); i++)
		osh_buf_init(&files[i].text, 64u * 1024, 0);
	*ret_what = "text";
	r = osh_buf_printf(&files[0].text, "nameserver %s\noptions edns0\n", spec->dns_addr);
	if (r == 0)
		r = osh_buf_printf(&files[1].text,
				   "127.0.0.1\tlocalhost %s\n"
				   "::1\t\tlocalhost ip6-localhost ip6-loopback\n",
				   spec->name);
	if (r == 0)
		r = osh_buf_printf(&files[2].text, "%s\n", spec->name);
	if (r == 0)
		r = add_accounts(&spec->ids, &files[3].text, &files[4].text);
	for (size_t i = 0; r == 0 && i < OSH_ARRAY_SIZE(files); i++) {
		*ret_what = files[i].name;
		r = write_file(etc_fd, files[i].name, osh_buf_str(&files[i].text));
	}
	for (size_t i = 0; i < OSH_ARRAY_SIZE(files); i++)
		osh_buf_fini(&files[i].text);
	if (r == 0 && spec->ca_pem.n) {
		*ret_what = "openshell-tls";
		r = write_tls(etc_fd, spec);
	}
	return r;
}

static int write_home_file(int home_fd, const char *name, const char *text,
			   const struct osh_sandbox_ids *ids)
{
	int r = write_file(home_fd, name, osh_str(text));

	if (r == 0 && fchownat(home_fd, name, ids->uid, ids->gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r;
}

/*
 * A login shell reads /etc/profile first, which on some systems sets another prompt; the user's own
 * file has the last word.
 */
int osh_etc_seed_home(int home_fd, const struct osh_sandbox_ids *ids)
{
	int r = write_home_file(home_fd, ".profile",
				"# Read by login shells.\n"
				"if [ -n \"$BASH_VERSION\" ] && [ -r ~/.bashrc ]; then\n"
				"\t. ~/.bashrc\n"
				"fi\n"
				"case \":$PATH:\" in\n"
				"*:\"$HOME/.local/bin\":*) ;;\n"
				"*) PATH=\"$HOME/.local/bin:$PATH\" ;;\n"
				"esac\n",
				ids);

	if (r == 0)
		r = write_home_file(home_fd, ".bashrc",
				    "# Read by interactive shells.\n"
				    "case $- in\n"
				    "*i*) ;;\n"
				    "*) return ;;\n"
				    "esac\n"
				    "PS1='\\u@\\h:\\w\\$ '\n"
				    "PROMPT_COMMAND=\n"
				    "HISTCONTROL=ignoreboth\n"
				    "shopt -s checkwinsize\n",
				    ids);
	return r;
}
