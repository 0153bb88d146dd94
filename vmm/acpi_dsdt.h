/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The body of the DSDT: sleep state, PCI root with its windows, _OSC and interrupt routing, board
 * resources, COM1 and RTC.
 */
#ifndef VIADUCT_VMM_ACPI_DSDT_H
#define VIADUCT_VMM_ACPI_DSDT_H

#include "vmm/acpi.h"

/* AML without the table header; the caller frees it. NULL: out of memory. */
uint8_t *acpi_dsdt_body(const struct acpi_config *cfg, size_t *len);

#endif
