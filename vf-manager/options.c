// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/options.h"

#include "vf-manager/api.h"

#include "base/parse.h"
#include "base/program.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

/* libc reads it, and sees no hidden symbol. */
__attribute__((visibility("default")))
const char *argp_program_version = "viaductd " VIADUCT_VERSION;

enum {
	OPT_RUN_DIR = 256,
	OPT_STATE_DIR,
	OPT_CONFIG,
	OPT_VMM,
	OPT_AUDIT,
	OPT_PMD,
	OPT_ONESHOT,
	OPT_FD,
	OPT_BACKUP,
	OPT_RESTORE,
	OPT_SYS,
	OPT_DEV,
	OPT_PROC
};

static const struct argp_option argp_options[] = {
	{ "run-dir", OPT_RUN_DIR, "DIR", 0, "sockets and logs (" API_DEFAULT_RUN_DIR ")", 0 },
	{ "state-dir", OPT_STATE_DIR, "DIR", 0, "the ledger (" API_DEFAULT_STATE_DIR ")", 0 },
	{ "config", OPT_CONFIG, "FILE", 0, "configuration (" API_DEFAULT_CONFIG ")", 0 },
	{ "vmm-path", OPT_VMM, "FILE", 0, "the program viaduct-vmm", 0 },
	{ "audit-path", OPT_AUDIT, "FILE", 0, "the program viaduct-audit", 0 },
	{ "pmd-path", OPT_PMD, "FILE", 0, "the program viaduct-pmd", 0 },
	{ "oneshot", OPT_ONESHOT, NULL, 0, "answer read-only requests on one socket, then exit",
	  0 },
	{ "fd", OPT_FD, "N", 0, "the connected socket for --oneshot (3)", 0 },
	{ "backup", OPT_BACKUP, "FILE", 0, "copy the ledger into a new file, then exit", 0 },
	{ "restore", OPT_RESTORE, "FILE", 0, "put a copy in the ledger's place, then exit", 0 },
	{ "verbose", 'v', NULL, 0, "log every request", 0 },
	{ "sysfs", OPT_SYS, "DIR", OPTION_HIDDEN, "for tests: a folder with the shape of /sys", 0 },
	{ "dev", OPT_DEV, "DIR", OPTION_HIDDEN, "for tests: a folder with the shape of /dev", 0 },
	{ "proc", OPT_PROC, "DIR", OPTION_HIDDEN, "for tests: a folder with interrupts and irq/",
	  0 },
	{ 0 },
};

static error_t option_take(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	uint64_t n;

	switch (key) {
	case OPT_RUN_DIR:
		o->run_dir = arg;
		return 0;
	case OPT_STATE_DIR:
		o->state_dir = arg;
		return 0;
	case OPT_CONFIG:
		o->config = arg;
		o->config_is_named = true;
		return 0;
	case OPT_VMM:
		snprintf(o->vmm_path, sizeof(o->vmm_path), "%s", arg);
		return 0;
	case OPT_AUDIT:
		snprintf(o->audit_path, sizeof(o->audit_path), "%s", arg);
		return 0;
	case OPT_PMD:
		snprintf(o->pmd_path, sizeof(o->pmd_path), "%s", arg);
		return 0;
	case OPT_ONESHOT:
		o->is_oneshot = true;
		return 0;
	case OPT_FD:
		if (parse_u64(arg, 1023, &n) < 0)
			argp_error(state, "--fd %s: no file descriptor", arg);
		o->oneshot_fd = (int)n;
		return 0;
	case OPT_BACKUP:
		o->backup = arg;
		return 0;
	case OPT_RESTORE:
		o->restore = arg;
		return 0;
	case OPT_SYS:
		o->sysfs_root = arg;
		return 0;
	case OPT_DEV:
		o->dev_dir = arg;
		return 0;
	case OPT_PROC:
		o->proc_dir = arg;
		return 0;
	case 'v':
		o->log_level = LOG_LEVEL_DEBUG;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const char *from_env(const char *name, const char *fallback)
{
	const char *v = getenv(name);

	return v != NULL && v[0] != '\0' ? v : fallback;
}

/* Beside this program, as installed, else in the build tree's folder of it. */
static void beside(const char *name, const char *in_tree, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "/usr/bin/%s", name);
	(void)program_find((const char *const[]){ name, in_tree, NULL }, out);
}

void options_parse(int argc, char **argv, struct options *out)
{
	static const struct argp argp = {
		argp_options, option_take, NULL, "viaductd: owns PFs, VFs and VMs of this host.",
		NULL,	      NULL,	   NULL
	};

	memset(out, 0, sizeof(*out));
	out->run_dir = from_env("VIADUCT_RUN_DIR", API_DEFAULT_RUN_DIR);
	out->state_dir = from_env("VIADUCT_STATE_DIR", API_DEFAULT_STATE_DIR);
	out->config = from_env("VIADUCT_CONFIG", API_DEFAULT_CONFIG);
	out->config_is_named = getenv("VIADUCT_CONFIG") != NULL;
	out->oneshot_fd = API_ONESHOT_FD;
	out->log_level = LOG_LEVEL_INFO;
	out->dev_dir = "/dev";
	out->proc_dir = "/proc";
	beside("viaduct-vmm", "../vmm/viaduct-vmm", out->vmm_path);
	beside("viaduct-audit", "../iommu/viaduct-audit", out->audit_path);
	beside("viaduct-pmd", "../pmd-backends/viaduct-pmd", out->pmd_path);
	argp_parse(&argp, argc, argv, 0, NULL, out);
}
