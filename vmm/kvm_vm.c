// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_vm.h"

#include "vmm/kvm.h"
#include "vmm/layout.h"
#include "vmm/vmm_msg.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>

#define CPUID_MONITOR_LEAF 5U

/* Everything that is used later, so that a lack is named at start and not in the middle. */
static const struct {
	int extension;
	int min;
	const char *name;
} extensions[] = {
	{ KVM_CAP_IRQCHIP, 1, "irqchip in the kernel" },
	{ KVM_CAP_USER_MEMORY, 1, "user memory" },
	{ KVM_CAP_SET_TSS_ADDR, 1, "TSS address" },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1, "identity map address" },
	{ KVM_CAP_EXT_CPUID, 1, "CPUID of the host" },
	{ KVM_CAP_MP_STATE, 1, "multiprocessing state" },
	{ KVM_CAP_PIT2, 1, "PIT in the kernel" },
	{ KVM_CAP_PIT_STATE2, 1, "PIT state" },
	{ KVM_CAP_IRQ_ROUTING, 1024, "interrupt routing with 1024 entries" },
	{ KVM_CAP_IRQFD, 1, "irqfd" },
	{ KVM_CAP_IOEVENTFD, 1, "ioeventfd" },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1, "ioeventfd of any length" },
	{ KVM_CAP_SIGNAL_MSI, 1, "MSI" },
	{ KVM_CAP_VCPU_EVENTS, 1, "vCPU events" },
	{ KVM_CAP_XSAVE, 1, "XSAVE state" },
	{ KVM_CAP_XCRS, 1, "extended control registers" },
	{ KVM_CAP_DEBUGREGS, 1, "debug registers" },
	{ KVM_CAP_IMMEDIATE_EXIT, 1, "immediate exit" },
	{ KVM_CAP_X2APIC_API, 1, "32-bit APIC ids" },
	{ KVM_CAP_GET_TSC_KHZ, 1, "TSC frequency" },
	{ KVM_CAP_ADJUST_CLOCK, 1, "kvmclock" },
	{ KVM_CAP_DEVICE_CTRL, 1, "device control" },
	{ KVM_CAP_NR_MEMSLOTS, 32, "32 memory slots" },
};

static int extensions_check(int kvm_fd, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
		int have = kvm_extension_check(kvm_fd, extensions[i].extension);

		if (have >= extensions[i].min)
			continue;
		err_set(e, ENOTSUP, "this host's KVM lacks: %s (it says %d)", extensions[i].name,
			have);
		err_code(e, "kvm-too-old");
		return err_hint(e, "viaduct host check   shows what KVM on this host can do");
	}
	return 0;
}

static int vcpus_check(int kvm_fd, unsigned int cpu_count, struct err *e)
{
	int have = kvm_extension_check(kvm_fd, KVM_CAP_MAX_VCPUS);

	/* Without a word KVM has as many as it recommends (api.rst, KVM_CREATE_VCPU). */
	if (have <= 0)
		have = kvm_extension_check(kvm_fd, KVM_CAP_NR_VCPUS);
	if (have >= (int)cpu_count)
		return 0;
	err_set(e, ERANGE,
		"cpus.count: %u vCPUs are asked for and this host's KVM makes %d at most",
		cpu_count, have);
	err_code(e, "kvm-vcpus");
	return err_hint(e, "lower cpus.count; /sys/module/kvm/parameters of the host may limit it");
}

static int irqchip_state_get(int vm_fd, struct kvm_vm_irqchip *irqchip)
{
	int r = 0;

	memset(irqchip, 0, sizeof(*irqchip));
	for (uint32_t i = 0; r == 0 && i < ARRAY_SIZE(irqchip->chips); i++) {
		irqchip->chips[i].chip_id = i; /* KVM_IRQCHIP_PIC_MASTER, _SLAVE, _IOAPIC */
		r = kvm_irqchip_get(vm_fd, &irqchip->chips[i]);
	}
	return r < 0 ? r : kvm_pit2_get(vm_fd, &irqchip->pit);
}

