// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/disks_core.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int disk_listener_make(struct daemon *d, const char *vm, char path[PMD_SOCKET_TEXT], int *fd_out,
		       struct err *e)
{
	struct vm_disks *b = vm_disks_find(d, vm);
	int r;

	disks_work_lock(b);
	r = backend_socket_make(&b->p, path, fd_out, e);
	disks_work_unlock(b);
	return r;
}

void disk_listener_remove(struct daemon *d, const char *vm, const char *path)
{
	struct vm_disks *b = vm_disks_find(d, vm);

	disks_work_lock(b);
	backend_socket_drop(&b->p, path);
	disks_work_unlock(b);
}

struct wish_disk *wish_disk_find(struct vm_disks *b, const char *name)
{
	for (unsigned int i = 0; i < b->count; i++)
		if (strcmp(b->disks[i].name, name) == 0)
			return &b->disks[i];
	return NULL;
}

static int no_such_disk(const char *name, struct err *e)
{
	err_set(e, ENOENT, "no VM that runs has a disk %.140s", name);
	err_code(e, "no-such-disk");
	return err_hint(e, "viaduct disk list");
}

static int room_check(struct vm_disks *b, const struct disk_want *want, struct err *e)
{
	if (wish_disk_find(b, want->name) != NULL) {
		err_set(e, EEXIST, "the disk %.140s is there already", want->name);
		return err_code(e, "disk-exists");
	}
	return b->count < VMM_MAX_DISKS
		       ? 0
		       : err_set(e, ENOSPC, "the VM has %d disks already", VMM_MAX_DISKS);
}

