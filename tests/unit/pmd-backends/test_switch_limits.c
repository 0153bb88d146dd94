// SPDX-License-Identifier: BSD-3-Clause
/* Rates, storms, sizes, links, full receivers, shares of a full wire, and that all of it is counted. */
#include "switch_net.h"

#define MS 1000000ULL

/* Keeps `from` full of such frames for so long; returns what came out of `to`, which is emptied as it goes. */
static uint64_t bytes_over(struct net *n, struct wire_end *from, struct wire_end *to, size_t len,
			   unsigned int ms)
{
	uint8_t who = from == &n->up ? NET_FAR : NET_A, frame[1600];
	uint64_t bytes = 0;

	net_frame(frame, who == NET_A ? NET_FAR : NET_A, who, NULL, len);
	for (unsigned int step = 0; step < ms * 10; step++) {
		n->w.now += MS / 10;
		for (unsigned int round = 0; round < 8; round++) {
			while (from->in_count - from->in_at < 64) {
				wire_end_clear(to);
				wire_put(&n->w, from, frame, len);
				if (from->in_count == WIRE_LIST)
					from->in_count = 0;
			}
			(void)switch_poll(n->w.sw, n->w.now);
			for (uint32_t i = 0; i < to->out_count; i++)
				bytes += rte_pktmbuf_pkt_len(to->out[i]);
			wire_end_clear(to);
		}
		net_clear(n);
	}
	return bytes;
}

static void check_rate(bool to_guest, uint64_t rate_bps, size_t len)
{
	struct net *n = net_create();
	struct policy p = net_policy(NET_A);
	struct wire_end *from = to_guest ? &n->up : &n->ends[0];
	struct wire_end *to = to_guest ? &n->ends[0] : &n->up;
	uint64_t got, want = rate_bps / 8;

	p.rate_bps = rate_bps;
	net_policy_set(n, 0, &p);
	/* At once at most the burst of 20 ms, then the rate. */
	got = bytes_over(n, from, to, len, 1);
	assert_in_range(got, 0, want / 1000 * 21 + 2 * len);
	(void)bytes_over(n, from, to, len, 40);
	got = bytes_over(n, from, to, len, 200) * 5;
	assert_in_range(got, want - want / 20, want + want / 20);
	/* From a guest nothing is dropped: it is read slower. */
	assert_int_equal(net_drops(n, 0, PMD_DROP_RATE) != 0, to_guest);
	net_destroy(n);
}

static void rate_from_guest(void **state)
{
	check_rate(false, 100000000, 1500);
	check_rate(false, 20000000, 64);
}

static void rate_to_guest(void **state)
{
	check_rate(true, 100000000, 1500);
	check_rate(true, 20000000, 64);
}

static void storm_is_limited_unicast_is_not(void **state)
{
	struct net *n = net_create();
	struct policy p = net_policy(NET_A);
	uint8_t group[64], one[64];
	uint64_t broadcasts = 0;

	p.storm_fps = 100;
	net_policy_set(n, 0, &p);
	net_frame(group, NET_ALL, NET_A, NULL, 64);
	net_frame(one, NET_B, NET_A, NULL, 64);
	for (unsigned int ms = 0; ms < 2000; ms++) {
		n->w.now += MS;
		wire_put(&n->w, &n->ends[0], group, 64);
		wire_put(&n->w, &n->ends[0], one, 64);
		wire_run(&n->w);
		broadcasts += n->ends[2].out_count;
		assert_int_equal(n->ends[1].out_count, 1 + n->ends[2].out_count);
		net_clear(n);
	}
	assert_in_range(broadcasts, 190, 210);
	assert_int_equal(net_drops(n, 0, PMD_DROP_STORM), 2000 - broadcasts);
	net_destroy(n);
}

