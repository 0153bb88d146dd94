/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the generator sends and how it knows it again. Sizes are those of RFC 2544: bytes of the frame with its four bytes
 * of FCS, which are not in memory, so 64 means 60 bytes here: Ethernet, IPv4 and UDP headers, then what tells one frame
 * from all others (its trial, number and time stamp, with a check of all of it). The flow is the UDP source port. What
 * is left of a larger frame is a piece of a pattern, from another place for each buffer (the IPv4 identification says
 * which), so that a copy that stops early is seen. A buffer keeps its piece when it is used again.
 *
 * What comes back is hostile. probe_read() is the one place that reads it: every byte but those of the two addresses is
 * compared, since a reflector or router changes these.
 */
#ifndef VIADUCT_BENCH_GEN_PROBE_H
#define VIADUCT_BENCH_GEN_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_FCS	 4
#define PROBE_MIN	 64
#define PROBE_MAX	 9000
#define PROBE_HEAD	 60 /* bytes before the pattern */
#define PROBE_HEADERS	 42
#define PROBE_SIZES	 3
#define PROBE_MIX	 12 /* frames after which a mix begins anew */
#define PROBE_FLOWS	 16384
#define PROBE_TARGETS	 64
#define PROBE_PATTERN	 (PROBE_MAX + 256)
#define PROBE_STAMP_BITS 48

struct probe_sizes {
	uint16_t frame[PROBE_SIZES]; /* with FCS */
	uint8_t turn[PROBE_MIX]; /* which size a frame has, by its number in the trial */
	uint32_t count;
};

/* What all frames of one trial have in common; read only while it runs. */
struct probe_plan {
	struct probe_sizes sizes;
	uint32_t trial; /* no two that follow each other have the same, nor those of two generators, but by chance */
	uint32_t flows, target_count;
	uint8_t target[PROBE_TARGETS][6]; /* flow after flow has the next */
	uint8_t head[PROBE_SIZES][PROBE_HEADERS];
	uint32_t sum[PROBE_SIZES]; /* of the IPv4 header, without its identification */
	uint8_t pattern[PROBE_PATTERN];
};

struct probe_addresses {
	uint8_t source[6];
	uint8_t target[PROBE_TARGETS][6];
	uint32_t target_count;
};

/* Frame `seq` of flow `flow`; made by probe_next() in turn. */
struct probe_id {
	uint32_t flow, seq, turn;
};

enum probe_verdict {
	PROBE_GOOD,
	PROBE_BAD, /* ours, changed, and still known which */
	PROBE_BROKEN, /* ours, changed beyond that */
	PROBE_STRAY, /* not of this trial */
};

struct probe_seen {
	uint32_t flow, seq;
	uint64_t stamp; /* the lower PROBE_STAMP_BITS of the sender's clock */
};

/* "64" to "9000", or "imix": seven of 64, four of 594 and one of 1518. False: neither. */
bool probe_sizes_parse(struct probe_sizes *s, const char *text);

/* The largest of them. */
uint32_t probe_sizes_max(const struct probe_sizes *s);

void probe_pattern_make(struct probe_plan *plan);

/* `flows` of 1 to PROBE_FLOWS, one target at least, and none that no flow has; the pattern stays as it is. */
void probe_plan_make(struct probe_plan *plan, const struct probe_sizes *sizes,
		     const struct probe_addresses *to, uint32_t flows, uint32_t trial);

/* A buffer's first contents, of the piece `key` of the pattern. */
void probe_fill(const struct probe_plan *plan, uint8_t *data, size_t room, uint8_t key);

static inline uint32_t probe_bytes(const struct probe_plan *plan, const struct probe_id *id)
{
	return plan->sizes.frame[plan->sizes.turn[id->turn]] - (uint32_t)PROBE_FCS;
}

static inline void probe_next(const struct probe_plan *plan, struct probe_id *id)
{
	if (++id->turn == PROBE_MIX)
		id->turn = 0;
	if (++id->flow == plan->flows) {
		id->flow = 0;
		id->seq++;
	}
}

/* `data` was filled once and has probe_bytes() of room. May be called again with another stamp. */
void probe_write(const struct probe_plan *plan, uint8_t *data, const struct probe_id *id,
		 uint64_t stamp);

/* *out is written for PROBE_GOOD and PROBE_BAD. A frame that was never sent can be made by who knows how: numbers are to be
 * compared with those sent. */
enum probe_verdict probe_read(const struct probe_plan *plan, const uint8_t *data, size_t len,
			      struct probe_seen *out);

#endif
