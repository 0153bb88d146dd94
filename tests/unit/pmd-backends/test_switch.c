// SPDX-License-Identifier: BSD-3-Clause
/* Where frames go, and who may send them. */
#include "switch_net.h"

#include <errno.h>

static void known_station_alone_gets_it(void **state)
{
	struct net *n = net_create();

	net_send(n, NET_B, NET_A, NULL);
	net_got(n, &n->ends[1], NET_B, NET_A, NULL);
	net_quiet(n);
	net_send(n, NET_C, NET_FAR, NULL);
	net_got(n, &n->ends[2], NET_C, NET_FAR, NULL);
	net_quiet(n);
	net_destroy(n);
}

static void unknown_station_is_on_the_wire(void **state)
{
	struct net *n = net_create();
	struct policy p = net_policy(NET_C);

	net_send(n, NET_FAR, NET_A, NULL);
	net_got(n, &n->up, NET_FAR, NET_A, NULL);
	net_quiet(n);
	net_send(n, 50, NET_FAR, NULL); /* from the wire: nobody's */
	net_quiet(n);

	p.trust = POLICY_TRUST_PROMISC;
	net_policy_set(n, 2, &p);
	net_send(n, 50, NET_FAR, NULL);
	net_got(n, &n->ends[2], 50, NET_FAR, NULL);
	net_send(n, 51, NET_A, NULL);
	net_got(n, &n->ends[2], 51, NET_A, NULL);
	net_got(n, &n->up, 51, NET_A, NULL);
	net_send(n, NET_B, NET_A, NULL); /* not his, and known */
	net_got(n, &n->ends[1], NET_B, NET_A, NULL);
	net_quiet(n);
	net_destroy(n);
}

static void broadcast_reaches_all_but_its_sender(void **state)
{
	struct net *n = net_create();

	net_send(n, NET_ALL, NET_A, NULL);
	net_got(n, &n->ends[1], NET_ALL, NET_A, NULL);
	net_got(n, &n->ends[2], NET_ALL, NET_A, NULL);
	net_got(n, &n->up, NET_ALL, NET_A, NULL);
	net_quiet(n);
	net_send(n, NET_ALL, NET_FAR, NULL);
	for (int i = 0; i < NET_PORTS; i++)
		net_got(n, &n->ends[i], NET_ALL, NET_FAR, NULL);
	net_quiet(n);
	net_destroy(n);
}

static void nothing_goes_back(void **state)
{
	struct net *n = net_create();

	net_send(n, NET_A, NET_A, NULL);
	net_quiet(n);
	net_send(n, 60, NET_FAR, NULL); /* now 99 is known on the wire */
	net_send(n, NET_FAR, 61, NULL);
	net_quiet(n);
	net_destroy(n);
}

static void spoofed_source_is_dropped(void **state)
{
	struct net *n = net_create();
	struct policy p = net_policy(NET_A);
	uint8_t frame[64];

	net_frame(frame, NET_B, NET_C, NULL, 64);
	wire_put(&n->w, &n->ends[0], frame, 64);
	frame[6] = 1; /* a group as a source */
	wire_put(&n->w, &n->ends[0], frame, 64);
	wire_run(&n->w);
	net_quiet(n);
	assert_int_equal(net_drops(n, 0, PMD_DROP_SPOOFED), 1);
	assert_int_equal(net_drops(n, 0, PMD_DROP_MALFORMED), 1);

	/* A further address is the port's own; frames to it arrive. */
	memcpy(p.macs[p.mac_count], p.macs[0], 6);
	p.macs[p.mac_count++][5] = 77;
	net_policy_set(n, 0, &p);
	net_frame(frame, NET_B, 77, NULL, 64);
	wire_put(&n->w, &n->ends[0], frame, 64);
	net_frame(frame, 77, NET_C, NULL, 64);
	wire_put(&n->w, &n->ends[2], frame, 64);
	wire_run(&n->w);
	assert_int_equal(n->ends[1].out_count, 1);
	assert_int_equal(n->ends[0].out_count, 1);
	net_destroy(n);
}

