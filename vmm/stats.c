// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/stats.h"

#include "vmm/kvm.h"
#include "vmm/kvm_stats.h"
#include "vmm/machine.h"
#include "vmm/machine_devices.h"
#include "vmm/status.h"
#include "vmm/vcpu.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct stats {
	/* Why there is nothing of KVM's; "": there is. */
	char absent[256];
	struct kvm_stats_layout vm, vcpu;
	int vm_fd;
	int vcpu_fds[VMM_MAX_CPUS];
};

static int layouts_open(struct machine *m, struct stats *s, struct err *e)
{
	int r = kvm_stats_fd(m->vm_fd, &s->vm_fd);

	for (unsigned int i = 0; r == 0 && i < m->spec->cpu_count; i++)
		r = kvm_stats_fd(vcpu_set_fd(m->vcpus, i), &s->vcpu_fds[i]);
	if (r < 0)
		return err_set(e, r, "KVM_GET_STATS_FD: %s", strerror(-r));
	r = kvm_stats_layout_read(s->vm_fd, &kvm_stats_vm_names, &s->vm, e);
	/* All vCPUs have the same descriptors. */
	return r < 0 ? r
		     : kvm_stats_layout_read(s->vcpu_fds[0], &kvm_stats_vcpu_names, &s->vcpu, e);
}

static void fds_close(struct stats *s)
{
	fd_close(&s->vm_fd);
	for (size_t i = 0; i < ARRAY_SIZE(s->vcpu_fds); i++)
		fd_close(&s->vcpu_fds[i]);
}

int stats_create(struct machine *m, struct stats **out, struct err *e)
{
	struct stats *s = calloc(1, sizeof(*s));
	struct err why = { 0 };

	if (s == NULL)
		return err_set(e, ENOMEM, "statistics: out of memory");
	s->vm_fd = -1;
	for (size_t i = 0; i < ARRAY_SIZE(s->vcpu_fds); i++)
		s->vcpu_fds[i] = -1;
	if (kvm_extension_check(m->kvm_fd, KVM_CAP_BINARY_STATS_FD) <= 0) {
		snprintf(s->absent, sizeof(s->absent),
			 "this host's KVM has no binary statistics (Linux 5.14 has)");
	} else if (layouts_open(m, s, &why) < 0) {
		snprintf(s->absent, sizeof(s->absent), "KVM's statistics cannot be read: %.200s",
			 why.text);
		log_warn("%s", s->absent);
		fds_close(s);
	}
	*out = s;
	return 0;
}

void stats_destroy(struct stats *s)
{
	if (s == NULL)
		return;
	fds_close(s);
	free(s);
}

/* JSON's numbers are signed. */
static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)u64_min(n, INT64_MAX));
}

/* The names that are there, and in values_add() their values in the same order. */
static json_t *names_list(const struct kvm_stats_layout *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->set->count; i++)
		if (l->present[i])
			json_array_append_new(list, json_string(l->set->names[i]));
	return list;
}

static json_t *values_list(int fd, const struct kvm_stats_layout *l)
{
	uint64_t values[KVM_STATS_NAMES] = { 0 };
	json_t *list = json_array();

	if (kvm_stats_read(fd, l, values) < 0)
		return list; /* no values beside the names: the reader says so */
	for (size_t i = 0; i < l->set->count; i++)
		if (l->present[i])
			json_array_append_new(list, number(values[i]));
	return list;
}

static json_t *kvm_add(const struct machine *m)
{
	const struct stats *s = m->stats;
	json_t *vcpus = json_array();

	for (unsigned int i = 0; i < m->spec->cpu_count; i++)
		json_array_append_new(vcpus, values_list(s->vcpu_fds[i], &s->vcpu));
	return json_pack("{s:o, s:o, s:o, s:o}", "vm_names", names_list(&s->vm), "vm",
			 values_list(s->vm_fd, &s->vm), "vcpu_names", names_list(&s->vcpu), "vcpus",
			 vcpus);
}

static json_t *returns_list(const struct machine *m)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < m->spec->cpu_count; i++)
		json_array_append_new(list, machine_exits_status(m, (int)i));
	return list;
}

static void regions_add(json_t *list, const char *space, const struct bus *bus)
{
	struct bus_count c;

	for (size_t i = 0; bus_counters_read(&bus->counters, i, &c); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o}", "space", space,
						      "name", c.name, "reads", number(c.reads),
						      "writes", number(c.writes)));
}

json_t *machine_stats(struct machine *m)
{
	const struct stats *s = m->stats;
	json_t *regions = json_array(), *devices, *j;

	pthread_mutex_lock(&m->lock);
	regions_add(regions, "pio", &m->pio);
	regions_add(regions, "mmio", &m->mmio);
	devices = machine_devices_stats(m);
	pthread_mutex_unlock(&m->lock);
	j = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "name", m->spec->name, "state",
		      m->paused ? "paused" : "running", "uptime_ns",
		      number(now_ns() - m->started_ns), "exits", machine_exits_status(m, -1),
		      "vcpus", returns_list(m), "regions", regions, "devices", devices);
	if (j == NULL)
		return NULL;
	if (s->absent[0] != '\0')
		json_object_set_new(j, "kvm_absent", json_string(s->absent));
	else
		json_object_set_new(j, "kvm", kvm_add(m));
	return j;
}
