/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a switch forwards between: a guest's port (vhost) or an uplink (ethdev), behind two functions.
 * An endpoint belongs to the one lcore that polls its switch; nobody else calls its functions.
 *
 * Frames on this boundary are Ethernet without FCS, VLAN tags in the data (a tag that a NIC took out and left in
 * vlan_tci with RTE_MBUF_F_RX_VLAN_STRIPPED is understood, too). The data is in memory of this process alone, never in
 * a guest's: what the switch checked is what goes on.
 *
 * What is still to be done to a frame is told as flags of its mbuf, and the same words are understood from both kinds:
 *  - received: RTE_MBUF_F_RX_L4_CKSUM_NONE (the TCP or UDP checksum is not finished) and RTE_MBUF_F_RX_LRO with
 *    tso_segsz (one TCP frame that stands for several). RTE_MBUF_F_TX_* at reception, as some drivers have it, is taken
 *    as well. Lengths (l2_len...) are not believed: the switch parses itself.
 *  - sent: RTE_MBUF_F_TX_* as for rte_eth_tx_burst() with l2_len, l3_len, l4_len and tso_segsz set, only what `offloads`
 *    takes; the checksum field holds the sum of the pseudo header, length included, and that of IPv4 is complete (an
 *    uplink that cuts sets RTE_MBUF_F_TX_IP_CKSUM itself, and calls rte_eth_tx_prepare()). A guest's port makes the
 *    header of virtio-net from the same flags.
 */
#ifndef VIADUCT_PMD_BACKENDS_ENDPOINT_H
#define VIADUCT_PMD_BACKENDS_ENDPOINT_H

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

/* What an endpoint takes without the switch doing it first. */
#define ENDPOINT_CSUM \
	(1U << 0) /* TCP and UDP over IPv4 and IPv6: finishes (or leaves to the guest) a checksum */
#define ENDPOINT_TSO4 \
	(1U << 1) /* TCP over IPv4 in one frame of up to 64 KiB; needs ENDPOINT_CSUM */
#define ENDPOINT_TSO6	  (1U << 2)
#define ENDPOINT_SEGMENTS (1U << 3) /* frames of several mbufs; else the switch makes them one */

struct endpoint;

struct endpoint_ops {
	/* Up to n frames, which become the caller's. Never waits. */
	uint16_t (*receive)(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n);

	/*
	 * Takes the first frames of the list, as many as there is room for, and returns how many: these are the
	 * endpoint's (which frees what it copied), the rest stay the caller's, unchanged. Never waits.
	 */
	uint16_t (*send)(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n);
};

struct vring;

/* For endpoints whose frames lie in rings (vring.h): one copy takes them from one's ring to the other's (lane.h). */
struct endpoint_rings {
	/* The rings that the guest sends by, up to PMD_MAX_PAIRS, each time another first; 0: ask receive(). */
	unsigned int (*senders)(struct endpoint *ep, struct vring **rings);

	/*
	 * The ring by which the guest receives frames that begin like this one (NULL: any frame); NULL: none is there.
	 * *is_only: it is the ring of all frames.
	 */
	struct vring *(*receiver)(struct endpoint *ep, const struct rte_mbuf *m, bool *is_only);

	/* Something was used of this ring: the guest is told if it wants to be. */
	void (*used)(struct endpoint *ep, struct vring *ring);
};

/* Embedded in the vhost port and in the uplink. All members are read at each poll: change them on the lcore or while
 * it is quiesced (link_up: at any time, by one writer). */
struct endpoint {
	const struct endpoint_ops *ops;
	const struct endpoint_rings *rings; /* NULL: frames are not in rings */
	uint32_t offloads; /* ENDPOINT_*; of a guest: what its driver negotiated (VIRTIO_NET_F_GUEST_*) */
	uint16_t mtu; /* the largest L3 packet, tags not counted; 0: only the port's policy limits it */
	bool link_up; /* false: neither function is called; the lcore reads it by endpoint_is_up() */
};

static inline bool endpoint_is_up(const struct endpoint *ep)
{
	return __atomic_load_n(&ep->link_up, __ATOMIC_RELAXED);
}

#endif
