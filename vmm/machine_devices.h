/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The spec's VFIO functions, polled ports, disks and small virtio devices as parts of the machine: guest RAM mapped for DMA, one PCI device each
 * behind its own root port, and their part of STATUS.
 */
#ifndef VIADUCT_VMM_MACHINE_DEVICES_H
#define VIADUCT_VMM_MACHINE_DEVICES_H

#include "base/err.h"

#include <jansson.h>

struct machine;

/* Begins to open the devices; goes on beside what comes next. */
int machine_devices_open(struct machine *m, struct err *e);

/* Maps every RAM slot for the devices' DMA, before any of them is bus master. */
int machine_devices_pin(struct machine *m, struct err *e);

/* Waits for the devices and plugs them in; the root complex owns them from then on. */
int machine_devices_create(struct machine *m, struct err *e);

/* Main thread, the machine is there and no vCPU has run: waits until every disk's backend has said what it is. Error code
 * "disk-backend": one has not in time. -ECANCELED: the machine is to end. */
int machine_devices_wait(struct machine *m, struct err *e);

/* Main thread, without the lock, every vCPU parked: asks for guest RAM back. False: a disk's requests are under way, to be asked
 * again. Before a machine_devices_pause() that must not be followed by what they still write. */
bool machine_devices_let_go(struct machine *m);

/* Main thread, without the lock, every vCPU parked: no backend of a polled port or of a vsock touches guest RAM until that is over. (VFs do.) */
void machine_devices_pause(struct machine *m, bool paused);

/* Before the root complex destroys the devices: backends are hung up on, nothing watches their fds any more. */
void machine_devices_close(struct machine *m);

/* After the root complex has destroyed the devices and before guest RAM goes. */
void machine_devices_destroy(struct machine *m);

/* The "devices" of STATUS and of STATS: a new reference, NULL when out of memory. */
json_t *machine_devices_status(struct machine *m);
json_t *machine_devices_stats(struct machine *m);

/* The "nets" of STATUS. */
json_t *machine_nets_status(struct machine *m);

/* The "disks" of STATUS. */
json_t *machine_disks_status(struct machine *m);

/* The "virtio" of STATUS. */
json_t *machine_extras_status(struct machine *m);

#endif
