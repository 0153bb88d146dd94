// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the host tells about a function through VFIO: ERR, an uncorrectable PCIe error: its guest cannot
 * go on; REQ, the host wants it back (its VFs or its PF go away): a writer in the host's kernel waits, so
 * the function leaves at once, as a card that is pulled: Linux lets 5 s pass before it answers to
 * a slot's button. The guest lives on without it.
 */
#include "vmm/vfio_func.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void end(struct vfio_func *f, bool requested, const char *why)
{
	const struct vfio_env *env = vfio_set_env(f->set);
	char text[192];

	snprintf(text, sizeof(text), "port %s: %s", f->name, why);
	env->end(env->arg, requested, text);
}

static void err_ready(void *arg, int fd, uint32_t events)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) == sizeof(count))
		end(arg, false, "the host reports an uncorrectable PCI Express error");
}

static void req_ready(void *arg, int fd, uint32_t events)
{
	struct vfio_func *f = arg;
	const struct vfio_env *env = vfio_set_env(f->set);
	uint64_t count;
	int r = -EALREADY;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(env->lock);
	if (!f->retired) /* the kernel asks again while it waits */
		r = pci_host_pull(env->pci, &f->pci);
	pthread_mutex_unlock(env->lock);
	if (r == 0)
		log_warn("port %s: the host wants the function back: pulled from the guest",
			 f->name);
	else if (r != -EALREADY)
		end(f, true, "the host wants the function back");
}

static int watch(struct vfio_func *f, int fd, loop_fn *fn)
{
	return fd < 0 ? -errno : loop_add(vfio_set_env(f->set)->loop, fd, EPOLLIN, fn, f);
}

int vfio_events_init(struct vfio_func *f, struct err *e)
{
	int r;

	f->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = watch(f, f->err_fd, err_ready);
	if (r == 0) {
		f->req_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = watch(f, f->req_fd, req_ready);
	}
	/* ERR needs PCI Express, REQ is everywhere since Linux 4.0. */
	if (r == 0 && f->device.irqs[VFIO_IRQ_ERR].count != 0)
		r = vfio_device_irq_set(&f->device, VFIO_IRQ_ERR, 0, &f->err_fd, 1);
	if (r == 0)
		r = vfio_device_irq_set(&f->device, VFIO_IRQ_REQ, 0, &f->req_fd, 1);
	return r < 0 ? err_set(e, r, "events of the device: %s", strerror(-r)) : 0;
}

void vfio_events_fini(struct vfio_func *f)
{
	int *fds[] = { &f->err_fd, &f->req_fd };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			loop_del(vfio_set_env(f->set)->loop, *fds[i]);
		fd_close(fds[i]);
	}
}
