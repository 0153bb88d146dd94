// SPDX-License-Identifier: BSD-3-Clause
#include "bench/polled/slice.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <errno.h>
#include <stdlib.h>

#define PREFETCH   4
#define QUIET_MS   1 /* and nothing more comes */
#define LAST_MS	   50
#define LAST_TRIES 40
#define LOST_US	   100000 /* a packet of the latency's that has not come by then */

/* A flow as it runs. */
struct stream {
	const struct flow *flow;
	uint16_t id;
	uint64_t sent, next; /* sequence numbers */
	unsigned int address;
	struct rte_mbuf *waiting[PORT_BURST];
	unsigned int waiting_count, waiting_first;
};

struct run {
	const struct slice *slice;
	struct port_pools *pools;
	struct slice_result *out;
	struct stream streams[FLOWS_MAX];
	unsigned int received_by[PORTS_MAX]; /* stream + 1 of the slice's port; 0: none */
};

/* No two slices have the same, so that what is late is not taken for what is new. */
static uint16_t stream_id(void)
{
	static uint16_t next;

	return ++next;
}

static void run_init(struct run *r, const struct slice *s, struct port_pools *pools,
		     struct slice_result *out)
{
	*out = (struct slice_result){ 0 };
	*r = (struct run){ .slice = s, .pools = pools, .out = out };
	for (unsigned int i = 0; i < s->flow_count; i++) {
		r->streams[i].flow = &s->flows[i];
		r->streams[i].id = stream_id();
		for (unsigned int k = 0; k < s->port_count; k++)
			if (s->ports[k] == s->flows[i].to)
				r->received_by[k] = i + 1;
	}
}

static void packet_stamp_next(struct run *r, struct stream *st, struct rte_mbuf *m)
{
	const struct packet_id id = {
		.stream = st->id,
		.seq = st->sent,
		.from = st->flow->from->index,
		.to = st->flow->to == NULL ? st->flow->from->index + 1 : st->flow->to->index,
		.address = st->address,
		.dirty = r->slice->dirty,
	};

	packet_stamp(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, &id);
	st->sent++;
	if (++st->address >= st->flow->addresses)
		st->address = 0;
}

/* Allocated and asked for first, since the backend's core has read them last. */
static bool packets_make(struct run *r, struct stream *st)
{
	st->waiting_first = st->waiting_count = 0;
	for (unsigned int i = 0; i < PORT_BURST; i++) {
		struct rte_mbuf *m = port_packet(r->pools, st->sent + i);

		if (m == NULL)
			break;
		__builtin_prefetch(rte_pktmbuf_mtod(m, void *), 1);
		st->waiting[st->waiting_count++] = m;
	}
	for (unsigned int i = 0; i < st->waiting_count; i++)
		packet_stamp_next(r, st, st->waiting[i]);
	return st->waiting_count > 0;
}

/* A ring that is full keeps them waiting. */
static void stream_send(struct run *r, struct stream *st)
{
	if (st->waiting_first == st->waiting_count && !packets_make(r, st))
		return;
	st->waiting_first += rte_eth_tx_burst(st->flow->from->id, 0,
					      st->waiting + st->waiting_first,
					      (uint16_t)(st->waiting_count - st->waiting_first));
}

static void packet_take(struct run *r, struct stream *st, const struct rte_mbuf *m)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	enum packet_verdict verdict = PACKET_OTHER;
	uint64_t seq = 0;

	if (st != NULL && m->data_len == m->pkt_len)
		verdict = packet_check(data, m->pkt_len, st->id, r->slice->whole, &seq);
	if (verdict == PACKET_OTHER) {
		r->out->stray++;
		return;
	}
	if (seq < st->next || seq >= st->sent) {
		r->out->bad++;
		return;
	}
	r->out->lost += seq - st->next;
	st->next = seq + 1;
	if (verdict == PACKET_GOOD)
		r->out->received++;
	else
		r->out->bad++;
}

static unsigned int port_receive(struct run *r, unsigned int k)
{
	struct stream *st = r->received_by[k] == 0 ? NULL : &r->streams[r->received_by[k] - 1];
	struct rte_mbuf *got[PORT_BURST];
	uint16_t n = rte_eth_rx_burst(r->slice->ports[k]->id, 0, got, PORT_BURST);

	for (uint16_t i = 0; i < n && i < PREFETCH; i++)
		rte_prefetch0(rte_pktmbuf_mtod(got[i], void *));
	for (uint16_t i = 0; i < n; i++) {
		if (i + PREFETCH < n)
			rte_prefetch0(rte_pktmbuf_mtod(got[i + PREFETCH], void *));
		packet_take(r, st, got[i]);
	}
	rte_pktmbuf_free_bulk(got, n);
	return n;
}

static unsigned int ports_receive(struct run *r)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < r->slice->port_count; k++)
		n += port_receive(r, k);
	return n;
}

