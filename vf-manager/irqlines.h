/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host counts of interrupts that VFIO hands to guests: the vfio-msix and vfio-msi lines of
 * /proc/interrupts, one for each vector. A posted interrupt that finds its vCPU running is delivered
 * without the host and counted by nobody (see delivery.h).
 */
#ifndef VIADUCT_VF_MANAGER_IRQLINES_H
#define VIADUCT_VF_MANAGER_IRQLINES_H

#include "base/util.h"

struct irq_line {
	uint32_t irq; /* the host's number */
	uint32_t vector; /* of the function */
	uint64_t count; /* over all host CPUs */
	char chip[64]; /* "IR-PCI-MSIX-0000:01:10.0" */
};

/* /proc/interrupts, to be freed; "" if it cannot be read, NULL without memory. */
char *interrupts_read(void);

/* Calls fn for each line of the function at addr, in the order of the file. */
void irq_lines_each(const char *text, const char *addr,
		    void (*fn)(void *arg, const struct irq_line *line), void *arg);

/* Sum of all its lines. */
uint64_t irq_count(const char *text, const char *addr);

#endif
