// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/kvm_stats_file.h"

#include "base/fd.h"

#include <linux/kvm.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME_BYTES 48

int fake_kvm_stats_file(void)
{
	struct {
		struct kvm_stats_header h;
		struct {
			uint32_t flags;
			int16_t exponent;
			uint16_t size;
			uint32_t offset, bucket_size;
			char name[NAME_BYTES];
		} rows[3];
		uint64_t data[3];
	} image = {
		.h = { .name_size = NAME_BYTES,
		       .num_desc = ARRAY_SIZE(image.rows),
		       .desc_offset = offsetof(typeof(image), rows),
		       .data_offset = offsetof(typeof(image), data) },
		.rows = { { .size = 1, .offset = 0, .name = "exits" },
			  { .size = 1, .offset = 8, .name = "halt_exits" },
			  { .size = 1, .offset = 16, .name = "pages_4k" } },
		.data = { FAKE_KVM_EXITS, FAKE_KVM_HALTS, FAKE_KVM_PAGES_4K },
	};
	int fd = memfd_create("kvm-stats", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, &image, sizeof(image)) != sizeof(image))
		fd_close(&fd);
	return fd;
}
