/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The CPU that guests see: what KVM supports on this host, put through a table of allowed leaves.
 * The host's vendor stays, the physical address width is clamped, SVM, VMX, SEV, TDX, SGX, PT and
 * the PMU are hidden, KVM's own leaves are listed one by one, topology is N cores of one thread in one
 * package.
 */
#ifndef VIADUCT_VMM_CPUID_H
#define VIADUCT_VMM_CPUID_H

#include "base/err.h"

#include <linux/kvm.h>

#define CPUID_ENTRIES_MAX 256
#define CPU_PHYS_BITS_MAX 46 /* firmware and Linux place no BAR above with 4-level paging */

/* What a VM asks of its CPUs. */
struct cpu_wish {
	unsigned int count; /* up to 254: above, guests need more than an MSI can address */
	bool tsc_deadline; /* KVM has the APIC timer's mode */
	bool is_dedicated; /* each vCPU has a host CPU of its own and does not leave it at HLT */
	uint32_t monitor[4]; /* the host's leaf 5 if MONITOR and MWAIT do not exit either; else zeros */
};

struct cpu_model {
	struct cpu_wish wish;
	unsigned int phys_bits; /* guest-physical address width */
	bool tsc_invariant;
	uint32_t tsc_khz; /* set when the first vCPU is made; 0: the host does not say */
	uint32_t entry_count;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX]; /* of vCPU 0; see cpu_model_for */
};

/* Pure: from KVM_GET_SUPPORTED_CPUID's answer. -EINVAL if a leaf that guests need is missing. */
int cpu_model_init(struct cpu_model *model, const struct kvm_cpuid2 *host,
		   const struct cpu_wish *wish, struct err *e);

/* The leaves of one vCPU (APIC id = vCPU id) into out, which holds CPUID_ENTRIES_MAX entries. After
 * tsc_khz is known: the leaves that tell the TSC's rate have it, and without it the TSC is not said to
 * be invariant. */
void cpu_model_for(const struct cpu_model *model, unsigned int cpu, struct kvm_cpuid2 *out);

#endif
