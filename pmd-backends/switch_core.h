/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the switch share: switch.c (life and changes), forward.c (where a frame goes),
 * lane.c (the short way), egress.c (how it
 * leaves), uplink_queue.c (whose turn it is on the wire). Nobody else includes this.
 */
#ifndef VIADUCT_PMD_BACKENDS_SWITCH_CORE_H
#define VIADUCT_PMD_BACKENDS_SWITCH_CORE_H

#include "bucket.h"
#include "counter.h"
#include "fdb.h"
#include "switch.h"
#include "uplink_queue.h"
#include "vlan.h"

#include <assert.h>

#define SWITCH_BURST 32

/* Ports are owners (fdb.h) by their place in `ports`. */
static_assert(PMD_MAX_PORTS <= FDB_WIRE, "a port's place is an owner");

struct switch_port {
	struct l2_switch *sw;
	struct endpoint *ep;
	struct policy policy;
	struct vlan_port vlan;
	struct bucket rate_from;
	struct bucket rate_to;
	struct bucket min_rate;
	struct bucket storm;
	struct mirror *mirror;
	uint16_t owner;
	uint16_t lane_to; /* owner that the last burst of the short way went to */
	uint16_t batch_count; /* frames to the guest, sent at the end of the round or when full */
	struct rte_mbuf *batch[SWITCH_BURST];
	struct uplink_queue queue; /* frames to the wire */
	struct switch_counters counters;
	char name[PMD_PORT_TEXT];
};

struct switch_uplink {
	struct l2_switch *sw;
	struct endpoint *ep;
	struct switch_counters counters;
	char name[PMD_NAME_TEXT];
};

struct l2_switch {
	uint64_t hz;
	uint64_t now;
	uint64_t age_next;
	uint32_t now_s;
	uint64_t changes; /* of ports and their policies, so far */
	uint32_t port_end; /* behind the last place in use */
	uint32_t uplink_count;
	uint32_t turn; /* the port that is the first on the wire next time */
	struct rte_mempool *pool;
	struct fdb *fdb;
	struct lane *lane;
	struct switch_uplink *active;
	struct switch_port *ports[PMD_MAX_PORTS];
	struct switch_uplink *uplinks[SWITCH_MAX_UPLINKS];
	char name[PMD_NAME_TEXT];
};

/* A frame inside the switch, with the tag of the wire beside it. */
struct packet {
	struct rte_mbuf *m;
	struct frame f;
	struct frame_tag tag;
	uint16_t vlan; /* key */
};

/* Drops the frame for a reason that the port's operator reads. */
static inline void port_drop(struct switch_port *port, struct rte_mbuf *m, enum pmd_drop reason)
{
	counter_add(&port->counters.drops[reason], 1);
	rte_pktmbuf_free(m);
}

static inline void flow_add(struct switch_flow *flow, uint64_t packets, uint64_t bytes)
{
	counter_add(&flow->packets, packets);
	counter_add(&flow->bytes, bytes);
}

/* forward.c. Checks a guest's frame and gives it its VLAN; PMD_DROPS: it may pass. */
enum pmd_drop port_admit(struct switch_port *port, struct packet *p);

/* Where the sender is. With spoofchk on all its sources are known already. */
static inline void port_learn(struct switch_port *port, const struct packet *p)
{
	if (!port->policy.spoofchk)
		fdb_learn(port->sw->fdb, p->f.src, p->vlan, port->owner, port->sw->now_s);
}

/* egress.c. Why the port does not get the frame; PMD_DROPS: it may have it. */
enum pmd_drop egress_refuses(const struct switch_port *to, const struct packet *p);

/* Each takes the packet's mbuf. `from`: the sending port. */
void egress_port(struct switch_port *to, struct packet *p);
void egress_uplink(struct switch_uplink *to, struct switch_port *from, struct packet *p);

/* A frame that fits the uplink, without a tag and with nothing left to be done. Takes it. */
void egress_uplink_plain(struct switch_uplink *to, struct switch_port *from, struct rte_mbuf *m);

/* Hands the batch over; what the guest has no room for is dropped. */
void egress_flush(struct switch_port *to);

/* uplink_queue.c. Frames that wait go out, as many as the uplink takes: first what min_rate guarantees, then in turn. */
void uplink_drain(struct switch_uplink *uplink);

#endif
