/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VM's polled ports: struct nets, one virtio-net device and one vhost-user front end for each "net" of the launch
 * message. Brings what the guest wants (its driver runs or not, how many pairs) and what the back end is
 * (there or not) together, always on the main thread, and keeps the carrier: it follows the back end, whose
 * absence the guest does not notice before the grace has passed.
 *
 * Order of life: nets_create (behind root ports) -> nets_pause/nets_settle at pauses and resets, vCPUs parked ->
 * nets_close, before the root complex goes -> nets_destroy.
 */
#ifndef VIADUCT_VMM_NETS_H
#define VIADUCT_VMM_NETS_H

#include "vmm/pci.h"
#include "vmm/spec.h"
#include "vmm/virtio_pci.h"

#include "base/loop.h"

#include <jansson.h>

struct nets;

struct nets_env {
	struct loop *loop;
	pthread_mutex_t *lock; /* the machine's */
	struct pci_host *pci;
	struct virtio_pci_env virtio;
};

/* spec is borrowed, its sockets included. *out is NULL when it has no nets. All functions take that. */
int nets_create(const struct vmm_spec *spec, const struct nets_env *env, struct nets **out,
		struct err *e);
void nets_close(struct nets *nets);
void nets_destroy(struct nets *nets);

/* Main thread, without the lock, every vCPU parked: no back end touches the guest's memory when this returns, until
 * paused is false and the guest's driver runs. A back end that does not let go in time is dropped. */
void nets_pause(struct nets *nets, bool paused);

/* Main thread, without the lock. -ENOENT: there is no such net. */
int nets_link_set(struct nets *nets, const char *port, enum vmm_link link, struct err *e);

/* "nets" of STATUS, with the lock: a new reference, NULL when out of memory. */
json_t *nets_status(const struct nets *nets);

#endif
