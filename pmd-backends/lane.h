/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The short way through a switch: from the ring of one guest to that of another, with one copy and no mbuf; from an mbuf of
 * an uplink into a ring; from a ring into an mbuf for an uplink. What needs more than that (a group address, a mirror, a
 * drop for any reason but a full receiver, a checksum that the receiver wants finished) is left for the long way, with as
 * little as possible behind it. Frames of one sender to one station never pass each other.
 * Policy is the same code for both: the first bytes of a guest's frame stand in an mbuf of the lane's own.
 */
#ifndef VIADUCT_PMD_BACKENDS_LANE_H
#define VIADUCT_PMD_BACKENDS_LANE_H

#include "switch_core.h"

struct lane;

/* NULL: no memory. */
struct lane *lane_create(void);
void lane_destroy(struct lane *lane);

/* A frame that the lane took out of a ring, its caller's now. */
struct lane_frame {
	struct rte_mbuf *m;
	bool is_for_wire; /* and that is all; else nobody has looked at it */
};

/* What a poll leaves to be done, in this order. */
struct lane_left {
	uint16_t count;
	bool is_more; /* what is next in the port's rings is for the long way */
	struct lane_frame frames[SWITCH_BURST];
};

/* Up to n frames (SWITCH_BURST at most) that the port's guest has sent; returns how many, those in `left` (count 0) with them. */
uint16_t lane_poll(struct lane *lane, struct switch_port *port, uint16_t n, struct lane_left *left);

/*
 * A burst of the wire: begin, each frame in order, end; nothing else is to touch the switch in between.
 * `known` and `route` (for a frame that was checked, and had so many bytes as it came) say true where the frame has been
 * copied; the mbuf stays the caller's.
 */
void lane_wire_begin(struct lane *lane, const struct l2_switch *sw);
bool lane_wire_known(struct lane *lane, struct l2_switch *sw, const struct rte_mbuf *m);
bool lane_wire_route(struct lane *lane, struct l2_switch *sw, const struct packet *p,
		     uint32_t sent_bytes);
void lane_wire_end(struct lane *lane);

#endif