/* Without the check a guest may use any address, is found by it, and still takes none of a policy. */
static void unchecked_port_is_learned_but_takes_nothing(void **state)
{
	struct net *n = net_create();
	struct policy p = net_policy(NET_A);
	struct switch_fdb_facts facts;
	uint8_t frame[64];

	p.spoofchk = false;
	net_policy_set(n, 0, &p);
	net_frame(frame, NET_B, 70, NULL, 64);
	wire_put(&n->w, &n->ends[0], frame, 64);
	net_frame(frame, NET_B, NET_C, NULL, 64);
	wire_put(&n->w, &n->ends[0], frame, 64);
	wire_run(&n->w);
	assert_int_equal(n->ends[1].out_count, 2);
	net_clear(n);
	net_send(n, 70, NET_B, NULL);
	net_got(n, &n->ends[0], 70, NET_B, NULL);
	net_send(n, NET_C, NET_B, NULL);
	net_got(n, &n->ends[2], NET_C, NET_B, NULL);
	net_quiet(n);
	switch_fdb_facts(n->w.sw, &facts);
	assert_int_equal(facts.moves, 0);
	net_send(n, NET_B, 70, NULL); /* seen on the wire now */
	net_clear(n);
	switch_fdb_facts(n->w.sw, &facts);
	assert_int_equal(facts.moves, 1);
	assert_int_equal(facts.fixed, 3);
	net_destroy(n);
}

static void addresses_are_listed(void **state)
{
	struct net *n = net_create();
	struct switch_address list[8];
	uint32_t cursor = 0, wire = 0, fixed = 0;
	size_t count;

	net_send(n, NET_A, NET_FAR, NULL);
	n->w.now += 7000000000;
	wire_run(&n->w);
	count = switch_fdb_list(n->w.sw, &cursor, list, 2);
	assert_int_equal(count, 2);
	count += switch_fdb_list(n->w.sw, &cursor, list + 2, 6);
	assert_int_equal(count, 4);
	assert_int_equal(switch_fdb_list(n->w.sw, &cursor, list, 8), 0);
	for (size_t i = 0; i < count; i++) {
		wire += list[i].at_uplink;
		fixed += list[i].fixed;
		if (list[i].at_uplink) {
			assert_string_equal(list[i].at, "nic0");
			assert_int_equal(list[i].mac[5], NET_FAR);
			assert_int_equal(list[i].age_s, 7);
		} else {
			assert_int_equal(list[i].at[3], 'a' + list[i].mac[5] - NET_A);
		}
	}
	assert_int_equal(wire, 1);
	assert_int_equal(fixed, 3);
	net_destroy(n);
}

static void address_of_another_port_is_refused(void **state)
{
	struct net *n = net_create();
	struct policy p = net_policy(NET_A), both = net_policy(88);
	struct err e = { 0 };

	memcpy(both.macs[both.mac_count++], net_policy(NET_B).macs[0], 6);
	assert_int_equal(switch_port_set_policy(n->ports[0], &both, &e), -EEXIST);
	assert_string_equal(e.code, "mac-in-use");
	assert_non_null(strstr(e.text, "vm/b"));
	/* Nothing of it was taken: the old address is there, the new one is not. */
	net_send(n, NET_A, NET_C, NULL);
	net_got(n, &n->ends[0], NET_A, NET_C, NULL);
	net_send(n, 88, NET_C, NULL);
	net_got(n, &n->up, 88, NET_C, NULL);
	net_quiet(n);
	/* In another VLAN it is another station's. */
	p = net_policy(NET_B);
	p.vlan = POLICY_VLAN_ACCESS;
	p.vlan_ids[p.vlan_count++] = 5;
	net_policy_set(n, 0, &p);
	switch_port_remove(n->ports[0]);
	net_send(n, NET_A, NET_C, NULL);
	net_got(n, &n->up, NET_A, NET_C, NULL);
	net_destroy(n);
}

