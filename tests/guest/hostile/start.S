/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * First and lowest instructions of the hostile guest: PVH entry to long mode, the second vCPU's way
 * there from SIPI, exception and interrupt stubs, and the way back out of an exception.
 */
#define STACK_BYTES 0x10000

#define CR0_SET	  0x80000033 /* PG, NE, ET, MP, PE */
#define CR4_SET	  0x00000620 /* OSXMMEXCPT, OSFXSR, PAE */
#define MSR_EFER  0xC0000080
#define EFER_LME  0x100
#define CODE64	  0x08
#define DATA	  0x10
#define CODE32	  0x18
#define PAGE_1GIB 0x83 /* present, writable, a page by itself */
#define TABLE	  0x03

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
	cld
	movl $pml4, %edi
	movl $pdpt_low + TABLE, (%edi)
	movl $pdpt_low, %edi
	movl $PAGE_1GIB, %eax
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $0x40000000, %eax
	addl $8, %edi
	loop 1b
	movl $stacks + STACK_BYTES, %esp
	movl $hostile_main, %ebp
	lgdtl gdt_pointer
	ljmpl $CODE32, $to_long

	.globl ap_entry32
ap_entry32:
	movl $stacks + 2 * STACK_BYTES, %esp
	movl $hostile_second, %ebp

/* esp: stack; ebp: where to go; ebx: its argument */
to_long:
	movl $DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $CR4_SET, %eax
	movl %eax, %cr4
	movl $pml4, %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	xorl %edx, %edx
	movl $EFER_LME, %eax
	wrmsr
	movl $CR0_SET, %eax
	movl %eax, %cr0
	ljmpl $CODE64, $long_mode

	.code64
long_mode:
	movl %esp, %esp
	movl %ebp, %eax
	movl %ebx, %edi
	xorl %ebp, %ebp
	call *%rax
1:	hlt
	jmp 1b

/* Copied to a page below 1 MiB: SIPI starts a vCPU in real mode. */
	.code16
	.globl ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	lgdtl ap_gdt_pointer - ap_trampoline
	movl $0x11, %eax
	movl %eax, %cr0
	ljmpl $CODE32, $ap_entry_protected
	.align 4
ap_gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt
ap_trampoline_end:

	.code32
ap_entry_protected:
	movl $DATA, %eax
	movl %eax, %ds
	jmp ap_entry32

	.code64
/* int recover_set(struct recover *r): 0, and once more not 0 when recover_jump() is called. */
	.globl recover_set
recover_set:
	movq %rbx, 0(%rdi)
	movq %rbp, 8(%rdi)
	movq %r12, 16(%rdi)
	movq %r13, 24(%rdi)
	movq %r14, 32(%rdi)
	movq %r15, 40(%rdi)
	movq (%rsp), %rax
	movq %rax, 48(%rdi)
	leaq 8(%rsp), %rax
	movq %rax, 56(%rdi)
	xorl %eax, %eax
	ret

	.globl recover_jump
recover_jump:
	movq 0(%rdi), %rbx
	movq 8(%rdi), %rbp
	movq 16(%rdi), %r12
	movq 24(%rdi), %r13
	movq 32(%rdi), %r14
	movq 40(%rdi), %r15
	movq 56(%rdi), %rsp
	movl $1, %eax
	jmp *48(%rdi)

/* 256 stubs of 16 bytes. Those exceptions with an error code of the CPU's do not push a second one. */
	.globl trap_stubs
	.align 16
trap_stubs:
	.set vector, 0
	.rept 256
	.align 16
	.if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21)
	.else
	pushq $0
	.endif
	pushq $vector
	jmp trap_common
	.set vector, vector + 1
	.endr

trap_common:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	movq %rsp, %rdi
	cld
	call trap_handle
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

	.data
	.align 16
gdt:
	.quad 0
	.quad 0x00AF9B000000FFFF /* CODE64 */
	.quad 0x00CF93000000FFFF /* DATA */
	.quad 0x00CF9B000000FFFF /* CODE32 */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt

	.bss
	.globl pml4, stacks
	.align 4096
pml4:
	.skip 4096
pdpt_low:
	.skip 4096
	.align STACK_BYTES
stacks:
	.skip 2 * STACK_BYTES

	.section .note.GNU-stack, "", @progbits
