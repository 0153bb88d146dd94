// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/boot.h"

#include "vmm/layout.h"

#include <asm/bootparam.h>

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define RAM	    MIB(64)
#define LOAD	    MIB(16)
#define SETUP_SECTS 4
#define SETUP_BYTES ((SETUP_SECTS + 1) * 512)
#define PAYLOAD	    65536
#define ENTRY_ELF   (LOAD + 0x30)

static struct gmem gm;

static int ram_setup(void **state)
{
	return gmem_create(&gm, RAM, 0, 0, NULL);
}

static int ram_teardown(void **state)
{
	gmem_destroy(&gm);
	return 0;
}

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, 0), len);
	return fd;
}

static uint8_t image[SETUP_BYTES + PAYLOAD];

static struct setup_header *bzimage_make(void)
{
	struct setup_header *h = (struct setup_header *)(image + 0x1F1);

	memset(image, 0, sizeof(image));
	memset(image + SETUP_BYTES, 0xAB, PAYLOAD);
	image[0x201] = 0x66;
	h->setup_sects = SETUP_SECTS;
	h->boot_flag = 0xAA55;
	h->header = 0x53726448;
	h->version = 0x20F;
	h->xloadflags = XLF_KERNEL_64;
	h->pref_address = LOAD;
	h->init_size = MIB(8);
	h->initrd_addr_max = 0x7FFFFFFF;
	h->cmdline_size = 2047;
	h->relocatable_kernel = 1;
	h->kernel_alignment = MIB(2);
	return h;
}

struct load {
	int r;
	struct boot_entry entry;
	struct err e;
};

static struct load load_with(size_t kernel_len, uint64_t initrd_len, const char *cmdline)
{
	struct load l = { 0 };
	struct boot_request rq = { .kernel_fd = file_of(image, kernel_len),
				   .initrd_fd = -1,
				   .cmdline = cmdline,
				   .rsdp = LAYOUT_ACPI };

	if (initrd_len != 0) {
		rq.initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
		assert_int_equal(ftruncate(rq.initrd_fd, (off_t)initrd_len), 0);
		assert_int_equal(pwrite(rq.initrd_fd, "initrd", 6, 0), 6);
	}
	l.r = boot_load(&gm, &rq, &l.entry, &l.e);
	close(rq.kernel_fd);
	if (rq.initrd_fd >= 0)
		close(rq.initrd_fd);
	return l;
}

static struct load load(void)
{
	return load_with(sizeof(image), 0, "quiet");
}

static void bzimage_is_loaded(void **state)
{
	struct boot_params p;
	uint8_t byte = 0;
	uint64_t pte = 0;
	struct load l;

	bzimage_make();
	l = load_with(sizeof(image), 5000, "console=ttyS0");
	assert_int_equal(l.r, 0);
	assert_int_equal(l.entry.mode, BOOT_LONG64);
	assert_int_equal(l.entry.rip, LOAD + 0x200);
	assert_int_equal(l.entry.params, LAYOUT_BOOT_PARAMS);
	gmem_read(&gm, LOAD + PAYLOAD - 1, &byte, 1);
	assert_int_equal(byte, 0xAB);

	gmem_read(&gm, LAYOUT_BOOT_PARAMS, &p, sizeof(p));
	assert_int_equal(p.hdr.type_of_loader, 0xFF);
	assert_int_equal(p.hdr.loadflags & LOADED_HIGH, LOADED_HIGH);
	assert_int_equal(p.acpi_rsdp_addr, LAYOUT_ACPI);
	assert_string_equal(gmem_host(&gm, p.hdr.cmd_line_ptr, 64), "console=ttyS0");
	assert_int_equal(p.hdr.ramdisk_size, 5000);
	assert_int_equal(p.hdr.ramdisk_image, align_down(RAM - 5000, 4096));
	assert_memory_equal(gmem_host(&gm, p.hdr.ramdisk_image, 6), "initrd", 6);
	assert_int_equal(p.e820_entries, 4);
	assert_int_equal(p.e820_table[0].size, 0xA0000);
	assert_int_equal(p.e820_table[2].addr, MIB(1));
	assert_int_equal(p.e820_table[2].size, RAM - MIB(1));
	assert_int_equal(p.e820_table[3].addr, LAYOUT_ECAM);
	assert_int_equal(p.e820_table[3].type, 2);
	/* The last large page of the identity map */
	gmem_read(&gm, LAYOUT_PAGE_TABLES + 6 * 4096 - 8, &pte, 8);
	assert_int_equal(pte, (GIB(4) - MIB(2)) | 0x83);
}

