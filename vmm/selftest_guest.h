/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the guest of the self test (selftest_guest.S) and the host agree on. Included by both: nothing but numbers
 * outside of __ASSEMBLER__.
 */
#ifndef VIADUCT_VMM_SELFTEST_GUEST_H
#define VIADUCT_VMM_SELFTEST_GUEST_H

/* Guest-physical addresses */
#define SELFTEST_GUEST_CODE	0x1000
#define SELFTEST_GUEST_BLOCK	0x2000
#define SELFTEST_GUEST_GDT	0x3000
#define SELFTEST_GUEST_IDT	0x3100
#define SELFTEST_GUEST_STACK	0x8000
#define SELFTEST_GUEST_TOUCH	0x100000
#define SELFTEST_GUEST_BYTES	0x400000
#define SELFTEST_GUEST_FUNCTION 0x10000000

#define SELFTEST_GUEST_PORT    0xf4
#define SELFTEST_GUEST_WAIT_NS 2000000000 /* KVM's local APIC counts nanoseconds */
#define SELFTEST_IRQ_VECTOR    0x40
#define SELFTEST_TIMER_VECTOR  0x41

/* Modes */
#define SELFTEST_SPIN 1
#define SELFTEST_HALT 2

#ifndef __ASSEMBLER__

#include <stdint.h>

struct selftest_block {
	uint32_t mode;
	uint32_t reg; /* guest-physical address that the guest writes `value` to; 0: none */
	uint32_t value;
	uint32_t interrupts; /* the guest's counts */
	uint32_t timeouts;
	uint32_t touch_from, touch_to; /* one word is written in each page of this range */
};

extern const uint8_t selftest_guest[], selftest_guest_irq[], selftest_guest_timer[],
	selftest_guest_end[];

#endif
#endif
