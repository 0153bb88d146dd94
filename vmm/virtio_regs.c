// SPDX-License-Identifier: BSD-3-Clause
/*
 * The common configuration structure (virtio 1.2, 4.1.4.3): features, status, queues, and the reset.
 */
#include "vmm/virtio_pci.h"
#include "vmm/virtqueue.h"

#include "base/fd.h"

#include <linux/virtio_pci.h>

#define ISR_CONFIG 0x2 /* 4.1.4.5 */

/* Bits that a driver sets, each in its turn (3.1.1). */
#define STATUS_DRIVERS                                                                \
	(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK | \
	 VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)

static void queue_reset(struct virtio_pci *vp, unsigned int queue)
{
	struct virtio_queue *q = &vp->queues[queue];

	q->enabled = false;
	/* The next driver may use it for the VMM. If there is no fd, it stays one that is not touched. */
	if (q->is_lent)
		(void)virtio_kick_replace(vp, queue, 0);
	q->size = q->size_max;
	q->desc = q->driver = q->device = 0;
	q->is_rung = false;
	fd_event_drain(q->kick_fd); /* what was rung before counts no more */
}

static void reset_do(struct virtio_pci *vp)
{
	vp->stopping = false;
	vp->resets++;
	vp->features = vp->offered = 0;
	vp->has_offered = false;
	vp->device_sel = vp->driver_sel = vp->queue_sel = 0;
	vp->status = vp->isr = 0;
	for (unsigned int i = 0; i < vp->kind.queue_count; i++) {
		queue_reset(vp, i);
		virtio_msix_vector_set(&vp->msix, i + 1, VIRTIO_NO_VECTOR);
	}
	virtio_msix_vector_set(&vp->msix, VIRTIO_SOURCE_CONFIG, VIRTIO_NO_VECTOR);
	virtio_doorbells_update(vp);
	vp->kind.ops->reset(vp);
}

void virtio_reset_request(struct virtio_pci *vp)
{
	vp->stopping = vp->attached;
	if (!vp->stopping)
		reset_do(vp);
	vp->kind.ops->changed(vp);
}

void virtio_pci_detached(struct virtio_pci *vp)
{
	vp->attached = false;
	if (vp->stopping)
		reset_do(vp);
}

void virtio_pci_config_changed(struct virtio_pci *vp)
{
	vp->generation++;
	if ((vp->status & VIRTIO_STATUS_DRIVER_OK) == 0)
		return;
	vp->isr |= ISR_CONFIG;
	virtio_msix_raise(&vp->msix, VIRTIO_SOURCE_CONFIG);
}

void virtio_pci_break(struct virtio_pci *vp)
{
	if ((vp->status & VIRTIO_STATUS_NEEDS_RESET) != 0)
		return;
	vp->status |= VIRTIO_STATUS_NEEDS_RESET;
	virtio_pci_config_changed(vp);
	vp->kind.ops->changed(vp);
}

static uint64_t features_offered(struct virtio_pci *vp)
{
	if (!vp->has_offered)
		vp->offered = vp->kind.ops->features(vp);
	vp->has_offered = true;
	return vp->offered;
}

