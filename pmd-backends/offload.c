// SPDX-License-Identifier: BSD-3-Clause
#include "offload.h"

#include "endpoint.h"

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include <errno.h>
#include <netinet/in.h>

/* What flags say about the mbuf's memory: kept, whatever the frame asks for. */
#define MEMORY_FLAGS (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)
#define IP6_LEN	     40

/* One's complement sum of addresses, protocol and length (RFC 9293 3.1, RFC 8200 8.1), not complemented. */
static uint32_t pseudo_sum(const struct rte_mbuf *m, uint8_t proto, uint32_t bytes)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, m->l2_len);
	uint32_t sum = rte_cpu_to_be_16(proto);

	sum += rte_cpu_to_be_16((uint16_t)bytes);
	sum += rte_cpu_to_be_16((uint16_t)(bytes >> 16));
	if ((m->ol_flags & RTE_MBUF_F_TX_IPV4) != 0)
		return sum + rte_raw_cksum(ip + offsetof(struct rte_ipv4_hdr, src_addr), 8);
	return sum + rte_raw_cksum(ip + offsetof(struct rte_ipv6_hdr, src_addr), 32);
}

static uint16_t sum_fold(uint32_t sum)
{
	sum = (sum & 0xFFFF) + (sum >> 16);
	return (uint16_t)((sum & 0xFFFF) + (sum >> 16));
}

static bool is_udp(const struct rte_mbuf *m)
{
	return (m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_UDP_CKSUM;
}

static void sum_put(struct rte_mbuf *m, uint16_t sum)
{
	uint16_t at = m->l2_len + m->l3_len;

	at += is_udp(m) ? offsetof(struct rte_udp_hdr, dgram_cksum)
			: offsetof(struct rte_tcp_hdr, cksum);
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, at), &sum, sizeof(sum));
}

/* Bytes from the transport header on, as IP says: what is behind that is padding. */
static uint32_t transport_bytes(const struct rte_mbuf *m)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, m->l2_len);

	if ((m->ol_flags & RTE_MBUF_F_TX_IPV4) != 0)
		return (uint32_t)(ip[2] << 8 | ip[3]) - m->l3_len;
	return IP6_LEN + (uint32_t)(ip[4] << 8 | ip[5]) - m->l3_len;
}

/* -EBADMSG if this cannot be a TSO frame. A frame of one segment needs no cutting. */
static int cut_check(struct rte_mbuf *m, const struct frame *f, const struct frame_l4 *l4,
		     bool *cut)
{
	uint32_t headers = (uint32_t)l4->l3_len + l4->l4_len;

	if (l4->proto != IPPROTO_TCP || m->tso_segsz < OFFLOAD_MIN_MSS ||
	    l4->ip_bytes != frame_payload(m, f))
		return -EBADMSG;
	*cut = l4->ip_bytes - headers > m->tso_segsz;
	return 0;
}

int offload_read(struct rte_mbuf *m, const struct frame *f)
{
	uint64_t flags = m->ol_flags;
	struct frame_l4 l4;
	bool cut = false;
	int r;

	m->ol_flags &= MEMORY_FLAGS;
	if (!offload_is_wanted(flags)) {
		m->tx_offload = 0;
		return 0;
	}
	r = frame_read_l4(m, f, &l4);
	/* mbufs have 9 bits for the length of the IP header. */
	if (r < 0 || l4.l3_len > 511 ||
	    (flags & (RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_TUNNEL_MASK)) != 0)
		return -EBADMSG;
	/* Flags of sending at reception say which it is: it must be that. */
	if ((flags & RTE_MBUF_F_TX_L4_MASK) != 0 &&
	    (flags & RTE_MBUF_F_TX_L4_MASK) !=
		    (l4.proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM))
		return -EBADMSG;
	if (offload_is_cut_wanted(flags)) {
		r = cut_check(m, f, &l4, &cut);
		if (r < 0)
			return r;
	}
	m->l2_len = f->l2_len;
	m->l3_len = l4.l3_len;
	m->l4_len = l4.l4_len;
	m->ol_flags |= l4.ip_version == 4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	m->ol_flags |= l4.proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
	if (cut)
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	else
		m->tso_segsz = 0;
	sum_put(m, sum_fold(pseudo_sum(m, l4.proto, transport_bytes(m))));
	return 0;
}

uint32_t offload_largest(const struct rte_mbuf *m, const struct frame *f)
{
	if (offload_is_tso(m))
		return (uint32_t)m->l3_len + m->l4_len + m->tso_segsz;
	return frame_payload(m, f);
}

