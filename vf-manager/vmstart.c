// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmstart.h"

#include "vf-manager/affinity.h"
#include "vf-manager/budget.h"
#include "vf-manager/coresched.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/operations.h"
#include "vf-manager/peer.h"
#include "vf-manager/pool.h"
#include "vf-manager/portpolled.h"
#include "vf-manager/portset.h"
#include "vf-manager/privops.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmdef.h"
#include "vf-manager/vmextra.h"
#include "vf-manager/vmlaunch.h"
#include "vf-manager/vmops.h"
#include "vf-manager/vmplace.h"
#include "vf-manager/vmstart_disks.h"
#include "vf-manager/watch.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS	60000
#define START_MS_PER_GB 2000 /* to prefault and pin */
#define KILL_WAIT_MS	5000

/* Of a VMM, beside its vCPUs' threads: the main one, up to 16 that populate memory, those that write to files. */
#define VMM_TASKS_BESIDE 64U

static void step_append(struct vm_start *s, const char *name, uint64_t ns)
{
	json_array_append_new(s->steps,
			      json_pack("{s:s, s:I}", "step", name, "ns", (json_int_t)ns));
}

static void step_add(struct vm_start *s, const char *name)
{
	uint64_t now = now_ns();

	step_append(s, name, now - s->step_ns);
	s->step_ns = now;
}

/* On the operator's word, which stays with the VM and is told as an event. */
static bool is_unsafe(const struct vm_start *s)
{
	return s->wish->unsafe != NULL && s->wish->unsafe->is_taken;
}

static void unsafe_record(const struct vm_start *s, struct vm *vm)
{
	if (is_unsafe(s))
		json_object_set_new(vm->facts, "unsafe_interrupts",
				    json_pack("{s:s, s:I, s:I}", "reason", s->wish->unsafe->reason,
					      "uid", (json_int_t)s->wish->who->uid, "at",
					      (json_int_t)time(NULL)));
}

/* State locked. */
static int unsafe_tell(const struct vm_start *s, struct err *e)
{
	char text[UNSAFE_REASON_TEXT + 80];

	if (!is_unsafe(s))
		return 0;
	snprintf(text, sizeof(text), "unsafe interrupts allowed by uid %u: %s", s->wish->who->uid,
		 s->wish->unsafe->reason);
	return ledger_event_add(s->d->ledger, "vm", s->wish->spec->name, text, e);
}

/* State locked. */
static int name_check(const struct vm_start *s, struct err *e)
{
	const char *name = s->wish->spec->name;
	const struct vm_def *def = def_find(s->d, name);

	if (s->d->host_stops > 0) {
		err_set(e, EBUSY, "all VMs are being stopped: none is started");
		err_code(e, "host-stopping");
		return err_hint(e, "viaduct operation list   says by whom");
	}
	if (s->wish->is_defined && def != NULL)
		return def_cancel_check(def, e);
	if (s->wish->is_defined || def == NULL)
		return 0;
	err_set(e, EEXIST, "the VM %s is defined: viaduct keeps it, and `vm run` has another file",
		name);
	err_code(e, "vm-defined");
	return err_hint(e, "viaduct vm start %s   or: viaduct vm create FILE --replace", name);
}

/* The name and the uid are ours from here on. */
static int start_reserve(struct vm_start *s, struct err *e)
{
	struct daemon *d = s->d;
	struct vm *vm = NULL;
	json_t *words;
	int r = vm_create(s->wish->spec->name, &vm, e);

	if (r < 0)
		return r;
	memcpy(vm->boot_id, d->boot_id, sizeof(vm->boot_id));
	vm->yaml = strdup(s->wish->yaml);
	json_object_set_new(vm->facts, "cpus", vm_place_cpus(s->wish->spec));
	words = affinity_facts(s->wish->spec);
	if (words != NULL)
		json_object_set_new(vm->facts, "anti_affinity", words);
	if (s->wish->owner.is_set)
		json_object_set_new(vm->facts, "owner", vm_owner_json(&s->wish->owner));
	json_object_set_new(vm->facts, "stop_timeout_s", json_integer(s->wish->spec->keep.stop_s));
	unsafe_record(s, vm);
	state_lock(d);
	/* Again: another VM may have taken the CPUs since they were looked at. */
	r = name_check(s, e);
	if (r == 0)
		r = vm_place_check(d, s->wish->spec, NULL, e);
	if (r == 0)
		r = vm_uid_pick(d, &s->uid, e);
	if (r == 0)
		r = vm_add(d, vm, &s->replaced, e);
	if (r < 0) {
		state_unlock(d);
		vm_destroy(vm);
		return r;
	}
	s->is_reserved = true;
	vm->uid = s->uid;
	vm->state = VM_STARTING;
	r = vm_save(d, vm, e);
	if (r == 0)
		r = unsafe_tell(s, e);
	state_unlock(d);
	return r;
}

