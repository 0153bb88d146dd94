/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of the guest: GSIs 0-23 on the in-kernel PIC and IOAPIC, MSI routes from GSI 24 up.
 * All MSIs pass irq_msi_set(), the one routing function, so that a virtual VT-d with interrupt
 * remapping can translate there. Routes are changed only when address or data really change (each
 * change costs KVM a grace period). Callers hold the machine's lock.
 */
#ifndef VIADUCT_VMM_IRQ_H
#define VIADUCT_VMM_IRQ_H

#include "base/err.h"

#define IRQ_GSI_MSI_FIRST 24
#define IRQ_GSI_MAX	  1024

struct irq_router;

int irq_router_create(int vm_fd, struct irq_router **out,
		      struct err *e); /* after KVM_CREATE_IRQCHIP */
void irq_router_destroy(struct irq_router *ir);

/* Level of a wired GSI (0-23). */
int irq_line_set(struct irq_router *ir, uint32_t gsi, bool level);

/* A GSI for one MSI vector; no route yet. -ENOSPC when all are taken. */
int irq_msi_alloc(struct irq_router *ir, uint32_t *gsi);
void irq_msi_free(struct irq_router *ir, uint32_t gsi);

/* Routes gsi to the MSI message (addr, data); installs it if it differs from what is there. */
int irq_msi_set(struct irq_router *ir, uint32_t gsi, uint64_t addr, uint32_t data);

/* While attached, a signal on eventfd raises gsi without leaving the kernel. */
int irq_fd_attach(struct irq_router *ir, uint32_t gsi, int eventfd);
int irq_fd_detach(struct irq_router *ir, uint32_t gsi, int eventfd);

/* Sends one message now (devices emulated in the VMM). */
int irq_msi_send(struct irq_router *ir, uint64_t addr, uint32_t data);

#endif