static void second_uplink_stands_by(void **state)
{
	struct net *n = net_create();
	struct wire_end spare;
	struct switch_uplink *uplink;
	uint8_t frame[64];

	wire_end_init(&spare);
	assert_int_equal(switch_uplink_add(n->w.sw, "nic1", &spare.ep, &uplink, NULL), 0);
	net_send(n, NET_FAR, NET_A, NULL);
	net_got(n, &n->up, NET_FAR, NET_A, NULL);
	assert_string_equal(switch_uplink_active(n->w.sw), "nic0");
	net_frame(frame, NET_ALL, NET_FAR, NULL, 64);
	wire_put(&n->w, &spare, frame, 64); /* it hears the same broadcasts: not twice to guests */
	wire_run(&n->w);
	net_quiet(n);

	n->up.ep.link_up = false;
	net_send(n, NET_FAR, NET_A, NULL);
	net_got(n, &spare, NET_FAR, NET_A, NULL);
	wire_put(&n->w, &spare, frame, 64);
	wire_run(&n->w);
	assert_int_equal(n->ends[0].out_count, 1);
	assert_string_equal(switch_uplink_active(n->w.sw), "nic1");
	net_clear(n);

	spare.ep.link_up = false;
	net_send(n, NET_FAR, NET_A, NULL);
	assert_null(switch_uplink_active(n->w.sw));
	assert_int_equal(net_drops(n, 0, PMD_DROP_LINK_DOWN), 1);
	net_send(n, NET_B, NET_A, NULL); /* guests still have each other */
	net_got(n, &n->ends[1], NET_B, NET_A, NULL);
	net_quiet(n);
	wire_end_clear(&spare);
	net_destroy(n);
}

static void reserved_addresses_end_here(void **state)
{
	struct net *n = net_create();
	struct policy p = net_policy(NET_A);
	uint8_t frame[64] = { 0x01, 0x80, 0xC2, 0, 0, 0x0E, 2, 0, 0, 0, 0, NET_A, 0x88, 0xCC };

	wire_put(&n->w, &n->ends[0], frame, 64);
	wire_run(&n->w);
	net_quiet(n);
	assert_int_equal(net_drops(n, 0, PMD_DROP_RESERVED), 1);
	frame[11] = NET_FAR;
	wire_put(&n->w, &n->up, frame, 64);
	wire_run(&n->w);
	net_quiet(n);

	/* Who is trusted with everything has LLDP and LACP, both ways, and no pause frames. */
	p.trust = POLICY_TRUST_PROMISC;
	net_policy_set(n, 0, &p);
	wire_put(&n->w, &n->up, frame, 64);
	frame[11] = NET_A;
	wire_put(&n->w, &n->ends[0], frame, 64);
	frame[5] = 1;
	wire_put(&n->w, &n->ends[0], frame, 64);
	wire_run(&n->w);
	assert_int_equal(n->up.out_count, 1);
	assert_int_equal(n->ends[0].out_count, 1);
	assert_int_equal(n->ends[1].out_count, 0);
	assert_int_equal(net_drops(n, 0, PMD_DROP_RESERVED), 2);
	net_destroy(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_station_alone_gets_it),
		cmocka_unit_test(unknown_station_is_on_the_wire),
		cmocka_unit_test(broadcast_reaches_all_but_its_sender),
		cmocka_unit_test(nothing_goes_back),
		cmocka_unit_test(spoofed_source_is_dropped),
		cmocka_unit_test(unchecked_port_is_learned_but_takes_nothing),
		cmocka_unit_test(addresses_are_listed),
		cmocka_unit_test(address_of_another_port_is_refused),
		cmocka_unit_test(second_uplink_stands_by),
		cmocka_unit_test(reserved_addresses_end_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
