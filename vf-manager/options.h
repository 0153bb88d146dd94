/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viaductd's command line and environment.
 */
#ifndef VIADUCT_VF_MANAGER_OPTIONS_H
#define VIADUCT_VF_MANAGER_OPTIONS_H

#include "base/log.h"

#include <limits.h>

struct options {
	const char *run_dir;
	const char *state_dir;
	const char *config;
	bool config_is_named; /* by the operator: it must exist */
	char vmm_path[PATH_MAX];
	char audit_path[PATH_MAX];
	char pmd_path[PATH_MAX];
	bool is_oneshot;
	int oneshot_fd;
	const char *backup, *restore; /* a file; NULL: to serve is meant */
	enum log_level log_level;
	/* For tests: folders with the shape of /sys, /dev and /proc; NULL: the real one. */
	const char *sysfs_root;
	const char *dev_dir; /* never NULL */
	const char *proc_dir; /* never NULL; of /proc: interrupts and irq/ */
};

/* Prints usage and ends the process on --help or a wrong option. */
void options_parse(int argc, char **argv, struct options *out);

#endif
