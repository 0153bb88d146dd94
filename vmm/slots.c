// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/slots.h"

#include "vmm/kvm.h"

#include <errno.h>

/* The address space's number in a slot's (api.rst, KVM_SET_USER_MEMORY_REGION); 1 is SMM's. */
#define SMM_SPACE (1U << 16)

int slots_init(struct slots *s, int vm_fd, struct err *e)
{
	int max = kvm_extension_check(vm_fd, KVM_CAP_NR_MEMSLOTS);

	memset(s, 0, sizeof(*s));
	s->vm_fd = vm_fd;
	if (max < 2)
		return err_set(e, max < 0 ? -max : ENOTSUP, "KVM offers no memory slots");
	s->max = (unsigned int)u64_min((uint64_t)max, SLOTS_MAX);
	s->has_smm = kvm_extension_check(vm_fd, KVM_CAP_MULTI_ADDRESS_SPACE) > 1;
	return 0;
}

static int slot_set(struct slots *s, const struct kvm_userspace_memory_region *wish, uint32_t *slot)
{
	struct kvm_userspace_memory_region region = *wish;
	uint64_t gpa = region.guest_phys_addr, size = region.memory_size;
	uint32_t i = 0;
	int r;

	if (size == 0 || !is_aligned(gpa | size | region.userspace_addr, 4096) || gpa + size < gpa)
		return -EINVAL;
	while (i < s->max && s->used[i])
		i++;
	if (i == s->max)
		return -ENOSPC;
	region.slot = i;
	r = kvm_memory_region_set(s->vm_fd, &region);
	if (r < 0)
		return r; /* KVM itself answers an overlap with -EEXIST */
	s->used[i] = true;
	*slot = i;
	return 0;
}

int slots_add(struct slots *s, uint64_t gpa, uint64_t size, void *host, uint32_t *slot)
{
	const struct kvm_userspace_memory_region wish = { .guest_phys_addr = gpa,
							  .memory_size = size,
							  .userspace_addr = (uintptr_t)host };

	return slot_set(s, &wish, slot);
}

int slots_add_rom(struct slots *s, uint64_t gpa, uint64_t size, void *host, uint32_t *slot)
{
	const struct kvm_userspace_memory_region wish = { .flags = KVM_MEM_READONLY,
							  .guest_phys_addr = gpa,
							  .memory_size = size,
							  .userspace_addr = (uintptr_t)host };

	return slot_set(s, &wish, slot);
}

int slots_add_ram(struct slots *s, uint64_t gpa, uint64_t size, void *host)
{
	struct kvm_userspace_memory_region region = { .guest_phys_addr = gpa,
						      .memory_size = size,
						      .userspace_addr = (uintptr_t)host };
	int r = slots_add(s, gpa, size, host, &region.slot);

	if (r < 0 || !s->has_smm)
		return r;
	region.slot |= SMM_SPACE;
	return kvm_memory_region_set(s->vm_fd, &region);
}

int slots_del(struct slots *s, uint32_t slot)
{
	struct kvm_userspace_memory_region region = { .slot = slot };
	int r;

	if (slot >= s->max || !s->used[slot])
		return -ENOENT;
	r = kvm_memory_region_set(s->vm_fd, &region);
	if (r == 0)
		s->used[slot] = false;
	return r;
}
