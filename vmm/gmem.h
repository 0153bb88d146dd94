/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest RAM: one memfd, sealed against shrinking and growing, mapped once, seen by the guest as one
 * slot below 4 GiB and, when it is larger, one above. Every access by the VMM goes through here and
 * is bounded; guest-physical addresses (GPA) from the guest are hostile.
 */
#ifndef VIADUCT_VMM_GMEM_H
#define VIADUCT_VMM_GMEM_H

#include "base/err.h"

struct gmem_slot {
	uint64_t gpa;
	uint64_t size; /* bytes */
	uint64_t offset; /* in the memfd and in host */
	uint8_t *host;
};

struct gmem {
	int memfd;
	uint8_t *host;
	uint64_t size;
	uint64_t page_size; /* 4096, 2 MiB or 1 GiB */
	struct gmem_slot slots[2];
	unsigned int slot_count;
};

/* Where RAM of that size ends in the guest's address space; nothing is made. -ERANGE or -EINVAL as of gmem_create(). */
int gmem_end(uint64_t size, uint64_t low_limit, uint64_t *end, struct err *e);

/* hugepage: 0, 2 MiB or 1 GiB; low_limit: 0 or where low RAM ends at most (a multiple of 2 MiB). Takes
 * address space only: hugepages must not be touched before gmem_prefault() has taken them. */
int gmem_create(struct gmem *gm, uint64_t size, uint64_t hugepage, uint64_t low_limit,
		struct err *e);
void gmem_destroy(struct gmem *gm);

/* Populates every page with several threads. -ENOMEM with a hint that counts the missing hugepages when
 * they run short; then nothing is populated. */
int gmem_prefault(struct gmem *gm, unsigned int threads, struct err *e);

/* Copies between guest RAM and the VMM; -EFAULT unless all of it is RAM of one slot. */
int gmem_read(const struct gmem *gm, uint64_t gpa, void *buf, uint64_t len);
int gmem_write(const struct gmem *gm, uint64_t gpa, const void *buf, uint64_t len);

/* Host address of [gpa, gpa+len) for loaders that fill RAM before the guest runs; NULL if it is not
 * RAM. Never keep it while the guest runs: the guest can change what it points to. */
void *gmem_host(const struct gmem *gm, uint64_t gpa, uint64_t len);

#endif
