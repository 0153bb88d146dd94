// SPDX-License-Identifier: BSD-3-Clause
/* What a guest may tag, what the wire sees of it, and what a guest sees of the wire. */
#include "switch_net.h"

static const uint32_t q100[2] = { TAG(0x8100, 100) };
static const uint32_t q200[2] = { TAG(0x8100, 200) };
static const uint32_t priority[2] = { TAG(0x8100, 0x6000) };

static struct policy in_vlan(uint8_t mac, enum policy_vlan mode, uint16_t id)
{
	struct policy p = net_policy(mac);

	p.vlan = mode;
	p.vlan_ids[p.vlan_count++] = id;
	return p;
}

static void access_is_tagged_on_the_wire_only(void **state)
{
	const uint32_t qos[2] = { TAG(0x8100, 100 | 3 << 13) };
	struct net *n = net_create();
	struct policy a = in_vlan(NET_A, POLICY_VLAN_ACCESS, 100);
	struct policy b = in_vlan(NET_B, POLICY_VLAN_ACCESS, 100);

	a.vlan_qos = 3;
	net_policy_set(n, 0, &a);
	net_policy_set(n, 1, &b);
	net_send(n, NET_FAR, NET_A, NULL);
	net_got(n, &n->up, NET_FAR, NET_A, qos);
	net_send(n, NET_A, NET_FAR, q100);
	net_got(n, &n->ends[0], NET_A, NET_FAR, NULL);
	net_send(n, NET_ALL, NET_A, NULL); /* c is untagged: another VLAN */
	net_got(n, &n->ends[1], NET_ALL, NET_A, NULL);
	net_got(n, &n->up, NET_ALL, NET_A, qos);
	net_quiet(n);
	net_send(n, NET_A, NET_FAR, q200);
	net_send(n, NET_A, NET_FAR, NULL);
	net_quiet(n);

	net_send(n, NET_FAR, NET_A, q100); /* not even its own */
	net_send(n, NET_FAR, NET_A, q200);
	net_quiet(n);
	assert_int_equal(net_drops(n, 0, PMD_DROP_VLAN), 2);
	net_destroy(n);
}

/* Inside the VLAN comes another tag: not for who has no tags. */
static void access_gets_no_inner_tag(void **state)
{
	const uint32_t two[2] = { TAG(0x8100, 100), TAG(0x8100, 7) };
	struct net *n = net_create();
	struct policy a = in_vlan(NET_A, POLICY_VLAN_ACCESS, 100);

	net_policy_set(n, 0, &a);
	net_send(n, NET_A, NET_FAR, two);
	net_send(n, NET_FAR, NET_A, two);
	net_quiet(n);
	assert_int_equal(net_drops(n, 0, PMD_DROP_VLAN), 2);
	net_destroy(n);
}

static void trunk_has_its_ids_and_no_others(void **state)
{
	const uint32_t ad100[2] = { TAG(0x88A8, 100) };
	struct net *n = net_create();
	struct policy a = in_vlan(NET_A, POLICY_VLAN_TRUNK, 100);
	struct policy b = in_vlan(NET_B, POLICY_VLAN_ACCESS, 100);

	a.vlan_ids[a.vlan_count++] = 300;
	net_policy_set(n, 0, &a);
	net_policy_set(n, 1, &b);
	net_send(n, NET_FAR, NET_A, q100);
	net_got(n, &n->up, NET_FAR, NET_A, q100);
	net_send(n, NET_A, NET_FAR, q100);
	net_got(n, &n->ends[0], NET_A, NET_FAR, q100);
	net_send(n, NET_B, NET_A, q100);
	net_got(n, &n->ends[1], NET_B, NET_A, NULL);
	net_send(n, NET_A, NET_B, NULL);
	net_got(n, &n->ends[0], NET_A, NET_B, q100);
	net_send(n, NET_FAR, NET_A, q200);
	net_send(n, NET_FAR, NET_A, ad100);
	net_send(n, NET_FAR, NET_A, NULL);
	net_send(n, NET_FAR, NET_A, priority);
	assert_int_equal(net_drops(n, 0, PMD_DROP_VLAN), 4);
	net_send(n, NET_A, NET_FAR, q200);
	net_send(n, NET_ALL, NET_FAR, q200);
	net_quiet(n);
	net_destroy(n);
}

