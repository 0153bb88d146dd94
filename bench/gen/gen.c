// SPDX-License-Identifier: BSD-3-Clause
/*
 * viaduct-gen [EAL options] [--]: the traffic generator of `viaduct bench`. It does what standard input says and answers each
 * line (bench/common/lines.h); what it can be asked and what it answers is in docs/bench-gen.md. The main lcore sends; the
 * next one receives, if there is one. No PCI device is taken but those that are asked for.
 */
#include "bench/gen/trial.h"

#include "bench/common/lines.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define PORTS 16
/* A card keeps what it has sent until it needs the place in its ring: a whole ring, what an lcore keeps, and two bursts. */
#define SEND_PACKETS (DEVICE_RING + DEVICE_CACHE * 3 / 2 + 2 * DEVICE_BURST)
#define SMALL_ROOM   RTE_MBUF_DEFAULT_DATAROOM
#define JUMBO_ROOM   9216
#define NO_DEVICE    "ffff:ff:1f.7" /* a list of allowed devices that names none */
#define USAGE	     "viaduct-gen [EAL options] [--]"
#define NO_PAGES     "On a machine without hugepages: --no-huge -m 256 --no-shconf"

struct gen {
	struct lines lines;
	struct device_pools pools;
	struct port ports[PORTS];
	uint32_t port_count;
	uint32_t worker;
	bool has_clock;
	struct clock_moment start; /* of the program: the longer ago, the better its hz is known */
	struct clock_error clock;
	uint32_t trial; /* the first is drawn by lot: others may send frames of ours, too */
	struct probe_plan plan;
	struct trial_result result;
};

static struct port *port_find(struct gen *g, const char *name)
{
	for (uint32_t i = 0; i < g->port_count; i++)
		if (strcmp(g->ports[i].device.name, name) == 0)
			return &g->ports[i];
	return NULL;
}

static struct port *port_get(struct gen *g, const char *name, struct err *e)
{
	struct port *p = port_find(g, name);

	if (p == NULL)
		err_set(e, ENOENT, "there is no port '%s'", name);
	return p;
}

static int on_port(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	struct gen *g = ctx;
	struct device_wish wish;
	int r = device_wish_read(q, &wish, e);

	if (r < 0)
		return r;
	if (port_find(g, wish.name) != NULL)
		return err_set(e, EEXIST, "there is a port '%s' already", wish.name);
	if (g->port_count == PORTS)
		return err_set(e, ENOSPC, "%d ports are the most", PORTS);
	/* Who listens waits for the backend, and DPDK does so for ever. */
	lines_signals_deadly(wish.server);
	r = port_open(&wish, &g->pools, g->clock.hz, &g->ports[g->port_count], e);
	lines_signals_deadly(false);
	if (r < 0)
		return r;
	return device_facts(&g->ports[g->port_count++].device, reply);
}

static int on_close(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	char name[DEVICE_NAME_TEXT];
	struct gen *g = ctx;
	struct port *p;
	int r = name_read(q, name, e);

	if (r < 0)
		return r;
	p = port_get(g, name, e);
	if (p == NULL)
		return -ENOENT;
	port_close(p);
	*p = g->ports[--g->port_count];
	return 0;
}

static json_int_t ns(const struct gen *g, uint64_t cycles)
{
	return (json_int_t)((double)cycles * 1e9 / g->clock.hz + 0.5);
}

static void clock_learn(struct gen *g)
{
	double hz = g->clock.hz;

	if (!g->has_clock)
		g->clock = clock_measure(g->worker);
	g->clock.hz = hz;
	g->has_clock = true;
}

static int on_clock(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	static const char *const known[] = { "op", NULL };
	struct gen *g = ctx;
	int r = json_check_keys(q, known, e);

	if (r < 0)
		return r;
	g->has_clock = false;
	g->clock.hz = clock_hz(&g->start);
	clock_learn(g);
	json_object_set_new(reply, "hz", json_integer((json_int_t)g->clock.hz));
	json_object_set_new(reply, "error_ns",
			    json_integer(ns(g, g->clock.read + g->clock.between)));
	json_object_set_new(reply, "lcores", json_integer(g->worker == CLOCK_ALONE ? 1 : 2));
	return 0;
}

