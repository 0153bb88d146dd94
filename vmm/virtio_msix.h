/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The MSI-X table of a virtio function (PCI Local Bus 3.0, 6.8.2) and what is behind it: one source for the
 * configuration and one for each queue, each with an eventfd and a GSI of its own. Whoever serves a queue
 * signals its eventfd; which message that becomes is the guest's choice of a vector, and sources may share one.
 * While a vector is masked KVM does not listen and the eventfd counts: that is the pending bit.
 * Who serves a queue can fill its eventfd and make it a blocking one, so the VMM never writes it: it sends the message.
 * With the machine's lock held.
 */
#ifndef VIADUCT_VMM_VIRTIO_MSIX_H
#define VIADUCT_VMM_VIRTIO_MSIX_H

#include "vmm/irq.h"
#include "vmm/vmm_msg.h"

#define VIRTIO_NO_VECTOR     0xFFFF
#define VIRTIO_SOURCES_MAX   (2 * VMM_MAX_PAIRS + 2)
#define VIRTIO_MSIX_ENTRY    16U
#define VIRTIO_SOURCE_CONFIG 0U /* source of queue q: q + 1 */

struct virtio_source {
	int eventfd; /* for the life of the device */
	uint32_t gsi; /* 0 until first used */
	bool live; /* KVM injects what is signalled */
	bool is_pending; /* raised by the VMM itself while it was not */
	uint16_t vector;
};

struct virtio_msix {
	struct irq_router *irq;
	unsigned int count; /* of sources, and of vectors */
	struct virtio_source sources[VIRTIO_SOURCES_MAX];
	uint8_t table[VIRTIO_SOURCES_MAX * VIRTIO_MSIX_ENTRY];
	bool enabled;
	bool masked; /* function mask */
};

/* On failure nothing is left. */
int virtio_msix_init(struct virtio_msix *m, struct irq_router *irq, unsigned int count,
		     struct err *e);
void virtio_msix_fini(struct virtio_msix *m); /* again: nothing */

/* As at power-on: disabled, every entry masked, no source has a vector, nothing is pending. */
void virtio_msix_reset(struct virtio_msix *m);

/* Message Control was written. */
void virtio_msix_control(struct virtio_msix *m, uint16_t control);

/* Accesses to the table and the pending bits; off and len lie inside. */
uint64_t virtio_msix_table_read(const struct virtio_msix *m, uint64_t off, unsigned int len);
void virtio_msix_table_write(struct virtio_msix *m, uint64_t off, unsigned int len, uint64_t value);
uint64_t virtio_msix_pending_read(const struct virtio_msix *m, uint64_t off, unsigned int len);

/* The guest gives a source a vector; one that there is not becomes VIRTIO_NO_VECTOR. */
void virtio_msix_vector_set(struct virtio_msix *m, unsigned int source, uint16_t vector);

void virtio_msix_raise(struct virtio_msix *m, unsigned int source);

#endif
