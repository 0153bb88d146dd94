// SPDX-License-Identifier: BSD-3-Clause
#include "bucket.h"

#include <assert.h>

/* What gathers in a whole burst must not overflow the credit. */
static_assert(BUCKET_MAX_RATE <= INT64_MAX / (BUCKET_MAX_HZ / 1000 * BUCKET_BURST_MS),
	      "credit of a burst fits");

void bucket_init(struct bucket *b, uint64_t rate, uint64_t hz, uint64_t now)
{
	*b = (struct bucket){
		.rate = u64_min(rate, BUCKET_MAX_RATE),
		.hz = u64_min(u64_max(hz, 1), BUCKET_MAX_HZ),
		.last = now,
	};
	b->most_tokens = INT64_MAX / 4 / b->hz;
	b->burst_units = u64_max(b->hz * BUCKET_BURST_MS / 1000, 1);
	b->credit = (int64_t)(b->burst_units * b->rate);
}
