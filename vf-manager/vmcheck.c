// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/budget.h"
#include "vf-manager/daemon.h"
#include "vf-manager/hostcheck.h"
#include "vf-manager/vmcheck.h"
#include "vf-manager/vmextra.h"
#include "vf-manager/vmfirmware.h"
#include "vf-manager/vmplace.h"
#include "vf-manager/vmstart_disks.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux x86 boot protocol: "HdrS" at 0x202; ELF: the first four bytes. */
#define BZIMAGE_MAGIC_AT 0x202
#define XLOADFLAGS_AT	 0x236
#define XLF_EFI64	 0x08

void vm_files_close(struct vm_files *files)
{
	fd_close(&files->kernel);
	fd_close(&files->initrd);
	fd_close(&files->firmware);
	fd_close(&files->fresh_vars);
	for (unsigned int i = 0; i < files->image_count; i++)
		fd_close(&files->images[i].fd);
	files->image_count = 0;
	cloud_init_close(files->cloud);
}

static int kernel_check(int fd, const char *path, struct err *e)
{
	char head[BZIMAGE_MAGIC_AT + 4];
	ssize_t n = pread(fd, head, sizeof(head), 0);

	if (n < 0)
		return err_set(e, errno, "kernel %s: %s", path, strerror(errno));
	if (n >= 4 && memcmp(head, "\177ELF", 4) == 0)
		return 0;
	if (n == (ssize_t)sizeof(head) && memcmp(head + BZIMAGE_MAGIC_AT, "HdrS", 4) == 0)
		return 0;
	err_set(e, EINVAL, "kernel %s: is no kernel (neither bzImage nor vmlinux)", path);
	err_code(e, "no-kernel");
	return err_hint(e, "file %s   says what it is", path);
}

/* What firmware starts is an EFI program: "MZ", and the stub's flag among the kernel's own. */
static int efi_check(int fd, const char *path, struct err *e)
{
	uint8_t head[XLOADFLAGS_AT + 2];
	ssize_t n = pread(fd, head, sizeof(head), 0);

	if (n == (ssize_t)sizeof(head) && memcmp(head, "MZ", 2) == 0 &&
	    memcmp(head + BZIMAGE_MAGIC_AT, "HdrS", 4) == 0 &&
	    (get_le16(head + XLOADFLAGS_AT) & XLF_EFI64) != 0)
		return 0;
	err_set(e, EINVAL, "kernel %s: has no EFI stub, so firmware cannot start it", path);
	err_code(e, "kernel-no-efi");
	return err_hint(e, "take a bzImage with CONFIG_EFI_STUB; or leave boot.firmware out");
}

static int initrd_check(const struct vm_files *files, const struct vm_spec *spec, struct err *e)
{
	struct stat kernel, initrd;

	if (fstat(files->kernel, &kernel) < 0 || fstat(files->initrd, &initrd) < 0)
		return err_set(e, errno, "initrd %s: %s", spec->initrd, strerror(errno));
	if (range_fits((uint64_t)kernel.st_size, (uint64_t)initrd.st_size, spec->memory_bytes))
		return 0;
	err_set(e, EINVAL,
		"initrd %s: its %llu MiB do not fit into %llu MiB of memory with the kernel",
		spec->initrd, (unsigned long long)initrd.st_size >> 20,
		(unsigned long long)spec->memory_bytes >> 20);
	err_code(e, "initrd-too-large");
	return err_hint(e, "raise memory.size");
}

static int images_open(struct daemon *d, const struct caller *who, const struct vm_spec *spec,
		       struct vm_files *out, struct err *e)
{
	for (unsigned int i = 0; i < spec->disk_count; i++) {
		struct vm_image *image = &out->images[i];
		int r;

		*image = (struct vm_image){ .fd = -1 };
		out->image_count = i + 1;
		if (spec->disks[i].is_seed)
			continue;
		r = vm_image_open(who, &d->config, &spec->disks[i], image, e);

		/* A VM of ours claims a device that it writes. */
		if (r < 0 && strcmp(e->code, "device-busy") == 0)
			(void)image_holder_say(d, &image->id, spec->disks[i].path, e);
		if (r < 0)
			return err_wrap(e, "disk %s", spec->disks[i].name);
	}
	return 0;
}