struct filling {
	const struct probe_plan *plan;
	size_t room;
};

static void contents_make(struct rte_mempool *pool, void *arg, void *object, unsigned int i)
{
	const struct filling *f = arg;
	struct rte_mbuf *m = object;

	probe_fill(f->plan, (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, f->room, (uint8_t)i);
}

/* Buffers of this port's for frames of this size, filled when they are made. */
static struct rte_mempool *send_pool(struct gen *g, struct port *p, uint32_t frame)
{
	bool small = frame <= SMALL_ROOM;
	struct rte_mempool **pool = small ? &p->send_small : &p->send_jumbo;
	struct filling f = { &g->plan, small ? SMALL_ROOM : JUMBO_ROOM };

	if (*pool != NULL)
		return *pool;
	*pool = device_pool_of(&g->pools, SEND_PACKETS, (uint16_t)(RTE_PKTMBUF_HEADROOM + f.room));
	if (*pool != NULL)
		rte_mempool_obj_iter(*pool, contents_make, &f);
	return *pool;
}

static int frames_fit(const struct trial_spec *spec, const struct port *p, struct err *e)
{
	uint32_t max = probe_sizes_max(&spec->sizes);

	if (max <= p->device.max_frame)
		return 0;
	return err_set(e, ERANGE, "frames of %u bytes do not fit port '%s' of mtu %llu", max,
		       p->device.name, (unsigned long long)p->mtu);
}

static bool is_interrupted(void *ctx)
{
	return lines_interrupted(ctx);
}

static int trial(struct gen *g, struct trial_spec *spec, json_t *reply, struct err *e)
{
	struct trial_ground ground = {
		.worker = g->worker,
		.is_interrupted = is_interrupted,
		.ctx = &g->lines,
	};
	struct port *tx = port_get(g, spec->tx, e);
	const struct port *ports[2] = { tx, tx == NULL ? NULL : port_get(g, spec->rx, e) };
	int r;

	if (ports[1] == NULL)
		return -ENOENT;
	if (frames_fit(spec, ports[0], e) < 0 || frames_fit(spec, ports[1], e) < 0)
		return -ERANGE;
	ground.pool = send_pool(g, tx, probe_sizes_max(&spec->sizes));
	if (ground.pool == NULL)
		return err_set(e, ENOMEM, "no memory for packets: -m of DPDK's options is small");
	/* Who says nothing sends to the other port, and from the first. */
	if (spec->addresses.target_count == 0) {
		memcpy(spec->addresses.target[0], ports[1]->device.mac, 6);
		spec->addresses.target_count = 1;
	}
	if (!spec->has_source)
		memcpy(spec->addresses.source, ports[0]->device.mac, 6);
	clock_learn(g);
	ground.clock = g->clock;
	probe_plan_make(&g->plan, &spec->sizes, &spec->addresses, (uint32_t)spec->flows,
			++g->trial);
	r = trial_run(spec, &g->plan, ports, &ground, &g->result);
	for (size_t i = 0; i < ARRAY_SIZE(ports) && r == 0; i++)
		if (port_is_dead(ports[i]))
			return err_set(e, ENETDOWN, "port '%s' (%s) has no link",
				       ports[i]->device.name, ports[i]->text);
	if (r == 0 && g->result.starved > 0)
		return err_set(e, ENOBUFS, "port '%s' gave no packet memory back, %llu times",
			       spec->tx, (unsigned long long)g->result.starved);
	if (r == 0)
		r = trial_result_write(&g->result, reply);
	return r < 0 ? err_set(e, r, "%s", strerror(-r)) : 0;
}

static int on_trial(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	struct trial_spec spec;
	int r = trial_spec_read(q, &spec, e);

	return r < 0 ? r : trial(ctx, &spec, reply, e);
}

static int on_burst(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	struct trial_spec spec;
	int r = burst_spec_read(q, &spec, e);

	return r < 0 ? r : trial(ctx, &spec, reply, e);
}

static int on_impaired(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	char name[DEVICE_NAME_TEXT];
	struct impair_counts c;
	struct gen *g = ctx;
	struct port *p;
	struct hist *d = &g->result.latency; /* no trial runs */
	json_t *out;
	int r = name_read(q, name, e);

	if (r < 0)
		return r;
	p = port_get(g, name, e);
	if (p == NULL)
		return -ENOENT;
	if (p->impair == NULL)
		return err_set(e, EINVAL, "port '%s' is %s, which is left as it is", name, p->text);
	impair_counts(p->impair, &c, d);
	out = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I}}", "heard",
			(json_int_t)c.heard, "lost", (json_int_t)(c.lost + c.no_memory),
			"duplicated", (json_int_t)c.duplicated, "reordered",
			(json_int_t)c.reordered, "corrupted", (json_int_t)c.corrupted, "returned",
			(json_int_t)c.returned, "no_memory", (json_int_t)c.no_memory, "delay",
			"min_ns", d->count == 0 ? 0 : ns(g, d->min), "mean_ns",
			d->count == 0 ? 0 : ns(g, (uint64_t)(d->sum / (double)d->count)), "p50_ns",
			ns(g, hist_quantile(d, 0.5)), "p99_ns", ns(g, hist_quantile(d, 0.99)),
			"max_ns", ns(g, d->max));
	return out == NULL ? -ENOMEM : json_object_update_new(reply, out);
}

