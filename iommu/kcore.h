/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Physical memory through /proc/kcore: an ELF core whose program headers say where the kernel's map of all memory
 * lies (fs/proc/kcore.c: p_paddr, which is -1 for what is no memory). Reads RAM only. A page that the kernel does not
 * give away (offline, poisoned, secret) reads as zeros, without an error.
 */
#ifndef VIADUCT_IOMMU_KCORE_H
#define VIADUCT_IOMMU_KCORE_H

#include "iommu/vtd_walk.h"

#define KCORE_SEGMENTS 256

struct kcore {
	int fd;
	size_t count;
	struct kcore_segment {
		uint64_t hpa, size, offset;
	} segments[KCORE_SEGMENTS];
};

/* Reads the headers. fd stays the caller's and is used by every read. -EBADMSG: no core of a kernel whose map of
 * memory is understood. */
int kcore_init(struct kcore *k, int fd, struct err *e);

struct physmem kcore_memory(struct kcore *k);

#endif
