// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/watch.h"

#include "vf-manager/backend.h"
#include "vf-manager/disks.h"
#include "vf-manager/faultwatch.h"
#include "vf-manager/fnpool.h"
#include "vf-manager/pool.h"
#include "vf-manager/privops.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmdef.h"
#include "vf-manager/vmend.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct watched {
	struct watcher *w;
	char name[64];
	int pidfd; /* a copy: the VM's own may be closed by whoever removes it */
	struct watched *next;
};

/* The list is the thread's alone. */
struct watcher {
	struct daemon *d;
	struct loop *loop;
	int kick_fd;
	pthread_t thread;
	bool has_thread;
	_Atomic bool must_end;
	struct watched *list;
};

/* State locked. What the kernel says of a child of ours. */
static void status_reap(struct vm *vm, struct vm_end *end)
{
	siginfo_t info = { 0 };

	if (!vm->is_child || waitid(P_PIDFD, (id_t)vm->pidfd, &info, WEXITED | WNOHANG) < 0 ||
	    info.si_pid == 0)
		return;
	end->has_status = true;
	end->code = info.si_code;
	end->status = info.si_status;
}

/* State locked. What VFIO told a VMM, which ended of it. */
static void fault_note(struct daemon *d, const char *name, const json_t *exit)
{
	const char *reason = json_string_value(json_object_get(exit, "reason"));
	const char *text = json_string_value(json_object_get(exit, "text"));

	if (reason != NULL && text != NULL && strcmp(reason, "device-error") == 0)
		fault_watch_vfio_error(d, name, text);
}

void vm_ended(struct daemon *d, const char *name)
{
	struct vm_end end = { .name = name };
	auto_json json_t *asked = NULL;
	json_t *exit, *life = NULL;
	enum vm_state state;
	struct vm *vm;

	state_lock(d);
	vm = vm_find(d, name);
	if (vm == NULL || !(vm_state_is_live(vm->state) || vm->pid != 0)) {
		state_unlock(d);
		return;
	}
	status_reap(vm, &end);
	end.pid = vm->pid;
	end.start_ticks = vm->start_ticks;
	end.is_killed = vm_is_killed(vm);
	end.asked = asked = json_incref(json_object_get(vm->facts, "asked"));
	state_unlock(d);
	exit = vm_end_find(d, &end, &state, &life);
	/* Free before it is called ended: who waits for the end may start the next at once. */
	backend_ports_remove_vm(d, name);
	disks_remove_vm(d, name);
	pool_release_vm(d, name);
	fnpool_release_vm(d, name);
	priv_vm_files_remove(d, name, true);
	priv_vm_cgroup_remove(d, name);
	state_lock(d);
	vm = vm_find(d, name);
	if (vm != NULL) {
		json_object_set(vm->facts, "exit", exit);
		json_object_set(vm->facts, "life", life);
		fault_note(d, name, exit);
		vm->pid = 0;
		vm->is_watched = false;
		fd_close(&vm->pidfd);
		def_vm_ended(d, vm, state, asked);
	}
	state_unlock(d);
	json_decref(exit);
	json_decref(life);
}

static void watched_drop(struct watched *one)
{
	struct watched **at = &one->w->list;

	while (*at != NULL && *at != one)
		at = &(*at)->next;
	if (*at == one)
		*at = one->next;
	loop_del(one->w->loop, one->pidfd);
	fd_close(&one->pidfd);
	free(one);
}

/* What an ended VM had is given back step by step, each in the ledger first. False: the daemon ends, and the next one sees to it. */
static bool ledger_wait(struct watcher *w)
{
	const struct timespec pause = { .tv_nsec = 100000000 };

	for (;;) {
		bool is_locked;

		state_lock(w->d);
		is_locked = ledger_is_locked(w->d->ledger);
		state_unlock(w->d);
		if (!is_locked || atomic_load_explicit(&w->must_end, memory_order_acquire))
			return !is_locked;
		nanosleep(&pause, NULL);
	}
}

static void process_gone(void *arg, int fd, uint32_t events)
{
	struct watched *one = arg;
	struct watcher *w = one->w;
	struct daemon *d = w->d;
	char name[64];

	memcpy(name, one->name, sizeof(name));
	watched_drop(one);
	if (!ledger_wait(w))
		return;
	op_lock(d);
	vm_ended(d, name);
	op_unlock(d);
}

/* State locked. */
static void watch_vm(struct watcher *w, struct vm *vm)
{
	struct watched *one = calloc(1, sizeof(*one));

	if (one == NULL)
		return;
	one->w = w;
	memcpy(one->name, vm->name, sizeof(one->name));
	one->pidfd = fcntl(vm->pidfd, F_DUPFD_CLOEXEC, 0);
	if (one->pidfd < 0 || loop_add(w->loop, one->pidfd, EPOLLIN, process_gone, one) < 0) {
		fd_close(&one->pidfd);
		free(one);
		return;
	}
	one->next = w->list;
	w->list = one;
	vm->is_watched = true;
}

static void kicked(void *arg, int fd, uint32_t events)
{
	struct watcher *w = arg;
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return;
	if (atomic_load_explicit(&w->must_end, memory_order_acquire)) {
		loop_stop(w->loop, 0);
		return;
	}
	state_lock(w->d);
	for (size_t i = 0; i < w->d->vm_count; i++) {
		struct vm *vm = w->d->vms[i];

		if (vm->pidfd >= 0 && !vm->is_watched && vm->state != VM_STARTING)
			watch_vm(w, vm);
	}
	state_unlock(w->d);
}

static void *watcher_main(void *arg)
{
	struct watcher *w = arg;

	loop_run(w->loop);
	return NULL;
}

int watcher_create(struct daemon *d, struct watcher **out, struct err *e)
{
	struct watcher *w = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return err_set(e, ENOMEM, "no memory");
	w->d = d;
	w->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = w->kick_fd < 0 ? err_set(e, errno, "eventfd: %s", strerror(errno))
			   : loop_create(&w->loop, e);
	if (r == 0)
		r = loop_add(w->loop, w->kick_fd, EPOLLIN, kicked, w);
	if (r == 0)
		r = -pthread_create(&w->thread, NULL, watcher_main, w);
	if (r < 0) {
		watcher_destroy(w);
		return e->errnum != 0 ? r : err_set(e, r, "the watcher: %s", strerror(-r));
	}
	w->has_thread = true;
	*out = w;
	return 0;
}

void watcher_kick(struct watcher *w)
{
	const uint64_t one = 1;

	if (write(w->kick_fd, &one, sizeof(one)) < 0)
		log_warn("the watcher cannot be woken: %s", strerror(errno));
}

void watcher_destroy(struct watcher *w)
{
	if (w == NULL)
		return;
	if (w->has_thread) {
		/* release: pairs with acquire in kicked() */
		atomic_store_explicit(&w->must_end, true, memory_order_release);
		watcher_kick(w);
		pthread_join(w->thread, NULL);
	}
	while (w->list != NULL)
		watched_drop(w->list);
	loop_destroy(w->loop);
	fd_close(&w->kick_fd);
	free(w);
}
