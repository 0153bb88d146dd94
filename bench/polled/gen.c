// SPDX-License-Identifier: BSD-3-Clause
/*
 * polled-gen [EAL options]: the guests of the benchmark of polled ports. It does what standard input says, one JSON object a
 * line, and answers each with one line on standard output: {"ok":true, ...} or {"ok":false, "text":"..."}. The words:
 *
 *   {"op":"sizes","sizes":"64"}                                   first of all, once: "hz" of the cycles
 *   {"op":"port","name":"a","driver":"virtio-user","path":"/s","packed":false,"mergeable":true,"index":0}
 *   {"op":"learn","port":"a","addresses":1}                       and {"op":"drain","port":"b"} of who hears it
 *   {"op":"run","ports":["a","b"],"flows":[{"from":"a","to":"b","addresses":1}],"dirty":false,"whole":false,"ms":300}
 *   {"op":"latency", ...the same}
 */
#include "bench/polled/slice.h"

#include <rte_cycles.h>
#include <rte_eal.h>

#include <jansson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct gen {
	struct port_pools pools;
	bool has_sizes;
	struct port ports[PORTS_MAX];
	unsigned int port_count;
};

static struct port *port_find(struct gen *g, const char *name)
{
	for (unsigned int i = 0; name != NULL && i < g->port_count; i++)
		if (strcmp(g->ports[i].name, name) == 0)
			return &g->ports[i];
	return NULL;
}

static json_t *answer(int r)
{
	if (r < 0)
		return json_pack("{s:b, s:s}", "ok", 0, "text", strerror(-r));
	return json_pack("{s:b}", "ok", 1);
}

static json_t *on_sizes(struct gen *g, const json_t *q)
{
	const char *text = json_string_value(json_object_get(q, "sizes"));
	struct packet_sizes sizes;
	int r;

	if (g->has_sizes || text == NULL || !packet_sizes_parse(&sizes, text))
		return answer(-EINVAL);
	r = port_pools_make(&g->pools, &sizes);
	g->has_sizes = r == 0;
	return r < 0 ? answer(r)
		     : json_pack("{s:b, s:I}", "ok", 1, "hz", (json_int_t)rte_get_tsc_hz());
}

static json_t *on_port(struct gen *g, const json_t *q)
{
	struct port_spec spec = {
		.name = json_string_value(json_object_get(q, "name")),
		.driver = json_string_value(json_object_get(q, "driver")),
		.path = json_string_value(json_object_get(q, "path")),
		.packed = json_is_true(json_object_get(q, "packed")),
		.mergeable = json_is_true(json_object_get(q, "mergeable")),
		.index = (unsigned int)json_integer_value(json_object_get(q, "index")),
	};
	int r;

	if (!g->has_sizes || spec.name == NULL || spec.driver == NULL || spec.path == NULL)
		return answer(-EINVAL);
	if (g->port_count == PORTS_MAX)
		return answer(-ENOSPC);
	r = port_open(&g->ports[g->port_count], &spec, &g->pools);
	if (r == 0)
		g->port_count++;
	return answer(r);
}

static json_t *on_learn(struct gen *g, const json_t *q)
{
	struct port *p = port_find(g, json_string_value(json_object_get(q, "port")));

	if (p == NULL)
		return answer(-ENOENT);
	return answer(port_learn(
		p, (unsigned int)json_integer_value(json_object_get(q, "addresses")), &g->pools));
}

static json_t *on_drain(struct gen *g, const json_t *q)
{
	struct port *p = port_find(g, json_string_value(json_object_get(q, "port")));

	if (p == NULL)
		return answer(-ENOENT);
	port_drain(p);
	return answer(0);
}

