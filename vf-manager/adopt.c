// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/adopt.h"

#include "vf-manager/fnpool.h"
#include "vf-manager/portpolled.h"
#include "vf-manager/ports.h"
#include "vf-manager/privops.h"
#include "vf-manager/recover.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmdef.h"
#include "vf-manager/vmend.h"
#include "vf-manager/vmm_client.h"
#include "vf-manager/vmspec.h"
#include "vf-manager/vmstart_disks.h"
#include "vf-manager/watch.h"

#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KILL_WAIT_MS 5000

static void vm_load(void *arg, struct vm_row *row)
{
	struct daemon *d = arg;
	struct vm *vm = NULL;
	enum vm_state state;

	if (vm_state_parse(row->state, &state) < 0 || vm_create(row->name, &vm, NULL) < 0)
		return;
	vm->state = state;
	vm->uid = row->uid;
	vm->pid = row->pid;
	vm->start_ticks = row->start_ticks;
	snprintf(vm->boot_id, sizeof(vm->boot_id), "%s", row->boot_id);
	vm->yaml = row->yaml;
	row->yaml = NULL;
	json_decref(vm->facts);
	vm->facts = row->facts;
	row->facts = NULL;
	if (vm_add(d, vm, NULL, NULL) < 0)
		vm_destroy(vm);
}

static bool process_has_uid(pid_t pid, uid_t uid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	/* Root's while the process is not dumpable. */
	return stat(path, &st) == 0 && (st.st_uid == uid || st.st_uid == 0);
}

/* The process of the ledger, and no later one with its number. */
static int process_open(const struct vm *vm, int *pidfd_out)
{
	auto_fd int pidfd = (int)syscall(SYS_pidfd_open, vm->pid, 0);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	uint64_t ticks;

	/* Opened first: what is then read is of this process, or it has ended. */
	if (pidfd < 0 || process_start_ticks(vm->pid, &ticks) < 0 || ticks != vm->start_ticks ||
	    !process_has_uid(vm->pid, vm->uid) || poll(&p, 1, 0) != 0)
		return -ESRCH;
	*pidfd_out = fd_take(&pidfd);
	return 0;
}

/* Nothing of it is given to anybody before it has ended. */
static void process_end(struct daemon *d, struct vm *vm)
{
	struct pollfd p = { .fd = vm->pidfd, .events = POLLIN };

	syscall(SYS_pidfd_send_signal, vm->pidfd, SIGKILL, NULL, 0);
	if (poll(&p, 1, KILL_WAIT_MS) == 1) {
		vm_ended(d, vm->name);
		return;
	}
	state_lock(d);
	vm_leave_killed(d, vm);
	state_unlock(d);
}

/* viaductd was killed in between. */
static bool was_to_be_killed(const struct vm *vm)
{
	return vm_asked_is_kill(vm_asked_at(json_object_get(vm->facts, "asked"), time(NULL)));
}

/* State locked. What runs shall run: whoever stopped it is gone, and with him whoever would kill a guest that is deaf to its
 * power button. A guest that follows it yet has ended as it was asked to, and stays down. */
static void wish_renew(struct daemon *d, const struct vm *vm)
{
	struct vm_def *def = def_find(d, vm->name);
	struct err e = { 0 };

	if (def == NULL || def->is_wanted || def->held[0] != '\0')
		return;
	if (def_want(d, def, true, &e) < 0)
		log_err(&e, vm->name);
	else
		log_warn("VM %s runs on: viaductd was killed while it was being stopped", vm->name);
}

/* Asked first, so that it can write down why it ended. */
static void kill_take_up(struct daemon *d, struct vm *vm)
{
	const struct vmm_peer peer = { .name = vm->name, .uid = vm->uid, .pid = vm->pid };
	struct pollfd p = { .fd = vm->pidfd, .events = POLLIN };

	log_info("VM %s: viaductd was killed while it was to be killed", vm->name);
	if (vmm_call(d, &peer, "kill", NULL, NULL) == 0 && poll(&p, 1, KILL_WAIT_MS) == 1)
		vm_ended(d, vm->name);
	else
		process_end(d, vm);
}

/* What its VMM says of it. */
static enum vm_state state_said(const json_t *status)
{
	const char *state = json_string_value(json_object_get(status, "state"));

