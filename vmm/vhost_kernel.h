/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's own back ends of virtio devices (linux/vhost.h), one function a request: 0 or -errno. They take guest RAM by
 * this process's addresses, and work on the rings between VHOST_VSOCK_SET_RUNNING 1 and 0.
 */
#ifndef VIADUCT_VMM_VHOST_KERNEL_H
#define VIADUCT_VMM_VHOST_KERNEL_H

#include "vmm/gmem.h"
#include "vmm/virtio_pci.h"

/* From now on it works for this process. */
int vhost_owner_set(int fd);

int vhost_features_get(int fd, uint64_t *out);
int vhost_features_set(int fd, uint64_t features);

/* All of guest RAM. */
int vhost_memory_set(int fd, const struct gmem *gmem);

/* Ring `index` as the guest has made it, from entry `base` on; -EFAULT: it is not RAM. */
int vhost_ring_set(int fd, const struct virtio_pci *vp, unsigned int index, uint16_t base);

/* Where it stopped. */
int vhost_ring_base(int fd, unsigned int index, uint16_t *out);

int vhost_vsock_run(int fd, bool on);

#endif
