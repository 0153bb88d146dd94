// SPDX-License-Identifier: BSD-3-Clause
#include "switch_wire.h"

#include <rte_eal.h>
#include <rte_mempool.h>

#include <stdio.h>
#include <stdlib.h>

#define POOL_FRAMES 8191
#define POOL_ROOM   2176

static void need(bool fact, const char *what)
{
	if (!fact) {
		fprintf(stderr, "switch_wire: %s\n", what);
		abort();
	}
}

void wire_eal_start(void)
{
	static bool started;
	char *argv[] = { "test", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry",
			 "-m",	 "128",	      "-l",	     "0",	 "--log-level=3" };

	if (started)
		return;
	need(rte_eal_init(ARRAY_SIZE(argv), argv) >= 0, "EAL does not start");
	started = true;
}

void wire_create(struct wire *w)
{
	static unsigned int made;
	struct switch_config cfg = { .name = "net", .hz = 1000000000 };
	char name[32];

	wire_eal_start();
	*w = (struct wire){ .now = 1000000000 };
	snprintf(name, sizeof(name), "wire%u", made++);
	w->pool = rte_pktmbuf_pool_create(name, POOL_FRAMES, 0, 0, POOL_ROOM, SOCKET_ID_ANY);
	need(w->pool != NULL, "no mbufs");
	cfg.pool = w->pool;
	need(switch_create(&cfg, &w->sw, NULL) == 0, "no switch");
	(void)switch_poll(w->sw, w->now);
}

unsigned int wire_destroy(struct wire *w)
{
	unsigned int left;

	switch_destroy(w->sw);
	left = rte_mempool_in_use_count(w->pool);
	rte_mempool_free(w->pool);
	return left;
}

static uint16_t end_receive(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	struct wire_end *end = container_of(ep, struct wire_end, ep);
	uint16_t count = 0;

	while (count < n && end->in_at < end->in_count)
		frames[count++] = end->in[end->in_at++];
	if (end->in_at == end->in_count)
		end->in_at = end->in_count = 0;
	return count;
}

static uint16_t end_send(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	struct wire_end *end = container_of(ep, struct wire_end, ep);
	uint16_t count = 0;

	while (count < n && end->room > 0 && end->out_count < WIRE_LIST) {
		end->out[end->out_count++] = frames[count++];
		end->room--;
	}
	return count;
}

void wire_end_init(struct wire_end *end)
{
	static const struct endpoint_ops ops = { .receive = end_receive, .send = end_send };

	memset(end, 0, sizeof(*end));
	end->ep = (struct endpoint){ .ops = &ops, .offloads = ENDPOINT_SEGMENTS, .link_up = true };
	end->room = UINT32_MAX;
}

void wire_end_clear(struct wire_end *end)
{
	while (end->in_at < end->in_count)
		rte_pktmbuf_free(end->in[end->in_at++]);
	while (end->out_count > 0)
		rte_pktmbuf_free(end->out[--end->out_count]);
	end->in_at = end->in_count = 0;
}

struct rte_mbuf *wire_put(struct wire *w, struct wire_end *end, const void *bytes, size_t len)
{
	struct rte_mbuf *first = NULL, *m;
	size_t at = 0;

	do {
		uint16_t part;

		m = rte_pktmbuf_alloc(w->pool);
		need(m && end->in_count < WIRE_LIST, "too many frames");
		part = (uint16_t)RTE_MIN(len - at, (size_t)rte_pktmbuf_tailroom(m));
		memcpy(rte_pktmbuf_append(m, part), (const uint8_t *)bytes + at, part);
		at += part;
		if (!first)
			first = m;
		else
			need(rte_pktmbuf_chain(first, m) == 0, "too long a frame");
	} while (at < len);
	end->in[end->in_count++] = first;
	return first;
}

void wire_run(struct wire *w)
{
	while (switch_poll(w->sw, w->now) != 0)
		;
}

size_t wire_bytes(const struct wire_end *end, uint32_t n, uint8_t *out, size_t cap)
{
	const void *p;
	uint32_t len;

	need(n < end->out_count, "no such frame");
	len = rte_pktmbuf_pkt_len(end->out[n]);
	need(len <= cap, "frame too long for the test");
	p = rte_pktmbuf_read(end->out[n], 0, len, out);
	if (p != out)
		memcpy(out, p, len);
	return len;
}
