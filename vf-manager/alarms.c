// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/alarms.h"

#include "vf-manager/alarms_found.h"
#include "vf-manager/attrdrift.h"
#include "vf-manager/irqwatch.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/pool.h"
#include "vf-manager/portloss.h"
#include "vf-manager/vm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LINKS_MAX     4096
#define LINK_GRACE_NS 10000000000ULL /* a link that is coming up for the first time */

/* Of one PF whose VFs are in use. */
struct link_memory {
	struct pci_addr pf;
	bool had_carrier;
	uint64_t down_ns; /* since when; 0: it is not */
};

struct alarms {
	struct link_memory *links;
	size_t link_count;
	struct alarm *found; /* of the look under way */
	size_t found_count, found_cap;
	struct attr_drifts attrs; /* of the last look at the machine */
	const struct irq_watch *irqs; /* NULL: nobody looks at them */
};

int alarms_create(struct alarms **out, struct err *e)
{
	struct alarms *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return err_set(e, ENOMEM, "no memory");
	*out = a;
	return 0;
}

void alarms_destroy(struct alarms *a)
{
	if (a == NULL)
		return;
	free(a->links);
	free(a->found);
	attr_drifts_free(&a->attrs);
	free(a);
}

void alarms_irqs_set(struct alarms *a, const struct irq_watch *irqs)
{
	a->irqs = irqs;
}

const struct attr_drifts *alarms_attr_drifts(const struct alarms *a)
{
	return &a->attrs;
}

/* NULL: there are too many, or there is no memory. */
struct alarm *alarm_found(struct alarms *a, const char *object)
{
	struct alarm *one;

	if (a->found_count == a->found_cap) {
		size_t cap = a->found_cap * 2 + 16;
		struct alarm *found = reallocarray(a->found, cap, sizeof(*found));

		if (found == NULL)
			return NULL;
		a->found = found;
		a->found_cap = cap;
	}
	if (a->found_count == ALARMS_MAX)
		return NULL;
	one = &a->found[a->found_count++];
	memset(one, 0, sizeof(*one));
	snprintf(one->object, sizeof(one->object), "%s", object);
	return one;
}

bool alarm_is_found(const struct alarms *a, const char *object)
{
	for (size_t i = 0; i < a->found_count; i++)
		if (a->found[i].kind[0] == '\0' && strcmp(a->found[i].object, object) == 0)
			return true;
	return false;
}

void alarm_text_set(char out[ALARM_TEXT], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out, ALARM_TEXT, fmt, ap);
	va_end(ap);
}

static bool row_is_now(const struct daemon *d, const char *boot_id)
{
	return strcmp(boot_id, d->boot_id) == 0;
}

static void vf_quarantined(struct alarms *a, struct daemon *d)
{
	for (size_t i = 0; i < ledger_vf_count(d->ledger); i++) {
		const struct vf_row *row = ledger_vf_at(d->ledger, i);
		char addr[PCI_ADDR_TEXT];
		struct alarm *one;

		if (row->state != VF_QUARANTINED || !row_is_now(d, row->boot_id))
			continue;
		one = alarm_found(a, pci_addr_text(&row->addr, addr));
		if (one == NULL)
			return;
		alarm_text_set(one->text, "the VF could not be wiped: %s", row->note);
		alarm_text_set(one->hint, "viaduct vf scrub %s   tries the wiping again", addr);
	}
}

static void function_quarantined(struct alarms *a, struct daemon *d)
{
	for (size_t i = 0; i < ledger_fn_count(d->ledger); i++) {
		const struct fn_row *row = ledger_fn_at(d->ledger, i);
		char addr[PCI_ADDR_TEXT];
		struct alarm *one;

		if (row->state != FN_QUARANTINED)
			continue;
		one = alarm_found(a, pci_addr_text(&row->addr, addr));
		if (one == NULL)
			return;
		alarm_text_set(one->text, "the function could not be given back to the host: %s",
			       row->note);
		alarm_text_set(one->hint,
			       "viaduct function release %s   tries again to give it back", addr);
	}
}

typedef void pf_fn(struct alarms *a, struct daemon *d, const struct pci_fn *pf,
		   const struct pf_row *row);

