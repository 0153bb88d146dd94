/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM's ioctls, one function each, no policy (Documentation/virt/kvm/api.rst). All return 0 (or the
 * value asked for) or a negative errno. The objects with policy are in kvm_vm.c (the VM), vcpu.c,
 * slots.c and irq.c.
 */
#ifndef VIADUCT_VMM_KVM_H
#define VIADUCT_VMM_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

/* On /dev/kvm */
int kvm_api_version(int kvm_fd);
int kvm_extension_check(int fd, int extension); /* /dev/kvm or a VM: 0 means absent */
int kvm_vm_create(int kvm_fd, int *vm_fd);
int kvm_vcpu_mmap_size(int kvm_fd);
int kvm_cpuid_supported(int kvm_fd, struct kvm_cpuid2 *cpuid);
int kvm_msr_index_list(int kvm_fd,
		       struct kvm_msr_list *list); /* -E2BIG: list->nmsrs says how many */

/* On a VM */
int kvm_tss_addr_set(int vm_fd, uint64_t gpa);
int kvm_identity_map_set(int vm_fd, uint64_t gpa);
int kvm_irqchip_create(int vm_fd);
int kvm_pit2_create(int vm_fd, const struct kvm_pit_config *config);
int kvm_cap_enable(int vm_fd, const struct kvm_enable_cap *cap);
int kvm_memory_region_set(int vm_fd, const struct kvm_userspace_memory_region *region);
int kvm_irqchip_get(int vm_fd, struct kvm_irqchip *chip);
int kvm_irqchip_set(int vm_fd, const struct kvm_irqchip *chip);
int kvm_pit2_get(int vm_fd, struct kvm_pit_state2 *pit);
int kvm_pit2_set(int vm_fd, const struct kvm_pit_state2 *pit);
int kvm_gsi_routing_set(int vm_fd, const struct kvm_irq_routing *routing);
int kvm_irq_line(int vm_fd, uint32_t gsi, bool level);
int kvm_irqfd(int vm_fd, const struct kvm_irqfd *irqfd);
int kvm_ioeventfd(int vm_fd, const struct kvm_ioeventfd *ioeventfd);
int kvm_msi_signal(int vm_fd, const struct kvm_msi *msi); /* > 0: delivered, 0: blocked by guest */
int kvm_device_create(int vm_fd, uint32_t type, int *device_fd); /* KVM_DEV_TYPE_* */
int kvm_vcpu_create(int vm_fd, unsigned int id, int *vcpu_fd);

/* On a VM or a vCPU: a file with its statistics (kvm_stats.h) */
int kvm_stats_fd(int fd, int *stats_fd);

/* On a device of kvm_device_create */
int kvm_device_attr_set(int device_fd, const struct kvm_device_attr *attr);

/* On a vCPU */
int kvm_run(int vcpu_fd);
int kvm_cpuid_set(int vcpu_fd, const struct kvm_cpuid2 *cpuid);
int kvm_regs_get(int vcpu_fd, struct kvm_regs *regs);
int kvm_regs_set(int vcpu_fd, const struct kvm_regs *regs);
int kvm_sregs_get(int vcpu_fd, struct kvm_sregs *sregs);
int kvm_sregs_set(int vcpu_fd, const struct kvm_sregs *sregs);
int kvm_msrs_get(int vcpu_fd, struct kvm_msrs *msrs); /* number of MSRs read */
int kvm_msrs_set(int vcpu_fd, const struct kvm_msrs *msrs); /* number of MSRs set */
int kvm_translate(int vcpu_fd, struct kvm_translation *t); /* linear to guest-physical */
int kvm_lapic_get(int vcpu_fd, struct kvm_lapic_state *lapic);
int kvm_lapic_set(int vcpu_fd, const struct kvm_lapic_state *lapic);
int kvm_mp_state_get(int vcpu_fd, struct kvm_mp_state *mp);
int kvm_mp_state_set(int vcpu_fd, const struct kvm_mp_state *mp);
int kvm_events_get(int vcpu_fd, struct kvm_vcpu_events *events);
int kvm_events_set(int vcpu_fd, const struct kvm_vcpu_events *events);
int kvm_xsave_get(int vcpu_fd, struct kvm_xsave *xsave);
int kvm_xsave_set(int vcpu_fd, const struct kvm_xsave *xsave);
int kvm_xcrs_get(int vcpu_fd, struct kvm_xcrs *xcrs);
int kvm_xcrs_set(int vcpu_fd, const struct kvm_xcrs *xcrs);
int kvm_debugregs_get(int vcpu_fd, struct kvm_debugregs *regs);
int kvm_debugregs_set(int vcpu_fd, const struct kvm_debugregs *regs);
int kvm_clock_pause(int vcpu_fd); /* KVM_KVMCLOCK_CTRL; -EINVAL: the guest uses none */
int kvm_tsc_khz_get(int vcpu_fd);
int kvm_tsc_khz_set(int vcpu_fd, uint32_t khz);

#endif
