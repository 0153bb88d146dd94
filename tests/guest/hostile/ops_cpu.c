// SPDX-License-Identifier: BSD-3-Clause
/* The vCPUs themselves: APIC, MSRs, SMM, resets, and the second vCPU by INIT and SIPI. */
#include "tests/guest/hostile/hostile.h"
#include "tests/guest/hostile/hw.h"

#define ICR_LOW	      0x300
#define ICR_HIGH      0x310
#define ICR_NMI	      0x00000400
#define ICR_SMI	      0x00000200
#define ICR_INIT      0x00004500
#define ICR_SIPI      0x00004600
#define LAPIC_SVR     0x0F0
#define MSR_EFER      0xC0000080
#define EFER_LMSLE    0x2000ULL
#define MSR_APIC_BASE 0x1B
#define APIC_ENABLED  0x800
#define SMM_ENTRY     0x38000 /* SMBASE at power-on, and where it begins there */
#define CF9	      0xCF9
#define KBC	      0x64
#define SHORT_WAIT    20000

static void spin(unsigned int n)
{
	for (volatile unsigned int i = 0; i < n; i++)
		pause();
}

static void ipi_send(unsigned int to, uint32_t command)
{
	mmio_write(LAPIC_BASE + ICR_HIGH, 4, to << 24);
	mmio_write(LAPIC_BASE + ICR_LOW, 4, command);
}

void second_cpu_start(void)
{
	extern const char ap_trampoline[], ap_trampoline_end[];
	volatile char *to = (volatile char *)TRAMPOLINE;

	for (const char *from = ap_trampoline; from < ap_trampoline_end; from++)
		*to++ = *from;
	/* SMM's first instruction: resume. */
	*(volatile uint16_t *)SMM_ENTRY = 0xAA0F;
	mmio_write(LAPIC_BASE + LAPIC_SVR, 4, 0x1FF);
	ipi_send(1, ICR_INIT);
	spin(SHORT_WAIT);
	ipi_send(1, ICR_SIPI | TRAMPOLINE >> 12);
	spin(SHORT_WAIT);
	ipi_send(1, ICR_SIPI | TRAMPOLINE >> 12);
}

/* The second vCPU thrown back to its start, whatever it is doing. */
void op_second_cpu(struct cpu *c)
{
	if (c->id != 0)
		return;
	msr_write(MSR_APIC_BASE, LAPIC_BASE | 0x100 | APIC_ENABLED);
	second_cpu_start();
}

/* Any register, but no command that an INIT to the first vCPU could be: it has no firmware to go to. */
void op_lapic(struct cpu *c)
{
	for (int n = 0; n < 4; n++) {
		uint64_t reg = random_below(c, 0x40) * 0x10ULL;

		if (reg == ICR_LOW)
			continue;
		if (one_in(c, 2))
			mmio_write(LAPIC_BASE + reg, 4, random_value(c));
		else
			(void)mmio_read(LAPIC_BASE + reg, random_width(c));
	}
	mmio_write(LAPIC_BASE + LAPIC_SVR, 4, 0x1FF);
}

void op_ipi(struct cpu *c)
{
	uint32_t how = random_below(c, 3) << 18 | random_below(c, 2) << 11;

	mmio_write(LAPIC_BASE + ICR_HIGH, 4, random_value(c) & 0xFF000000);
	mmio_write(LAPIC_BASE + ICR_LOW, 4,
		   one_in(c, 4) ? how | ICR_NMI : how | (0x20 + random_below(c, 0xE0)));
}

void op_smi(struct cpu *c)
{
	ipi_send(random_below(c, CPUS), ICR_SMI);
}

void op_msr(struct cpu *c)
{
	static const uint32_t msrs[] = {
		0x10,	    0x1B,	0x3A,	    0x3B,	0x79,	    0x8B,	0xC1,
		0xFE,	    0x122,	0x174,	    0x175,	0x176,	    0x179,	0x17A,
		0x186,	    0x198,	0x1A0,	    0x1D9,	0x200,	    0x250,	0x277,
		0x2FF,	    0x345,	0x38F,	    0x400,	0x401,	    0x6E0,	0x830,
		0xDA0,	    0xC0000080, 0xC0000081, 0xC0000082, 0xC0000084, 0xC0000100, 0xC0000101,
		0xC0000102, 0xC0000103, 0xC0010000, 0xC0010004, 0xC0010015, 0xC0010055, 0xC0010062,
		0xC0010114, 0xC0010117, 0xC001011F, 0xC0011029,
	};
	uint32_t msr = one_in(c, 4) ? (uint32_t)random_get(c) & 0xC001FFFF
				    : msrs[random_below(c, ARRAY_SIZE(msrs))] + random_below(c, 2);

	if (one_in(c, 2))
		(void)msr_read(msr);
	else if (msr == MSR_EFER) /* KVM takes LMSLE, QEMU's SVM then refuses to enter the guest */
		msr_write(msr, msr_read(msr) ^ (random_get(c) & ~EFER_LMSLE));
	else
		msr_write(msr, one_in(c, 2) ? random_value(c)
					    : msr_read(msr) ^ 1ULL << random_below(c, 64));
}

/* Pages that KVM writes on its own: clock, steal time, end of interrupt, page faults. */
void op_kvm_msr(struct cpu *c)
{
	static const uint32_t msrs[] = {
		0x11,	    0x12,	0x4B564D00, 0x4B564D01, 0x4B564D02,
		0x4B564D03, 0x4B564D04, 0x4B564D05, 0x4B564D06, 0x4B564D07
	};
	uint64_t at = random_address(c);

	/* In RAM only where it does no harm to this code. */
	if (ram_overlaps(at, 0x1000))
		at = SCRATCH + (random_get(c) & (SCRATCH_BYTES - 1));
	msr_write(msrs[random_below(c, ARRAY_SIZE(msrs))],
		  at | (one_in(c, 4) ? random_get(c) & 0x3F : 1));
}

void op_hypercall(struct cpu *c)
{
	uint64_t nr = one_in(c, 4) ? random_get(c) : random_below(c, 16);

	__asm__ volatile("vmmcall"
			 : "+a"(nr)
			 : "b"(random_value(c)), "c"(random_value(c)), "d"(random_value(c)),
			   "S"(random_value(c))
			 : "memory");
}

/* Takes whatever is pending. */
void op_interrupts(struct cpu *c)
{
	(void)c;
	__asm__ volatile("sti; nop; nop; nop; cli");
}

void op_reset(struct cpu *c)
{
	if (one_in(c, 2))
		out8(KBC, 0xFE);
	else
		out16(CF9 - 1, 0x0606);
	out8(CF9, 0x00);
	out8(CF9, 0x06);
	spin(SHORT_WAIT);
}

void op_triple_fault(struct cpu *c)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none;

	(void)c;
	__asm__ volatile("lidt %0; int3" ::"m"(none));
}
