/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's buses with a root complex, for fuzz targets. KVM's side of the interrupt router is here,
 * in the place of vmm/kvm.c: everything succeeds.
 */
#ifndef VIADUCT_TESTS_FUZZ_FAKE_BOARD_H
#define VIADUCT_TESTS_FUZZ_FAKE_BOARD_H

#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/pci_host.h"

#include <stdlib.h>

int kvm_gsi_routing_set(int vm_fd, const struct kvm_irq_routing *routing)
{
	return 0;
}

int kvm_irq_line(int vm_fd, uint32_t gsi, bool level)
{
	return 0;
}

int kvm_irqfd(int vm_fd, const struct kvm_irqfd *irqfd)
{
	return 0;
}

int kvm_ioeventfd(int vm_fd, const struct kvm_ioeventfd *ioeventfd)
{
	return 0;
}

int kvm_msi_signal(int vm_fd, const struct kvm_msi *msi)
{
	return 1;
}

static inline void board_init(struct machine *m)
{
	struct pci_host_env env = { &m->pio, &m->mmio, NULL, GIB(256), GIB(64) };

	pthread_mutex_init(&m->lock, NULL);
	if (bus_init(&m->pio, &m->lock) < 0 || bus_init(&m->mmio, &m->lock) < 0 ||
	    irq_router_create(-1, &m->irq, NULL) < 0)
		abort();
	env.irq = m->irq;
	if (pci_host_create(&env, &m->pci, NULL) < 0)
		abort();
}

static inline void board_fini(struct machine *m)
{
	pci_host_destroy(m->pci);
	irq_router_destroy(m->irq);
	bus_fini(&m->pio);
	bus_fini(&m->mmio);
	pthread_mutex_destroy(&m->lock);
}

#endif
