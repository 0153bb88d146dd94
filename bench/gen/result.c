// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/trial.h"

#include <errno.h>

#define ROUNDING 1e-6

static json_int_t ns(const struct trial_result *t, double cycles)
{
	return (json_int_t)(cycles * 1e9 / t->clock.hz + 0.5);
}

/* What the stamps of this share of the frames are wrong by at most, all at once. */
static uint64_t stamp_error(const struct trial_result *t, double q)
{
	return t->clock.read + t->clock.between + hist_quantile(&t->tx_gap, q) +
	       hist_quantile(&t->rx_gap, q);
}

/* Null where it is finer than the stamps of this share of the frames are, or there are no frames. */
static json_t *figure(const struct trial_result *t, double value, double q)
{
	if (t->latency.count == 0 || value < (double)stamp_error(t, q))
		return json_null();
	return json_integer(ns(t, value));
}

/* Null where less than one frame is beyond it, too. */
static json_t *percentile(const struct trial_result *t, double q)
{
	/* 0.01 of 100 is one, however the product is rounded. */
	if ((double)t->latency.count * (1 - q) < 1 - ROUNDING)
		return json_null();
	return figure(t, (double)hist_quantile(&t->latency, q), q);
}

static json_t *histogram(const struct trial_result *t)
{
	json_t *list = json_array();
	hist_cursor at = 0;
	uint64_t upper, count;

	while (list != NULL && hist_next(&t->latency, &at, &upper, &count))
		json_array_append_new(list,
				      json_pack("[I, I]", ns(t, (double)upper), (json_int_t)count));
	return list;
}

static json_t *latency(const struct trial_result *t)
{
	const struct hist *h = &t->latency;
	double mean = h->count == 0 ? 0 : h->sum / (double)h->count;

	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "count",
			 (json_int_t)h->count, "min_ns", figure(t, (double)h->min, 0.5), "mean_ns",
			 figure(t, mean, 0.5), "p50_ns", percentile(t, 0.5), "p90_ns",
			 percentile(t, 0.9), "p99_ns", percentile(t, 0.99), "p999_ns",
			 percentile(t, 0.999), "max_ns", figure(t, (double)h->max, 0.99),
			 "jitter_ns", h->count < 2 ? json_null() : figure(t, t->jitter, 0.5),
			 "error_ns", ns(t, (double)stamp_error(t, 0.5)), "error_p99_ns",
			 ns(t, (double)stamp_error(t, 0.99)), "histogram", histogram(t));
}

static double per_second(uint64_t frames, uint64_t ns_taken)
{
	return ns_taken == 0 ? 0 : (double)frames * 1e9 / (double)ns_taken;
}

int trial_result_write(const struct trial_result *t, json_t *reply)
{
	json_t *out = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:b, s:b, s:I, s:I, s:o}",
		"sent", (json_int_t)t->sent, "received", (json_int_t)t->received, "lost",
		(json_int_t)t->lost, "duplicated", (json_int_t)t->duplicated, "reordered",
		(json_int_t)t->reordered, "bad", (json_int_t)t->bad, "stray", (json_int_t)t->stray,
		"too_old", (json_int_t)t->too_old, "given_up", (json_int_t)t->given_up, "ns",
		(json_int_t)t->ns, "tx_pps", per_second(t->sent, t->ns), "rx_pps",
		per_second(t->received_in_time, t->ns), "rate_reached", t->rate_reached, "link_up",
		t->link_up, "tx_dropped", (json_int_t)t->unsent, "rx_missed",
		(json_int_t)t->unreceived, "latency", latency(t));

	if (out == NULL)
		return -ENOMEM;
	if (t->interrupted)
		json_object_set_new(out, "interrupted", json_true());
	return json_object_update_new(reply, out) < 0 ? -ENOMEM : 0;
}
