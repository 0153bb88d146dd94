// SPDX-License-Identifier: BSD-3-Clause
/*
 * Exit accounting as people read it: two samples of the API's STATS, {"before":STATS,"after":STATS},
 * as totals and rates between them. Each table is made of rows with ready texts.
 */
#include "cli/render.h"
#include "cli/text.h"
#include "cli/view.h"

#include "base/json.h"

#include <errno.h>

/* Two samples of one thing, and the seconds between them. */
struct span {
	const json_t *before, *after;
	double seconds; /* 0: not known */
};

static uint64_t count_of(const json_t *obj, const char *path)
{
	json_int_t n = json_integer_value(text_member(obj, path));

	return n > 0 ? (uint64_t)n : 0;
}

static void total_put(json_t *row, const char *key, uint64_t n)
{
	json_object_set_new(row, key, json_integer((json_int_t)u64_min(n, INT64_MAX)));
}

/* A counter that went back belongs to something else by now. */
static void rate_put(json_t *row, const char *key, const struct span *s, uint64_t before,
		     uint64_t after)
{
	char text[32] = "-";

	if (s->seconds > 0 && s->before != NULL && after >= before)
		snprintf(text, sizeof(text), "%.1f", (double)(after - before) / s->seconds);
	json_object_set_new(row, key, json_string(text));
}

static void count_put(json_t *row, const struct span *s, uint64_t before, uint64_t after)
{
	total_put(row, "total", after);
	rate_put(row, "rate", s, before, after);
}

/* Kinds of exits that KVM counts by themselves; what is left of all of them is the last row. */
static const struct {
	const char *title, *name;
} kinds[] = {
	{ "I/O ports", "io_exits" },
	{ "MMIO", "mmio_exits" },
	{ "HLT", "halt_exits" },
	{ "external interrupts", "irq_exits" },
	{ "interrupt windows", "irq_window_exits" },
	{ "NMI windows", "nmi_window_exits" },
}, works[] = {
	{ "interrupts injected", "irq_injections" },
	{ "instructions emulated", "insn_emulation" },
	{ "page faults", "pf_taken" },
	{ "hypercalls", "hypercalls" },
};

static uint64_t other_of(const json_t *numbers)
{
	uint64_t all = count_of(numbers, "exits");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		all -= u64_min(all, count_of(numbers, kinds[i].name));
	return all;
}

static const struct field exit_columns[] = {
	{ "EXITS", "title", text_value },
	{ "TOTAL", "total", text_value },
	{ "PER S", "rate", text_value },
};

static const struct field work_columns[] = {
	{ "OTHERWISE", "title", text_value },
	{ "TOTAL", "total", text_value },
	{ "PER S", "rate", text_value },
};

static void row_add(json_t *rows, const char *title, const struct span *s, uint64_t before,
		    uint64_t after)
{
	json_t *row = json_pack("{s:s}", "title", title);

	count_put(row, s, before, after);
	json_array_append_new(rows, row);
}

static void named_row_add(json_t *rows, const char *title, const struct span *s, const char *name)
{
	/* What this host's KVM does not count is left out. */
	if (text_member(s->after, name) != NULL)
		row_add(rows, title, s, count_of(s->before, name), count_of(s->after, name));
}

static uint64_t returns_of(const json_t *stats)
{
	return count_of(stats, "returns.total.io") + count_of(stats, "returns.total.mmio") +
	       count_of(stats, "returns.total.hlt") + count_of(stats, "returns.total.other");
}

