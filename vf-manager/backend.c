// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/backend_core.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/monitor.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SECOND_NS 1000000000ULL
#define UPLINK_NS (10 * SECOND_NS) /* from an uplink that could not be added to the next try */

/* A new process has been asked for no uplink. */
static void asked_forget(struct backend_proc *p)
{
	struct backend *b = p->d->backend;

	for (unsigned int i = 0; i < PMD_MAX_UPLINKS; i++)
		b->uplinks[i].is_asked = false;
}

int backend_create(struct daemon *d, struct err *e)
{
	struct backend *b = calloc(1, sizeof(*b));
	int r;

	if (b == NULL)
		return err_set(e, ENOMEM, "no memory");
	d->backend = b;
	b->d = d;
	b->p.d = d;
	b->p.role = &backend_role_net;
	r = backend_proc_init(&b->p, BACKEND_NAME, e);
	b->p.ended = asked_forget;
	for (unsigned int i = 0; i < d->config.uplink_count; i++)
		if (!uplink_is_taken(d->config.uplinks[i].kind))
			snprintf(b->uplinks[i].device, sizeof(b->uplinks[i].device), "%s",
				 d->config.uplinks[i].device);
	b->p.is_wanted = d->config.uplink_count > 0;
	return r == 0 ? backend_reach_create(b, e) : r;
}

void backend_stop(struct daemon *d)
{
	if (d->backend != NULL)
		backend_proc_stop(&d->backend->p);
}

void backend_destroy(struct daemon *d)
{
	struct backend *b = d->backend;

	if (b == NULL)
		return;
	backend_stop(d);
	for (unsigned int i = 0; i < b->port_count; i++)
		json_decref(b->ports[i].policy);
	backend_reach_destroy(b);
	backend_proc_fini(&b->p);
	free(b);
	d->backend = NULL;
}

bool backend_drives(const struct backend *b, const struct pci_addr *addr)
{
	char text[PCI_ADDR_TEXT];

	if (!b->p.has_status || b->p.pidfd < 0)
		return false;
	pci_addr_text(addr, text);
	for (unsigned int i = 0; i < b->status.uplink_count; i++)
		if (strcmp(b->status.uplinks[i].device, text) == 0)
			return true;
	return false;
}

int backend_ask(struct backend *b, json_t *body, json_t **result, struct err *e)
{
	struct pmd_peer peer;

	look_lock(b);
	peer = b->p.peer;
	look_unlock(b);
	return pmd_call(b->d, &peer, body, result, e);
}

static int status_read(struct backend *b, struct err *e)
{
	auto_json json_t *body = json_pack("{s:s}", "op", "status"), *result = NULL;
	int r = pmd_call(b->d, &b->p.peer, body, &result, e);

	return r < 0 ? r : pmd_status_read(result, &b->fresh, e);
}

/* Where what came of a request is kept; NULL: nowhere. */
static struct err *why_of(struct backend *b, const char *op, json_t *body)
{
	const char *name = json_string_value(json_object_get(body, "name"));
	const char *port = json_string_value(json_object_get(body, "port"));

	if (strncmp(op, "uplink", 6) == 0) {
		const struct config_uplink *up = config_uplink_find(&b->d->config, name);

		return up != NULL ? &b->uplinks[up - b->d->config.uplinks].why : NULL;
	}
	if (strncmp(op, "network", 7) == 0) {
		const struct config_network *net = config_network_find(&b->d->config, name);

		return net != NULL ? &b->network_why[net - b->d->config.networks] : NULL;
	}
	for (unsigned int i = 0; i < b->port_count; i++)
		if (strcmp(b->ports[i].name, port) == 0)
			return &b->ports[i].why;
	return NULL;
}

static void why_set(struct backend *b, struct err *at, const struct err *why, const char *op)
{
	const bool is_news = at == NULL || strcmp(at->text, why->text) != 0;

	if (why->errnum != 0 && is_news)
		log_err(why, op);
	if (at == NULL)
		return;
	look_lock(b);
	*at = *why;
	look_unlock(b);
}

