/* SPDX-License-Identifier: BSD-3-Clause */
/* Three ports (a, b, c) and an uplink around one switch, and frames for them. */
#ifndef VIADUCT_TESTS_UNIT_PMD_BACKENDS_SWITCH_NET_H
#define VIADUCT_TESTS_UNIT_PMD_BACKENDS_SWITCH_NET_H

#include "../../fake/switch_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define NET_PORTS 3
#define NET_A	  1 /* last byte of the MAC of a port */
#define NET_B	  2
#define NET_C	  3
#define NET_FAR	  99 /* of a station behind the uplink */
#define NET_ALL	  0xFF /* broadcast */

struct net {
	struct wire w;
	struct wire_end ends[NET_PORTS];
	struct wire_end up;
	struct switch_port *ports[NET_PORTS];
	struct switch_uplink *uplink;
};

static inline struct policy net_policy(uint8_t mac)
{
	struct policy p = { .mac_count = 1, .vlan_tpid = 0x8100, .mtu = 1500, .spoofchk = true };

	p.macs[0][0] = 2;
	p.macs[0][5] = mac;
	return p;
}

static inline void net_port_add(struct net *n, unsigned int i, const struct policy *policy)
{
	char name[8];
	struct switch_port_config cfg = { .name = name, .ep = &n->ends[i].ep, .policy = policy };

	snprintf(name, sizeof(name), "vm/%c", (char)('a' + i));
	assert_int_equal(switch_port_add(n->w.sw, &cfg, &n->ports[i], NULL), 0);
}

static inline struct net *net_create(void)
{
	struct net *n = calloc(1, sizeof(*n));

	assert_non_null(n);
	wire_create(&n->w);
	for (unsigned int i = 0; i < NET_PORTS; i++) {
		struct policy p = net_policy((uint8_t)(NET_A + i));

		wire_end_init(&n->ends[i]);
		net_port_add(n, i, &p);
	}
	wire_end_init(&n->up);
	assert_int_equal(switch_uplink_add(n->w.sw, "nic0", &n->up.ep, &n->uplink, NULL), 0);
	return n;
}

static inline void net_clear(struct net *n)
{
	for (unsigned int i = 0; i < NET_PORTS; i++)
		wire_end_clear(&n->ends[i]);
	wire_end_clear(&n->up);
}

/* Nothing that went in is lost: each mbuf is back in the pool. */
static inline void net_destroy(struct net *n)
{
	net_clear(n);
	assert_int_equal(wire_destroy(&n->w), 0);
	free(n);
}

static inline void net_policy_set(struct net *n, unsigned int i, const struct policy *policy)
{
	assert_int_equal(switch_port_set_policy(n->ports[i], policy, NULL), 0);
}

static inline uint64_t net_drops(const struct net *n, unsigned int i, enum pmd_drop reason)
{
	struct switch_counters c;

	switch_port_counters(n->ports[i], &c);
	return c.drops[reason];
}

/* A frame with up to two tags (0: none; TPID in the upper half), filled to `len` bytes with a pattern. */
static inline size_t net_frame(uint8_t *out, uint8_t dst, uint8_t src, const uint32_t *tags,
			       size_t len)
{
	size_t at = 12;

	memset(out, 0, 12);
	if (dst == NET_ALL)
		memset(out, 0xFF, 6);
	else
		out[0] = 2;
	out[5] = dst;
	out[6] = 2;
	out[11] = src;
	for (unsigned int i = 0; tags && i < 2 && tags[i] != 0; i++, at += 4) {
		out[at] = (uint8_t)(tags[i] >> 24);
		out[at + 1] = (uint8_t)(tags[i] >> 16);
		out[at + 2] = (uint8_t)(tags[i] >> 8);
		out[at + 3] = (uint8_t)tags[i];
	}
	out[at++] = 0x88; /* IEEE 802 local experimental */
	out[at++] = 0xB5;
	for (size_t i = 0; at < len; i++)
		out[at++] = (uint8_t)(i * 7 + src);
	return len;
}

static inline struct wire_end *net_end(struct net *n, uint8_t who)
{
	return who >= NET_A && who <= NET_C ? &n->ends[who - NET_A] : &n->up;
}

/* `src` sends, from its own end, a frame of 100 bytes beside tags. */
static inline void net_send(struct net *n, uint8_t dst, uint8_t src, const uint32_t *tags)
{
	uint8_t frame[128];
	size_t len = 100;

	for (unsigned int i = 0; tags && i < 2 && tags[i] != 0; i++)
		len += 4;
	wire_put(&n->w, net_end(n, src), frame, net_frame(frame, dst, src, tags, len));
	wire_run(&n->w);
}

/* The last frame that came out there is exactly this one; it is taken away. */
static inline void net_got(struct net *n, struct wire_end *end, uint8_t dst, uint8_t src,
			   const uint32_t *tags)
{
	uint8_t want[128], got[256];
	size_t len = 100;

	for (unsigned int i = 0; tags && i < 2 && tags[i] != 0; i++)
		len += 4;
	net_frame(want, dst, src, tags, len);
	assert_int_not_equal(end->out_count, 0);
	assert_int_equal(wire_bytes(end, end->out_count - 1, got, sizeof(got)), len);
	assert_memory_equal(got, want, len);
	rte_pktmbuf_free(end->out[--end->out_count]);
}

static inline void net_quiet(struct net *n)
{
	for (unsigned int i = 0; i < NET_PORTS; i++)
		assert_int_equal(n->ends[i].out_count, 0);
	assert_int_equal(n->up.out_count, 0);
}

#define TAG(tpid, tci) ((uint32_t)(tpid) << 16 | (tci))

#endif