/* PFs of which this boot's VFs are ours. */
static void each_pf(struct alarms *a, struct daemon *d, pf_fn *fn)
{
	for (size_t i = 0; i < inventory_count(d->inv); i++) {
		const struct pci_fn *pf = inventory_at(d->inv, i);
		const struct pf_row *row = pf->is_pf ? ledger_pf_find(d->ledger, &pf->addr) : NULL;

		if (row != NULL && row_is_now(d, row->boot_id))
			fn(a, d, pf, row);
	}
}

static void pf_count_drift(struct alarms *a, struct daemon *d, const struct pci_fn *pf,
			   const struct pf_row *row)
{
	struct alarm *one = row->vfs != pf->num_vfs ? alarm_found(a, pf->name) : NULL;

	if (one == NULL)
		return;
	alarm_text_set(one->text,
		       "PF %s has %u VFs, and viaduct made %u: somebody else changed them",
		       pci_fn_label(pf), pf->num_vfs, row->vfs);
	alarm_text_set(
		one->hint,
		"echo 0 > /sys/bus/pci/devices/%s/sriov_numvfs   once no VM of its is left; then "
		"viaduct pf apply %s --vfs %u",
		pf->name, pci_fn_label(pf), row->vfs);
}

static void vf_count_drift(struct alarms *a, struct daemon *d)
{
	each_pf(a, d, pf_count_drift);
}

/* After an interface got another name, nobody would give its PF the VFs that the configuration wants. */
static void pf_absent(struct alarms *a, struct daemon *d)
{
	for (unsigned int i = 0; i < d->config.pf_count; i++) {
		const char *name = d->config.pfs[i].name;
		const struct pci_fn *pf;
		struct err e = { 0 };
		struct alarm *one;

		if (pool_pf_find(d, name, &pf, &e) == 0 || alarm_is_found(a, name))
			continue;
		one = alarm_found(a, name);
		if (one == NULL)
			return;
		alarm_text_set(one->text, "`pfs` of viaductd.yaml names a PF that is not there: %s",
			       e.text);
		alarm_text_set(
			one->hint,
			"viaduct pf list   shows the names of now; by its PCI address a PF is found whatever its interface is called");
	}
}

static void lease_parked(struct alarms *a, struct daemon *d)
{
	for (size_t i = 0; i < ledger_parked_count(d->ledger); i++) {
		const struct parked_row *row = ledger_parked_at(d->ledger, i);
		struct alarm *one = alarm_found(a, row->lease);

		if (one == NULL)
			return;
		alarm_text_set(one->text, "the lease has no VF: %s", row->why);
		alarm_text_set(
			one->hint,
			"viaduct pf list   shows the PFs and their VFs; viaduct vf release %s   ends the lease",
			row->lease);
	}
}

static void pf_on_trial(struct alarms *a, struct daemon *d)
{
	for (size_t i = 0; i < ledger_confirm_count(d->ledger); i++) {
		const struct confirm_row *row = ledger_confirm_at(d->ledger, i);
		char addr[PCI_ADDR_TEXT];
		struct alarm *one = alarm_found(a, pci_addr_text(&row->pf, addr));

		if (one == NULL)
			return;
		if (row->note[0] == '\0')
			alarm_text_set(
				one->text,
				"the PF's %u VFs are on trial: without a word it goes back to %u",
				row->vfs, row->former);
		else
			alarm_text_set(
				one->text,
				"the PF's %u VFs are on trial and it cannot go back to %u: %s",
				row->vfs, row->former, row->note);
		alarm_text_set(one->hint, "viaduct pf confirm %s   keeps them", addr);
	}
}

/* Op is locked, so none is on its way from one driver to another. */
static bool is_seized(const struct pci_fn *vf, enum vf_state state)
{
	static const bool may_have_vfio[VF_STATES] = {
		[VF_BOUND] = true,
		[VF_ASSIGNED] = true,
		[VF_SCRUBBING] = true,
		[VF_QUARANTINED] = true,
	};

	return vf->driver[0] != '\0' &&
	       !(strcmp(vf->driver, "vfio-pci") == 0 && may_have_vfio[state]);
}

