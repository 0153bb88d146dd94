// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whatever a guest sends, with whatever it asks for and under any policy: nothing leaves with a source that is not its
 * own while it is checked, no tag on the wire that is not the port's, no frame beyond what the receiver takes, and every
 * mbuf comes back. Input: eight bytes of policy and request, then the frame.
 */
#include "../fake/switch_wire.h"
#include "pmd-backends/frame.h"

#include <stdlib.h>

#define HEAD 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct policy policy_from(const uint8_t *b, uint8_t mac)
{
	struct policy p = { .mac_count = 1, .mtu = b[3] & 1 ? 9000 : 1500, .vlan_tpid = 0x8100 };

	p.macs[0][0] = 2;
	p.macs[0][5] = mac;
	p.vlan = (enum policy_vlan)(b[0] % POLICY_VLANS);
	if (p.vlan != POLICY_VLAN_NONE)
		p.vlan_ids[p.vlan_count++] = 100;
	if (b[0] & 8)
		p.vlan_tpid = 0x88A8;
	p.trust = (enum policy_trust)(b[1] % POLICY_TRUSTS);
	p.spoofchk = (b[1] & 8) == 0;
	p.rate_bps = b[3] & 2 ? 1000000 : 0;
	p.storm_fps = b[3] & 4 ? 1 : 0;
	return p;
}

static void request(struct rte_mbuf *m, const uint8_t *b)
{
	static const uint64_t flags[] = { RTE_MBUF_F_RX_L4_CKSUM_NONE, RTE_MBUF_F_RX_LRO,
					  RTE_MBUF_F_TX_TCP_CKSUM,     RTE_MBUF_F_TX_UDP_CKSUM,
					  RTE_MBUF_F_TX_TCP_SEG,       RTE_MBUF_F_TX_UDP_SEG,
					  RTE_MBUF_F_RX_VLAN_STRIPPED, RTE_MBUF_F_TX_IPV6 };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (b[4] & BIT(i))
			m->ol_flags |= flags[i];
	m->tso_segsz = (uint16_t)(b[5] << 4 | b[6] >> 4);
	m->l2_len = b[6];
	m->l3_len = b[7];
	m->vlan_tci = b[7];
}

static void sent_check(const struct wire_end *end, const struct policy *p, bool wire)
{
	for (uint32_t i = 0; i < end->out_count; i++) {
		const struct rte_mbuf *m = end->out[i];
		struct frame f;

		if (frame_read(m, &f) < 0 || (p->spoofchk && memcmp(f.src, p->macs[0], 6) != 0))
			abort();
		if (wire && (p->vlan == POLICY_VLAN_ACCESS || p->vlan == POLICY_VLAN_QINQ) &&
		    (f.tag.tpid != p->vlan_tpid || f.tag.tci != 100))
			abort();
		if (!(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && frame_payload(m, &f) > 9000 + 12)
			abort();
		if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) && !(end->ep.offloads & ENDPOINT_CSUM))
			abort();
		if ((uint32_t)(m->l2_len + m->l3_len + m->l4_len) > rte_pktmbuf_pkt_len(m))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wire w;
	static struct wire_end a, b, up;
	struct policy own, other;
	struct switch_port *pa, *pb;
	struct switch_uplink *pu;

	if (size < HEAD || size > 60000)
		return 0;
	if (!w.sw)
		wire_create(&w);
	own = policy_from(data, 1);
	other = policy_from(data + 2, 2);
	wire_end_init(&a);
	wire_end_init(&b);
	wire_end_init(&up);
	b.ep.offloads = data[2] & WIRE_ALL;
	up.ep.offloads = data[2] >> 4 & WIRE_ALL;
	if (switch_port_add(w.sw, &(struct switch_port_config){ "a", &a.ep, &own }, &pa, NULL) <
		    0 ||
	    switch_port_add(w.sw, &(struct switch_port_config){ "b", &b.ep, &other }, &pb, NULL) <
		    0 ||
	    switch_uplink_add(w.sw, "up", &up.ep, &pu, NULL) < 0)
		abort();
	request(wire_put(&w, &a, data + HEAD, size - HEAD), data);
	wire_run(&w);
	sent_check(&b, &own, false);
	sent_check(&up, &own, true);
	request(wire_put(&w, &up, data + HEAD, size - HEAD), data);
	w.now += 1000000;
	wire_run(&w);
	switch_port_remove(pa);
	switch_port_remove(pb);
	switch_uplink_remove(pu);
	wire_end_clear(&a);
	wire_end_clear(&b);
	wire_end_clear(&up);
	if (rte_mempool_in_use_count(w.pool) != 0)
		abort();
	return 0;
}
