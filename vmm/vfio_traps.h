/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parts of a function's BARs that no memory slot covers, so that each access to them leaves the
 * guest: the pages of the MSI-X table and of the pending bits with whatever registers share them, and
 * what the host does not let us map. Told at the start, counted while it runs, shown in STATUS.
 */
#ifndef VIADUCT_VMM_VFIO_TRAPS_H
#define VIADUCT_VMM_VFIO_TRAPS_H

#include <jansson.h>

#include <stdbool.h>
#include <stdint.h>

struct vfio_bar;
struct vfio_bars;

struct vfio_trap {
	uint64_t offset; /* in the BAR */
	uint64_t size;
	bool has_table; /* because table or pending bits are there */
	uint64_t accesses; /* to what is neither table nor pending bits */
};

/* From the BAR's size and pieces. */
void vfio_traps_find(struct vfio_bar *bar);

/* One access to registers; says once if a driver seems to work with those. */
void vfio_traps_hit(struct vfio_bar *bar, uint64_t off);

/* A line of the log that names the traps in which there is room for registers. */
void vfio_traps_tell(const struct vfio_bars *b);

/* The "traps" of a device in STATUS (vmm_msg.h): a new reference, NULL when out of memory. */
json_t *vfio_traps_status(const struct vfio_bars *b);

#endif
