// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm.h"

#include <errno.h>
#include <sys/ioctl.h>

static int kvm_ioctl(int fd, unsigned long request, const void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

/* For requests whose argument is a number. */
static int kvm_ioctl_value(int fd, unsigned long request, unsigned long value)
{
	int r = ioctl(fd, request, value);

	return r < 0 ? -errno : r;
}

/* For requests that return a new fd. */
static int kvm_ioctl_fd(int fd, unsigned long request, unsigned long value, int *out)
{
	int r = kvm_ioctl_value(fd, request, value);

	if (r < 0)
		return r;
	*out = r;
	return 0;
}

int kvm_api_version(int kvm_fd)
{
	return kvm_ioctl_value(kvm_fd, KVM_GET_API_VERSION, 0);
}

int kvm_extension_check(int fd, int extension)
{
	return kvm_ioctl_value(fd, KVM_CHECK_EXTENSION, (unsigned long)extension);
}

int kvm_vm_create(int kvm_fd, int *vm_fd)
{
	return kvm_ioctl_fd(kvm_fd, KVM_CREATE_VM, 0, vm_fd);
}

int kvm_vcpu_mmap_size(int kvm_fd)
{
	return kvm_ioctl_value(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
}

int kvm_cpuid_supported(int kvm_fd, struct kvm_cpuid2 *cpuid)
{
	return kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
}

int kvm_msr_index_list(int kvm_fd, struct kvm_msr_list *list)
{
	return kvm_ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list);
}

int kvm_tss_addr_set(int vm_fd, uint64_t gpa)
{
	return kvm_ioctl_value(vm_fd, KVM_SET_TSS_ADDR, gpa);
}

int kvm_identity_map_set(int vm_fd, uint64_t gpa)
{
	return kvm_ioctl(vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &gpa);
}

int kvm_irqchip_create(int vm_fd)
{
	return kvm_ioctl_value(vm_fd, KVM_CREATE_IRQCHIP, 0);
}

int kvm_pit2_create(int vm_fd, const struct kvm_pit_config *config)
{
	return kvm_ioctl(vm_fd, KVM_CREATE_PIT2, config);
}

int kvm_cap_enable(int vm_fd, const struct kvm_enable_cap *cap)
{
	return kvm_ioctl(vm_fd, KVM_ENABLE_CAP, cap);
}

int kvm_memory_region_set(int vm_fd, const struct kvm_userspace_memory_region *region)
{
	return kvm_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, region);
}

int kvm_irqchip_get(int vm_fd, struct kvm_irqchip *chip)
{
	return kvm_ioctl(vm_fd, KVM_GET_IRQCHIP, chip);
}

int kvm_irqchip_set(int vm_fd, const struct kvm_irqchip *chip)
{
	return kvm_ioctl(vm_fd, KVM_SET_IRQCHIP, chip);
}

int kvm_pit2_get(int vm_fd, struct kvm_pit_state2 *pit)
{
	return kvm_ioctl(vm_fd, KVM_GET_PIT2, pit);
}

int kvm_pit2_set(int vm_fd, const struct kvm_pit_state2 *pit)
{
	return kvm_ioctl(vm_fd, KVM_SET_PIT2, pit);
}

int kvm_gsi_routing_set(int vm_fd, const struct kvm_irq_routing *routing)
{
	return kvm_ioctl(vm_fd, KVM_SET_GSI_ROUTING, routing);
}

int kvm_irq_line(int vm_fd, uint32_t gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	return kvm_ioctl(vm_fd, KVM_IRQ_LINE, &line);
}

int kvm_irqfd(int vm_fd, const struct kvm_irqfd *irqfd)
{
	return kvm_ioctl(vm_fd, KVM_IRQFD, irqfd);
}

int kvm_ioeventfd(int vm_fd, const struct kvm_ioeventfd *ioeventfd)
{
	return kvm_ioctl(vm_fd, KVM_IOEVENTFD, ioeventfd);
}

int kvm_msi_signal(int vm_fd, const struct kvm_msi *msi)
{
	return kvm_ioctl(vm_fd, KVM_SIGNAL_MSI, msi);
}

