// SPDX-License-Identifier: BSD-3-Clause
/* KVM's binary statistics: a file of any bytes as header, descriptors and data. */
#include "vmm/kvm_stats.h"

#include "base/fd.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set_read(int fd, const struct kvm_stats_names *set)
{
	uint64_t values[KVM_STATS_NAMES];
	struct kvm_stats_layout layout;
	struct err e = { 0 };

	if (kvm_stats_layout_read(fd, set, &layout, &e) < 0) {
		if (e.text[0] == '\0')
			abort();
		return;
	}
	for (size_t i = 0; i < set->count; i++)
		if (layout.present[i] &&
		    !range_fits(layout.offset[i], sizeof(uint64_t), layout.data_bytes))
			abort();
	(void)kvm_stats_read(fd, &layout, values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_fd int fd = memfd_create("stats", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	set_read(fd, &kvm_stats_vm_names);
	set_read(fd, &kvm_stats_vcpu_names);
	return 0;
}
