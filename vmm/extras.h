/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VM's small devices, each there or not by the launch message: random numbers, a virtio console, a socket between guest and
 * host. What there is is a table (extras.c); each device is a row of it, and sits beside the LPC bridge in 00:1f, a function
 * each, so that none takes a root port.
 *
 * Order of life: extras_create -> extras_pause at pauses and resets, vCPUs parked -> extras_close, before the root
 * complex goes -> extras_destroy.
 */
#ifndef VIADUCT_VMM_EXTRAS_H
#define VIADUCT_VMM_EXTRAS_H

#include "vmm/pci.h"
#include "vmm/spec.h"
#include "vmm/virtio_pci.h"

#include "base/loop.h"

#include <jansson.h>

struct extras;

struct extras_env {
	struct loop *loop;
	pthread_mutex_t *lock; /* the machine's */
	struct pci_host *pci;
	struct virtio_pci_env virtio;
};

/* What a device says of itself, beside what virtio_pci knows. */
struct extra_status {
	uint64_t to_guest, from_guest; /* bytes; of what the kernel moves they are not known: 0 */
	uint32_t cid; /* 0: none */
	const char *error; /* why it does not work, or "" */
};

/* A row. Functions of the main thread, without the lock where nothing else is said. */
struct extra_kind {
	const char *name; /* in STATUS and logs */
	uint8_t function; /* of device 00:1f */
	bool (*is_wanted)(const struct vmm_spec *spec);
	int (*create)(const struct extras_env *env, const struct vmm_spec *spec,
		      struct virtio_pci **out, struct err *e);
	/* Nobody touches the guest's memory when this returns, until paused is false. */
	void (*pause)(struct virtio_pci *vp, bool paused);
	void (*close)(
		struct virtio_pci *vp); /* none of its fds is watched any more; again: nothing */
	void (*status)(const struct virtio_pci *vp, struct extra_status *out); /* lock held */
	void (*destroy)(struct virtio_pci *vp);
};

extern const struct extra_kind virtio_rng_extra, virtio_console_extra, virtio_vsock_extra;

/* spec is borrowed, its fds included. *out is NULL when it wants none, or on failure before the first. All functions take that. */
int extras_create(const struct vmm_spec *spec, const struct extras_env *env, struct extras **out,
		  struct err *e);
void extras_close(struct extras *x);
void extras_destroy(struct extras *x);

/* Main thread, without the lock, every vCPU parked. */
void extras_pause(struct extras *x, bool paused);

/* "virtio" of STATUS, with the lock: a new reference, NULL when out of memory. */
json_t *extras_status(const struct extras *x);

#endif
