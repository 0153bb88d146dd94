/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * BARs of one function in the guest's address space. Each decoded BAR is one trapped region of the
 * MMIO bus, over which the parts that the device lets us map lie as KVM memory slots: the guest
 * reaches those without an exit, and only the pages of the MSI-X table and its pending bits (and what
 * is smaller than a page) by read and write through VFIO. The VMM itself never touches a mapped BAR, so that no guest
 * can make it fault.
 */
#ifndef VIADUCT_VMM_VFIO_BARS_H
#define VIADUCT_VMM_VFIO_BARS_H

#include "vmm/bus.h"
#include "vmm/slots.h"
#include "vmm/vfio_config.h"
#include "vmm/vfio_msix.h"
#include "vmm/vfio_traps.h"

#define VFIO_BARS    6
#define VFIO_BAR_MIN 4096ULL
#define VFIO_PIECES  (VFIO_SPARSE_AREAS + 2) /* table and pending bits each cut one area in two */
#define VFIO_TRAPS   (VFIO_PIECES + 1) /* before, between and after them */
#define VFIO_NO_SLOT UINT32_MAX

struct vfio_piece {
	uint64_t offset; /* in the BAR */
	uint64_t size;
	uint8_t *host; /* inside the mapping of an area */
	uint32_t slot; /* VFIO_NO_SLOT: not in the guest */
};

struct vfio_bars;

struct vfio_bar {
	struct vfio_bars *bars;
	unsigned int index;
	uint64_t size; /* as the guest sees it; 0: absent */
	bool is_64bit, is_prefetchable;
	void *maps[VFIO_SPARSE_AREAS]; /* as the region's areas */
	struct vfio_piece pieces[VFIO_PIECES];
	unsigned int piece_count;
	struct vfio_trap traps[VFIO_TRAPS];
	unsigned int trap_count;
	bool decoded; /* region is on the bus */
	struct io_region region;
};

struct vfio_bars {
	const char *name; /* of the function; borrowed */
	const struct vfio_device *dev;
	struct vfio_msix *msix;
	struct vfio_vectors *vectors;
	struct bus *mmio;
	struct slots *slots;
	/* A vector of the MSI-X table could not be set up. */
	void (*vector_failed)(void *arg, int error);
	void *arg;
	struct vfio_bar bar[VFIO_BARS];
};

/* The caller has set what stands above `bar`. Sizes the BARs of the view and maps what may be mapped. */
int vfio_bars_init(struct vfio_bars *b, struct vfio_config *c, struct err *e);

/* Takes everything out of the guest, then unmaps. Half-built-safe. */
void vfio_bars_fini(struct vfio_bars *b);

/* Follows the view's command and BAR registers. A BAR that is off, or lies on something else, or has
 * no place, decodes nothing. */
void vfio_bars_update(struct vfio_bars *b, const struct vfio_config *c);

/* True if a BAR should decode and does not: worth another vfio_bars_update() when something moved. */
bool vfio_bars_wait(const struct vfio_bars *b, const struct vfio_config *c);

#endif
