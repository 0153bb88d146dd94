// SPDX-License-Identifier: BSD-3-Clause
/* Ports as people read them: the table, one of them, and what they count between two samples. */
#include "cli/render.h"
#include "cli/text.h"
#include "cli/view.h"

#include "base/json.h"

#include <errno.h>

/* "fw1/mgt" */
static void text_port(const json_t *port, char *buf, size_t cap)
{
	char vm[TEXT_CELL], name[TEXT_CELL];

	text_value(text_member(port, "vm"), vm, sizeof(vm));
	text_value(text_member(port, "name"), name, sizeof(name));
	snprintf(buf, cap, "%.64s/%.64s", vm, name);
}

/* "polled", or "polled (no VF)" of one that fell back. */
static void text_engine(const json_t *port, char *buf, size_t cap)
{
	char engine[TEXT_CELL];

	text_value(text_member(port, "engine"), engine, sizeof(engine));
	snprintf(buf, cap, "%.32s%s", engine,
		 json_is_object(text_member(port, "fallback")) ? " (no VF)" : "");
}

/* Whose way out it is: a VF's PF, or a network. */
static void text_way(const json_t *port, char *buf, size_t cap)
{
	const json_t *vf = text_member(port, "vf_id"), *network = text_member(port, "network");

	text_value(json_is_string(vf) ? vf : network, buf, cap);
}

static bool is_word(const json_t *v, const char *word)
{
	const char *text = json_string_value(v);

	return text != NULL && strcmp(text, word) == 0;
}

/* "running", "gone (its backend does not answer)": of a polled port what is worst. */
static void text_port_state(const json_t *port, char *buf, size_t cap)
{
	const json_t *lost = text_member(port, "lost"), *net = text_member(port, "net.backend");

	if (json_is_object(text_member(port, "quarantine")))
		snprintf(buf, cap, "quarantined");
	else if (json_is_object(lost))
		snprintf(buf, cap, "its VF is gone");
	else if (!is_word(text_member(port, "engine"), "polled"))
		text_value(text_member(port, "vm_state"), buf, cap);
	else if (is_word(net, "gone") || is_word(net, "waiting"))
		snprintf(buf, cap, "without backend");
	else
		text_value(text_member(port, "backend.state"), buf, cap);
}

/* Of a polled port the guest's carrier; of a VF the guest's driver knows. */
static void text_carrier(const json_t *port, char *buf, size_t cap)
{
	const json_t *link = text_member(port, "net.link");

	snprintf(buf, cap, "%s", !json_is_boolean(link) ? "-" : json_is_true(link) ? "up" : "down");
}

/* "100", "10,20 (trunk)" */
static void text_vlan(const json_t *port, char *buf, size_t cap)
{
	const json_t *mode = text_member(port, "policy.vlan.mode");
	char ids[TEXT_CELL], word[TEXT_CELL];

	if (!json_is_string(mode) || is_word(mode, "none")) {
		text_value(text_member(port, "vlan"), buf, cap);
		return;
	}
	text_value(text_member(port, "policy.vlan.ids"), ids, sizeof(ids));
	text_value(mode, word, sizeof(word));
	if (is_word(mode, "access"))
		snprintf(buf, cap, "%.200s", ids);
	else
		snprintf(buf, cap, "%.200s (%.16s)", ids, word);
}

static const struct field port_columns[] = {
	{ "PORT", "", text_port, true },	 { "ENGINE", "", text_engine },
	{ "VF OR NETWORK", "", text_way, true }, { "MAC", "mac", text_value },
	{ "VLAN", "", text_vlan, true },	 { "CARRIER", "", text_carrier },
	{ "STATE", "", text_port_state },
};

int render_port_list(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "ports", &rows, e);

	if (r < 0)
		return r;
	if (json_array_size(rows) == 0) {
		fputs("No VM that runs has a port.\n", out);
		return 0;
	}
	return view_table(out, port_columns, ARRAY_SIZE(port_columns), rows, e);
}

/* bits per second -> 5 Gb/s; 0 -> no limit */
static void text_rate(const json_t *v, char *buf, size_t cap)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v))
		snprintf(buf, cap, "-");
	else if (n == 0)
		snprintf(buf, cap, "no limit");
	else if (n % 1000000000 == 0)
		snprintf(buf, cap, "%lld Gb/s", (long long)(n / 1000000000));
	else
		snprintf(buf, cap, "%lld Mb/s", (long long)(n / 1000000));
}

static void text_storm(const json_t *v, char *buf, size_t cap)
{
	if (json_is_integer(v) && json_integer_value(v) == 0)
		snprintf(buf, cap, "no limit");
	else
		text_value(v, buf, cap);
}

