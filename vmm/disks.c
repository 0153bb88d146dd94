// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/disks.h"

#include "vmm/vhost_device.h"
#include "vmm/virtio_blk.h"

#include "pmd-backends/pmd_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define SETTLE_MS 200 /* for requests under way, while the VM stands */

struct disk {
	struct virtio_blk dev; /* guarded by the machine's lock */
	struct vhost_device vhost; /* main thread */
	const struct vmm_disk_spec *spec;
	int image_fd; /* borrowed; -1: none */
	char name[80];
};

struct disks {
	struct disks_env env;
	unsigned int count;
	struct disk *items[VMM_MAX_DISKS];
};

static struct disk *disk_of(const struct vhost_device *d)
{
	return container_of(d, struct disk, vhost);
}

/* --- between the guest and the back end ------------------------------------------------------ */

static unsigned int rings_count(const struct vhost_device *d)
{
	return disk_of(d)->dev.queues;
}

/* Whatever the guest took is done by the back end. */
static void rings_describe(const struct vhost_device *d, struct vhost_rings *rings)
{
	rings->features = rings->must = d->vp->features;
	rings->enabled = rings->count;
}

static void device_look(struct vhost_device *d, bool runs)
{
	bool has_backend = d->front.state >= VHOST_READY;

	disk_of(d)->dev.backend_features = has_backend ? d->front.features : UINT64_MAX;
}

/* By the lock that each viaduct-pmd has on the image, beside those of others, until its last I/O has ended. Seen from the description
 * that came with the launch, which is never read: without it, or with backends that lock nothing, it is always quiet. */
static bool device_is_quiet(const struct vhost_device *d, pid_t pid)
{
	struct flock busy = { .l_type = F_WRLCK,
			      .l_whence = SEEK_SET,
			      .l_start = PMD_LOCK_PROCESS + pid,
			      .l_len = 1 };
	int fd = disk_of(d)->image_fd;

	return fd < 0 || fcntl(fd, F_OFD_GETLK, &busy) < 0 || busy.l_type == F_UNLCK;
}

static const struct vhost_device_ops vhost_ops = {
	.count = rings_count,
	.describe = rings_describe,
	.look = device_look,
	.is_quiet = device_is_quiet,
};

/* Any thread, with the lock. */
static void device_changed(void *arg)
{
	const struct disk *d = arg;

	vhost_device_changed(&d->vhost);
}

static int config_take(void *arg, const uint8_t bytes[VHOST_USER_CONFIG_BYTES], struct err *e)
{
	struct vhost_device *v = arg;
	int r;

	pthread_mutex_lock(v->lock);
	r = virtio_blk_take(&disk_of(v)->dev, v->front.features, bytes, e);
	pthread_mutex_unlock(v->lock);
	return r;
}

