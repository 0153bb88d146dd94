// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmops.h"

#include "vf-manager/ledger.h"
#include "vf-manager/operations.h"
#include "vf-manager/privops.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmdef.h"
#include "vf-manager/vmend.h"
#include "vf-manager/vmfirmware.h"
#include "vf-manager/vmm_client.h"

#include "base/json.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KILL_WAIT_S 15
#define NS_PER_S    1000000000ULL

#define STATES_WITH_PROCESS (BIT(VM_RUNNING) | BIT(VM_PAUSED) | BIT(VM_STOPPING) | BIT(VM_UNKNOWN))

/* What an operation needs to know of a VM, copied out of the lock. */
struct target {
	struct vmm_peer peer;
	enum vm_state state;
	char name[64];
};

/* -EBUSY code "vm-state" unless the VM is in one of the states of the mask. */
static int target_get(struct daemon *d, const char *name, uint32_t states, struct target *out,
		      struct err *e)
{
	struct vm *vm;
	int r;

	state_lock(d);
	r = vm_get(d, name, &vm, e);
	if (r == 0 && ((states & BIT(vm->state)) == 0 || vm->pid == 0)) {
		r = vm_state_refuse(d, vm, e);
		/* What ends a VM is no reason to start it. */
		if (states == STATES_WITH_PROCESS)
			err_hint(e, "viaduct vm show %s", name);
	}
	if (r == 0) {
		*out = (struct target){ .state = vm->state };
		snprintf(out->name, sizeof(out->name), "%s", vm->name);
		out->peer.uid = vm->uid;
		out->peer.pid = vm->pid;
	}
	state_unlock(d);
	if (r < 0)
		return r;
	out->peer.name = out->name;
	return 0;
}

/* Enters the state if the VM is still the same process. */
static void state_enter(struct daemon *d, const struct target *t, enum vm_state state)
{
	struct vm *vm;

	state_lock(d);
	vm = vm_find(d, t->name);
	if (vm != NULL && vm->pid == t->peer.pid && vm->state != state)
		vm_state_set(d, vm, state);
	state_unlock(d);
}

/* Waits until the process is cleaned up. -ETIMEDOUT; -ECANCELED: the daemon is ending. */
static int end_wait(struct daemon *d, const struct target *t, unsigned int timeout_s)
{
	struct timespec deadline;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += timeout_s;
	state_lock(d);
	for (;;) {
		const struct vm *vm = vm_find(d, t->name);

		if (vm == NULL || vm->pid != t->peer.pid)
			break;
		if (r == ETIMEDOUT || d->is_ending) {
			r = d->is_ending ? -ECANCELED : -ETIMEDOUT;
			state_unlock(d);
			return r;
		}
		r = pthread_cond_timedwait(&d->changed, &d->state, &deadline);
	}
	state_unlock(d);
	return 0;
}

static void target_sigkill(struct daemon *d, const struct target *t)
{
	const struct vm *vm;

	state_lock(d);
	vm = vm_find(d, t->name);
	if (vm != NULL && vm->pid == t->peer.pid && vm->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, vm->pidfd, SIGKILL, NULL, 0);
	state_unlock(d);
}

static int daemon_ends(const struct target *t, struct err *e)
{
	err_set(e, ECANCELED, "viaductd is ending; the VM %s goes on", t->name);
	return err_hint(e, "viaduct vm show %s   once viaductd runs again", t->name);
}

static int target_kill(struct daemon *d, const struct target *t, struct err *e)
{
	int r = vmm_call(d, &t->peer, "kill", NULL, NULL);

	/* Asked first, so that it can write down why it ended. */
	if (r == 0 && end_wait(d, t, KILL_WAIT_S / 3) == 0)
		return 0;
	target_sigkill(d, t);
	r = end_wait(d, t, KILL_WAIT_S);
	if (r == 0)
		return 0;
	if (r == -ECANCELED)
		return daemon_ends(t, e);
	err_set(e, ETIMEDOUT, "the VM %s does not end: pid %d", t->name, (int)t->peer.pid);
	return err_hint(e, "cat /proc/%d/stack", (int)t->peer.pid);
}

/* Who wanted the VM to end, for its "exit"; NULL: nobody any more. Stolen. */
static void asked_set(struct daemon *d, const struct target *t, json_t *asked)
{
	struct err e = { 0 };
	struct vm *vm;

	state_lock(d);
	vm = vm_find(d, t->name);
	if (vm != NULL && vm->pid == t->peer.pid) {
		if (asked != NULL)
			json_object_set(vm->facts, "asked", asked);
		else
			json_object_del(vm->facts, "asked");
		if (vm_save(d, vm, &e) < 0)
			log_err(&e, t->name);
	}
	state_unlock(d);
	json_decref(asked);
}

