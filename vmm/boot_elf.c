// SPDX-License-Identifier: BSD-3-Clause
/*
 * ELF vmlinux by its PVH note (Xen's public/arch-x86/hvm/start_info.h; Linux,
 * arch/x86/platform/pvh/head.S): segments at their physical addresses, 32-bit entry.
 */
#include "vmm/boot_image.h"
#include "vmm/layout.h"

#include "base/fd.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>

#define PHDRS_MAX	  64
#define NOTES_BYTES_MAX	  KIB(64)
#define NOTE_XEN_PVH	  18U /* XEN_ELFNOTE_PHYS32_ENTRY */
#define NOTE_NAME_XEN	  "Xen"
#define LOAD_MIN	  MIB(1)
#define ADDRESS_32_END	  (1ULL << 32)
#define LINUX_CMDLINE_MAX 2047 /* COMMAND_LINE_SIZE of x86 less its NUL */

#define START_INFO_MAGIC   0x336EC578U
#define START_INFO_VERSION 1U

struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct start_module {
	uint64_t paddr, size, cmdline, reserved;
};

struct start_memmap {
	uint64_t addr, size;
	uint32_t type, reserved;
};

static_assert(sizeof(struct start_info) == 56, "PVH: hvm_start_info");
static_assert(sizeof(struct start_module) == 32, "PVH: hvm_modlist_entry");
static_assert(sizeof(struct start_memmap) == 24, "PVH: hvm_memmap_table_entry");

/* All that the kernel gets, in one piece of RAM. */
struct start_block {
	struct start_info info;
	struct start_module module;
	struct start_memmap map[BOOT_MEM_MAX];
};

static_assert(sizeof(struct start_block) <= LAYOUT_BOOT_PARAMS - LAYOUT_PVH_INFO, "layout.h");

static bool elf_probe(const struct boot_image *im)
{
	return memcmp(im->head, ELFMAG, SELFMAG) == 0;
}

static int header_check(const struct boot_image *im, Elf64_Ehdr *eh, struct err *e)
{
	memcpy(eh, im->head, sizeof(*eh));
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh->e_machine != EM_X86_64)
		return err_set(e, ENOEXEC, "kernel is an ELF file, but not for x86-64");
	if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phnum == 0 || eh->e_phnum > PHDRS_MAX)
		return err_set(e, ENOEXEC,
			       "kernel has %u program headers of %u bytes: not 1 to %d"
			       " of %zu",
			       eh->e_phnum, eh->e_phentsize, PHDRS_MAX, sizeof(Elf64_Phdr));
	return 0;
}

static int segment_load(struct boot_image *im, const Elf64_Phdr *ph, struct err *e)
{
	uint64_t low_end = boot_low_end(im);
	uint8_t *host;
	int r;

	if (ph->p_memsz == 0)
		return 0;
	if (ph->p_filesz > ph->p_memsz)
		return err_set(e, ENOEXEC,
			       "kernel has a segment larger in the file than in memory");
	if (ph->p_paddr < LOAD_MIN || !range_fits(ph->p_paddr, ph->p_memsz, low_end)) {
		err_set(e, ENOMEM,
			"kernel does not fit: a segment needs 0x%llx bytes at 0x%llx, RAM is"
			" 0x%llx to 0x%llx",
			(unsigned long long)ph->p_memsz, (unsigned long long)ph->p_paddr,
			(unsigned long long)LOAD_MIN, (unsigned long long)low_end);
		return err_hint(e, "more memory for the VM");
	}
	r = boot_file_load(im, ph->p_offset, ph->p_paddr, ph->p_filesz, e);
	if (r < 0)
		return r;
	host = gmem_host(im->gm, ph->p_paddr, ph->p_memsz);
	memset(host + ph->p_filesz, 0, ph->p_memsz - ph->p_filesz);
	im->kernel_end = u64_max(im->kernel_end, ph->p_paddr + ph->p_memsz);
	return 0;
}

/* Looks for the PVH entry in one PT_NOTE segment; leaves *entry alone if it is not there. */
static int notes_scan(const struct boot_image *im, const Elf64_Phdr *ph, uint64_t *entry,
		      struct err *e)
{
	auto_free uint8_t *notes = NULL;
	uint64_t off = 0, len = ph->p_filesz;
	int r;

