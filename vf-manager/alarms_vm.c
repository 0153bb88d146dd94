// SPDX-License-Identifier: BSD-3-Clause
/* VMs that shall run and are not started any more, VMs of which nothing is known, and VMs whose memory is not where it was asked to be. */
#include "vf-manager/alarms_found.h"
#include "vf-manager/numawatch.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmdef.h"

static void held(struct alarms *a, const struct daemon *d, const char *alarm)
{
	for (size_t i = 0; i < d->def_count; i++) {
		const struct vm_def *def = d->defs[i];
		struct alarm *one;

		if (strcmp(def->held, alarm) != 0)
			continue;
		one = alarm_found(a, def->name);
		if (one == NULL)
			return;
		alarm_text_set(one->text, "%s", def->held_text);
		alarm_text_set(
			one->hint,
			"viaduct vm history %s   says what came before; viaduct vm start %s   tries again",
			def->name, def->name);
	}
}

void alarms_vm_crash_loop(struct alarms *a, struct daemon *d)
{
	held(a, d, "vm-crash-loop");
}

void alarms_vm_start_failed(struct alarms *a, struct daemon *d)
{
	held(a, d, "vm-start-failed");
}

static void unknown_say(const struct daemon *d, const struct vm *vm, struct alarm *one)
{
	if (vm->pid == 0) {
		alarm_text_set(one->text, "the VM ended and nothing says why");
		alarm_text_set(one->hint,
			       "viaduct vm show %s   says what is known; viaduct vm run FILE "
			       "starts it again",
			       vm->name);
	} else if (vm_is_killed(vm)) {
		alarm_text_set(
			one->text,
			"the VM's process %d was killed and does not end: the VM keeps its VFs, "
			"functions and uid until then",
			(int)vm->pid);
		alarm_text_set(one->hint,
			       "cat /proc/%d/stack   and dmesg   say what the kernel waits for",
			       (int)vm->pid);
	} else {
		alarm_text_set(one->text, "the VM's process %d runs and does not answer%s",
			       (int)vm->pid,
			       vm_control_is_gone(d, vm)
				       ? ": somebody has removed its control socket"
				       : "");
		alarm_text_set(one->hint, "viaduct vm kill %s   ends it", vm->name);
	}
}

void alarms_vm_unknown(struct alarms *a, struct daemon *d)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		struct alarm *one;

		if (d->vms[i]->state != VM_UNKNOWN)
			continue;
		one = alarm_found(a, d->vms[i]->name);
		if (one == NULL)
			return;
		unknown_say(d, d->vms[i], one);
	}
}

void alarms_numa_drift(struct alarms *a, struct daemon *d)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		const uint64_t far = numa_far_bytes(vm);
		struct alarm *one = far != 0 ? alarm_found(a, vm->name) : NULL;
		char shares[200];
		int node;

		if (one == NULL)
			continue;
		node = (int)json_integer_value(
			json_object_get(json_object_get(vm->facts, "numa"), "node"));
		/* Shares, and not the moment: a text that changes would be news at each look. */
		alarm_text_set(one->text, "RAM of the VM is not all on node %d: %s", node,
			       numa_shares_text(&vm->numa.shares, shares, sizeof(shares)));
		alarm_text_set(
			one->hint,
			"migratepages %d all %d   moves what is not pinned; who moves it: cat "
			"/proc/sys/kernel/numa_balancing; node %d full at the start: viaduct vm restart %s",
			(int)vm->pid, node, node, vm->name);
	}
}