/* Before it has memory, which would stay charged to the former cgroup. A VM without a scope runs as well and outlives the
 * daemon as well; that systemd does not show it is said. */
static void start_scope(struct vm_start *s, const struct spawn_wish *wish)
{
	char unit[SCOPE_UNIT_TEXT];
	struct err e = { 0 };
	struct vm *vm;

	if (priv_vm_scope_make(s->d, wish, s->pid, unit, &e) < 0)
		log_warn("VM %s has no scope and runs in a cgroup of viaduct's: %s", wish->name,
			 e.text);
	state_lock(s->d);
	vm = vm_find(s->d, wish->name);
	if (unit[0] != '\0')
		json_object_set_new(vm->facts, "unit", json_string(unit));
	json_object_set_new(vm->facts, "limits", priv_vm_limits_json(s->d, s->pid));
	json_object_set_new(vm->facts, "core_scheduling",
			    json_string(core_state_text(
				    core_vm_state(s->wish->spec, wish->has_cookie, s->pid))));
	state_unlock(s->d);
}

/* A pinned VM's pins, and where the other threads of its process belong; where those may be anywhere, all may. */
static void limits_fill(const struct vm_start *s, struct vm_limits *out)
{
	const struct vm_spec *spec = s->wish->spec;

	out->tasks = spec->cpu_count + VMM_TASKS_BESIDE;
	out->weight = spec->shares;
	out->cpus = s->place.own;
	for (unsigned int i = 0; CPU_COUNT(&s->place.own) > 0 && i < spec->pin_count; i++)
		CPU_SET(spec->pin[i], &out->cpus);
}

static int start_spawn(struct vm_start *s, struct err *e)
{
	int pair[2], r;
	struct spawn_wish wish = { .name = s->wish->spec->name,
				   .uid = s->uid,
				   .log = s->files.log,
				   .listener = s->files.listener,
				   .memlock_bytes = s->hold_count + s->fn_count > 0
							    ? vm_memlock_need(s->wish->spec)
							    : 0,
				   .has_cookie = s->place.has_cookie };
	auto_fd int theirs = -1;
	struct vm *vm;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socketpair: %s", strerror(errno));
	s->sock = pair[0];
	theirs = wish.sock = pair[1];
	limits_fill(s, &wish.limits);
	r = priv_vm_spawn(s->d, &wish, &s->pid, &s->pidfd, e);
	if (r < 0)
		return r;
	/* In the ledger before it gets anything: after a crash of ours it is found and ended. */
	state_lock(s->d);
	vm = vm_find(s->d, s->wish->spec->name);
	vm->pid = s->pid;
	vm->is_child = true;
	if (process_start_ticks(s->pid, &vm->start_ticks) < 0)
		r = err_set(e, ESRCH, "viaduct-vmm died at once");
	else
		r = vm_save(s->d, vm, e);
	state_unlock(s->d);
	if (r == 0)
		start_scope(s, &wish);
	return r;
}

static void hugepages_allow(struct vm_start *s)
{
	const struct vm_spec *spec = s->wish->spec;
	struct vm *vm;

	state_lock(s->d);
	vm = vm_find(s->d, spec->name);
	vm->ram_bytes = spec->memory_bytes;
	vm->ram_page = spec->hugepage_bytes;
	state_unlock(s->d);
	if (spec->hugepage_fallback)
		priv_hugepages_allow(s->d, spec->hugepage_bytes);
}

static int start_vars(struct vm_start *s, struct err *e)
{
	const char *name = s->wish->spec->name;
	int r = priv_vm_vars_open(s->d, name, s->wish->files->fresh_vars, &s->vars, e);

	return r == 0 ? priv_vm_uuid_get(s->d, name, s->uuid, e) : r;
}

