// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/daemon.h"
#include "vf-manager/hostcheck.h"
#include "vf-manager/vmcheck.h"
#include "vf-manager/vmplace.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMLOCK_SLACK MIB(64) /* ring pages, the VMM's own */

/* Linux x86 boot protocol: "HdrS" at 0x202; ELF: the first four bytes. */
#define BZIMAGE_MAGIC_AT 0x202

void vm_files_close(struct vm_files *files)
{
	fd_close(&files->kernel);
	fd_close(&files->initrd);
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

int vm_files_open(const struct daemon *d, const struct caller *who, const struct vm_spec *spec,
		  struct vm_files *out, struct err *e)
{
	const struct file_wish kernel = { .what = "kernel", .path = spec->kernel };
	const struct file_wish initrd = { .what = "initrd", .path = spec->initrd };
	int r;

	*out = (struct vm_files){ -1, -1 };
	r = caller_open(who, &d->config, &kernel, &out->kernel, e);
	if (r == 0)
		r = kernel_check(out->kernel, spec->kernel, e);
	if (r == 0 && spec->initrd[0] != '\0')
		r = caller_open(who, &d->config, &initrd, &out->initrd, e);
	if (r == 0 && out->initrd >= 0)
		r = initrd_check(out, spec, e);
	if (r < 0)
		vm_files_close(out);
	return r;
}

uint64_t vm_memlock_need(const struct vm_spec *spec)
{
	return vm_spec_devices(spec) > 0 ? spec->memory_bytes + MEMLOCK_SLACK : 0;
}

static int memory_check(const struct vm_spec *spec, struct err *e)
{
	char text[8192];
	unsigned long long kib;
	const char *at;

	if (file_read_at(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) < 0)
		return 0;
	at = strstr(text, "MemAvailable:");
	if (at == NULL || sscanf(at, "MemAvailable: %llu", &kib) != 1 ||
	    spec->memory_bytes <= KIB(kib))
		return 0;
	err_set(e, ENOMEM, "memory.size: %llu MiB are asked for and %llu MiB are available",
		(unsigned long long)spec->memory_bytes >> 20, kib >> 10);
	err_code(e, "memory-short");
	return err_hint(e, "free   shows who has it; lower memory.size");
}

static int hugepages_check(const struct vm_spec *spec, struct err *e)
{
	unsigned long long need = spec->memory_bytes / spec->hugepage_bytes;
	const char *size = spec->hugepage_bytes == GIB(1) ? "1G" : "2M";
	struct host_hugepages have = { 0 };

	if (host_hugepages_read(spec->hugepage_bytes, &have) == 0 && have.unreserved >= need)
		return 0;
	if (spec->hugepage_fallback)
		return memory_check(spec, e);
	err_set(e, ENOMEM, "memory.hugepages: %llu hugepages of %s are needed and %llu are free",
		need, size, (unsigned long long)have.unreserved);
	err_code(e, "hugepages-short");
	return err_hint(e, "echo N > /sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages",
			(unsigned long long)spec->hugepage_bytes >> 10);
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

static int remapping_check(const struct daemon *d, const struct vm_spec *spec, struct err *e)
{
	struct iommu_host host;
	struct rlimit limit;
	int r = host_iommu_read(d, &host, e);

	if (r == 0)
		r = iommu_host_check(&host, e);
	if (r < 0)
		return r;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	return iommu_memlock_check(
		vm_memlock_need(spec),
		d->is_root || limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max, e);
}

int vm_host_check(struct daemon *d, const struct vm_spec *spec, json_t *warnings, struct err *e)
{
	int r;

	state_lock(d);
	r = vm_place_check(d, spec, warnings, e);
	state_unlock(d);
	if (r == 0)
		r = spec->hugepage_bytes != 0 ? hugepages_check(spec, e) : memory_check(spec, e);
	if (r == 0 && vm_spec_devices(spec) > 0)
		r = remapping_check(d, spec, e);
	return r == 0 ? kvm_check(d, e) : r;
}
