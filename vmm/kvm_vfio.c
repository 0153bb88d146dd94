// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_vfio.h"

#include "vmm/kvm.h"

/* Since Linux 6.6 "group" is "file" in the names; the numbers are the same. */
static int file_attr(int fd, uint64_t attr, int file)
{
	int32_t value = file;
	const struct kvm_device_attr a = { .group = KVM_DEV_VFIO_GROUP,
					   .attr = attr,
					   .addr = (uintptr_t)&value };

	return kvm_device_attr_set(fd, &a);
}

int kvm_vfio_create(int vm_fd, int *fd, struct err *e)
{
	int r = kvm_device_create(vm_fd, KVM_DEV_TYPE_VFIO, fd);

	if (r < 0) {
		err_set(e, r, "KVM's VFIO device: %s", strerror(-r));
		return err_hint(e, "the host's kernel needs CONFIG_KVM_VFIO");
	}
	return 0;
}

int kvm_vfio_add(int fd, int file)
{
	return file_attr(fd, KVM_DEV_VFIO_GROUP_ADD, file);
}

int kvm_vfio_del(int fd, int file)
{
	return file_attr(fd, KVM_DEV_VFIO_GROUP_DEL, file);
}
