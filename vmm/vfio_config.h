/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space of a VFIO function as its guest sees it: a snapshot taken through VFIO, of which
 * only what a const table names is visible (vfio_config.c). Everything else reads 0 and ignores
 * writes. Bytes are either kept here or passed to VFIO, in both cases through a mask of writable bits.
 */
#ifndef VIADUCT_VMM_VFIO_CONFIG_H
#define VIADUCT_VMM_VFIO_CONFIG_H

#include "base/err.h"
#include "iommu/vfio_device.h"

#define VFIO_CONFIG_SIZE 4096U

/* What the host's function is and what its guest made of it. Offsets are 0 where there is none. */
struct vfio_config {
	uint8_t value[VFIO_CONFIG_SIZE]; /* kept bytes */
	uint8_t initial[VFIO_CONFIG_SIZE]; /* after a reset */
	uint8_t writable[VFIO_CONFIG_SIZE];
	uint8_t passed[VFIO_CONFIG_SIZE]; /* 1: lives in the device */
	uint8_t host[VFIO_CONFIG_SIZE]; /* the snapshot */
	uint16_t pcie, msi, msix;
	bool has_flr;
};

/* Reads the snapshot and builds the view. -ENODEV when the function does not answer (all ones),
 * -EBADMSG when its capability list is broken. */
int vfio_config_init(struct vfio_config *c, const struct vfio_device *dev, struct err *e);

/* Back to what a guest finds after a reset; passed bytes are the device's own affair. */
void vfio_config_reset(struct vfio_config *c);

/* off, len as the root complex promises them (pci.h); anything else reads ones, writes nothing. A write with dev NULL
 * changes only what is kept here. */
uint32_t vfio_config_read(const struct vfio_config *c, const struct vfio_device *dev,
			  unsigned int off, unsigned int len);
void vfio_config_write(struct vfio_config *c, const struct vfio_device *dev, unsigned int off,
		       unsigned int len, uint32_t value);

/* One BAR register of the view: `size` a power of two (0: absent), attributes from the snapshot. */
void vfio_config_set_bar(struct vfio_config *c, unsigned int bar, uint64_t size, bool is_64bit);

static inline uint16_t vfio_config_get16(const struct vfio_config *c, unsigned int off)
{
	return get_le16(&c->value[off]);
}

static inline uint32_t vfio_config_get32(const struct vfio_config *c, unsigned int off)
{
	return get_le32(&c->value[off]);
}

#endif
