// SPDX-License-Identifier: BSD-3-Clause
/* Ports of VMs on the polled engine: what is wished stays here, whatever becomes of the process. */
#include "vf-manager/backend_core.h"
#include "vf-manager/privops.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static struct wish_port *port_find(struct backend *b, const char *name)
{
	for (unsigned int i = 0; i < b->port_count; i++)
		if (strcmp(b->ports[i].name, name) == 0)
			return &b->ports[i];
	return NULL;
}

static int no_such_port(const char *name, struct err *e)
{
	err_set(e, ENOENT, "there is no polled port %.140s", name);
	return err_code(e, "no-such-port");
}

int backend_listener_make(struct daemon *d, char path[PMD_SOCKET_TEXT], int *fd_out, struct err *e)
{
	struct backend *b = d->backend;
	int r;

	work_lock(b);
	r = backend_socket_make(&b->p, path, fd_out, e);
	work_unlock(b);
	return r;
}

void backend_listener_remove(struct daemon *d, const char *path)
{
	work_lock(d->backend);
	backend_socket_drop(&d->backend->p, path);
	work_unlock(d->backend);
}

static int wish_make(const struct backend_port *port, struct wish_port *out, struct err *e)
{
	memset(out, 0, sizeof(*out));
	if (strlen(port->name) >= sizeof(out->name) ||
	    strlen(port->network) >= sizeof(out->network) ||
	    strlen(port->socket) >= sizeof(out->socket))
		return err_set(e, ENAMETOOLONG, "port %.140s: a name is too long", port->name);
	strcpy(out->name, port->name);
	strcpy(out->network, port->network);
	strcpy(out->socket, port->socket);
	out->policy = json_deep_copy(port->policy);
	return out->policy != NULL ? 0 : err_set(e, ENOMEM, "no memory");
}

static void wish_keep(struct backend *b, const struct wish_port *wish)
{
	look_lock(b);
	b->ports[b->port_count++] = *wish;
	look_unlock(b);
	backend_socket_keep(&b->p, wish->socket);
}

static int room_check(struct backend *b, const char *name, struct err *e)
{
	if (port_find(b, name) != NULL) {
		err_set(e, EEXIST, "the port %.140s is on the polled engine already", name);
		return err_code(e, "port-exists");
	}
	if (b->port_count == PMD_MAX_PORTS)
		return err_set(e, ENOSPC, "there are %d polled ports already", PMD_MAX_PORTS);
	return 0;
}

int backend_port_restore(struct daemon *d, const struct backend_port *port, struct err *e)
{
	struct backend *b = d->backend;
	struct wish_port wish;
	int r;

	work_lock(b);
	r = room_check(b, port->name, e);
	if (r == 0)
		r = wish_make(port, &wish, e);
	/* The daemon before may have died between ledger and viaduct-pmd. */
	wish.is_stale = true;
	if (r == 0)
		wish_keep(b, &wish);
	work_unlock(b);
	return r;
}

/* Op and work locked. A process that waits for its next try is tried now. */
static int up_now(struct backend *b, struct err *e)
{
	b->p.is_wanted = true;
	b->p.retry_ns = 0;
	backend_settle(b, true);
	if (b->p.state == BACKEND_UP)
		return 0;
	*e = b->p.why;
	err_code(e, "backend-down");
	return err_wrap(e, "viaduct-pmd is not up");
}

int backend_port_add(struct daemon *d, const struct backend_port *port, struct err *e)
{
	struct backend *b = d->backend;
	struct wish_port wish = { 0 };
	json_t *body = NULL;
	int r;

	work_lock(b);
	r = room_check(b, port->name, e);
	if (r == 0)
		r = up_now(b, e);
	if (r == 0)
		r = backend_ready(d, port->network, e);
	if (r == 0)
		r = wish_make(port, &wish, e);
	if (r == 0) {
		body = sync_port_add(&wish);
		r = pmd_call(d, &b->p.peer, body, NULL, e);
	}
	if (r == 0)
		wish_keep(b, &wish);
	else
		json_decref(wish.policy);
	backend_reach_settle(b, true);
	b->p.is_wanted = d->config.uplink_count > 0 || b->port_count > 0;
	work_unlock(b);
	json_decref(body);
	return r < 0 ? err_wrap(e, "port %s", port->name) : 0;
}

