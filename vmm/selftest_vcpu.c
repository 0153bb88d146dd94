// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/selftest_vcpu.h"

#include "vmm/kvm.h"
#include "vmm/kvm_vfio.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE	 0x1000U
#define TSS_GPA	 0xfffbd000ULL
#define MSI_GSI	 24 /* the first one behind the IOAPIC's */
#define MSI_ADDR 0xfee00000U /* APIC id 0; Intel SDM 3A, 11.11.1 */

/* Descriptors (Intel SDM 3A, 3.4.5 and 6.11): flat code and data, 32-bit interrupt gates. */
#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10
#define FLAT_CODE     0x00cf9b000000ffffULL
#define FLAT_DATA     0x00cf93000000ffffULL
#define GATE_FLAGS    0x8e00ULL

static_assert(sizeof(struct selftest_block) == 28 &&
		      offsetof(struct selftest_block, touch_to) == 24,
	      "selftest_guest.S knows these offsets");

void selftest_vcpu_init(struct selftest_vcpu *v)
{
	*v = (struct selftest_vcpu){ .vm = -1, .vcpu = -1, .groups = -1 };
}

void selftest_vcpu_fini(struct selftest_vcpu *v)
{
	if (v->run != NULL)
		munmap(v->run, v->run_bytes);
	fd_close(&v->vcpu);
	fd_close(&v->groups);
	fd_close(&v->vm);
	if (v->ram != NULL)
		munmap(v->ram, SELFTEST_GUEST_BYTES);
	selftest_vcpu_init(v);
}

static uint64_t gate(const uint8_t *handler)
{
	uint64_t at = SELFTEST_GUEST_CODE + (uint64_t)(handler - selftest_guest);

	return (at & 0xffff) | (uint64_t)CODE_SELECTOR << 16 | GATE_FLAGS << 32 | (at >> 16) << 48;
}

static int ram_make(struct selftest_vcpu *v)
{
	const struct selftest_block block = { .touch_from = SELFTEST_GUEST_TOUCH,
					      .touch_to = SELFTEST_GUEST_BYTES };
	const uint64_t gdt[] = { 0, FLAT_CODE, FLAT_DATA };
	const uint64_t irq = gate(selftest_guest_irq), timer = gate(selftest_guest_timer);
	struct kvm_userspace_memory_region region = { .memory_size = SELFTEST_GUEST_BYTES };
	void *ram = mmap(NULL, SELFTEST_GUEST_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ram == MAP_FAILED)
		return -errno;
	v->ram = ram;
	memcpy(v->ram + SELFTEST_GUEST_CODE, selftest_guest,
	       (size_t)(selftest_guest_end - selftest_guest));
	memcpy(v->ram + SELFTEST_GUEST_BLOCK, &block, sizeof(block));
	memcpy(v->ram + SELFTEST_GUEST_GDT, gdt, sizeof(gdt));
	memcpy(v->ram + SELFTEST_GUEST_IDT + 8 * SELFTEST_IRQ_VECTOR, &irq, sizeof(irq));
	memcpy(v->ram + SELFTEST_GUEST_IDT + 8 * SELFTEST_TIMER_VECTOR, &timer, sizeof(timer));
	region.userspace_addr = (uintptr_t)v->ram;
	return kvm_memory_region_set(v->vm, &region);
}

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){ .limit = 0xffffffff,
				     .selector = selector,
				     .type = type,
				     .present = 1,
				     .db = 1,
				     .s = 1,
				     .g = 1 };
}

static int registers_set(struct selftest_vcpu *v)
{
	const struct kvm_regs regs = { .rip = SELFTEST_GUEST_CODE,
				       .rsp = SELFTEST_GUEST_STACK,
				       .rflags = 2 }; /* bit 1 is always set */
	struct kvm_sregs sregs;
	int r = kvm_sregs_get(v->vcpu, &sregs);

	if (r < 0)
		return r;
	sregs.cs = flat(CODE_SELECTOR, 0xb);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(DATA_SELECTOR, 0x3);
	sregs.gdt.base = SELFTEST_GUEST_GDT;
	sregs.gdt.limit = 3 * 8 - 1;
	sregs.idt.base = SELFTEST_GUEST_IDT;
	sregs.idt.limit = 8 * (SELFTEST_TIMER_VECTOR + 1) - 1;
	sregs.cr0 |= 1; /* PE */
	r = kvm_sregs_set(v->vcpu, &sregs);
	return r < 0 ? r : kvm_regs_set(v->vcpu, &regs);
}

