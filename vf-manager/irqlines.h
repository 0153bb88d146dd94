/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host counts of interrupts that VFIO hands to guests: the vfio-msix and vfio-msi lines of
 * /proc/interrupts, one for each vector. A posted interrupt that finds its vCPU running is delivered
 * without the host and counted by nobody (see delivery.h). `proc` is the folder that has the shape of /proc.
 */
#ifndef VIADUCT_VF_MANAGER_IRQLINES_H
#define VIADUCT_VF_MANAGER_IRQLINES_H

#include "base/cpulist.h"
#include "base/parse.h"

#define IRQ_NAME 128

struct irq_line {
	uint32_t irq; /* the host's number */
	uint32_t vector; /* of the function */
	uint64_t count; /* over all host CPUs */
	char chip[64]; /* "IR-PCI-MSIX-0000:01:10.0" */
	char fn[PCI_ADDR_TEXT]; /* "0000:01:10.0" */
	char name[IRQ_NAME]; /* "vfio-msix[0](0000:01:10.0)": the kernel's, without a '/' */
};

/* /proc/interrupts, to be freed; "" if it cannot be read, NULL without memory. */
char *interrupts_read(const char *proc);

/* Calls fn for each line of the function at addr (NULL: of every function), in the order of the file. */
void irq_lines_each(const char *text, const char *addr,
		    void (*fn)(void *arg, const struct irq_line *line), void *arg);

/* Sum of all its lines. */
uint64_t irq_count(const char *text, const char *addr);

/* Where the kernel may send it, and where it does (Documentation/core-api/irq/irq-affinity.rst). */
struct irq_affinity {
	cpu_set_t allowed;
	cpu_set_t effective; /* empty: it says nothing */
	bool has_effective;
};

/* -ENOENT: the interrupt is gone. */
int irq_affinity_read(const char *proc, uint32_t irq, struct irq_affinity *out);

#endif
