/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Texts of /proc for the audit. Pure; what is not of the form is not there.
 */
#ifndef VIADUCT_IOMMU_AUDIT_PROC_H
#define VIADUCT_IOMMU_AUDIT_PROC_H

#include "iommu/audit.h"

/* Finds guest RAM in a text of /proc/PID/maps (viaduct-vmm's memfd "guest-ram") and sets hva of each slot; slots lie
 * behind each other in the file. -ENOENT: it is not there, or not mapped as one piece from its start. */
int audit_maps_find(const char *maps, struct audit_ram *ram, size_t count);

/* "processor" and "apicid" of /proc/cpuinfo. */
void audit_cpus_parse(const char *cpuinfo, struct audit_machine *m);

/* One entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst): the frame, or AUDIT_NO_FRAME if the page is
 * not present or its number is hidden. */
uint64_t audit_pagemap_frame(uint64_t entry);

#endif