static bool flow_read(struct gen *g, const json_t *q, struct flow *flow)
{
	const json_t *to = json_object_get(q, "to");

	flow->from = port_find(g, json_string_value(json_object_get(q, "from")));
	flow->to = port_find(g, json_string_value(to));
	flow->addresses = (unsigned int)json_integer_value(json_object_get(q, "addresses"));
	return flow->from != NULL && flow->addresses > 0 && (flow->to != NULL || json_is_null(to));
}

static bool slice_read(struct gen *g, const json_t *q, struct slice *s)
{
	const json_t *ports = json_object_get(q, "ports"), *flows = json_object_get(q, "flows");

	*s = (struct slice){
		.port_count = (unsigned int)json_array_size(ports),
		.flow_count = (unsigned int)json_array_size(flows),
		.dirty = json_is_true(json_object_get(q, "dirty")),
		.whole = json_is_true(json_object_get(q, "whole")),
		.ns = (uint64_t)json_integer_value(json_object_get(q, "ms")) * 1000000,
	};
	if (s->port_count > PORTS_MAX || s->flow_count == 0 || s->flow_count > FLOWS_MAX)
		return false;
	for (unsigned int i = 0; i < s->port_count; i++) {
		s->ports[i] = port_find(g, json_string_value(json_array_get(ports, i)));
		if (s->ports[i] == NULL)
			return false;
	}
	for (unsigned int i = 0; i < s->flow_count; i++)
		if (!flow_read(g, json_array_get(flows, i), &s->flows[i]))
			return false;
	return true;
}

static json_t *on_run(struct gen *g, const json_t *q)
{
	struct slice_result out;
	struct slice s;
	int r = slice_read(g, q, &s) ? slice_run(&s, &g->pools, &out) : -EINVAL;

	if (r < 0)
		return answer(r);
	return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "ok", 1, "sent",
			 (json_int_t)out.sent, "received", (json_int_t)out.received, "lost",
			 (json_int_t)out.lost, "bad", (json_int_t)out.bad, "stray",
			 (json_int_t)out.stray, "ns", (json_int_t)out.ns, "received_in_time",
			 (json_int_t)out.received_in_time);
}

static json_t *on_latency(struct gen *g, const json_t *q)
{
	struct latency_result out;
	struct slice s;
	int r = slice_read(g, q, &s) ? slice_latency(&s, &g->pools, &out) : -EINVAL;

	if (r < 0)
		return answer(r);
	return json_pack("{s:b, s:I, s:I, s:I, s:f, s:f, s:f}", "ok", 1, "count",
			 (json_int_t)out.count, "lost", (json_int_t)out.lost, "bad",
			 (json_int_t)out.bad, "p50", out.p50, "p99", out.p99, "p999", out.p999);
}

static json_t *request(struct gen *g, const char *line)
{
	static const struct {
		const char *op;
		json_t *(*fn)(struct gen *g, const json_t *q);
	} ops[] = {
		{ "sizes", on_sizes }, { "port", on_port }, { "learn", on_learn },
		{ "drain", on_drain }, { "run", on_run },   { "latency", on_latency },
	};
	json_t *q = json_loads(line, 0, NULL), *reply = NULL;
	const char *op = json_string_value(json_object_get(q, "op"));

	for (size_t i = 0; op != NULL && i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(ops[i].op, op) == 0)
			reply = ops[i].fn(g, q);
	json_decref(q);
	return reply == NULL ? answer(-ENOSYS) : reply;
}

int main(int argc, char **argv)
{
	static struct gen gen;
	char *line = NULL;
	size_t cap = 0;

	if (rte_eal_init(argc, argv) < 0)
		return 1;
	while (getline(&line, &cap, stdin) > 0) {
		json_t *reply = request(&gen, line);
		char *text = json_dumps(reply, JSON_COMPACT);

		printf("%s\n", text);
		fflush(stdout);
		free(text);
		json_decref(reply);
	}
	for (unsigned int i = 0; i < gen.port_count; i++)
		port_close(&gen.ports[i]);
	free(line);
	rte_eal_cleanup();
	return 0;
}
