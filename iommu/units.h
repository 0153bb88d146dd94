/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The remapping units that the kernel drives, as /sys/class/iommu tells of them: where their registers are and the
 * values of those that never change (VER, CAP, ECAP). Needs no /dev/mem and no privilege. root_fd: as in iommu/host.h.
 */
#ifndef VIADUCT_IOMMU_UNITS_H
#define VIADUCT_IOMMU_UNITS_H

#include "base/err.h"

#define IOMMU_UNITS_MAX 64
#define IOMMU_UNIT_NAME 32

struct iommu_unit {
	char name[IOMMU_UNIT_NAME]; /* "dmar0", "ivhd0" */
	bool is_vtd; /* else only the name, and the functions behind it, are known */
	bool has_registers; /* the members below were told */
	uint64_t address; /* of the registers */
	unsigned int version_major, version_minor;
	uint64_t cap, ecap;
	uint64_t domains, domains_used;
};

struct iommu_units {
	size_t count;
	struct iommu_unit units[IOMMU_UNITS_MAX]; /* by name */
};

/* No unit at all is no error. */
int iommu_units_read(int root_fd, struct iommu_units *out, struct err *e);

/* NULL: there is none of that name. */
const struct iommu_unit *iommu_unit_find(const struct iommu_units *units, const char *name);

/* The name of the unit that the kernel has behind a function ("0000:01:00.0"). -ENOENT: none. */
int iommu_unit_of(int root_fd, const char *fn, char out[IOMMU_UNIT_NAME]);

/* Calls each for every function behind the unit, in no order; returns how many. */
size_t iommu_unit_members(int root_fd, const char *unit, void (*each)(void *arg, const char *fn),
			  void *arg);

#endif
