// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/spec_disks.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>

#define RING_MIN 64

/* The place for this disk's fds; a new one if there is none yet. */
static int fds_find(struct vmm_spec *spec, const char *disk, struct vmm_disk_fds **out,
		    struct err *e)
{
	struct vmm_disk_fds *f = spec->disk_fds;

	if (parse_name(disk) < 0)
		return err_set(e, EINVAL, "\"%.64s\" is no name of a disk", disk);
	while (f < spec->disk_fds + spec->disk_fds_count && strcmp(f->disk, disk) != 0)
		f++;
	if (f == spec->disk_fds + VMM_MAX_DISKS)
		return err_set(e, ERANGE, "fds of more than %d disks", VMM_MAX_DISKS);
	if (f == spec->disk_fds + spec->disk_fds_count) {
		snprintf(f->disk, sizeof(f->disk), "%s", disk);
		f->socket_fd = f->image_fd = -1;
		spec->disk_fds_count++;
	}
	*out = f;
	return 0;
}

int spec_disk_socket_take(struct vmm_spec *spec, const char *disk, int *fd, struct err *e)
{
	struct vmm_disk_fds *f = NULL;
	int r = fds_find(spec, disk, &f, e);

	if (r < 0)
		return r;
	if (f->socket_fd >= 0)
		return err_set(e, EINVAL, "fd \"disk:%s\" is there twice", disk);
	f->socket_fd = fd_take(fd);
	return 0;
}

int spec_disk_image_take(struct vmm_spec *spec, const char *disk, int *fd, struct err *e)
{
	struct vmm_disk_fds *f = NULL;
	int r = fds_find(spec, disk, &f, e);

	if (r < 0)
		return r;
	if (f->image_fd >= 0)
		return err_set(e, EINVAL, "fd \"image:%s\" is there twice", disk);
	f->image_fd = fd_take(fd);
	return 0;
}

static int numbers_parse(struct vmm_disk_spec *disk, const json_t *obj, struct err *e)
{
	uint64_t queues = 1, size = 256, uid = 0, boot = 0;
	int r = json_get_u64_opt(obj, "queues", VMM_MAX_DISK_QUEUES, &queues, e);

	if (r == 0)
		r = json_get_u64_opt(obj, "queue_size", VMM_MAX_RING, &size, e);
	if (r == 0)
		r = json_get_u64_opt(obj, "backend_uid", UINT32_MAX - 1, &uid, e);
	if (r == 0)
		r = json_get_u64_opt(obj, "boot", VMM_MAX_BOOT, &boot, e);
	if (r < 0)
		return r;
	if (queues == 0)
		return err_set(e, ERANGE, "queues: 1 to %d", VMM_MAX_DISK_QUEUES);
	if (!is_pow2(size) || size < RING_MIN)
		return err_set(e, ERANGE, "queue_size: a power of two from %d to %d", RING_MIN,
			       VMM_MAX_RING);
	if (boot == 0 && json_object_get(obj, "boot") != NULL)
		return err_set(e, ERANGE, "boot: 1 to %d", VMM_MAX_BOOT);
	disk->queues = (unsigned int)queues;
	disk->queue_size = (unsigned int)size;
	disk->backend_uid = (uid_t)uid;
	disk->boot = (unsigned int)boot;
	return 0;
}

static int disk_check(const struct vmm_spec *spec, struct vmm_disk_spec *disk, struct err *e)
{
	for (unsigned int i = 0; i < spec->disk_count; i++) {
		if (strcmp(spec->disks[i].disk, disk->disk) == 0)
			return err_set(e, EINVAL, "disk %s is there twice", disk->disk);
		if (disk->boot != 0 && spec->disks[i].boot == disk->boot)
			return err_set(e, EINVAL, "boot: place %u is that of disk %s", disk->boot,
				       spec->disks[i].disk);
	}
	for (disk->fds = 0; disk->fds < spec->disk_fds_count; disk->fds++)
		if (strcmp(spec->disk_fds[disk->fds].disk, disk->disk) == 0)
			break;
	if (disk->fds == spec->disk_fds_count || spec->disk_fds[disk->fds].socket_fd < 0)
		return err_set(e, ENOENT, "fd \"disk:%s\" is missing", disk->disk);
	return 0;
}

static int disk_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	static const char *const keys[] = { "disk",	   "queues", "queue_size",
					    "backend_uid", "boot",   NULL };
	struct vmm_disk_spec *disk = &spec->disks[spec->disk_count];
	int r = json_check_keys(obj, keys, e);

	if (r == 0)
		r = json_get_str(obj, "disk", disk->disk, sizeof(disk->disk), e);
	if (r == 0 && parse_name(disk->disk) < 0)
		r = err_set(e, EINVAL, "disk \"%s\" is no name", disk->disk);
	if (r == 0)
		r = numbers_parse(disk, obj, e);
	if (r == 0)
		r = disk_check(spec, disk, e);
	if (r == 0)
		spec->disk_count++;
	return r;
}

int spec_disks_parse(struct vmm_spec *spec, const json_t *obj, struct err *e)
{
	json_t *list, *item;
	size_t i;
	int r;

	if (json_object_get(obj, "disks") == NULL)
		return 0;
	r = json_get_array(obj, "disks", VMM_MAX_DISKS, &list, e);
	if (r < 0)
		return r;
	json_array_foreach(list, i, item) {
		r = disk_parse(spec, item, e);
		if (r < 0)
			return err_wrap(e, "disks: item %zu", i);
	}
	return 0;
}
