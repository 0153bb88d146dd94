// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whatever stands in a line to viaduct-gen: one answer that says "ok" or why not, and what is read from it lies within its
 * limits.
 */
#include "bench/common/lines.h"
#include "bench/gen/request.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool fact)
{
	if (!fact)
		abort();
}

static void spec_check(const struct trial_spec *s)
{
	need(s->flows >= 1 && s->flows <= PROBE_FLOWS && s->ms >= 1 && s->ms <= TRIAL_MS_MAX);
	need(s->rate_pps <= TRIAL_RATE_MAX && s->window <= TRIAL_WINDOW_MAX);
	need(s->sizes.count >= 1 && s->sizes.count <= PROBE_SIZES &&
	     probe_sizes_max(&s->sizes) <= PROBE_MAX);
	need(s->addresses.target_count <= PROBE_TARGETS && s->addresses.target_count <= s->flows);
	need(memchr(s->tx, 0, sizeof(s->tx)) != NULL && memchr(s->rx, 0, sizeof(s->rx)) != NULL);
}

static int on_trial(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	struct trial_spec s;
	int r = trial_spec_read(q, &s, e);

	if (r == 0)
		spec_check(&s);
	return r;
}

static int on_burst(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	struct trial_spec s;
	int r = burst_spec_read(q, &s, e);

	if (r == 0) {
		spec_check(&s);
		need(s.frames > 0);
	}
	return r;
}

static int on_port(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	struct impair_wish faults = { 0 };
	struct device_wish w;
	int r = device_wish_read(q, &w, e);

	if (r == 0)
		r = impair_wish_read(w.device, &faults, e);
	if (r == 0)
		need(faults.loss >= 0 && faults.loss <= 1 && faults.duplicate <= 1 &&
		     faults.reorder <= 1 && faults.corrupt <= 1 &&
		     faults.delay_us <= IMPAIR_DELAY_MAX_US);
	return r == -ENOENT ? 0 : r;
}

static int on_close(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	char name[DEVICE_NAME_TEXT];

	return name_read(q, name, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct line_op ops[] = {
		{ "port", on_port },
		{ "trial", on_trial },
		{ "burst", on_burst },
		{ "close", on_close },
	};
	static struct lines l = { .ops = ops, .op_count = ARRAY_SIZE(ops), .signals = -1 };
	json_t *reply, *ok;

	if (size > LINE_BYTES_MAX)
		return 0;
	reply = lines_answer(&l, (const char *)data, size);
	ok = json_object_get(reply, "ok");
	need(json_is_boolean(ok));
	if (json_is_false(ok))
		need(json_string_length(json_object_get(reply, "text")) > 0);
	json_decref(reply);
	return 0;
}
