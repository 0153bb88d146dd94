/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three guests and maybe a wire on a switch, twice: in one world frames may take the short way (lane.h), in the other all take the long
 * one. What an input says happens in both, and what guests and operator see of it must be the same.
 */
#ifndef VIADUCT_TESTS_FAKE_LANE_WORLDS_H
#define VIADUCT_TESTS_FAKE_LANE_WORLDS_H

#include "pmd-backends/switch.h"

#define LANE_GUESTS 3

struct lane_worlds_facts {
	uint64_t short_way, long_way; /* frames, in the world with both */
	uint64_t received, full; /* by guests; dropped for want of buffers */
	uint64_t to_wire, from_wire;
};

/*
 * Byte 0: features, byte 1: ring sizes and layout of receive buffers, byte 2: policies and sorts of frames, then steps. With HOSTILE in
 * byte 0 guests also write anywhere in their memory, and only that nothing else is touched is looked at.
 * Aborts, with a word on stderr, when something is wrong.
 */
void lane_worlds_run(const uint8_t *data, size_t size, struct lane_worlds_facts *out);

#define LANE_PACKED   BIT(0)
#define LANE_MERGED   BIT(1)
#define LANE_EVENTS   BIT(2)
#define LANE_INDIRECT BIT(3)
#define LANE_OFFLOADS BIT(4)
#define LANE_FEWER    BIT(5) /* guest 0 takes no offloads */
#define LANE_INFLIGHT BIT(6)
#define LANE_HOSTILE  BIT(7)

#endif