static void bzimage_gets_a_map_of_a_tebibyte(void **state)
{
	const struct boot_e820_entry *top;
	struct boot_params p;
	struct err e = { 0 };

	gmem_destroy(&gm);
	/* Address space: nothing of it is populated but what the loader writes. */
	assert_int_equal(gmem_create(&gm, GIB(1024), 0, 0, &e), 0);
	bzimage_make();
	assert_int_equal(load().r, 0);
	gmem_read(&gm, LAYOUT_BOOT_PARAMS, &p, sizeof(p));
	assert_int_equal(p.e820_entries, 5);
	assert_int_equal(p.e820_table[2].size, GIB(2) - MIB(1));
	top = &p.e820_table[4];
	assert_int_equal(top->addr, GIB(1024));
	assert_int_equal(top->size, GIB(1022));
	assert_int_equal(top->type, 1);
	gmem_destroy(&gm);
	assert_int_equal(ram_setup(NULL), 0);
}

static void kernel_that_would_run_past_little_ram_is_refused(void **state)
{
	struct setup_header *h = bzimage_make();

	/* Relocatable or not: loaded lower, it would move itself up to pref_address all the same. */
	h->init_size = MIB(56);
	assert_int_equal(load().r, -ENOMEM);
	h->init_size = MIB(16);
	assert_int_equal(load().entry.rip, LOAD + 0x200);
}

static void refuse(int r, const char *text, struct load l)
{
	assert_int_equal(l.r, r);
	if (strstr(l.e.text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, l.e.text);
}

static void hostile_bzimages_are_refused(void **state)
{
	struct setup_header *h = bzimage_make();

	refuse(-ENOEXEC, "truncated", load_with(SETUP_BYTES, 0, ""));
	refuse(-ENOEXEC, "truncated", load_with(SETUP_BYTES + 0x200, 0, ""));
	h->init_size = UINT32_MAX;
	refuse(-ENOMEM, "does not fit", load());
	h->pref_address = UINT64_MAX;
	refuse(-ENOMEM, "does not fit", load());
	h->init_size = 0;
	h->pref_address = LAYOUT_BOOT_PARAMS; /* over our own tables */
	refuse(-ENOMEM, "does not fit", load());
	h = bzimage_make();
	h->version = 0x20A;
	refuse(-ENOEXEC, "no 64-bit entry (boot protocol 2.10", load());
	h = bzimage_make();
	h->xloadflags = 0;
	refuse(-ENOEXEC, "no 64-bit entry", load());
	h = bzimage_make();
	h->setup_sects = 255;
	refuse(-ENOEXEC, "truncated", load_with(4096, 0, ""));
}

static void setup_data_of_the_file_is_dropped(void **state)
{
	struct boot_params p;

	bzimage_make()->setup_data = 0x1234000;
	assert_int_equal(load().r, 0);
	gmem_read(&gm, LAYOUT_BOOT_PARAMS, &p, sizeof(p));
	assert_int_equal(p.hdr.setup_data, 0);
}

static void what_is_no_kernel_is_named(void **state)
{
	memset(image, 'x', sizeof(image));
	refuse(-ENOEXEC, "kernel is no kernel (neither bzImage nor ELF vmlinux)", load());
	refuse(-ENOEXEC, "kernel is no kernel", load_with(0, 0, ""));
	refuse(-ENOEXEC, "kernel is no kernel", load_with(3, 0, ""));
}

static void initrd_that_does_not_fit_is_refused_with_numbers(void **state)
{
	struct load l;

	bzimage_make();
	/* 64 MiB less the kernel's end at 24 MiB */
	assert_int_equal(load_with(sizeof(image), MIB(40), "").r, 0);
	l = load_with(sizeof(image), MIB(40) + 1, "");
	refuse(-ENOMEM, "it has 41943041 bytes, and 41943040 are free", l);
	assert_string_equal(l.e.code, "initrd-too-large");
	bzimage_make()->initrd_addr_max = MIB(30) - 1;
	refuse(-ENOMEM, "and 6291456 are free", load_with(sizeof(image), MIB(7), ""));
	bzimage_make()->initrd_addr_max = 0;
	refuse(-ENOMEM, "and 0 are free", load_with(sizeof(image), 1, ""));
}

static void command_line_is_bounded_by_the_kernel(void **state)
{
	bzimage_make()->cmdline_size = 4;
	assert_int_equal(load_with(sizeof(image), 0, "abcd").r, 0);
	refuse(-E2BIG, "5 characters, this kernel takes 4", load_with(sizeof(image), 0, "abcde"));
}

struct elf_file {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	struct {
		Elf64_Nhdr nh;
		char name[4];
		uint32_t entry;
	} note;
	char code[4096];
};

static struct elf_file *elf_make(void)
{
	struct elf_file *f = (struct elf_file *)image;

	memset(image, 0, sizeof(image));
	memcpy(f->eh.e_ident, ELFMAG, SELFMAG);
	f->eh.e_ident[EI_CLASS] = ELFCLASS64;
	f->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	f->eh.e_machine = EM_X86_64;
	f->eh.e_phoff = offsetof(struct elf_file, ph);
	f->eh.e_phentsize = sizeof(Elf64_Phdr);
	f->eh.e_phnum = 2;
	f->ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
				 .p_offset = offsetof(struct elf_file, code),
				 .p_paddr = LOAD,
				 .p_filesz = sizeof(f->code),
				 .p_memsz = MIB(1) };
	f->ph[1] = (Elf64_Phdr){ .p_type = PT_NOTE,
				 .p_offset = offsetof(struct elf_file, note),
				 .p_filesz = sizeof(f->note) };
	f->note.nh = (Elf64_Nhdr){ .n_namesz = 4, .n_descsz = 4, .n_type = 18 };
	memcpy(f->note.name, "Xen", 4);
	f->note.entry = ENTRY_ELF;
	memset(f->code, 0xCD, sizeof(f->code));
	return f;
}

