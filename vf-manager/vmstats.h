/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exit accounting of one VM: what its VMM says (STATS of vmm_msg.h), beside what the host counts of its
 * ports' interrupts. The VMM is not trusted: every name, number and length of its reply is checked, and
 * the API's STATS is built anew from what passed.
 */
#ifndef VIADUCT_VF_MANAGER_VMSTATS_H
#define VIADUCT_VF_MANAGER_VMSTATS_H

#include "vf-manager/daemon.h"

#include <jansson.h>

struct stats_source {
	const json_t *reply; /* the VMM's */
	const json_t *ports; /* of the VM's facts, the daemon's own */
	const char *interrupts; /* /proc/interrupts */
	int sysfs_fd; /* /sys */
};

/* The members that come from there; a new reference. -EINVAL and kin name what is wrong in the reply. */
int stats_build(const struct stats_source *src, json_t **out, struct err *e);

/* The API's STATS of a VM that runs. -EOPNOTSUPP code "vmm-too-old": its VMM knows no such request. */
int vm_stats(struct daemon *d, const char *name, json_t **out, struct err *e);

#endif
