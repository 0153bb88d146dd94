// SPDX-License-Identifier: BSD-3-Clause
/*
 * What senders leave to be done, times what receivers take: every frame that leaves is checked by sums of this file's
 * own. RFC 1071.
 */
#include "switch_net.h"

#include <errno.h>

#define TCP 6
#define UDP 17

struct shape {
	int ip; /* 4 or 6 */
	int proto;
	uint16_t mss; /* 0: no TSO */
	size_t payload;
	size_t options; /* bytes of IPv4 options or an IPv6 destination options header */
};

static uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint16_t be16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void be16_to(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t sum_of(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xFFFF) + (sum >> 16);
	return sum;
}

static size_t l3_len(const struct shape *s)
{
	return (s->ip == 4 ? 20 : 40) + s->options;
}

static size_t l4_len(const struct shape *s)
{
	return s->proto == TCP ? 32 : 8;
}

static uint8_t payload_byte(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8));
}

/* Sum of the pseudo header. */
static uint32_t pseudo(const uint8_t *ip, int version, int proto, size_t len)
{
	uint32_t sum = (uint32_t)proto + (uint32_t)len;

	return version == 4 ? sum_of(ip + 12, 8, sum) : sum_of(ip + 8, 32, sum);
}

static size_t frame_make(const struct shape *s, uint8_t dst, uint8_t *out)
{
	size_t l3 = l3_len(s), l4 = l4_len(s), bytes = l4 + s->payload;
	uint8_t *ip = out + 14, *t = ip + l3;

	net_frame(out, dst, NET_A, NULL, 14);
	memset(ip, 0, l3 + l4);
	if (s->ip == 4) {
		be16_to(out + 12, 0x0800);
		ip[0] = (uint8_t)(0x40 | l3 / 4);
		be16_to(ip + 2, l3 + bytes);
		be16_to(ip + 4, 0xFFFE);
		ip[8] = 64;
		ip[9] = (uint8_t)s->proto;
		memcpy(ip + 12, "\x0a\1\2\3\x0a\1\2\4", 8);
		memset(ip + 20, 1, s->options); /* no operation */
		be16_to(ip + 10, ~sum_of(ip, l3, 0) & 0xFFFF);
	} else {
		be16_to(out + 12, 0x86DD);
		ip[0] = 0x60;
		be16_to(ip + 4, s->options + bytes);
		ip[6] = s->options ? 60 : (uint8_t)s->proto;
		memset(ip + 8, 0x20, 31);
		ip[39] = 9;
		if (s->options) {
			ip[40] = (uint8_t)s->proto;
			ip[41] = (uint8_t)(s->options / 8 - 1);
			ip[42] = 1;
			ip[43] = (uint8_t)(s->options - 4);
		}
	}
	be16_to(t, 1000);
	be16_to(t + 2, 2000);
	if (s->proto == TCP) {
		memcpy(t + 4, "\xFF\xFF\xF0\0", 4);
		t[12] = 0x80;
		t[13] = 0x80 | 0x10 | 0x08 | 0x01; /* CWR, ACK, PSH, FIN */
		memset(t + 20, 1, 12);
		be16_to(t + 16, pseudo(ip, s->ip, TCP, bytes));
	} else {
		be16_to(t + 4, bytes);
		be16_to(t + 6, pseudo(ip, s->ip, UDP, bytes));
	}
	for (size_t i = 0; i < s->payload; i++)
		t[l4 + i] = payload_byte(i);
	return 14 + l3 + bytes;
}

static void request(struct rte_mbuf *m, const struct shape *s, bool older)
{
	if (!older) {
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE | (s->mss ? RTE_MBUF_F_RX_LRO : 0);
	} else {
		m->ol_flags |=
			(s->ip == 4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6) |
			(s->proto == TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM) |
			(s->mss ? RTE_MBUF_F_TX_TCP_SEG : 0);
		m->l2_len = 14;
		m->l3_len = 20;
	}
	m->tso_segsz = s->mss;
}

