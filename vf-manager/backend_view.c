// SPDX-License-Identifier: BSD-3-Clause
/* The polled engine as the API shows it: from what is wished and what was last seen. */
#include "vf-manager/backend_view.h"

#include "vf-manager/backend_core.h"

#include "base/json.h"

#include <errno.h>
#include <stdlib.h>

static json_t *text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

/* Look locked. `have` NULL: viaduct-pmd does not have it (now). */
static json_t *port_view(const struct wish_port *p, const struct pmd_port *have)
{
	const char *error = have != NULL ? have->error : p->why.text;

	return json_pack("{s:s, s:s, s:o, s:s, s:i, s:o, s:o, s:o}", "port", p->name, "network",
			 p->network, "lcore",
			 have != NULL ? json_integer(have->lcore) : json_null(), "state",
			 have != NULL ? have->state : "absent", "queues",
			 have != NULL ? (int)have->queues : 0, "features",
			 text_or_null(have != NULL ? have->features : ""), "ring",
			 text_or_null(have != NULL ? have->ring : ""), "error",
			 text_or_null(error));
}

static const struct pmd_port *port_seen(const struct backend *b, const char *name)
{
	return b->p.has_status ? pmd_port_find(&b->status, name) : NULL;
}

json_t *backend_port_view(struct daemon *d, const char *name)
{
	struct backend *b = d->backend;
	json_t *out = NULL;

	if (b == NULL)
		return NULL;
	look_lock(b);
	for (unsigned int i = 0; out == NULL && i < b->port_count; i++)
		if (strcmp(b->ports[i].name, name) == 0)
			out = port_view(&b->ports[i], port_seen(b, name));
	look_unlock(b);
	return out;
}

void backend_network_ports(struct daemon *d, const char *network, json_t *list)
{
	struct backend *b = d->backend;

	if (b == NULL)
		return;
	look_lock(b);
	for (unsigned int i = 0; i < b->port_count; i++) {
		const struct pmd_port *have = port_seen(b, b->ports[i].name);

		if (strcmp(b->ports[i].network, network) == 0)
			json_array_append_new(
				list, json_pack("{s:s, s:s, s:n, s:s}", "port", b->ports[i].name,
						"engine", "polled", "vf", "state",
						have != NULL ? have->state : "absent"));
	}
	look_unlock(b);
}

static json_t *counts_view(const struct pmd_counts *c)
{
	return json_pack("{s:I, s:I}", "packets", (json_int_t)c->packets, "bytes",
			 (json_int_t)c->bytes);
}

static void stats_add(const struct pmd_port_stats *s, json_t *out)
{
	json_t *drops = json_object(), *rings = json_array();

	for (unsigned int i = 0; i < PMD_DROPS; i++)
		json_object_set_new(drops, pmd_drop_words[i],
				    json_integer((json_int_t)s->drops[i]));
	for (unsigned int i = 0; i < s->ring_count; i++)
		json_array_append_new(rings, json_pack("{s:I, s:I}", "rx_free",
						       (json_int_t)s->rings[i].rx_free, "tx_ready",
						       (json_int_t)s->rings[i].tx_ready));
	json_object_set_new(out, "from_guest", counts_view(&s->from_guest));
	json_object_set_new(out, "to_guest", counts_view(&s->to_guest));
	json_object_set_new(out, "drops", drops);
	json_object_set_new(out, "kicks", json_integer((json_int_t)s->kicks));
	json_object_set_new(out, "calls", json_integer((json_int_t)s->calls));
	json_object_set_new(out, "rings", rings);
}

static int stats_ask(struct backend *b, const char *port, struct pmd_stats *out, struct err *e)
{
	auto_json json_t *body = json_pack("{s:s}", "op", "stats"), *result = NULL;
	int r;

	if (port != NULL)
		json_object_set_new(body, "port", json_string(port));
	r = backend_ask(b, body, &result, e);
	return r < 0 ? r : pmd_stats_read(result, out, e);
}