	return state != NULL && strcmp(state, "paused") == 0 ? VM_PAUSED : VM_RUNNING;
}

/* State not locked; the VM's process is there. */
static void vm_adopt(struct daemon *d, struct vm *vm)
{
	const struct vmm_peer peer = { .name = vm->name, .uid = vm->uid, .pid = vm->pid };
	json_t *status = NULL;
	struct err e = { 0 };
	int r;

	vm_run_files_keep(d, vm->name);
	r = vmm_call(d, &peer, "status", &status, &e);

	state_lock(d);
	if (r < 0) {
		log_err(&e, "adoption");
		vm_state_set(d, vm, VM_UNKNOWN);
	} else if (vm->state == VM_STOPPING) {
		/* Whoever asked for the stop is gone; the guest may still follow its power button. */
		vm_state_set(d, vm, VM_RUNNING);
	} else {
		vm_state_set(d, vm, state_said(status));
	}
	wish_renew(d, vm);
	log_info("VM %s: adopted, pid %d", vm->name, (int)vm->pid);
	state_unlock(d);
	if (r == 0)
		port_links_tell(d, vm->name);
	json_decref(status);
}

/* State not locked. */
static void answer_take(struct daemon *d, const struct vmm_peer *peer, const json_t *status)
{
	struct vm *vm;
	bool is_back;

	state_lock(d);
	vm = vm_find(d, peer->name);
	is_back = vm != NULL && vm->pid == peer->pid && vm->state == VM_UNKNOWN;
	if (is_back)
		vm_state_set(d, vm, state_said(status));
	state_unlock(d);
	if (is_back)
		port_links_tell(d, peer->name);
}

void vms_ask_again(struct daemon *d)
{
	auto_free struct vmm_round *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return;
	state_lock(d);
	for (size_t i = 0; i < d->vm_count; i++)
		if (d->vms[i]->state == VM_UNKNOWN && d->vms[i]->pid != 0)
			vmm_round_add(a, d->vms[i]);
	state_unlock(d);
	vmm_round_ask(d, a);
	for (size_t i = 0; i < a->count; i++) {
		if (a->status[i] == NULL)
			continue;
		/* No port's link is set meanwhile. */
		op_lock(d);
		answer_take(d, &a->peers[i], a->status[i]);
		op_unlock(d);
		json_decref(a->status[i]);
	}
}

static void vm_lost_at_boot(struct daemon *d, struct vm *vm)
{
	enum vm_state state;

	state_lock(d);
	vm->pid = 0;
	json_object_set_new(vm->facts, "exit", vm_end_at_boot(d, vm->name, &state));
	def_vm_ended(d, vm, state, NULL);
	state_unlock(d);
}

static void vm_reconcile(struct daemon *d, struct vm *vm)
{
	if (!vm_state_is_live(vm->state) && vm->pid == 0)
		return;
	if (strcmp(vm->boot_id, d->boot_id) != 0) {
		vm_lost_at_boot(d, vm);
		return;
	}
	if (vm->pid == 0 || process_open(vm, &vm->pidfd) < 0) {
		vm_ended(d, vm->name);
	} else if (vm->state == VM_STARTING || vm_is_killed(vm)) {
		/* Its starter is gone, and with it whoever would have had the answer. */
		process_end(d, vm);
	} else if (was_to_be_killed(vm)) {
		kill_take_up(d, vm);
	} else {
		vm_adopt(d, vm);
	}
}

int daemon_reconcile(struct daemon *d, struct err *e)
{
	/* First: no VM that is defined makes room for another. */
	int r = defs_load(d, e);

	if (r == 0)
		r = ledger_vm_each(d->ledger, vm_load, d, e);
	if (r < 0)
		return r;
	op_lock(d);
	/* First: an attribute that goes back must not reach a VF that was wiped. */
	recover_intents(d);
	for (size_t i = 0; i < d->vm_count; i++)
		vm_reconcile(d, d->vms[i]);
	ports_polled_restore(d);
	disks_restore(d);
	recover_vfs(d);
	fnpool_reconcile(d);
	op_unlock(d);
	watcher_kick(d->watcher);
	return 0;
}