static void text_ms(const json_t *v, char *buf, size_t cap)
{
	if (json_is_integer(v))
		snprintf(buf, cap, "%.2f s", (double)json_integer_value(v) / 1000);
	else
		snprintf(buf, cap, "-");
}

static const struct field both_fields[] = {
	{ "port", "", text_port },
	{ "engine", "", text_engine },
	{ "the file says", "wanted", text_value },
	{ "state", "", text_port_state },
	{ "MAC", "mac", text_value },
	{ "VLAN", "", text_vlan },
};

static const struct field vf_fields[] = {
	{ "VF", "vf", text_value },
	{ "of", "vf_id", text_value },
	{ "PF", "pf", text_value },
	{ "IOMMU group", "iommu_group", text_value },
	{ "on a fault", "on_fault", text_value },
	{ "DMA on", "bus_mastering", text_value },
	{ "vectors", "vectors", text_value },
	{ "interrupts", "interrupts", text_value },
};

static const struct field polled_fields[] = {
	{ "network", "network", text_value },
	{ "no VF because", "fallback.why", text_value },
	{ "carrier", "", text_carrier },
	{ "carrier stays", "grace_ms", text_ms },
	{ "guest's driver", "net.driver_active", text_value },
	{ "queue pairs", "queues", text_value },
	{ "in use", "net.queues", text_value },
	{ "queue size", "queue_size", text_value },
	{ "ring", "net.ring", text_value },
	{ "features", "net.features", text_value },
	{ "backend", "net.backend", text_value },
	{ "backend's pid", "net.backend_pid", text_value },
	{ "reconnects", "net.reconnects", text_value },
	{ "last error", "net.error", text_value },
	{ "lcore", "backend.lcore", text_value },
	{ "VLAN mode", "policy.vlan.mode", text_value },
	{ "VLAN proto", "policy.vlan.proto", text_value },
	{ "VLAN qos", "policy.vlan.qos", text_value },
	{ "further MACs", "policy.macs", text_value },
	{ "MTU", "policy.mtu", text_value },
	{ "rate", "policy.rate", text_rate },
	{ "min rate", "policy.min_rate", text_rate },
	{ "trust", "policy.trust", text_value },
	{ "spoofchk", "policy.spoofchk", text_value },
	{ "link", "policy.link", text_value },
	{ "uplink loss", "policy.uplink_loss", text_value },
	{ "storm limit", "policy.storm", text_storm },
};

int render_port(FILE *out, const json_t *reply, struct err *e)
{
	view_block(out, both_fields, ARRAY_SIZE(both_fields), reply);
	if (is_word(text_member(reply, "engine"), "polled"))
		view_block(out, polled_fields, ARRAY_SIZE(polled_fields), reply);
	else
		view_block(out, vf_fields, ARRAY_SIZE(vf_fields), reply);
	return 0;
}

void port_polled_print(FILE *out, const json_t *port)
{
	char name[TEXT_CELL], network[TEXT_CELL], state[TEXT_CELL], why[TEXT_CELL], carrier[16];

	if (!is_word(text_member(port, "engine"), "polled"))
		return;
	text_value(text_member(port, "name"), name, sizeof(name));
	text_value(text_member(port, "network"), network, sizeof(network));
	text_port_state(port, state, sizeof(state));
	text_carrier(port, carrier, sizeof(carrier));
	fprintf(out, "%s: served by the polled backend on network %s: %s, carrier %s\n", name,
		network, state, carrier);
	if (!json_is_object(text_member(port, "fallback")))
		return;
	text_value(text_member(port, "fallback.why"), why, sizeof(why));
	fprintf(out, "%s: no VF: %s\n", name, why);
}

/* Two samples of one port, and the seconds between them. */
struct span {
	const json_t *before, *after;
	double seconds; /* 0: not known */
};

static uint64_t count_of(const json_t *obj, const char *path)
{
	json_int_t n = json_integer_value(text_member(obj, path));

	return n > 0 ? (uint64_t)n : 0;
}

static double rate_of(const struct span *s, const char *path)
{
	uint64_t before = count_of(s->before, path), after = count_of(s->after, path);

	/* A counter that went back belongs to something else by now. */
	return s->seconds > 0 && s->before != NULL && after >= before
		       ? (double)(after - before) / s->seconds
		       : -1;
}

static void rate_put(json_t *row, const char *key, double rate)
{
	char text[32] = "-";

	if (rate >= 0)
		snprintf(text, sizeof(text), "%.0f", rate);
	json_object_set_new(row, key, json_string(text));
}

static uint64_t drops_of(const json_t *port)
{
	const json_t *n;
	const char *reason;
	uint64_t all = 0;

	json_object_foreach((json_t *)text_member(port, "drops"), reason, n)
		if (json_integer_value(n) > 0)
			all += (uint64_t)json_integer_value(n);
	return all;
}

