// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vfio_vectors.h"

#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int vfio_vectors_init(struct vfio_vectors *v, struct vfio_device *dev, struct irq_router *irq,
		      struct err *e)
{
	uint32_t count = dev->irqs[VFIO_IRQ_MSIX].count;

	if (count < dev->irqs[VFIO_IRQ_MSI].count)
		count = dev->irqs[VFIO_IRQ_MSI].count;
	*v = (struct vfio_vectors){ .dev = dev, .irq = irq };
	if (count == 0 || count > VFIO_VECTORS_MAX) {
		err_set(e, ENOTSUP, "it has %s",
			count == 0
				? "neither MSI-X nor MSI; functions with legacy interrupts (INTx) "
				  "cannot be assigned"
				: "more interrupt vectors than PCI allows");
		err_code(e, "intx-only");
		return err_hint(e, "take a VF, or a function with MSI-X");
	}
	v->items = calloc(count, sizeof(v->items[0]));
	if (v->items == NULL)
		return err_set(e, ENOMEM, "out of memory");
	v->count = count;
	for (uint32_t i = 0; i < count; i++)
		v->items[i].eventfd = -1;
	return 0;
}

void vfio_vectors_fini(struct vfio_vectors *v)
{
	if (v->items == NULL)
		return;
	vfio_vectors_disable(v);
	free(v->items);
	v->items = NULL;
	v->count = 0;
}

/* GSI and eventfd, kept until the kind of interrupt is disabled. */
static int vector_prepare(struct vfio_vectors *v, struct vfio_vector *x)
{
	int r = x->gsi == 0 ? irq_msi_alloc(v->irq, &x->gsi) : 0;

	if (r < 0) {
		x->gsi = 0;
		return r;
	}
	if (x->eventfd < 0)
		x->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return x->eventfd < 0 ? -errno : 0;
}

static void vector_drop(struct vfio_vectors *v, struct vfio_vector *x)
{
	if (x->live)
		(void)irq_fd_detach(v->irq, x->gsi, x->eventfd);
	if (x->gsi != 0)
		irq_msi_free(v->irq, x->gsi);
	fd_close(&x->eventfd);
	*x = (struct vfio_vector){ .eventfd = -1 };
}

int vfio_vectors_enable_msix(struct vfio_vectors *v)
{
	const int none = -1;
	int r;

	vfio_vectors_disable(v);
	/* One vector without eventfd: devices and their PFs look at the real enable bit, and the guest
	 * may unmask its first vector much later. */
	r = vfio_device_irq_set(v->dev, VFIO_IRQ_MSIX, 0, &none, 1);
	if (r < 0)
		return r;
	v->kind = VFIO_IRQ_MSIX;
	v->enabled = true;
	v->host_count = 1;
	return 0;
}

int vfio_vectors_enable_msi(struct vfio_vectors *v, uint32_t count)
{
	int fds[32];
	int r = 0;

	vfio_vectors_disable(v);
	if (count == 0 || count > ARRAY_SIZE(fds) || count > v->count)
		return -EINVAL;
	for (uint32_t i = 0; r == 0 && i < count; i++) {
		r = vector_prepare(v, &v->items[i]);
		fds[i] = v->items[i].eventfd;
	}
	if (r == 0)
		r = vfio_device_irq_set(v->dev, VFIO_IRQ_MSI, 0, fds, count);
	for (uint32_t i = 0; i < count; i++) {
		if (r < 0)
			vector_drop(v, &v->items[i]);
		else
			v->items[i].triggered = true;
	}
	if (r < 0)
		return r;
	v->kind = VFIO_IRQ_MSI;
	v->enabled = true;
	v->host_count = count;
	return 0;
}

void vfio_vectors_disable(struct vfio_vectors *v)
{
	if (v->enabled)
		(void)vfio_device_irq_disable(v->dev, v->kind);
	for (uint32_t i = 0; i < v->count; i++)
		vector_drop(v, &v->items[i]);
	v->enabled = false;
	v->host_count = 0;
}

/* Raises what may have fired while the host's vectors were torn down and set up again. A driver
 * takes one interrupt too many; one too few would hang it. */
static void vectors_kick(struct vfio_vectors *v, uint32_t count)
{
	const uint64_t one = 1;

	for (uint32_t i = 0; i < count; i++)
		if (v->items[i].triggered)
			(void)!write(v->items[i].eventfd, &one, sizeof(one));
}

/* The host's kernel cannot add a vector to those enabled (VFIO_IRQ_INFO_NORESIZE): all anew. */
static int host_grow(struct vfio_vectors *v, uint32_t count)
{
	auto_free int *fds = calloc(count, sizeof(*fds));
	uint32_t old = v->host_count;
	int r;

	if (fds == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		fds[i] = v->items[i].triggered || i == count - 1 ? v->items[i].eventfd : -1;
	r = vfio_device_irq_disable(v->dev, v->kind);
	if (r < 0)
		return r;
	r = vfio_device_irq_set(v->dev, v->kind, 0, fds, count);
	if (r < 0) {
		/* No room for the new one: what worked goes on working. */
		int again = vfio_device_irq_set(v->dev, v->kind, 0, fds, old);

		if (again < 0)
			return again;
	} else {
		v->host_count = count;
	}
	vectors_kick(v, old);
	return r;
}

static int host_trigger(struct vfio_vectors *v, uint32_t i)
{
	int r;

	if (v->items[i].triggered)
		return 0;
	if (v->dev->irqs[v->kind].noresize && i >= v->host_count)
		r = host_grow(v, i + 1);
	else
		r = vfio_device_irq_set(v->dev, v->kind, i, &v->items[i].eventfd, 1);
	v->items[i].triggered = r == 0;
	return r;
}

/* KVM has injected what was signalled before it listened, but left it in the eventfd. What comes from
 * now on it takes out itself. */
static void pending_clear(const struct vfio_vector *x)
{
	uint64_t count;

	(void)!read(x->eventfd, &count, sizeof(count));
}

int vfio_vectors_unmask(struct vfio_vectors *v, uint32_t i, uint64_t addr, uint32_t data)
{
	struct vfio_vector *x;
	int r;

	if (!v->enabled || i >= v->count || i >= v->dev->irqs[v->kind].count)
		return -EINVAL;
	x = &v->items[i];
	r = vector_prepare(v, x);
	if (r < 0)
		return r;
	/* Route first: KVM injects at once what was signalled while the vector was masked. */
	r = irq_msi_set(v->irq, x->gsi, addr, data);
	if (r < 0 || x->live)
		return r;
	r = irq_fd_attach(v->irq, x->gsi, x->eventfd);
	if (r < 0)
		return r;
	x->live = true;
	pending_clear(x);
	r = host_trigger(v, i);
	if (r < 0)
		vfio_vectors_mask(v, i);
	return r;
}

void vfio_vectors_mask(struct vfio_vectors *v, uint32_t i)
{
	struct vfio_vector *x;

	if (i >= v->count || !v->items[i].live)
		return;
	x = &v->items[i];
	(void)irq_fd_detach(v->irq, x->gsi, x->eventfd);
	x->live = false;
}

bool vfio_vectors_is_pending(const struct vfio_vectors *v, uint32_t i)
{
	struct pollfd p = { .events = POLLIN };

	if (i >= v->count || v->items[i].eventfd < 0 || v->items[i].live)
		return false;
	p.fd = v->items[i].eventfd;
	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

uint32_t vfio_vectors_live(const struct vfio_vectors *v)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < v->count; i++)
		n += v->items[i].live;
	return n;
}
