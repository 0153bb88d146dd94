/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A log-linear histogram of times in cycles: 128 places of equal width in each power of two, so that a value is known to
 * 0.8% whatever its size, in bounded memory. Values above 2^48 are counted as the largest there is.
 */
#ifndef VIADUCT_BENCH_GEN_HIST_H
#define VIADUCT_BENCH_GEN_HIST_H

#include <stddef.h>
#include <stdint.h>

#define HIST_SUB_BITS	7
#define HIST_VALUE_BITS 48
#define HIST_PLACES	((size_t)(HIST_VALUE_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
	uint64_t count, min, max;
	double sum;
	uint64_t places[HIST_PLACES];
};

void hist_init(struct hist *h);

void hist_add(struct hist *h, uint64_t value, uint64_t times);

/* The middle of the place where the value of the nearest rank lies (0.5 of three: the second; 0.99 of a hundred: the 99th); 0 without values. Never beyond min and max. */
uint64_t hist_quantile(const struct hist *h, double q);

/* Goes through the places that hold something, 32 to a power of two: *at begins at 0. False: no more. *upper is the largest
 * value that belongs to it. */
typedef size_t hist_cursor;
_Bool hist_next(const struct hist *h, hist_cursor *at, uint64_t *upper, uint64_t *count);

#endif
