// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/kcore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAP  0xFFFF888000000000ULL
#define TEXT 0xFFFFFFFF81000000ULL

static struct file {
	Elf64_Ehdr h;
	Elf64_Phdr p[6];
	uint8_t memory[3][4096];
} file;
static int fd = -1;

static Elf64_Phdr segment(uint64_t va, uint64_t pa, unsigned int part)
{
	return (Elf64_Phdr){ .p_type = PT_LOAD,
			     .p_vaddr = va,
			     .p_paddr = pa,
			     .p_filesz = 4096,
			     .p_memsz = 4096,
			     .p_offset = offsetof(struct file, memory[part]) };
}

static int setup(void **state)
{
	memset(&file, 0, sizeof(file));
	memcpy(file.h.e_ident, ELFMAG, SELFMAG);
	file.h.e_ident[EI_CLASS] = ELFCLASS64;
	file.h.e_ident[EI_DATA] = ELFDATA2LSB;
	file.h.e_type = ET_CORE;
	file.h.e_machine = EM_X86_64;
	file.h.e_phoff = offsetof(struct file, p);
	file.h.e_phentsize = sizeof(Elf64_Phdr);
	file.h.e_phnum = 6;
	file.p[0].p_type = PT_NOTE;
	file.p[1] = segment(TEXT, 0x1000, 2); /* the kernel's image, mapped a second time */
	file.p[2] = segment(0xFFFFC90000000000ULL, UINT64_MAX, 2); /* vmalloc */
	file.p[3] = segment(MAP + 0x1000, 0x1000, 0);
	file.p[4] = segment(MAP + 0x100000000ULL, 0x100000000ULL, 1);
	for (int i = 0; i < 3; i++)
		memset(file.memory[i], 'a' + i, 4096);
	fd = memfd_create("core", MFD_CLOEXEC);
	return fd < 0;
}

static int teardown(void **state)
{
	close(fd);
	return 0;
}

static int init(struct kcore *k, struct err *e)
{
	assert_int_equal(pwrite(fd, &file, sizeof(file), 0), sizeof(file));
	return kcore_init(k, fd, e);
}

static void memory_by_physical_address(void **state)
{
	struct kcore k;
	struct physmem mem;
	uint8_t buf[4096];
	struct err e;

	assert_int_equal(init(&k, &e), 0);
	assert_int_equal(k.count, 2);
	mem = kcore_memory(&k);
	assert_int_equal(mem.read(mem.arg, 0x1000, buf, 4096), 0);
	assert_int_equal(buf[0], 'a');
	assert_int_equal(mem.read(mem.arg, 0x100000FF8ULL, buf, 8), 0);
	assert_int_equal(buf[7], 'b');
	/* Beside the segments, and across the end of one. */
	assert_int_equal(mem.read(mem.arg, 0xFF8, buf, 8), -EFAULT);
	assert_int_equal(mem.read(mem.arg, 0x1FFC, buf, 8), -EFAULT);
	assert_int_equal(mem.read(mem.arg, UINT64_MAX - 3, buf, 8), -EFAULT);
	assert_int_equal(mem.read(mem.arg, 0x200000000ULL, buf, 8), -EFAULT);
	/* The file ends before the segment does. */
	assert_int_equal(ftruncate(fd, offsetof(struct file, memory[1]) + 16), 0);
	assert_int_equal(mem.read(mem.arg, 0x100000000ULL, buf, 4096), -EFAULT);
}

static void other_files_are_refused(void **state)
{
	struct kcore k;
	struct err e;

	/* Older kernels say 0 for what is not memory too: then no address means anything. */
	file.p[2].p_paddr = 0;
	assert_int_equal(init(&k, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "where memory lies"));
	file.p[2] = file.p[4] = file.p[3] = file.p[1];
	assert_int_equal(init(&k, &e), -EBADMSG); /* nothing but the kernel's image */
	setup(NULL);
	file.p[4].p_filesz = 1ULL << 52;
	assert_int_equal(init(&k, &e), -EBADMSG);
	file.p[4].p_filesz = 4096;
	file.p[4].p_offset = INT64_MAX;
	assert_int_equal(init(&k, &e), -EBADMSG);
	setup(NULL);
	file.h.e_phnum = 7; /* the last is memory's bytes: no segment */
	assert_int_equal(init(&k, &e), 0);
	file.h.e_phnum = UINT16_MAX;
	assert_int_equal(init(&k, &e), -EBADMSG);
	file.h.e_phnum = 0;
	assert_int_equal(init(&k, &e), -EBADMSG);
	file.h.e_phnum = 6;
	file.h.e_phoff = UINT64_MAX - 8;
	assert_int_equal(init(&k, &e), -EBADMSG);
	file.h.e_phoff = sizeof(file);
	assert_int_equal(init(&k, &e), -EFAULT);
	file.h.e_machine = EM_AARCH64;
	assert_int_equal(init(&k, &e), -EBADMSG);
	assert_int_equal(ftruncate(fd, 8), 0);
	assert_int_equal(kcore_init(&k, fd, &e), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(memory_by_physical_address, setup, teardown),
		cmocka_unit_test_setup_teardown(other_files_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
