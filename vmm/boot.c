// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/boot.h"

#include "vmm/boot_image.h"
#include "vmm/layout.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOW_RAM_END 0xA0000ULL /* below are the VMM's tables, above the BIOS hole */
#define HIGH_START  0x100000ULL

static const struct boot_format *const formats[] = { &boot_format_bzimage, &boot_format_elf };

int boot_file_read(const struct boot_file *file, uint64_t off, void *buf, uint64_t len,
		   struct err *e)
{
	int r;

	if (!range_fits(off, len, file->size))
		return err_set(e, ENOEXEC, "%s is truncated: %llu bytes at %llu, file of %llu",
			       file->what, (unsigned long long)len, (unsigned long long)off,
			       (unsigned long long)file->size);
	r = fd_pread_all(file->fd, buf, len, off);
	return r < 0 ? err_set(e, r, "read %s: %s", file->what,
			       r == -ENODATA ? "it became shorter" : strerror(-r))
		     : 0;
}

uint64_t boot_low_end(const struct boot_image *im)
{
	return im->gm->slots[0].size;
}

int boot_file_load(const struct boot_image *im, uint64_t off, uint64_t gpa, uint64_t len,
		   struct err *e)
{
	void *dst = gmem_host(im->gm, gpa, len);

	/* What lies below 1 MiB is ours: tables and the kernel's parameters. */
	if (dst == NULL || gpa < HIGH_START) {
		err_set(e, ENOMEM,
			"kernel does not fit: it wants %llu bytes at 0x%llx, RAM is 0x%llx to 0x%llx",
			(unsigned long long)len, (unsigned long long)gpa, HIGH_START,
			(unsigned long long)boot_low_end(im));
		return err_hint(e, "more memory for the VM");
	}
	return boot_file_read(&im->kernel, off, dst, len, e);
}

static int file_open(struct boot_file *file, const char *what, int fd, struct err *e)
{
	struct stat st;
	int r = fd_stat(fd, &st);

	if (r < 0)
		return err_set(e, r, "%s: %s", what, strerror(-r));
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s is no regular file", what);
	*file = (struct boot_file){ .what = what, .fd = fd, .size = (uint64_t)st.st_size };
	return 0;
}

static void map_add(struct boot_image *im, uint64_t start, uint64_t size, uint32_t type)
{
	im->map[im->map_count++] = (struct boot_mem){ .start = start, .size = size, .type = type };
}

static void map_fill(struct boot_image *im)
{
	map_add(im, 0, LOW_RAM_END, BOOT_MEM_RAM);
	map_add(im, LAYOUT_ACPI, LAYOUT_BIOS_END - LAYOUT_ACPI, BOOT_MEM_ACPI);
	map_add(im, HIGH_START, boot_low_end(im) - HIGH_START, BOOT_MEM_RAM);
	map_add(im, LAYOUT_ECAM, LAYOUT_ECAM_SIZE, BOOT_MEM_RESERVED);
	if (im->gm->slot_count > 1)
		map_add(im, im->gm->slots[1].gpa, im->gm->slots[1].size, BOOT_MEM_RAM);
}

static int initrd_load(struct boot_image *im, int fd, struct err *e)
{
	uint64_t limit = u64_min(im->initrd_limit, boot_low_end(im));
	uint64_t from = align_up(im->kernel_end, 4096);
	uint64_t room = limit > from ? limit - from : 0;
	struct boot_file file;
	int r = file_open(&file, "initrd", fd, e);

	if (r < 0)
		return r;
	if (file.size == 0)
		return err_set(e, EINVAL, "initrd is empty");
	if (file.size > room) {
		err_set(e, ENOMEM,
			"initrd does not fit: it has %llu bytes, and %llu are free between the"
			" kernel's end at 0x%llx and 0x%llx",
			(unsigned long long)file.size, (unsigned long long)room,
			(unsigned long long)from, (unsigned long long)limit);
		err_code(e, "initrd-too-large");
		return err_hint(e, "at least %llu MiB more memory for the VM, or a smaller initrd",
				(unsigned long long)(file.size - room + MIB(1) - 1) >> 20);
	}
	im->initrd_size = file.size;
	im->initrd_gpa = align_down(limit - file.size, 4096);
	return boot_file_read(&file, 0, gmem_host(im->gm, im->initrd_gpa, file.size), file.size, e);
}

static int cmdline_load(const struct boot_image *im, const char *cmdline, struct err *e)
{
	size_t len = strlen(cmdline);

	if (len > im->cmdline_max)
		return err_set(e, E2BIG,
			       "kernel command line has %zu characters, this kernel takes"
			       " %llu",
			       len, (unsigned long long)im->cmdline_max);
	if (gmem_write(im->gm, LAYOUT_CMDLINE, cmdline, len + 1) < 0)
		return err_set(e, EFAULT, "kernel command line: no RAM at 0x%llx", LAYOUT_CMDLINE);
	return 0;
}

/* Flat descriptors at the selectors that the boot protocols name (boot.h), base 0, limit 4 GiB. */
static int gdt_write(const struct gmem *gm, enum boot_mode mode)
{
	const uint64_t gdt[BOOT_GDT_ENTRIES] = {
		[BOOT_SELECTOR_CODE / 8] = mode == BOOT_LONG64 ? 0x00AF9B000000FFFFULL
							       : 0x00CF9B000000FFFFULL,
		[BOOT_SELECTOR_DATA / 8] = 0x00CF93000000FFFFULL,
		[BOOT_SELECTOR_TSS / 8] = 0x00008B0000000067ULL,
	};

	return gmem_write(gm, LAYOUT_GDT, gdt, sizeof(gdt));
}

static const struct boot_format *format_find(const struct boot_image *im)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (formats[i]->probe(im))
			return formats[i];
	return NULL;
}

static int image_load(struct boot_image *im, const struct boot_request *rq, struct boot_entry *out,
		      struct err *e)
{
	const struct boot_format *format;
	int r = file_open(&im->kernel, "kernel", rq->kernel_fd, e);

	if (r == 0)
		r = boot_file_read(&im->kernel, 0, im->head,
				   u64_min(im->kernel.size, sizeof(im->head)), e);
	if (r < 0)
		return r;
	format = format_find(im);
	if (format == NULL) {
		err_set(e, ENOEXEC, "kernel is no kernel (neither bzImage nor ELF vmlinux)");
		err_code(e, "kernel-no-kernel");
		return err_hint(e,
				"boot.kernel names a Linux image, such as /boot/vmlinuz-VERSION");
	}
	r = format->load(im, e);
	if (r == 0 && rq->initrd_fd >= 0)
		r = initrd_load(im, rq->initrd_fd, e);
	if (r == 0)
		r = cmdline_load(im, rq->cmdline, e);
	if (r == 0)
		r = format->params(im, out, e);
	if (r == 0 && gdt_write(im->gm, out->mode) < 0)
		r = err_set(e, EFAULT, "descriptor table: no RAM at 0x%llx", LAYOUT_GDT);
	return r;
}

int boot_load(const struct gmem *gm, const struct boot_request *rq, struct boot_entry *out,
	      struct err *e)
{
	auto_free struct boot_image *im = calloc(1, sizeof(*im));

	if (im == NULL)
		return err_set(e, ENOMEM, "kernel: out of memory");
	if (gm->slot_count == 0 || gm->slots[0].size <= HIGH_START)
		return err_set(e, ENOMEM, "kernel does not fit: no RAM above 1 MiB");
	im->gm = gm;
	im->rsdp = rq->rsdp;
	map_fill(im);
	return image_load(im, rq, out, e);
}
