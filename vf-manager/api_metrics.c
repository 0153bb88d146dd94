// SPDX-License-Identifier: BSD-3-Clause
/* GET /metrics: OpenMetrics 1.0 text. From what the daemon knows already: it looks at nothing anew, but asks
 * viaduct-pmd for its counters. */
#include "vf-manager/api_handlers.h"
#include "vf-manager/backend_view.h"
#include "vf-manager/faultwatch.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/metrics_disk.h"
#include "vf-manager/pool.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmdef.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* State locked. */
typedef void metric_fn(struct daemon *d, FILE *out);

/* Names of devices and of alarms' severities are the kernel's or ours; still no one of them may break a line. */
static void label_write(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
	}
}

static void pf_vfs_write(const struct daemon *d, const struct pci_fn *pf, FILE *out)
{
	unsigned int counts[VF_STATES] = { 0 };

	for (unsigned int i = 0; i < pf->num_vfs; i++)
		if (pf->vfs[i] != NULL)
			counts[pool_vf_state(d, pf->vfs[i], NULL)]++;
	for (unsigned int s = 0; s < VF_STATES; s++) {
		fprintf(out, "viaduct_vfs{pf=\"%s\",device=\"", pf->name);
		label_write(out, pf->dev_name);
		fprintf(out, "\",state=\"%s\"} %u\n", vf_state_text((enum vf_state)s), counts[s]);
	}
}

static void vfs_write(struct daemon *d, FILE *out)
{
	for (size_t i = 0; i < inventory_count(d->inv); i++)
		if (inventory_at(d->inv, i)->is_pf)
			pf_vfs_write(d, inventory_at(d->inv, i), out);
}

static void vms_write(struct daemon *d, FILE *out)
{
	unsigned int counts[VM_STATES] = { 0 };

	for (size_t i = 0; i < d->vm_count; i++)
		counts[d->vms[i]->state]++;
	for (unsigned int s = 0; s < VM_STATES; s++)
		fprintf(out, "viaduct_vms{state=\"%s\"} %u\n", vm_state_text((enum vm_state)s),
			counts[s]);
}

static void restarts_write(struct daemon *d, FILE *out)
{
	for (size_t i = 0; i < d->def_count; i++)
		fprintf(out, "viaduct_vm_restarts_total{vm=\"%s\"} %u\n", d->defs[i]->name,
			d->defs[i]->restarts);
}

static void held_write(struct daemon *d, FILE *out)
{
	static const char *const alarms[] = { "vm-crash-loop", "vm-start-failed" };
	unsigned int counts[ARRAY_SIZE(alarms)] = { 0 }, waiting = 0;

	for (size_t i = 0; i < d->def_count; i++) {
		const struct vm_def *def = d->defs[i];

		for (size_t k = 0; k < ARRAY_SIZE(alarms); k++)
			counts[k] += strcmp(def->held, alarms[k]) == 0;
		waiting += def->restart_at != 0;
	}
	for (size_t k = 0; k < ARRAY_SIZE(alarms); k++)
		fprintf(out, "viaduct_vms_held{reason=\"%s\"} %u\n", alarms[k], counts[k]);
	fprintf(out, "viaduct_vms_held{reason=\"back-off\"} %u\n", waiting);
	fprintf(out, "viaduct_vms_held{reason=\"all-stopped\"} %u\n", d->vms_are_held ? 1 : 0);
}

static void vm_memory_write(struct daemon *d, FILE *out)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		const json_t *node = json_object_get(json_object_get(vm->facts, "numa"), "node");

		for (unsigned int k = 0;
		     vm->pid != 0 && vm->numa.is_known && k < vm->numa.shares.count; k++) {
			const struct numa_share *s = &vm->numa.shares.items[k];
			const bool is_asked = !json_is_integer(node) ||
					      json_integer_value(node) == s->node;

			fprintf(out,
				"viaduct_vm_memory_bytes{vm=\"%s\",node=\"%u\",asked=\"%s\"} %llu\n",
				vm->name, s->node, is_asked ? "yes" : "no",
				(unsigned long long)s->bytes);
		}
	}
}

static const char *const severities[] = { "critical", "major", "minor" };

static void alarm_count(void *arg, const struct alarm *a)
{
	unsigned int *counts = arg;

	for (size_t i = 0; i < ARRAY_SIZE(severities); i++)
		counts[i] += strcmp(severities[i], a->severity) == 0;
}

static void alarms_write(struct daemon *d, FILE *out)
{
	unsigned int counts[ARRAY_SIZE(severities)] = { 0 };

	ledger_alarm_each(d->ledger, alarm_count, counts, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(severities); i++)
		fprintf(out, "viaduct_alarms{severity=\"%s\"} %u\n", severities[i], counts[i]);
}

static void events_write(struct daemon *d, FILE *out)
{
	uint64_t oldest = 0, newest = 0;

	ledger_event_range(d->ledger, &oldest, &newest, NULL);
	fprintf(out, "viaduct_events_total %llu\n", (unsigned long long)newest);
}

static void followers_write(struct daemon *d, FILE *out)
{
	fprintf(out, "viaduct_event_followers %u\n", d->follower_count);
}

static void requests_write(struct daemon *d, FILE *out)
{
	for (unsigned int i = 2; i < DAEMON_STATUS_CLASSES; i++)
		fprintf(out, "viaduct_api_requests_total{status=\"%uxx\"} %llu\n", i,
			(unsigned long long)atomic_load_explicit(&d->requests[i],
								 memory_order_relaxed));
}

