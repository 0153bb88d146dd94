/* SPDX-License-Identifier: BSD-3-Clause */
/* What vhost_device.c (rings and their life) and vhost_device_message.c (what a VMM says) share. Nobody else includes this. */
#ifndef VIADUCT_PMD_BACKENDS_VHOST_CHANGE_H
#define VIADUCT_PMD_BACKENDS_VHOST_CHANGE_H

#include "pmd-backends/vhost_device.h"

#define VHOST_ALL_RINGS (BIT(VHOST_MAX_RINGS) - 1)

static inline bool has(uint64_t features, unsigned int bit)
{
	return (features & BIT_ULL(bit)) != 0;
}

static inline void broken_set(struct vhost_device *d, uint32_t broken)
{
	__atomic_store_n(&d->broken, broken, __ATOMIC_RELAXED);
}

/* Something that rings rest on changes: on the lcore these stop, apply(d, arg) runs (if it is one), and those that can start.
 * Of a message that says so: vhost_message_stops(). */
int vhost_change(struct vhost_device *d, uint32_t rings,
		 void (*apply)(struct vhost_device *d, void *arg), void *arg, struct err *e);

#endif
