// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/hist.h"

#include <string.h>

#define SUB	 ((uint64_t)1 << HIST_SUB_BITS)
#define LARGEST	 (((uint64_t)1 << HIST_VALUE_BITS) - 1)
#define SHOWN_AS 4 /* places told as one */
#define ROUNDING 1e-6 /* of a share of up to 10^9 values */

void hist_init(struct hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

/* The first two powers have places of width 1; each later one as many, twice as wide as those before. */
static size_t place_of(uint64_t value)
{
	unsigned int shift;

	if (value < SUB)
		return (size_t)value;
	shift = 63 - (unsigned int)__builtin_clzll(value) - HIST_SUB_BITS;
	return ((size_t)shift << HIST_SUB_BITS) + (size_t)(value >> shift);
}

static uint64_t place_first(size_t place)
{
	unsigned int shift = place < 2 * SUB ? 0 : (unsigned int)(place >> HIST_SUB_BITS) - 1;

	return (uint64_t)(place - ((size_t)shift << HIST_SUB_BITS)) << shift;
}

void hist_add(struct hist *h, uint64_t value, uint64_t times)
{
	if (value > LARGEST)
		value = LARGEST;
	h->places[place_of(value)] += times;
	h->count += times;
	h->sum += (double)value * (double)times;
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
}

/* The nearest rank, from 1: of so many values the first that this share of all is not above. */
static uint64_t rank_of(double q, uint64_t count)
{
	/* 0.99 of 100 is 99, however the product is rounded. */
	double exact = q * (double)count - ROUNDING;
	uint64_t rank = exact <= 0 ? 0 : (uint64_t)exact;

	rank += (double)rank < exact;
	if (rank > count)
		return count;
	return rank == 0 ? 1 : rank;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t rank = rank_of(q, h->count), seen = 0, middle;

	if (h->count == 0)
		return 0;
	for (size_t i = 0; i < HIST_PLACES; i++) {
		seen += h->places[i];
		if (seen < rank)
			continue;
		middle = (place_first(i) + place_first(i + 1) - 1) / 2;
		if (middle < h->min)
			return h->min;
		return middle > h->max ? h->max : middle;
	}
	return h->max;
}

_Bool hist_next(const struct hist *h, hist_cursor *at, uint64_t *upper, uint64_t *count)
{
	while (*at < HIST_PLACES) {
		uint64_t sum = 0;

		for (size_t i = 0; i < SHOWN_AS; i++)
			sum += h->places[*at + i];
		*at += SHOWN_AS;
		if (sum == 0)
			continue;
		*upper = place_first(*at) - 1;
		*count = sum;
		return 1;
	}
	return 0;
}