int backend_port_stats(struct daemon *d, const char *name, json_t **out, struct err *e)
{
	auto_json json_t *view = backend_port_view(d, name);
	struct pmd_stats *stats;
	int r;

	if (view == NULL) {
		err_set(e, ENOENT, "there is no polled port %.140s", name);
		return err_code(e, "no-such-port");
	}
	stats = malloc(sizeof(*stats));
	if (stats == NULL)
		return err_set(e, ENOMEM, "no memory");
	r = stats_ask(d->backend, name, stats, e);
	if (r == 0 && (stats->port_count != 1 || strcmp(stats->ports[0].name, name) != 0))
		r = err_set(e, EBADMSG, "viaduct-pmd: these are not the statistics of %s", name);
	if (r == 0) {
		stats_add(&stats->ports[0], view);
		*out = json_incref(view);
	}
	free(stats);
	return r;
}

void backend_stats_look(struct daemon *d)
{
	struct backend *b = d->backend;
	struct pmd_stats *stats;
	bool is_up;

	if (b == NULL)
		return;
	look_lock(b);
	is_up = b->p.state == BACKEND_UP;
	b->has_stats = false;
	look_unlock(b);
	stats = is_up ? malloc(sizeof(*stats)) : NULL;
	if (stats == NULL)
		return;
	if (stats_ask(b, NULL, stats, NULL) == 0) {
		look_lock(b);
		b->stats = *stats;
		b->has_stats = true;
		look_unlock(b);
	}
	free(stats);
}

static const char *uplink_network(const struct config *config, const char *uplink)
{
	for (unsigned int i = 0; i < config->network_count; i++)
		for (unsigned int k = 0; k < config->networks[i].polled_count; k++)
			if (strcmp(config->networks[i].polled[k], uplink) == 0)
				return config->networks[i].name;
	return NULL;
}

/* Look locked. */
static const char *uplink_state(const struct backend *b, const struct wish_uplink *wish,
				const struct pmd_uplink *have)
{
	if (have != NULL)
		return have->has_link ? "up" : "down";
	if (b == NULL)
		return "unknown"; /* no daemon, and so nobody who would know */
	return wish->why.errnum != 0 ? "failed" : "absent";
}

/* Look locked, where there is a backend. */
static json_t *uplink_view(struct daemon *d, unsigned int i)
{
	const struct config_uplink *up = &d->config.uplinks[i];
	const struct backend *b = d->backend;
	const struct wish_uplink *wish = b != NULL ? &b->uplinks[i] : NULL;
	const struct pmd_uplink *have =
		b != NULL && b->p.has_status ? pmd_uplink_find(&b->status, up->name) : NULL;
	const char *why = wish != NULL && wish->why.errnum != 0 ? wish->why.text : "";

	if (b != NULL && b->p.state == BACKEND_DOWN)
		why = b->p.why.text;
	return json_pack(
		"{s:s, s:s, s:s, s:o, s:i, s:s?, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:s?}",
		"name", up->name, "kind", config_uplink_kind_text(up->kind), "device", up->device,
		"address",
		uplink_is_taken(up->kind) && wish != NULL ? text_or_null(wish->device)
							  : json_null(),
		"mtu", (int)up->mtu, "network", uplink_network(&d->config, up->name), "state",
		uplink_state(b, wish, have), "link",
		have != NULL ? json_boolean(have->has_link) : json_null(), "speed_mbps",
		have != NULL && have->speed_mbps != 0 ? json_integer((json_int_t)have->speed_mbps)
						      : json_null(),
		"driver", text_or_null(have != NULL ? have->driver : ""), "mac",
		text_or_null(have != NULL ? have->mac : ""), "note",
		text_or_null(have != NULL ? have->note : ""), "queues",
		have != NULL ? json_integer(have->queues) : json_null(), "reach",
		b != NULL ? backend_reach_view(b, i) : json_null(), "problem",
		why[0] != '\0' ? why : NULL, "hint",
		wish != NULL && wish->why.hint[0] != '\0' ? wish->why.hint : NULL);
}

static json_t *uplink_at(struct daemon *d, unsigned int i)
{
	json_t *out;

	if (d->backend != NULL)
		look_lock(d->backend);
	out = uplink_view(d, i);
	if (d->backend != NULL)
		look_unlock(d->backend);
	return out;
}

