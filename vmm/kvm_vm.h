/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VM of KVM: what the host's KVM must be able to do, the order in which a VM is set up, and the
 * interrupt controllers in the kernel with their power-on state. The full irqchip (PIC, IOAPIC and
 * LAPICs in the kernel) is the only kind built; a split one would replace kvm_vm_irqchip_*.
 */
#ifndef VIADUCT_VMM_KVM_VM_H
#define VIADUCT_VMM_KVM_VM_H

#include "vmm/cpuid.h"

#include "base/err.h"

#include <linux/kvm.h>

/* Power-on state of PIC, IOAPIC and PIT, given back at guest reset. */
struct kvm_vm_irqchip {
	struct kvm_irqchip chips[3];
	struct kvm_pit_state2 pit;
};

/* Checks the extensions, then makes a VM with its irqchip, PIT and x2APIC interface: ready for
 * memory and that many vCPUs. *vm_fd is the caller's. -ERANGE code "kvm-vcpus": KVM makes fewer. */
int kvm_vm_setup(int kvm_fd, unsigned int cpu_count, int *vm_fd, struct kvm_vm_irqchip *irqchip,
		 struct err *e);

int kvm_vm_irqchip_reset(int vm_fd, const struct kvm_vm_irqchip *irqchip, struct err *e);

/* Leaves HLT, PAUSE and, where the host can, MWAIT to the guest: its vCPUs keep their host CPUs when
 * they idle. Before the first vCPU. -ENOTSUP code "dedicated-unsupported". */
int kvm_vm_dedicate(int vm_fd, uint32_t *exits_off, struct err *e);

/* The CPU model for cpu_count vCPUs on this host. exits_off: of kvm_vm_dedicate(), or 0. */
int kvm_vm_cpu_model(int kvm_fd, unsigned int cpu_count, uint32_t exits_off,
		     struct cpu_model *model, struct err *e);

#endif
