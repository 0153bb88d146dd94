// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/diskset.h"

#include "vf-manager/disks.h"
#include "vf-manager/imagewait.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmdisk.h"
#include "vf-manager/vmshow_disks.h"
#include "vf-manager/vmstart_disks.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512U

static int no_such_disk(const char *vm, const char *disk, struct err *e)
{
	err_set(e, ENOENT, "the VM %.64s has no disk %.64s", vm, disk);
	err_code(e, "no-such-disk");
	return err_hint(e, "viaduct disk list");
}

/* State locked. */
static void vm_disks_add(struct daemon *d, const struct vm *vm, const char *only, json_t *list)
{
	auto_json json_t *shown = json_object();
	json_t *disk;
	size_t i;

	json_object_set_new(shown, "disks", json_deep_copy(json_object_get(vm->facts, "disks")));
	disks_show_add(d, vm, shown);
	json_array_foreach(json_object_get(shown, "disks"), i, disk) {
		const char *name = json_string_value(json_object_get(disk, "name"));

		if (only != NULL && (name == NULL || strcmp(name, only) != 0))
			continue;
		json_object_set_new(disk, "vm", json_string(vm->name));
		json_array_append(list, disk);
	}
}

int disks_list(struct daemon *d, const char *vm, const char *disk, json_t **out, struct err *e)
{
	json_t *list = json_array();
	struct vm *one = NULL;
	int r = 0;

	state_lock(d);
	if (vm != NULL)
		r = vm_get(d, vm, &one, e);
	if (one != NULL)
		vm_disks_add(d, one, disk, list);
	for (size_t i = 0; vm == NULL && i < d->vm_count; i++)
		if (d->vms[i]->pid != 0)
			vm_disks_add(d, d->vms[i], disk, list);
	state_unlock(d);
	if (r == 0 && disk != NULL && json_array_size(list) == 0)
		r = no_such_disk(vm != NULL ? vm : "", disk, e);
	if (r < 0)
		json_decref(list);
	else
		*out = list;
	return r;
}

/* State locked. The facts of a disk whose VM runs; borrowed. */
static int running_find(struct daemon *d, const struct disk_wish *wish, struct vm **vm,
			json_t **disk, struct err *e)
{
	int r = vm_get(d, wish->vm, vm, e);

	if (r < 0)
		return r;
	*disk = vm_disk_find(*vm, wish->disk);
	if (*disk == NULL)
		return no_such_disk(wish->vm, wish->disk, e);
	if ((*vm)->pid != 0 && (*vm)->state != VM_STARTING)
		return 0;
	err_set(e, EBUSY, "the VM %s does not run", wish->vm);
	return err_code(e, "vm-state");
}

static void limits_enter(json_t *disk, const struct disk_limits *limits)
{
	json_object_set_new(disk, "iops", json_integer((json_int_t)limits->iops));
	json_object_set_new(disk, "bandwidth", json_integer((json_int_t)limits->bandwidth));
}

static int words_read(const json_t *words, struct disk_limits *out, struct err *e)
{
	int r = json_get_u64_opt(words, "iops", INT64_MAX, &out->iops, e);

	if (r == 0)
		r = disk_iops_check(out->iops, e);
	return r == 0 ? json_get_u64_opt(words, "bandwidth", INT64_MAX, &out->bandwidth, e) : r;
}

/* What is not named stays. */
static void limits_merge(const json_t *words, const json_t *disk, struct disk_limits *before,
			 struct disk_limits *after)
{
	json_get_u64_opt(disk, "iops", PMD_MAX_IOPS, &before->iops, NULL);
	json_get_u64_opt(disk, "bandwidth", INT64_MAX, &before->bandwidth, NULL);
	if (json_object_get(words, "iops") == NULL)
		after->iops = before->iops;
	if (json_object_get(words, "bandwidth") == NULL)
		after->bandwidth = before->bandwidth;
}

/* State locked. */
static int limits_save(struct daemon *d, const struct disk_wish *wish,
		       const struct disk_limits *limits, struct err *e)
{
	json_t *disk;
	struct vm *vm;
	int r = running_find(d, wish, &vm, &disk, e);

	if (r < 0)
		return r;
	limits_enter(disk, limits);
	return vm_save(d, vm, e);
}

int disk_set(struct daemon *d, const struct disk_wish *wish, struct err *e)
{
	struct disk_limits before = { 0 }, after = { 0 };
	struct err unseen = { 0 };
	char owner[OWNER_TEXT];
	char text[160];
	json_t *disk;
	struct vm *vm;
	int r = words_read(wish->words, &after, e);

	if (r < 0)
		return r;
	snprintf(owner, sizeof(owner), "%s/%s", wish->vm, wish->disk);
	state_lock(d);
	r = running_find(d, wish, &vm, &disk, e);
	if (r == 0) {
		limits_merge(wish->words, disk, &before, &after);
		r = limits_save(d, wish, &after, e);
	}
	state_unlock(d);
	if (r < 0)
		return r;
	r = disk_limit(d, owner, &after, e);
	snprintf(text, sizeof(text), "limits set by uid %u: iops %llu, bandwidth %llu",
		 wish->who->uid, (unsigned long long)after.iops,
		 (unsigned long long)after.bandwidth);
	state_lock(d);
	/* It is in force: that no event tells of it is no failure of it. */
	if ((r == 0 && ledger_event_add(d->ledger, "disk", owner, text, &unseen) < 0) ||
	    (r < 0 && limits_save(d, wish, &before, &unseen) < 0))
		log_err(&unseen, owner);
	state_unlock(d);
	return r;
}