static int wish_make(const struct disk_want *want, struct wish_disk *out, struct err *e)
{
	char path[40];

	memset(out, 0, sizeof(*out));
	out->handle = -1;
	if (snprintf(out->name, sizeof(out->name), "%s", want->name) >= (int)sizeof(out->name) ||
	    snprintf(out->socket, sizeof(out->socket), "%s", want->socket) >=
		    (int)sizeof(out->socket) ||
	    snprintf(out->serial, sizeof(out->serial), "%s", want->serial) >=
		    (int)sizeof(out->serial))
		return err_set(e, ENAMETOOLONG, "disk %.140s: a name is too long", want->name);
	if (want->path != NULL) /* for people, and for whoever comes back */
		snprintf(out->path, sizeof(out->path), "%s", want->path);
	out->id = want->id;
	out->how = want->how;
	out->queues = want->queues;
	out->limits = (struct disk_limits){ want->iops, want->bandwidth };
	out->vmm = want->vmm;
	if (want->image < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", want->image);
	out->handle = open(path, O_PATH | O_CLOEXEC);
	return out->handle >= 0 ? 0 : err_set(e, errno, "%s: %s", path, strerror(errno));
}

static void wish_keep(struct vm_disks *b, const struct wish_disk *wish)
{
	disks_look_lock(b);
	b->disks[b->count++] = *wish;
	disks_look_unlock(b);
	backend_socket_keep(&b->p, wish->socket);
}

int disk_restore(struct daemon *d, const struct disk_want *want, struct err *e)
{
	struct vm_disks *b = vm_disks_make(d, want->name, e);
	struct wish_disk wish = { .handle = -1 };
	int r;

	if (b == NULL)
		return -e->errnum;
	disks_work_lock(b);
	r = room_check(b, want, e);
	if (r == 0)
		r = wish_make(want, &wish, e);
	backend_proc_group_set(&b->p, (gid_t)want->guest);
	/* The daemon before may have died between ledger and viaduct-pmd. */
	wish.is_stale = true;
	if (r == 0)
		wish_keep(b, &wish);
	/* While its VMM has it. */
	if (r == 0)
		(void)disk_handle_find(b, &b->disks[b->count - 1], NULL);
	disks_work_unlock(b);
	return r;
}

/* Work locked. Nobody waits for the end of one that is not wanted any more. */
static void wanted_note(struct vm_disks *b)
{
	b->p.is_wanted = b->count > 0;
	if (!b->p.is_wanted)
		backend_kick(&b->p);
}

/* A process that waits for its next try is tried now. */
static int up_now(struct vm_disks *b, struct err *e)
{
	b->p.is_wanted = true;
	b->p.retry_ns = 0;
	if (disks_start_wanted(b))
		return 0;
	*e = b->p.why;
	if (e->errnum == 0)
		err_set(e, EBUSY, "one of before does not end");
	err_code(e, "backend-down");
	return err_wrap(e, "%s is not up", b->p.label);
}

int disk_add(struct daemon *d, const struct disk_want *want, struct err *e)
{
	struct vm_disks *b = vm_disks_find(d, want->name);
	struct wish_disk wish = { .handle = -1 };
	int r;

	disks_work_lock(b);
	r = room_check(b, want, e);
	if (r == 0)
		r = wish_make(want, &wish, e);
	if (r == 0)
		r = up_now(b, e);
	if (r == 0)
		r = disk_sync_add(b, &wish, e);
	wish.is_counted = true;
	if (r == 0)
		wish_keep(b, &wish);
	else
		fd_close(&wish.handle);
	wanted_note(b);
	disks_work_unlock(b);
	return r;
}

/* Work locked. */
static void wish_drop(struct vm_disks *b, struct wish_disk *wish)
{
	backend_socket_drop(&b->p, wish->socket);
	disks_look_lock(b);
	fd_close(&wish->handle);
	*wish = b->disks[--b->count];
	memset(&b->disks[b->count], 0, sizeof(*wish));
	disks_look_unlock(b);
}

void disk_remove(struct daemon *d, const char *name)
{
	struct vm_disks *b = vm_disks_find(d, name);
	struct wish_disk *wish;

	if (b == NULL)
		return;
	disks_work_lock(b);
	wish = wish_disk_find(b, name);
	if (wish != NULL) {
		wish_drop(b, wish);
		/* Who has not answered just now is not waited for again. */
		if (b->p.pidfd >= 0 && b->p.silences == 0)
			disk_sync_remove(b, name);
		wanted_note(b);
	}
	disks_work_unlock(b);
}

void disks_remove_vm(struct daemon *d, const char *vm)
{
	struct vm_disks *b = vm_disks_find(d, vm);
	char name[PMD_PORT_TEXT];

	while (b != NULL && b->count > 0) {
		memcpy(name, b->disks[0].name, sizeof(name));
		disk_remove(d, name);
	}
}

int disk_limit(struct daemon *d, const char *name, const struct disk_limits *limits, struct err *e)
{
	struct vm_disks *b = vm_disks_find(d, name);
	struct wish_disk *w;
	struct err why = { 0 };
	int r = 0;

	if (b == NULL)
		return no_such_disk(name, e);
	disks_work_lock(b);
	w = wish_disk_find(b, name);
	if (w == NULL) {
		r = no_such_disk(name, e);
	} else {
		struct disk_limits before = w->limits;

		disks_look_lock(b);
		w->limits = *limits;
		w->is_stale = true;
		disks_look_unlock(b);
		if (b->p.state == BACKEND_UP && disk_sync_limit(b, w, &why) < 0 &&
		    strcmp(why.code, "backend-down") != 0 &&
		    strcmp(why.code, "no-such-disk") != 0) {
			/* Refused: the former ones stay. */
			disks_look_lock(b);
			w->limits = before;
			disks_look_unlock(b);
			*e = why;
			r = -why.errnum;
		}
	}
	disks_work_unlock(b);
	return r;
}

int disk_image(struct daemon *d, const char *name, int *fd_out, struct err *e)
{
	struct vm_disks *b = vm_disks_find(d, name);
	struct wish_disk *w;
	int r = 0;

	if (b == NULL)
		return no_such_disk(name, e);
	disks_work_lock(b);
	w = wish_disk_find(b, name);
	if (w == NULL) {
		r = no_such_disk(name, e);
	} else if (disk_handle_find(b, w, e) < 0) {
		r = err_wrap(e, "disk %.140s", name);
	} else {
		*fd_out = fcntl(w->handle, F_DUPFD_CLOEXEC, 0);
		r = *fd_out < 0 ? err_set(e, errno, "fcntl: %s", strerror(errno)) : 0;
	}
	disks_work_unlock(b);
	return r;
}

int disk_resized(struct daemon *d, const char *name, uint64_t *size, struct err *e)
{
	auto_json json_t *body = json_pack("{s:s, s:s}", "op", "disk-resize", "disk", name);
	auto_json json_t *result = NULL;
	struct vm_disks *b = vm_disks_find(d, name);
	int r;

	if (b == NULL)
		return no_such_disk(name, e);
	disks_work_lock(b);
	r = wish_disk_find(b, name) == NULL ? no_such_disk(name, e)
					    : pmd_call(d, &b->p.peer, body, &result, e);
	if (r == 0)
		r = json_get_u64(result, "size", INT64_MAX, size, e);
	/* Who looks now does not wait for the next look. */
	disks_look_lock(b);
	for (unsigned int i = 0; r == 0 && i < b->status.count; i++)
		if (strcmp(b->status.disks[i].name, name) == 0)
			b->status.disks[i].size = *size;
	disks_look_unlock(b);
	disks_work_unlock(b);
	return r;
}