/* Without the in-flight region the requests of a back end that died would be lost, or done twice. */
static const struct vhost_front_kind front_kind = {
	.noun = "disk",
	.unit = "queue",
	.protocol = BIT_ULL(VHOST_USER_PROTOCOL_F_MQ) | BIT_ULL(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
		    BIT_ULL(VHOST_USER_PROTOCOL_F_CONFIG) |
		    BIT_ULL(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
		    BIT_ULL(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD),
	.must = BIT_ULL(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT_ULL(VHOST_USER_PROTOCOL_F_CONFIG) |
		BIT_ULL(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD),
	.is_patient = true,
	.config = config_take,
};

/* --- life ------------------------------------------------------------------------------------ */

static int disk_open(struct disk *d, const struct disks_env *env, int listener_fd, struct err *e)
{
	const struct vhost_device_env device_env = { .loop = env->loop,
						     .lock = env->lock,
						     .listener_fd = listener_fd,
						     .uid = d->spec->backend_uid,
						     .name = d->spec->disk };
	struct vhost_front_env front = { .kind = &front_kind,
					 .gmem = env->virtio.gmem,
					 .queues = d->spec->queues };
	int r = virtio_blk_init(&d->dev, &env->virtio, d->spec, d->name, e);

	if (r == 0)
		r = vhost_device_open(&d->vhost, &device_env, &front, e);
	return r == 0 ? pci_host_plug_behind_port(env->pci, &d->dev.vp.pci, e) : r;
}

static int disk_create(struct disks *disks, const struct vmm_spec *spec, unsigned int i,
		       struct err *e)
{
	struct disk *d = calloc(1, sizeof(*d));
	int r;

	if (d == NULL)
		return err_set(e, ENOMEM, "out of memory");
	disks->items[disks->count++] = d;
	d->spec = &spec->disks[i];
	d->image_fd = spec->disk_fds[d->spec->fds].image_fd;
	vhost_device_init(&d->vhost, &vhost_ops, &d->dev.vp);
	d->dev.changed = device_changed;
	d->dev.arg = d;
	snprintf(d->name, sizeof(d->name), "%s (virtio-blk)", d->spec->disk);
	r = disk_open(d, &disks->env, spec->disk_fds[d->spec->fds].socket_fd, e);
	return r < 0 ? err_wrap(e, "disk %s", d->spec->disk) : 0;
}

int disks_create(const struct vmm_spec *spec, const struct disks_env *env, struct disks **out,
		 struct err *e)
{
	struct disks *disks;
	int r = 0;

	*out = NULL;
	if (spec->disk_count == 0)
		return 0;
	disks = calloc(1, sizeof(*disks));
	if (disks == NULL)
		return err_set(e, ENOMEM, "disks: out of memory");
	disks->env = *env;
	for (unsigned int i = 0; r == 0 && i < spec->disk_count; i++)
		r = disk_create(disks, spec, i, e);
	/* Those that are plugged are still the root complex's: machine_destroy() knows the order. */
	*out = disks;
	return r;
}

void disks_close(struct disks *disks)
{
	for (unsigned int i = 0; disks != NULL && i < disks->count; i++)
		vhost_device_close(&disks->items[i]->vhost);
}

void disks_destroy(struct disks *disks)
{
	if (disks == NULL)
		return;
	disks_close(disks);
	for (unsigned int i = 0; i < disks->count; i++) {
		virtio_blk_fini(&disks->items[i]->dev);
		free(disks->items[i]);
	}
	free(disks);
}

const char *disks_waiting(const struct disks *disks, const char **why)
{
	for (unsigned int i = 0; disks != NULL && i < disks->count; i++) {
		const struct disk *d = disks->items[i];

		if (d->vhost.front.connects != 0)
			continue;
		*why = d->vhost.front.error;
		return d->spec->disk;
	}
	return NULL;
}

bool disks_pause(struct disks *disks, bool paused)
{
	struct vhost_device *list[VMM_MAX_DISKS];

	if (disks == NULL)
		return true;
	for (unsigned int i = 0; i < disks->count; i++)
		list[i] = &disks->items[i]->vhost;
	return vhost_devices_pause(list, disks->count, paused, SETTLE_MS);
}

/* --- firmware -------------------------------------------------------------------------------- */

static const struct disk *disk_at(const struct disks *disks, unsigned int place)
{
	for (unsigned int i = 0; i < disks->count; i++)
		if (disks->items[i]->spec->boot == place)
			return disks->items[i];
	return NULL;
}

/* Device 0 of the bus behind a root port: as OVMF's QemuBootOrderLib reads the paths of virtio block devices. */
static size_t path_put(const struct disk *d, char *out, size_t cap)
{
	uint8_t devfn = d->dev.vp.pci.bus->bridge->devfn;
	char function[8] = "";
	int n;

	if ((devfn & 7) != 0)
		snprintf(function, sizeof(function), ",%x", devfn & 7);
	n = snprintf(out, cap, "/pci@i0cf8/pci-bridge@%x%s/scsi@0/disk@0,0\n", devfn >> 3,
		     function);
	return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

size_t disks_bootorder(const struct disks *disks, char out[DISKS_BOOTORDER])
{
	size_t len = 0;

	for (unsigned int place = 1; disks != NULL && place <= VMM_MAX_BOOT; place++) {
		const struct disk *d = disk_at(disks, place);

		if (d != NULL)
			len += path_put(d, out + len, DISKS_BOOTORDER - len);
	}
	out[len] = '\0';
	return len == 0 ? 0 : len + 1;
}

/* --- status ---------------------------------------------------------------------------------- */

static json_t *disk_status(const struct disk *d)
{
	json_t *obj = json_pack("{s:s, s:I, s:b, s:I}", "disk", d->spec->disk, "size",
				(json_int_t)virtio_blk_size(&d->dev), "readonly",
				(int)virtio_blk_is_readonly(&d->dev), "queues",
				(json_int_t)d->dev.queues);

	return vhost_device_status_add(&d->vhost, obj);
}

json_t *disks_status(const struct disks *disks)
{
	json_t *list = json_array();

	for (unsigned int i = 0; disks != NULL && i < disks->count; i++)
		if (json_array_append_new(list, disk_status(disks->items[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}