static int still_running(struct daemon *d, const struct target *t, unsigned int timeout_s,
			 struct err *e)
{
	asked_set(d, t, NULL);
	state_enter(d, t, VM_RUNNING);
	err_set(e, ETIMEDOUT,
		"the VM %s did not power off within %u s of its power button: it is still running",
		t->name, timeout_s);
	err_code(e, "still-running");
	return err_hint(e,
			"viaduct vm console %s   shows what it does; viaduct vm kill %s   ends it",
			t->name, t->name);
}

int vm_stop(struct daemon *d, const char *name, const struct vm_stop_wish *wish, struct err *e)
{
	const char *what = wish->what != NULL ? wish->what : "stop";
	uint64_t pressed_ns, waited_s;
	struct target t;
	json_t *asked;
	int r = target_get(d, name, STATES_WITH_PROCESS, &t, e);

	if (r < 0)
		return r;
	asked_set(d, &t, vm_asked_json(wish->uid, what));
	if (t.state == VM_PAUSED)
		/* A paused guest cannot see its power button. */
		vmm_call(d, &t.peer, "resume", NULL, NULL);
	state_enter(d, &t, VM_STOPPING);
	operation_step(wish->op, "VM %s: its power button is pressed, at most %u s", name,
		       wish->timeout_s);
	pressed_ns = now_ns();
	r = vmm_call(d, &t.peer, "shutdown", NULL, NULL);
	waited_s = (now_ns() - pressed_ns) / NS_PER_S;
	/* A VMM that has not answered in time may yet take it: the host has other work. */
	if (r == 0 || r == -ETIMEDOUT || r == -EAGAIN || !wish->kill)
		r = end_wait(d, &t,
			     wish->timeout_s - (unsigned int)u64_min(waited_s, wish->timeout_s));
	if (r == 0)
		return 0;
	if (r == -ECANCELED)
		return daemon_ends(&t, e);
	if (!wish->kill)
		return still_running(d, &t, wish->timeout_s, e);
	operation_step(wish->op, "VM %s is killed", name);
	log_warn("VM %s did not stop within %u s: it is killed", name, wish->timeout_s);
	asked = vm_asked_json(wish->uid, what);
	json_object_set_new(asked, "waited_s", json_integer(wish->timeout_s));
	asked_set(d, &t, asked);
	return target_kill(d, &t, e);
}

int vm_kill(struct daemon *d, const char *name, uid_t uid, struct err *e)
{
	struct target t;
	int r = target_get(d, name, STATES_WITH_PROCESS, &t, e);

	if (r < 0)
		return r;
	asked_set(d, &t, vm_asked_json(uid, "kill"));
	return target_kill(d, &t, e);
}

int vm_kill_for(struct daemon *d, const char *name, const char *why, struct err *e)
{
	struct target t;
	int r = target_get(d, name, STATES_WITH_PROCESS, &t, e);

	if (r < 0)
		return r;
	asked_set(d, &t,
		  json_pack("{s:s, s:s, s:I}", "what", "kill", "who", why, "at",
			    (json_int_t)time(NULL)));
	return target_kill(d, &t, e);
}

/* State and op locked. */
static int record_delete(struct daemon *d, const char *name, struct err *e)
{
	char path[PATH_MAX];
	struct vm *vm;
	int r = vm_get(d, name, &vm, e);

	if (r == -ENOENT && parse_name(name) == 0 &&
	    access(vm_firmware_path(d, name, "", path), F_OK) == 0)
		return 0;
	if (r < 0)
		return r;
	if (vm_state_is_live(vm->state) || vm->pid != 0) {
		err_set(e, EBUSY, "the VM %s is %s", name, vm_state_text(vm->state));
		err_code(e, "vm-state");
		return err_hint(e, "viaduct vm stop %s", name);
	}
	if (def_find(d, name) != NULL) {
		err_set(e, EBUSY, "the VM %s has just been defined", name);
		err_code(e, "vm-busy");
		return err_hint(e, "viaduct vm show %s", name);
	}
	r = ledger_vm_del(d->ledger, name, e);
	if (r == 0)
		vm_remove(d, name);
	return r;
}

int vm_delete(struct daemon *d, const char *name, struct err *e)
{
	int r;

	op_lock(d);
	state_lock(d);
	r = record_delete(d, name, e);
	state_unlock(d);
	if (r == 0) {
		priv_vm_files_remove(d, name, false);
		priv_vm_vars_remove(d, name);
	}
	op_unlock(d);
	return r;
}

static int vm_switch(struct daemon *d, const char *name, const char *op, enum vm_state to,
		     struct err *e)
{
	struct target t;
	int r = target_get(d, name, BIT(VM_RUNNING) | BIT(VM_PAUSED), &t, e);

	if (r == 0 && t.state != to)
		r = vmm_call(d, &t.peer, op, NULL, e);
	if (r == 0)
		state_enter(d, &t, to);
	return r;
}

int vm_pause(struct daemon *d, const char *name, struct err *e)
{
	return vm_switch(d, name, "pause", VM_PAUSED, e);
}

int vm_resume(struct daemon *d, const char *name, struct err *e)
{
	return vm_switch(d, name, "resume", VM_RUNNING, e);
}
