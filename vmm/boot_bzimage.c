// SPDX-License-Identifier: BSD-3-Clause
/*
 * bzImage by the 64-bit boot protocol (Linux, Documentation/arch/x86/boot.rst): protected-mode part
 * at its preferred address, boot_params, an identity map of 4 GiB and a flat GDT.
 */
#include "vmm/boot_image.h"
#include "vmm/layout.h"

#include <asm/bootparam.h>
#include <assert.h>
#include <errno.h>

#define HEADER_OFFSET	   0x1F1
#define HEADER_END_BYTE	   0x201 /* jump over the header: its length from 0x202 on */
#define BOOT_FLAG	   0xAA55
#define HEADER_MAGIC	   0x53726448 /* "HdrS" */
#define PROTOCOL_MIN	   0x20C /* xloadflags, and with it the 64-bit entry */
#define ENTRY_64_OFFSET	   0x200
#define LOADER_UNKNOWN	   0xFF
#define VIDEO_NORMAL	   0xFFFF
#define SETUP_SECTS_LEGACY 4 /* 0 in the header means this */
#define LOAD_MIN	   MIB(1)

#define PTE_PRESENT   BIT_ULL(0)
#define PTE_WRITE     BIT_ULL(1)
#define PTE_LARGE     BIT_ULL(7)
#define PAGE_ENTRIES  512
#define IDENTITY_GIBS 4

static_assert(sizeof(struct boot_params) == 4096, "boot protocol: the zero page");
static_assert(offsetof(struct boot_params, hdr) == HEADER_OFFSET, "boot protocol: setup header");

static bool bzimage_probe(const struct boot_image *im)
{
	const uint8_t *h = im->head;

	return get_le16(h + offsetof(struct boot_params, hdr.boot_flag)) == BOOT_FLAG &&
	       get_le32(h + offsetof(struct boot_params, hdr.header)) == HEADER_MAGIC;
}

/* Our copy of the header; what the file's header does not reach stays zero. */
static void header_read(const struct boot_image *im, struct setup_header *h)
{
	size_t end = (size_t)0x202 + im->head[HEADER_END_BYTE];
	size_t len = end - HEADER_OFFSET;

	memset(h, 0, sizeof(*h));
	memcpy(h, im->head + HEADER_OFFSET, len < sizeof(*h) ? len : sizeof(*h));
}

/* Where the kernel goes: its preferred address. Lower would do no good: a relocatable kernel moves
 * itself up to it before it unpacks (boot protocol, pref_address). */
static int address_choose(const struct boot_image *im, const struct setup_header *h, uint64_t need,
			  uint64_t *out, struct err *e)
{
	uint64_t low_end = boot_low_end(im);

	if (h->pref_address >= LOAD_MIN && range_fits(h->pref_address, need, low_end)) {
		*out = h->pref_address;
		return 0;
	}
	err_set(e, ENOMEM,
		"kernel does not fit: it needs %llu bytes from 0x%llx on, RAM below 4 GiB ends at"
		" 0x%llx",
		(unsigned long long)need, (unsigned long long)h->pref_address,
		(unsigned long long)low_end);
	return err_hint(e, "more memory for the VM");
}

static int bzimage_load(struct boot_image *im, struct err *e)
{
	struct setup_header h;
	uint64_t setup_bytes, payload, load = 0;
	int r;

	header_read(im, &h);
	if (h.version < PROTOCOL_MIN || (h.xloadflags & XLF_KERNEL_64) == 0)
		return err_set(e, ENOEXEC,
			       "kernel has no 64-bit entry (boot protocol %u.%02u, flags 0x%x)",
			       h.version >> 8, h.version & 0xFFU, h.xloadflags);
	setup_bytes = ((h.setup_sects != 0 ? h.setup_sects : SETUP_SECTS_LEGACY) + 1U) * 512U;
	if (im->kernel.size <= setup_bytes + ENTRY_64_OFFSET)
		return err_set(e, ENOEXEC, "kernel is truncated: %llu bytes, set-up code has %llu",
			       (unsigned long long)im->kernel.size,
			       (unsigned long long)setup_bytes);
	payload = im->kernel.size - setup_bytes;
	r = address_choose(im, &h, u64_max(payload, h.init_size), &load, e);
	if (r == 0)
		r = boot_file_load(im, setup_bytes, load, payload, e);
	if (r < 0)
		return r;
	im->kernel_end = load + u64_max(payload, h.init_size);
	im->initrd_limit = (uint64_t)h.initrd_addr_max + 1;
	im->cmdline_max = h.cmdline_size;
	im->entry = load + ENTRY_64_OFFSET;
	return 0;
}

static int page_tables_write(const struct gmem *gm)
{
	uint64_t *pml4 = gmem_host(gm, LAYOUT_PAGE_TABLES, (2 + IDENTITY_GIBS) * 4096);
	uint64_t *pdpt, *pd;

	if (pml4 == NULL)
		return -EFAULT;
	pdpt = pml4 + PAGE_ENTRIES;
	pd = pdpt + PAGE_ENTRIES;
	memset(pml4, 0, 2 * 4096);
	pml4[0] = (LAYOUT_PAGE_TABLES + 4096) | PTE_PRESENT | PTE_WRITE;
	for (uint64_t i = 0; i < IDENTITY_GIBS; i++)
		pdpt[i] = (LAYOUT_PAGE_TABLES + (2 + i) * 4096) | PTE_PRESENT | PTE_WRITE;
	for (uint64_t i = 0; i < IDENTITY_GIBS * PAGE_ENTRIES; i++)
		pd[i] = i * MIB(2) | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	return 0;
}

static void params_fill(const struct boot_image *im, struct boot_params *p)
{
	struct setup_header *h = &p->hdr;

	header_read(im, h);
	h->type_of_loader = LOADER_UNKNOWN;
	h->loadflags |= LOADED_HIGH;
	h->vid_mode = VIDEO_NORMAL;
	h->cmd_line_ptr = (uint32_t)LAYOUT_CMDLINE;
	/* Chains of setup_data and such come from a boot loader, never from the file. */
	h->setup_data = 0;
	h->ramdisk_image = (uint32_t)im->initrd_gpa;
	h->ramdisk_size = (uint32_t)im->initrd_size;
	p->ext_ramdisk_image = (uint32_t)(im->initrd_gpa >> 32);
	p->ext_ramdisk_size = (uint32_t)(im->initrd_size >> 32);
	p->acpi_rsdp_addr = im->rsdp;
	for (uint32_t i = 0; i < im->map_count; i++)
		p->e820_table[i] = (struct boot_e820_entry){ .addr = im->map[i].start,
							     .size = im->map[i].size,
							     .type = im->map[i].type };
	p->e820_entries = (uint8_t)im->map_count;
}

static int bzimage_params(const struct boot_image *im, struct boot_entry *out, struct err *e)
{
	struct boot_params params;

	memset(&params, 0, sizeof(params));
	params_fill(im, &params);
	if (gmem_write(im->gm, LAYOUT_BOOT_PARAMS, &params, sizeof(params)) < 0 ||
	    page_tables_write(im->gm) < 0)
		return err_set(e, EFAULT, "boot parameters: no RAM at 0x%llx", LAYOUT_BOOT_PARAMS);
	*out = (struct boot_entry){ .mode = BOOT_LONG64,
				    .rip = im->entry,
				    .params = LAYOUT_BOOT_PARAMS };
	return 0;
}

const struct boot_format boot_format_bzimage = {
	.name = "bzImage",
	.probe = bzimage_probe,
	.load = bzimage_load,
	.params = bzimage_params,
};
