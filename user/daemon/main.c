/* SPDX-License-Identifier: MIT */
/*
 * openshelld: the monitor, or (executed again by it) one of the roles, or (executed by the sandbox
 * library) the first process of a sandbox.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/log.h"
#include "daemon/confine.h"
#include "daemon/fdstore.h"
#include "daemon/monitor.h"
#include "daemon/proxyconf.h"
#include "openshell/role.h"
#include "openshell/version.h"
#include "policy/model.h"
#include "proxy/config.h"
#include "proxy/proxy.h"
#include "sandbox/init.h"
#include "sys/fs.h"
#include "tls/signer.h"

enum opt {
	OPT_ROLE = 256,
	OPT_UID,
	OPT_GID,
	OPT_INDEX,
	OPT_BURST,
	OPT_PER_S,
	OPT_STATE_DIR,
	OPT_RUNTIME_DIR,
	OPT_BPF_DIR,
	OPT_CGROUP,
};

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "check", no_argument, NULL, 'n' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR },
	{ "bpf-dir", required_argument, NULL, OPT_BPF_DIR },
	{ "cgroup", required_argument, NULL, OPT_CGROUP },
	{ "role", required_argument, NULL, OPT_ROLE },
	{ "uid", required_argument, NULL, OPT_UID },
	{ "gid", required_argument, NULL, OPT_GID },
	{ "index", required_argument, NULL, OPT_INDEX },
	{ "certificates-burst", required_argument, NULL, OPT_BURST },
	{ "certificates-per-s", required_argument, NULL, OPT_PER_S },
	{ 0 },
};

static const char usage_text[] =
	"Usage: openshelld [OPTION]...\n"
	"The OpenShell enforcement agent. Runs in the foreground.\n"
	"\n"
	"  -c, --config FILE      configuration (default " OSH_CONFIG_PATH ")\n"
	"  -n, --check            check the configuration and exit\n"
	"      --state-dir DIR    instead of state_dir of the configuration\n"
	"      --runtime-dir DIR  instead of runtime_dir\n"
	"      --bpf-dir DIR      instead of bpf_dir\n"
	"      --cgroup NAME      instead of agent_cgroup\n"
	"  -v, --verbose          log more; twice: debugging\n"
	"  -V, --version\n"
	"  -h, --help\n";

struct args {
	const char *config, *state_dir, *runtime_dir, *bpf_dir, *cgroup, *role;
	uint64_t uid, gid, index, burst, per_s;
	bool check;
	enum osh_log_level level;
};

static int number(const char *text, uint64_t *ret_value)
{
	int r = osh_parse_u64(osh_str(text), UINT32_MAX - 1, ret_value);

	if (r < 0)
		fprintf(stderr, "openshelld: %s is not a number\n", OSH_Q(text));
	return r;
}

/* 0: go on; 1: done, exit 0; negative: usage error. */
static int parse_args(int argc, char **argv, struct args *a)
{
	int c, r = 0;

	while (r == 0 && (c = getopt_long(argc, argv, "c:nvhV", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			a->config = optarg;
			break;
		case 'n':
			a->check = true;
			break;
		case 'v':
			a->level = a->level < OSH_LOG_DEBUG ? a->level + 1 : a->level;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return 1;
		case 'V':
			puts("openshelld " OSH_VERSION);
			return 1;
		case OPT_STATE_DIR:
			a->state_dir = optarg;
			break;
		case OPT_RUNTIME_DIR:
			a->runtime_dir = optarg;
			break;
		case OPT_BPF_DIR:
			a->bpf_dir = optarg;
			break;
		case OPT_CGROUP:
			a->cgroup = optarg;
			break;
		case OPT_ROLE:
			a->role = optarg;
			break;
		case OPT_UID:
			r = number(optarg, &a->uid);
			break;
		case OPT_GID:
			r = number(optarg, &a->gid);
			break;
		case OPT_INDEX:
			r = number(optarg, &a->index);
			break;
		case OPT_BURST:
			r = number(optarg, &a->burst);
			break;
		case OPT_PER_S:
			r = number(optarg, &a->per_s);
			break;
		default:
			return -EINVAL;
		}
	}
	if (r == 0 && optind < argc) {
		fprintf(stderr, "openshelld: unexpected argument %s\n", OSH_Q(argv[optind]));
		r = -EINVAL;
	}
	return r;
}

static int role_main(const struct args *a)
{
	bool signer = strcmp(a->role, "signer") == 0;
	int r;

	osh_log_init(a->role, a->level);
	if ((!signer && strcmp(a->role, "proxy") != 0) || !a->uid || !a->gid) {
		osh_log_error("role %s is not one, or has no user of its own", OSH_Q(a->role));
		return EXIT_FAILURE;
	}
	r = osh_confine_role(signer ? OSH_ROLE_SIGNER : OSH_ROLE_PROXY, (uid_t)a->uid,
			     (gid_t)a->gid);
	if (r < 0) {
		osh_log_err(r, "cannot confine the %s; not starting it", a->role);
		return EXIT_FAILURE;
	}
	return signer ? osh_signer_main(OSH_ROLE_MONITOR_FD, OSH_ROLE_MONITOR_FD + 1,
					(uint32_t)a->burst, (uint32_t)a->per_s)
		      : osh_proxy_main(OSH_ROLE_MONITOR_FD);
}

/* Left empty when the host table is full: then there is no self-test. */
static int make_selftest_host(struct osh_config *cfg)
{
	unsigned char random[16];
	char hex[2 * sizeof(random) + 1];

	if (cfg->nhosts >= OSH_PX_HOSTS_MAX)
		return 0;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	osh_hex(hex, random, sizeof(random));
	(void)snprintf(cfg->selftest_host, sizeof(cfg->selftest_host), "st-%s.selftest.invalid",
		       hex);
	return 0;
}

static int load_config(const struct args *a, struct osh_config *ret_cfg)
{
	osh_auto_bufmem struct osh_buf text;
	osh_auto_diag struct osh_diag diag;
	int r;

	osh_diag_init(&diag, NULL);
	osh_buf_init(&text, 1 << 20, 0);
	r = osh_config_load(a->config, ret_cfg, &diag);
	if (osh_diag_render(&diag, &text) == 0 && text.len)
		fputs(text.data, stderr);
	if (r < 0 && !diag.errors)
		fprintf(stderr, "openshelld: cannot load the configuration: %s\n", strerror(-r));
	if (r == 0)
		r = make_selftest_host(ret_cfg);
	if (r < 0)
		return r;
	if (a->state_dir)
		r = osh_config_set(ret_cfg, &ret_cfg->state_dir, a->state_dir);
	if (r == 0 && a->runtime_dir)
		r = osh_config_set(ret_cfg, &ret_cfg->runtime_dir, a->runtime_dir);
	if (r == 0 && a->bpf_dir)
		r = osh_config_set(ret_cfg, &ret_cfg->bpf_dir, a->bpf_dir);
	if (r == 0 && a->cgroup)
		r = osh_config_set(ret_cfg, &ret_cfg->agent_cgroup, a->cgroup);
	return r;
}

/* What the configuration names: a mistake there shows itself late, or only to a sandbox. */
static int check_files(const struct osh_config *cfg)
{
	osh_auto_bufmem struct osh_buf pem, policy, text;
	osh_auto_policy struct osh_policy *doc = NULL;
	osh_auto_diag struct osh_diag diag;
	int r;

	osh_diag_init(&diag, NULL);
	osh_buf_init(&pem, 64 << 20, 0);
	osh_buf_init(&policy, OSH_POLICY_TEXT_MAX_BYTES, 0);
	osh_buf_init(&text, 1 << 20, 0);
	r = osh_proxyconf_bundle(cfg, &pem, &diag);
	if (r == 0 && cfg->default_policy.n) {
		r = osh_fs_read(cfg->default_policy.p, OSH_POLICY_TEXT_MAX_BYTES, &policy);
		diag.file = cfg->default_policy.p;
		if (r < 0) {
			/* the daemon starts without; who creates a sandbox is told */
			osh_diag_warn(&diag, 0, 0, "cannot read the default policy: %s",
				      strerror(-r));
			r = 0;
		} else {
			r = osh_policy_load(osh_buf_str(&policy), diag.file, &doc, &diag);
		}
	}
	if (osh_diag_render(&diag, &text) == 0 && text.len)
		fputs(text.data, stderr);
	return r;
}

int main(int argc, char **argv)
{
	struct args a = { .level = OSH_LOG_INFO };
	struct osh_config cfg = { 0 };
	int r;

	if (osh_init_is_role(argc, argv))
		return osh_init_main();
	r = parse_args(argc, argv, &a);
	if (r < 0) {
		fputs("Try 'openshelld --help'.\n", stderr);
		return 2;
	}
	if (r > 0)
		return EXIT_SUCCESS;
	if (a.role)
		return role_main(&a);
	osh_log_init("openshelld", a.level);
	osh_fdstore_init();
	if (load_config(&a, &cfg) < 0)
		return EXIT_FAILURE;
	if (a.check) {
		r = check_files(&cfg);
		if (r == 0)
			puts("configuration is valid");
		osh_config_fini(&cfg);
		return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	if (geteuid() != 0) {
		fputs("openshelld: must be started as root: it loads BPF programs and makes namespaces\n",
		      stderr);
		return EXIT_FAILURE;
	}
	return osh_monitor_main(&cfg);
}
