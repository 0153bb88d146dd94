// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmstart_disks.h"

#include "vf-manager/disks.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOREIGN                                                                                  \
	"it begins as an image of another format does; it is served raw (format: raw says that " \
	"this is right)"
#define NO_DIRECT "its file system has no direct I/O: it goes through the host's page cache"

static char *owner_text(const char *vm, const char *disk, char buf[OWNER_TEXT])
{
	snprintf(buf, OWNER_TEXT, "%s/%s", vm, disk);
	return buf;
}

static struct image_id id_of(const json_t *facts)
{
	return (struct image_id){
		.dev = (dev_t)json_integer_value(json_object_get(facts, "dev")),
		.ino = (ino_t)json_integer_value(json_object_get(facts, "ino")),
	};
}

/* State locked. The name of the VM that has it, and of its disk; false: none. */
static bool holder_find(const struct daemon *d, const struct image_id *id, char out[OWNER_TEXT])
{
	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		json_t *disk;
		size_t k;

		if (vm->pid == 0 && !vm_state_is_live(vm->state))
			continue;
		json_array_foreach(json_object_get(vm->facts, "disks"), k, disk) {
			const struct image_id is = id_of(disk);
			const char *name = json_string_value(json_object_get(disk, "name"));

			if (image_id_is(&is, id) && name != NULL) {
				owner_text(vm->name, name, out);
				return true;
			}
		}
	}
	return false;
}

int image_holder_say(struct daemon *d, const struct image_id *id, const char *path, struct err *e)
{
	char owner[OWNER_TEXT];
	bool is_ours;

	state_lock(d);
	is_ours = holder_find(d, id, owner);
	state_unlock(d);
	if (!is_ours)
		return -ENOENT;
	err_set(e, EBUSY, "image %s: disk %s has it", path, owner);
	err_code(e, "image-in-use");
	return err_hint(e, "viaduct disk show %s", owner);
}

/* State not locked. Says who has an image that cannot be had; code "image-in-use". */
static int image_in_use(struct daemon *d, const struct image_id *id, const char *path,
			struct err *e)
{
	int r = image_holder_say(d, id, path, e);

	if (r != -ENOENT)
		return r;
	err_set(e, EBUSY, "image %s: another program has it", path);
	err_code(e, "image-in-use");
	return err_hint(e, "lsof %s   says which; lslocks lists its locks", path);
}

int vm_images_warn(const struct vm_spec *spec, const struct vm_files *files, json_t *warnings,
		   struct err *e)
{
	for (unsigned int i = 0; i < files->image_count; i++) {
		if (vm_image_format_check(&spec->disks[i], &files->images[i], e) < 0)
			return err_wrap(e, "disk %s", spec->disks[i].name);
		if (files->images[i].has_no_direct)
			json_add_text(warnings, "disk %s: %s", spec->disks[i].name, NO_DIRECT);
	}
	return 0;
}

/* NULL: nothing is to be said of it. */
static const char *disk_warning(const struct vm_disk *disk, const struct vm_image *image)
{
	if (image->format != NULL && !disk->is_raw)
		return FOREIGN;
	return image->has_no_direct ? NO_DIRECT : NULL;
}

static int twice_check(const struct vm_spec *spec, const struct vm_image *images, unsigned int i,
		       struct err *e)
{
	for (unsigned int k = 0; k < i; k++)
		if (image_id_is(&images[k].id, &images[i].id)) {
			err_set(e, EBUSY, "image %s: disk %s has it", spec->disks[i].path,
				spec->disks[k].name);
			return err_code(e, "image-in-use");
		}
	return 0;
}

static bool is_of(struct daemon *d, const struct image_id *id, const char *vm)
{
	char owner[OWNER_TEXT];
	const size_t len = strlen(vm);
	bool is_ours;

	state_lock(d);
	is_ours = holder_find(d, id, owner);
	state_unlock(d);
	return is_ours && strncmp(owner, vm, len) == 0 && owner[len] == '/';
}

int vm_images_check(struct daemon *d, const struct vm_spec *spec, const struct vm_files *files,
		    json_t *steps, struct err *e)
{
	for (unsigned int i = 0; i < files->image_count; i++) {
		const struct vm_disk *disk = &spec->disks[i];
		const struct vm_image *image = &files->images[i];
		int r;

		if (disk->is_seed) {
			json_add_text(steps,
				      "disk %s: the seed for cloud-init, made afresh in memory",
				      disk->name);
			continue;
		}
		r = twice_check(spec, files->images, i, e);
		if (r == 0 && vm_image_is_locked(image->fd, disk->is_readonly) &&
		    !is_of(d, &image->id, spec->name))
			r = image_in_use(d, &image->id, disk->path, e);
		if (r < 0)
			return err_wrap(e, "disk %s", disk->name);
		json_add_text(steps, "disk %s: the image %s, %llu MiB, %s, locked for the VM",
			      disk->name, disk->path, (unsigned long long)image->size >> 20,
			      image->is_direct ? "past the page cache" : "through the page cache");
	}
	return 0;
}

