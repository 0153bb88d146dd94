// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/network.h"

#include <rte_cycles.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint32_t network_poll(void *arg, uint64_t now)
{
	struct network *n = arg;

	return switch_poll(n->sw, now);
}

/* All that can wake the lcore does so, but for uplinks whose driver has no interrupts. */
static uint32_t network_doze(void *arg, bool on)
{
	struct network *n = arg;
	uint32_t ms = LCORE_DOZE_MS;

	for (unsigned int i = 0; i < n->port_count; i++)
		vhost_port_doze(n->ports[i]->vhost, on);
	for (unsigned int i = 0; i < n->uplink_count; i++) {
		uplink_interrupt(n->uplinks[i].uplink, on);
		if (uplink_interrupt_fd(n->uplinks[i].uplink) < 0)
			ms = LCORE_NAP_MS;
	}
	return switch_wait_ms(n->sw, ms);
}

/* A call on the lcore: what it works on and what came of it. */
struct work {
	struct network *n;
	struct port *port;
	const struct policy *policy;
	struct uplink *uplink;
	struct switch_uplink **uplink_out;
	struct mirror *mirror;
	struct err *e;
	int result;
};

static void uplink_add_work(void *arg)
{
	struct work *w = arg;

	w->result = switch_uplink_add(w->n->sw, uplink_name(w->uplink), uplink_endpoint(w->uplink),
				      w->uplink_out, w->e);
	if (w->result == 0)
		lcore_watch(w->n->lcore, uplink_interrupt_fd(w->uplink));
}

static int uplink_join(struct network *n, struct uplink *u, struct switch_uplink **out,
		       struct err *e)
{
	struct work w = { .n = n, .uplink = u, .uplink_out = out, .e = e };

	lcore_call(n->lcore, uplink_add_work, &w);
	return w.result;
}

static int bond_make(struct network *n, const struct network_config *cfg, struct err *e)
{
	struct pmd_uplink_wish wish = { .kind = PMD_UPLINK_NULL, .mtu = PMD_MAX_MTU };
	char name[PMD_NAME_TEXT + 8];
	struct uplink_config uplink = { .name = name, .wish = &wish, .pool = cfg->pool };
	int r;

	for (unsigned int i = 0; i < n->uplink_count; i++)
		wish.mtu = (uint16_t)u64_min(wish.mtu, uplink_endpoint(n->uplinks[i].uplink)->mtu);
	snprintf(name, sizeof(name), "bond-%s", n->name);
	r = uplink_bond_create(&uplink, cfg->uplinks, n->uplink_count, &n->bonded, e);
	return r < 0 ? r : uplink_join(n, n->bonded, &n->bonded_sw, e);
}

static int uplinks_join(struct network *n, const struct network_config *cfg, struct err *e)
{
	int r = 0;

	if (n->bond == PMD_BOND_802_3AD)
		return bond_make(n, cfg, e);
	for (unsigned int i = 0; r == 0 && i < n->uplink_count; i++)
		r = uplink_join(n, n->uplinks[i].uplink, &n->uplinks[i].sw, e);
	return r;
}

int network_create(const struct network_config *cfg, struct network **out, struct err *e)
{
	struct switch_config sw = { .name = cfg->request->name,
				    .hz = rte_get_tsc_hz(),
				    .pool = cfg->pool };
	struct network *n = calloc(1, sizeof(*n));
	int r;

	if (n == NULL)
		return err_set(e, ENOMEM, "%s: out of memory", sw.name);
	snprintf(n->name, sizeof(n->name), "%.*s", PMD_NAME_TEXT - 1, cfg->request->name);
	n->bond = cfg->request->bond;
	n->lcore = cfg->lcore;
	n->job = (struct lcore_job){ network_poll, network_doze, n };
	r = switch_create(&sw, &n->sw, e);
	if (r < 0)
		goto fail;
	n->uplink_count = cfg->request->uplink_count;
	for (unsigned int i = 0; i < n->uplink_count; i++)
		n->uplinks[i].uplink = cfg->uplinks[i];
	r = uplinks_join(n, cfg, e);
	if (r < 0)
		goto fail;
	r = lcore_job_add(n->lcore, &n->job);
	if (r < 0) {
		err_set(e, r, "%s: lcore %u has all the networks that it can", n->name,
			lcore_id(n->lcore));
		goto fail;
	}
	n->polled = true;
	*out = n;
	return 0;
fail:
	network_destroy(n);
	return r;
}

static void uplinks_unwatch_work(void *arg)
{
	const struct network *n = arg;

	for (unsigned int i = 0; i < n->uplink_count; i++)
		lcore_unwatch(n->lcore, uplink_interrupt_fd(n->uplinks[i].uplink));
}

void network_destroy(struct network *n)
{
	if (n == NULL)
		return;
	if (n->polled)
		lcore_job_remove(n->lcore, &n->job);
	lcore_call(n->lcore, uplinks_unwatch_work, n);
	switch_destroy(n->sw);
	uplink_destroy(n->bonded);
	free(n);
}