int vm_files_open(struct daemon *d, const struct caller *who, const struct vm_spec *spec,
		  struct vm_files *out, struct err *e)
{
	const struct file_wish kernel = { .what = "kernel", .path = spec->kernel };
	const struct file_wish initrd = { .what = "initrd", .path = spec->initrd };
	int r = 0;

	*out = (struct vm_files)VM_FILES_NONE;
	if (spec->has_firmware)
		r = firmware_open(&d->config, &out->firmware, &out->fresh_vars, e);
	if (r == 0 && spec->kernel[0] != '\0')
		r = caller_open(who, &d->config, &kernel, &out->kernel, e);
	if (r == 0 && out->kernel >= 0)
		r = spec->has_firmware ? efi_check(out->kernel, spec->kernel, e)
				       : kernel_check(out->kernel, spec->kernel, e);
	if (r == 0 && spec->initrd[0] != '\0')
		r = caller_open(who, &d->config, &initrd, &out->initrd, e);
	if (r == 0 && out->initrd >= 0)
		r = initrd_check(out, spec, e);
	if (r == 0)
		r = images_open(d, who, spec, out, e);
	if (r == 0)
		r = cloud_init_open(who, &d->config, &spec->cloud_init, out->cloud, e);
	if (r < 0)
		vm_files_close(out);
	return r;
}

static int kvm_check(struct daemon *d, struct err *e)
{
	bool is_usable;
	char detail[256];

	/* It does not go away while the daemon runs, and asking takes a process. */
	if (atomic_load_explicit(&d->kvm_is_usable, memory_order_relaxed))
		return 0;
	if (host_kvm_check(d, &is_usable, detail) && !is_usable) {
		err_set(e, ENODEV, "KVM is not usable: %s", detail);
		err_code(e, "kvm-unusable");
		return err_hint(e, "viaduct host check");
	}
	atomic_store_explicit(&d->kvm_is_usable, true, memory_order_relaxed);
	return 0;
}

static int remapping_check(const struct daemon *d, const struct vm_notes *notes,
			   struct vm_unsafe *unsafe, struct err *e)
{
	bool is_accepted = unsafe->reason[0] != '\0';
	struct iommu_host host;
	int r = host_iommu_read(d, &host, e);

	if (r == 0)
		r = iommu_host_check(&host, is_accepted, e);
	if (r < 0)
		return r;
	unsafe->is_taken = host.interrupt_remapping != IOMMU_ON;
	if (is_accepted && !unsafe->is_taken)
		json_array_append_new(notes->warnings,
				      json_string(
					      "allow-unsafe-interrupts is not needed: interrupt "
					      "remapping is on; it has no effect"));
	else if (unsafe->is_taken)
		json_array_append_new(notes->warnings,
				      json_string(
					      "interrupt remapping is off: the VM's devices can "
					      "send any interrupt to the host"));
	return 0;
}

int vm_host_check(struct daemon *d, const struct vm_spec *spec, const struct vm_notes *notes,
		  struct vm_unsafe *unsafe, struct err *e)
{
	struct err unfit = { 0 };
	int r;

	state_lock(d);
	r = vm_place_check(d, spec, notes->warnings, e);
	state_unlock(d);
	if (r == 0 && vm_spec_devices(spec) > 0)
		r = remapping_check(d, notes, unsafe, e);
	else if (r == 0 && vm_spec_devices_max(spec) > 0)
		/* No reason to refuse: then no VF is fit. */
		(void)remapping_check(d, notes, unsafe, &unfit);
	if (r == 0)
		r = vm_extras_check(d, spec, e);
	if (r == 0)
		r = budget_memory(d, spec, notes->budget, e);
	return r == 0 ? kvm_check(d, e) : r;
}
