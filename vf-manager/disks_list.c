// SPDX-License-Identifier: BSD-3-Clause
/* Which VMs have disks: an instance for each, from its first start until nothing is left of its process and of the VM's record. */
#include "vf-manager/backend.h"
#include "vf-manager/disks_core.h"
#include "vf-manager/privops.h"
#include "vf-manager/runpaths.h"
#include "vf-manager/vm.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/seqmsg.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void *vm_disks_main(void *arg)
{
	struct vm_disks *b = arg;

	while (!backend_proc_must_end(&b->p)) {
		int pidfd, ms;

		disks_work_lock(b);
		disks_settle(b);
		pidfd = b->p.pidfd;
		ms = b->p.is_wanted || pidfd >= 0 ? backend_proc_tick(&b->p) : -1;
		disks_work_unlock(b);
		backend_proc_wait(&b->p, pidfd, ms);
	}
	return NULL;
}

static void vm_disks_destroy(struct vm_disks *b)
{
	for (unsigned int i = 0; i < b->count; i++)
		fd_close(&b->disks[i].handle);
	backend_proc_fini(&b->p);
	free(b);
}

/* `name`: of its process. NULL: *e. */
static struct vm_disks *vm_disks_add(struct daemon *d, const char *name, struct err *e)
{
	struct vm_disks *b = calloc(1, sizeof(*b));
	int r;

	if (b == NULL) {
		err_set(e, ENOMEM, "no memory");
		return NULL;
	}
	b->d = b->p.d = d;
	b->p.role = &backend_role_disk;
	r = backend_proc_init(&b->p, name, e);
	if (r == 0 && d->disks->is_watched)
		r = backend_proc_watch(&b->p, vm_disks_main, b, e);
	if (r < 0) {
		vm_disks_destroy(b);
		return NULL;
	}
	pthread_mutex_lock(&d->disks->list);
	b->next = d->disks->first;
	d->disks->first = b;
	pthread_mutex_unlock(&d->disks->list);
	return b;
}

struct vm_disks *vm_disks_find(struct daemon *d, const char *name)
{
	const size_t len = strcspn(name, "/");
	struct vm_disks *b = d->disks != NULL ? d->disks->first : NULL;

	for (; b != NULL; b = b->next) {
		const char *vm = disks_backend_vm(b->p.name);

		if (strncmp(vm, name, len) == 0 && vm[len] == '\0')
			break;
	}
	return b;
}

struct vm_disks *vm_disks_make(struct daemon *d, const char *name, struct err *e)
{
	struct vm_disks *b = vm_disks_find(d, name);
	char backend[BACKEND_NAME_TEXT];

	if (b != NULL)
		return b;
	snprintf(backend, sizeof(backend), DISKS_BACKEND "%.*s", (int)strcspn(name, "/"), name);
	return vm_disks_add(d, backend, e);
}

void vm_disks_each(struct daemon *d, void (*each)(struct vm_disks *b, void *arg), void *arg)
{
	if (d->disks == NULL)
		return;
	pthread_mutex_lock(&d->disks->list);
	for (struct vm_disks *b = d->disks->first; b != NULL; b = b->next) {
		disks_look_lock(b);
		each(b, arg);
		disks_look_unlock(b);
	}
	pthread_mutex_unlock(&d->disks->list);
}

/* Whoever works at it needs it: no VM's start waits for another VM's process. */
static bool is_needed(struct vm_disks *b)
{
	bool is;

	if (pthread_mutex_trylock(&b->p.work) != 0)
		return true;
	is = b->p.is_wanted || b->p.pidfd >= 0;
	disks_work_unlock(b);
	state_lock(b->d);
	is |= vm_find(b->d, disks_backend_vm(b->p.name)) != NULL;
	state_unlock(b->d);
	return is;
}

/* Op locked, state not. */
static void forget(struct daemon *d, struct vm_disks **at)
{
	struct vm_disks *b = *at;
	struct err e = { 0 };

	pthread_mutex_lock(&d->disks->list);
	*at = b->next;
	pthread_mutex_unlock(&d->disks->list);
	priv_backend_folder_remove(d, b->p.name);
	state_lock(d);
	if (ledger_backend_del(d->ledger, b->p.name, &e) < 0)
		log_err(&e, b->p.label);
	state_unlock(d);
	vm_disks_destroy(b);
}

/* The same locks. */
static void forget_unneeded(struct daemon *d)
{
	struct vm_disks **at = &d->disks->first;

	while (*at != NULL) {
		if (is_needed(*at))
			at = &(*at)->next;
		else
			forget(d, at);
	}
}

void disks_forget_vm(struct daemon *d, const char *vm)
{
	struct vm_disks *b = vm_disks_find(d, vm), **at;
	bool is_off;

	if (b == NULL)
		return;
	disks_work_lock(b);
	is_off = backend_proc_off(&b->p);
	disks_work_unlock(b);
	for (at = &d->disks->first; *at != b;)
		at = &(*at)->next;
	if (is_off)
		forget(d, at);
}

int disks_create(struct daemon *d, struct err *e)
{
	d->disks = calloc(1, sizeof(*d->disks));
	if (d->disks == NULL)
		return err_set(e, ENOMEM, "no memory");
	pthread_mutex_init(&d->disks->list, NULL);
	return 0;
}