static void mtu_both_ways(void **state)
{
	static uint8_t frame[9100], got[9100];
	struct net *n = net_create();
	struct policy p = net_policy(NET_A);

	wire_put(&n->w, &n->ends[0], frame, net_frame(frame, NET_FAR, NET_A, NULL, 1514));
	wire_put(&n->w, &n->ends[0], frame, net_frame(frame, NET_FAR, NET_A, NULL, 1515));
	wire_put(&n->w, &n->up, frame, net_frame(frame, NET_A, NET_FAR, NULL, 1514));
	wire_put(&n->w, &n->up, frame, net_frame(frame, NET_A, NET_FAR, NULL, 1515));
	wire_run(&n->w);
	assert_int_equal(n->up.out_count, 1);
	assert_int_equal(n->ends[0].out_count, 1);
	assert_int_equal(net_drops(n, 0, PMD_DROP_OVERSIZE), 2);
	net_clear(n);

	p.mtu = 9000;
	net_policy_set(n, 0, &p);
	wire_put(&n->w, &n->ends[0], frame, net_frame(frame, NET_FAR, NET_A, NULL, 9014));
	wire_run(&n->w);
	assert_int_equal(wire_bytes(&n->up, 0, got, sizeof(got)), 9014);
	assert_memory_equal(got, frame, 9014);
	net_clear(n);
	n->up.ep.mtu = 1500;
	wire_put(&n->w, &n->ends[0], frame, 9014);
	wire_put(&n->w, &n->ends[0], frame, net_frame(frame, NET_B, NET_A, NULL, 9014));
	wire_run(&n->w);
	net_quiet(n);
	assert_int_equal(net_drops(n, 0, PMD_DROP_OVERSIZE),
			 3); /* the wire's, told to its sender */
	assert_int_equal(net_drops(n, 1, PMD_DROP_OVERSIZE), 1);
	net_destroy(n);
}

static void link_down_lets_nothing_pass(void **state)
{
	struct net *n = net_create();
	struct policy p = net_policy(NET_A);

	p.link = POLICY_LINK_DOWN;
	net_policy_set(n, 0, &p);
	net_send(n, NET_FAR, NET_A, NULL);
	net_send(n, NET_A, NET_FAR, NULL);
	net_send(n, NET_A, NET_B, NULL);
	net_quiet(n);
	assert_int_equal(net_drops(n, 0, PMD_DROP_LINK_DOWN), 3);
	n->ends[1].ep.link_up = false; /* a guest that is not there */
	net_send(n, NET_B, NET_C, NULL);
	net_quiet(n);
	assert_int_equal(net_drops(n, 1, PMD_DROP_LINK_DOWN), 1);
	net_destroy(n);
}

/* Who does not read loses his own frames, and nobody else's. */
static void full_guest_stops_nobody(void **state)
{
	struct net *n = net_create();
	struct switch_counters c;

	n->ends[1].room = 10;
	for (int i = 0; i < 100; i++) {
		net_send(n, NET_B, NET_A, NULL);
		net_send(n, NET_C, NET_A, NULL);
	}
	assert_int_equal(n->ends[1].out_count, 10);
	assert_int_equal(n->ends[2].out_count, 100);
	assert_int_equal(net_drops(n, 1, PMD_DROP_RX_FULL), 90);
	switch_port_counters(n->ports[1], &c);
	assert_int_equal(c.to.packets, 10);
	assert_int_equal(c.to.bytes, 1000);
	switch_port_counters(n->ports[0], &c);
	assert_int_equal(c.from.packets, 200);
	assert_int_equal(c.from.bytes, 20000);
	assert_int_equal(c.drops[PMD_DROP_RX_FULL], 0);
	net_destroy(n);
}

static void full_wire_is_a_bounded_wait(void **state)
{
	struct net *n = net_create();
	struct switch_counters c;

	n->up.room = 0;
	for (int i = 0; i < 1000; i++)
		net_send(n, NET_FAR, NET_A, NULL);
	net_send(n, NET_B, NET_A, NULL); /* beside the wire all goes on */
	net_got(n, &n->ends[1], NET_B, NET_A, NULL);
	assert_int_equal(net_drops(n, 0, PMD_DROP_UPLINK_FULL), 1000 - 512);
	n->up.room = UINT32_MAX;
	wire_run(&n->w);
	assert_int_equal(n->up.out_count, 512);
	switch_uplink_counters(n->uplink, &c);
	assert_int_equal(c.to.packets, 512);
	assert_int_equal(c.to.bytes, 51200);

	/* A cable that is pulled empties what waits: it would be old. */
	n->up.room = 0;
	net_send(n, NET_FAR, NET_A, NULL);
	n->up.ep.link_up = false;
	wire_run(&n->w);
	assert_int_equal(net_drops(n, 0, PMD_DROP_LINK_DOWN), 1);
	net_destroy(n);
}

