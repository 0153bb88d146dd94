/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM's side of the interrupt router: the test program is linked with --wrap=ioctl, so that each
 * ioctl of vmm/kvm.c comes here. Include it in one file of the program only.
 */
#ifndef VIADUCT_TESTS_UNIT_VMM_FAKE_KVM_H
#define VIADUCT_TESTS_UNIT_VMM_FAKE_KVM_H

#include "base/util.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>

static struct {
	bool line[24];
	unsigned int line_changes;
	unsigned int tables_set;
	unsigned int msi_routes; /* in the last table */
	struct kvm_irq_routing_entry last_msi_route;
	unsigned int pic_routes, ioapic_routes, timer_on_pin2;
	struct kvm_msi msi;
	unsigned int msi_count;
	struct kvm_irqfd irqfd;
	int fail_next; /* errno of the next ioctl */
} fake_kvm;

static void fake_routing_set(const struct kvm_irq_routing *table)
{
	fake_kvm.tables_set++;
	fake_kvm.msi_routes = fake_kvm.pic_routes = fake_kvm.ioapic_routes = 0;
	for (uint32_t i = 0; i < table->nr; i++) {
		const struct kvm_irq_routing_entry *entry = &table->entries[i];

		if (entry->type == KVM_IRQ_ROUTING_MSI) {
			fake_kvm.msi_routes++;
			fake_kvm.last_msi_route = *entry;
		} else if (entry->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC) {
			fake_kvm.ioapic_routes++;
			fake_kvm.timer_on_pin2 |= entry->gsi == 0 && entry->u.irqchip.pin == 2;
		} else {
			fake_kvm.pic_routes++;
		}
	}
}

int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	const struct kvm_irq_level *level;
	va_list ap;
	void *arg;

	(void)fd;
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fake_kvm.fail_next != 0) {
		errno = fake_kvm.fail_next;
		fake_kvm.fail_next = 0;
		return -1;
	}
	switch (request) {
	case KVM_SET_GSI_ROUTING:
		fake_routing_set(arg);
		return 0;
	case KVM_IRQ_LINE:
		level = arg;
		fake_kvm.line[level->irq] = level->level != 0;
		fake_kvm.line_changes++;
		return 0;
	case KVM_SIGNAL_MSI:
		fake_kvm.msi = *(const struct kvm_msi *)arg;
		fake_kvm.msi_count++;
		return 1;
	case KVM_IRQFD:
		fake_kvm.irqfd = *(const struct kvm_irqfd *)arg;
		return 0;
	default:
		errno = ENOTTY;
		return -1;
	}
}

#endif
