/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions as VFIO device files, opened and bound to an iommufd by the daemon and then passed to the VMM
 * (Documentation/driver-api/vfio.rst, "VFIO device cdev"). A file that is only open gives no access and may be open
 * many times (but the function cannot leave vfio-pci before it is closed); the bound one is custody: as long as it exists, its IOMMU group cannot be opened, and no other file of the function
 * can be bound. The bond ends with the last copy of the fd, and cannot be made again through it.
 */
#ifndef VIADUCT_IOMMU_VFIO_CDEV_H
#define VIADUCT_IOMMU_VFIO_CDEV_H

#include "base/err.h"

#define VFIO_CDEV_NAME 32

/* Opens DEV_DIR/iommu, with guest memory counted by process as type1 does, where we may choose. The caller owns *fd. */
int iommufd_open(const char *dev_dir, int *fd, struct err *e);

/* True if the kernel has iommufd, as far as one can tell without opening it. */
bool iommufd_is_there(const char *dev_dir);

/* The name of the device file of a function ("0000:01:10.0") that is on vfio-pci. -ENOENT: the kernel made none.
 * root_fd: an open directory that stands for "/" (a fake tree in tests), or -1 for the real one. */
int vfio_cdev_find(int root_fd, const char *fn, char name[VFIO_CDEV_NAME]);

struct vfio_cdev_at {
	const char *dev_dir;
	int root_fd; /* as above */
	const char *fn;
};

/* There is a device file for the function, and it may be opened. */
bool vfio_cdev_is_usable(const struct vfio_cdev_at *at);

/* Opens the device file of the function and binds it, which also resets the function. -EBUSY: somebody else has it, or host
 * drivers hold other members of its group. -EPERM with the remedy when interrupt remapping is off. -ENODEV: what lies
 * below DEV_DIR is the file of something else. The caller owns *fd. */
int vfio_cdev_open(const struct vfio_cdev_at *at, int iommufd, int *fd, struct err *e);

#endif