json_t *backend_uplinks_view(struct daemon *d)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < d->config.uplink_count; i++)
		json_array_append_new(list, uplink_at(d, i));
	return list;
}

static void uplink_counts_add(struct backend *b, const char *name, json_t *out)
{
	const struct pmd_uplink_stats *s = NULL;

	look_lock(b);
	for (unsigned int i = 0; b->has_stats && s == NULL && i < b->stats.uplink_count; i++)
		if (strcmp(b->stats.uplinks[i].name, name) == 0)
			s = &b->stats.uplinks[i];
	if (s != NULL) {
		json_t *rx = counts_view(&s->rx), *tx = counts_view(&s->tx);

		json_object_set_new(rx, "drops", json_integer((json_int_t)s->rx.drops));
		json_object_set_new(tx, "drops", json_integer((json_int_t)s->tx.drops));
		json_object_set_new(out, "rx", rx);
		json_object_set_new(out, "tx", tx);
	} else {
		json_object_set_new(out, "rx", json_null());
		json_object_set_new(out, "tx", json_null());
	}
	look_unlock(b);
}

json_t *backend_process_view(struct daemon *d)
{
	struct backend *b = d->backend;
	json_t *lcores, *out;

	if (b == NULL)
		return json_null();
	lcores = json_array();
	look_lock(b);
	for (unsigned int i = 0; b->p.has_status && i < b->status.lcore_count; i++)
		json_array_append_new(lcores, json_pack("{s:i, s:i, s:f}", "lcore",
							(int)b->status.lcores[i].lcore, "cpu",
							b->status.lcores[i].cpu, "busy",
							b->status.lcores[i].busy));
	out = json_pack("{s:s, s:s, s:o, s:o, s:I, s:o, s:s?}", "name", BACKEND_NAME, "state",
			b->p.state == BACKEND_UP     ? "up"
			: b->p.state == BACKEND_DOWN ? "down"
						     : "off",
			"pid", b->p.peer.pid != 0 ? json_integer(b->p.peer.pid) : json_null(),
			"dpdk", text_or_null(b->p.has_status ? b->status.dpdk : ""), "restarts",
			(json_int_t)b->p.restarts, "lcores", lcores, "problem",
			b->p.state == BACKEND_DOWN ? b->p.why.text : NULL);
	look_unlock(b);
	return out;
}

int backend_uplink_view(struct daemon *d, const char *name, json_t **out, struct err *e)
{
	const struct config_uplink *up = config_uplink_find(&d->config, name);

	if (up == NULL) {
		err_set(e, ENOENT, "there is no uplink '%.64s'", name);
		err_hint(e, "viaduct uplink list");
		return err_code(e, "no-such-uplink");
	}
	*out = uplink_at(d, (unsigned int)(up - d->config.uplinks));
	json_object_set_new(*out, "backend", backend_process_view(d));
	if (d->backend != NULL) {
		backend_stats_look(d);
		uplink_counts_add(d->backend, name, *out);
	}
	return 0;
}

json_t *backend_fdb_view(struct daemon *d, const char *network, bool *is_cut)
{
	auto_json json_t *body = json_pack("{s:s, s:s}", "op", "fdb", "network", network);
	auto_json json_t *result = NULL;
	json_t *entries = NULL;

	*is_cut = false;
	if (d->backend == NULL || backend_ask(d->backend, body, &result, NULL) < 0 ||
	    pmd_fdb_read(result, &entries, is_cut, NULL) < 0)
		return json_null();
	return entries;
}

const char *backend_network_active(struct daemon *d, const char *network, char buf[PMD_NAME_TEXT])
{
	struct backend *b = d->backend;
	const struct pmd_network *net;

	buf[0] = '\0';
	if (b == NULL)
		return NULL;
	look_lock(b);
	net = b->p.has_status ? pmd_network_find(&b->status, network) : NULL;
	if (net != NULL)
		memcpy(buf, net->active, PMD_NAME_TEXT);
	look_unlock(b);
	return buf[0] != '\0' ? buf : NULL;
}
