/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A folder that looks like /sys to sriov/, and the part of the kernel behind it: link the test with
 * -Wl,--wrap=file_write_at and every write to an attribute is recorded and answered as the kernel
 * would, or as the script says. One tree at a time.
 */
#ifndef VIADUCT_TESTS_FAKE_SYSFS_TREE_H
#define VIADUCT_TESTS_FAKE_SYSFS_TREE_H

#include "base/util.h"

#define TREE_WRITES_MAX 64

struct tree {
	char root[64];
	/* What was written, in order: "bus/pci/.../sriov_numvfs=2". */
	char writes[TREE_WRITES_MAX][160];
	unsigned write_count;

	unsigned fail_write; /* this write (from 1) fails with fail_errno; 0: none does */
	int fail_errno;

	/* How sriov_numvfs behaves for non-zero counts. */
	int numvfs_errno; /* fails so */
	unsigned numvfs_short; /* makes so many fewer than asked for */
	int dead_vf, groupless_vf, late_vf; /* index, or -1; late_vf appears at the second look */

	bool probe_refuses; /* drivers_probe succeeds and binds nothing */
	bool unbind_refuses;
	bool override_is_ignored; /* another driver takes the function */
	/* Called before and after each write takes effect; NULL: nobody is. */
	void (*on_write)(const char *path, const char *text, bool is_done);
	int irq_errno; /* "irq/N/smp_affinity_list" fails so */
	const char *default_driver; /* takes functions without an override; NULL: none does */
};

extern struct tree tree;

void tree_make(void);
void tree_remove(void);

/* Below the root; makes parents. */
void tree_file(const char *path, const char *fmt, ...) PRINTF_LIKE(2, 3);
void tree_bytes(const char *path, const void *bytes, size_t len);
void tree_link(const char *path, const char *target);
void tree_delete(const char *path);

/* "bus/pci/devices/NAME" with ids, class, configuration space and IOMMU group (-1: none). */
void tree_fn(const char *name, uint32_t ids, uint32_t class_code, int group);

/* Makes a PF of the function: attributes for `total` VFs, none of them there yet. */
void tree_pf(const char *name, unsigned total);

/* The VF `index` of a PF, whose address follows the PF's with offset 0x10.0 and stride 1. */
void tree_vf(const char *pf, unsigned index);
void tree_netdev(const char *fn, const char *name, unsigned ifindex);
void tree_driver(const char *driver, const char *fn); /* fn NULL: loaded, without functions */

/* Configuration space as the kernel's file shows it: a PCIe endpoint with every capability that
 * sriov/ knows. Returns its length. */
size_t tree_config(uint8_t space[4096], bool is_pf);

/* The writes so far, joined by spaces and cut to attribute and value: "sriov_numvfs=0 ...". */
const char *tree_writes(void);

#endif