static int exits_show(FILE *out, const struct span *s, struct err *e)
{
	struct span kvm = { text_member(s->before, "kvm.total"), text_member(s->after, "kvm.total"),
			    s->seconds };
	auto_json json_t *exits = json_array(), *rest = json_array();
	char why[TEXT_CELL];
	int r = 0;

	if (!json_is_object(kvm.after)) {
		text_value(text_member(s->after, "kvm_absent"), why, sizeof(why));
		fprintf(out, "No exits by kind: %s\n\n", why);
	} else {
		named_row_add(exits, "all", &kvm, "exits");
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			named_row_add(exits, kinds[i].title, &kvm, kinds[i].name);
		row_add(exits, "other (MSR, CPUID, ...)", &kvm, other_of(kvm.before),
			other_of(kvm.after));
		for (size_t i = 0; i < ARRAY_SIZE(works); i++)
			named_row_add(rest, works[i].title, &kvm, works[i].name);
		r = view_table(out, exit_columns, ARRAY_SIZE(exit_columns), exits, e);
		fputc('\n', out);
	}
	row_add(rest, "returns to viaduct-vmm", s, returns_of(s->before), returns_of(s->after));
	return r < 0 ? r : view_table(out, work_columns, ARRAY_SIZE(work_columns), rest, e);
}

static const struct field vcpu_columns[] = {
	{ "VCPU", "vcpu", text_value },
	{ "EXITS", "total", text_value },
	{ "PER S", "rate", text_value },
	{ "I/O", "io_exits", text_value },
	{ "MMIO", "mmio_exits", text_value },
	{ "HLT", "halt_exits", text_value },
	{ "EXTERNAL", "irq_exits", text_value },
	{ "OTHER", "other", text_value },
	{ "INJECTED", "irq_injections", text_value },
};

/* Rates of each vCPU; with one vCPU the totals say the same. */
static int vcpus_show(FILE *out, const struct span *s, struct err *e)
{
	const json_t *vcpus = text_member(s->after, "kvm.vcpus");
	const json_t *before = text_member(s->before, "kvm.vcpus");
	auto_json json_t *rows = json_array();
	json_t *after;
	size_t i;

	if (json_array_size(vcpus) < 2)
		return 0;
	json_array_foreach((json_t *)vcpus, i, after) {
		const struct span one = { json_array_get(before, i), after, s->seconds };
		json_t *row = json_object();

		if (i == RENDER_ROWS)
			break;
		total_put(row, "vcpu", i);
		count_put(row, &one, count_of(one.before, "exits"), count_of(after, "exits"));
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
			rate_put(row, kinds[k].name, &one, count_of(one.before, kinds[k].name),
				 count_of(after, kinds[k].name));
		rate_put(row, "other", &one, other_of(one.before), other_of(after));
		rate_put(row, "irq_injections", &one, count_of(one.before, "irq_injections"),
			 count_of(after, "irq_injections"));
		json_array_append_new(rows, row);
	}
	fprintf(out, "\nPer vCPU, kinds per second:\n");
	return view_table(out, vcpu_columns, ARRAY_SIZE(vcpu_columns), rows, e);
}

/* The item of a list in which both members are as in `like`; NULL if there is none. */
static const json_t *item_like(const json_t *list, const json_t *like, const char *first,
			       const char *second)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item)
		if (json_equal(json_object_get(item, first), json_object_get(like, first)) &&
		    json_equal(json_object_get(item, second), json_object_get(like, second)))
			return item;
	return NULL;
}

static uint64_t accesses_of(const json_t *obj)
{
	return count_of(obj, "reads") + count_of(obj, "writes");
}

static const struct field region_columns[] = {
	{ "SPACE", "space", text_value }, { "TRAPPED REGION", "name", text_value, true },
	{ "READS", "reads", text_value }, { "WRITES", "writes", text_value },
	{ "PER S", "rate", text_value },
};

static int regions_show(FILE *out, const struct span *s, struct err *e)
{
	const json_t *before = text_member(s->before, "regions");
	auto_json json_t *rows = json_array();
	json_t *regions, *region;
	size_t i;
	int r = render_rows(s->after, "regions", &regions, e);

	if (r < 0)
		return r;
	json_array_foreach(regions, i, region) {
		const struct span one = { item_like(before, region, "space", "name"), region,
					  s->seconds };
		json_t *row;

		if (accesses_of(region) == 0)
			continue;
		row = json_copy(region);
		rate_put(row, "rate", &one, accesses_of(one.before), accesses_of(region));
		json_array_append_new(rows, row);
	}
	if (json_array_size(rows) == 0)
		return 0;
	fputc('\n', out);
	return view_table(out, region_columns, ARRAY_SIZE(region_columns), rows, e);
}

