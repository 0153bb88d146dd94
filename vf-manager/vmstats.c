// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmstats.h"

#include "vf-manager/irqlines.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmm_client.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>

/* What is needed of the VM, copied out of the lock. */
struct snapshot {
	struct vmm_peer peer;
	enum vm_state state;
	json_t *ports; /* owned */
};

static int snapshot_take(struct daemon *d, const char *name, struct snapshot *out, struct err *e)
{
	struct vm *vm;
	int r;

	state_lock(d);
	r = vm_get(d, name, &vm, e);
	if (r == 0) {
		out->peer = (struct vmm_peer){ .name = name, .uid = vm->uid, .pid = vm->pid };
		out->state = vm->state;
		out->ports = json_deep_copy(json_object_get(vm->facts, "ports"));
	}
	state_unlock(d);
	if (r < 0)
		return r;
	if (out->peer.pid != 0 && out->state != VM_STARTING)
		return 0;
	err_set(e, EBUSY, "the VM %s is %s: nothing is counted", name, vm_state_text(out->state));
	err_code(e, "vm-state");
	return err_hint(e, "viaduct vm show %s", name);
}

/* What the VMM says in place of numbers. */
static int refusal(const char *name, struct err *e)
{
	if (strcmp(e->code, "unknown-request") != 0)
		return -e->errnum;
	err_set(e, EOPNOTSUPP, "the VM %s runs a viaduct-vmm from before statistics were there",
		name);
	err_code(e, "vmm-too-old");
	return err_hint(
		e, "viaduct vm stop %s, then viaduct vm run FILE   (it starts with the new one)",
		name);
}

int vm_stats(struct daemon *d, const char *name, json_t **out, struct err *e)
{
	struct snapshot vm = { .ports = NULL };
	auto_json json_t *reply = NULL, *ports = NULL;
	auto_free char *interrupts = NULL;
	struct stats_source src;
	json_t *j;
	int r = snapshot_take(d, name, &vm, e);

	ports = vm.ports;
	if (r < 0)
		return r;
	/* Without any lock: a VMM that does not answer delays nobody else. */
	r = vmm_call(d, &vm.peer, "stats", &reply, e);
	if (r < 0)
		return refusal(name, e);
	interrupts = interrupts_read(d->opt->proc_dir);
	if (interrupts == NULL)
		return err_set(e, ENOMEM, "no memory");
	src = (struct stats_source){ .reply = reply,
				     .ports = ports,
				     .interrupts = interrupts,
				     .sysfs_fd = inventory_sysfs(d->inv)->root_fd };
	r = stats_build(&src, &j, e);
	if (r < 0) {
		err_wrap(e, "VM %s: the numbers of its viaduct-vmm", name);
		err_code(e, "vmm-reply");
		return err_hint(e, "tail %s/vm/%s/vmm.log", d->opt->run_dir, name);
	}
	json_object_set_new(j, "name", json_string(name));
	json_object_set_new(j, "state", json_string(vm_state_text(vm.state)));
	json_object_set_new(j, "time_ns", json_integer((json_int_t)now_ns()));
	*out = j;
	return 0;
}
