/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The last 4 KiB of a firmware that does nothing but write the variable flash: 16 blocks of its spare area, one after
 * the other, get number n in their first and last byte, each after an erase; then n + 1 (of 128), without end. Whatever
 * moment the flash is cut off at, its blocks hold n, then at most one that is not finished, then n - 1.
 * At its start it says what it finds, "S" and first and last byte of each block in hexadecimal, and "." after each round.
 */
#define TOP   0xfffff000 /* where this lies */
#define AREA  0xffc42000 /* the spare area of OVMF's 4M build */
#define LAST  0xfff /* byte of a block */
#define COUNT 16
#define COM1  0x3f8

/* Commands of the flash (vmm/flash.h) */
#define ERASE	      0x20
#define ERASE_CONFIRM 0xd0
#define PROGRAM	      0x40
#define READ_ARRAY    0xff

	.section .text
base:
	.code16
start16:
	cli
	lgdtl %cs:(gdt_at - base + 0xf000)
	movl $1, %eax
	movl %eax, %cr0
	ljmpl $8, $(start32 - base + TOP)

	.code32
start32:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $0x8000, %esp
	movb $'S', %al
	call put
	xorl %ebx, %ebx
1:	movl %ebx, %esi
	shll $12, %esi
	movb AREA(%esi), %al
	call put_hex
	movb AREA + LAST(%esi), %al
	call put_hex
	incl %ebx
	cmpl $COUNT, %ebx
	jb 1b
	movb $'\n', %al
	call put

	/* Goes on at the first block that is not finished or has another number than the first one. */
	movzbl AREA, %ebp
	xorl %ebx, %ebx
	movl %ebp, %eax
	cmpb $0xff, %al
	je first
	cmpb %al, AREA + LAST
	jne first
2:	call block
	cmpb %al, (%edi)
	jne write
	cmpb %al, LAST(%edi)
	jne write
	incl %ebx
	cmpl $COUNT, %ebx
	jb 2b
	jmp next
first:	movzbl AREA + (COUNT - 1) * 0x1000, %ebp /* erased: 0xff, and 0 comes next */
	incl %ebp
	andl $0x7f, %ebp
write:	call block
	movb $ERASE, (%edi)
	movb $ERASE_CONFIRM, (%edi)
	movb $PROGRAM, (%edi)
	movb %al, (%edi)
	movb $PROGRAM, LAST(%edi)
	movb %al, LAST(%edi)
	movb $READ_ARRAY, (%edi)
	incl %ebx
	cmpl $COUNT, %ebx
	jb write
next:	movb $'.', %al
	call put
	xorl %ebx, %ebx
	incl %ebp
	andl $0x7f, %ebp
	jmp write

/* Block ebx at edi, the number in al. */
block:	movl %ebx, %edi
	shll $12, %edi
	addl $AREA, %edi
	movl %ebp, %eax
	ret

put:	movl $COM1, %edx
	outb %al, %dx
	ret

put_hex:
	movb %al, %cl
	shrb $4, %al
	call put_digit
	movb %cl, %al
	andb $15, %al
put_digit:
	addb $'0', %al
	cmpb $'9', %al
	jbe put
	addb $'a' - '0' - 10, %al
	jmp put

	.align 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff /* code: 4 GiB */
	.quad 0x00cf93000000ffff /* data */
gdt_at:	.word 23
	.long gdt - base + TOP

	/* The reset vector */
	.org 0xff0, 0xff
	.code16
	jmp start16
	.org 0x1000, 0xff
