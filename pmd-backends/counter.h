/* SPDX-License-Identifier: BSD-3-Clause */
/* A figure that one lcore counts and any thread reads, whole. */
#ifndef VIADUCT_PMD_BACKENDS_COUNTER_H
#define VIADUCT_PMD_BACKENDS_COUNTER_H

#include <stdint.h>

/* Relaxed: only the figure itself is of interest. One writer, so no locked instruction. */
static inline void counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint64_t counter_get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
