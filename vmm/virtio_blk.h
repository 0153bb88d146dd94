/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtio-blk device (virtio 1.2, 5.2) without its data path: features and configuration, which are those of the first
 * back end that came, checked and held to what the device has. Its rings are a vhost-user back end's (disks.c). With the
 * machine's lock held.
 */
#ifndef VIADUCT_VMM_VIRTIO_BLK_H
#define VIADUCT_VMM_VIRTIO_BLK_H

#include "vmm/spec.h"
#include "vmm/vhost_user.h"
#include "vmm/virtio_pci.h"

#include <linux/virtio_blk.h>

struct virtio_blk {
	struct virtio_pci vp; /* first */
	unsigned int queues;
	unsigned int queue_size;
	bool has_facts; /* a back end has said: features and config are there */
	uint64_t features; /* of those that this device offers: the first back end's, where they make sense */
	uint64_t backend_features; /* of the one that is connected; all ones: there is none */
	struct virtio_blk_config
		config; /* as the guest reads it, the first VHOST_USER_CONFIG_BYTES of it */

	void (*changed)(void *arg); /* any thread: what runs */
	void *arg;
};

/* name stays the caller's. On failure nothing is left. */
int virtio_blk_init(struct virtio_blk *b, const struct virtio_pci_env *env,
		    const struct vmm_disk_spec *spec, const char *name, struct err *e);
void virtio_blk_fini(struct virtio_blk *b);

/* What a back end offers: kept if it is the first one, else held against that. The guest is told of a new size. -EPROTO: it is
 * no disk for this guest, and the text says why. */
int virtio_blk_take(struct virtio_blk *b, uint64_t features,
		    const uint8_t config[VHOST_USER_CONFIG_BYTES], struct err *e);

/* Bytes; 0: not known yet. */
uint64_t virtio_blk_size(const struct virtio_blk *b);

static inline bool virtio_blk_is_readonly(const struct virtio_blk *b)
{
	return (b->features & BIT_ULL(VIRTIO_BLK_F_RO)) != 0;
}

#endif
