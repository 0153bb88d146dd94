// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/ports.h"

#include "vf-manager/backend.h"
#include "vf-manager/irqlines.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/portpolicy.h"
#include "vf-manager/portpolled.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmm_client.h"
#include "vf-manager/vmops.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>

static const char *member(const json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return text != NULL ? text : "";
}

static json_t *status_net(const json_t *status, const char *name)
{
	json_t *net;
	size_t i;

	json_array_foreach(json_object_get(status, "nets"), i, net) {
		if (i == VMM_MAX_NETS)
			break;
		if (strcmp(member(net, "port"), name) == 0)
			return net;
	}
	return NULL;
}

static void text_take(json_t *to, const json_t *from, const char *key, size_t max)
{
	const char *text = json_string_value(json_object_get(from, key));

	json_object_set_new(to, key,
			    text != NULL && *text != '\0' && strlen(text) < max ? json_string(text)
										: json_null());
}

/* A peer's word: members of known names, form and size. */
static json_t *net_take(const json_t *net)
{
	static const char *const texts[] = { "backend", "features", "ring", "error" };
	static const char *const numbers[] = { "queues", "backend_pid", "reconnects" };
	static const char *const facts[] = { "link", "driver_active" };
	json_t *to = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		text_take(to, net, texts[i], 256);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uint64_t n = 0;

		json_get_u64_opt(net, numbers[i], INT64_MAX, &n, NULL);
		json_object_set_new(to, numbers[i], json_integer((json_int_t)n));
	}
	for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
		bool is_so = false;

		json_get_bool_opt(net, facts[i], &is_so, NULL);
		json_object_set_new(to, facts[i], json_boolean(is_so));
	}
	return to;
}

void port_net_add(json_t *port, const json_t *status)
{
	const json_t *net;

	if (!port_is_polled(port))
		return;
	net = status != NULL ? status_net(status, member(port, "name")) : NULL;
	json_object_set_new(port, "net", json_is_object(net) ? net_take(net) : json_null());
}

void port_backend_add(struct daemon *d, const char *vm, json_t *port)
{
	char name[OWNER_TEXT];
	json_t *view;

	if (!port_is_polled(port))
		return;
	snprintf(name, sizeof(name), "%s/%s", vm, member(port, "name"));
	view = backend_port_view(d, name);
	json_object_set_new(port, "backend", view != NULL ? view : json_null());
}

static int no_such_port(const char *vm, const char *port, struct err *e)
{
	err_set(e, ENOENT, "the VM %s has no port %s", vm, port);
	err_code(e, "no-such-port");
	return err_hint(e, "viaduct port list");
}

/* The VM's, with whose they are; moves nothing. */
static void ports_append(json_t *list, const json_t *vm, const char *only)
{
	json_t *port;
	size_t i;

	json_array_foreach(json_object_get(vm, "ports"), i, port) {
		if (only != NULL && strcmp(member(port, "name"), only) != 0)
			continue;
		json_object_set(port, "vm", json_object_get(vm, "name"));
		json_object_set(port, "vm_state", json_object_get(vm, "state"));
		json_array_append(list, port);
	}
}

static int all_list(struct daemon *d, json_t *list, struct err *e)
{
	json_t *vms, *vm;
	size_t i;
	int r = vm_list(d, &vms, e);

	if (r < 0)
		return r;
	json_array_foreach(vms, i, vm)
		if (json_is_integer(json_object_get(vm, "pid")))
			ports_append(list, vm, NULL);
	json_decref(vms);
	return 0;
}

int ports_list(struct daemon *d, const char *vm, const char *port, json_t **out, struct err *e)
{
	auto_json json_t *list = json_array(), *one = NULL;
	int r = vm == NULL ? all_list(d, list, e) : vm_show(d, vm, &one, e);

	if (r == 0 && one != NULL)
		ports_append(list, one, port);
	if (r == 0 && port != NULL && json_array_size(list) == 0)
		r = no_such_port(vm, port, e);
	if (r == 0)
		*out = json_incref(list);
	return r;
}

static json_t *stats_blank(const char *vm, const json_t *port)
{
	static const char *const none[] = { "state",	  "lcore",  "queues",	  "features",
					    "ring",	  "error",  "from_guest", "to_guest",
					    "drops",	  "kicks",  "calls",	  "rings",
					    "interrupts", "problem" };
	json_t *j = json_object();

	json_object_set_new(j, "vm", json_string(vm));
	json_object_set(j, "name", json_object_get(port, "name"));
	json_object_set(j, "engine", json_object_get(port, "engine"));
	json_object_set(j, "vf", json_object_get(port, "vf"));
	json_object_set_new(j, "network",
			    json_is_string(json_object_get(port, "network"))
				    ? json_incref(json_object_get(port, "network"))
				    : json_null());
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		json_object_set_new(j, none[i], json_null());
	return j;
}

