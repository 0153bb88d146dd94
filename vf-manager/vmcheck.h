/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether a VM could start here and now: everything that can be known before anything is changed.
 */
#ifndef VIADUCT_VF_MANAGER_VMCHECK_H
#define VIADUCT_VF_MANAGER_VMCHECK_H

#include "vf-manager/caller.h"
#include "vf-manager/daemon.h"
#include "vf-manager/vmspec.h"

struct vm_files {
	int kernel, initrd; /* -1: none */
};
void vm_files_close(struct vm_files *files);

/* Opens what the file names, as the caller; looks at form and size. */
int vm_files_open(const struct daemon *d, const struct caller *who, const struct vm_spec *spec,
		  struct vm_files *out, struct err *e);

/* KVM, IOMMU and interrupt remapping, memory, hugepages, memlock, CPUs, NUMA nodes. No lock held. */
int vm_host_check(struct daemon *d, const struct vm_spec *spec, json_t *warnings, struct err *e);

/* What RLIMIT_MEMLOCK of the VMM must allow: guest RAM and what else it may lock; 0: no device does
 * DMA, so nothing is pinned. */
uint64_t vm_memlock_need(const struct vm_spec *spec);

#endif