/* Op locked. Everything up to the message that gives the VMM what it needs. */
static int start_prepare(struct vm_start *s, struct err *e)
{
	const struct vm_spec *spec = s->wish->spec;
	int r = start_reserve(s, e);

	if (r == 0)
		r = ports_take(s, e);
	if (r == 0)
		r = start_disks_take(s, e);
	if (r < 0)
		return r;
	step_add(s, "ports");
	operation_step(s->wish->op, "viaduct-vmm starts");
	if (spec->hugepage_bytes != 0)
		hugepages_allow(s);
	r = priv_kvm_open(s->d, &s->kvm, e);
	if (r == 0 && spec->has_firmware)
		r = start_vars(s, e);
	if (r == 0)
		r = start_extras_open(s, e);
	if (r == 0) {
		s->has_files = true;
		s->files.has_hvc0 = spec->has_virtio_console;
		r = priv_vm_files_make(s->d, spec->name, &s->files, e);
		if (r == 0 && s->wish->owner.is_set)
			r = priv_vm_files_give(s->d, spec->name, s->wish->owner.uid, e);
	}
	if (r == 0)
		launch_place(s);
	if (r == 0)
		r = start_spawn(s, e);
	if (r == 0)
		r = start_disks_add(s, e);
	if (r == 0)
		r = launch_send(s, e);
	if (r == 0)
		r = start_nets_add(s, e);
	step_add(s, "spawn");
	/* The VMM has its own now; a group or device file of ours would keep it from ever being released. */
	start_fds_close(s);
	return r;
}

static int start_wait(struct vm_start *s, json_t **status, struct err *e)
{
	int ms = START_MS + (int)(s->wish->spec->memory_bytes >> 30) * START_MS_PER_GB;
	int r = peer_reply("viaduct-vmm", s->sock, ms, status, e);

	if (r == -ECONNRESET || r == -EPIPE)
		launch_log_tail(s, e);
	return r;
}

/* What the VMM does not account for: its process coming up and closing its sandbox, and the messages. */
static uint64_t process_ns(const json_t *vmm_steps, uint64_t waited_ns)
{
	const json_t *step;
	size_t i;

	json_array_foreach((json_t *)vmm_steps, i, step) {
		uint64_t ns = 0;

		json_get_u64(step, "ns", INT64_MAX, &ns, NULL);
		waited_ns -= u64_min(ns, waited_ns);
	}
	return waited_ns;
}

/* Op locked. */
static int start_record(struct vm_start *s, const json_t *status, struct err *e)
{
	const struct vm_spec *spec = s->wish->spec;
	uint64_t page_bytes;
	json_t *vmm_steps;
	struct vm *vm;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < s->hold_count; i++)
		r = pool_assign(s->d, &s->holds[i], e);
	for (unsigned int i = 0; r == 0 && i < s->fn_count; i++)
		r = fnpool_assign(s->d, &s->fns[i].addr, e);
	if (r < 0)
		return r;
	vmm_steps = json_array();
	vm_steps_take(vmm_steps, json_object_get(status, "start"));
	step_append(s, "process", process_ns(vmm_steps, now_ns() - s->step_ns));
	json_array_extend(s->steps, vmm_steps);
	json_decref(vmm_steps);
	state_lock(s->d);
	vm = vm_find(s->d, spec->name);
	json_object_set_new(vm->facts, "start_seconds",
			    json_real((double)(now_ns() - s->wish->asked_ns) / 1e9));
	json_object_set_new(vm->facts, "started_at", json_integer((json_int_t)time(NULL)));
	json_object_set(vm->facts, "start_steps", s->steps);
	if (json_get_u64(status, "page_size", GIB(1), &page_bytes, NULL) == 0)
		json_object_set_new(vm->facts, "page_size", json_integer((json_int_t)page_bytes));
	launch_facts(s, vm->facts);
	json_object_set_new(vm->facts, "numa", launch_numa(s, status));
	r = def_vm_started(s->d, vm, s->wish, e);
	if (r == 0)
		vm->pidfd = fd_take(&s->pidfd);
	state_unlock(s->d);
	if (r == 0)
		watcher_kick(s->d->watcher);
	return r;
}