bool offload_taken(const struct rte_mbuf *m, uint32_t offloads)
{
	uint32_t need = 0;

	if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == 0)
		return true;
	/* Drivers take what follows the first header of IPv6 for the transport header. */
	if ((m->ol_flags & RTE_MBUF_F_TX_IPV6) != 0 && m->l3_len != IP6_LEN)
		return false;
	need |= ENDPOINT_CSUM;
	if (offload_is_tso(m))
		need |= (m->ol_flags & RTE_MBUF_F_TX_IPV4) != 0 ? ENDPOINT_TSO4 : ENDPOINT_TSO6;
	return (offloads & need) == need;
}

void offload_finish(struct rte_mbuf *m)
{
	uint8_t proto = is_udp(m) ? IPPROTO_UDP : IPPROTO_TCP;
	uint32_t bytes = transport_bytes(m);
	uint16_t raw = 0, sum;

	if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == 0)
		return;
	sum_put(m, 0);
	/* Cannot fail: offload_read() saw that the bytes are there. */
	(void)rte_raw_cksum_mbuf(m, (uint32_t)m->l2_len + m->l3_len, bytes, &raw);
	sum = (uint16_t)~sum_fold(pseudo_sum(m, proto, bytes) + raw);
	/* RFC 768: 0 means that there is none. For TCP, both say the same. */
	sum_put(m, sum == 0 && proto == IPPROTO_UDP ? 0xFFFF : sum);
	m->ol_flags &= MEMORY_FLAGS;
	m->tx_offload = 0;
}

void offload_cut(struct offload_cut *cut, struct rte_mbuf *m, struct rte_mempool *pool)
{
	*cut = (struct offload_cut){
		.from = m,
		.pool = pool,
		.headers = (uint32_t)m->l2_len + m->l3_len + m->l4_len,
	};
	cut->payload = rte_pktmbuf_pkt_len(m) - cut->headers;
}

/* Room for the headers before the payload: in its mbuf, or in one of their own. */
static struct rte_mbuf *headers_make(const struct offload_cut *cut, struct rte_mbuf *payload)
{
	struct rte_mbuf *head;

	if (rte_pktmbuf_headroom(payload) >= cut->headers + FRAME_TAG_LEN) {
		(void)rte_pktmbuf_prepend(payload, (uint16_t)cut->headers);
		return payload;
	}
	head = rte_pktmbuf_alloc(cut->pool);
	if (!head || !rte_pktmbuf_append(head, (uint16_t)cut->headers) ||
	    rte_pktmbuf_chain(head, payload) < 0) {
		rte_pktmbuf_free(head);
		rte_pktmbuf_free(payload);
		return NULL;
	}
	head->ol_flags = payload->ol_flags;
	head->tx_offload = payload->tx_offload;
	head->port = payload->port;
	return head;
}

static void headers_fill(const struct offload_cut *cut, struct rte_mbuf *seg, uint32_t len)
{
	uint8_t *p = rte_pktmbuf_mtod(seg, uint8_t *);
	struct rte_ipv4_hdr *ip4 = (struct rte_ipv4_hdr *)(p + seg->l2_len);
	struct rte_ipv6_hdr *ip6 = (struct rte_ipv6_hdr *)(p + seg->l2_len);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(p + seg->l2_len + seg->l3_len);
	uint16_t bytes = (uint16_t)(seg->l3_len + seg->l4_len + len);

	memcpy(p, rte_pktmbuf_mtod(cut->from, const uint8_t *), cut->headers);
	if ((seg->ol_flags & RTE_MBUF_F_TX_IPV4) != 0) {
		ip4->total_length = rte_cpu_to_be_16(bytes);
		ip4->packet_id =
			rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip4->packet_id) + cut->index));
		ip4->hdr_checksum = 0;
		ip4->hdr_checksum = rte_ipv4_cksum(ip4);
	} else {
		ip6->payload_len = rte_cpu_to_be_16((uint16_t)(bytes - IP6_LEN));
	}
	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + cut->at);
	/* RFC 3168 6.1.2: the answer to a congestion mark is said once; the end, at the end. */
	if (cut->index != 0)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	if (cut->at + len < cut->payload)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
}

struct rte_mbuf *offload_next(struct offload_cut *cut, int *r)
{
	uint32_t len = RTE_MIN(cut->payload - cut->at, (uint32_t)cut->from->tso_segsz);
	struct rte_mbuf *seg;

	*r = 0;
	if (len == 0)
		return NULL;
	*r = -ENOMEM;
	seg = rte_pktmbuf_copy(cut->from, cut->pool, cut->headers + cut->at, len);
	if (!seg)
		return NULL;
	seg = headers_make(cut, seg);
	if (!seg)
		return NULL;
	seg->ol_flags &= ~RTE_MBUF_F_TX_TCP_SEG;
	seg->tso_segsz = 0;
	headers_fill(cut, seg, len);
	sum_put(seg, sum_fold(pseudo_sum(seg, IPPROTO_TCP, seg->l4_len + len)));
	cut->at += len;
	cut->index++;
	*r = 0;
	return seg;
}
