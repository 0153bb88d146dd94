/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that only takes timer interrupts. Its handler keeps interrupts off for most of a period, so whatever delivers
 * an interrupt that was delivered already does it here: the handler finds itself running and says "nested". After COUNT
 * interrupts without that it says "whole". A guest of the lab's emulator, for the lab's own sake.
 */
#define COUNT	  500
#define SPINS	  250000
#define PERIOD	  62500 /* of a bus of 1 GHz by 16: 1 ms */
#define VECTOR	  0x40
#define APIC	  0xfee00000
#define APIC_EOI  0xb0
#define APIC_SVR  0xf0
#define APIC_LVTT 0x320
#define APIC_TMIC 0x380
#define APIC_TDCR 0x3e0
#define SVR_ON	  0x1ff
#define PERIODIC  0x20000
#define BY_16	  3
#define COM1	  0x3f8
#define CODE	  0x08
#define DATA	  0x10
#define GATE	  0x8e00 /* present, 32-bit interrupt gate: interrupts are off in it */

	.section .note.pvh, "a", @note
	.align 4
	.long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long entry32

	.text
	.code32
	.globl entry32
entry32:
	cli
	movl $stack_end, %esp
	lgdtl gdt_pointer
	ljmpl $CODE, $1f
1:	movl $DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $tick, %eax
	movl $idt + 8 * VECTOR, %edi
	movw %ax, (%edi)
	movw $CODE, 2(%edi)
	movw $GATE, 4(%edi)
	shrl $16, %eax
	movw %ax, 6(%edi)
	lidtl idt_pointer
	movl $SVR_ON, APIC + APIC_SVR
	movl $BY_16, APIC + APIC_TDCR
	movl $PERIODIC + VECTOR, APIC + APIC_LVTT
	movl $PERIOD, APIC + APIC_TMIC
	sti
2:	hlt
	cmpl $COUNT, ticks
	jb 2b
	cli
	movl $whole, %esi
	jmp say

tick:	pushl %ecx
	incl depth
	cmpl $1, depth
	jne 3f
	movl $SPINS, %ecx
1:	decl %ecx
	jnz 1b
	decl depth
	incl ticks
	movl $0, APIC + APIC_EOI
	popl %ecx
	iretl
3:	movl $nested, %esi

say:	movl $COM1, %edx
1:	lodsb
	testb %al, %al
	jz 2f
	outb %al, %dx
	jmp 1b
2:	cli
	hlt
	jmp 2b

whole:	.asciz "TICKS whole\n"
nested:	.asciz "TICKS nested\n"

	.align 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff /* code: 4 GiB */
	.quad 0x00cf93000000ffff /* data */
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt
idt_pointer:
	.word 8 * 256 - 1
	.long idt

	.bss
	.align 8
idt:	.skip 8 * 256
ticks:	.skip 4
depth:	.skip 4
	.skip 4096
stack_end:
