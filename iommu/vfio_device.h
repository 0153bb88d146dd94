/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One PCI function under VFIO: regions, interrupts, reset (linux/vfio.h, vfio-pci). Everything that
 * the kernel reports is checked and bounded here once; users index without asking again.
 */
#ifndef VIADUCT_IOMMU_VFIO_DEVICE_H
#define VIADUCT_IOMMU_VFIO_DEVICE_H

#include "base/err.h"
#include "base/parse.h"

enum vfio_region {
	VFIO_REGION_BAR0 = 0,
	VFIO_REGION_BAR5 = 5,
	VFIO_REGION_ROM = 6,
	VFIO_REGION_CONFIG = 7,
	VFIO_REGIONS = 8
};

enum vfio_irq { VFIO_IRQ_INTX, VFIO_IRQ_MSI, VFIO_IRQ_MSIX, VFIO_IRQ_ERR, VFIO_IRQ_REQ, VFIO_IRQS };

#define VFIO_SPARSE_AREAS 16

struct vfio_area {
	uint64_t offset; /* in the region, page-aligned */
	uint64_t size;
};

struct vfio_region_desc {
	uint64_t size; /* 0: the device has no such region */
	uint64_t file_offset; /* where it starts in the device's fd */
	bool can_read;
	bool can_write;
	/* What may be mmapped: nothing, or these areas (the whole region as one area, or what the
	 * kernel's sparse-mmap capability leaves). Sorted, inside the region, page-aligned. */
	struct vfio_area areas[VFIO_SPARSE_AREAS];
	unsigned int area_count;
	bool msix_mappable; /* areas may include the pages of the MSI-X table */
};

struct vfio_irq_desc {
	uint32_t count; /* 0: not offered */
	bool eventfd;
	bool noresize; /* the number of vectors is fixed once enabled */
};

struct vfio_device {
	int fd;
	bool fd_is_borrowed; /* a device file; else it is ours to close */
	struct pci_addr address;
	bool can_reset;
	struct vfio_region_desc regions[VFIO_REGIONS];
	struct vfio_irq_desc irqs[VFIO_IRQS];
};

/* group_fd: attached to a container with an IOMMU (dma_space_attach). Fills *dev. */
int vfio_device_open(struct vfio_device *dev, int group_fd, const struct pci_addr *address,
		     struct err *e);

/* The same over a device file that is bound to an iommufd (vfio_cdev.h), and stays the caller's. */
int vfio_device_open_cdev(struct vfio_device *dev, int cdev, const struct pci_addr *address,
			  struct err *e);

/* Half-built-safe. Disable interrupts and reset first, see vfio_device_quiesce. */
void vfio_device_close(struct vfio_device *dev);

/* Bus mastering off, every interrupt off, then a function reset: after it the device does nothing by
 * itself. Best effort; the first failure is returned. */
int vfio_device_quiesce(struct vfio_device *dev);

/* Bounded access to a region: 0, -EINVAL when [off, off+len) is not inside it, or the kernel's
 * errno. Reads that fail leave all ones in buf. */
int vfio_device_read(const struct vfio_device *dev, enum vfio_region region, uint64_t off,
		     void *buf, size_t len);
int vfio_device_write(const struct vfio_device *dev, enum vfio_region region, uint64_t off,
		      const void *buf, size_t len);

/* Maps area `i` of a region read-write, at an address congruent with the region's size when that helps
 * huge pages. The caller unmaps with vfio_device_unmap. */
int vfio_device_map(const struct vfio_device *dev, enum vfio_region region,
		    const struct vfio_area *area, void **out, struct err *e);
void vfio_device_unmap(void *host, uint64_t size);

/* VFIO_DEVICE_RESET: a function reset. -ENOTSUP when the device offers none. */
int vfio_device_reset(struct vfio_device *dev);

/* Connects interrupts [start, start+count) of an index to eventfds (-1: no trigger for that one).
 * The first call with start 0 enables the index with `count` vectors. */
int vfio_device_irq_set(struct vfio_device *dev, enum vfio_irq irq, uint32_t start,
			const int *eventfds, uint32_t count);
int vfio_device_irq_disable(struct vfio_device *dev, enum vfio_irq irq);

/* The kernel signals the eventfd of that vector as if the device had sent it (a loopback: nothing leaves the host's
 * memory). */
int vfio_device_irq_raise(struct vfio_device *dev, enum vfio_irq irq, uint32_t vector);

/* The ioctl requests that a VMM needs while it is made, and those after it, for its seccomp lists. Binding a device file to an
 * iommufd is in neither: the daemon does it. */
extern const unsigned long vfio_setup_ioctls[], vfio_runtime_ioctls[];
extern const size_t vfio_setup_ioctl_count, vfio_runtime_ioctl_count;

#endif
