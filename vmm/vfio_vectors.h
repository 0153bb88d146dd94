/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MSI and MSI-X vectors of one function on their way from the device to the guest: one eventfd per
 * vector, which VFIO triggers and KVM injects from (the same one on both sides, so that the host can
 * post interrupts). A vector costs the host nothing before the guest first unmasks it. While it is
 * masked, the eventfd counts and KVM does not listen: that is the pending bit.
 */
#ifndef VIADUCT_VMM_VFIO_VECTORS_H
#define VIADUCT_VMM_VFIO_VECTORS_H

#include "vmm/irq.h"

#include "base/err.h"
#include "iommu/vfio_device.h"

#define VFIO_VECTORS_MAX 2048U

struct vfio_vector {
	int eventfd; /* -1 until first used */
	uint32_t gsi; /* 0 until first used */
	bool live; /* the guest gets it: route and irqfd are in place */
	bool triggered; /* VFIO signals the eventfd */
};

struct vfio_vectors {
	struct vfio_device *dev;
	struct irq_router *irq;
	struct vfio_vector *items; /* as many as the larger of MSI and MSI-X has */
	uint32_t count;
	enum vfio_irq kind; /* while enabled: VFIO_IRQ_MSI or VFIO_IRQ_MSIX */
	bool enabled;
	uint32_t host_count; /* vectors that the host has set up, if it cannot add one by one */
};

int vfio_vectors_init(struct vfio_vectors *v, struct vfio_device *dev, struct irq_router *irq,
		      struct err *e);
void vfio_vectors_fini(struct vfio_vectors *v); /* NULL-safe inside; disables first */

/* Puts the device into MSI-X mode with nothing delivered, or into MSI mode with `count` vectors. */
int vfio_vectors_enable_msix(struct vfio_vectors *v);
int vfio_vectors_enable_msi(struct vfio_vectors *v, uint32_t count);
void vfio_vectors_disable(struct vfio_vectors *v);

/* Delivers vector i as the message (addr, data); again with another message retargets it. */
int vfio_vectors_unmask(struct vfio_vectors *v, uint32_t i, uint64_t addr, uint32_t data);
void vfio_vectors_mask(struct vfio_vectors *v, uint32_t i);

/* True if vector i is masked and the device has signalled it. */
bool vfio_vectors_is_pending(const struct vfio_vectors *v, uint32_t i);

/* Vectors delivered now. */
uint32_t vfio_vectors_live(const struct vfio_vectors *v);

#endif