static int disk_take(struct vm_start *s, unsigned int i, struct err *e)
{
	const struct vm_disk *disk = &s->wish->spec->disks[i];
	const struct vm_image *image = &s->wish->files->images[i];
	int r = twice_check(s->wish->spec, s->wish->files->images, i, e);

	if (r < 0)
		return r;
	r = vm_image_lock(image->fd, disk->is_readonly);
	if (r == -EAGAIN)
		return image_in_use(s->d, &image->id, disk->path, e);
	if (r == -ETIMEDOUT) {
		err_set(e, r, "image %s: its storage does not answer", disk->path);
		return err_code(e, "storage-hangs");
	}
	if (r < 0) {
		err_set(e, r, "image %s: the lock of its VM: %s", disk->path, strerror(-r));
		return err_hint(e, "locks of open files are needed: a file system without them "
				   "cannot hold images");
	}
	return disk_listener_make(s->d, s->wish->spec->name, s->disks[i].socket,
				  &s->disks[i].listener, e);
}

static json_t *disk_facts(const struct vm_start *s, unsigned int i)
{
	const struct vm_disk *disk = &s->wish->spec->disks[i];
	const struct start_disk *d = &s->disks[i];

	return json_pack("{s:s, s:s, s:b, s:s, s:s, s:I, s:I, s:o, s:I, s:I, s:s, s:I, s:I, s:b, "
			 "s:I, s:s?}",
			 "name", disk->name, "path", disk->path, "readonly", (int)disk->is_readonly,
			 "serial", disk->serial, "cache", disk->is_buffered ? "buffered" : "direct",
			 "queues", (json_int_t)disk->queues, "queue_size",
			 (json_int_t)disk->queue_size, "boot",
			 disk->boot != 0 ? json_integer(disk->boot) : json_null(), "iops",
			 (json_int_t)disk->iops, "bandwidth", (json_int_t)disk->bandwidth, "socket",
			 d->socket, "dev", (json_int_t)d->id.dev, "ino", (json_int_t)d->id.ino,
			 "direct", (int)d->how.is_direct, "size", (json_int_t)d->size, "warning",
			 d->warning);
}

json_t *start_disks_facts(const struct vm_start *s)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < s->disk_count; i++)
		json_array_append_new(list, disk_facts(s, i));
	return list;
}

static int record(struct vm_start *s, struct err *e)
{
	struct vm *vm;
	int r;

	state_lock(s->d);
	vm = vm_find(s->d, s->wish->spec->name);
	json_object_set_new(vm->facts, "disks", start_disks_facts(s));
	r = vm_save(s->d, vm, e);
	state_unlock(s->d);
	return r;
}

/* In the place of a file that would have been opened. */
static int seed_make(struct vm_start *s, struct err *e)
{
	const struct vm_spec *spec = s->wish->spec;
	struct vm_files *files = s->wish->files;
	struct vm_image *image = &files->images[spec->disk_count - 1];
	char uuid[UUID_TEXT];
	const struct cloud_who vm = { spec->name, uuid };
	int r = priv_vm_uuid_get(s->d, spec->name, uuid, e);
	struct stat st;

	if (r == 0)
		r = cloud_init_seed(&spec->cloud_init, files->cloud, &vm, &image->fd, e);
	if (r < 0)
		return r;
	if (fstat(image->fd, &st) < 0)
		return err_set(e, errno, "the seed of cloud-init: %s", strerror(errno));
	image->size = (uint64_t)st.st_size;
	return image_id_read(image->fd, &image->id);
}

int start_disks_take(struct vm_start *s, struct err *e)
{
	const struct vm_spec *spec = s->wish->spec;
	int r = spec->disk_count > 0 ? disks_open(s->d, spec->name, s->uid, &s->disks_uid, e) : 0;

	if (r == 0 && spec->cloud_init.is_set)
		r = seed_make(s, e);
	for (unsigned int i = 0; r == 0 && i < spec->disk_count; i++) {
		const struct vm_image *image = &s->wish->files->images[i];

		s->disks[i] = (struct start_disk){
			.listener = -1,
			.id = image->id,
			.how = { .is_readonly = spec->disks[i].is_readonly,
				 .is_direct = image->is_direct },
			.size = image->size,
			.warning = disk_warning(&spec->disks[i], image),
		};
		r = disk_take(s, i, e);
		if (r < 0)
			return err_wrap(e, "disk %s", spec->disks[i].name);
		s->disk_count++;
	}
	return r == 0 && s->disk_count > 0 ? record(s, e) : r;
}

