// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/machine_devices.h"

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

	if (r == 0 && m->spec->disk_count != 0) {
		err_set(e, EOPNOTSUPP, "disk %s: this VMM has no disks", m->spec->disks[0].disk);
		r = err_code(e, "disk-backend");
	}
	if (r == 0)
		r = nets_open(m, e);
	return r == 0 ? extras_open(m, e) : r;
}

void machine_devices_pause(struct machine *m, bool paused)
{
	nets_pause(m->nets, paused);
	extras_pause(m->extras, paused);
}

void machine_devices_close(struct machine *m)
{
	nets_close(m->nets);
	extras_close(m->extras);
}

void machine_devices_destroy(struct machine *m)
{
	nets_destroy(m->nets);
	m->nets = NULL;
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

json_t *machine_extras_status(struct machine *m)
{
	return extras_status(m->extras);
}
