// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmfault.h"

#include "vf-manager/faultwatch.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/portpolled.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmm_client.h"
#include "vf-manager/vmops.h"
#include "vf-manager/vmspec.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define STATE_WANTED  "wanted" /* the VMM is being asked */
#define STATE_ON      "on"
#define STATE_LEAVING "leaving"

/* What is to be done to one VM, copied out of the lock. */
struct job {
	struct vmm_peer peer;
	char name[VM_NAME_TEXT];
	char ports[VMM_MAX_DEVICES][VM_NAME_TEXT];
	unsigned int count;
	bool on;
	bool must; /* even a VMM that does not know how is killed */
	const char *only; /* port; NULL: all */
	const char *why, *by;
};

static const char *member(const json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return text != NULL ? text : "";
}

/* The n-th of the VM's ports and whole functions, which have different names. NULL: there are no more. */
static json_t *port_at(const struct vm *vm, size_t n)
{
	const json_t *ports = json_object_get(vm->facts, "ports");
	size_t count = json_array_size(ports);

	return n < count ? json_array_get(ports, n)
			 : json_array_get(json_object_get(vm->facts, "functions"), n - count);
}

static json_t *port_find(const struct vm *vm, const char *name)
{
	json_t *port;

	for (size_t i = 0; (port = port_at(vm, i)) != NULL; i++)
		if (strcmp(member(port, "name"), name) == 0)
			return port;
	return NULL;
}

/* State locked. */
static void wish_write(json_t *port, const struct job *job)
{
	json_t *now = json_object_get(port, "quarantine");

	if (json_is_object(now))
		json_object_set_new(now, "state",
				    json_string(job->on ? STATE_WANTED : STATE_LEAVING));
	else
		json_object_set_new(port, "quarantine",
				    json_pack("{s:s, s:s, s:s, s:I}", "state", STATE_WANTED, "why",
					      job->why, "by", job->by, "at",
					      (json_int_t)time(NULL)));
}

/* State locked. The ports that are meant and not yet so; their wish is in the ledger. */
static int job_begin(struct daemon *d, struct vm *vm, struct job *job, struct err *e)
{
	const char *only = job->only;
	bool is_known = false;
	json_t *port;

	snprintf(job->name, sizeof(job->name), "%s", vm->name);
	job->peer = (struct vmm_peer){ .name = job->name, .uid = vm->uid, .pid = vm->pid };
	for (size_t i = 0; (port = port_at(vm, i)) != NULL; i++) {
		bool is_on = json_is_object(json_object_get(port, "quarantine"));

		if (only != NULL && strcmp(only, member(port, "name")) != 0)
			continue;
		if (json_is_object(json_object_get(port, "lost")) || port_is_polled(port) ||
		    job->count == VMM_MAX_DEVICES)
			continue;
		is_known = true;
		if (!is_on && !job->on)
			continue;
		wish_write(port, job);
		snprintf(job->ports[job->count++], VM_NAME_TEXT, "%s", member(port, "name"));
	}
	if (is_known)
		return job->count > 0 ? vm_save(d, vm, e) : 0;
	err_set(e, ENOENT, "the VM %s has no VF or function %s", vm->name,
		only != NULL ? only : "");
	err_code(e, "no-such-port");
	return err_hint(e, "viaduct vm show %s   lists its ports", vm->name);
}

/* State not locked. So it is now. */
static void port_settle(struct daemon *d, const struct job *job, const char *name, bool is_on)
{
	char owner[OWNER_TEXT], text[384];
	struct err e = { 0 };
	struct vm *vm;
	json_t *port;

	state_lock(d);
	vm = vm_find(d, job->name);
	port = vm != NULL && vm->pid == job->peer.pid ? port_find(vm, name) : NULL;
	if (port != NULL) {
		json_t *q = json_object_get(port, "quarantine");

		snprintf(owner, sizeof(owner), "%s/%s", job->name, name);
		if (is_on && json_is_object(q))
			json_object_set_new(q, "state", json_string(STATE_ON));
		else
			json_object_del(port, "quarantine");
		if (!is_on)
			fault_watch_forget_act(d, owner);
		snprintf(text, sizeof(text), "port %s is %s (%s)", name,
			 is_on ? "in quarantine" : "no longer in quarantine", job->by);
		if (vm_save(d, vm, &e) < 0 ||
		    ledger_event_add(d->ledger, "vm", job->name, text, &e) < 0)
			log_err(&e, job->name);
	}
	state_unlock(d);
}

/* The VMM would leave its device at the guest's memory. */
static int disobeyed(struct daemon *d, const struct job *job, const char *port, struct err *e)
{
	char why[256], said[128];
	struct err ignored = { 0 };

	snprintf(said, sizeof(said), "%.120s", e->text);
	snprintf(why, sizeof(why), "viaductd: its VMM did not quarantine port %s within %d s", port,
		 VMM_PORT_MS / 1000);
	log_warn("VM %s: %s: %s", job->name, why, said);
	if (vm_kill_for(d, job->name, why, &ignored) < 0)
		log_err(&ignored, job->name);
	err_set(e, ETIMEDOUT, "the VM %s was killed: its VMM did not quarantine port %s: %s",
		job->name, port, said);
	err_code(e, "vmm-killed");
	return err_hint(e, "viaduct vm show %s", job->name);
}