int start_disks_add(struct vm_start *s, struct err *e)
{
	const char *vm = s->wish->spec->name;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < s->disk_count; i++) {
		const struct vm_disk *disk = &s->wish->spec->disks[i];
		char name[OWNER_TEXT];
		const struct disk_want want = { .name = owner_text(vm, disk->name, name),
						.socket = s->disks[i].socket,
						.serial = disk->serial,
						.id = s->disks[i].id,
						.how = s->disks[i].how,
						.queues = disk->queues,
						.iops = disk->iops,
						.bandwidth = disk->bandwidth,
						.path = disk->path,
						.vmm = s->pid,
						.image = s->wish->files->images[i].fd };

		r = disk_add(s->d, &want, e);
		s->disks[i].is_added = r == 0;
		if (r < 0)
			err_wrap(e, "disk %s", disk->name);
	}
	return r;
}

void start_disks_undo(struct vm_start *s)
{
	start_disks_close(s);
	for (unsigned int i = s->disk_count; i-- > 0;) {
		char name[OWNER_TEXT];

		if (s->disks[i].is_added)
			disk_remove(s->d, owner_text(s->wish->spec->name,
						     s->wish->spec->disks[i].name, name));
		else
			disk_listener_remove(s->d, s->wish->spec->name, s->disks[i].socket);
	}
	s->disk_count = 0;
}

void start_disks_close(struct vm_start *s)
{
	for (unsigned int i = 0; i < s->disk_count; i++)
		fd_close(&s->disks[i].listener);
}

json_t *start_disks_json(const struct vm_start *s)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < s->disk_count; i++) {
		const struct vm_disk *disk = &s->wish->spec->disks[i];
		json_t *row = json_pack("{s:s, s:I, s:I, s:I}", "disk", disk->name, "queues",
					(json_int_t)disk->queues, "queue_size",
					(json_int_t)disk->queue_size, "backend_uid",
					(json_int_t)s->disks_uid);

		if (disk->boot != 0)
			json_object_set_new(row, "boot", json_integer(disk->boot));
		json_array_append_new(list, row);
	}
	return list;
}

size_t start_disks_fds(const struct vm_start *s, json_t *names, int *fds)
{
	size_t n = 0;

	for (unsigned int i = 0; i < s->disk_count; i++) {
		const char *name = s->wish->spec->disks[i].name;

		json_add_text(names, "disk:%s", name);
		fds[n++] = s->disks[i].listener;
		json_add_text(names, "image:%s", name);
		fds[n++] = s->wish->files->images[i].fd;
	}
	return n;
}

json_t *vm_disk_find(const struct vm *vm, const char *name)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(vm->facts, "disks"), i, disk) {
		const char *is = json_string_value(json_object_get(disk, "name"));

		if (is != NULL && strcmp(is, name) == 0)
			return disk;
	}
	return NULL;
}

static void disk_restore_one(struct daemon *d, const struct vm *vm, const json_t *facts)
{
	const char *name = json_string_value(json_object_get(facts, "name"));
	uint64_t queues = 1, iops = 0, bandwidth = 0;
	struct disk_want want = {
		.socket = json_string_value(json_object_get(facts, "socket")),
		.serial = json_string_value(json_object_get(facts, "serial")),
		.path = json_string_value(json_object_get(facts, "path")),
		.id = id_of(facts),
		.how = { .is_readonly = json_is_true(json_object_get(facts, "readonly")),
			 .is_direct = json_is_true(json_object_get(facts, "direct")) },
		.image = -1,
		.vmm = vm->pid,
		.guest = vm->uid,
	};
	char owner[OWNER_TEXT];
	struct err e = { 0 };

	json_get_u64_opt(facts, "queues", PMD_MAX_QUEUES, &queues, NULL);
	json_get_u64_opt(facts, "iops", PMD_MAX_IOPS, &iops, NULL);
	json_get_u64_opt(facts, "bandwidth", INT64_MAX, &bandwidth, NULL);
	if (name == NULL || want.socket == NULL || want.serial == NULL || want.path == NULL)
		return;
	want.queues = (unsigned int)queues;
	want.iops = iops;
	want.bandwidth = bandwidth;
	want.name = owner_text(vm->name, name, owner);
	if (disk_restore(d, &want, &e) < 0)
		log_err(&e, owner);
}

void disks_restore(struct daemon *d)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		json_t *disk;
		size_t k;

		if (d->vms[i]->pid == 0)
			continue;
		json_array_foreach(json_object_get(d->vms[i]->facts, "disks"), k, disk)
			disk_restore_one(d, d->vms[i], disk);
	}
}