	if (len > NOTES_BYTES_MAX)
		return err_set(e, ENOEXEC, "kernel has %llu bytes of notes, at most %llu are read",
			       (unsigned long long)len, (unsigned long long)NOTES_BYTES_MAX);
	notes = malloc(len + 1);
	if (notes == NULL)
		return err_set(e, ENOMEM, "kernel: out of memory");
	r = boot_file_read(&im->kernel, ph->p_offset, notes, len, e);
	if (r < 0)
		return r;
	/* Each step takes at least the 12 bytes of a note's header. */
	while (range_fits(off, sizeof(Elf64_Nhdr), len)) {
		Elf64_Nhdr nh;
		uint64_t name, desc;

		memcpy(&nh, notes + off, sizeof(nh));
		name = off + sizeof(nh);
		desc = name + align_up(nh.n_namesz, 4);
		if (!range_fits(desc, nh.n_descsz, len))
			break;
		if (nh.n_type == NOTE_XEN_PVH && nh.n_namesz == sizeof(NOTE_NAME_XEN) &&
		    memcmp(notes + name, NOTE_NAME_XEN, sizeof(NOTE_NAME_XEN)) == 0 &&
		    (nh.n_descsz == 4 || nh.n_descsz == 8))
			*entry = get_le(notes + desc, nh.n_descsz);
		off = desc + align_up(nh.n_descsz, 4);
	}
	return 0;
}

static int elf_load(struct boot_image *im, struct err *e)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph[PHDRS_MAX];
	bool entry_loaded = false;
	int r = header_check(im, &eh, e);

	if (r == 0)
		r = boot_file_read(&im->kernel, eh.e_phoff, ph, eh.e_phnum * sizeof(ph[0]), e);
	for (unsigned int i = 0; r == 0 && i < eh.e_phnum; i++)
		if (ph[i].p_type == PT_NOTE)
			r = notes_scan(im, &ph[i], &im->entry, e);
	if (r < 0)
		return r;
	if (im->entry == 0) {
		err_set(e, ENOEXEC, "kernel is an ELF file without a PVH entry");
		return err_hint(e, "a kernel built with CONFIG_PVH=y, or its bzImage");
	}
	for (unsigned int i = 0; r == 0 && i < eh.e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		r = segment_load(im, &ph[i], e);
		if (im->entry >= ph[i].p_paddr && im->entry - ph[i].p_paddr < ph[i].p_filesz)
			entry_loaded = true;
	}
	if (r < 0)
		return r;
	if (!entry_loaded || im->entry >= ADDRESS_32_END)
		return err_set(e, ENOEXEC, "kernel's PVH entry 0x%llx is outside its segments",
			       (unsigned long long)im->entry);
	im->initrd_limit = ADDRESS_32_END;
	im->cmdline_max = LINUX_CMDLINE_MAX;
	return 0;
}

static int elf_params(const struct boot_image *im, struct boot_entry *out, struct err *e)
{
	struct start_block b;

	memset(&b, 0, sizeof(b));
	b.info.magic = START_INFO_MAGIC;
	b.info.version = START_INFO_VERSION;
	b.info.cmdline = LAYOUT_CMDLINE;
	b.info.rsdp = im->rsdp;
	b.info.memmap = LAYOUT_PVH_INFO + offsetof(struct start_block, map);
	b.info.memmap_entries = im->map_count;
	if (im->initrd_size != 0) {
		b.info.nr_modules = 1;
		b.info.modlist = LAYOUT_PVH_INFO + offsetof(struct start_block, module);
		b.module.paddr = im->initrd_gpa;
		b.module.size = im->initrd_size;
	}
	for (uint32_t i = 0; i < im->map_count; i++)
		b.map[i] = (struct start_memmap){ .addr = im->map[i].start,
						  .size = im->map[i].size,
						  .type = im->map[i].type };
	if (gmem_write(im->gm, LAYOUT_PVH_INFO, &b, sizeof(b)) < 0)
		return err_set(e, EFAULT, "start information: no RAM at 0x%llx", LAYOUT_PVH_INFO);
	*out = (struct boot_entry){ .mode = BOOT_PVH32,
				    .rip = im->entry,
				    .params = LAYOUT_PVH_INFO };
	return 0;
}

const struct boot_format boot_format_elf = {
	.name = "ELF vmlinux",
	.probe = elf_probe,
	.load = elf_load,
	.params = elf_params,
};