static void pf_vfs_seized(struct alarms *a, struct daemon *d, const struct pci_fn *pf,
			  const struct pf_row *pf_row)
{
	for (unsigned int i = 0; pf_row->vfs == pf->num_vfs && i < pf->num_vfs; i++) {
		const struct vf_row *row = ledger_vf_find(d->ledger, &pf->addr, (uint16_t)i);
		bool is_known = row != NULL && row_is_now(d, row->boot_id);
		const struct pci_fn *vf = pf->vfs[i];
		enum vf_state state = is_known ? row->state : VF_FREE;
		struct alarm *one;

		if (vf == NULL || !is_seized(vf, state))
			continue;
		one = alarm_found(a, vf->name);
		if (one == NULL)
			return;
		alarm_text_set(one->text, "the VF is %s in the ledger, and the driver %s has it",
			       vf_state_text(state), vf->driver);
		alarm_text_set(
			one->hint,
			"echo %s > /sys/bus/pci/drivers/%s/unbind   takes it from that driver",
			vf->name, vf->driver);
	}
}

static void vf_seized(struct alarms *a, struct daemon *d)
{
	each_pf(a, d, pf_vfs_seized);
}

static void vf_attributes_drift(struct alarms *a, struct daemon *d)
{
	for (size_t i = 0; i < a->attrs.count; i++) {
		const struct attr_drift *drift = &a->attrs.items[i];
		char addr[PCI_ADDR_TEXT], has[ATTR_DRIFT_TEXT], wanted[ATTR_DRIFT_TEXT];
		struct alarm *one;

		/* What has been set since is not seen before the next look at the machine. */
		if (!attr_drift_holds(d, drift))
			continue;
		one = alarm_found(a, pci_addr_text(&drift->vf, addr));
		if (one == NULL)
			return;
		alarm_text_set(one->text, "its PF has %s for the VF, and viaduct has given it %s",
			       attr_drift_text(&drift->has, drift->differs, has),
			       attr_drift_text(&drift->wanted, drift->differs, wanted));
		alarm_text_set(one->hint, "viaduct vf set %s %s", addr,
			       attr_drift_words(&drift->wanted, drift->differs, wanted));
	}
}

static void isolation_violated(struct alarms *a, struct daemon *d)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		const json_t *violation = json_object_get(vm->facts, "violation");
		const char *why = json_string_value(json_object_get(violation, "text"));
		struct alarm *one;

		if (!vm_is_up(vm) || why == NULL)
			continue;
		one = alarm_found(a, vm->name);
		if (one == NULL)
			return;
		alarm_text_set(one->text,
			       "what the VM's functions reach is not what the VM has: %s", why);
		alarm_text_set(
			one->hint,
			"viaduct iommu audit --vm %s   looks again; viaduct vm kill %s   ends it",
			vm->name, vm->name);
	}
}

static void port_has_lost(struct alarms *a, struct daemon *d)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		char ports[PORTS_LOST_TEXT];
		struct alarm *one;

		if (!vm_is_up(vm) || ports_lost_text(vm, ports)[0] == '\0')
			continue;
		one = alarm_found(a, vm->name);
		if (one == NULL)
			return;
		alarm_text_set(one->text, "the VM runs on without the VF of %s: it is gone", ports);
		alarm_text_set(
			one->hint,
			"viaduct pf list   shows what its PF has now; viaduct vm stop %s and "
			"viaduct vm run FILE give it another",
			vm->name);
	}
}

static void irq_text(struct alarm *one, const struct irq_drift *drift)
{
	char asked[40], is[40], more[40] = "", why[80] = "";
	const cpu_set_t *now = &drift->now->allowed;

	/* It may go nowhere else, and does. */
	if (CPU_EQUAL(now, drift->asked))
		now = &drift->now->effective;
	cpu_list_text(drift->asked, asked, sizeof(asked));
	cpu_list_text(now, is, sizeof(is));
	if (drift->more > 0)
		snprintf(more, sizeof(more), ", and %u more likewise", drift->more);
	if (drift->error != 0)
		snprintf(why, sizeof(why), ": the kernel does not take it (%s)",
			 strerror(-drift->error));
	alarm_text_set(one->text,
		       "vector %u (interrupt %u) belongs on host CPU %s and is on %s%s%s",
		       drift->vector, drift->irq, asked, is, more,
		       drift->error != 0 ? why : ": somebody moved it");
	if (drift->error != 0)
		alarm_text_set(
			one->hint,
			"cat /sys/devices/system/cpu/online   shows the CPUs that can take it; viaductd "
			"tries again at each look");
	else
		alarm_text_set(
			one->hint,
			"echo %s > /proc/irq/%u/smp_affinity_list   moves it back; irqbalance must keep "
			"off: irqbalance --banirq=%u, or --banmod=vfio for those of all VMs",
			asked, drift->irq, drift->irq);
}