static void vmlinux_is_loaded_by_its_note(void **state)
{
	uint64_t info[7], module[2];
	uint8_t bytes[2];
	struct load l;

	elf_make();
	memset(gmem_host(&gm, LOAD, MIB(1)), 0x55, MIB(1)); /* stale RAM of the boot before */
	l = load_with(sizeof(image), 4097, "a=b");
	assert_int_equal(l.r, 0);
	assert_int_equal(l.entry.mode, BOOT_PVH32);
	assert_int_equal(l.entry.rip, ENTRY_ELF);
	assert_int_equal(l.entry.params, LAYOUT_PVH_INFO);
	gmem_read(&gm, LOAD + 4095, bytes, 2);
	assert_int_equal(bytes[0], 0xCD);
	assert_int_equal(bytes[1], 0); /* .bss */
	gmem_read(&gm, LAYOUT_PVH_INFO, info, sizeof(info));
	assert_int_equal(info[0], 0x1336EC578);
	assert_int_equal(info[1], 1ULL << 32); /* one module */
	assert_int_equal(info[3], LAYOUT_CMDLINE);
	assert_int_equal(info[4], LAYOUT_ACPI);
	assert_int_equal(info[6], 4); /* entries of the memory map */
	gmem_read(&gm, info[2], module, sizeof(module));
	assert_int_equal(module[0], align_down(RAM - 4097, 4096));
	assert_int_equal(module[1], 4097);
}

static void hostile_elf_files_are_refused(void **state)
{
	struct elf_file *f = elf_make();

	f->eh.e_machine = EM_AARCH64;
	refuse(-ENOEXEC, "not for x86-64", load());
	f = elf_make();
	f->eh.e_phnum = 0xFFFF;
	refuse(-ENOEXEC, "program headers", load());
	f = elf_make();
	f->eh.e_phoff = UINT64_MAX - 8;
	refuse(-ENOEXEC, "truncated", load());
	f = elf_make();
	f->ph[0].p_paddr = UINT64_MAX - 4096;
	refuse(-ENOMEM, "does not fit", load());
	f = elf_make();
	f->ph[0].p_paddr = LAYOUT_PVH_INFO;
	refuse(-ENOMEM, "does not fit", load());
	f = elf_make();
	f->ph[0].p_memsz = UINT64_MAX;
	refuse(-ENOMEM, "does not fit", load());
	f = elf_make();
	f->ph[0].p_filesz = MIB(2);
	refuse(-ENOEXEC, "larger in the file", load());
	f = elf_make();
	f->ph[0].p_offset = sizeof(image) - 1;
	refuse(-ENOEXEC, "truncated", load());
	f = elf_make();
	f->note.nh.n_type = 17;
	refuse(-ENOEXEC, "without a PVH entry", load());
	f = elf_make();
	f->note.nh.n_namesz = UINT32_MAX;
	refuse(-ENOEXEC, "without a PVH entry", load());
	f = elf_make();
	f->note.entry = LOAD + sizeof(f->code);
	refuse(-ENOEXEC, "outside its segments", load());
	f = elf_make();
	f->ph[1].p_filesz = MIB(1);
	refuse(-ENOEXEC, "of notes", load());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bzimage_is_loaded),
		cmocka_unit_test(bzimage_gets_a_map_of_a_tebibyte),
		cmocka_unit_test(kernel_that_would_run_past_little_ram_is_refused),
		cmocka_unit_test(hostile_bzimages_are_refused),
		cmocka_unit_test(setup_data_of_the_file_is_dropped),
		cmocka_unit_test(what_is_no_kernel_is_named),
		cmocka_unit_test(initrd_that_does_not_fit_is_refused_with_numbers),
		cmocka_unit_test(command_line_is_bounded_by_the_kernel),
		cmocka_unit_test(vmlinux_is_loaded_by_its_note),
		cmocka_unit_test(hostile_elf_files_are_refused),
	};

	return cmocka_run_group_tests(tests, ram_setup, ram_teardown);
}
