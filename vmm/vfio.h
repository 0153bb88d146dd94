/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VM's VFIO functions: struct vfio_set. It takes the container and the groups, or the iommufd and the device files, out of the
 * launch spec, opens the functions, maps guest RAM for DMA (and nothing else: no peer-to-peer), then makes one
 * PCI device per function, which the root complex owns. A function that is unplugged gives its group or file back.
 *
 * Order of life: vfio_set_create -> vfio_set_map -> vfio_set_plug -> (the guest runs) -> pci_host_destroy, which
 * silences every function -> vfio_set_destroy, which unmaps RAM and closes. The machine's lock guards
 * the set; events arrive on the main thread.
 */
#ifndef VIADUCT_VMM_VFIO_H
#define VIADUCT_VMM_VFIO_H

#include "vmm/bus.h"
#include "vmm/gmem.h"
#include "vmm/irq.h"
#include "vmm/pci.h"
#include "vmm/slots.h"
#include "vmm/spec.h"

#include "base/err.h"
#include "base/loop.h"

#include <jansson.h>

struct vfio_set;

/* What functions need of the machine; borrowed for the set's life. */
struct vfio_env {
	struct loop *loop;
	pthread_mutex_t *lock; /* the machine's */
	struct bus *mmio;
	struct slots *slots;
	struct irq_router *irq;
	struct pci_host *pci;
	/* Main thread, without the lock: the VM must end, because the host wants a function back that
	 * the guest does not let go (`requested`), or because one failed for good. */
	void (*end)(void *arg, bool requested, const char *text);
	void *arg;
};

/* Attaches every group or device file, then opens the spec's functions in threads of their own; whether that worked
 * vfio_set_plug() says. Takes those fds out of spec, which must outlive the set.
 * *out is NULL when the spec has no devices. */
int vfio_set_create(struct vmm_spec *spec, int vm_fd, struct vfio_set **out, struct err *e);

/* Maps every RAM slot for DMA. NULL-safe. */
int vfio_set_map(struct vfio_set *set, const struct gmem *gm, struct err *e);

/* Waits for the functions and plugs each behind a root port of its own. NULL-safe. */
int vfio_set_plug(struct vfio_set *set, const struct vfio_env *env, struct err *e);

/* The "devices" of STATUS and of STATS (vmm_msg.h): a new reference, NULL when out of memory. With the
 * lock. */
json_t *vfio_set_status(const struct vfio_set *set);
json_t *vfio_set_stats(const struct vfio_set *set);

/* The function of this port, with the lock (vfio_func_quarantine()). -ENOENT: there is none (any more). */
int vfio_set_quarantine(struct vfio_set *set, const char *port, bool on, struct err *e);

/* After the root complex is gone. NULL-safe. */
void vfio_set_destroy(struct vfio_set *set);

#endif
