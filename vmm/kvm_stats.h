/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM's binary statistics of a VM or a vCPU (Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD): a file
 * with a header, descriptors and data. The descriptors are read once; a sample is one pread(2) that
 * stops no vCPU. Of what KVM counts, the numbers named in kvm_stats_vm_names[] and
 * kvm_stats_vcpu_names[] are taken, under KVM's own names; those that a host's KVM lacks are absent.
 */
#ifndef VIADUCT_VMM_KVM_STATS_H
#define VIADUCT_VMM_KVM_STATS_H

#include "base/err.h"

#define KVM_STATS_NAMES 32 /* of one set, at most */

struct kvm_stats_names {
	const char *const *names;
	size_t count;
};

extern const struct kvm_stats_names kvm_stats_vm_names;
extern const struct kvm_stats_names kvm_stats_vcpu_names;

/* Where in the file each name's number lies. */
struct kvm_stats_layout {
	const struct kvm_stats_names *set;
	uint32_t data_offset;
	uint32_t data_bytes; /* of the data block, up to the last number wanted */
	bool present[KVM_STATS_NAMES];
	uint32_t offset[KVM_STATS_NAMES]; /* in the data block */
};

/* Reads header and descriptors of a statistics fd. -EBADMSG when they make no sense: lengths, counts
 * and offsets are compared with fixed bounds. What is no single number (a histogram) is passed over. */
int kvm_stats_layout_read(int stats_fd, const struct kvm_stats_names *set,
			  struct kvm_stats_layout *out, struct err *e);

/* One sample; values has a place for each name of the set, 0 for those absent. -EIO when it ends early. */
int kvm_stats_read(int stats_fd, const struct kvm_stats_layout *layout,
		   uint64_t values[KVM_STATS_NAMES]);

#endif
