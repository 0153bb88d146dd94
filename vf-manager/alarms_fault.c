// SPDX-License-Identifier: BSD-3-Clause
/* Alarms of devices that fault. */
#include "vf-manager/alarms_found.h"
#include "vf-manager/faultwatch.h"
#include "vf-manager/vm.h"

#include <stdio.h>

/* Without counts: they would make the alarm another one all the time. */
static void fault_found(struct alarms *a, const struct fault_entry *entry)
{
	char addr[PCI_ADDR_TEXT], what[FAULT_TEXT], object[ALARM_OBJECT];
	const char *slash = strchr(entry->owner.name, '/');
	struct alarm *one;

	pci_addr_text(&entry->function, addr);
	if (slash != NULL)
		snprintf(object, sizeof(object), "%.*s/%.31s",
			 (int)u64_min((uint64_t)(slash - entry->owner.name), 31), entry->owner.name,
			 slash + 1);
	if (alarm_is_found(a, slash != NULL ? object : addr))
		return;
	one = alarm_found(a, slash != NULL ? object : addr);
	if (one == NULL)
		return;
	alarm_text_set(one->text, "%s did what it may not, first: %s", addr,
		       fault_text(&entry->first_bad, what));
	if (slash != NULL)
		alarm_text_set(
			one->hint,
			"viaduct iommu faults   shows how often; viaduct vm quarantine %s   ends "
			"its DMA",
			entry->owner.name);
	else
		alarm_text_set(one->hint,
			       "viaduct iommu faults   shows how often; lspci -nns %s   what "
			       "it is",
			       addr);
}

void alarms_dma_faults(struct alarms *a, struct daemon *d)
{
	const struct fault_log *l = fault_watch_log(d);
	int64_t now = fault_now_ms();

	for (size_t i = 0; l != NULL && i < l->count; i++)
		if (fault_is_present(d, &l->entries[i], now))
			fault_found(a, &l->entries[i]);
}

void alarms_faults_lost(struct alarms *a, struct daemon *d)
{
	const struct fault_log *l = fault_watch_log(d);
	struct alarm *one;

	if (l == NULL || l->last_loss_ms == 0 ||
	    fault_now_ms() - l->last_loss_ms > FAULT_ALARM_S * 1000LL)
		return;
	one = alarm_found(a, "host");
	if (one == NULL)
		return;
	alarm_text_set(one->text,
		       "there were more faults than the hardware and the kernel tell of: counts "
		       "are too low, and a device that is not listed may have had some");
	alarm_text_set(one->hint,
		       "viaduct iommu faults   shows what is missing, and of which device there "
		       "were most");
}

void alarms_faults_unseen(struct alarms *a, struct daemon *d)
{
	const char *why = fault_watch_blind(d);
	struct alarm *one = why != NULL ? alarm_found(a, "host") : NULL;

	if (one == NULL)
		return;
	alarm_text_set(one->text, "no fault of a device is seen, nor on_fault followed: %.200s",
		       why);
	alarm_text_set(one->hint,
		       "viaductd needs CAP_SYSLOG and /dev/kmsg; it tries again every 5 s");
}

static void quarantine_found(struct alarms *a, const struct vm *vm, const json_t *port)
{
	const char *name = json_string_value(json_object_get(port, "name"));
	const char *why =
		json_string_value(json_object_get(json_object_get(port, "quarantine"), "why"));
	char object[ALARM_OBJECT];
	struct alarm *one;

	if (name == NULL || why == NULL)
		return;
	snprintf(object, sizeof(object), "%.31s/%.31s", vm->name, name);
	one = alarm_found(a, object);
	if (one == NULL)
		return;
	alarm_text_set(one->text, "the port's device does no DMA, whatever its guest writes: %s",
		       why);
	alarm_text_set(one->hint, "viaduct vm unquarantine %s/%s   lets it go on", vm->name, name);
}

void alarms_ports_quarantined(struct alarms *a, struct daemon *d)
{
	static const char *const lists[] = { "ports", "functions" };
	json_t *port;
	size_t k;

	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];

		for (size_t l = 0; vm_is_up(vm) && l < ARRAY_SIZE(lists); l++)
			json_array_foreach(json_object_get(vm->facts, lists[l]), k, port)
				quarantine_found(a, vm, port);
	}
}

static void fallback_found(struct alarms *a, const struct vm *vm, const json_t *port)
{
	const char *name = json_string_value(json_object_get(port, "name"));
	const char *why =
		json_string_value(json_object_get(json_object_get(port, "fallback"), "why"));
	char object[ALARM_OBJECT];
	struct alarm *one;

	if (name == NULL || why == NULL)
		return;
	snprintf(object, sizeof(object), "%.31s/%.31s", vm->name, name);
	one = alarm_is_found(a, object) ? NULL : alarm_found(a, object);
	if (one == NULL)
		return;
	alarm_text_set(one->text, "the port is served by the polled backend: %.300s", why);
	alarm_text_set(
		one->hint,
		"viaduct vf list   shows who has the VFs; the port takes one that is free at the "
		"next start: viaduct vm stop %s, then viaduct vm run FILE",
		vm->name);
}

void alarms_ports_fallen_back(struct alarms *a, struct daemon *d)
{
	json_t *port;
	size_t k;

	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];

		if (vm_is_up(vm) || vm->pid != 0)
			json_array_foreach(json_object_get(vm->facts, "ports"), k, port)
				fallback_found(a, vm, port);
	}
}