int backend_port_set(struct daemon *d, const char *name, json_t *policy, struct err *e)
{
	auto_json json_t *body =
		json_pack("{s:s, s:s, s:O}", "op", "port-set", "port", name, "policy", policy);
	auto_json json_t *copy = json_deep_copy(policy);
	struct backend *b = d->backend;
	struct wish_port *wish;
	bool is_stale = false;
	int r = 0;

	work_lock(b);
	wish = port_find(b, name);
	if (wish == NULL)
		r = no_such_port(name, e);
	else if (copy == NULL)
		r = err_set(e, ENOMEM, "no memory");
	else if (b->p.state == BACKEND_UP)
		r = pmd_call(d, &b->p.peer, body, NULL, e);
	/* One that comes back will have it. */
	if (r < 0 && wish != NULL && e != NULL &&
	    (strcmp(e->code, "backend-down") == 0 || strcmp(e->code, "no-such-port") == 0)) {
		r = 0;
		is_stale = true;
	}
	if (r == 0) {
		look_lock(b);
		/* Whoever changes the link tells the guest; what its uplinks make of it comes after. */
		if (!json_equal(json_object_get(wish->policy, "link"),
				json_object_get(copy, "link")))
			wish->is_told_down = false;
		json_decref(wish->policy);
		wish->policy = json_incref(copy);
		wish->is_stale = is_stale;
		look_unlock(b);
		backend_reach_settle(b, true);
	}
	work_unlock(b);
	return r;
}

/* Work locked. */
static void wish_drop(struct backend *b, struct wish_port *wish)
{
	backend_socket_drop(&b->p, wish->socket);
	json_decref(wish->policy);
	look_lock(b);
	*wish = b->ports[--b->port_count];
	memset(&b->ports[b->port_count], 0, sizeof(*wish));
	look_unlock(b);
}

int backend_port_remove(struct daemon *d, const char *name, struct err *e)
{
	auto_json json_t *body = json_pack("{s:s, s:s}", "op", "port-remove", "port", name);
	struct backend *b = d->backend;
	struct wish_port *wish;
	struct err why = { 0 };
	int r = 0;

	work_lock(b);
	wish = port_find(b, name);
	if (wish != NULL) {
		wish_drop(b, wish);
		if (b->p.pidfd >= 0)
			r = pmd_call(d, &b->p.peer, body, NULL, &why);
		/* Whatever it has to say: it must not touch that memory any more. */
		if (r < 0 && strcmp(why.code, "no-such-port") != 0) {
			log_err(&why, name);
			b->p.silences = 1;
			backend_end(&b->p);
			b->p.retry_ns = 0;
			backend_kick(&b->p);
		}
		backend_reach_settle(b, true);
	}
	work_unlock(b);
	return 0;
}

void backend_ports_remove_vm(struct daemon *d, const char *vm)
{
	struct backend *b = d->backend;
	const size_t len = strlen(vm);
	char name[PMD_PORT_TEXT];
	bool is_any = b != NULL;

	while (is_any) {
		is_any = false;
		look_lock(b);
		for (unsigned int i = 0; !is_any && i < b->port_count; i++) {
			is_any = strncmp(b->ports[i].name, vm, len) == 0 &&
				 b->ports[i].name[len] == '/';
			if (is_any)
				memcpy(name, b->ports[i].name, sizeof(name));
		}
		look_unlock(b);
		if (is_any)
			(void)backend_port_remove(d, name, NULL);
	}
}

/* Look locked. Why a network is not there though the process is; 0: it is on its way, and whoever adds a port to it waits. */
static int network_reason(struct backend *b, const struct config_network *net, struct err *e)
{
	const struct config *config = &b->d->config;
	const struct err *why = &b->network_why[net - config->networks];

	for (unsigned int i = 0; i < net->polled_count; i++) {
		const struct config_uplink *up = config_uplink_find(config, net->polled[i]);
		const struct err *failed = &b->uplinks[up - config->uplinks].why;

		if (failed->errnum == 0)
			continue;
		err_set(e, failed->errnum, "uplink %s: %s", up->name, failed->text);
		err_hint(e, "%s", failed->hint);
		return err_code(e, "uplink-failed");
	}
	if (why->errnum == 0)
		return 0;
	err_set(e, why->errnum, "viaduct-pmd: %s", why->text);
	return err_code(e, "uplink-failed");
}

int backend_ready(struct daemon *d, const char *network, struct err *e)
{
	const struct config_network *net = config_network_find(&d->config, network);
	struct backend *b = d->backend;
	int r = 0;

	if (net == NULL) {
		err_set(e, ENOENT, "there is no network '%.64s'", network);
		err_hint(e, "viaduct network list");
		return err_code(e, "no-such-network");
	}
	if (!config_network_is_polled(net)) {
		err_set(e, EINVAL, "network %s has no uplink that polled ports could use", network);
		err_hint(e, "name one of `uplinks` in its uplinks: viaductd.yaml(5)");
		return err_code(e, "no-polled-uplink");
	}
	if (b == NULL)
		return 0;
	look_lock(b);
	if (b->p.state == BACKEND_DOWN) {
		err_set(e, EAGAIN, "viaduct-pmd is not up: %.300s", b->p.why.text);
		err_hint(e, "%s", b->p.why.hint);
		r = err_code(e, "backend-down");
	} else if (b->p.state == BACKEND_UP && b->p.has_status &&
		   pmd_network_find(&b->status, network) == NULL) {
		r = network_reason(b, net, e);
	}
	look_unlock(b);
	return r < 0 ? err_wrap(e, "network %s", network) : 0;
}