static int vcpu_make(struct selftest_vcpu *v, int kvm_fd)
{
	int bytes, r = kvm_vcpu_create(v->vm, 0, &v->vcpu);
	void *run;

	if (r < 0)
		return r;
	bytes = kvm_vcpu_mmap_size(kvm_fd);
	if (bytes < (int)sizeof(struct kvm_run))
		return -EIO;
	run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->vcpu, 0);
	if (run == MAP_FAILED)
		return -errno;
	v->run = run;
	v->run_bytes = (size_t)bytes;
	return registers_set(v);
}

int selftest_vcpu_make(struct selftest_vcpu *v, int kvm_fd, struct err *e)
{
	const char *step = "make a VM";
	int r = kvm_vm_create(kvm_fd, &v->vm);

	if (r >= 0) {
		step = "make its interrupt controllers";
		(void)kvm_tss_addr_set(v->vm, TSS_GPA); /* only Intel needs it */
		r = kvm_irqchip_create(v->vm);
	}
	if (r >= 0) {
		step = "give it memory";
		r = ram_make(v);
	}
	if (r >= 0) {
		step = "make a vCPU";
		r = vcpu_make(v, kvm_fd);
	}
	return r < 0 ? err_set(e, r, "%s: %s", step, strerror(-r)) : 0;
}

int selftest_vcpu_group(struct selftest_vcpu *v, int group_fd, struct err *e)
{
	int r = kvm_vfio_create(v->vm, &v->groups, e);

	if (r < 0)
		return r;
	r = kvm_vfio_add(v->groups, group_fd);
	return r < 0 ? err_set(e, r, "tell KVM of the VFIO group: %s", strerror(-r)) : 0;
}

int selftest_vcpu_map(struct selftest_vcpu *v, void *host, uint64_t bytes, struct err *e)
{
	const struct kvm_userspace_memory_region region = {
		.slot = 1,
		.guest_phys_addr = SELFTEST_GUEST_FUNCTION,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)host,
	};
	int r = kvm_memory_region_set(v->vm, &region);

	return r < 0 ? err_set(e, r, "give the guest the function's registers: %s", strerror(-r))
		     : 0;
}

int selftest_vcpu_irqfd(struct selftest_vcpu *v, int eventfd, struct err *e)
{
	auto_free struct kvm_irq_routing *table =
		calloc(1, sizeof(*table) + sizeof(table->entries[0]));
	const struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd, .gsi = MSI_GSI };
	int r;

	if (table == NULL)
		return err_set(e, ENOMEM, "out of memory");
	table->nr = 1;
	table->entries[0] = (struct kvm_irq_routing_entry){
		.gsi = MSI_GSI,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = MSI_ADDR, .data = SELFTEST_IRQ_VECTOR },
	};
	r = kvm_gsi_routing_set(v->vm, table);
	if (r == 0)
		r = kvm_irqfd(v->vm, &irqfd);
	return r < 0 ? err_set(e, r, "connect the interrupt to the vCPU: %s", strerror(-r)) : 0;
}

int selftest_vcpu_run(struct selftest_vcpu *v, struct err *e)
{
	int r;

	do {
		r = kvm_run(v->vcpu);
	} while (r == -EINTR || r == -EAGAIN);
	if (r < 0)
		return err_set(e, r, "run the vCPU: %s", strerror(-r));
	if (v->run->exit_reason != KVM_EXIT_IO || v->run->io.port != SELFTEST_GUEST_PORT)
		return err_set(e, EIO, "the guest went astray: exit %u of KVM",
			       v->run->exit_reason);
	return 0;
}

struct selftest_block selftest_vcpu_block(const struct selftest_vcpu *v)
{
	struct selftest_block block;

	memcpy(&block, v->ram + SELFTEST_GUEST_BLOCK, sizeof(block));
	return block;
}

void selftest_vcpu_tell(struct selftest_vcpu *v, uint32_t mode, uint32_t reg, uint32_t value)
{
	struct selftest_block block = selftest_vcpu_block(v);

	block.mode = mode;
	block.reg = reg;
	block.value = value;
	memcpy(v->ram + SELFTEST_GUEST_BLOCK, &block, sizeof(block));
}

unsigned int selftest_vcpu_touched(const struct selftest_vcpu *v)
{
	unsigned int n = 0;

	for (uint32_t at = SELFTEST_GUEST_TOUCH; at < SELFTEST_GUEST_BYTES; at += PAGE)
		n += get_le32(v->ram + at) == at;
	return n;
}