struct growing {
	struct caller who;
	int handle;
	uint64_t size; /* wanted; 0: as it is */
	uint64_t is; /* before */
	const char *step;
};

/* With the caller's identity. */
static int grow(void *arg)
{
	struct growing *g = arg;
	auto_fd int fd = -1;
	char path[40];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", g->handle);
	g->step = "open";
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	g->is = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &g->is) < 0)
		return -errno;
	if (g->size == 0 || g->size == g->is)
		return 0;
	g->step = S_ISBLK(st.st_mode) ? "device" : "smaller";
	if (S_ISBLK(st.st_mode) || g->size < g->is)
		return -EINVAL;
	g->step = "grow";
	return ftruncate(fd, (off_t)g->size) < 0 ? -errno : 0;
}

static int grow_run(void *arg)
{
	struct growing *g = arg;

	return caller_run(&g->who, grow, g);
}

static void grow_drop(void *arg)
{
	struct growing *g = arg;

	fd_close(&g->handle);
	free(g);
}

/* Takes g->handle. */
static int grow_within(struct growing *g)
{
	struct growing *own = malloc(sizeof(*own));
	const struct image_task task = { grow_run, grow_drop, own };
	bool is_taken = false;
	struct image_id id;
	int r;

	if (own == NULL) {
		fd_close(&g->handle);
		return -ENOMEM;
	}
	*own = *g;
	r = image_id_read(own->handle, &id);
	if (r == 0)
		r = image_task_run(&id, &task, &is_taken);
	if (is_taken)
		return r;
	*g = *own;
	grow_drop(own);
	return r;
}

static int grow_failed(const struct growing *g, const char *owner, int r, struct err *e)
{
	if (r == -EINVAL && strcmp(g->step, "smaller") == 0) {
		err_set(e, EINVAL,
			"disk %s: %llu bytes are less than its %llu: its guest would lose data",
			owner, (unsigned long long)g->size, (unsigned long long)g->is);
		err_code(e, "disk-smaller");
		return err_hint(e, "disks grow only");
	}
	if (r == -EINVAL && strcmp(g->step, "device") == 0) {
		err_set(e, EINVAL,
			"disk %s: a block device of %llu bytes, which only its own "
			"tools make larger",
			owner, (unsigned long long)g->is);
		err_code(e, "disk-smaller");
		return err_hint(e, "lvextend, for example; then viaduct disk resize %s", owner);
	}
	if (r == -ETIMEDOUT) {
		err_set(e, r,
			"disk %s: the storage of its image does not answer; once it does, it may "
			"have grown",
			owner);
		return err_code(e, "storage-hangs");
	}
	err_set(e, r, "disk %s: its image: %s", owner, strerror(-r));
	return err_hint(e, "it is made larger with the rights of whoever asks");
}

static int size_read(const struct disk_wish *wish, uint64_t *out, struct err *e)
{
	int r = json_get_u64_opt(wish->words, "size", INT64_MAX, out, e);

	if (r == 0 && *out % SECTOR != 0)
		r = err_set(e, EINVAL, "size: no multiple of %u bytes", SECTOR);
	return r;
}

/* State locked. What is known of it when its VM is shown. */
static void size_note(struct daemon *d, const struct disk_wish *wish, uint64_t size)
{
	struct err unseen = { 0 };
	char owner[OWNER_TEXT];
	char text[96];
	json_t *disk;
	struct vm *vm;

	snprintf(owner, sizeof(owner), "%s/%s", wish->vm, wish->disk);
	snprintf(text, sizeof(text), "made %llu bytes large by uid %u", (unsigned long long)size,
		 wish->who->uid);
	if (running_find(d, wish, &vm, &disk, &unseen) == 0) {
		json_object_set_new(disk, "size", json_integer((json_int_t)size));
		if (vm_save(d, vm, &unseen) < 0 ||
		    ledger_event_add(d->ledger, "disk", owner, text, &unseen) < 0)
			log_err(&unseen, owner);
	}
}

int disk_resize(struct daemon *d, const struct disk_wish *wish, struct err *e)
{
	struct growing g = { .who = *wish->who, .handle = -1, .step = "" };
	char owner[OWNER_TEXT];
	bool is_readonly = false;
	uint64_t size = 0;
	json_t *disk;
	struct vm *vm;
	int r = size_read(wish, &g.size, e);

	if (r < 0)
		return r;
	snprintf(owner, sizeof(owner), "%s/%s", wish->vm, wish->disk);
	state_lock(d);
	r = running_find(d, wish, &vm, &disk, e);
	if (r == 0)
		is_readonly = json_is_true(json_object_get(disk, "readonly"));
	state_unlock(d);
	if (r == 0 && is_readonly && g.size != 0) {
		err_set(e, EROFS, "disk %s is only read: its VM does not make it larger", owner);
		r = err_code(e, "disk-readonly");
	}
	if (r == 0)
		r = disk_image(d, owner, &g.handle, e);
	if (r < 0)
		return r;
	if (is_readonly)
		fd_close(&g.handle);
	else
		r = grow_within(&g);
	if (r < 0)
		return grow_failed(&g, owner, r, e);
	r = disk_resized(d, owner, &size, e);
	if (r == 0) {
		state_lock(d);
		size_note(d, wish, size);
		state_unlock(d);
	}
	return r;
}
