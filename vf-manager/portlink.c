// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/portlink.h"

#include "vf-manager/ledger_event.h"
#include "vf-manager/pool.h"
#include "vf-manager/privops.h"

#include "base/parse.h"
#include "sriov/pfquirk.h"

#include <errno.h>
#include <stdio.h>

#define STATE_LOWERING "lowering" /* it may be down already */
#define STATE_DOWN     "down"
#define STATE_KEPT     "kept" /* it cannot be changed */

enum due { NOTHING, LOWER, RAISE };

/* One port whose link is to be changed, copied out of the lock. */
struct job {
	char vm[VM_NAME_TEXT], port[VM_NAME_TEXT];
	pid_t pid;
	enum due due;
	struct vf_hold hold;
	char pf_driver[64];
	enum vf_link_state was;
	bool has_was;
};

static const char *member(const json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return text != NULL ? text : "";
}

/* A VMM that does not end the DMA is killed; only then the link matters. */
static enum due due_of(const json_t *port)
{
	const json_t *q = json_object_get(port, "quarantine");
	const json_t *link = json_object_get(port, "link");

	if (!json_is_string(json_object_get(port, "vf")))
		return NOTHING;
	if (json_is_object(q))
		return strcmp(member(q, "state"), "on") == 0 &&
				       (link == NULL ||
					strcmp(member(link, "state"), STATE_LOWERING) == 0)
			       ? LOWER
			       : NOTHING;
	return json_is_object(link) ? RAISE : NOTHING;
}

/* State locked. The port, if its link is to be changed and its VF is there. */
static bool job_fill(struct daemon *d, const struct vm *vm, const json_t *port, struct job *job)
{
	const json_t *link = json_object_get(port, "link");
	const struct pci_fn *vf;
	struct pci_addr addr;

	*job = (struct job){ .pid = vm->pid, .due = due_of(port) };
	if (job->due == NOTHING || parse_pci_addr(member(port, "vf"), &addr) < 0)
		return false;
	vf = inventory_find(d->inv, &addr);
	if (vf == NULL || vf->pf == NULL)
		return false;
	pool_hold(d, vf, &job->hold);
	snprintf(job->vm, sizeof(job->vm), "%s", vm->name);
	snprintf(job->port, sizeof(job->port), "%s", member(port, "name"));
	snprintf(job->pf_driver, sizeof(job->pf_driver), "%s", vf->pf->driver);
	job->has_was = vf_link_state_parse(member(link, "was"), &job->was) == 0;
	return true;
}

/* State locked. The n-th port that waits; false: there is none. */
static bool job_find(struct daemon *d, size_t n, struct job *job)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		json_t *ports = json_object_get(vm->facts, "ports"), *port;
		size_t k;

		if (vm->pid == 0 || vm->state == VM_STARTING)
			continue;
		json_array_foreach(ports, k, port)
			if (job_fill(d, vm, port, job) && n-- == 0)
				return true;
	}
	return false;
}

/* State locked. NULL: the VM has ended meanwhile, or has lost the port. */
static json_t *job_port(struct daemon *d, const struct job *job, struct vm **vm)
{
	json_t *port;
	size_t i;

	*vm = vm_find(d, job->vm);
	if (*vm == NULL || (*vm)->pid != job->pid)
		return NULL;
	json_array_foreach(json_object_get((*vm)->facts, "ports"), i, port)
		if (strcmp(member(port, "name"), job->port) == 0)
			return port;
	return NULL;
}

/* State locked. */
static bool job_waits(struct daemon *d, const struct job *job)
{
	struct vm *vm;
	const json_t *port = job_port(d, job, &vm);

	return port != NULL && due_of(port) != NOTHING;
}

/* State locked. False: the port says so already. */
static bool link_write(json_t *port, const struct job *job, const char *state, const char *why)
{
	json_t *link = state != NULL ? json_pack("{s:s, s:s?, s:s?}", "state", state, "was",
						 job->has_was ? vf_link_state_text(job->was) : NULL,
						 "why", why)
				     : NULL;
	bool is_new = link == NULL || !json_equal(link, json_object_get(port, "link"));

	if (link != NULL)
		json_object_set_new(port, "link", link);
	else
		json_object_del(port, "link");
	return is_new;
}

/* State not locked. What is so now, or is about to be; without a state: as if there had been no quarantine. */
static int job_note(struct daemon *d, const struct job *job, const char *state, const char *why,
		    struct err *e)
{
	const bool is_lowering = state != NULL && strcmp(state, STATE_LOWERING) == 0;
	const char *is = state == NULL			  ? "as before its quarantine"
			 : is_lowering			  ? "not down yet"
			 : strcmp(state, STATE_KEPT) == 0 ? "not changed"
			 : why != NULL			  ? "still down"
							  : "down";
	char text[384];
	struct vm *vm;
	json_t *port;
	int r = 0;

