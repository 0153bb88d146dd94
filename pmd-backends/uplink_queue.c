// SPDX-License-Identifier: BSD-3-Clause
#include "uplink_queue.h"

#include "switch_core.h"

#define QUANTUM_BYTES (SWITCH_BURST * 1518U) /* of a turn: one burst of full frames */

void uplink_queue_put(struct uplink_queue *q, struct rte_mbuf *m)
{
	q->frames[q->tail++ % UPLINK_QUEUE_FRAMES] = m;
	q->bytes += rte_pktmbuf_pkt_len(m);
}

uint32_t uplink_queue_clear(struct uplink_queue *q)
{
	uint32_t count = uplink_queue_count(q);

	for (uint32_t i = 0; i < count; i++)
		rte_pktmbuf_free(uplink_queue_at(q, i));
	q->head = q->tail;
	q->bytes = 0;
	q->deficit = 0;
	q->in_turn = false;
	return count;
}

/* Frames from the head that fit the allowance: the last may exceed it if `debt`. Returns the number. */
static uint16_t burst_pick(const struct uplink_queue *q, uint64_t allowed, bool debt,
			   struct rte_mbuf **out)
{
	uint32_t count = RTE_MIN(uplink_queue_count(q), (uint32_t)SWITCH_BURST);
	uint64_t bytes = 0;
	uint16_t n = 0;

	while (n < count) {
		struct rte_mbuf *m = uplink_queue_at(q, n);
		uint32_t len = rte_pktmbuf_pkt_len(m);

		if (debt ? bytes >= allowed : bytes + len > allowed)
			break;
		bytes += len;
		out[n++] = m;
	}
	return n;
}

/* Returns the bytes that went; *full if the uplink did not take all of them. */
static uint64_t burst_send(struct switch_uplink *uplink, struct uplink_queue *q,
			   struct rte_mbuf **frames, uint16_t n, bool *full)
{
	uint32_t lens[SWITCH_BURST];
	uint64_t bytes = 0;
	uint16_t taken;

	for (uint16_t i = 0; i < n; i++)
		lens[i] = rte_pktmbuf_pkt_len(frames[i]);
	taken = RTE_MIN(uplink->ep->ops->send(uplink->ep, frames, n), n);
	for (uint16_t i = 0; i < taken; i++)
		bytes += lens[i];
	q->head += taken;
	q->bytes -= (uint32_t)bytes;
	flow_add(&uplink->counters.to, taken, bytes);
	*full = taken < n;
	return bytes;
}

/* What the port is promised; true if the uplink is full. */
static bool guaranteed_send(struct switch_uplink *uplink, struct switch_port *port)
{
	struct rte_mbuf *frames[SWITCH_BURST];
	bool full = false;

	if (port->min_rate.rate == 0)
		return false;
	bucket_refill(&port->min_rate, uplink->sw->now);
	while (!full && bucket_has(&port->min_rate)) {
		uint16_t n =
			burst_pick(&port->queue, bucket_level(&port->min_rate) + 1, true, frames);

		if (n == 0)
			break;
		bucket_take(&port->min_rate, burst_send(uplink, &port->queue, frames, n, &full));
	}
	return full;
}

/* One turn; true if the uplink is full. */
static bool turn_send(struct switch_uplink *uplink, struct switch_port *port)
{
	struct uplink_queue *q = &port->queue;
	struct rte_mbuf *frames[SWITCH_BURST];
	bool full = false;

	if (!q->in_turn)
		q->deficit += QUANTUM_BYTES;
	while (!full) {
		uint16_t n = burst_pick(q, q->deficit, false, frames);

		if (n == 0)
			break;
		q->deficit -= (uint32_t)burst_send(uplink, q, frames, n, &full);
	}
	q->in_turn = full;
	if (uplink_queue_count(q) == 0)
		q->deficit = 0;
	return full;
}

static bool turns_send(struct switch_uplink *uplink, bool *more)
{
	struct l2_switch *sw = uplink->sw;

	*more = false;
	for (uint32_t i = 0; i < sw->port_end; i++) {
		uint32_t at = (sw->turn + i) % sw->port_end;
		struct switch_port *port = sw->ports[at];

		if (!port || uplink_queue_count(&port->queue) == 0)
			continue;
		if (turn_send(uplink, port)) {
			sw->turn = at;
			return true;
		}
		*more = *more || uplink_queue_count(&port->queue) != 0;
	}
	return false;
}

void uplink_drain(struct switch_uplink *uplink)
{
	struct l2_switch *sw = uplink->sw;
	bool more = true;

	for (uint32_t i = 0; i < sw->port_end; i++)
		if (sw->ports[i] && uplink_queue_count(&sw->ports[i]->queue) != 0 &&
		    guaranteed_send(uplink, sw->ports[i]))
			return;
	while (more && !turns_send(uplink, &more))
		;
}