static void uplink_asked(struct backend *b, json_t *body, bool is_done)
{
	const struct config_uplink *up =
		config_uplink_find(&b->d->config, json_string_value(json_object_get(body, "name")));
	struct wish_uplink *wish = up != NULL ? &b->uplinks[up - b->d->config.uplinks] : NULL;

	if (wish == NULL)
		return;
	wish->is_asked = is_done;
	/* A new device has none of the ports' addresses. */
	b->reach->next_ns = 0;
	wish->retry_ns = is_done ? 0 : now_ns() + UPLINK_NS;
}

static void port_heard(struct backend *b, const char *name)
{
	for (unsigned int i = 0; i < b->port_count; i++)
		if (strcmp(b->ports[i].name, name) == 0)
			b->ports[i].is_stale = false;
}

static int kind_prepare(struct backend *b, json_t *body, struct err *e)
{
	const char *kind = json_string_value(json_object_get(body, "kind"));
	const char *device = json_string_value(json_object_get(body, "device"));

	if (kind == NULL || device == NULL ||
	    strcmp(kind, config_uplink_kind_text(PMD_UPLINK_AF_XDP)) != 0)
		return 0;
	return backend_xdp_clear(b, device, e);
}

/* Takes the list. How many were made; -errno: it does not answer. */
static int requests_make(struct backend *b, json_t *list)
{
	int n = 0, r = 0;
	json_t *body;
	size_t i;

	json_array_foreach(list, i, body) {
		const char *op = json_string_value(json_object_get(body, "op"));
		struct err e = { 0 };

		r = kind_prepare(b, body, &e);
		if (r == 0)
			r = pmd_call(b->d, &b->p.peer, body, NULL, &e);
		if (strcmp(op, "uplink-add") == 0)
			uplink_asked(b, body, r == 0);
		else if (r == 0 && (strcmp(op, "port-add") == 0 || strcmp(op, "port-set") == 0))
			port_heard(b, json_string_value(json_object_get(body, "port")));
		why_set(b, why_of(b, op, body), &e, op);
		n++;
		if (r < 0 && strcmp(e.code, "backend-down") == 0)
			break;
		r = 0;
	}
	json_decref(list);
	return r < 0 ? r : n;
}

static void links_note(struct backend *b, bool *is_news)
{
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++) {
		const struct pmd_uplink *up =
			pmd_uplink_find(&b->fresh, b->d->config.uplinks[i].name);
		struct wish_uplink *wish = &b->uplinks[i];
		const bool was_down = wish->down_ns != 0;

		/* It is there as it should be, whatever came of asking for it. */
		if (up != NULL)
			wish->why = (struct err){ 0 };
		if (up != NULL && up->has_link) {
			wish->had_link = true;
			wish->down_ns = 0;
		} else if (wish->down_ns == 0) {
			wish->down_ns = now_ns();
		}
		*is_news |= was_down != (wish->down_ns != 0);
	}
}

static void publish(struct backend *b)
{
	bool is_news = false;

	look_lock(b);
	links_note(b, &is_news);
	b->status = b->fresh;
	is_news |= !b->p.has_status;
	b->p.has_status = true;
	look_unlock(b);
	if (is_news && b->d->monitor != NULL)
		monitor_kick(b->d->monitor);
}

/* Each step sees what the one before has made of it. */
static int steps_make(struct backend *b, struct err *e)
{
	const struct sync_wish w = { &b->d->config, b->uplinks, b->ports, b->port_count };
	int n, r = status_read(b, e);

	for (unsigned int step = 0; r == 0 && step < 4; step++) {
		n = requests_make(b, step == 0	 ? sync_clear(&w, &b->fresh)
				     : step == 1 ? sync_uplinks(&w, &b->fresh, now_ns())
				     : step == 2 ? sync_networks(&w, &b->fresh)
						 : sync_ports(&w, &b->fresh));
		if (n != 0)
			r = n < 0 ? err_set(e, -n, "viaduct-pmd does not answer")
				  : status_read(b, e);
	}
	return r;
}

