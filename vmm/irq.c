// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/irq.h"

#include "vmm/kvm.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>

#define PIC_PINS      8
#define IOAPIC_PINS   24
#define WIRED_ENTRIES (2 * PIC_PINS + IOAPIC_PINS)

struct msi_route {
	bool allocated;
	bool routed;
	uint64_t addr;
	uint32_t data;
};

struct irq_router {
	int vm_fd;
	bool stale; /* KVM still holds routes of freed GSIs */
	struct msi_route msi[IRQ_GSI_MAX]; /* by GSI; those of wired GSIs stay unused */
	struct kvm_irq_routing *table; /* room for the largest table */
};

static void table_add(struct kvm_irq_routing *table, const struct kvm_irq_routing_entry *entry)
{
	table->entries[table->nr++] = *entry;
}

static void table_add_wired(struct kvm_irq_routing *table, uint32_t gsi, uint32_t chip,
			    uint32_t pin)
{
	table_add(table, &(struct kvm_irq_routing_entry){
				 .gsi = gsi,
				 .type = KVM_IRQ_ROUTING_IRQCHIP,
				 .u.irqchip = { .irqchip = chip, .pin = pin },
			 });
}

/* The MADT says that ISA IRQ 0 is GSI 2 of the IOAPIC, as on every PC; KVM's own default does not. */
static void table_add_all_wired(struct kvm_irq_routing *table)
{
	for (uint32_t gsi = 0; gsi < 2 * PIC_PINS; gsi++) {
		if (gsi == 2) /* the PICs' cascade */
			continue;
		table_add_wired(table, gsi,
				gsi < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
				gsi % PIC_PINS);
	}
	for (uint32_t gsi = 0; gsi < IOAPIC_PINS; gsi++) {
		if (gsi != 2)
			table_add_wired(table, gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);
	}
}

/* KVM replaces the whole table. */
static int routes_install(struct irq_router *ir)
{
	struct kvm_irq_routing *table = ir->table;
	int r;

	table->nr = 0;
	table->flags = 0;
	table_add_all_wired(table);
	for (uint32_t gsi = IRQ_GSI_MSI_FIRST; gsi < IRQ_GSI_MAX; gsi++) {
		const struct msi_route *m = &ir->msi[gsi];

		if (!m->routed)
			continue;
		table_add(table, &(struct kvm_irq_routing_entry){
					 .gsi = gsi,
					 .type = KVM_IRQ_ROUTING_MSI,
					 .u.msi = { .address_lo = (uint32_t)m->addr,
						    .address_hi = (uint32_t)(m->addr >> 32),
						    .data = m->data },
				 });
	}
	r = kvm_gsi_routing_set(ir->vm_fd, table);
	if (r == 0)
		ir->stale = false;
	return r;
}

int irq_router_create(int vm_fd, struct irq_router **out, struct err *e)
{
	struct irq_router *ir = calloc(1, sizeof(*ir));
	size_t entries = WIRED_ENTRIES + IRQ_GSI_MAX;
	int r = -ENOMEM;

	if (ir == NULL)
		goto fail;
	ir->vm_fd = vm_fd;
	ir->table = calloc(1, sizeof(*ir->table) + entries * sizeof(ir->table->entries[0]));
	if (ir->table == NULL)
		goto fail;
	r = routes_install(ir);
	if (r < 0)
		goto fail;
	*out = ir;
	return 0;
fail:
	irq_router_destroy(ir);
	return err_set(e, r, "interrupt routing (KVM_SET_GSI_ROUTING): %s", strerror(-r));
}

void irq_router_destroy(struct irq_router *ir)
{
	if (ir == NULL)
		return;
	free(ir->table);
	free(ir);
}

int irq_line_set(struct irq_router *ir, uint32_t gsi, bool level)
{
	if (gsi >= IRQ_GSI_MSI_FIRST)
		return -EINVAL;
	return kvm_irq_line(ir->vm_fd, gsi, level);
}

/* The route of an allocated MSI GSI, or NULL. */
static struct msi_route *msi_get(struct irq_router *ir, uint32_t gsi)
{
	if (gsi < IRQ_GSI_MSI_FIRST || gsi >= IRQ_GSI_MAX || !ir->msi[gsi].allocated)
		return NULL;
	return &ir->msi[gsi];
}

int irq_msi_alloc(struct irq_router *ir, uint32_t *gsi)
{
	for (uint32_t i = IRQ_GSI_MSI_FIRST; i < IRQ_GSI_MAX; i++) {
		if (ir->msi[i].allocated)
			continue;
		ir->msi[i] = (struct msi_route){ .allocated = true };
		*gsi = i;
		return 0;
	}
	return -ENOSPC;
}

void irq_msi_free(struct irq_router *ir, uint32_t gsi)
{
	struct msi_route *m = msi_get(ir, gsi);

	if (m == NULL)
		return;
	/* Dropped from KVM's table with the next change: without an irqfd it does nothing there. */
	ir->stale |= m->routed;
	*m = (struct msi_route){ 0 };
}

int irq_msi_set(struct irq_router *ir, uint32_t gsi, uint64_t addr, uint32_t data)
{
	struct msi_route *m = msi_get(ir, gsi);
	struct msi_route old;
	int r;

	if (m == NULL)
		return -EINVAL;
	if (m->routed && m->addr == addr && m->data == data)
		return 0;
	old = *m;
	*m = (struct msi_route){ .allocated = true, .routed = true, .addr = addr, .data = data };
	r = routes_install(ir);
	if (r < 0)
		*m = old;
	return r;
}

int irq_fd_attach(struct irq_router *ir, uint32_t gsi, int eventfd)
{
	const struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd, .gsi = gsi };
	const struct msi_route *m = msi_get(ir, gsi);
	int r = 0;

	if (m == NULL)
		return -EINVAL;
	/* Never let a new owner's eventfd fire the message of the GSI's former owner. */
	if (ir->stale && !m->routed)
		r = routes_install(ir);
	return r < 0 ? r : kvm_irqfd(ir->vm_fd, &irqfd);
}

int irq_fd_detach(struct irq_router *ir, uint32_t gsi, int eventfd)
{
	const struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd,
					 .gsi = gsi,
					 .flags = KVM_IRQFD_FLAG_DEASSIGN };

	if (msi_get(ir, gsi) == NULL)
		return -EINVAL;
	return kvm_irqfd(ir->vm_fd, &irqfd);
}

int irq_msi_send(struct irq_router *ir, uint64_t addr, uint32_t data)
{
	const struct kvm_msi msi = { .address_lo = (uint32_t)addr,
				     .address_hi = (uint32_t)(addr >> 32),
				     .data = data };
	int r = kvm_msi_signal(ir->vm_fd, &msi);

	return r < 0 ? r : 0;
}