static void status_write(struct virtio_pci *vp, uint8_t value)
{
	uint8_t added = value & STATUS_DRIVERS & (uint8_t)~vp->status;

	if (vp->stopping)
		return;
	if (value == 0) {
		virtio_reset_request(vp);
		return;
	}
	/* 2.2.2: the device refuses what it did not offer by not showing FEATURES_OK. */
	if ((added & VIRTIO_STATUS_FEATURES_OK) != 0 &&
	    ((vp->features & ~features_offered(vp)) != 0 ||
	     (vp->features & BIT_ULL(VIRTIO_F_VERSION_1)) == 0))
		added &= (uint8_t) ~(VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
	if (((vp->status | added) & VIRTIO_STATUS_FEATURES_OK) == 0)
		added &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
	vp->status |= added;
	if (added != 0)
		vp->kind.ops->changed(vp);
}

static void driver_features_write(struct virtio_pci *vp, uint32_t value)
{
	if ((vp->status & VIRTIO_STATUS_FEATURES_OK) != 0)
		return;
	if (vp->driver_sel == 0)
		vp->features = (vp->features & ~(uint64_t)UINT32_MAX) | value;
	else if (vp->driver_sel == 1)
		vp->features = (vp->features & UINT32_MAX) | (uint64_t)value << 32;
}

static void queue_enable(struct virtio_pci *vp, struct virtio_queue *q)
{
	const struct virtqueue rings = { .gmem = vp->env.gmem,
					 .size = q->size,
					 .desc = q->desc,
					 .avail = q->driver,
					 .used = q->device,
					 .is_packed = (vp->features &
						       BIT_ULL(VIRTIO_F_RING_PACKED)) != 0 };

	if ((vp->status & VIRTIO_STATUS_FEATURES_OK) == 0 || !virtqueue_fits(&rings)) {
		virtio_pci_break(vp);
		return;
	}
	q->enabled = true;
	virtio_doorbells_update(vp);
}

static void address_set(uint64_t *address, bool is_high, uint32_t value)
{
	if (is_high)
		*address = (*address & UINT32_MAX) | (uint64_t)value << 32;
	else
		*address = (*address & ~(uint64_t)UINT32_MAX) | value;
}

/* The queue that is selected; NULL: there is none. */
static struct virtio_queue *queue_selected(struct virtio_pci *vp)
{
	return vp->queue_sel < vp->kind.queue_count ? &vp->queues[vp->queue_sel] : NULL;
}

/* Of a queue that is enabled nothing changes any more, nor of any while the driver runs. */
static void queue_write(struct virtio_pci *vp, unsigned int off, uint32_t value)
{
	struct virtio_queue *q = queue_selected(vp);

	if (q == NULL)
		return;
	if (off == VIRTIO_PCI_COMMON_Q_MSIX) {
		virtio_msix_vector_set(&vp->msix, vp->queue_sel + 1U, (uint16_t)value);
		return;
	}
	if (q->enabled || vp->stopping || (vp->status & VIRTIO_STATUS_DRIVER_OK) != 0)
		return;
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		if (is_pow2(value) && value <= q->size_max)
			q->size = (uint16_t)value;
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (value == 1)
			queue_enable(vp, q);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		address_set(&q->desc, off == VIRTIO_PCI_COMMON_Q_DESCHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		address_set(&q->driver, off == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		address_set(&q->device, off == VIRTIO_PCI_COMMON_Q_USEDHI, value);
		break;
	default:
		break;
	}
}

static uint32_t queue_read(struct virtio_pci *vp, unsigned int off)
{
	const struct virtio_queue *q = queue_selected(vp);

	if (q == NULL)
		return 0; /* size 0: there is no such queue */
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return q->size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return vp->msix.sources[vp->queue_sel + 1].vector;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return q->enabled;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return vp->queue_sel;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		return (uint32_t)q->desc;
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		return (uint32_t)(q->desc >> 32);
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		return (uint32_t)q->driver;
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		return (uint32_t)(q->driver >> 32);
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		return (uint32_t)q->device;
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return (uint32_t)(q->device >> 32);
	default:
		return 0;
	}
}

/* How wide the register at this offset is; 0: there is none. 4.1.3.1: drivers use that width. */
static unsigned int width(unsigned int off)
{
	if (off == VIRTIO_PCI_COMMON_STATUS || off == VIRTIO_PCI_COMMON_CFGGENERATION)
		return 1;
	if (off == VIRTIO_PCI_COMMON_MSIX || off == VIRTIO_PCI_COMMON_NUMQ ||
	    (off >= VIRTIO_PCI_COMMON_Q_SELECT && off < VIRTIO_PCI_COMMON_Q_DESCLO && off % 2 == 0))
		return 2;
	return off <= VIRTIO_PCI_COMMON_Q_USEDHI && off % 4 == 0 ? 4 : 0;
}

static uint32_t feature_half(uint64_t features, uint32_t sel)
{
	return sel < 2 ? (uint32_t)(features >> 32 * sel) : 0;
}

uint32_t virtio_common_read(struct virtio_pci *vp, unsigned int off, unsigned int len)
{
	if (width(off) != len)
		return 0;
	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return vp->device_sel;
	case VIRTIO_PCI_COMMON_DF:
		return feature_half(features_offered(vp), vp->device_sel);
	case VIRTIO_PCI_COMMON_GFSELECT:
		return vp->driver_sel;
	case VIRTIO_PCI_COMMON_GF:
		return feature_half(vp->features, vp->driver_sel);
	case VIRTIO_PCI_COMMON_MSIX:
		return vp->msix.sources[VIRTIO_SOURCE_CONFIG].vector;
	case VIRTIO_PCI_COMMON_NUMQ:
		return vp->kind.queue_count;
	case VIRTIO_PCI_COMMON_STATUS:
		/* Not 0 before the reset is done, whatever the status was. */
		return vp->stopping ? vp->status | VIRTIO_STATUS_ACKNOWLEDGE : vp->status;
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return vp->generation;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return vp->queue_sel;
	default:
		return queue_read(vp, off);
	}
}

void virtio_common_write(struct virtio_pci *vp, unsigned int off, unsigned int len, uint32_t value)
{
	if (width(off) != len)
		return;
	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		vp->device_sel = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		vp->driver_sel = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		driver_features_write(vp, value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		virtio_msix_vector_set(&vp->msix, VIRTIO_SOURCE_CONFIG, (uint16_t)value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		status_write(vp, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		vp->queue_sel = (uint16_t)value;
		break;
	default:
		queue_write(vp, off, value);
		break;
	}
}