static void look(struct backend *b)
{
	struct err e = { 0 };

	if (steps_make(b, &e) == 0) {
		b->p.silences = 0;
		publish(b);
		return;
	}
	(void)backend_silence(&b->p, &e);
}

static bool uplink_waits(const struct backend *b, unsigned int i, uint64_t now)
{
	return uplink_is_taken(b->d->config.uplinks[i].kind) && b->uplinks[i].device[0] == '\0' &&
	       now >= b->uplinks[i].retry_ns;
}

static void fns_take(struct backend *b)
{
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++) {
		struct err e = { 0 };
		int r;

		if (!uplink_waits(b, i, now_ns()))
			continue;
		r = b->d->config.uplinks[i].kind == PMD_UPLINK_VF ? backend_vf_take(b, i, &e)
								  : backend_fn_take(b, i, &e);
		b->uplinks[i].retry_ns = r < 0 ? now_ns() + UPLINK_NS : 0;
		why_set(b, &b->uplinks[i].why, &e, b->d->config.uplinks[i].name);
	}
}

static void start(struct backend *b)
{
	if (!backend_proc_start(&b->p))
		return;
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++)
		b->uplinks[i].retry_ns = 0;
}

void backend_settle(struct backend *b, bool has_op)
{
	backend_end_note(&b->p);
	backend_vfs_check(b);
	if (!b->p.is_wanted && b->p.pidfd < 0 && b->p.state == BACKEND_DOWN)
		backend_state_set(&b->p, BACKEND_OFF, NULL);
	if (has_op && b->p.is_wanted)
		fns_take(b);
	if (b->p.is_wanted && b->p.pidfd < 0 && now_ns() >= b->p.retry_ns)
		start(b);
	if (b->p.pidfd >= 0)
		look(b);
	if (has_op && b->p.silences == 0) {
		backend_fns_return(b);
		backend_vfs_return(b);
	}
	backend_reach_settle(b, has_op);
}

/* Work locked. */
static bool needs_op(struct backend *b)
{
	bool is_any = backend_fns_are_left(b) || backend_vfs_are_left(b) ||
		      backend_reach_needs_op(b);

	for (unsigned int i = 0; !is_any && i < b->d->config.uplink_count; i++)
		is_any = uplink_waits(b, i, now_ns());
	return is_any;
}

/* Op and work locked. What is given back, the process has been seen to have let go. */
static void fns_settle(struct backend *b)
{
	if (b->p.is_wanted)
		fns_take(b);
	if (b->p.silences == 0 && (b->p.has_status || b->p.pidfd < 0)) {
		backend_fns_return(b);
		backend_vfs_return(b);
	}
	backend_reach_settle(b, true);
}

static void *backend_main(void *arg)
{
	struct backend *b = arg;

	while (!backend_proc_must_end(&b->p)) {
		bool has_op;
		int pidfd, ms;

		work_lock(b);
		has_op = needs_op(b);
		work_unlock(b);
		/* Who has it may need us: then next time. */
		has_op = has_op && op_trylock(b->d) == 0;
		/* A start takes long: not with op held. */
		if (has_op) {
			work_lock(b);
			fns_settle(b);
			work_unlock(b);
			op_unlock(b->d);
		}
		work_lock(b);
		backend_settle(b, false);
		pidfd = b->p.pidfd;
		ms = backend_proc_tick(&b->p);
		work_unlock(b);
		backend_carriers_follow(b);
		backend_proc_wait(&b->p, pidfd, ms);
	}
	return NULL;
}

int backend_start(struct daemon *d, struct err *e)
{
	struct backend *b = d->backend;
	struct err filters = { 0 };

	work_lock(b);
	b->p.is_wanted |= b->port_count > 0;
	if (backend_reach_load(b, &filters) < 0)
		log_err(&filters, "filters");
	backend_find(&b->p);
	work_unlock(b);
	return backend_proc_watch(&b->p, backend_main, b, e);
}
