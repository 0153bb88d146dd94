/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the short way share: lane.c (from a guest's ring), lane_wire.c (from an uplink), lane_out.c (rings that
 * frames go to, and flows). Nobody else includes this.
 */
#ifndef VIADUCT_PMD_BACKENDS_LANE_CORE_H
#define VIADUCT_PMD_BACKENDS_LANE_CORE_H

#include "lane.h"
#include "vring_look.h"

#define OUTS 8 /* rings that a burst goes to; one more begins another burst */

#define FLOWS 8192 /* power of 2 */

/* Room for a head, and for tags before it. */
#define HEAD_BYTES 256
#define HEAD_AT	   64

/* A ring that frames of this burst go to. */
struct out {
	struct switch_port *port;
	bool is_plain; /* the port's only ring for reception, and it has no rate */
	bool is_full; /* a frame found no room: nor does any behind it in this burst */
	uint32_t most; /* bytes of a frame without tags that the port takes */
	struct vring_look look;
};

/*
 * Where frames of a port (or of the wire) with these first 14 bytes go, if nothing else of them but their length decides it. Good for as
 * long as the switch is as it was then (lane_epoch()), and for a second at most, so that a source that sends is seen.
 */
struct flow {
	uint64_t epoch; /* of a station that nobody has heard of: lane_epoch_unheard() */
	uint64_t words[2]; /* bytes 0 to 7, 6 to 13 */
	uint16_t from, to; /* owners; to the wire: it alone gets the frame */
};

struct lane {
	struct rte_mbuf head; /* of the frame at hand */
	uint8_t room[HEAD_AT + HEAD_BYTES];
	uint64_t epoch, epoch_unheard;
	uint64_t factor; /* odd, secret */
	bool is_wide; /* the CPU has registers of 32 bytes */
	bool is_stopped; /* what else the wire has goes the long way, to stay in order */
	struct vring_look in;
	struct lane_left *left;
	unsigned int spare_count;
	struct rte_mbuf *spare[SWITCH_BURST];
	unsigned int out_count;
	struct out outs[OUTS];
	struct flow flows[FLOWS];
};

enum step { STEP_TAKEN, STEP_AGAIN, STEP_LEFT };

/* All that a flow rests on but what is looked at again in each burst. Each part only grows. */
static inline uint64_t lane_epoch(const struct l2_switch *sw)
{
	return sw->changes + fdb_facts(sw->fdb)->changes + sw->now_s;
}

#define EPOCH_BITS 40

/* The same, and nothing was learned since: of flows to a station that nobody has heard of. No lane_epoch() is like it. */
static inline uint64_t lane_epoch_unheard(const struct l2_switch *sw)
{
	return lane_epoch(sw) + (((uint64_t)fdb_facts(sw->fdb)->learned + 1) << EPOCH_BITS);
}

static inline void lane_epochs_read(struct lane *lane, const struct l2_switch *sw)
{
	lane->epoch = lane_epoch(sw);
	lane->epoch_unheard = lane_epoch_unheard(sw);
}

/* The flow of a frame, or where it would be. */
static __rte_always_inline struct flow *flow_at(struct lane *lane, uint64_t first, uint64_t second)
{
	return &lane->flows[(first ^ second >> 11) * lane->factor >> 48 & (FLOWS - 1)];
}

/* Where a frame with this head goes; FDB_NOBODY: not known. */
static __rte_always_inline uint16_t flow_to(struct lane *lane, uint16_t from,
					    const struct vring_plain *plain)
{
	/* Bytes 0 to 7, 6 to 13. */
	uint64_t first = plain->a[0], second = plain->a[0] >> 48 | plain->a[1] << 16;
	const struct flow *f = flow_at(lane, first, second);

	if (f->words[0] != first || f->words[1] != second || f->from != from)
		return FDB_NOBODY;
	if (f->epoch != lane->epoch && f->epoch != lane->epoch_unheard)
		return FDB_NOBODY;
	return f->to;
}

/* What a frame's flow would be, before a tag is taken out. */
struct flow flow_read(const struct rte_mbuf *m, uint16_t from);

/* To FDB_NOBODY: to the wire, until anybody is heard for the first time. */
void flow_keep(struct lane *lane, struct flow *flow, uint16_t to);

/* Neither with a tag, nor one that has lost it or gets one. */
static inline bool is_plain(const struct packet *p, uint32_t sent_bytes, bool is_tagged)
{
	return p->m->ol_flags == 0 && p->f.tags == 0 && p->m->pkt_len == sent_bytes && !is_tagged;
}

/* The ring is looked at from now on. NULL: it cannot be used. There must be a place for it. */
struct out *out_open(struct lane *lane, struct switch_port *to, struct vring *ring, bool is_only);

/* For a frame that begins like m (NULL: any), with so many frames behind it. NULL: there is no place for one more, or no ring. */
struct out *out_find(struct lane *lane, struct switch_port *to, const struct rte_mbuf *m,
		     uint16_t frames);

/* A frame that finds the receiver full. */
void out_drop(struct out *out);

/* The only ring of a flow's receiver; NULL: the frame is to be looked at. */
static __rte_always_inline struct out *
out_of_flow(struct lane *lane, struct switch_port *const *ports, uint16_t to, uint16_t frames)
{
	struct out *out = NULL;

	for (unsigned int i = 0; i < lane->out_count; i++)
		if (lane->outs[i].port->owner == to) {
			out = &lane->outs[i];
			break;
		}
	if (unlikely(out == NULL) && endpoint_is_up(ports[to]->ep) && ports[to]->batch_count == 0)
		out = out_find(lane, ports[to], NULL, frames);
	return out == NULL || !out->is_plain ? NULL : out;
}

/* As most frames are: nothing left to be done to it, of a flow that is known, from one buffer into one. */
static __rte_always_inline bool plain_put(struct out *out, const struct vring_plain *plain)
{
	if (out == NULL || plain->len > out->most)
		return false;
	if (likely(!out->is_full))
		return vring_plain_put(&out->look, plain);
	out_drop(out);
	return true;
}

/* May the port have the frame, and is nothing but a copy to be done? What waits for it already goes first. */
bool receiver_takes(const struct switch_port *to, const struct packet *p);

/* A frame into a ring. `rest`: what of it is not in its mbuf. */
enum step ring_put(struct out *out, const struct packet *p, const struct vring_rest *rest);

/* What was put is counted, once for all. */
void outs_count(const struct lane *lane);

/* Publishes; `in`: the sender's look, or NULL. */
void outs_use(struct lane *lane, struct vring_look *in);

/* Last, since it waits until all that was published is seen. */
void outs_tell(struct lane *lane);

#endif