static json_t *stats_of(struct daemon *d, const char *vm, const json_t *port,
			const char *interrupts)
{
	const char *vf = json_string_value(json_object_get(port, "vf"));
	auto_json json_t *counted = NULL;
	json_t *j = stats_blank(vm, port);
	char name[OWNER_TEXT];
	struct err why = { 0 };

	if (!port_is_polled(port)) {
		if (vf != NULL)
			json_object_set_new(j, "interrupts",
					    json_integer((json_int_t)irq_count(interrupts, vf)));
		json_object_set_new(j, "problem",
				    json_string(vf != NULL ? "the VF's driver in the guest counts"
							   : "the port has no VF"));
		return j;
	}
	snprintf(name, sizeof(name), "%s/%s", vm, member(port, "name"));
	if (backend_port_stats(d, name, &counted, &why) < 0) {
		json_object_set_new(j, "problem", json_string(why.text));
	} else {
		json_object_del(counted, "port");
		json_object_update_existing(j, counted);
	}
	return j;
}

/* State locked. {"VM":[PORT...]}: of the VMs that have a process. */
static json_t *facts_take(const struct daemon *d, const char *only)
{
	json_t *all = json_object();

	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];

		if (vm->pid != 0 && (only == NULL || strcmp(vm->name, only) == 0))
			json_object_set_new(all, vm->name,
					    json_deep_copy(json_object_get(vm->facts, "ports")));
	}
	return all;
}

static int vm_must_run(struct daemon *d, const char *name, struct err *e)
{
	struct vm *vm;
	int r = vm_get(d, name, &vm, e);

	if (r < 0 || (vm->pid != 0 && vm->state != VM_STARTING))
		return r;
	err_set(e, EBUSY, "the VM %s is %s", name, vm_state_text(vm->state));
	return err_code(e, "vm-state");
}

int ports_stats(struct daemon *d, const char *vm, const char *port, json_t **out, struct err *e)
{
	auto_free char *interrupts = interrupts_read(d->opt->proc_dir);
	auto_json json_t *vms = NULL, *list = json_array();
	json_t *ports, *one;
	const char *name;
	size_t i;
	int r;

	state_lock(d);
	r = vm != NULL ? vm_must_run(d, vm, e) : 0;
	if (r == 0)
		vms = facts_take(d, vm);
	state_unlock(d);
	if (r == 0 && interrupts == NULL)
		r = err_set(e, ENOMEM, "no memory");
	if (r < 0)
		return r;
	json_object_foreach(vms, name, ports)
		json_array_foreach(ports, i, one)
			if (port == NULL || strcmp(member(one, "name"), port) == 0)
				json_array_append_new(list, stats_of(d, name, one, interrupts));
	if (port != NULL && json_array_size(list) == 0)
		return no_such_port(vm, port, e);
	*out = json_pack("{s:I, s:O}", "time_ns", (json_int_t)now_ns(), "ports", list);
	return 0;
}

/* A change under way: what it needs without the lock. */
struct change {
	char vm[VM_NAME_TEXT], port[VM_NAME_TEXT], owner[OWNER_TEXT];
	struct vmm_peer peer;
	json_t *before, *after; /* policies; owned */
};

/* State locked. Enters the policy into the facts of the VM, if it is still that process. */
static int policy_enter(struct daemon *d, const struct change *c, json_t *policy, struct err *e)
{
	struct vm *vm = vm_find(d, c->vm);
	json_t *port = vm != NULL && vm->pid == c->peer.pid ? port_polled_find(vm, c->port) : NULL;
	const json_t *ids = json_object_get(json_object_get(policy, "vlan"), "ids");
	json_t *was, *tag;
	int r;

	if (port == NULL)
		return err_set(e, ESTALE, "the VM %s has ended meanwhile", c->vm);
	was = json_incref(json_object_get(port, "policy"));
	tag = json_incref(json_object_get(port, "vlan"));
	json_object_set(port, "policy", policy);
	json_object_set_new(port, "vlan",
			    json_array_size(ids) == 1 ? json_incref(json_array_get(ids, 0))
						      : json_null());
	r = vm_save(d, vm, e);
	if (r < 0) {
		json_object_set(port, "policy", was);
		json_object_set(port, "vlan", tag);
	}
	json_decref(was);
	json_decref(tag);
	return r;
}