static const struct field stats_columns[] = {
	{ "PORT", "port", text_value, true }, { "FROM GUEST", "from", text_value },
	{ "PER S", "from_rate", text_value }, { "BITS/S", "from_bits", text_value },
	{ "TO GUEST", "to", text_value },     { "PER S", "to_rate", text_value },
	{ "BITS/S", "to_bits", text_value },  { "DROPS", "drops", text_value },
	{ "KICKS", "kicks", text_value },     { "CALLS", "calls", text_value },
};

static json_t *stats_row(const struct span *s)
{
	static const struct {
		const char *key, *path;
	} numbers[] = { { "from", "from_guest.packets" },
			{ "to", "to_guest.packets" },
			{ "kicks", "kicks" },
			{ "calls", "calls" } };
	char name[TEXT_CELL];
	json_t *row = json_object();
	double bits;

	text_port(s->after, name, sizeof(name));
	json_object_set_new(row, "port", json_string(name));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		json_object_set(row, numbers[i].key,
				(json_t *)text_member(s->after, numbers[i].path));
	rate_put(row, "from_rate", rate_of(s, "from_guest.packets"));
	rate_put(row, "to_rate", rate_of(s, "to_guest.packets"));
	bits = rate_of(s, "from_guest.bytes");
	rate_put(row, "from_bits", bits >= 0 ? bits * 8 : bits);
	bits = rate_of(s, "to_guest.bytes");
	rate_put(row, "to_bits", bits >= 0 ? bits * 8 : bits);
	json_object_set_new(row, "drops",
			    json_integer((json_int_t)u64_min(drops_of(s->after), INT64_MAX)));
	return row;
}

/* The reasons that there were: "fw1/mgt dropped: 3 spoofed, 7 rate". */
static void drops_print(FILE *out, const json_t *port)
{
	char name[TEXT_CELL], reason[TEXT_CELL];
	const json_t *n;
	const char *key, *sep = "";

	if (drops_of(port) == 0)
		return;
	text_port(port, name, sizeof(name));
	fprintf(out, "%s dropped: ", name);
	json_object_foreach((json_t *)text_member(port, "drops"), key, n) {
		if (json_integer_value(n) <= 0)
			continue;
		text_clean(reason, sizeof(reason), key);
		fprintf(out, "%s%lld %s", sep, (long long)json_integer_value(n), reason);
		sep = ", ";
	}
	fputc('\n', out);
}

static void problem_print(FILE *out, const json_t *port)
{
	char name[TEXT_CELL], text[TEXT_CELL], interrupts[TEXT_CELL];

	if (!json_is_string(text_member(port, "problem")))
		return;
	text_port(port, name, sizeof(name));
	text_value(text_member(port, "problem"), text, sizeof(text));
	text_value(text_member(port, "interrupts"), interrupts, sizeof(interrupts));
	fprintf(out, "%s: %s", name, text);
	if (json_is_integer(text_member(port, "interrupts")))
		fprintf(out, "; interrupts: %s", interrupts);
	fputc('\n', out);
}

static const json_t *port_like(const json_t *ports, const json_t *port)
{
	const json_t *vm = text_member(port, "vm"), *name = text_member(port, "name"), *one;
	size_t i;

	json_array_foreach((json_t *)ports, i, one)
		if (json_equal((json_t *)vm, (json_t *)text_member(one, "vm")) &&
		    json_equal((json_t *)name, (json_t *)text_member(one, "name")))
			return one;
	return NULL;
}

int render_port_stats(FILE *out, const json_t *pair, struct err *e)
{
	const json_t *before = text_member(pair, "before"), *after = text_member(pair, "after");
	uint64_t from = count_of(before, "time_ns"), to = count_of(after, "time_ns");
	const double seconds = to > from && from > 0 ? (double)(to - from) / 1e9 : 0;
	auto_json json_t *rows = json_array();
	json_t *ports, *port;
	size_t i;
	int r = render_rows(after, "ports", &ports, e);

	if (r < 0)
		return r;
	json_array_foreach(ports, i, port) {
		const struct span s = { port_like(text_member(before, "ports"), port), port,
					seconds };

		if (json_is_object(text_member(port, "from_guest")))
			json_array_append_new(rows, stats_row(&s));
	}
	if (json_array_size(rows) > 0)
		r = view_table(out, stats_columns, ARRAY_SIZE(stats_columns), rows, e);
	else if (json_array_size(ports) == 0)
		fputs("No VM that runs has a port.\n", out);
	json_array_foreach(ports, i, port) {
		drops_print(out, port);
		problem_print(out, port);
	}
	return r;
}
