/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A learning Ethernet switch: the ports of one network and its uplinks. It knows endpoints, not what is behind them.
 *
 * One lcore runs a switch (switch_poll). All other functions, unless they say otherwise, are called while that lcore is
 * quiesced, or by it. Nothing here waits or takes a lock. IEEE 802.1Q-2018, 8.6 (forwarding), 8.7 (learning), 8.8 (FDB).
 *
 * What goes where: a known unicast address to its port in its VLAN; an unknown one to the uplink and to ports with trust
 * promisc; broadcast and multicast to all in the VLAN; nothing back to where it came from, nothing from uplink to
 * uplink. The addresses of the ports' policies are known from the start and cannot be taken over by learning.
 */
#ifndef VIADUCT_PMD_BACKENDS_SWITCH_H
#define VIADUCT_PMD_BACKENDS_SWITCH_H

#include "endpoint.h"
#include "pmd_msg.h"
#include "policy.h"

#include "base/err.h"

#define SWITCH_MAX_UPLINKS 8

struct mirror;
struct l2_switch;
struct switch_port;
struct switch_uplink;

struct switch_config {
	const char *name; /* for errors; copied */
	uint64_t hz; /* units of `now` per second: rte_get_tsc_hz() */
	struct rte_mempool
		*pool; /* copies (floods) and segments are made from it; outlives the switch */
};

/* Needs EAL. About 1 MiB of its memory. */
int switch_create(const struct switch_config *cfg, struct l2_switch **out, struct err *e);

/* Ports, uplinks, and frames that still waited go; endpoints are the caller's. NULL: nothing. */
void switch_destroy(struct l2_switch *sw);

struct switch_port_config {
	const char *name; /* "VM/PORT"; copied */
	struct endpoint *ep; /* outlives the port */
	const struct policy *policy; /* copied */
};

/*
 * Adds a port. -EEXIST, code "mac-in-use": an address of the policy is another port's in the same VLAN; -ENOSPC, code
 * "network-full".
 */
int switch_port_add(struct l2_switch *sw, const struct switch_port_config *cfg,
		    struct switch_port **out, struct err *e);
void switch_port_remove(struct switch_port *port);

/* The whole policy, or (with an error, those of switch_port_add) nothing of it. Counters stay. */
int switch_port_set_policy(struct switch_port *port, const struct policy *policy, struct err *e);

/* From now on the port's frames are copied to the mirror too (mirror.h); NULL: no more. The mirror is the caller's. */
void switch_port_mirror(struct switch_port *port, struct mirror *mirror);

/*
 * Adds an uplink. With several, one carries all: the first, in the order in which they were added, whose link is up;
 * what the others receive is dropped. (An 802.3ad bond is one endpoint.) -ENOSPC: SWITCH_MAX_UPLINKS are there.
 */
int switch_uplink_add(struct l2_switch *sw, const char *name, struct endpoint *ep,
		      struct switch_uplink **out, struct err *e);
void switch_uplink_remove(struct switch_uplink *uplink);

/* The uplink that carries, or NULL. Any thread. */
const char *switch_uplink_active(const struct l2_switch *sw);

/* One round: up to a burst of each endpoint is forwarded. Returns the number of frames received (0: idle). `now` never
 * goes back. Called by the switch's lcore. */
uint32_t switch_poll(struct l2_switch *sw, uint64_t now);

/* After a round without frames: within how many ms, `most` at the latest, it is to be polled again although nothing arrives: a
 * rate holds a guest back, or frames wait for an uplink. */
uint32_t switch_wait_ms(const struct l2_switch *sw, uint32_t most);

struct switch_flow {
	uint64_t packets; /* a TSO frame is one */
	uint64_t bytes; /* without FCS; with the tags that the endpoint sees */
};

/* Since the port or uplink was added. `from`: received of the endpoint, whatever became of it; `to`: taken by it. */
struct switch_counters {
	struct switch_flow from;
	struct switch_flow to;
	uint64_t drops[PMD_DROPS];
};

/* Any thread; each figure is whole, all of them together are not of one moment. */
void switch_port_counters(const struct switch_port *port, struct switch_counters *out);
void switch_uplink_counters(const struct switch_uplink *uplink, struct switch_counters *out);

struct switch_address {
	uint8_t mac[6];
	uint16_t vlan; /* 0: untagged */
	uint16_t tpid; /* of the tag; 0: untagged */
	bool fixed; /* of a port's policy */
	bool at_uplink;
	char at[PMD_PORT_TEXT]; /* name of the port or uplink */
	uint32_t age_s; /* since it was last seen; 0 of fixed ones */
};

struct switch_fdb_facts {
	uint64_t moves; /* an address was seen elsewhere than before */
	uint64_t full; /* an address was not learned for want of room */
	uint32_t fixed;
	uint32_t learned;
};

/* Copies up to `cap` addresses, starting at *cursor (0 at first), which is moved; returns the number, 0 at the end. */
size_t switch_fdb_list(const struct l2_switch *sw, uint32_t *cursor, struct switch_address *out,
		       size_t cap);
void switch_fdb_facts(const struct l2_switch *sw, struct switch_fdb_facts *out);

#endif
