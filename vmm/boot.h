/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Direct boot: puts a kernel, its initrd and command line into guest RAM and says where vCPU 0
 * starts. bzImage goes by the 64-bit boot protocol (Documentation/arch/x86/boot.rst), an ELF
 * vmlinux by its PVH note (Documentation/.../pvh, xen/include/public/arch-x86/hvm/start_info.h).
 * Images are the tenant's and hostile: every length is bounded by the file and by RAM, and header
 * fields are read once. Loading again (guest reset) reads the files again.
 */
#ifndef VIADUCT_VMM_BOOT_H
#define VIADUCT_VMM_BOOT_H

#include "vmm/gmem.h"

#include "base/err.h"

enum boot_mode {
	BOOT_LONG64, /* paging on, RSI = params */
	BOOT_PVH32, /* protected mode, paging off, EBX = params */
};

/* Selectors in the descriptor table that boot_load() leaves at LAYOUT_GDT (__BOOT_CS, __BOOT_DS). */
#define BOOT_SELECTOR_CODE 0x10
#define BOOT_SELECTOR_DATA 0x18
#define BOOT_SELECTOR_TSS  0x20
#define BOOT_GDT_ENTRIES   5

/* Register state of vCPU 0 at the kernel's first instruction. */
struct boot_entry {
	enum boot_mode mode;
	uint64_t rip;
	uint64_t params; /* GPA of boot_params or hvm_start_info */
};

struct boot_request {
	int kernel_fd;
	int initrd_fd; /* -1: none */
	const char *cmdline;
	uint64_t rsdp; /* GPA of the ACPI root pointer */
};

/* Fills gm and *out. Errors name the file ("kernel", "initrd") and the numbers that do not fit. */
int boot_load(const struct gmem *gm, const struct boot_request *rq, struct boot_entry *out,
	      struct err *e);

#endif