static void faults_write(struct daemon *d, FILE *out)
{
	const struct fault_log *l = fault_watch_log(d);

	for (size_t i = 0; l != NULL && i < l->count; i++) {
		const struct fault_entry *entry = &l->entries[i];
		char addr[PCI_ADDR_TEXT];

		fprintf(out, "viaduct_faults_total{function=\"%s\",owner=\"",
			pci_addr_text(&entry->function, addr));
		label_write(out, entry->owner.name);
		fprintf(out, "\",instance_start=\"%llu\"} %llu\n",
			(unsigned long long)entry->owner.start_ticks,
			(unsigned long long)entry->total);
	}
}

static void missing_write(struct daemon *d, FILE *out)
{
	const struct fault_log *l = fault_watch_log(d);
	const struct {
		const char *cause;
		uint64_t n;
	} rows[] = {
		{ "suppressed", l != NULL ? l->suppressed : 0 },
		{ "limit", l != NULL ? l->limits : 0 },
		{ "overflow", l != NULL ? l->overflows : 0 },
		{ "unread", l != NULL ? l->lost : 0 },
		{ "forgotten", l != NULL ? l->forgotten : 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		fprintf(out, "viaduct_faults_missing_total{cause=\"%s\"} %llu\n", rows[i].cause,
			(unsigned long long)rows[i].n);
}

static void start_time_write(struct daemon *d, FILE *out)
{
	struct timespec now;
	double age = (double)(now_ns() - d->started_ns) / 1e9;

	clock_gettime(CLOCK_REALTIME, &now);
	fprintf(out, "viaduct_daemon_start_time_seconds %.3f\n",
		(double)now.tv_sec + (double)now.tv_nsec / 1e9 - age);
}

static void memory_write(struct daemon *d, FILE *out)
{
	unsigned long long pages = 0;
	char text[128];

	if (file_read_at(AT_FDCWD, "/proc/self/statm", text, sizeof(text)) > 0 &&
	    sscanf(text, "%*u %llu", &pages) == 1)
		fprintf(out, "viaduct_daemon_resident_memory_bytes %llu\n",
			pages * (unsigned long long)sysconf(_SC_PAGESIZE));
}

static void build_write(struct daemon *d, FILE *out)
{
	fprintf(out, "viaduct_build_info{version=\"" VIADUCT_VERSION "\"} 1\n");
}

static const struct metric {
	const char *name, *type, *unit, *help;
	metric_fn *write;
} metrics[] = {
	{ "viaduct_vfs", "gauge", NULL, "VFs of each PF, by state.", vfs_write },
	{ "viaduct_vms", "gauge", NULL, "VMs, by state.", vms_write },
	{ "viaduct_vm_restarts", "counter", NULL,
	  "Restarts after crashes of each defined VM, since somebody started it.", restarts_write },
	{ "viaduct_vms_held", "gauge", NULL,
	  "VMs that shall run and are not started, by reason; all-stopped: 1 after vm stop --all.",
	  held_write },
	{ "viaduct_vm_memory_bytes", "gauge", "bytes",
	  "RAM of each VM that runs, by NUMA node; asked: it may lie there.", vm_memory_write },
	{ "viaduct_alarms", "gauge", NULL, "Alarms that are raised, by severity.", alarms_write },
	{ "viaduct_events", "counter", NULL, "Events since the state was made.", events_write },
	{ "viaduct_event_followers", "gauge", NULL, "Clients that follow the events.",
	  followers_write },
	{ "viaduct_api_requests", "counter", NULL,
	  "Requests answered since the daemon's start, by HTTP status.", requests_write },
	{ "viaduct_faults", "counter", NULL,
	  "Faults of devices that the kernel told of; a lower bound if any are missing.",
	  faults_write },
	{ "viaduct_faults_missing", "counter", NULL,
	  "What is known to be missing of them, by cause.", missing_write },
	{ "viaduct_daemon_start_time_seconds", "gauge", "seconds",
	  "When the daemon started, since the epoch.", start_time_write },
	{ "viaduct_daemon_resident_memory_bytes", "gauge", "bytes",
	  "Memory of the daemon, without its VMs.", memory_write },
	{ "viaduct_build", "info", NULL, "Version of the daemon.", build_write },
};

int api_metrics(struct request *req, struct err *e)
{
	size_t len = 0;
	FILE *out = open_memstream(&req->text, &len);

	if (out == NULL)
		return err_set(e, ENOMEM, "no memory");
	backend_stats_look(req->d);
	state_lock(req->d);
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
		const struct metric *m = &metrics[i];

		fprintf(out, "# TYPE %s %s\n", m->name, m->type);
		if (m->unit != NULL)
			fprintf(out, "# UNIT %s %s\n", m->name, m->unit);
		fprintf(out, "# HELP %s %s\n", m->name, m->help);
		m->write(req->d, out);
	}
	state_unlock(req->d);
	backend_metrics_write(req->d, out);
	disk_metrics_write(req->d, out);
	fputs("# EOF\n", out);
	req->content_type = OPENMETRICS;
	if (fclose(out) == 0)
		return 0;
	free(ptr_take(&req->text));
	return err_set(e, ENOMEM, "no memory");
}
