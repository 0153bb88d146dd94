/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mappings of files at addresses that huge pages want, safe beside other threads: mmap(MAP_FIXED) over a
 * reservation leaves a hole when it fails, in which another thread's memory may lie by the time that the
 * reservation is undone.
 */
#ifndef VIADUCT_BASE_MAPPING_H
#define VIADUCT_BASE_MAPPING_H

#include "base/util.h"

#include <sys/types.h>

struct map_wish {
	int fd;
	off_t off; /* bytes, a multiple of the page size */
	uint64_t size; /* bytes, likewise */
	uint64_t align; /* of the address: a power of two */
	int flags; /* besides MAP_SHARED */
};

/* Maps it for reading and writing; undone with munmap(*out, size). -errno: nothing is left behind. */
int map_aligned(const struct map_wish *wish, void **out);

#endif
