/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What this process gives up, in the order of its life. DPDK opens its own devices, so less can be given up than in a
 * VMM: files are limited by landlock, system calls by a list of what is never needed, capabilities by kinds of uplinks.
 */
#ifndef VIADUCT_PMD_BACKENDS_SANDBOX_H
#define VIADUCT_PMD_BACKENDS_SANDBOX_H

#include "base/err.h"

/* First of all: no new privileges, no core dumps, no fd but standard ones and keep_fd. */
int sandbox_process(int keep_fd, struct err *e);

/*
 * Before DPDK starts its threads. `uplink_kinds`: BIT(enum pmd_uplink_kind). Of the capabilities that the process was
 * given, those stay that the kinds need (none for pci and null). A kernel without landlock: files are as the uid may.
 */
int sandbox_enter(uint32_t uplink_kinds, struct err *e);

/* For disks: no file can be named any more, no capability is left. Then, when all threads run: only the calls that serving
 * takes. */
int sandbox_block_enter(struct err *e);
int sandbox_block_filter(struct err *e);

/* When DPDK runs: nobody may look into the process any more. (Earlier, it could not read its own /proc files.) */
int sandbox_hide(struct err *e);

#endif
