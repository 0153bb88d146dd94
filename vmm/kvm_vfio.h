/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM's VFIO pseudo device (Documentation/virt/kvm/devices/vfio.rst): KVM must know of every group
 * before its first device is opened, for cache coherency and posted interrupts; of every device file likewise, where a device's
 * driver asks for KVM when it is opened (bound), which vfio-pci does not on x86: the daemon has bound it before there was a VM.
 */
#ifndef VIADUCT_VMM_KVM_VFIO_H
#define VIADUCT_VMM_KVM_VFIO_H

#include "base/err.h"

/* Once per VM; the caller owns *fd. */
int kvm_vfio_create(int vm_fd, int *fd, struct err *e);

/* file: a group, or a bound device file. */
int kvm_vfio_add(int fd, int file);
int kvm_vfio_del(int fd, int file);

#endif
