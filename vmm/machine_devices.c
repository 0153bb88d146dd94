// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/machine_devices.h"

#include "vmm/disks.h"
#include "vmm/extras.h"
#include "vmm/machine.h"
#include "vmm/nets.h"
#include "vmm/vfio.h"

#include <errno.h>

static void device_ended(void *arg, bool requested, const char *text)
{
	machine_end_request(arg, requested ? MACHINE_DEVICE_REQUESTED : MACHINE_DEVICE_ERROR, "%s",
			    text);
}

int machine_devices_open(struct machine *m, struct err *e)
{
	return vfio_set_create(m->spec, m->vm_fd, &m->vfio, e);
}

int machine_devices_pin(struct machine *m, struct err *e)
{
	return vfio_set_map(m->vfio, &m->gmem, e);
}

static int nets_open(struct machine *m, struct err *e)
{
	const struct nets_env env = {
		.loop = m->loop,
		.lock = &m->lock,
		.pci = m->pci,
		.virtio = { .vm_fd = m->vm_fd, .gmem = &m->gmem, .mmio = &m->mmio, .irq = m->irq },
	};

	return nets_create(m->spec, &env, &m->nets, e);
}

static int disks_open(struct machine *m, struct err *e)
{
	const struct disks_env env = {
		.loop = m->loop,
		.lock = &m->lock,
		.pci = m->pci,
		.virtio = { .vm_fd = m->vm_fd, .gmem = &m->gmem, .mmio = &m->mmio, .irq = m->irq },
	};

	return disks_create(m->spec, &env, &m->disks, e);
}

static int extras_open(struct machine *m, struct err *e)
{
	const struct extras_env env = {
		.loop = m->loop,
		.lock = &m->lock,
		.pci = m->pci,
		.virtio = { .vm_fd = m->vm_fd, .gmem = &m->gmem, .mmio = &m->mmio, .irq = m->irq },
	};

	return extras_create(m->spec, &env, &m->extras, e);
}

int machine_devices_create(struct machine *m, struct err *e)
{
	const struct vfio_env env = {
		.loop = m->loop,
		.lock = &m->lock,
		.mmio = &m->mmio,
		.slots = &m->slots,
		.irq = m->irq,
		.pci = m->pci,
		.end = device_ended,
		.arg = m,
	};

	int r = vfio_set_plug(m->vfio, &env, e);

	if (r == 0)
		r = nets_open(m, e);
	if (r == 0)
		r = disks_open(m, e);
	return r == 0 ? extras_open(m, e) : r;
}

void machine_devices_pause(struct machine *m, bool paused)
{
	nets_pause(m->nets, paused);
	extras_pause(m->extras, paused);
	(void)disks_pause(m->disks, paused);
}

bool machine_devices_let_go(struct machine *m)
{
	return disks_pause(m->disks, true);
}

/* Not 0: the machine is to end, and why. */
static int end_check(struct machine *m, const char *disk, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&m->request_lock);
	if (m->end != MACHINE_RUNS)
		r = err_set(e, ECANCELED, "disk %s: its backend was waited for: %s", disk,
			    m->end_text);
	pthread_mutex_unlock(&m->request_lock);
	return r;
}

int machine_devices_wait(struct machine *m, struct err *e)
{
	const uint64_t end = now_ns() + VMM_DISKS_WAIT_MS * 1000000ULL;
	const char *disk, *why = "";
	int r = 0;

	while ((disk = disks_waiting(m->disks, &why)) != NULL && r == 0) {
		uint64_t now = now_ns();

		if (end_check(m, disk, e) < 0)
			return -ECANCELED;
		if (now >= end) {
			err_set(e, ETIMEDOUT, "disk %s: no backend has opened it within %d s%s%s",
				disk, VMM_DISKS_WAIT_MS / 1000, why[0] != '\0' ? ": " : "", why);
			return err_code(e, "disk-backend");
		}
		r = loop_step(m->loop, (int)((end - now) / 1000000) + 1);
	}
	return r < 0 ? err_set(e, r, "event loop: %s", strerror(-r)) : 0;
}

void machine_devices_close(struct machine *m)
{
	nets_close(m->nets);
	disks_close(m->disks);
	extras_close(m->extras);
}

void machine_devices_destroy(struct machine *m)
{
	nets_destroy(m->nets);
	m->nets = NULL;
	disks_destroy(m->disks);
	m->disks = NULL;
	extras_destroy(m->extras);
	m->extras = NULL;
	vfio_set_destroy(m->vfio);
	m->vfio = NULL;
}

json_t *machine_devices_stats(struct machine *m)
{
	return vfio_set_stats(m->vfio);
}

json_t *machine_devices_status(struct machine *m)
{
	return vfio_set_status(m->vfio);
}

json_t *machine_nets_status(struct machine *m)
{
	return nets_status(m->nets);
}

json_t *machine_disks_status(struct machine *m)
{
	return disks_status(m->disks);
}

json_t *machine_extras_status(struct machine *m)
{
	return extras_status(m->extras);
}
