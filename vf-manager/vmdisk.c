// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmdisk.h"

#include "vf-manager/yamlload.h"

#include "base/json.h"
#include "base/parse.h"

#include <errno.h>
#include <stdio.h>

int disk_iops_check(uint64_t iops, struct err *e)
{
	if (iops <= PMD_MAX_IOPS)
		return 0;
	return err_set(e, ERANGE, "iops: %llu is more than %d (0: no limit)",
		       (unsigned long long)iops, PMD_MAX_IOPS);
}

static int disk_bandwidth_parse(const char *text, uint64_t *out, struct err *e)
{
	int r = parse_size(text, out);

	if (r == -ERANGE || (r == 0 && *out > INT64_MAX))
		return err_set(e, ERANGE, "bandwidth: %.32s is more than a number can hold", text);
	if (r == 0)
		return 0;
	return err_set(e, EINVAL,
		       "bandwidth: '%.32s' is no size (bytes a second, such as 200M; 0: no limit)",
		       text);
}

static int name_parse(const struct vmfile_disk *in, unsigned int place, struct vm_disk *out,
		      struct err *e)
{
	if (in->name == NULL) {
		snprintf(out->name, sizeof(out->name), "disk%u", place);
		return 0;
	}
	if (parse_name(in->name) < 0) {
		err_set(e, EINVAL, "name: '%.64s' is no name", in->name);
		return err_hint(e, "names have 1 to 63 of a-z 0-9 . _ - and start with a letter or "
				   "digit");
	}
	snprintf(out->name, sizeof(out->name), "%s", in->name);
	return 0;
}

/* What the guest reads, and what /dev/disk/by-id is made of. */
static int serial_parse(const struct vmfile_disk *in, struct vm_disk *out, struct err *e)
{
	const char *text = in->serial;

	if (text == NULL) {
		memcpy(out->serial, out->name, strnlen(out->name, sizeof(out->serial) - 1));
		return 0;
	}
	for (const char *c = text; *c != '\0'; c++)
		if (*c < '!' || *c > '~')
			return err_set(e, EINVAL,
				       "serial: only printable ASCII characters without blanks");
	if (strlen(text) >= sizeof(out->serial))
		return err_set(e, EINVAL, "serial: '%.64s' has more than %zu characters", text,
			       sizeof(out->serial) - 1);
	snprintf(out->serial, sizeof(out->serial), "%s", text);
	return 0;
}

static int queues_parse(const struct vmfile_disk *in, unsigned int vcpus, struct vm_disk *out,
			struct err *e)
{
	out->queues = in->queues != NULL ? *in->queues : vcpus < DISK_QUEUES ? vcpus : DISK_QUEUES;
	out->queue_size = in->queue_size != NULL ? *in->queue_size : DISK_RING;
	if (out->queues < 1 || out->queues > PMD_MAX_QUEUES)
		return err_set(e, ERANGE, "queues: %u is not between 1 and %d", out->queues,
			       PMD_MAX_QUEUES);
	if (out->queue_size < DISK_RING_MIN || out->queue_size > VMM_MAX_RING ||
	    !is_pow2(out->queue_size))
		return err_set(e, EINVAL, "queue_size: %u is no power of two between %d and %d",
			       out->queue_size, DISK_RING_MIN, VMM_MAX_RING);
	return 0;
}

static int limits_parse(const struct vmfile_disk *in, struct vm_disk *out, struct err *e)
{
	int r = 0;

	if (in->iops != NULL) {
		out->iops = *in->iops;
		r = disk_iops_check(out->iops, e);
	}
	return r == 0 && in->bandwidth != NULL
		       ? disk_bandwidth_parse(in->bandwidth, &out->bandwidth, e)
		       : r;
}

static int disk_parse(const struct vmfile_disk *in, const char *base_dir, struct vm_disk *out,
		      struct err *e)
{
	int r = vm_path_parse(in->path, "path", base_dir, out->path, e);

	if (r == 0)
		r = yaml_bool(in->readonly, "readonly", &out->is_readonly, e);
	if (r == 0)
		r = serial_parse(in, out, e);
	if (r < 0)
		return r;
	out->is_buffered = in->cache != NULL && strcmp(in->cache, "buffered") == 0;
	if (in->cache != NULL && !out->is_buffered && strcmp(in->cache, "direct") != 0)
		return err_set(e, EINVAL, "cache: '%.16s' is neither direct nor buffered",
			       in->cache);
	out->is_raw = in->format != NULL;
	if (out->is_raw && strcmp(in->format, "raw") != 0)
		return err_set(e, EINVAL, "format: '%.16s' is not raw, which all disks are",
			       in->format);
	return limits_parse(in, out, e);
}