static int word_refuse(const char *word)
{
	fprintf(stderr, "viaduct-gen: '%s' is no option: " USAGE "\n", word);
	return -EINVAL;
}

/* EAL scans and takes every PCI device that it may, unless it is told which. */
static int eal_start(int argc, char **argv)
{
	char *all[64] = { argv[0] };
	int count = 1, used = 1;

	while (used < argc && strcmp(argv[used], "--") != 0)
		used++;
	if (used > (int)ARRAY_SIZE(all) - 5)
		return word_refuse(argv[ARRAY_SIZE(all) - 5]);
	all[count++] = (char *)"--no-telemetry";
	all[count++] = (char *)"-a";
	all[count++] = (char *)NO_DEVICE;
	for (int i = 1; i < used; i++)
		all[count++] = argv[i];
	if (used + 1 < argc)
		return word_refuse(argv[used + 1]);
	used = rte_eal_init(count, all);
	if (used < 0) {
		fprintf(stderr, "viaduct-gen: DPDK does not start: %s. " NO_PAGES "\n",
			rte_strerror(rte_errno));
		return -1;
	}
	return used + 1 < count ? word_refuse(all[used + 1]) : 0;
}

int main(int argc, char **argv)
{
	static const struct line_op ops[] = {
		{ "port", on_port },   { "clock", on_clock }, { "trial", on_trial },
		{ "burst", on_burst }, { "close", on_close }, { "impaired", on_impaired },
	};
	static struct gen g;
	int r;

	g.start = clock_now();
	r = lines_init(&g.lines, ops, ARRAY_SIZE(ops), &g);

	if (r == 0 && getrandom(&g.trial, sizeof(g.trial), 0) != sizeof(g.trial))
		r = -EIO;
	if (r < 0)
		fprintf(stderr, "viaduct-gen: cannot start: %s\n", strerror(-r));
	if (r < 0 || eal_start(argc, argv) < 0)
		return 1;
	g.clock.hz = clock_hz(&g.start);
	probe_pattern_make(&g.plan);
	g.worker = rte_get_next_lcore(-1, 1, 0);
	if (g.worker >= RTE_MAX_LCORE)
		g.worker = CLOCK_ALONE;
	r = lines_serve(&g.lines);
	while (g.port_count > 0)
		port_close(&g.ports[--g.port_count]);
	lines_fini(&g.lines);
	rte_eal_cleanup();
	return r < 0 ? 1 : 0;
}
