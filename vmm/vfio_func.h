/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One VFIO function as a PCI device of the guest: configuration space, BARs, interrupts, resets, and
 * the two events that the host raises. Private to the vfio_*.c files; others see vfio.h.
 *
 * Life: vfio_func_create (main thread) -> plugged, owned by the root complex -> its destroy operation
 * silences the device on whatever thread unplugs it and retires the function -> the main thread frees
 * it (vfio_func_free), because only that thread may touch the event loop.
 */
#ifndef VIADUCT_VMM_VFIO_FUNC_H
#define VIADUCT_VMM_VFIO_FUNC_H

#include "vmm/pci.h"
#include "vmm/vfio.h"
#include "vmm/vfio_bars.h"
#include "vmm/vfio_config.h"
#include "vmm/vfio_msix.h"
#include "vmm/vfio_vectors.h"

struct vfio_func {
	struct pci_dev pci; /* first */
	struct vfio_set *set;
	struct vfio_func *next; /* in the set's list */
	char port[64];
	char name[96]; /* "wan (0000:01:10.0)" */
	uint32_t group;
	unsigned int member; /* of the set */

	struct vfio_device device;
	struct vfio_config config;
	struct vfio_msix msix;
	struct vfio_vectors vectors;
	struct vfio_bars bars;

	int err_fd, req_fd; /* watched by the main thread's loop */
	bool bus_master;
	bool quarantined; /* bus mastering stays off, whatever the guest writes */
	bool retired; /* unplugged and silent, to be freed */
	uint64_t flr_count;
	bool trouble_told; /* of vectors and resets: a guest could fill the log */
};

/* Checks the function that was opened and takes it over (opened->fd is -1 afterwards); not plugged yet.
 * Functions that cannot be reset or have only legacy interrupts are refused. */
int vfio_func_create(struct vfio_set *set, const struct vmm_device_spec *spec,
		     struct vfio_device *opened, struct vfio_func **out, struct err *e);

/* Main thread. Silences it if that has not been done. NULL-safe. */
void vfio_func_free(struct vfio_func *f);

/* Bus mastering and interrupts off, BARs out of the guest, then a reset. Idempotent. */
void vfio_func_silence(struct vfio_func *f);

/* Bus mastering off, and it stays off over whatever the guest does (command register, FLR, D3, a reset of the machine);
 * its writes to registers that are passed on go nowhere. Off: what the guest asks for holds again. -EIO: the device did
 * not take it, and the latch stays as asked for all the same. */
int vfio_func_quarantine(struct vfio_func *f, bool on);

/* Connects and watches ERR and REQ. */
int vfio_events_init(struct vfio_func *f, struct err *e);
void vfio_events_fini(struct vfio_func *f);

/* Of the set (vfio_set.c). */
const struct vfio_env *vfio_set_env(const struct vfio_set *set);
void vfio_set_retire(struct vfio_func *f); /* any thread, with the lock */
void vfio_set_moved(struct vfio_func *f); /* its BARs changed: others may find room now */

#endif