static int disk_is_new(const struct vm_spec *spec, const struct vm_disk *disk, struct err *e)
{
	for (unsigned int i = 0; i < spec->disk_count; i++)
		if (strcmp(spec->disks[i].name, disk->name) == 0)
			return err_set(e, EINVAL, "the name is there twice");
	return 0;
}

static struct vm_disk *disk_find(struct vm_spec *spec, const char *name)
{
	for (unsigned int i = 0; i < spec->disk_count; i++)
		if (strcmp(spec->disks[i].name, name) == 0)
			return &spec->disks[i];
	return NULL;
}

static int order_parse(const struct vmfile_boot *boot, struct vm_spec *out, struct err *e)
{
	if (boot->order_count > 0 && !out->has_firmware)
		return err_set(e, EINVAL, "boot.order: without boot.firmware nobody reads it");
	for (unsigned int i = 0; i < boot->order_count; i++) {
		struct vm_disk *disk = disk_find(out, boot->order[i]);

		if (disk == NULL)
			return err_set(e, EINVAL, "boot.order: there is no disk %.64s",
				       boot->order[i]);
		if (disk->boot != 0)
			return err_set(e, EINVAL, "boot.order: %s is there twice", disk->name);
		disk->boot = i + 1;
	}
	for (unsigned int i = 0; boot->order_count == 0 && out->has_firmware && i < out->disk_count;
	     i++)
		out->disks[i].boot = i + 1;
	return 0;
}

int vm_disks_parse(const struct vmfile *file, const char *base_dir, struct vm_spec *out,
		   struct err *e)
{
	for (unsigned int i = 0; i < file->disks_count; i++) {
		struct vm_disk *disk = &out->disks[i];
		int r = name_parse(&file->disks[i], i, disk, e);

		if (r == 0)
			r = disk_is_new(out, disk, e);
		if (r == 0)
			r = disk_parse(&file->disks[i], base_dir, disk, e);
		if (r == 0)
			r = queues_parse(&file->disks[i], out->cpu_count, disk, e);
		if (r < 0)
			return disk->name[0] != '\0' ? err_wrap(e, "disk %s", disk->name)
						     : err_wrap(e, "disk %u of disks", i + 1);
		out->disk_count++;
	}
	return order_parse(file->boot, out, e);
}

int vm_cloud_parse(const struct vmfile *file, const char *base_dir, struct vm_spec *out,
		   struct err *e)
{
	struct vm_disk seed = { .name = CLOUD_DISK,
				.path = CLOUD_PATH,
				.serial = CLOUD_DISK,
				.is_readonly = true,
				.is_seed = true,
				.is_buffered = true,
				.queues = 1,
				.queue_size = DISK_RING_MIN };
	int r = cloud_init_parse(file->cloud_init, base_dir, &out->cloud_init, e);

	if (r < 0 || !out->cloud_init.is_set)
		return r;
	if (out->disk_count == VMM_MAX_DISKS)
		return err_set(e, EINVAL, "cloud_init: its seed is a disk, and there are %d",
			       VMM_MAX_DISKS);
	if (disk_is_new(out, &seed, e) < 0)
		return err_set(e, EINVAL, "cloud_init: its seed is the disk %s, and there is one",
			       CLOUD_DISK);
	out->disks[out->disk_count++] = seed;
	return 0;
}

json_t *vm_disks_json(const struct vm_spec *spec)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < spec->disk_count; i++) {
		const struct vm_disk *d = &spec->disks[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:o}",
					"name", d->name, "path", d->path, "readonly",
					(int)d->is_readonly, "serial", d->serial, "cache",
					d->is_buffered ? "buffered" : "direct", "queues",
					(json_int_t)d->queues, "queue_size",
					(json_int_t)d->queue_size, "iops", (json_int_t)d->iops,
					"bandwidth", (json_int_t)d->bandwidth, "boot",
					d->boot != 0 ? json_integer(d->boot) : json_null()));
	}
	return list;
}
