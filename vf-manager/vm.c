// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vm.h"

#include "vf-manager/backend.h"
#include "vf-manager/disks.h"
#include "vf-manager/privops.h"
#include "vf-manager/runpaths.h"
#include "vf-manager/vmdef.h"
#include "vf-manager/vmend.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const names[VM_STATES] = {
	[VM_STARTING] = "starting", [VM_RUNNING] = "running", [VM_PAUSED] = "paused",
	[VM_STOPPING] = "stopping", [VM_STOPPED] = "stopped", [VM_FAILED] = "failed",
	[VM_UNKNOWN] = "unknown",
};

static const bool is_live[VM_STATES] = {
	[VM_STARTING] = true,
	[VM_RUNNING] = true,
	[VM_PAUSED] = true,
	[VM_STOPPING] = true,
};

const char *vm_state_text(enum vm_state state)
{
	return (unsigned int)state < VM_STATES ? names[state] : "unknown";
}

int vm_state_parse(const char *text, enum vm_state *out)
{
	for (unsigned int i = 0; i < VM_STATES; i++) {
		if (strcmp(names[i], text) == 0) {
			*out = (enum vm_state)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool vm_state_is_live(enum vm_state state)
{
	return (unsigned int)state < VM_STATES && is_live[state];
}

bool vm_is_up(const struct vm *vm)
{
	return vm_state_is_live(vm->state) || vm->pid != 0;
}

int vm_create(const char *name, struct vm **out, struct err *e)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (vm == NULL)
		return err_set(e, ENOMEM, "no memory");
	snprintf(vm->name, sizeof(vm->name), "%s", name);
	vm->pidfd = -1;
	vm->facts = json_object();
	*out = vm;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	if (vm == NULL)
		return;
	fd_close(&vm->pidfd);
	json_decref(vm->facts);
	free(vm->yaml);
	free(vm);
}

static size_t vm_index(const struct daemon *d, const char *name)
{
	size_t i = 0;

	while (i < d->vm_count && strcmp(d->vms[i]->name, name) != 0)
		i++;
	return i;
}

struct vm *vm_find(struct daemon *d, const char *name)
{
	size_t i = vm_index(d, name);

	return i < d->vm_count ? d->vms[i] : NULL;
}

int vm_get(struct daemon *d, const char *name, struct vm **out, struct err *e)
{
	struct vm *vm = vm_find(d, name);

	if (vm == NULL) {
		err_set(e, ENOENT, "there is no VM '%.64s'", name);
		err_code(e, "no-such-vm");
		return err_hint(e, "viaduct vm list");
	}
	*out = vm;
	return 0;
}

/* Of those that have ended, the one that ended first makes room: its record and its logs go. */
static int oldest_forget(struct daemon *d, struct err *e)
{
	char name[sizeof(d->vms[0]->name)] = "";
	json_int_t oldest = 0;

	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		const json_t *exit = json_object_get(vm->facts, "exit");
		json_int_t ended = json_integer_value(json_object_get(exit, "wall_time"));

		if (vm_state_is_live(vm->state) || vm->pid != 0 || def_find(d, vm->name) != NULL ||
		    (name[0] != '\0' && ended >= oldest))
			continue;
		memcpy(name, vm->name, sizeof(name));
		oldest = ended;
	}
	if (name[0] == '\0') {
		err_set(e, ENOSPC, "%d VMs run or are defined already", DAEMON_VMS);
		return err_hint(e, "viaduct vm list");
	}
	if (ledger_history_del(d->ledger, name, e) < 0 || ledger_vm_del(d->ledger, name, e) < 0)
		return -EIO;
	priv_vm_files_remove(d, name, false);
	log_info("VM %s is forgotten: there are %d VMs already", name, DAEMON_VMS);
	vm_remove(d, name);
	return 0;
}

int vm_state_refuse(struct daemon *d, const struct vm *vm, struct err *e)
{
	err_set(e, EBUSY, "the VM %s is %s", vm->name, vm_state_text(vm->state));
	err_code(e, "vm-state");
	if (vm->pid != 0 || vm_state_is_live(vm->state))
		return err_hint(e, "viaduct vm show %s", vm->name);
	if (def_find(d, vm->name) != NULL)
		return err_hint(e, "viaduct vm start %s", vm->name);
	return err_hint(e, "viaduct vm run FILE   starts it again");
}

int vm_add(struct daemon *d, struct vm *vm, struct vm **replaced, struct err *e)
{
	size_t i = vm_index(d, vm->name);

	if (replaced != NULL)
		*replaced = NULL;

	if (i < d->vm_count) {
		struct vm *old = d->vms[i];

		if (vm_state_is_live(old->state) || old->pid != 0) {
			err_set(e, EEXIST, "the VM %s exists and is %s", vm->name,
				vm_state_text(old->state));
			err_code(e, "vm-exists");
			return err_hint(e, "viaduct vm stop %s", vm->name);
		}
		if (replaced != NULL)
			*replaced = old;
		else
			vm_destroy(old);
		d->vms[i] = vm;
		return 0;
	}
	if (d->vm_count == DAEMON_VMS) {
		int r = oldest_forget(d, e);

		if (r < 0)
			return r;
		i = d->vm_count;
	}
	while (i > 0 && strcmp(d->vms[i - 1]->name, vm->name) > 0) {
		d->vms[i] = d->vms[i - 1];
		i--;
	}
	d->vms[i] = vm;
	d->vm_count++;
	return 0;
}

void vm_remove(struct daemon *d, const char *name)
{
	size_t i = vm_index(d, name);

	if (i == d->vm_count)
		return;
	vm_destroy(d->vms[i]);
	memmove(&d->vms[i], &d->vms[i + 1], (d->vm_count - i - 1) * sizeof(d->vms[0]));
	d->vm_count--;
	pthread_cond_broadcast(&d->changed);
}

int vm_save(struct daemon *d, struct vm *vm, struct err *e)
{
	struct vm_row row = { .uid = vm->uid,
			      .pid = vm->pid,
			      .start_ticks = vm->start_ticks,
			      .yaml = vm->yaml,
			      .facts = vm->facts };

	snprintf(row.name, sizeof(row.name), "%s", vm->name);
	snprintf(row.state, sizeof(row.state), "%s", vm_state_text(vm->state));
	snprintf(row.boot_id, sizeof(row.boot_id), "%s", vm->boot_id);
	return ledger_vm_put(d->ledger, &row, e);
}

void vm_state_enter(struct daemon *d, struct vm *vm, enum vm_state state)
{
	if (vm->state != state)
		log_info("VM %s is %s", vm->name, vm_state_text(state));
	vm->state = state;
	pthread_cond_broadcast(&d->changed);
}

void vm_state_set(struct daemon *d, struct vm *vm, enum vm_state state)
{
	struct err e = { 0 };

	vm_state_enter(d, vm, state);
	if (vm_save(d, vm, &e) < 0)
		log_err(&e, vm->name);
}

void vm_leave_killed(struct daemon *d, struct vm *vm)
{
	log_warn(
		"VM %s: viaduct-vmm (process %d) was killed and does not end: the VM keeps what it has",
		vm->name, (int)vm->pid);
	if (vm->state == VM_STARTING)
		json_object_set_new(vm->facts, "start_failed", json_true());
	vm_state_set(d, vm, VM_UNKNOWN);
}

bool vm_is_killed(const struct vm *vm)
{
	return vm->pid != 0 && vm->state == VM_UNKNOWN &&
	       (json_is_true(json_object_get(vm->facts, "start_failed")) ||
		vm_asked_is_kill(json_object_get(vm->facts, "asked")));
}

char *vm_path(const struct daemon *d, const char *name, const char *file, char buf[VM_PATH_TEXT])
{
	snprintf(buf, VM_PATH_TEXT, "%s/vm/%s%s%s", d->opt->run_dir, name, *file != '\0' ? "/" : "",
		 file);
	return buf;
}

bool vm_control_is_gone(const struct daemon *d, const struct vm *vm)
{
	char path[VM_PATH_TEXT];

	return d->run_paths != NULL && run_path_is_gone(vm_path(d, vm->name, "control.sock", path));
}

int process_start_ticks(pid_t pid, uint64_t *out)
{
	char path[32], text[1024];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read_at(AT_FDCWD, path, text, sizeof(text)) < 0)
		return -ESRCH;
	/* The second field is the program's name in brackets and may hold anything. */
	p = strrchr(text, ')');
	for (int field = 2; p != NULL && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p == NULL)
		return -ESRCH;
	*out = strtoull(p + 1, NULL, 10);
	return 0;
}

static bool uid_is_taken(struct daemon *d, uid_t uid)
{
	size_t k = 0;

	if (config_has_polled(&d->config) && uid == backend_uid(&d->config))
		return true;
	if (uid == disks_uid(&d->config) || disks_have_uid(d, uid))
		return true;
	while (k < d->vm_count && (d->vms[k]->uid != uid || d->vms[k]->pid == 0))
		k++;
	return k < d->vm_count;
}

int vm_uid_pick(struct daemon *d, uid_t *out, struct err *e)
{
	bool is_there = false;

	if (!d->is_root) {
		*out = geteuid();
		return 0;
	}
	for (unsigned int i = 0; i < d->config.uid_count; i++) {
		const uid_t uid = d->config.uid_first + i;

		if (uid_is_taken(d, uid))
			continue;
		*out = uid;
		if (!disks_have_guest(d, uid))
			return 0;
		is_there = true; /* if no other one is */
	}
	return is_there ? 0
			: err_set(e, ENOSPC, "all %u uids for VMs are in use", d->config.uid_count);
}