/* Those of which the ledger knows, and nothing else: their VMs have ended meanwhile, or were served by one process for all. */
static int strays_add(struct daemon *d, struct err *e)
{
	auto_json json_t *names = NULL;
	json_t *name;
	size_t i;
	int r;

	state_lock(d);
	r = ledger_backend_names(d->ledger, &names, e);
	state_unlock(d);
	json_array_foreach(names, i, name) {
		const char *text = json_string_value(name);
		struct vm_disks *b = d->disks->first;

		while (b != NULL && strcmp(b->p.name, text) != 0)
			b = b->next;
		if (b == NULL && strcmp(text, BACKEND_NAME) != 0 &&
		    vm_disks_add(d, text, e) == NULL)
			return -e->errnum;
	}
	return r;
}

/* Those that have a folder: the ledger may be older than they are (`state restore`). */
static int unlisted_add(struct daemon *d, struct err *e)
{
	char path[BACKEND_PATH_TEXT];
	const struct dirent *entry;
	DIR *dir;
	int r = 0;

	snprintf(path, sizeof(path), "%s/pmd", d->opt->run_dir);
	dir = opendir(path);
	while (dir != NULL && r == 0 && (entry = readdir(dir)) != NULL) {
		const char *vm = disks_backend_vm(entry->d_name);

		if (vm[0] != '\0' && parse_name(vm) == 0 && vm_disks_find(d, vm) == NULL &&
		    vm_disks_add(d, entry->d_name, e) == NULL)
			r = -e->errnum;
	}
	if (dir != NULL)
		closedir(dir);
	return r;
}

pid_t disks_vmm_find(const struct vm_disks *b)
{
	const char *vm = disks_backend_vm(b->p.name);
	char path[VM_PATH_TEXT];
	struct ucred cred;
	socklen_t len = sizeof(cred);
	auto_fd int fd = -1;
	int r = unix_connect(vm_path(b->d, vm, "control.sock", path), SOCK_SEQPACKET, &fd, NULL);

	if (r == 0)
		return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 ? cred.pid : -1;
	/* The folder stays behind when a VM has ended: without it somebody has removed it. */
	if (r == -ECONNREFUSED || (r == -ENOENT && !run_path_is_gone(vm_path(b->d, vm, "", path))))
		return 0;
	return -1;
}

int disks_start(struct daemon *d, struct err *e)
{
	int r = strays_add(d, e);

	if (r == 0)
		r = unlisted_add(d, e);

	for (struct vm_disks *b = d->disks->first; r == 0 && b != NULL; b = b->next) {
		disks_work_lock(b);
		b->p.is_wanted = b->count > 0;
		if (b->count > 0)
			backend_uids_keep(&b->p);
		backend_find(&b->p);
		if (backend_find_listening(&b->p))
			b->is_left = b->count == 0;
		disks_work_unlock(b);
		r = backend_proc_watch(&b->p, vm_disks_main, b, e);
	}
	d->disks->is_watched = true;
	if (r == 0)
		forget_unneeded(d);
	return r;
}

/* All are told before one is waited for. */
void disks_stop(struct daemon *d)
{
	struct vm_disks *first = d->disks != NULL ? d->disks->first : NULL;

	for (struct vm_disks *b = first; b != NULL; b = b->next)
		backend_proc_leave(&b->p);
	for (struct vm_disks *b = first; b != NULL; b = b->next)
		backend_proc_stop(&b->p);
}

void disks_destroy(struct daemon *d)
{
	struct disks *all = d->disks;

	if (all == NULL)
		return;
	while (all->first != NULL) {
		struct vm_disks *b = all->first;

		all->first = b->next;
		vm_disks_destroy(b);
	}
	pthread_mutex_destroy(&all->list);
	free(all);
	d->disks = NULL;
}

struct uid_search {
	uid_t uid;
	bool is_found, is_of_guest;
};

static void uid_compare(struct vm_disks *b, void *arg)
{
	struct uid_search *s = arg;

	s->is_found |= backend_proc_uid(&b->p) == s->uid;
	s->is_of_guest |= b->p.peer.pid != 0 && b->p.group == (gid_t)s->uid;
}

bool disks_have_uid(struct daemon *d, uid_t uid)
{
	struct uid_search search = { .uid = uid };

	vm_disks_each(d, uid_compare, &search);
	return search.is_found;
}

bool disks_have_guest(struct daemon *d, uid_t uid)
{
	struct uid_search search = { .uid = uid };

	vm_disks_each(d, uid_compare, &search);
	return search.is_of_guest;
}

int disks_open(struct daemon *d, const char *vm, uid_t guest, uid_t *uid, struct err *e)
{
	struct vm_disks *b;
	pid_t unlisted;
	bool is_off;

	if (d->is_root && disks_uid(&d->config) == 0) {
		err_set(e, EINVAL, "the range of uids is too small for viaduct-pmd of disks");
		err_code(e, "backend-down");
		return err_hint(e, "uids.count: %u or more in viaductd.yaml; or backends.disk_uid",
				DISKS_UIDS);
	}
	forget_unneeded(d);
	b = vm_disks_make(d, vm, e);
	if (b == NULL)
		return -e->errnum;
	disks_work_lock(b);
	unlisted = b->is_left && b->p.pidfd >= 0 ? disks_vmm_find(b) : 0;
	is_off = unlisted == 0 && backend_proc_off(&b->p);
	if (is_off) {
		backend_uids_forget(&b->p);
		backend_proc_group_set(&b->p, (gid_t)guest);
	}
	*uid = backend_proc_uid(&b->p);
	disks_work_unlock(b);
	if (is_off)
		return 0;
	if (unlisted != 0) {
		err_set(e, EEXIST, "a viaduct-vmm of that name runs that the ledger does not know");
		err_code(e, "vm-exists");
		return err_hint(e, "viaduct alarms   has its process");
	}
	err_set(e, EBUSY,
		"%s of the VM's former run does not end: the kernel waits for its storage",
		b->p.label);
	return err_code(e, "backend-down");
}
