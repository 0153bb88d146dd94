/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VM's disks: struct disks, one virtio-blk device and one vhost-user front end for each "disk" of the launch message.
 * The image is the back end's alone. While no back end is there the guest's requests wait in their rings; the next one
 * finishes those that were begun, once each, by the in-flight region that is kept here for it.
 *
 * Order of life: disks_create (behind root ports) -> disks_waiting until it is NULL -> disks_pause at pauses and resets, vCPUs
 * parked -> disks_close, before the root complex goes -> disks_destroy.
 */
#ifndef VIADUCT_VMM_DISKS_H
#define VIADUCT_VMM_DISKS_H

#include "vmm/pci.h"
#include "vmm/spec.h"
#include "vmm/virtio_pci.h"

#include "base/loop.h"

#include <jansson.h>

struct disks;

struct disks_env {
	struct loop *loop;
	pthread_mutex_t *lock; /* the machine's */
	struct pci_host *pci;
	struct virtio_pci_env virtio;
};

/* spec is borrowed, its sockets included. *out is NULL when it has no disks. All functions take that. */
int disks_create(const struct vmm_spec *spec, const struct disks_env *env, struct disks **out,
		 struct err *e);
void disks_close(struct disks *disks);
void disks_destroy(struct disks *disks);

/* The first disk of which no back end has said yet what it is; NULL: none. *why: what became of those that came, or "". */
const char *disks_waiting(const struct disks *disks, const char **why);

/* Main thread, without the lock, every vCPU parked: asks back ends to let go, and waits for a moment. False: one has requests
 * under way, which go on; it is to be asked again before the guest's memory becomes somebody else's. */
bool disks_pause(struct disks *disks, bool paused);

/* "bootorder" of fw_cfg: OpenFirmware's paths of the disks that have a place, in that order, with the NUL. Its length; 0: no
 * disk has one. */
#define DISKS_BOOTORDER (VMM_MAX_DISKS * 64 + 1)
size_t disks_bootorder(const struct disks *disks, char out[DISKS_BOOTORDER]);

/* "disks" of STATUS, with the lock: a new reference, NULL when out of memory. */
json_t *disks_status(const struct disks *disks);

#endif
