/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The short way through a switch: from the ring of one guest to that of another, with one copy and no mbuf. Frames that
 * need more than that (a group address, an uplink, a mirror, a drop for any reason but a full receiver, a checksum that
 * the receiver wants finished) are left in the ring for the long way, and so is all that is behind them in this round.
 * Policy is the same code for both: the first bytes of a frame stand in an mbuf of the lane's own.
 */
#ifndef VIADUCT_PMD_BACKENDS_LANE_H
#define VIADUCT_PMD_BACKENDS_LANE_H

#include "base/util.h"

struct lane;
struct switch_port;

/* NULL: no memory. */
struct lane *lane_create(void);
void lane_destroy(struct lane *lane);

/* Up to n frames that the port's guest has sent; returns how many. *more: what is next in its rings is for the long way. */
uint16_t lane_poll(struct lane *lane, struct switch_port *port, uint16_t n, bool *more);

#endif