/* One frame that left: `done` bytes of payload were before it. Returns its payload. */
static size_t frame_check(const struct shape *s, const struct rte_mbuf *m, size_t done,
			  uint16_t index)
{
	static uint8_t buf[70000];
	size_t len = rte_pktmbuf_pkt_len(m), l3 = l3_len(s), l4 = l4_len(s);
	size_t payload = len - 14 - l3 - l4, bytes = l4 + payload;
	const uint8_t *p = rte_pktmbuf_read(m, 0, (uint32_t)len, buf), *ip = p + 14, *t = ip + l3;
	bool open = (m->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0, last = done + payload == s->payload;
	uint32_t sum = pseudo(ip, s->ip, s->proto, bytes);

	if (s->ip == 4) {
		assert_int_equal(be16_at(ip + 2), l3 + bytes);
		assert_int_equal(sum_of(ip, l3, 0), 0xFFFF);
		assert_int_equal(be16_at(ip + 4), (uint16_t)(0xFFFE + index));
	} else {
		assert_int_equal(be16_at(ip + 4), s->options + bytes);
	}
	if (open) { /* for the receiver to finish: virtio 1.2, 5.1.6.2 */
		assert_int_equal(be16_at(t + (s->proto == TCP ? 16 : 6)), sum);
		assert_int_equal(m->l2_len, 14);
		assert_int_equal(m->l3_len, l3);
		assert_int_equal(m->l4_len, l4);
	} else {
		assert_int_equal(sum_of(t, bytes, sum), 0xFFFF);
	}
	if (s->proto == TCP) {
		assert_int_equal(be32_at(t + 4), 0xFFFFF000U + (uint32_t)done);
		assert_int_equal(t[13] & 0x80, index == 0 ? 0x80 : 0);
		assert_int_equal(t[13] & 0x09, last ? 0x09 : 0);
	}
	for (size_t i = 0; i < payload; i++)
		assert_int_equal(t[l4 + i], payload_byte(done + i));
	return payload;
}

static void flow_check(struct net *n, struct wire_end *to, const struct shape *s)
{
	uint32_t tso = s->ip == 4 ? ENDPOINT_TSO4 : ENDPOINT_TSO6;
	bool whole = !s->mss || (s->payload <= s->mss);
	size_t done = 0;

	if (s->mss && (to->ep.offloads & tso) && (to->ep.offloads & ENDPOINT_CSUM) &&
	    !(s->ip == 6 && s->options))
		whole = true;
	assert_int_equal(to->out_count, whole ? 1 : (s->payload + s->mss - 1) / s->mss);
	for (uint32_t i = 0; i < to->out_count; i++) {
		const struct rte_mbuf *m = to->out[i];

		if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) != 0)
			assert_true(to->ep.offloads & ENDPOINT_CSUM);
		if ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0) {
			assert_true(to->ep.offloads & tso);
			assert_int_equal(m->tso_segsz, s->mss);
		} else {
			assert_true(rte_pktmbuf_pkt_len(m) <= 1514);
		}
		if (!(to->ep.offloads & ENDPOINT_SEGMENTS))
			assert_int_equal(m->nb_segs, 1);
		done += frame_check(s, m, done, (uint16_t)i);
	}
	assert_int_equal(done, s->payload);
	net_clear(n);
}

static const struct shape shapes[] = {
	{ 4, TCP, 0, 1000, 0 },	    { 4, UDP, 0, 1001, 0 },	{ 6, TCP, 0, 999, 0 },
	{ 6, UDP, 0, 1, 0 },	    { 4, TCP, 0, 0, 8 },	{ 6, UDP, 0, 77, 16 },
	{ 4, TCP, 1448, 60000, 0 }, { 6, TCP, 1428, 60001, 0 }, { 4, TCP, 1000, 3000, 8 },
	{ 6, TCP, 1000, 3001, 16 }, { 4, TCP, 1448, 500, 0 },	{ 4, TCP, 1448, 0, 0 },
	{ 4, TCP, 48, 4801, 0 },
};
static const uint32_t receivers[] = {
	ENDPOINT_SEGMENTS,
	ENDPOINT_SEGMENTS | ENDPOINT_CSUM,
	ENDPOINT_SEGMENTS | ENDPOINT_CSUM | ENDPOINT_TSO4,
	ENDPOINT_SEGMENTS | ENDPOINT_CSUM | ENDPOINT_TSO6,
	WIRE_ALL,
	0, /* one mbuf a frame */
};

static void every_sender_to_every_receiver(void **state)
{
	static uint8_t frame[70000];
	struct net *n = net_create();

	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		for (size_t r = 0; r < 2 * ARRAY_SIZE(receivers); r++) {
			bool wire = r >= ARRAY_SIZE(receivers),
			     older = (i + r) % 2 && !shapes[i].options;
			struct wire_end *to = wire ? &n->up : &n->ends[1];
			size_t len = frame_make(&shapes[i], wire ? NET_FAR : NET_B, frame);

			to->ep.offloads = receivers[r % ARRAY_SIZE(receivers)];
			to->ep.mtu = wire ? 1500 : 0;
			request(wire_put(&n->w, &n->ends[0], frame, len), &shapes[i],
				older && shapes[i].ip == 4);
			wire_run(&n->w);
			flow_check(n, to, &shapes[i]);
		}
	}
	net_destroy(n);
}

/* A frame that is complete is nobody's to change. */
static void complete_frames_stay_as_they_are(void **state)
{
	const struct shape s = { 4, UDP, 0, 64, 0 };
	struct net *n = net_create();
	uint8_t frame[256], got[256];
	size_t len = frame_make(&s, NET_B, frame);

	wire_put(&n->w, &n->ends[0], frame, len);
	wire_run(&n->w);
	assert_int_equal(wire_bytes(&n->ends[1], 0, got, sizeof(got)), len);
	assert_memory_equal(got, frame, len);
	net_destroy(n);
}

