/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether a VM could start here and now: everything that can be known before anything is changed.
 */
#ifndef VIADUCT_VF_MANAGER_VMCHECK_H
#define VIADUCT_VF_MANAGER_VMCHECK_H

#include "vf-manager/caller.h"
#include "vf-manager/daemon.h"
#include "vf-manager/vmimage.h"
#include "vf-manager/vmspec.h"

struct vm_files {
	int kernel, initrd; /* -1: none */
	int firmware, fresh_vars; /* of the host's package; -1: none */
	struct vm_image images[VMM_MAX_DISKS]; /* of the disks, in order; not locked yet */
	unsigned int image_count;
	int cloud[CLOUD_FILES]; /* what the seed is made of; -1: none */
};
#define VM_FILES_NONE                                                                           \
	{                                                                                       \
		.kernel = -1, .initrd = -1, .firmware = -1, .fresh_vars = -1, .image_count = 0, \
		.cloud = {                                                                      \
			-1,                                                                     \
			-1,                                                                     \
			-1                                                                      \
		}                                                                               \
	}

void vm_files_close(struct vm_files *files);

/* Opens what the file names, as the caller; looks at form and size. */
int vm_files_open(struct daemon *d, const struct caller *who, const struct vm_spec *spec,
		  struct vm_files *out, struct err *e);

/* What a check says beside yes: texts, and rows of budget.h (NULL: nobody wants them). */
struct vm_notes {
	json_t *warnings, *budget;
};

/* The operator's word that a VM may have functions whose interrupts are not isolated from the host's. */
#define UNSAFE_REASON_TEXT 201
struct vm_unsafe {
	char reason[UNSAFE_REASON_TEXT]; /* "": no such word */
	bool is_taken; /* the host has no interrupt remapping: the VM rests on that word */
};

/* KVM, IOMMU and interrupt remapping, memory, hugepages, memlock, DMA maps, CPUs, NUMA nodes. Fills unsafe->is_taken. No
 * lock held. */
int vm_host_check(struct daemon *d, const struct vm_spec *spec, const struct vm_notes *notes,
		  struct vm_unsafe *unsafe, struct err *e);

#endif
