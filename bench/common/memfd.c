// SPDX-License-Identifier: BSD-3-Clause
/*
 * DPDK makes the memory of its virtio-user ports by memfd_create() and does not seal it, and a careful backend refuses
 * memory that can be made smaller under it. The linker puts this between (--wrap=memfd_create).
 */
#include <fcntl.h>
#include <sys/mman.h>

int __real_memfd_create(const char *name, unsigned int flags);
int __wrap_memfd_create(const char *name, unsigned int flags);

int __wrap_memfd_create(const char *name, unsigned int flags)
{
	int fd = __real_memfd_create(name, flags | MFD_ALLOW_SEALING);

	/* DPDK makes it larger later, never smaller. */
	if (fd >= 0)
		(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	return fd;
}
