/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a sender left to be done: transport checksums and TCP segmentation. A request is checked against the headers
 * once, where the frame comes in; where the receiver does not take it, it is done here. RFC 9293 3.1, RFC 768,
 * RFC 8200 8.1; virtio 1.2, 5.1.6.2.
 */
#ifndef VIADUCT_PMD_BACKENDS_OFFLOAD_H
#define VIADUCT_PMD_BACKENDS_OFFLOAD_H

#include "frame.h"

#define OFFLOAD_MIN_MSS \
	48 /* the least that Linux sends; less would make thousands of frames of one */

/* Do the flags of a received mbuf say that it stands for several frames, or anything at all that is to be done? */
static inline bool offload_is_cut_wanted(uint64_t flags)
{
	return (flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_RX_LRO)) != 0;
}

static inline bool offload_is_wanted(uint64_t flags)
{
	return offload_is_cut_wanted(flags) || (flags & RTE_MBUF_F_TX_L4_MASK) != 0 ||
	       (flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

/*
 * Afterwards the mbuf's flags say only what is to be done (RTE_MBUF_F_TX_TCP_CKSUM, _UDP_CKSUM, _TCP_SEG, with _IPV4 or
 * _IPV6), its lengths are those of the headers, and the checksum field holds the sum of the pseudo header, whatever the
 * sender said. -EBADMSG: the request makes no sense.
 */
int offload_read(struct rte_mbuf *m, const struct frame *f);

static inline bool offload_is_tso(const struct rte_mbuf *m)
{
	return (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0;
}

/* Bytes of the largest L3 packet that the frame becomes. */
uint32_t offload_largest(const struct rte_mbuf *m, const struct frame *f);

/* Does an endpoint with these ENDPOINT_* take the frame as it is? */
bool offload_taken(const struct rte_mbuf *m, uint32_t offloads);

/* Finishes the checksum that was left open. */
void offload_finish(struct rte_mbuf *m);

/* A TSO frame cut into frames: offload_next() until NULL. The frame stays the caller's, its payload is copied. */
struct offload_cut {
	struct rte_mbuf *from;
	struct rte_mempool *pool;
	uint32_t headers;
	uint32_t payload;
	uint32_t at;
	uint16_t index;
};

void offload_cut(struct offload_cut *cut, struct rte_mbuf *m, struct rte_mempool *pool);

/* The next frame with its checksum left open (offload_finish); NULL with *r 0 at the end, -ENOMEM. */
struct rte_mbuf *offload_next(struct offload_cut *cut, int *r);

#endif