static uint64_t trapped_of(const json_t *port)
{
	return accesses_of(text_member(port, "bar")) + accesses_of(text_member(port, "config"));
}

static const struct field port_columns[] = {
	{ "PORT", "name", text_value, true },	 { "VF", "vf", text_value },
	{ "TRAPPED BAR", "bar", text_value },	 { "TRAPPED CONFIG", "config", text_value },
	{ "PER S", "trapped_rate", text_value }, { "INTERRUPTS", "interrupts", text_value },
	{ "PER S", "rate", text_value },	 { "DELIVERY", "delivery", text_value },
};

static const struct field vector_columns[] = {
	{ "PORT", "port", text_value, true },  { "VECTOR", "vector", text_value },
	{ "HOST IRQ", "irq", text_value },     { "CHIP", "chip", text_value, true },
	{ "INTERRUPTS", "total", text_value }, { "PER S", "rate", text_value },
};

static void vectors_add(json_t *rows, const struct span *port)
{
	const json_t *before = text_member(port->before, "vectors");
	json_t *vector;
	size_t i;

	json_array_foreach((json_t *)text_member(port->after, "vectors"), i, vector) {
		const struct span one = { item_like(before, vector, "vector", "irq"), vector,
					  port->seconds };
		json_t *row;

		if (!json_is_object(vector) || json_array_size(rows) == RENDER_ROWS)
			continue;
		row = json_copy(vector);
		json_object_set(row, "port", json_object_get(port->after, "name"));
		count_put(row, &one, count_of(one.before, "interrupts"),
			  count_of(vector, "interrupts"));
		json_array_append_new(rows, row);
	}
}

static int ports_show(FILE *out, const struct span *s, struct err *e)
{
	auto_json json_t *rows = json_array(), *vectors = json_array();
	json_t *ports, *port;
	size_t i;
	int r = render_rows(s->after, "ports", &ports, e);

	if (r < 0 || json_array_size(ports) == 0)
		return r;
	json_array_foreach(ports, i, port) {
		const struct span one = { item_like(text_member(s->before, "ports"), port, "name",
						    "vf"),
					  port, s->seconds };
		json_t *row = json_is_object(port) ? json_copy(port) : json_object();

		total_put(row, "bar", accesses_of(text_member(port, "bar")));
		total_put(row, "config", accesses_of(text_member(port, "config")));
		rate_put(row, "trapped_rate", &one, trapped_of(one.before), trapped_of(port));
		rate_put(row, "rate", &one, count_of(one.before, "interrupts"),
			 count_of(port, "interrupts"));
		json_array_append_new(rows, row);
		vectors_add(vectors, &one);
	}
	fputc('\n', out);
	r = view_table(out, port_columns, ARRAY_SIZE(port_columns), rows, e);
	if (r < 0 || json_array_size(vectors) == 0)
		return r;
	fputc('\n', out);
	return view_table(out, vector_columns, ARRAY_SIZE(vector_columns), vectors, e);
}

int render_vm_stats(FILE *out, const json_t *reply, struct err *e)
{
	struct span s = { .before = json_object_get(reply, "before"),
			  .after = json_object_get(reply, "after") };
	uint64_t began = count_of(s.before, "time_ns"), ended = count_of(s.after, "time_ns");
	char name[TEXT_CELL], state[TEXT_CELL];
	int r;

	s.seconds = began > 0 && ended > began ? (double)(ended - began) / 1e9 : 0;
	text_value(text_member(s.after, "name"), name, sizeof(name));
	text_value(text_member(s.after, "state"), state, sizeof(state));
	fprintf(out, "VM %s, %s; totals since its start, rates over %.1f s\n\n", name, state,
		s.seconds);
	r = exits_show(out, &s, e);
	if (r == 0)
		r = vcpus_show(out, &s, e);
	if (r == 0)
		r = regions_show(out, &s, e);
	return r < 0 ? r : ports_show(out, &s, e);
}
