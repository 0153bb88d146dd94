/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's pools of hugepages that viaductd.yaml wants (`hugepages:`), for each NUMA node and page size. They are brought to
 * what is wanted at the daemon's start, as far as the kernel can while it runs; what is missing is an alarm that names the
 * kernel's command line. A pool that has more is left alone. Pages that viaduct added and the configuration wants no
 * longer are given back at a later start of the same boot; none that are in use (privops_hugepages.c keeps the record).
 */
#ifndef VIADUCT_VF_MANAGER_HUGEPOOLS_H
#define VIADUCT_VF_MANAGER_HUGEPOOLS_H

#include "vf-manager/daemon.h"

struct hugepool {
	uint64_t have; /* pages of the pool: surplus pages, which come and go with VMs, are none */
	uint64_t used; /* of these */
};

/* Op locked. What cannot be had is logged. */
void hugepools_apply(struct daemon *d);

/* "node0-1G". Returns buf. */
#define HUGEPOOL_TEXT 32
char *hugepool_name(const struct config_hugepages *pool, char buf[HUGEPOOL_TEXT]);

/* True: the pool has fewer pages than are wanted, and text says how many. */
bool hugepool_is_short(const struct daemon *d, const struct config_hugepages *pool, char *text,
		       size_t cap);

/* "hugepagesz=1G hugepages=0:4,1:4": all pools of the size, as the kernel's command line has them (kernel-parameters.txt).
 * Returns buf. */
char *hugepools_cmdline(const struct config *config, uint64_t page_bytes, char *buf, size_t cap);

#endif