static int too_old(const struct job *job, struct err *e)
{
	err_set(e, EOPNOTSUPP, "the VMM of %s is older than quarantines", job->name);
	err_code(e, "vmm-too-old");
	return err_hint(e,
			"viaduct vm kill %s   ends its DMA; a VM that is started now can be "
			"quarantined",
			job->name);
}

/* State not locked. */
static int job_run(struct daemon *d, const struct job *job, struct err *e)
{
	for (unsigned int i = 0; i < job->count; i++) {
		int r = vmm_call_port(d, &job->peer, job->on ? "quarantine" : "unquarantine",
				      job->ports[i], e);

		if (r < 0 && !job->must && strcmp(e->code, "unknown-request") == 0) {
			for (unsigned int k = i; k < job->count; k++)
				port_settle(d, job, job->ports[k], false);
			return too_old(job, e);
		}
		if (r < 0 && job->on)
			return disobeyed(d, job, job->ports[i], e);
		if (r < 0)
			return r;
		port_settle(d, job, job->ports[i], job->on);
	}
	return 0;
}

static int quarantine(struct daemon *d, const char *name, struct job *job, struct err *e)
{
	struct vm *vm;
	int r;

	state_lock(d);
	r = vm_get(d, name, &vm, e);
	if (r == 0 && (vm->pid == 0 || vm->state == VM_STARTING))
		r = vm_state_refuse(d, vm, e);
	if (r == 0)
		r = job_begin(d, vm, job, e);
	state_unlock(d);
	return r < 0 ? r : job_run(d, job, e);
}

int vm_quarantine(struct daemon *d, const char *name, const struct vm_quarantine_wish *wish,
		  struct err *e)
{
	char who[32];
	struct job job = { .on = wish->on, .only = wish->port, .why = "asked for", .by = who };

	snprintf(who, sizeof(who), "uid %u", wish->uid);
	return quarantine(d, name, &job, e);
}

bool vm_fault_act(struct daemon *d, const char *owner, const char *why)
{
	const char *slash = strchr(owner, '/');
	char name[VM_NAME_TEXT], text[320], policy[16] = "";
	struct job job = { .on = true, .must = true, .why = why, .by = "on_fault" };
	struct err e = { 0 };
	const struct vm *vm;
	bool is_starting;

	if (slash == NULL)
		return true;
	job.only = slash + 1;
	snprintf(name, sizeof(name), "%.*s", (int)(slash - owner), owner);
	state_lock(d);
	vm = vm_find(d, name);
	if (vm != NULL)
		snprintf(policy, sizeof(policy), "%s",
			 member(port_find(vm, slash + 1), "on_fault"));
	is_starting = vm != NULL && vm->state == VM_STARTING;
	state_unlock(d);
	if (is_starting)
		return false;
	if (strcmp(policy, "quarantine") == 0 && quarantine(d, name, &job, &e) < 0)
		log_err(&e, owner);
	if (strcmp(policy, "stop") == 0) {
		snprintf(text, sizeof(text), "on_fault: stop of port %.64s: %s", slash + 1, why);
		if (vm_kill_for(d, name, text, &e) < 0)
			log_err(&e, owner);
	}
	return true;
}

/* State locked. Of one VM: what was wanted, or is so. Another direction is another job. */
static void job_resume(const struct vm *vm, bool on, struct job *job)
{
	json_t *port;

	*job = (struct job){
		.on = on, .must = true, .why = "", .by = "after a restart of viaductd"
	};
	snprintf(job->name, sizeof(job->name), "%s", vm->name);
	job->peer = (struct vmm_peer){ .uid = vm->uid, .pid = vm->pid };
	for (size_t i = 0; (port = port_at(vm, i)) != NULL; i++) {
		const json_t *q = json_object_get(port, "quarantine");
		bool is_leaving = strcmp(member(q, "state"), STATE_LEAVING) == 0;

		if (json_is_object(q) && is_leaving != on && job->count < VMM_MAX_DEVICES)
			snprintf(job->ports[job->count++], VM_NAME_TEXT, "%s",
				 member(port, "name"));
	}
}

void vm_quarantines_resume(struct daemon *d)
{
	for (size_t i = 0; i < 2 * DAEMON_VMS; i++) {
		struct job job = { 0 };
		struct err e = { 0 };

		state_lock(d);
		if (i / 2 < d->vm_count && d->vms[i / 2]->pid != 0 &&
		    d->vms[i / 2]->state != VM_STARTING)
			job_resume(d->vms[i / 2], i % 2 == 0, &job);
		state_unlock(d);
		job.peer.name = job.name;
		if (job.count > 0 && job_run(d, &job, &e) < 0)
			log_err(&e, job.name);
	}
}