	state_lock(d);
	port = job_port(d, job, &vm);
	if (port != NULL && link_write(port, job, state, why)) {
		r = vm_save(d, vm, e);
		snprintf(text, sizeof(text), "the link of port %s is %s%s%s", job->port, is,
			 why != NULL ? ": " : "", why != NULL ? why : "");
		if (r == 0 && (state == NULL ? job->has_was : !is_lowering || why != NULL))
			r = ledger_event_add(d->ledger, "vm", job->vm, text, e);
	}
	state_unlock(d);
	return r;
}

/* What is so already is not written: a driver that tells the link state need not be able to set it. */
static int link_set(struct daemon *d, const struct job *job, enum vf_link_state state,
		    struct err *e)
{
	struct vf_attrs attrs = { .mask = BIT(VF_ATTR_LINK_STATE), .link_state = state };
	struct vf_attrs now = { 0 };
	int r = priv_vf_attrs_get(d, &job->hold.addr, &now, e);

	if (r < 0 || ((now.mask & BIT(VF_ATTR_LINK_STATE)) != 0 && now.link_state == state))
		return r;
	return pool_set_for_now(d, &job->hold, &attrs, e);
}

/* Of a driver that has no link state of a VF it is said once; anything else may pass. */
static int lower_failed(struct daemon *d, struct job *job, int r, const struct err *why,
			struct err *e)
{
	if (r == -EOPNOTSUPP)
		job->has_was = false;
	return job_note(d, job, r == -EOPNOTSUPP ? STATE_KEPT : STATE_LOWERING, why->text, e);
}

static int link_lower(struct daemon *d, struct job *job, struct err *e)
{
	const struct pf_quirk *quirk = pf_quirk_find(job->pf_driver);
	struct vf_attrs now = { 0 };
	struct err why = { 0 };
	int r = 0;

	if (quirk != NULL && (quirk->cannot & BIT(VF_ATTR_LINK_STATE)) != 0)
		r = err_set(&why, EOPNOTSUPP, "the driver %s has no link state of a VF",
			    quirk->driver);
	else if (!job->has_was)
		r = priv_vf_attrs_get(d, &job->hold.addr, &now, &why);
	if (r == 0 && !job->has_was && (now.mask & BIT(VF_ATTR_LINK_STATE)) == 0)
		r = err_set(&why, EOPNOTSUPP, "the driver %s tells no link state of a VF",
			    job->pf_driver);
	if (r < 0)
		return lower_failed(d, job, r, &why, e);
	if (!job->has_was) {
		job->was = now.link_state;
		job->has_was = true;
		r = job_note(d, job, STATE_LOWERING, NULL, e);
		if (r < 0)
			return r;
	}
	r = link_set(d, job, VF_LINK_DOWN, &why);
	return r < 0 ? lower_failed(d, job, r, &why, e) : job_note(d, job, STATE_DOWN, NULL, e);
}

static int link_raise(struct daemon *d, const struct job *job, struct err *e)
{
	struct err why = { 0 };

	if (job->has_was && link_set(d, job, job->was, &why) < 0)
		return job_note(d, job, STATE_DOWN, why.text, e);
	return job_note(d, job, NULL, NULL, e);
}

bool port_links_differ(struct daemon *d)
{
	struct job job;
	bool is_any;

	state_lock(d);
	is_any = job_find(d, 0, &job);
	state_unlock(d);
	return is_any;
}

bool port_links_settle(struct daemon *d)
{
	size_t left = 0; /* those that could not be helped stay in the list of what waits */
	struct job job;

	state_lock(d);
	while (job_find(d, left, &job)) {
		struct err e = { 0 };
		int r;

		state_unlock(d);
		r = job.due == LOWER ? link_lower(d, &job, &e) : link_raise(d, &job, &e);
		if (r < 0)
			log_err(&e, job.vm);
		state_lock(d);
		if (job_waits(d, &job))
			left++;
	}
	state_unlock(d);
	return left == 0;
}

int port_link_check(struct daemon *d, const char *owner, struct err *e)
{
	const char *slash = strchr(owner, '/');
	struct job job = { 0 };
	struct vm *vm;
	const json_t *port;

	if (slash == NULL || slash - owner >= VM_NAME_TEXT)
		return 0;
	memcpy(job.vm, owner, (size_t)(slash - owner));
	snprintf(job.port, sizeof(job.port), "%.*s", VM_NAME_TEXT - 1, slash + 1);
	vm = vm_find(d, job.vm);
	if (vm == NULL)
		return 0;
	job.pid = vm->pid;
	port = job_port(d, &job, &vm);
	if (port == NULL || !json_is_string(json_object_get(json_object_get(port, "link"), "was")))
		return 0;
	err_set(e, EBUSY, "its link is down because port %s is in quarantine", owner);
	err_code(e, "port-quarantined");
	return err_hint(e, "viaduct vm unquarantine %s   first", owner);
}
