// SPDX-License-Identifier: BSD-3-Clause
#include "base/mapping.h"

#include <errno.h>
#include <sys/mman.h>

#define ATTEMPTS 16 /* other threads take the place that was found only while they start */

/* Where there is room now. */
static int place_find(uint64_t size, uint64_t align, void **out)
{
	uint64_t room = size + align;
	void *area =
		mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED)
		return -errno;
	munmap(area, room);
	*out = (void *)align_up((uintptr_t)area, align);
	return 0;
}

int map_aligned(const struct map_wish *wish, void **out)
{
	int r = -EEXIST;

	for (unsigned int i = 0; i < ATTEMPTS && r == -EEXIST; i++) {
		void *at = NULL, *p;

		r = place_find(wish->size, wish->align, &at);
		if (r < 0)
			return r;
		p = mmap(at, wish->size, PROT_READ | PROT_WRITE,
			 wish->flags | MAP_SHARED | MAP_FIXED_NOREPLACE, wish->fd, wish->off);
		if (p == at) {
			*out = p;
			return 0;
		}
		r = p == MAP_FAILED ? -errno : -EEXIST;
		if (p != MAP_FAILED) /* Linux before 4.17 takes the address as a hint */
			munmap(p, wish->size);
	}
	return r;
}
