/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The CPU that guests see: what KVM supports on this host, put through a table of allowed leaves.
 * The host's vendor stays, the physical address width is clamped, SVM, VMX, SEV, TDX, SGX, PT and
 * the PMU are hidden, KVM's own leaves are listed one by one, topology is N cores of one thread.
 */
#ifndef VIADUCT_VMM_CPUID_H
#define VIADUCT_VMM_CPUID_H

#include "base/err.h"

#include <linux/kvm.h>

#define CPUID_ENTRIES_MAX 256
#define CPU_PHYS_BITS_MAX 46 /* firmware and Linux place no BAR above with 4-level paging */

struct cpu_model {
	unsigned int cpu_count;
	unsigned int phys_bits; /* guest-physical address width */
	bool tsc_invariant;
	uint32_t tsc_khz; /* set when the first vCPU is made; 0: the host does not say */
	bool tsc_deadline;
	uint32_t entry_count;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX]; /* of vCPU 0; see cpu_model_for */
};

/* Pure: from KVM_GET_SUPPORTED_CPUID's answer. -EINVAL if a leaf that guests need is missing. */
int cpu_model_init(struct cpu_model *model, const struct kvm_cpuid2 *host, unsigned int cpu_count,
		   bool tsc_deadline, struct err *e);

/* The leaves of one vCPU (APIC id = vCPU id) into out, which holds CPUID_ENTRIES_MAX entries. */
void cpu_model_for(const struct cpu_model *model, unsigned int cpu, struct kvm_cpuid2 *out);

#endif
