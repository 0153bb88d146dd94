// SPDX-License-Identifier: BSD-3-Clause
/* Exceptions: a page that is not mapped yet is mapped; all others end the operation. */
#include "tests/guest/hostile/hostile.h"
#include "tests/guest/hostile/hw.h"

#define VECTORS		    256
#define VECTOR_PF	    14
#define FIRST_INTERRUPT	    32
#define PF_PRESENT	    0x01
#define PF_RESERVED	    0x08
#define ENTRY_TABLE	    0x03
#define ENTRY_1GIB	    0x83
#define LAPIC_EOI	    0xB0
#define SELECTOR_CODE	    0x08
#define GATE_INTERRUPT	    0x8E
#define STUB_BYTES	    16
#define TABLES		    64
#define RFLAGS_IF	    0x200ULL
#define INTERRUPTS_IN_A_ROW 16

struct trap_frame {
	uint64_t regs[9];
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct gate {
	uint16_t low, selector;
	uint8_t ist, type;
	uint16_t middle;
	uint32_t high, reserved;
};

_Static_assert(sizeof(struct gate) == 16, "Intel SDM vol. 3A, figure 6-8");

extern uint64_t pml4[512];
extern const char trap_stubs[];
void trap_handle(struct trap_frame *f);

static struct gate idt[VECTORS] __attribute__((aligned(16)));
static uint64_t tables[TABLES][512] __attribute__((aligned(4096)));
static unsigned int tables_used;
static int tables_lock;

/* Maps the GiB around `at` to itself; false: no such address, or no table left. */
static bool gib_map(uint64_t at)
{
	uint64_t *top = &pml4[at >> 39 & 511], *table;
	bool done = false;

	if (at >> 47 != 0)
		return false;
	while (__atomic_exchange_n(&tables_lock, 1, __ATOMIC_ACQUIRE) != 0)
		pause();
	if (*top == 0 && tables_used < TABLES)
		*top = (uint64_t)tables[tables_used++] | ENTRY_TABLE;
	if (*top != 0) {
		table = (uint64_t *)(*top & ~0xFFFULL);
		table[at >> 30 & 511] = (at & ~((1ULL << 30) - 1)) | ENTRY_1GIB;
		done = true;
	}
	__atomic_store_n(&tables_lock, 0, __ATOMIC_RELEASE);
	return done;
}

void trap_handle(struct trap_frame *f)
{
	struct cpu *c = cpu_self();

	if (f->vector >= FIRST_INTERRUPT) {
		*(volatile uint32_t *)(LAPIC_BASE + LAPIC_EOI) = 0;
		/* A storm must not be all that this vCPU does. */
		if (++c->interrupts % INTERRUPTS_IN_A_ROW == 0)
			f->rflags &= ~RFLAGS_IF;
		return;
	}
	if (f->vector == VECTOR_PF && (f->error & (PF_PRESENT | PF_RESERVED)) == 0 &&
	    gib_map(cr2_read()))
		return;
	((struct survivor *)SURVIVOR)->faults[c->id]++;
	recover_jump(&c->recover);
}

void traps_init(void)
{
	for (unsigned int i = 0; i < VECTORS; i++) {
		uint64_t to = (uint64_t)trap_stubs + i * STUB_BYTES;

		idt[i] = (struct gate){ .low = (uint16_t)to,
					.selector = SELECTOR_CODE,
					.type = GATE_INTERRUPT,
					.middle = (uint16_t)(to >> 16),
					.high = (uint32_t)(to >> 32) };
	}
}

void traps_load(void)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint64_t)idt };

	__asm__ volatile("lidt %0" ::"m"(pointer));
}
