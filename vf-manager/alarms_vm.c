// SPDX-License-Identifier: BSD-3-Clause
/* VMs that shall run and are not started any more, and VMs whose memory is not where it was asked to be. */
#include "vf-manager/alarms_found.h"
#include "vf-manager/numawatch.h"
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
