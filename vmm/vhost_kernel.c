// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vhost_kernel.h"

#include "vmm/virtqueue.h"

#include <errno.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>

static int call(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int vhost_owner_set(int fd)
{
	return call(fd, VHOST_SET_OWNER, NULL);
}

int vhost_features_get(int fd, uint64_t *out)
{
	__u64 features = 0;
	int r = call(fd, VHOST_GET_FEATURES, &features);

	if (r == 0)
		*out = features;
	return r;
}

int vhost_features_set(int fd, uint64_t features)
{
	__u64 value = features;

	return call(fd, VHOST_SET_FEATURES, &value);
}

int vhost_memory_set(int fd, const struct gmem *gmem)
{
	union {
		struct vhost_memory table;
		uint8_t room[sizeof(struct vhost_memory) +
			     ARRAY_SIZE(gmem->slots) * sizeof(struct vhost_memory_region)];
	} m = { .room = { 0 } };

	m.table.nregions = gmem->slot_count;
	for (unsigned int i = 0; i < gmem->slot_count; i++)
		m.table.regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = gmem->slots[i].gpa,
			.memory_size = gmem->slots[i].size,
			.userspace_addr = (uintptr_t)gmem->slots[i].host,
		};
	return call(fd, VHOST_SET_MEM_TABLE, &m);
}

static int addresses_set(int fd, const struct virtio_pci *vp, unsigned int index)
{
	const struct virtio_queue *q = &vp->queues[index];
	const struct gmem *gmem = vp->env.gmem;
	struct vhost_vring_addr addr = {
		.index = index,
		.desc_user_addr =
			(uintptr_t)gmem_host(gmem, q->desc, (uint64_t)VIRTQ_DESC_BYTES * q->size),
		.avail_user_addr =
			(uintptr_t)gmem_host(gmem, q->driver, VIRTQ_AVAIL_BYTES(q->size)),
		.used_user_addr = (uintptr_t)gmem_host(gmem, q->device, VIRTQ_USED_BYTES(q->size)),
	};

	if (addr.desc_user_addr == 0 || addr.avail_user_addr == 0 || addr.used_user_addr == 0)
		return -EFAULT;
	return call(fd, VHOST_SET_VRING_ADDR, &addr);
}

int vhost_ring_set(int fd, const struct virtio_pci *vp, unsigned int index, uint16_t base)
{
	const struct virtio_queue *q = &vp->queues[index];
	struct vhost_vring_state size = { .index = index, .num = q->size };
	struct vhost_vring_state at = { .index = index, .num = base };
	struct vhost_vring_file kick = { .index = index, .fd = q->kick_fd };
	struct vhost_vring_file raise = { .index = index,
					  .fd = vp->msix.sources[index + 1].eventfd };
	int r = call(fd, VHOST_SET_VRING_NUM, &size);

	if (r == 0)
		r = call(fd, VHOST_SET_VRING_BASE, &at);
	if (r == 0)
		r = addresses_set(fd, vp, index);
	if (r == 0)
		r = call(fd, VHOST_SET_VRING_CALL, &raise);
	return r == 0 ? call(fd, VHOST_SET_VRING_KICK, &kick) : r;
}

int vhost_ring_base(int fd, unsigned int index, uint16_t *out)
{
	struct vhost_vring_state at = { .index = index };
	int r = call(fd, VHOST_GET_VRING_BASE, &at);

	if (r == 0)
		*out = (uint16_t)at.num;
	return r;
}

int vhost_vsock_run(int fd, bool on)
{
	int value = on;

	return call(fd, VHOST_VSOCK_SET_RUNNING, &value);
}