static void qinq_wraps_whatever_there_is(void **state)
{
	const uint32_t outer[2] = { TAG(0x88A8, 50 | 5 << 13) };
	const uint32_t both[2] = { TAG(0x88A8, 50 | 5 << 13), TAG(0x8100, 200) };
	struct net *n = net_create();
	struct policy a = in_vlan(NET_A, POLICY_VLAN_QINQ, 50);

	a.vlan_tpid = 0x88A8;
	a.vlan_qos = 5;
	net_policy_set(n, 0, &a);
	net_send(n, NET_FAR, NET_A, q200);
	net_got(n, &n->up, NET_FAR, NET_A, both);
	net_send(n, NET_FAR, NET_A, NULL);
	net_got(n, &n->up, NET_FAR, NET_A, outer);
	net_send(n, NET_A, NET_FAR, both);
	net_got(n, &n->ends[0], NET_A, NET_FAR, q200);
	net_send(n, NET_A, NET_FAR, outer);
	net_got(n, &n->ends[0], NET_A, NET_FAR, NULL);
	net_send(n, NET_A, NET_FAR, q200);
	net_quiet(n);
	net_destroy(n);
}

static void same_id_of_both_protocols_is_two_vlans(void **state)
{
	const uint32_t ad100[2] = { TAG(0x88A8, 100) };
	struct net *n = net_create();
	struct policy a = in_vlan(NET_A, POLICY_VLAN_ACCESS, 100);
	struct policy b = in_vlan(NET_B, POLICY_VLAN_ACCESS, 100);

	b.vlan_tpid = 0x88A8;
	net_policy_set(n, 0, &a);
	net_policy_set(n, 1, &b);
	net_send(n, NET_ALL, NET_A, NULL);
	net_got(n, &n->up, NET_ALL, NET_A, q100);
	net_send(n, NET_ALL, NET_FAR, ad100);
	net_got(n, &n->ends[1], NET_ALL, NET_FAR, NULL);
	net_quiet(n);
	net_destroy(n);
}

static void without_vlan_tags_need_trust(void **state)
{
	struct net *n = net_create();
	struct policy a = net_policy(NET_A);

	net_send(n, NET_FAR, NET_A, q100);
	net_send(n, NET_A, NET_FAR, q100);
	net_send(n, NET_ALL, NET_FAR, q100);
	net_quiet(n);
	assert_int_equal(net_drops(n, 0, PMD_DROP_VLAN), 1);
	net_send(n, NET_FAR, NET_A, priority); /* no VLAN, a priority only */
	net_got(n, &n->up, NET_FAR, NET_A, NULL);

	a.trust = POLICY_TRUST_PROMISC;
	net_policy_set(n, 0, &a);
	net_send(n, NET_FAR, NET_A, q100);
	net_got(n, &n->up, NET_FAR, NET_A, q100);
	net_send(n, NET_A, NET_FAR, q200);
	net_got(n, &n->ends[0], NET_A, NET_FAR, q200);
	net_send(n, NET_A, NET_FAR, NULL);
	net_got(n, &n->ends[0], NET_A, NET_FAR, NULL);
	net_quiet(n);
	net_destroy(n);
}

/* A NIC that takes the tag out tells it beside the frame. */
static void tag_beside_the_frame_counts(void **state)
{
	struct net *n = net_create();
	struct policy a = in_vlan(NET_A, POLICY_VLAN_ACCESS, 100);
	uint8_t frame[100];
	struct rte_mbuf *m;

	net_policy_set(n, 0, &a);
	m = wire_put(&n->w, &n->up, frame, net_frame(frame, NET_A, NET_FAR, NULL, 100));
	m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	m->vlan_tci = 100;
	m = wire_put(&n->w, &n->up, frame, 100);
	m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	m->vlan_tci = 101;
	wire_run(&n->w);
	net_got(n, &n->ends[0], NET_A, NET_FAR, NULL);
	net_quiet(n);
	net_destroy(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(access_is_tagged_on_the_wire_only),
		cmocka_unit_test(access_gets_no_inner_tag),
		cmocka_unit_test(trunk_has_its_ids_and_no_others),
		cmocka_unit_test(qinq_wraps_whatever_there_is),
		cmocka_unit_test(same_id_of_both_protocols_is_two_vlans),
		cmocka_unit_test(without_vlan_tags_need_trust),
		cmocka_unit_test(tag_beside_the_frame_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