int kvm_device_create(int vm_fd, uint32_t type, int *device_fd)
{
	struct kvm_create_device create = { .type = type };
	int r = kvm_ioctl(vm_fd, KVM_CREATE_DEVICE, &create);

	if (r < 0)
		return r;
	*device_fd = (int)create.fd;
	return 0;
}

int kvm_vcpu_create(int vm_fd, unsigned int id, int *vcpu_fd)
{
	return kvm_ioctl_fd(vm_fd, KVM_CREATE_VCPU, id, vcpu_fd);
}

int kvm_stats_fd(int fd, int *stats_fd)
{
	return kvm_ioctl_fd(fd, KVM_GET_STATS_FD, 0, stats_fd);
}

int kvm_device_attr_set(int device_fd, const struct kvm_device_attr *attr)
{
	return kvm_ioctl(device_fd, KVM_SET_DEVICE_ATTR, attr);
}

int kvm_run(int vcpu_fd)
{
	return kvm_ioctl_value(vcpu_fd, KVM_RUN, 0);
}

int kvm_cpuid_set(int vcpu_fd, const struct kvm_cpuid2 *cpuid)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid);
}

int kvm_regs_get(int vcpu_fd, struct kvm_regs *regs)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_REGS, regs);
}

int kvm_regs_set(int vcpu_fd, const struct kvm_regs *regs)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_REGS, regs);
}

int kvm_sregs_get(int vcpu_fd, struct kvm_sregs *sregs)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_SREGS, sregs);
}

int kvm_sregs_set(int vcpu_fd, const struct kvm_sregs *sregs)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_SREGS, sregs);
}

int kvm_msrs_get(int vcpu_fd, struct kvm_msrs *msrs)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_MSRS, msrs);
}

int kvm_msrs_set(int vcpu_fd, const struct kvm_msrs *msrs)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_MSRS, msrs);
}

int kvm_translate(int vcpu_fd, struct kvm_translation *t)
{
	return kvm_ioctl(vcpu_fd, KVM_TRANSLATE, t);
}

int kvm_lapic_get(int vcpu_fd, struct kvm_lapic_state *lapic)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_LAPIC, lapic);
}

int kvm_lapic_set(int vcpu_fd, const struct kvm_lapic_state *lapic)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_LAPIC, lapic);
}

int kvm_mp_state_get(int vcpu_fd, struct kvm_mp_state *mp)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_MP_STATE, mp);
}

int kvm_mp_state_set(int vcpu_fd, const struct kvm_mp_state *mp)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_MP_STATE, mp);
}

int kvm_events_get(int vcpu_fd, struct kvm_vcpu_events *events)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_VCPU_EVENTS, events);
}

int kvm_events_set(int vcpu_fd, const struct kvm_vcpu_events *events)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_VCPU_EVENTS, events);
}

int kvm_xsave_get(int vcpu_fd, struct kvm_xsave *xsave)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_XSAVE, xsave);
}

int kvm_xsave_set(int vcpu_fd, const struct kvm_xsave *xsave)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_XSAVE, xsave);
}

int kvm_xcrs_get(int vcpu_fd, struct kvm_xcrs *xcrs)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_XCRS, xcrs);
}

int kvm_xcrs_set(int vcpu_fd, const struct kvm_xcrs *xcrs)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_XCRS, xcrs);
}

int kvm_debugregs_get(int vcpu_fd, struct kvm_debugregs *regs)
{
	return kvm_ioctl(vcpu_fd, KVM_GET_DEBUGREGS, regs);
}

int kvm_debugregs_set(int vcpu_fd, const struct kvm_debugregs *regs)
{
	return kvm_ioctl(vcpu_fd, KVM_SET_DEBUGREGS, regs);
}

int kvm_clock_pause(int vcpu_fd)
{
	return kvm_ioctl_value(vcpu_fd, KVM_KVMCLOCK_CTRL, 0);
}

int kvm_tsc_khz_get(int vcpu_fd)
{
	return kvm_ioctl_value(vcpu_fd, KVM_GET_TSC_KHZ, 0);
}

int kvm_tsc_khz_set(int vcpu_fd, uint32_t khz)
{
	return kvm_ioctl_value(vcpu_fd, KVM_SET_TSC_KHZ, khz);
}