static void tagged_and_padded(void **state)
{
	const struct shape s = { 4, TCP, 1000, 2500, 0 }, small = { 4, UDP, 0, 3, 0 };
	struct net *n = net_create();
	struct policy p = net_policy(NET_A);
	static uint8_t frame[4000];
	uint8_t got[1600];

	p.vlan = POLICY_VLAN_ACCESS;
	p.vlan_ids[p.vlan_count++] = 100;
	net_policy_set(n, 0, &p);
	request(wire_put(&n->w, &n->ends[0], frame, frame_make(&s, NET_FAR, frame)), &s, false);
	wire_run(&n->w);
	assert_int_equal(n->up.out_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		size_t len = wire_bytes(&n->up, i, got, sizeof(got)), bytes = len - 18 - 20;

		assert_int_equal(be32_at(got + 12), TAG(0x8100, 100));
		assert_int_equal(sum_of(got + 38, bytes, pseudo(got + 18, 4, TCP, bytes)), 0xFFFF);
	}
	net_clear(n);
	/* What pads a small frame is no part of the sum. */
	memset(frame, 0xEE, 64);
	(void)frame_make(&small, NET_FAR, frame);
	request(wire_put(&n->w, &n->ends[0], frame, 64), &small, false);
	wire_run(&n->w);
	assert_int_equal(wire_bytes(&n->up, 0, got, sizeof(got)), 68);
	assert_int_equal(sum_of(got + 38, 11, pseudo(got + 18, 4, UDP, 11)), 0xFFFF);
	assert_int_equal(got[67], 0xEE);
	net_destroy(n);
}

/* Requests that contradict the frame: bytes to change in a good one, then what is asked for. */
static const struct {
	const char *what;
	struct shape s;
	size_t at;
	uint8_t value;
	size_t cut; /* bytes of the frame that are missing */
} hostile[] = {
	{ "no room between headers", { 4, TCP, 1, 3000, 0 }, 0, 2, 0 },
	{ "segments of 47 bytes", { 4, TCP, 47, 3000, 0 }, 0, 2, 0 },
	{ "ends in the TCP header", { 4, TCP, 0, 0, 0 }, 0, 2, 1 },
	{ "ends in the IP header", { 4, TCP, 0, 0, 0 }, 0, 2, 40 },
	{ "IP header of 4 bytes", { 4, TCP, 0, 100, 0 }, 14, 0x41, 0 },
	{ "IP header of 60 bytes", { 4, UDP, 0, 1, 0 }, 14, 0x4F, 0 },
	{ "IPv6 in IPv4's type", { 4, TCP, 0, 100, 0 }, 14, 0x65, 0 },
	{ "longer than the frame", { 4, TCP, 0, 100, 0 }, 16, 0xFF, 0 },
	{ "shorter than its headers", { 4, TCP, 0, 0, 0 }, 17, 30, 0 },
	{ "TCP header of 4 bytes", { 4, TCP, 0, 100, 0 }, 46, 0x10, 0 },
	{ "TCP header of 60 bytes", { 4, TCP, 0, 1, 0 }, 46, 0xF0, 0 },
	{ "a fragment", { 4, TCP, 0, 100, 0 }, 20, 0x20, 0 },
	{ "a later fragment", { 4, TCP, 0, 100, 0 }, 21, 0x01, 0 },
	{ "neither TCP nor UDP", { 4, TCP, 0, 100, 0 }, 23, 132, 0 },
	{ "TSO of UDP", { 4, UDP, 1000, 3000, 0 }, 0, 2, 0 },
	{ "no IP", { 4, TCP, 0, 100, 0 }, 12, 0x99, 0 },
	{ "an endless header", { 6, UDP, 0, 10, 16 }, 55, 0xFF, 0 },
	{ "an IPv6 fragment", { 6, TCP, 0, 10, 0 }, 20, 44, 0 },
	{ "TSO beyond IP's length", { 4, TCP, 1000, 3000, 0 }, 17, 0x10, 0 },
};

static void hostile_requests_are_malformed(void **state)
{
	static uint8_t frame[4000];
	struct net *n = net_create();

	n->ends[1].ep.offloads = WIRE_ALL;
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		size_t len = frame_make(&hostile[i].s, NET_B, frame);

		frame[hostile[i].at] = hostile[i].value;
		request(wire_put(&n->w, &n->ends[0], frame, len - hostile[i].cut), &hostile[i].s,
			false);
		wire_run(&n->w);
		if (net_drops(n, 0, PMD_DROP_MALFORMED) != i + 1 || n->ends[1].out_count)
			fail_msg("passed: %s", hostile[i].what);
	}
	net_destroy(n);
}

/* Segments larger than the MTU would be frames that nobody takes. */
static void large_segments_are_oversize(void **state)
{
	const struct shape s = { 4, TCP, 1449, 5000, 0 };
	static uint8_t frame[6000];
	struct net *n = net_create();

	n->ends[1].ep.offloads = WIRE_ALL;
	request(wire_put(&n->w, &n->ends[0], frame, frame_make(&s, NET_B, frame)), &s, false);
	wire_run(&n->w);
	net_quiet(n);
	assert_int_equal(net_drops(n, 0, PMD_DROP_OVERSIZE), 1);
	net_destroy(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sender_to_every_receiver),
		cmocka_unit_test(complete_frames_stay_as_they_are),
		cmocka_unit_test(tagged_and_padded),
		cmocka_unit_test(hostile_requests_are_malformed),
		cmocka_unit_test(large_segments_are_oversize),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
