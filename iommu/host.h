/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host's IOMMU is and whether functions can be assigned with isolation: remapping of DMA
 * and of interrupts. Reads /sys and /proc only; never changes a setting. Interrupt remapping is
 * taken from the interrupt controllers' own names in /proc/interrupts: the kernel prefixes those
 * that sit behind remapping with "IR-" on Intel and AMD alike (arch/x86 irq_remapping users).
 */
#ifndef VIADUCT_IOMMU_HOST_H
#define VIADUCT_IOMMU_HOST_H

#include "base/err.h"

enum iommu_tristate { IOMMU_UNKNOWN, IOMMU_OFF, IOMMU_ON };

struct iommu_host {
	char kind[16]; /* "VT-d", "AMD-Vi", "other" or "none" */
	unsigned int units; /* remapping units the kernel drives */
	unsigned int groups; /* IOMMU groups */
	enum iommu_tristate dma_remapping;
	enum iommu_tristate interrupt_remapping;
	char evidence[96]; /* where interrupt_remapping was read from */
	bool unsafe_interrupts_allowed; /* an administrator set vfio_iommu_type1's allow_unsafe_interrupts */
	bool iommufd_unsafe_allowed; /* the same of iommufd; lets no function out here */
	bool vfio_driver_loaded; /* the vfio-pci driver is there to bind to */
};

/* root_fd: an open directory that stands for "/" (a fake tree in tests), or -1 for the real one. */
int iommu_host_read(int root_fd, struct iommu_host *out, struct err *e);

/* 0 if functions can be assigned with full isolation; else the reason and the remedy. The kernel's override
 * allow_unsafe_interrupts alone changes nothing (code "unsafe-interrupts"). risk_is_accepted: the operator has said of
 * this start that interrupts need not be isolated; then what is off is passed if the kernel's override is set, too, and
 * else refused (code "unsafe-not-set"), as the kernel would. DMA remapping is never given up. */
int iommu_host_check(const struct iommu_host *host, bool risk_is_accepted, struct err *e);

/* -ENOMEM unless `limit` (RLIMIT_MEMLOCK in bytes, UINT64_MAX: none) lets `need` bytes be pinned. */
int iommu_memlock_check(uint64_t need, uint64_t limit, struct err *e);

/* One member of an IOMMU group. */
struct iommu_group_member {
	char address[24]; /* PCI address, or the bus's own name for other devices */
	char driver[64]; /* "" when it has none */
};

#define IOMMU_GROUP_MEMBERS 64

struct iommu_group {
	size_t count; /* how many there are; the first IOMMU_GROUP_MEMBERS are in members */
	struct iommu_group_member members[IOMMU_GROUP_MEMBERS];
};

/* Reads the members of group nr. -ENOENT: no such group. */
int iommu_group_read(int root_fd, uint32_t nr, struct iommu_group *out, struct err *e);

/* True if firmware reserves memory that a member of group nr must always reach (RMRR, IVMD: the
 * reserved_regions of type "direct"); such a group cannot be assigned. */
bool iommu_group_has_direct_region(int root_fd, uint32_t nr);

/* True if the kernel says of such memory of group nr that it may be given up ("direct-relaxable"). */
bool iommu_group_has_relaxable_region(int root_fd, uint32_t nr);

#endif