static int vm_configure(int vm_fd, struct kvm_vm_irqchip *irqchip, struct err *e)
{
	const struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	const struct kvm_enable_cap x2apic = {
		.cap = KVM_CAP_X2APIC_API,
		.args = { KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK },
	};
	const char *step = "KVM_SET_TSS_ADDR";
	int r = kvm_tss_addr_set(vm_fd, LAYOUT_KVM_TSS);

	if (r == 0) {
		step = "KVM_SET_IDENTITY_MAP_ADDR";
		r = kvm_identity_map_set(vm_fd, LAYOUT_KVM_IDENTITY);
	}
	if (r == 0) {
		step = "KVM_CREATE_IRQCHIP";
		r = kvm_irqchip_create(vm_fd);
	}
	if (r == 0) {
		step = "KVM_CREATE_PIT2";
		r = kvm_pit2_create(vm_fd, &pit);
	}
	if (r == 0) {
		step = "KVM_CAP_X2APIC_API";
		r = kvm_cap_enable(vm_fd, &x2apic);
	}
	if (r == 0) {
		step = "KVM_GET_IRQCHIP";
		r = irqchip_state_get(vm_fd, irqchip);
	}
	return r < 0 ? err_set(e, r, "%s: %s", step, strerror(-r)) : 0;
}

int kvm_vm_setup(int kvm_fd, unsigned int cpu_count, int *vm_fd, struct kvm_vm_irqchip *irqchip,
		 struct err *e)
{
	auto_fd int fd = -1;
	int r = extensions_check(kvm_fd, e);

	if (r == 0)
		r = vcpus_check(kvm_fd, cpu_count, e);
	if (r < 0)
		return r;
	do {
		r = kvm_vm_create(kvm_fd, &fd);
	} while (r == -EINTR);
	if (r < 0)
		return err_set(e, r, "KVM_CREATE_VM: %s", strerror(-r));
	r = vm_configure(fd, irqchip, e);
	if (r < 0)
		return r;
	*vm_fd = fd_take(&fd);
	return 0;
}

int kvm_vm_irqchip_reset(int vm_fd, const struct kvm_vm_irqchip *irqchip, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(irqchip->chips); i++)
		r = kvm_irqchip_set(vm_fd, &irqchip->chips[i]);
	if (r == 0)
		r = kvm_pit2_set(vm_fd, &irqchip->pit);
	return r < 0 ? err_set(e, r, "reset of the interrupt controllers: %s", strerror(-r)) : 0;
}

int kvm_vm_dedicate(int vm_fd, uint32_t *exits_off, struct err *e)
{
	const uint32_t need = KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE;
	int r = kvm_extension_check(vm_fd, KVM_CAP_X86_DISABLE_EXITS);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS };
	uint32_t have = r > 0 ? (uint32_t)r : 0;

	if ((have & need) != need) {
		err_set(e, ENOTSUP,
			"cpus.dedicated: this host's KVM does not leave HLT and PAUSE to "
			"guests (it offers 0x%x)",
			have);
		err_code(e, "dedicated-unsupported");
		return err_hint(e, "leave cpus.dedicated out; or, where kvm's parameter "
				   "mitigate_smt_rsb is the reason: "
				   "echo off > /sys/devices/system/cpu/smt/control");
	}
	have &= need | KVM_X86_DISABLE_EXITS_MWAIT;
	cap.args[0] = have;
	r = kvm_cap_enable(vm_fd, &cap);
	if (r < 0)
		return err_set(e, r, "KVM_CAP_X86_DISABLE_EXITS: %s", strerror(-r));
	*exits_off = have;
	return 0;
}

int kvm_vm_cpu_model(int kvm_fd, unsigned int cpu_count, uint32_t exits_off,
		     struct cpu_model *model, struct err *e)
{
	auto_free struct kvm_cpuid2 *host =
		calloc(1, sizeof(*host) + CPUID_ENTRIES_MAX * sizeof(host->entries[0]));
	struct cpu_wish wish = {
		.count = cpu_count,
		.tsc_deadline = kvm_extension_check(kvm_fd, KVM_CAP_TSC_DEADLINE_TIMER) > 0,
		.is_dedicated = (exits_off & KVM_X86_DISABLE_EXITS_HLT) != 0,
	};
	uint32_t *m = wish.monitor;
	int r;

	if (host == NULL)
		return err_set(e, ENOMEM, "CPU model: out of memory");
	host->nent = CPUID_ENTRIES_MAX;
	r = kvm_cpuid_supported(kvm_fd, host);
	if (r < 0)
		return err_set(e, r, "KVM_GET_SUPPORTED_CPUID: %s", strerror(-r));
	/* KVM does not name it, since without exits it is the host CPU's own. */
	if ((exits_off & KVM_X86_DISABLE_EXITS_MWAIT) != 0)
		__asm__ volatile("cpuid"
				 : "=a"(m[0]), "=b"(m[1]), "=c"(m[2]), "=d"(m[3])
				 : "a"(CPUID_MONITOR_LEAF), "c"(0));
	return cpu_model_init(model, host, &wish, e);
}
