// SPDX-License-Identifier: BSD-3-Clause
/*
 * Fuzz target: a tenant's kernel (vmm/boot.h). The first byte chooses how much RAM there is and whether
 * there is an initrd; the rest is the kernel file. Whatever the file says, only RAM is written, and what
 * is accepted starts inside RAM.
 */
#include "vmm/boot.h"
#include "vmm/layout.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_of(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gmem gm;
	struct boot_entry entry = { 0 };
	struct boot_request rq = { .initrd_fd = -1, .cmdline = "quiet", .rsdp = LAYOUT_ACPI };
	struct err e = { 0 };

	if (size < 1)
		return 0;
	if (gmem_create(&gm, MIB(128), 0, (data[0] & 1) != 0 ? MIB(64) : 0, &e) < 0)
		abort();
	rq.kernel_fd = file_of(data + 1, size - 1);
	if ((data[0] & 2) != 0)
		rq.initrd_fd = file_of(data, size);
	if (boot_load(&gm, &rq, &entry, &e) == 0) {
		if (gmem_host(&gm, entry.rip, 1) == NULL || gmem_host(&gm, entry.params, 4) == NULL)
			abort();
	} else if (e.errnum == 0 || e.text[0] == '\0') {
		abort();
	}
	close(rq.kernel_fd);
	if (rq.initrd_fd >= 0)
		close(rq.initrd_fd);
	gmem_destroy(&gm);
	return 0;
}
