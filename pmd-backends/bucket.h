/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A token bucket that may go into debt: something may pass while there is credit, whatever it costs, and what it cost
 * beyond the credit is waited for. So frames of any size pass at any rate, and the rate over time is exact. Credit is
 * kept in tokens times clock units: no division and no rounding.
 */
#ifndef VIADUCT_PMD_BACKENDS_BUCKET_H
#define VIADUCT_PMD_BACKENDS_BUCKET_H

#include "base/util.h"

#define BUCKET_MAX_RATE 50000000000ULL /* tokens per second: bytes of 400 Gb/s */
#define BUCKET_MAX_HZ	8000000000ULL
#define BUCKET_BURST_MS 20 /* of rates: longer than the lcore may be away on a busy host */

struct bucket {
	uint64_t rate; /* tokens per second; 0: no limit */
	uint64_t hz;
	uint64_t last;
	uint64_t most_tokens; /* more at once costs no more: the debt would have no room */
	uint64_t burst_units; /* credit of so much time is the most that gathers */
	int64_t credit; /* tokens x hz */
};

/* Full. `rate` up to BUCKET_MAX_RATE, `hz` (clock units per second) up to BUCKET_MAX_HZ; more counts as that. */
void bucket_init(struct bucket *b, uint64_t rate, uint64_t hz, uint64_t now);

static inline void bucket_refill(struct bucket *b, uint64_t now)
{
	uint64_t units = u64_min(now - b->last, b->burst_units);
	int64_t most = (int64_t)(b->burst_units * b->rate);

	b->last = now;
	b->credit += (int64_t)(units * b->rate);
	if (b->credit > most)
		b->credit = most;
}

static inline bool bucket_has(const struct bucket *b)
{
	return b->rate == 0 || b->credit > 0;
}

static inline void bucket_take(struct bucket *b, uint64_t tokens)
{
	if (b->rate != 0)
		b->credit -= (int64_t)(u64_min(tokens, b->most_tokens) * b->hz);
}

/* Clock units until there is credit, as of the last refill; 0: there is. */
static inline uint64_t bucket_wait(const struct bucket *b)
{
	return bucket_has(b) ? 0 : (uint64_t)-b->credit / b->rate + 1;
}

/* Whole tokens there; a lot without a limit. */
static inline uint64_t bucket_level(const struct bucket *b)
{
	if (b->rate == 0)
		return UINT32_MAX;
	return b->credit > 0 ? (uint64_t)b->credit / b->hz : 0;
}

#endif