static void irqs_moved(struct alarms *a, struct daemon *d)
{
	struct irq_drift drift;
	size_t at = 0, first = a->found_count;

	while (a->irqs != NULL && irq_drift_next(a->irqs, &at, &drift)) {
		const struct vm *vm = vm_find(d, drift.vm);
		char object[ALARM_OBJECT];
		struct alarm *one;
		bool is_there = false;

		if (vm == NULL || vm->pid == 0)
			continue;
		snprintf(object, sizeof(object), "%.64s/%.64s", drift.vm, drift.port);
		for (size_t i = first; !is_there && i < a->found_count; i++)
			is_there = strcmp(a->found[i].object, object) == 0;
		one = is_there ? NULL : alarm_found(a, object);
		if (one != NULL)
			irq_text(one, &drift);
	}
}

static bool has_vfs_in_use(const struct daemon *d, const struct pci_fn *pf)
{
	for (unsigned int i = 0; i < pf->num_vfs; i++) {
		const struct vf_row *row = ledger_vf_find(d->ledger, &pf->addr, (uint16_t)i);

		if (row != NULL && row_is_now(d, row->boot_id) &&
		    (row->state == VF_BOUND || row->state == VF_ASSIGNED))
			return true;
	}
	return false;
}

/* NULL: none, or no room for one more. */
static struct link_memory *link_of(struct alarms *a, const struct pci_addr *pf)
{
	struct link_memory *links;

	for (size_t i = 0; i < a->link_count; i++)
		if (pci_addr_cmp(&a->links[i].pf, pf) == 0)
			return &a->links[i];
	if (a->link_count == LINKS_MAX)
		return NULL;
	links = reallocarray(a->links, a->link_count + 1, sizeof(*links));
	if (links == NULL)
		return NULL;
	a->links = links;
	links[a->link_count] = (struct link_memory){ .pf = *pf };
	return &links[a->link_count++];
}

static void pf_link(struct alarms *a, struct daemon *d, const struct pci_fn *pf,
		    const struct pf_row *row)
{
	bool has_carrier = pf->net.admin_up && pf->net.has_carrier && pf->net.carrier;
	struct link_memory *link = pf->ifindex != 0 ? link_of(a, &pf->addr) : NULL;
	struct alarm *one;

	if (link == NULL)
		return;
	if (has_carrier || !has_vfs_in_use(d, pf)) {
		link->had_carrier = has_carrier;
		link->down_ns = 0;
		return;
	}
	if (link->down_ns == 0)
		link->down_ns = now_ns();
	if (!link->had_carrier && now_ns() - link->down_ns < LINK_GRACE_NS)
		return;
	one = alarm_found(a, pf->name);
	if (one == NULL)
		return;
	alarm_text_set(one->text, "PF %s %s, and VMs have VFs of it", pci_fn_label(pf),
		       pf->net.admin_up ? "has no carrier" : "is down");
	if (pf->net.admin_up)
		alarm_text_set(one->hint, "look at the cable and its other end; viaduct pf show %s",
			       pci_fn_label(pf));
	else
		alarm_text_set(one->hint, "ip link set %s up", pci_fn_label(pf));
}

static void pf_link_lost(struct alarms *a, struct daemon *d)
{
	each_pf(a, d, pf_link);
}

static void vms_unknown(struct alarms *a, struct daemon *d)
{
	alarms_vm_unknown(a, d);
	alarms_vm_unlisted(a, d);
}

static void backends_down(struct alarms *a, struct daemon *d)
{
	alarms_backend_down(a, d);
	alarms_disks_backend(a, d);
}

