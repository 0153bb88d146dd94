/* SPDX-License-Identifier: BSD-3-Clause */
/* What viaduct-gen is asked, read from JSON that anybody may have written: every member checked, others refused. */
#ifndef VIADUCT_BENCH_GEN_REQUEST_H
#define VIADUCT_BENCH_GEN_REQUEST_H

#include "bench/gen/probe.h"

#include "bench/common/device.h"

#define TRIAL_MS_MAX	 3600000
#define TRIAL_RATE_MAX	 1000000000ULL
#define TRIAL_FRAMES_MAX 4000000000ULL
#define TRIAL_WINDOW_MAX 1000000

struct trial_spec {
	char tx[DEVICE_NAME_TEXT], rx[DEVICE_NAME_TEXT];
	struct probe_sizes sizes;
	uint64_t flows;
	uint64_t rate_pps; /* 0: as fast as it goes */
	uint64_t ms; /* of sending; a burst has as long as it takes, but not longer than this */
	uint64_t drain_ms; /* without a frame, after which what has not come is lost */
	uint64_t window; /* frames in flight at most; 0: as many as there are */
	uint64_t frames; /* after which sending ends; 0: by time alone */
	bool has_source;
	struct probe_addresses addresses; /* of no target: the caller's to say */
};

/* {"op":"trial"}: "tx", "rx", "sizes", "ms"; "flows" (1), "rate_pps" (0), "drain_ms" (200), "window" (0), "src_mac", and
 * "dst_mac", one or a list of at most PROBE_TARGETS, none of them without a flow. */
int trial_spec_read(const json_t *q, struct trial_spec *out, struct err *e);

/* {"op":"burst"}: the same with "frames", after which it ends; "ms" (0: an hour) is not needed then. */
int burst_spec_read(const json_t *q, struct trial_spec *out, struct err *e);

/* Of {"op":"close","name":"a"} and {"op":"impaired","name":"a"}. */
int name_read(const json_t *q, char name[DEVICE_NAME_TEXT], struct err *e);

/* What a port does that hears its own frames: shares of them, and a delay of all. */
struct impair_wish {
	double loss, duplicate, reorder, corrupt;
	uint64_t delay_us;
	uint64_t seed;
	double hz; /* cycles a second; the caller's to set */
};

#define IMPAIR_DELAY_MAX_US 1000000

/* "loop:NAME" (nothing) or "impair:NAME:loss=0.01,duplicate=0.001,reorder=0.01,delay_us=50,corrupt=0,seed=1". -ENOENT: the
 * device is of another kind. */
int impair_wish_read(const char *device, struct impair_wish *out, struct err *e);

#endif
