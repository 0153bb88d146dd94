// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/portpolled.h"

#include "vf-manager/backend.h"
#include "vf-manager/macuse.h"
#include "vf-manager/portpolicy.h"
#include "vf-manager/portset.h"
#include "vf-manager/vmport.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define MAC_ATTEMPTS 8

static const struct vm_port *port_of(const struct vm_start *s, const struct start_net *net)
{
	return &s->wish->spec->ports[net->port];
}

static char *owner_text(const struct vm_start *s, const struct vm_port *port, char buf[OWNER_TEXT])
{
	snprintf(buf, OWNER_TEXT, "%s/%s", s->wish->spec->name, port->name);
	return buf;
}

/* Among the ports of this VM: its others are in no facts yet. */
static bool mac_is_taken(const struct vm_start *s, const uint8_t mac[6])
{
	for (unsigned int i = 0; i < s->net_count; i++)
		if (memcmp(s->nets[i].mac, mac, 6) == 0)
			return true;
	return false;
}

static int mac_check(struct vm_start *s, const struct vm_port *port, const uint8_t mac[6],
		     struct err *e)
{
	char owner[OWNER_TEXT];
	const struct mac_wish wish = { .network = port->target,
				       .mac = mac,
				       .vlan = port->attrs.vlan,
				       .owner = owner_text(s, port, owner) };
	int r;

	if (mac_is_taken(s, mac))
		return err_set(e, EEXIST, "mac: another port of the VM has it");
	state_lock(s->d);
	r = mac_use_check(s->d, &wish, e);
	state_unlock(s->d);
	return r;
}

static int mac_choose(struct vm_start *s, const struct vm_port *port, uint8_t out[6], struct err *e)
{
	char owner[OWNER_TEXT];
	const struct mac_seed seed = { .prefix = s->d->config.mac_prefix,
				       .host_key = ledger_host_key(s->d->ledger),
				       .owner = owner_text(s, port, owner) };
	int r = -EEXIST;

	if ((port->attrs.mask & BIT(VF_ATTR_MAC)) != 0) {
		memcpy(out, port->attrs.mac, 6);
		return mac_check(s, port, out, e);
	}
	for (unsigned int i = 0; r == -EEXIST && i < MAC_ATTEMPTS; i++) {
		port_mac(&seed, i, out);
		r = mac_check(s, port, out, e);
	}
	return r;
}

int port_polled_take(struct vm_start *s, unsigned int i, const char *why, struct err *e)
{
	const struct vm_port *port = &s->wish->spec->ports[i];
	struct start_net *net = &s->nets[s->net_count];
	int r = backend_ready(s->d, port->target, e);

	*net = (struct start_net){ .port = i, .fd = -1 };
	if (why != NULL)
		snprintf(net->why, sizeof(net->why), "%s", why);
	if (r == 0)
		r = mac_choose(s, port, net->mac, e);
	if (r == 0)
		r = backend_listener_make(s->d, net->socket, &net->fd, e);
	if (r < 0)
		return r;
	net->policy = port_policy_json(port, net->mac);
	s->net_count++;
	return 0;
}

json_t *port_polled_facts(const struct vm_start *s, const struct start_net *net)
{
	const struct vm_port *port = port_of(s, net);
	const json_t *ids = json_object_get(json_object_get(net->policy, "vlan"), "ids");
	char mac[MAC_TEXT];
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:n, s:n, s:n, s:n, s:s, s:o, s:n, s:s}",
			      "name", port->name, "engine", "polled", "wanted",
			      port_engine_text(port->engine), "network", port->target, "vf",
			      "vf_id", "pf", "iommu_group", "mac", mac_text(net->mac, mac), "vlan",
			      json_array_size(ids) == 1 ? json_incref(json_array_get(ids, 0))
							: json_null(),
			      "generation", "on_fault", on_fault_text(port->on_fault));

	json_object_set_new(j, "socket", json_string(net->socket));
	json_object_set_new(j, "queues", json_integer(port->queues != 0 ? port->queues : 1));
	json_object_set_new(j, "queue_size",
			    json_integer(port->queue_size != 0 ? port->queue_size : PORT_RING));
	json_object_set_new(j, "grace_ms", json_integer(port->grace_ms));
	json_object_set(j, "policy", net->policy);
	json_object_set_new(j, "fallback",
			    net->why[0] != '\0' ? json_pack("{s:s, s:I}", "why", net->why, "at",
							    (json_int_t)time(NULL))
						: json_null());
	return j;
}