/* What is still here was never sent. */
static void waiting_drop(struct stream *st)
{
	unsigned int n = st->waiting_count - st->waiting_first;

	rte_pktmbuf_free_bulk(st->waiting + st->waiting_first, n);
	st->sent -= n;
	st->waiting_count = st->waiting_first = 0;
}

static bool all_here(const struct run *r)
{
	for (unsigned int i = 0; i < r->slice->flow_count; i++)
		if (r->streams[i].flow->to != NULL && r->streams[i].next != r->streams[i].sent)
			return false;
	return true;
}

/* One more of each flow: behind it in the rings is nothing, and there is room for it. */
static void last_send(struct run *r)
{
	for (unsigned int i = 0; i < r->slice->flow_count; i++) {
		struct stream *st = &r->streams[i];
		struct rte_mbuf *m = port_packet(r->pools, st->sent);

		if (m == NULL)
			continue;
		packet_stamp_next(r, st, m);
		if (rte_eth_tx_burst(st->flow->from->id, 0, &m, 1) == 1)
			continue;
		st->sent--;
		rte_pktmbuf_free(m);
	}
}

/* However long the backend does not get its processor: until the last has come, which is sent again now and then. */
static void rest_receive(struct run *r)
{
	uint64_t ms = rte_get_tsc_hz() / 1000, last;

	for (unsigned int tries = 0; tries < LAST_TRIES; tries++) {
		last_send(r);
		last = rte_rdtsc();
		while (rte_rdtsc() - last < LAST_MS * ms)
			if (ports_receive(r) > 0)
				last = rte_rdtsc();
			else if (all_here(r) && rte_rdtsc() - last > QUIET_MS * ms)
				return;
	}
}

int slice_run(const struct slice *s, struct port_pools *pools, struct slice_result *out)
{
	double hz = (double)rte_get_tsc_hz();
	struct run *r = malloc(sizeof(*r));
	uint64_t begin, end;

	if (r == NULL)
		return -ENOMEM;
	run_init(r, s, pools, out);
	begin = rte_rdtsc();
	end = begin + (uint64_t)((double)s->ns * hz / 1e9);
	while (rte_rdtsc() < end) {
		ports_receive(r);
		for (unsigned int i = 0; i < s->flow_count; i++)
			stream_send(r, &r->streams[i]);
	}
	out->ns = (uint64_t)((double)(rte_rdtsc() - begin) * 1e9 / hz);
	out->received_in_time = out->received + out->bad;
	for (unsigned int i = 0; i < s->flow_count; i++)
		waiting_drop(&r->streams[i]);
	rest_receive(r);
	for (unsigned int i = 0; i < s->flow_count; i++) {
		out->sent += r->streams[i].sent;
		if (s->flows[i].to != NULL)
			out->lost += r->streams[i].sent - r->streams[i].next;
	}
	free(r);
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Cycles until the packet was there again; 0: it was not. */
static uint32_t there_and_back(struct run *r, uint64_t patience)
{
	struct stream *st = &r->streams[0];
	uint64_t before = r->out->received, begin;
	struct rte_mbuf *m = port_packet(r->pools, st->sent);

	if (m == NULL)
		return 0;
	packet_stamp_next(r, st, m);
	begin = rte_rdtsc();
	if (rte_eth_tx_burst(st->flow->from->id, 0, &m, 1) == 0) {
		rte_pktmbuf_free(m);
		return 0;
	}
	while (r->out->received == before)
		if (ports_receive(r) == 0 && rte_rdtsc() - begin > patience)
			return 0;
	return (uint32_t)(rte_rdtsc() - begin);
}

static void latencies_sum(uint32_t *all, uint32_t count, struct latency_result *out)
{
	double ns = 1e9 / (double)rte_get_tsc_hz();

	qsort(all, count, sizeof(all[0]), compare);
	out->count = count;
	if (count == 0)
		return;
	out->p50 = all[(uint64_t)count * 500 / 1000] * ns;
	out->p99 = all[(uint64_t)count * 990 / 1000] * ns;
	out->p999 = all[(uint64_t)count * 999 / 1000] * ns;
}

int slice_latency(const struct slice *s, struct port_pools *pools, struct latency_result *out)
{
	uint32_t *all = malloc(LATENCIES_MAX * sizeof(*all)), count = 0, took;
	uint64_t hz = rte_get_tsc_hz(),
		 end = rte_rdtsc() + (uint64_t)((double)s->ns / 1e9 * (double)hz);
	struct run *r = malloc(sizeof(*r));
	struct slice_result sum;

	*out = (struct latency_result){ 0 };
	if (all == NULL || r == NULL) {
		free(all);
		free(r);
		return -ENOMEM;
	}
	run_init(r, s, pools, &sum);
	while (count < LATENCIES_MAX && rte_rdtsc() < end) {
		took = there_and_back(r, hz / 1000000 * LOST_US);
		if (took == 0)
			out->lost++;
		else
			all[count++] = took;
	}
	rest_receive(r);
	latencies_sum(all, count, out);
	out->bad = sum.bad + sum.stray;
	free(all);
	free(r);
	return 0;
}