/* State locked. The wish, checked, and in the ledger. */
static int change_begin(struct daemon *d, const struct port_wish *wish, struct change *c,
			struct err *e)
{
	const json_t *port;
	struct vm *vm;
	int r = vm_must_run(d, wish->vm, e);

	if (r < 0)
		return r;
	vm = vm_find(d, wish->vm);
	port = port_polled_find(vm, wish->port);
	if (port == NULL)
		return no_such_port(wish->vm, wish->port, e);
	snprintf(c->vm, sizeof(c->vm), "%s", vm->name);
	snprintf(c->port, sizeof(c->port), "%s", wish->port);
	snprintf(c->owner, sizeof(c->owner), "%s/%s", c->vm, c->port);
	c->peer = (struct vmm_peer){ .name = c->vm, .uid = vm->uid, .pid = vm->pid };
	c->before = json_deep_copy(json_object_get(port, "policy"));
	r = port_policy_change(c->before, wish->words, &c->after, e);
	return r == 0 ? policy_enter(d, c, c->after, e) : r;
}

static bool link_differs(const struct change *c)
{
	return strcmp(member(c->before, "link"), member(c->after, "link")) != 0;
}

static int link_tell(struct daemon *d, const struct change *c, const json_t *policy, struct err *e)
{
	int r = vmm_call_link(d, &c->peer, c->port, member(policy, "link"), e);

	if (r == 0 || strcmp(e->code, "unknown-request") != 0)
		return r;
	err_set(e, EOPNOTSUPP, "the VM %s runs a viaduct-vmm that cannot change it", c->vm);
	err_code(e, "vmm-too-old");
	return err_hint(
		e, "viaduct vm stop %s, then viaduct vm run FILE   (it starts with the new one)",
		c->vm);
}

/* State not locked. The VMM first: it is what can be too old for it. */
static int change_do(struct daemon *d, const struct change *c, struct err *e)
{
	int r = link_differs(c) ? link_tell(d, c, c->after, e) : 0;

	if (r < 0)
		return err_wrap(e, "link");
	r = backend_port_set(d, c->owner, c->after, e);
	if (r < 0 && link_differs(c)) {
		struct err unseen = { 0 };

		link_tell(d, c, c->before, &unseen);
	}
	return r;
}

static int change_note(struct daemon *d, const struct change *c, const struct port_wish *wish,
		       struct err *e)
{
	char text[256], words[160] = "";
	size_t len = 0;
	const char *word;
	const json_t *unused;

	json_object_foreach((json_t *)wish->words, word, unused)
		if (strcmp(word, "port") != 0 && len < sizeof(words))
			len += (size_t)snprintf(words + len, sizeof(words) - len, "%s%s",
						len > 0 ? ", " : "", word);
	snprintf(text, sizeof(text), "port %s: %s set by uid %u", c->port, words, wish->uid);
	return ledger_event_add(d->ledger, "vm", c->vm, text, e);
}

int port_policy_set(struct daemon *d, const struct port_wish *wish, struct err *e)
{
	struct change c = { .before = NULL };
	struct err unseen = { 0 };
	int r;

	state_lock(d);
	r = change_begin(d, wish, &c, e);
	state_unlock(d);
	if (r == 0) {
		r = change_do(d, &c, e);
		state_lock(d);
		/* It is in force: that no event tells of it is no failure of it. */
		if (r == 0 && change_note(d, &c, wish, &unseen) < 0)
			log_err(&unseen, c.owner);
		else if (r < 0 && policy_enter(d, &c, c.before, &unseen) < 0)
			log_err(&unseen, c.owner);
		state_unlock(d);
	}
	json_decref(c.before);
	json_decref(c.after);
	return r < 0 ? err_wrap(e, "port %s/%s", wish->vm, wish->port) : 0;
}

void port_links_tell(struct daemon *d, const char *vm_name)
{
	auto_json json_t *ports = NULL;
	struct vmm_peer peer = { .name = vm_name };
	json_t *port;
	struct vm *vm;
	size_t i;

	state_lock(d);
	vm = vm_find(d, vm_name);
	if (vm != NULL) {
		ports = json_deep_copy(json_object_get(vm->facts, "ports"));
		peer.uid = vm->uid;
		peer.pid = vm->pid;
	}
	state_unlock(d);
	json_array_foreach(ports, i, port) {
		struct err e = { 0 };

		if (port_is_polled(port) &&
		    vmm_call_link(d, &peer, member(port, "name"),
				  member(json_object_get(port, "policy"), "link"), &e) < 0)
			log_err(&e, vm_name);
	}
}