/* False: the kernel does not let go of it. */
static bool process_end(struct vm_start *s)
{
	struct pollfd p = { .fd = s->pidfd, .events = POLLIN };
	siginfo_t info;

	if (s->pid == 0)
		return true;
	kill(s->pid, SIGKILL); /* our child, not yet waited for: the pid is its own */
	if (poll(&p, 1, KILL_WAIT_MS) != 1)
		return false;
	while (waitid(P_PID, (id_t)s->pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	priv_vm_cgroup_remove(s->d, s->wish->spec->name);
	return true;
}

/* What it has is given back when it ends, as that of any VM. */
static void process_leave(struct vm_start *s, struct err *e)
{
	const char *name = s->wish->spec->name;
	const struct err why = *e;
	struct vm *vm;

	state_lock(s->d);
	vm = vm_find(s->d, name);
	vm->pidfd = fd_take(&s->pidfd);
	vm_leave_killed(s->d, vm);
	state_unlock(s->d);
	watcher_kick(s->d->watcher);
	err_set(e, why.errnum,
		"%.380s; and its process %d, which was killed, does not end: it keeps what it has",
		why.text, (int)s->pid);
	err_code(e, "vmm-stuck");
	err_hint(e, "cat /proc/%d/stack   and dmesg   say what the kernel waits for", (int)s->pid);
}

static void vfs_undo(struct vm_start *s)
{
	struct err e = { 0 };

	for (unsigned int i = s->hold_count; i-- > 0;) {
		const struct vf_hold *h = &s->holds[i];
		const struct vf_ref ref = { .pf = h->pf,
					    .index = h->index,
					    .generation = h->generation };
		int r = pool_release(s->d, &ref, true, &e);

		/* Stale: whoever ended the VM meanwhile gave it back. */
		if (r < 0 && r != -ESTALE)
			log_err(&e, s->wish->spec->name);
	}
	for (unsigned int i = s->fn_count; i-- > 0;)
		if (fnpool_release(s->d, &s->fns[i].addr, &e) < 0)
			log_err(&e, s->wish->spec->name);
}

static void name_undo(struct vm_start *s)
{
	const char *name = s->wish->spec->name;
	struct err e = { 0 };

	if (s->has_files)
		priv_vm_files_restore(s->d, name);
	state_lock(s->d);
	if (s->replaced == NULL && ledger_vm_del(s->d->ledger, name, &e) < 0)
		log_err(&e, name);
	vm_remove(s->d, name);
	/* What was there before says why it ended, and goes on doing so. */
	if (s->replaced != NULL && (vm_add(s->d, s->replaced, NULL, &e) < 0 ||
				    vm_save(s->d, ptr_take(&s->replaced), &e) < 0))
		log_err(&e, name);
	state_unlock(s->d);
}

/* Op locked. In the opposite order; each part of it stands alone. */
static void start_undo(struct vm_start *s, struct err *e)
{
	const bool is_ended = process_end(s);

	start_fds_close(s);
	start_nets_undo(s);
	start_disks_undo(s);
	if (!is_ended) {
		process_leave(s, e);
		return;
	}
	vfs_undo(s);
	if (s->is_reserved)
		name_undo(s);
}

static struct vm_start *start_create(struct daemon *d, const struct vm_start_wish *wish)
{
	struct vm_start *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->d = d;
	s->wish = wish;
	s->sock = s->pidfd = s->kvm = s->dma_fd = s->vars = s->vsock = -1;
	vm_run_files_init(&s->files);
	for (size_t i = 0; i < ARRAY_SIZE(s->members); i++)
		s->members[i].fd = -1;
	s->steps = json_array();
	s->step_ns = wish->asked_ns;
	return s;
}

/* "VM fw1: " in front of what does not name the VM itself. */
static int name_once(const char *name, int r, struct err *e)
{
	char begin[VM_NAME_TEXT + 16];

	snprintf(begin, sizeof(begin), "the VM %s ", name);
	if (e != NULL && strncmp(e->text, begin, strlen(begin)) == 0)
		return r;
	return err_wrap(e, "VM %s", name);
}

int vm_start(struct daemon *d, const struct vm_start_wish *wish, struct err *e)
{
	struct vm_start *s = start_create(d, wish);
	auto_json json_t *status = NULL;
	int r;

	if (s == NULL)
		return err_set(e, ENOMEM, "no memory");
	step_add(s, "check");
	operation_step(wish->op, "ports and functions are taken");
	op_lock(d);
	/* It may have waited long, and nobody need wait for it. */
	r = daemon_is_ending(d) ? err_set(e, ECANCELED, "viaductd is ending") : start_prepare(s, e);
	if (r == 0) {
		/* Long: meanwhile others may work. The name, the VFs and the uid are reserved. */
		op_unlock(d);
		operation_step(wish->op, "memory and devices are set up");
		r = start_wait(s, &status, e);
		op_lock(d);
	}
	if (r == 0)
		r = start_record(s, status, e);
	if (r < 0)
		start_undo(s, e);
	else
		priv_vm_files_drop_kept(d, wish->spec->name);
	if (wish->spec->hugepage_bytes != 0)
		priv_hugepages_settle(d);
	op_unlock(d);
	start_nets_free(s);
	vm_destroy(s->replaced);
	fd_close(&s->sock);
	fd_close(&s->pidfd);
	json_decref(s->steps);
	free(s);
	return r < 0 ? name_once(wish->spec->name, r, e) : 0;
}
