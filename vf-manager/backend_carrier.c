// SPDX-License-Identifier: BSD-3-Clause
/* uplink_loss: propagate. What a network's uplinks have lost, the guests' carriers on it lose too. */
#include "vf-manager/backend_core.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmm_client.h"
#include "vf-manager/vmspec.h"

#include <errno.h>
#include <stdio.h>

struct carrier {
	char vm[VM_NAME_TEXT], port[VM_NAME_TEXT];
	char link[8]; /* of the policy */
	bool is_down; /* it should be, for the uplinks */
};

static const char *policy_word(const struct wish_port *p, const char *key)
{
	const char *text = json_string_value(json_object_get(p->policy, key));

	return text != NULL ? text : "";
}

/* Look locked. All of them are there, and none has a link. */
static bool uplinks_are_lost(const struct backend *b, const char *network)
{
	const struct config_network *net = config_network_find(&b->d->config, network);

	if (!b->p.has_status || net == NULL || net->polled_count == 0)
		return false;
	for (unsigned int i = 0; i < net->polled_count; i++) {
		const struct pmd_uplink *up = pmd_uplink_find(&b->status, net->polled[i]);

		if (up == NULL || up->has_link)
			return false;
	}
	return true;
}

/* Look locked. Where the guest was told something else; a process that is not there says nothing about uplinks. */
static bool carrier_differs(const struct backend *b, const struct wish_port *p, struct carrier *c)
{
	const char *slash = strchr(p->name, '/');

	if (slash == NULL || !b->p.has_status)
		return false;
	snprintf(c->vm, sizeof(c->vm), "%.*s", (int)(slash - p->name), p->name);
	snprintf(c->port, sizeof(c->port), "%s", slash + 1);
	snprintf(c->link, sizeof(c->link), "%s", policy_word(p, "link"));
	c->is_down = strcmp(c->link, "auto") == 0 &&
		     strcmp(policy_word(p, "uplink_loss"), "propagate") == 0 &&
		     uplinks_are_lost(b, p->network);
	return c->is_down != p->is_told_down;
}

static bool carrier_next(struct backend *b, unsigned int *at, struct carrier *out)
{
	bool found = false;

	look_lock(b);
	while (!found && *at < b->port_count)
		found = carrier_differs(b, &b->ports[(*at)++], out);
	look_unlock(b);
	return found;
}

static int carrier_tell(struct daemon *d, const struct carrier *c, struct err *e)
{
	struct vmm_peer peer = { .name = c->vm };
	struct vm *vm;

	state_lock(d);
	vm = vm_find(d, c->vm);
	if (vm != NULL && (vm->state == VM_RUNNING || vm->state == VM_PAUSED)) {
		peer.uid = vm->uid;
		peer.pid = vm->pid;
	}
	state_unlock(d);
	/* One that starts is told at a later look. */
	if (peer.pid == 0)
		return -EAGAIN;
	return vmm_call_link(d, &peer, c->port, c->is_down ? "down" : c->link, e);
}

void backend_carriers_follow(struct backend *b)
{
	struct carrier c;

	for (unsigned int at = 0; carrier_next(b, &at, &c);) {
		struct err e = { 0 };
		int r = carrier_tell(b->d, &c, &e);
		char name[PMD_PORT_TEXT];

		if (r == -EAGAIN)
			continue;
		if (r < 0)
			log_err(&e, c.vm);
		/* Also when it failed: a VMM that cannot is not asked each second. */
		snprintf(name, sizeof(name), "%s/%s", c.vm, c.port);
		look_lock(b);
		for (unsigned int i = 0; i < b->port_count; i++)
			if (strcmp(b->ports[i].name, name) == 0)
				b->ports[i].is_told_down = c.is_down;
		look_unlock(b);
	}
}
