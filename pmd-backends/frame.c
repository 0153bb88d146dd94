// SPDX-License-Identifier: BSD-3-Clause
#include "frame.h"

#include "base/util.h"

#include <errno.h>
#include <netinet/in.h>

#define MACS_LEN 12
#define TYPE_IP4 0x0800
#define TYPE_IP6 0x86DD

#define IP4_MIN		 20
#define IP4_MORE	 0x2000 /* more fragments */
#define IP4_OFFSET	 0x1FFF
#define IP6_LEN		 40
#define IP6_MAX_HEADERS	 8
#define IP6_HOP_BY_HOP	 0
#define IP6_DESTINATIONS 60
#define TCP_MIN		 20
#define UDP_LEN		 8

static uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

int frame_read(const struct rte_mbuf *m, struct frame *f)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
	uint16_t len = rte_pktmbuf_data_len(m), at = MACS_LEN, type;

	if (len < FRAME_ETHER_LEN)
		return -EBADMSG;
	memcpy(f->dst, p, 6);
	memcpy(f->src, p + 6, 6);
	f->tag = (struct frame_tag){ 0 };
	f->tags = 0;
	type = get_be16(p + at);
	while ((type == FRAME_TPID_8021Q || type == FRAME_TPID_8021AD) &&
	       f->tags < FRAME_MAX_TAGS) {
		if (len < at + FRAME_TAG_LEN + 2)
			return -EBADMSG;
		if (f->tags++ == 0)
			f->tag = (struct frame_tag){ .tpid = type, .tci = get_be16(p + at + 2) };
		at += FRAME_TAG_LEN;
		type = get_be16(p + at);
	}
	f->ether_type = type;
	f->l2_len = at + 2;
	return 0;
}

static int ip4_read(const uint8_t *p, uint32_t len, struct frame_l4 *out)
{
	if (len < IP4_MIN || p[0] >> 4 != 4)
		return -EBADMSG;
	out->ip_version = 4;
	out->l3_len = (uint16_t)((p[0] & 15) * 4);
	out->ip_bytes = get_be16(p + 2);
	out->proto = p[9];
	if (out->l3_len < IP4_MIN || (get_be16(p + 6) & (IP4_MORE | IP4_OFFSET)) != 0)
		return -EBADMSG;
	return 0;
}

/* Only headers before the transport header that do not change what its checksum covers. A routing header does: the
 * sum is over the final destination, and who asks for offload behind one does not get it. */
static int ip6_read(const uint8_t *p, uint32_t len, struct frame_l4 *out)
{
	uint32_t at = IP6_LEN;
	uint8_t next;

	if (len < IP6_LEN || p[0] >> 4 != 6)
		return -EBADMSG;
	next = p[6];
	for (unsigned int i = 0; next == IP6_HOP_BY_HOP || next == IP6_DESTINATIONS; i++) {
		if (i == IP6_MAX_HEADERS || len < at + 8)
			return -EBADMSG;
		next = p[at];
		at += (p[at + 1] + 1U) * 8;
	}
	out->ip_version = 6;
	out->l3_len = (uint16_t)at;
	out->ip_bytes = IP6_LEN + (uint32_t)get_be16(p + 4);
	out->proto = next;
	return 0;
}

static int l4_read(const uint8_t *p, uint32_t len, struct frame_l4 *out)
{
	if (out->proto == IPPROTO_TCP) {
		if (len < TCP_MIN)
			return -EBADMSG;
		out->l4_len = (uint16_t)((p[12] >> 4) * 4);
		if (out->l4_len < TCP_MIN)
			return -EBADMSG;
	} else if (out->proto == IPPROTO_UDP) {
		out->l4_len = UDP_LEN;
	} else {
		return -EBADMSG;
	}
	return len < out->l4_len ? -EBADMSG : 0;
}

int frame_read_l4(const struct rte_mbuf *m, const struct frame *f, struct frame_l4 *out)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *) + f->l2_len;
	uint32_t len = rte_pktmbuf_data_len(m) - f->l2_len;
	int r;

	if (f->ether_type == TYPE_IP4)
		r = ip4_read(p, len, out);
	else if (f->ether_type == TYPE_IP6)
		r = ip6_read(p, len, out);
	else
		r = -EBADMSG;
	if (r < 0 || out->l3_len > len)
		return -EBADMSG;
	r = l4_read(p + out->l3_len, len - out->l3_len, out);
	if (r < 0)
		return r;
	if (out->ip_bytes > frame_payload(m, f) ||
	    out->ip_bytes < (uint32_t)out->l3_len + out->l4_len)
		return -EBADMSG;
	return 0;
}

int frame_pop(struct rte_mbuf *m, struct frame *f)
{
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);

	if (f->tags == 0 || rte_pktmbuf_data_len(m) < FRAME_ETHER_LEN + FRAME_TAG_LEN)
		return -EBADMSG;
	memmove(p + FRAME_TAG_LEN, p, MACS_LEN);
	if (rte_pktmbuf_adj(m, FRAME_TAG_LEN) == NULL)
		return -EBADMSG;
	if (m->l2_len >= FRAME_TAG_LEN)
		m->l2_len -= FRAME_TAG_LEN;
	return frame_read(m, f);
}

int frame_push(struct rte_mbuf *m, struct frame_tag tag)
{
	uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, FRAME_TAG_LEN);

	if (!p)
		return -ENOBUFS;
	memmove(p, p + FRAME_TAG_LEN, MACS_LEN);
	p[12] = (uint8_t)(tag.tpid >> 8);
	p[13] = (uint8_t)tag.tpid;
	p[14] = (uint8_t)(tag.tci >> 8);
	p[15] = (uint8_t)tag.tci;
	if (m->l2_len != 0)
		m->l2_len += FRAME_TAG_LEN;
	return 0;
}
