// SPDX-License-Identifier: BSD-3-Clause
/* Processes that run while somebody has removed what lies in RUN_DIR for them. */
#include "vf-manager/alarms_found.h"
#include "vf-manager/backend_core.h"
#include "vf-manager/disks_core.h"
#include "vf-manager/vm.h"

static void vms_hidden(struct alarms *a, const struct daemon *d)
{
	char path[VM_PATH_TEXT];

	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		struct alarm *one;

		if (vm->pid == 0 || vm->state == VM_STARTING || !vm_control_is_gone(d, vm))
			continue;
		one = alarm_found(a, vm->name);
		if (one == NULL)
			return;
		alarm_text_set(
			one->text,
			"somebody has removed %.200s: the VM runs on, but nobody can open its "
			"console, and a viaductd that is started again can only kill it",
			vm_path(d, vm->name, "control.sock", path));
		alarm_text_set(one->hint, "viaduct vm restart %s   makes it again", vm->name);
	}
}

/* Look locked. */
static void backend_hidden(struct alarms *a, const struct backend_proc *p, const char *hint)
{
	struct alarm *one = backend_proc_is_hidden(p) ? alarm_found(a, p->name) : NULL;

	if (one == NULL)
		return;
	alarm_text_set(
		one->text,
		"somebody has removed %.160s/pmd/%s: viaduct-pmd (process %d) serves on, but "
		"meets no VM that starts, and none again whose connection breaks",
		p->d->opt->run_dir, p->name, (int)p->peer.pid);
	alarm_text_set(one->hint, "%.200s", hint);
}

static void disks_hidden(struct vm_disks *b, void *arg)
{
	char hint[ALARM_TEXT];

	alarm_text_set(hint, "viaduct vm restart %s   makes it again", disks_backend_vm(b->p.name));
	backend_hidden(arg, &b->p, hint);
}

void alarms_run_path_lost(struct alarms *a, struct daemon *d)
{
	vms_hidden(a, d);
	if (d->backend != NULL) {
		char hint[ALARM_TEXT];

		look_lock(d->backend);
		alarm_text_set(
			hint,
			"viaduct vm stop   the VMs with polled ports, kill %d, and start them: it "
			"is started again by itself",
			(int)d->backend->p.peer.pid);
		backend_hidden(a, &d->backend->p, hint);
		look_unlock(d->backend);
	}
	vm_disks_each(d, disks_hidden, a);
}
