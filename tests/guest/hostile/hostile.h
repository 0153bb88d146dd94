/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that works against its VMM, booted by PVH as if it were a kernel. Both vCPUs do random
 * operations on everything a guest can reach, at the same time and without a lock. The seed, what to
 * leave out and how often to report come with the kernel command line:
 *	seed=N      start of both random sequences
 *	without=A,B operations or groups that are left out (names: the table in main.c)
 *	only=A,B    only these
 *	cpus=1      the second vCPU is not started
 * Prints a line now and then on COM1. A reset (its own or by a triple fault) starts it again with
 * the next sequence; what it counted lies in a page that the loader does not touch.
 */
#ifndef VIADUCT_TESTS_GUEST_HOSTILE_HOSTILE_H
#define VIADUCT_TESTS_GUEST_HOSTILE_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define CPUS	   2
#define OPS_MAX	   48
#define VFS	   4
#define PORT_COM1  0x3F8
#define LAPIC_BASE 0xFEE00000ULL
#define IOAPIC	   0xFEC00000ULL
#define ECAM_BASE  0xE0000000ULL

/* RAM that nothing else uses: the image ends far below, and the smallest guest has 64 MiB. */
#define TRAMPOLINE    0x70000ULL
#define SURVIVOR      0x180000ULL
#define SCRATCH	      0x2000000ULL
#define SCRATCH_BYTES 0x1000000ULL

struct recover {
	uint64_t regs[8];
};

struct cpu {
	unsigned int id;
	uint64_t random; /* state of the sequence, never 0 */
	struct recover recover;
	uint64_t interrupts;
};

/* What outlives a reset. */
struct survivor {
	uint64_t magic;
	uint64_t seed;
	uint64_t boots;
	uint64_t faults[CPUS];
	uint64_t ops[CPUS][OPS_MAX];
};

/* Where an assigned function was last put; others move it without a word. */
struct vf_place {
	volatile uint64_t bar[6];
	volatile uint64_t size[6];
	volatile uint8_t bus;
	volatile uint8_t msix; /* capability's offset, 0: not looked for */
	volatile uint8_t msix_bar;
	volatile uint32_t msix_offset;
};

extern struct vf_place vf_places[VFS];
extern unsigned int vf_count;
extern volatile uint64_t ecam_guess;
extern volatile bool printing; /* whoever would spoil the line waits */

/* main.c */
struct cpu *cpu_self(void);
bool ram_overlaps(uint64_t at, uint64_t len);

/* random.c */
uint64_t random_get(struct cpu *c);
unsigned int random_below(struct cpu *c, unsigned int limit);
bool one_in(struct cpu *c, unsigned int n);
unsigned int random_width(struct cpu *c); /* 1, 2, 4 or 8 */
uint64_t random_value(struct cpu *c); /* with a liking for borders */
uint64_t random_address(struct cpu *c); /* a page that may mean something, or not */
uint64_t random_dma(struct cpu *c); /* where a device may be sent */

/* trap.c */
int recover_set(struct recover *r) __attribute__((returns_twice));
void recover_jump(struct recover *r) __attribute__((noreturn));
void traps_init(void);
void traps_load(void);

/* pci.c: configuration space by CF8/CFC; bdf as ECAM has it: bus << 8 | devfn */
uint32_t cfg_get(unsigned int bdf, unsigned int off, unsigned int len);
void cfg_put(unsigned int bdf, unsigned int off, unsigned int len, uint32_t v);
unsigned int cap_find(unsigned int bdf, unsigned int id);
void board_tidy(void);

/* Operations. Each may end by an exception. */
void op_cfg_write(struct cpu *c);
void op_cfg_read(struct cpu *c);
void op_bar_move(struct cpu *c);
void op_bar_size(struct cpu *c);
void op_bar_touch(struct cpu *c);
void op_command(struct cpu *c);
void op_power_state(struct cpu *c);
void op_flr(struct cpu *c);
void op_msix_control(struct cpu *c);
void op_msix_table(struct cpu *c);
void op_msi(struct cpu *c);
void op_bridge(struct cpu *c);
void op_slot(struct cpu *c);
void op_pciexbar(struct cpu *c);
void op_tidy(struct cpu *c);

void op_vf_register(struct cpu *c);
void op_vf_rings(struct cpu *c);
void op_vf_mailbox(struct cpu *c);
void op_vf_interrupt(struct cpu *c);

void op_pm_base(struct cpu *c);
void op_pm_register(struct cpu *c);
void op_rtc(struct cpu *c);
void op_uart(struct cpu *c);
void op_pit(struct cpu *c);
void op_pic(struct cpu *c);
void op_ioapic(struct cpu *c);
void op_port(struct cpu *c);
void op_port_string(struct cpu *c);
void op_mmio(struct cpu *c);
void op_mmio_border(struct cpu *c);
void op_mmio_string(struct cpu *c);

void op_lapic(struct cpu *c);
void op_ipi(struct cpu *c);
void op_second_cpu(struct cpu *c);
void op_msr(struct cpu *c);
void op_kvm_msr(struct cpu *c);
void op_smi(struct cpu *c);
void op_hypercall(struct cpu *c);
void op_interrupts(struct cpu *c);
void op_reset(struct cpu *c);
void op_triple_fault(struct cpu *c);

void second_cpu_start(void);

#endif
