/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MSI-X table, pending bits and control, and the MSI capability, as the guest programs them (PCI
 * Local Bus 3.0, 6.8): all of it is the VMM's; the device's own table belongs to the host's kernel.
 */
#ifndef VIADUCT_VMM_VFIO_MSIX_H
#define VIADUCT_VMM_VFIO_MSIX_H

#include "vmm/vfio_config.h"
#include "vmm/vfio_vectors.h"

#define MSIX_ENTRY_BYTES 16U

struct vfio_msix {
	uint32_t count; /* vectors; 0: the function has no MSI-X */
	unsigned int table_bar, pba_bar;
	uint64_t table_off, pba_off; /* in their BARs' regions */
	uint32_t pba_bytes;
	uint8_t *table; /* as the guest wrote it */
	bool enabled;
	bool masked; /* function mask */
	bool failed; /* a vector could not be set up; said once */
};

/* From the view's capability. -EBADMSG when table or PBA lie outside their BARs. */
int vfio_msix_init(struct vfio_msix *m, const struct vfio_config *c, const struct vfio_device *dev,
		   struct err *e);
void vfio_msix_fini(struct vfio_msix *m);
void vfio_msix_reset(struct vfio_msix *m); /* after vfio_vectors_disable() */

/* An access to a BAR. */
struct vfio_access {
	unsigned int bar;
	uint64_t off;
	unsigned int len; /* 1, 2, 4 or 8 */
};

/* True if the access shares a byte with the table or the pending bits. */
bool vfio_msix_owns(const struct vfio_msix *m, const struct vfio_access *at);

/* Accesses that vfio_msix_owns(). What crosses a border reads ones and writes nothing. */
uint64_t vfio_msix_read(const struct vfio_msix *m, const struct vfio_vectors *v,
			const struct vfio_access *at);
int vfio_msix_write(struct vfio_msix *m, struct vfio_vectors *v, const struct vfio_access *at,
		    uint64_t value);

/* After a write to Message Control of either capability: brings the vectors in line. The first
 * failure is returned; the guest sees its bits set in any case. */
int vfio_msix_control(struct vfio_msix *m, struct vfio_vectors *v, uint16_t control);
int vfio_msi_update(const struct vfio_config *c, struct vfio_vectors *v);

/* Bytes that the MSI capability occupies. */
unsigned int vfio_msi_size(const struct vfio_config *c);

#endif
