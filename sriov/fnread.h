/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The facts of one function, read from sysfs and configuration space. Private to sriov/.
 */
#ifndef VIADUCT_SRIOV_FNREAD_H
#define VIADUCT_SRIOV_FNREAD_H

#include "sriov/inventory.h"

/* Fills *out but for vfs, pf and vf_index, which need the other functions; is_vf says that there is
 * a PF, whose address goes to *pf_addr. -ENOENT: no such function (any more); else its facts cannot
 * be read, and why. */
int fn_read(const struct sysfs *sys, const struct pci_addr *addr, struct pci_fn *out,
	    struct pci_addr *pf_addr);

/* 0 if the configuration space of fn answers, -ENODEV if not (or if there is no such function). */
int fn_probe_config(const struct sysfs *sys, const struct pci_addr *fn);

/* Addresses of all functions, unsorted, in an array for the caller to free. `is_quick`: by their names
 * alone, where libpciaccess would read the configuration space of each. */
int fn_list(const struct sysfs *sys, bool is_quick, struct pci_addr **out, size_t *count,
	    struct err *e);

#endif