/* Every alarm there is. docs/guide.md has the same list, for people. */
static const struct alarm_kind {
	const char *name, *severity;
	void (*find)(struct alarms *a, struct daemon *d); /* state locked */
} kinds[] = {
	{ "backend-down", "critical", backends_down },
	{ "disk-down", "critical", alarms_disk_down },
	{ "disk-errors", "major", alarms_disk_errors },
	{ "disk-full", "critical", alarms_disk_full },
	{ "dma-fault", "major", alarms_dma_faults },
	{ "faults-lost", "minor", alarms_faults_lost },
	{ "faults-unseen", "major", alarms_faults_unseen },
	{ "firmware-vars", "major", alarms_firmware_vars },
	{ "function-quarantined", "major", function_quarantined },
	{ "hugepage-pool-short", "minor", alarms_hugepages_short },
	{ "irq-drift", "minor", irqs_moved },
	{ "isolation-violated", "critical", isolation_violated },
	{ "lease-parked", "major", lease_parked },
	{ "numa-drift", "minor", alarms_numa_drift },
	{ "pf-absent", "major", pf_absent },
	{ "pf-link-lost", "critical", pf_link_lost },
	{ "pf-on-trial", "minor", pf_on_trial },
	{ "port-absent", "critical", alarms_port_absent },
	{ "port-fallback", "minor", alarms_ports_fallen_back },
	{ "port-lost", "critical", port_has_lost },
	{ "port-quarantined", "major", alarms_ports_quarantined },
	{ "port-unreachable", "major", alarms_port_unreachable },
	{ "run-path-lost", "major", alarms_run_path_lost },
	{ "state-disk-full", "critical", alarms_state_disk_full },
	{ "uplink-down", "critical", alarms_uplink_down },
	{ "vf-attributes-drift", "major", vf_attributes_drift },
	{ "vf-count-drift", "critical", vf_count_drift },
	{ "vf-quarantined", "major", vf_quarantined },
	{ "vf-seized", "major", vf_seized },
	{ "vm-crash-loop", "critical", alarms_vm_crash_loop },
	{ "vm-start-failed", "critical", alarms_vm_start_failed },
	{ "vm-unknown", "critical", vms_unknown },
};

static void alarm_log(void *arg, const struct alarm *a, bool is_raised)
{
	if (is_raised)
		log_warn("alarm %s %s (%s): %s%s%s", a->kind, a->object, a->severity, a->text,
			 a->hint[0] != '\0' ? "; try: " : "", a->hint);
	else
		log_info("alarm %s %s is over", a->kind, a->object);
}

/* State locked, and so it is after it; but not between. Fills a->found. */
static int find_all(struct alarms *a, struct daemon *d, enum alarms_look how, struct err *e)
{
	int r = how == ALARMS_SCAN_DEEP ? daemon_scan_deep(d, e)
		: how == ALARMS_SCAN	? daemon_scan(d, e)
					: 0;

	a->found_count = 0;
	if (r == 0 && how != ALARMS_LAST_SEEN)
		attr_drifts_find(d, &a->attrs);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++) {
		size_t first = a->found_count;

		kinds[i].find(a, d);
		for (; first < a->found_count; first++) {
			snprintf(a->found[first].kind, ALARM_WORD, "%s", kinds[i].name);
			snprintf(a->found[first].severity, ALARM_WORD, "%s", kinds[i].severity);
		}
	}
	if (r == 0 && a->found_count > 0)
		qsort(a->found, a->found_count, sizeof(*a->found), alarm_cmp);
	return r;
}

int alarms_look(struct alarms *a, struct daemon *d, enum alarms_look how, struct err *e)
{
	int r;

	state_lock(d);
	r = find_all(a, d, how, e);
	if (r == 0)
		r = ledger_alarms_differ(d->ledger, a->found, a->found_count, e);
	state_unlock(d);
	return r;
}

int alarms_check(struct alarms *a, struct daemon *d, struct err *e)
{
	const struct alarm_changes told = { .fn = alarm_log };
	int r;

	state_lock(d);
	r = find_all(a, d, ALARMS_SCAN, e);
	if (r == 0)
		r = ledger_alarms_sync(d->ledger, a->found, a->found_count, &told, e);
	state_unlock(d);
	return r;
}
