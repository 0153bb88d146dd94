// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whatever comes to the generator in the place of its frames: nothing is read beyond it, what is taken for a frame of the
 * trial is of a flow that there is, and only what is what was sent, but for the addresses, is good. Input: a byte of which
 * sizes, one of flows, one of what is done with it, then the frame, or changes of one.
 */
#include "bench/gen/probe.h"
#include "bench/gen/window.h"

#include <stdlib.h>
#include <string.h>

#define HEAD	  3
#define TRIAL	  77
#define ADDRESSES 12
#define WINDOW	  64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void window_check(const struct probe_seen *seen)
{
	static uint64_t bits[WINDOW / 64];
	static struct window w = { bits, WINDOW, 0 };

	(void)window_take(&w, seen->seq);
	if (w.next > (uint64_t)UINT32_MAX + 1)
		abort();
}

/* A frame as it was sent, with some bytes changed: three bytes of input each, place and value. */
static size_t changed(const struct probe_plan *plan, const uint8_t *data, size_t size, uint8_t *out)
{
	struct probe_id id = { .flow = data[0] % plan->flows, .seq = data[1], .turn = 0 };
	size_t len = probe_bytes(plan, &id);

	probe_fill(plan, out, len, data[2]);
	probe_write(plan, out, &id, 0x123456789abcULL);
	for (size_t i = 3; i + 3 <= size; i += 3)
		out[(data[i] << 8 | data[i + 1]) % len] = data[i + 2];
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const sizes[] = { "64", "65", "imix", "1518", "9000" };
	static const struct probe_addresses to = {
		.source = { 2, 0, 0, 0, 0, 1 },
		.target = { { 2, 0, 0, 0, 0, 2 } },
		.target_count = 1,
	};
	static struct probe_plan plan;
	struct probe_seen seen = { 0 };
	enum probe_verdict verdict;
	struct probe_sizes s;
	uint8_t *frame, *sent;
	size_t len = size;

	if (size < HEAD + 3 || size > 2 * PROBE_MAX ||
	    !probe_sizes_parse(&s, sizes[data[0] % (sizeof(sizes) / sizeof(sizes[0]))]))
		return 0;
	if (plan.pattern[0] == 0)
		probe_pattern_make(&plan);
	probe_plan_make(&plan, &s, &to, data[1] + 1U, TRIAL);
	/* Of its very size, so that a read beyond it is seen. */
	frame = malloc(size > PROBE_MAX ? size : PROBE_MAX);
	sent = malloc(PROBE_MAX);
	if (frame == NULL || sent == NULL)
		abort();
	if (data[2] & 1)
		len = changed(&plan, data + HEAD, size - HEAD, frame);
	else
		memcpy(frame, data + HEAD, len -= HEAD);
	frame = realloc(frame, len);
	verdict = probe_read(&plan, frame, len, &seen);
	if (verdict == PROBE_GOOD || verdict == PROBE_BAD) {
		if (seen.flow >= plan.flows)
			abort();
		window_check(&seen);
	}
	if (verdict == PROBE_GOOD && (data[2] & 1)) {
		(void)changed(&plan, data + HEAD, HEAD, sent);
		if (memcmp(frame + ADDRESSES, sent + ADDRESSES, len - ADDRESSES) != 0)
			abort();
	}
	free(frame);
	free(sent);
	return 0;
}