static void port_add_work(void *arg)
{
	struct work *w = arg;
	struct network *n = w->n;

	const struct switch_port_config cfg = { w->port->name, vhost_port_endpoint(w->port->vhost),
						w->policy };

	w->result = switch_port_add(n->sw, &cfg, &w->port->sw, w->e);
	if (w->result == 0)
		n->ports[n->port_count++] = w->port;
}

static void port_remove_work(void *arg)
{
	struct work *w = arg;
	struct network *n = w->n;

	if (w->port->sw == NULL)
		return;
	switch_port_remove(w->port->sw);
	for (unsigned int i = 0; i < n->port_count; i++) {
		if (n->ports[i] != w->port)
			continue;
		n->ports[i] = n->ports[--n->port_count];
		break;
	}
}

int network_port_add(struct network *n, const struct port_config *cfg, struct port **out,
		     struct err *e)
{
	struct vhost_port_config vhost = { .name = cfg->request->name,
					   .socket = cfg->request->socket,
					   .pool = cfg->pool,
					   .lcore = n->lcore,
					   .thread = cfg->vhost,
					   .launch = cfg->launch };
	struct port *port = calloc(1, sizeof(*port));
	struct work w = { .n = n, .port = port, .policy = &cfg->request->policy, .e = e };
	int r;

	if (port == NULL)
		return err_set(e, ENOMEM, "%s: out of memory", vhost.name);
	strcpy(port->name, cfg->request->name);
	strcpy(port->socket, cfg->request->socket);
	port->network = n;
	r = vhost_port_create(&vhost, &port->vhost, e);
	if (r == 0) {
		lcore_call(n->lcore, port_add_work, &w);
		r = w.result;
	}
	if (r == 0)
		r = vhost_port_start(port->vhost, e);
	if (r < 0) {
		network_port_remove(port);
		return r;
	}
	*out = port;
	return 0;
}

static void port_set_work(void *arg)
{
	struct work *w = arg;

	w->result = switch_port_set_policy(w->port->sw, w->policy, w->e);
}

int network_port_set(struct port *port, const struct policy *policy, struct err *e)
{
	struct work w = { .port = port, .policy = policy, .e = e };

	lcore_call(port->network->lcore, port_set_work, &w);
	return w.result;
}

void network_port_remove(struct port *port)
{
	struct work w = { .n = port->network, .port = port };

	lcore_call(port->network->lcore, port_remove_work, &w);
	mirror_destroy(port->mirror);
	vhost_port_destroy(port->vhost);
	free(port);
}

static void mirror_work(void *arg)
{
	struct work *w = arg;

	switch_port_mirror(w->port->sw, w->mirror);
}

int network_mirror(struct port *port, int fd, uint64_t limit_bytes, struct err *e)
{
	const struct mirror_config cfg = { port->name, limit_bytes, rte_get_tsc_hz() };
	struct work w = { .port = port };
	int r;

	if (port->mirror != NULL) {
		close(fd);
		err_set(e, EEXIST, "port %s has a mirror already", port->name);
		return err_code(e, "mirror-exists");
	}
	r = mirror_create(fd, &cfg, &w.mirror, e);
	if (r < 0)
		return err_code(e, "bad-mirror");
	lcore_call(port->network->lcore, mirror_work, &w);
	port->mirror = w.mirror;
	return 0;
}

int network_mirror_stop(struct port *port, struct mirror_facts *out, struct err *e)
{
	struct work w = { .port = port, .mirror = NULL };

	if (port->mirror == NULL) {
		err_set(e, ENOENT, "port %s has no mirror", port->name);
		return err_code(e, "no-such-mirror");
	}
	lcore_call(port->network->lcore, mirror_work, &w);
	mirror_facts(port->mirror, out);
	mirror_destroy(port->mirror);
	port->mirror = NULL;
	return 0;
}

static void uplinks_watch_work(void *arg)
{
	const struct network *n = arg;

	for (unsigned int i = 0; i < n->uplink_count; i++)
		lcore_watch(n->lcore, uplink_interrupt_fd(n->uplinks[i].uplink));
}

/* No lcore polls it. */
static void lcore_set(struct network *n, struct lcore *to)
{
	lcore_call(n->lcore, uplinks_unwatch_work, n);
	n->lcore = to;
	lcore_call(n->lcore, uplinks_watch_work, n);
	for (unsigned int i = 0; i < n->port_count; i++)
		vhost_port_move(n->ports[i]->vhost, to);
}

int network_move(struct network *n, struct lcore *to)
{
	struct lcore *from = n->lcore;
	int r;

	for (unsigned int i = 0; i < n->port_count; i++)
		vhost_port_hold(n->ports[i]->vhost);
	lcore_job_remove(from, &n->job);
	lcore_set(n, to);
	r = lcore_job_add(to, &n->job);
	if (r < 0) {
		lcore_set(n, from);
		(void)lcore_job_add(from, &n->job); /* where there was room just now */
	}
	for (unsigned int i = 0; i < n->port_count; i++)
		vhost_port_release(n->ports[i]->vhost);
	return r;
}

void network_tick(struct network *n)
{
	if (n->bonded != NULL)
		uplink_link_update(n->bonded);
}
