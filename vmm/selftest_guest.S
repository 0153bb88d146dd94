/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest of `viaduct host selftest`: 32-bit protected mode without paging, at SELFTEST_GUEST_CODE. It writes to a
 * range of pages, then takes interrupts: it tells the host by a port that it is ready, does what the block says (writes
 * the function's register itself, then spins or halts) and gives up when its own timer (Intel SDM 3A, 11.5.4) fires.
 * Offsets are those of struct selftest_block.
 */
#include "vmm/selftest_guest.h"

#define MODE	   (SELFTEST_GUEST_BLOCK + 0)
#define REGISTER   (SELFTEST_GUEST_BLOCK + 4)
#define VALUE	   (SELFTEST_GUEST_BLOCK + 8)
#define INTERRUPTS (SELFTEST_GUEST_BLOCK + 12)
#define TIMEOUTS   (SELFTEST_GUEST_BLOCK + 16)
#define TOUCH_FROM (SELFTEST_GUEST_BLOCK + 20)
#define TOUCH_TO   (SELFTEST_GUEST_BLOCK + 24)

/* Local APIC (Intel SDM 3A, table 11-1) */
#define APIC_EOI     0xfee000b0
#define APIC_SVR     0xfee000f0
#define APIC_TIMER   0xfee00320
#define APIC_INITIAL 0xfee00380
#define APIC_DIVIDE  0xfee003e0
#define SVR_ENABLE   0x1ff
#define DIVIDE_BY_1  0xb

	.section .rodata
	.code32
	.globl selftest_guest, selftest_guest_irq, selftest_guest_timer, selftest_guest_end
	.hidden selftest_guest, selftest_guest_irq, selftest_guest_timer, selftest_guest_end
selftest_guest:
	movl $SVR_ENABLE, APIC_SVR
	movl $DIVIDE_BY_1, APIC_DIVIDE
	movl $SELFTEST_TIMER_VECTOR, APIC_TIMER
	movl TOUCH_FROM, %eax
1:	cmpl TOUCH_TO, %eax
	jae ready
	movl %eax, (%eax)
	addl $0x1000, %eax
	jmp 1b

ready:	sti
	outb %al, $SELFTEST_GUEST_PORT
	cli
	movl INTERRUPTS, %ebx
	movl TIMEOUTS, %ecx
	movl $SELFTEST_GUEST_WAIT_NS, APIC_INITIAL
	movl REGISTER, %edx
	testl %edx, %edx
	jz 1f
	movl VALUE, %eax
	movl %eax, (%edx)
1:	cmpl $SELFTEST_HALT, MODE
	je halt
	sti
2:	pause
	cmpl INTERRUPTS, %ebx
	jne done
	cmpl TIMEOUTS, %ecx
	je 2b
	jmp done
/* What comes between sti and hlt waits for the hlt. */
halt:	sti
	hlt
	cli
	cmpl INTERRUPTS, %ebx
	jne done
	cmpl TIMEOUTS, %ecx
	je halt
done:	movl $0, APIC_INITIAL
	jmp ready

selftest_guest_irq:
	incl INTERRUPTS
	movl $0, APIC_EOI
	iretl

selftest_guest_timer:
	incl TIMEOUTS
	movl $0, APIC_EOI
	iretl
selftest_guest_end:

	.section .note.GNU-stack, "", @progbits
