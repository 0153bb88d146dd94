// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/disks_core.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int disks_create(struct daemon *d, struct err *e)
{
	struct disks *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return err_set(e, ENOMEM, "no memory");
	d->disks = b;
	b->d = d;
	return backend_proc_init(&b->p, d, &backend_role_disk, e);
}

static void *disks_main(void *arg)
{
	struct disks *b = arg;

	while (!backend_proc_must_end(&b->p)) {
		int pidfd, ms;

		disks_work_lock(b);
		disks_settle(b);
		pidfd = b->p.pidfd;
		ms = backend_proc_tick(&b->p);
		disks_work_unlock(b);
		backend_proc_wait(&b->p, pidfd, ms);
	}
	return NULL;
}

int disks_start(struct daemon *d, struct err *e)
{
	struct disks *b = d->disks;

	disks_work_lock(b);
	b->p.is_wanted = b->count > 0;
	if (b->count > 0)
		backend_uids_keep(&b->p);
	backend_find(&b->p);
	disks_work_unlock(b);
	return backend_proc_watch(&b->p, disks_main, b, e);
}

void disks_stop(struct daemon *d)
{
	if (d->disks != NULL)
		backend_proc_stop(&d->disks->p);
}

void disks_destroy(struct daemon *d)
{
	struct disks *b = d->disks;

	if (b == NULL)
		return;
	for (unsigned int i = 0; i < b->count; i++)
		fd_close(&b->disks[i].handle);
	backend_proc_fini(&b->p);
	free(b);
	d->disks = NULL;
}

int disk_listener_make(struct daemon *d, char path[PMD_SOCKET_TEXT], int *fd_out, struct err *e)
{
	struct disks *b = d->disks;
	int r;

	if (d->is_root && disks_uid_now(d) == 0) {
		err_set(e, EINVAL, "the range of uids is too small for viaduct-pmd of disks");
		err_code(e, "backend-down");
		return err_hint(e, "uids.count: %u or more in viaductd.yaml; or backends.disk_uid",
				DISKS_UIDS);
	}
	disks_work_lock(b);
	r = backend_socket_make(&b->p, path, fd_out, e);
	disks_work_unlock(b);
	return r;
}

void disk_listener_remove(struct daemon *d, const char *path)
{
	disks_work_lock(d->disks);
	backend_socket_drop(&d->disks->p, path);
	disks_work_unlock(d->disks);
}

uid_t disks_uid_now(struct daemon *d)
{
	uid_t uid;

	disks_look_lock(d->disks);
	uid = backend_proc_uid(&d->disks->p);
	disks_look_unlock(d->disks);
	return uid;
}

int disks_guest_check(struct daemon *d, uid_t uid, struct err *e)
{
	struct backend_uids kept;

	disks_look_lock(d->disks);
	kept = d->disks->p.uids;
	disks_look_unlock(d->disks);
	if (!kept.is_kept || (uid >= kept.first && uid - kept.first < kept.count))
		return 0;
	err_set(e, EBUSY,
		"viaduct-pmd of disks keeps the uids %u to %u of before viaductd.yaml was changed, "
		"and the VM has %u",
		kept.first, kept.first + kept.count - 1, uid);
	err_code(e, "backend-down");
	return err_hint(e, "viaduct disk list   names the VMs; when none of them runs it takes the "
			   "new ones");
}

struct wish_disk *wish_disk_find(struct disks *b, const char *name)
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

static int room_check(struct disks *b, const struct disk_want *want, struct err *e)
{
	if (wish_disk_find(b, want->name) != NULL) {
		err_set(e, EEXIST, "the disk %.140s is there already", want->name);
		return err_code(e, "disk-exists");
	}
	return b->count < PMD_MAX_DISKS
		       ? 0
		       : err_set(e, ENOSPC, "there are %d disks already", PMD_MAX_DISKS);
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

static void wish_keep(struct disks *b, const struct wish_disk *wish)
{
	disks_look_lock(b);
	b->disks[b->count++] = *wish;
	disks_look_unlock(b);
	backend_socket_keep(&b->p, wish->socket);
}

int disk_restore(struct daemon *d, const struct disk_want *want, struct err *e)
{
	struct disks *b = d->disks;
	struct wish_disk wish = { .handle = -1 };
	int r;

	disks_work_lock(b);
	r = room_check(b, want, e);
	if (r == 0)
		r = wish_make(want, &wish, e);
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

/* A process that waits for its next try is tried now. */
static int up_now(struct disks *b, struct err *e)
{
	b->p.is_wanted = true;
	b->p.retry_ns = 0;
	if (disks_start_wanted(b))
		return 0;
	*e = b->p.why;
	if (e->errnum == 0)
		err_set(e, EBUSY, "one of before does not end");
	err_code(e, "backend-down");
	return err_wrap(e, "viaduct-pmd of disks is not up");
}

int disk_add(struct daemon *d, const struct disk_want *want, struct err *e)
{
	struct wish_disk wish = { .handle = -1 };
	struct disks *b = d->disks;
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
	b->p.is_wanted = b->count > 0;
	disks_work_unlock(b);
	return r;
}

/* Work locked. */
static void wish_drop(struct disks *b, struct wish_disk *wish)
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
	struct disks *b = d->disks;
	struct wish_disk *wish;

	disks_work_lock(b);
	wish = wish_disk_find(b, name);
	if (wish != NULL) {
		wish_drop(b, wish);
		/* Who has not answered just now is not waited for again. */
		if (b->p.pidfd >= 0 && b->p.silences == 0)
			disk_sync_remove(b, name);
		b->p.is_wanted = b->count > 0;
		/* Nobody waits for its end. */
		if (!b->p.is_wanted)
			backend_kick(&b->p);
	}
	disks_work_unlock(b);
}

void disks_remove_vm(struct daemon *d, const char *vm)
{
	struct disks *b = d->disks;
	const size_t len = strlen(vm);
	char name[PMD_PORT_TEXT];
	bool is_any = b != NULL;

	while (is_any) {
		is_any = false;
		disks_look_lock(b);
		for (unsigned int i = 0; !is_any && i < b->count; i++) {
			is_any = strncmp(b->disks[i].name, vm, len) == 0 &&
				 b->disks[i].name[len] == '/';
			if (is_any)
				memcpy(name, b->disks[i].name, sizeof(name));
		}
		disks_look_unlock(b);
		if (is_any)
			disk_remove(d, name);
	}
}

int disk_limit(struct daemon *d, const char *name, const struct disk_limits *limits, struct err *e)
{
	struct disks *b = d->disks;
	struct wish_disk *w;
	struct err why = { 0 };
	int r = 0;

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
	struct disks *b = d->disks;
	struct wish_disk *w;
	int r = 0;

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
	struct disks *b = d->disks;
	int r;

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