/* Of a wire that takes `per_ms` frames a millisecond, each port wants all; counts what each has after 500 ms. */
static void share_of_wire(struct net *n, uint32_t per_ms, const size_t *lens, uint64_t *bytes)
{
	uint8_t frame[1600];

	memset(bytes, 0, NET_PORTS * sizeof(*bytes));
	for (unsigned int ms = 0; ms < 500; ms++) {
		n->w.now += MS;
		for (uint8_t i = 0; i < NET_PORTS; i++)
			for (unsigned int k = 0; k < 64; k++)
				wire_put(&n->w, &n->ends[i], frame,
					 net_frame(frame, NET_FAR, NET_A + i, NULL, lens[i]));
		n->up.room = per_ms;
		wire_run(&n->w);
		for (uint32_t k = 0; k < n->up.out_count; k++) {
			const uint8_t *p = rte_pktmbuf_mtod(n->up.out[k], const uint8_t *);

			bytes[p[11] - NET_A] += rte_pktmbuf_pkt_len(n->up.out[k]);
		}
		net_clear(n);
	}
}

static void full_wire_is_shared_in_turns(void **state)
{
	static const size_t lens[NET_PORTS] = { 1500, 1500, 500 };
	struct net *n = net_create();
	uint64_t bytes[NET_PORTS], all;

	share_of_wire(n, 20, lens, bytes);
	all = bytes[0] + bytes[1] + bytes[2];
	for (int i = 0; i < NET_PORTS; i++) /* small frames have as much as large ones */
		assert_in_range(bytes[i], all * 30 / 100, all * 37 / 100);
	net_destroy(n);
}

static void min_rate_is_had_on_a_full_wire(void **state)
{
	static const size_t lens[NET_PORTS] = { 1500, 1500, 1500 };
	struct net *n = net_create();
	struct policy p = net_policy(NET_B);
	uint64_t bytes[NET_PORTS], want;

	/* 20 frames a millisecond are 240 Mb/s; b has 160 of them for sure. */
	p.min_rate_bps = 160000000;
	net_policy_set(n, 1, &p);
	share_of_wire(n, 20, lens, bytes);
	want = p.min_rate_bps / 8 / 2;
	assert_true(bytes[1] >= want - want / 20);
	assert_in_range(bytes[0], bytes[2] * 95 / 100, bytes[2] * 105 / 100);
	assert_true(bytes[0] > 500 * 1500);
	net_destroy(n);
}

static void order_is_kept_over_a_full_wire(void **state)
{
	struct net *n = net_create();
	struct policy p = net_policy(NET_A);
	uint8_t frame[100];
	uint32_t next = 0;

	p.min_rate_bps = 1000000;
	net_policy_set(n, 0, &p);
	net_frame(frame, NET_FAR, NET_A, NULL, 100);
	for (uint32_t i = 0; i < 300; i++) {
		memcpy(frame + 20, &i, 4);
		wire_put(&n->w, &n->ends[0], frame, 100);
		n->up.room = i % 3;
		n->w.now += MS / 10;
		wire_run(&n->w);
	}
	n->up.room = UINT32_MAX;
	wire_run(&n->w);
	assert_int_equal(n->up.out_count, 300);
	for (uint32_t i = 0; i < 300; i++, next++)
		assert_memory_equal(rte_pktmbuf_mtod_offset(n->up.out[i], uint8_t *, 20), &next, 4);
	net_destroy(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rate_from_guest),
		cmocka_unit_test(rate_to_guest),
		cmocka_unit_test(storm_is_limited_unicast_is_not),
		cmocka_unit_test(mtu_both_ways),
		cmocka_unit_test(link_down_lets_nothing_pass),
		cmocka_unit_test(full_guest_stops_nobody),
		cmocka_unit_test(full_wire_is_a_bounded_wait),
		cmocka_unit_test(full_wire_is_shared_in_turns),
		cmocka_unit_test(min_rate_is_had_on_a_full_wire),
		cmocka_unit_test(order_is_kept_over_a_full_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
