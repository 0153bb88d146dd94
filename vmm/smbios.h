/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SMBIOS 2.8 (DMTF DSP0134) for a guest's firmware: which machine this is (the VM's name and UUID), its processors and
 * memory. The firmware installs the tables and adds what it says of itself.
 */
#ifndef VIADUCT_VMM_SMBIOS_H
#define VIADUCT_VMM_SMBIOS_H

#include "base/util.h"

#define SMBIOS_ANCHOR 31
#define SMBIOS_TABLES 1024 /* at most */

struct smbios_facts {
	const char *name; /* at most 63 characters */
	const uint8_t *uuid; /* 16 bytes, as written out: big-endian */
	unsigned int cpu_count;
	uint64_t memory; /* bytes, a multiple of 2 MiB */
	uint64_t low_ram; /* of these, how many lie below 4 GiB */
	uint64_t high_start; /* where the others begin */
};

/* Fills both; the anchor's table address is the firmware's to set. Returns the length of the tables. */
size_t smbios_make(const struct smbios_facts *facts, uint8_t anchor[SMBIOS_ANCHOR],
		   uint8_t tables[SMBIOS_TABLES]);

#endif
