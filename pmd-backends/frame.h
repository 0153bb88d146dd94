/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the headers of an Ethernet frame say, read once, each field inside the frame. The frame lies in memory of this
 * process (endpoint.h), so nobody changes it after the look. IEEE 802.3, 802.1Q-2018 9.6; RFC 791, 8200, 9293, 768.
 */
#ifndef VIADUCT_PMD_BACKENDS_FRAME_H
#define VIADUCT_PMD_BACKENDS_FRAME_H

#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

#define FRAME_TPID_8021Q  0x8100
#define FRAME_TPID_8021AD 0x88A8
#define FRAME_ETHER_LEN	  14
#define FRAME_TAG_LEN	  4
#define FRAME_MAX_TAGS	  3 /* that are looked through; one more counts as payload */

/* A VLAN tag; tpid 0: none. Host byte order. */
struct frame_tag {
	uint16_t tpid;
	uint16_t tci; /* priority 15-13, drop eligible 12, VLAN id 11-0 */
};

struct frame {
	uint8_t dst[6];
	uint8_t src[6];
	struct frame_tag tag; /* the outermost in the data */
	uint8_t tags; /* in the data, 0 to FRAME_MAX_TAGS */
	uint16_t ether_type; /* behind the tags */
	uint16_t l2_len; /* with the tags */
};

/* The transport header, where offloads need it. Only TCP and UDP, not in fragments. */
struct frame_l4 {
	uint8_t ip_version; /* 4 or 6 */
	uint8_t proto; /* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t l3_len; /* with options or extension headers */
	uint16_t l4_len; /* with options */
	uint32_t ip_bytes; /* packet as IP's own length says; inside the frame, and holds l3_len + l4_len */
};

/* -EBADMSG: no whole Ethernet header (with its tags) at the start of the first mbuf. */
int frame_read(const struct rte_mbuf *m, struct frame *f);

/* -EBADMSG: no whole IP and TCP or UDP header in the first mbuf, a fragment, or lengths that contradict the frame. */
int frame_read_l4(const struct rte_mbuf *m, const struct frame *f, struct frame_l4 *out);

/* Takes the outermost tag out, puts one on. -EBADMSG, -ENOBUFS: no room. f follows. */
int frame_pop(struct rte_mbuf *m, struct frame *f);
int frame_push(struct rte_mbuf *m, struct frame_tag tag);

static inline bool frame_is_group(const uint8_t mac[6])
{
	return (mac[0] & 1) != 0;
}

static inline uint16_t frame_tag_id(struct frame_tag tag)
{
	return tag.tci & 0xFFF;
}

/* Bytes of the L3 packet. */
static inline uint32_t frame_payload(const struct rte_mbuf *m, const struct frame *f)
{
	return rte_pktmbuf_pkt_len(m) - f->l2_len;
}

#endif