json_t *start_nets_json(const struct vm_start *s)
{
	const uid_t uid = s->d->is_root ? backend_uid(&s->d->config) : geteuid();
	json_t *list = json_array();

	for (unsigned int i = 0; i < s->net_count; i++) {
		auto_json json_t *facts = port_polled_facts(s, &s->nets[i]);
		const json_t *policy = json_object_get(facts, "policy");

		json_array_append_new(list,
				      json_pack("{s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:I}", "port",
						json_object_get(facts, "name"), "mac",
						json_object_get(facts, "mac"), "mtu",
						json_object_get(policy, "mtu"), "queues",
						json_object_get(facts, "queues"), "queue_size",
						json_object_get(facts, "queue_size"), "link",
						json_object_get(policy, "link"), "grace_ms",
						json_object_get(facts, "grace_ms"), "backend_uid",
						(json_int_t)uid));
	}
	return list;
}

int start_nets_record(struct vm_start *s, struct err *e)
{
	json_t *ports;
	struct vm *vm;
	int r;

	if (s->net_count == 0)
		return 0;
	ports = json_array();
	for (unsigned int i = 0; i < s->net_count; i++)
		json_array_append_new(ports, port_polled_facts(s, &s->nets[i]));
	state_lock(s->d);
	vm = vm_find(s->d, s->wish->spec->name);
	json_object_set_new(vm->facts, "ports", ports);
	r = vm_save(s->d, vm, e);
	state_unlock(s->d);
	return r;
}

int start_nets_add(struct vm_start *s, struct err *e)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < s->net_count; i++) {
		struct start_net *net = &s->nets[i];
		char name[OWNER_TEXT];
		const struct backend_port port = { .name = owner_text(s, port_of(s, net), name),
						   .network = port_of(s, net)->target,
						   .socket = net->socket,
						   .policy = net->policy };

		r = backend_port_add(s->d, &port, e);
		net->is_added = r == 0;
		if (r < 0)
			err_wrap(e, "port %s", port_of(s, net)->name);
	}
	return r;
}

void start_nets_undo(struct vm_start *s)
{
	for (unsigned int i = s->net_count; i-- > 0;) {
		struct start_net *net = &s->nets[i];
		char name[OWNER_TEXT];
		struct err e = { 0 };

		if (!net->is_added)
			backend_listener_remove(s->d, net->socket);
		else if (backend_port_remove(s->d, owner_text(s, port_of(s, net), name), &e) < 0)
			log_err(&e, name);
	}
	start_nets_free(s);
}

void start_nets_free(struct vm_start *s)
{
	for (unsigned int i = 0; i < s->net_count; i++) {
		fd_close(&s->nets[i].fd);
		json_decref(s->nets[i].policy);
	}
	s->net_count = 0;
}

bool port_is_polled(const json_t *port)
{
	const char *engine = json_string_value(json_object_get(port, "engine"));

	return engine != NULL && strcmp(engine, "polled") == 0;
}

json_t *port_polled_find(const struct vm *vm, const char *name)
{
	json_t *port;
	size_t i;

	json_array_foreach(json_object_get(vm->facts, "ports"), i, port) {
		const char *is = json_string_value(json_object_get(port, "name"));

		if (is != NULL && strcmp(is, name) == 0)
			return port_is_polled(port) ? port : NULL;
	}
	return NULL;
}

static void port_restore(struct daemon *d, const char *vm, const json_t *facts)
{
	const char *name = json_string_value(json_object_get(facts, "name"));
	struct backend_port port = {
		.network = json_string_value(json_object_get(facts, "network")),
		.socket = json_string_value(json_object_get(facts, "socket")),
		.policy = json_object_get(facts, "policy"),
	};
	char owner[OWNER_TEXT];
	struct err e = { 0 };

	if (name == NULL || port.network == NULL || port.socket == NULL || port.policy == NULL)
		return;
	snprintf(owner, sizeof(owner), "%s/%s", vm, name);
	port.name = owner;
	if (backend_port_restore(d, &port, &e) < 0)
		log_err(&e, owner);
}

void ports_polled_restore(struct daemon *d)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		json_t *port;
		size_t k;

		if (vm->pid == 0)
			continue;
		json_array_foreach(json_object_get(vm->facts, "ports"), k, port)
			if (port_is_polled(port))
				port_restore(d, vm->name, port);
	}
}
