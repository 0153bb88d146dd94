// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/status.h"

#include "vmm/chipset.h"
#include "vmm/firmware.h"
#include "vmm/machine.h"
#include "vmm/machine_devices.h"
#include "vmm/vcpu.h"

#include <unistd.h>

static json_t *start_status(const struct machine *m, uint64_t ready_ns)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < MACHINE_STEPS; i++)
		json_array_append_new(list, json_pack("{s:s, s:I}", "step", machine_step_name(i),
						      "ns", (json_int_t)m->step_ns[i]));
	if (ready_ns != 0)
		json_array_append_new(list, json_pack("{s:s, s:I}", "step", "ready", "ns",
						      (json_int_t)(ready_ns - m->step_begin_ns)));
	return list;
}

json_t *machine_exits_status(const struct machine *m, int vcpu)
{
	static const char *const names[VCPU_EXITS] = {
		[VCPU_EXIT_IO] = "io",
		[VCPU_EXIT_MMIO] = "mmio",
		[VCPU_EXIT_HLT] = "hlt",
		[VCPU_EXIT_OTHER] = "other",
	};
	json_t *j = json_object();

	for (unsigned int kind = 0; kind < VCPU_EXITS; kind++) {
		uint64_t n = vcpu < 0 ? vcpu_set_exits(m->vcpus, kind)
				      : vcpu_exits(m->vcpus, (unsigned int)vcpu, kind);

		json_object_set_new(j, names[kind], json_integer((json_int_t)n));
	}
	return j;
}

static json_t *cpus_status(const struct machine *m)
{
	return json_pack("{s:b, s:b, s:I}", "dedicated", (int)m->spec->cpus_are_dedicated, "mwait",
			 (int)((m->exits_off & KVM_X86_DISABLE_EXITS_MWAIT) != 0), "tsc_khz",
			 (json_int_t)m->cpu.tsc_khz);
}

static json_t *ram_nodes_status(const struct placement *p)
{
	json_t *list = json_array();

	for (int node = 0; p->is_known && node < PLACEMENT_NODES; node++)
		if (p->node_bytes[node] > 0)
			json_array_append_new(list, json_pack("{s:i, s:I}", "node", node, "bytes",
							      (json_int_t)p->node_bytes[node]));
	return list;
}

/* The part that not every machine has. NULL stays NULL. */
static json_t *firmware_add(json_t *status, struct machine *m)
{
	if (status != NULL && m->firmware != NULL)
		json_object_set_new(status, "firmware", firmware_status(m->firmware));
	return status;
}

json_t *machine_status(struct machine *m)
{
	uint64_t console_bytes, ready_ns;
	json_t *devices, *nets, *disks, *extras, *status;

	pthread_mutex_lock(&m->lock);
	console_bytes = chipset_console_bytes(m->chipset);
	ready_ns = m->ready.found_ns;
	devices = machine_devices_status(m);
	nets = machine_nets_status(m);
	disks = machine_disks_status(m);
	extras = machine_extras_status(m);
	pthread_mutex_unlock(&m->lock);
	/* json_pack gives NULL if any of its parts is NULL, and drops the others ("o" steals). */
	status = json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"name", m->spec->name, "state", m->paused ? "paused" : "running", "pid",
		(json_int_t)getpid(), "uptime_ns", (json_int_t)(now_ns() - m->started_ns), "vcpus",
		(json_int_t)m->spec->cpu_count, "memory", (json_int_t)m->gmem.size, "start",
		start_status(m, ready_ns), "guest_resets", (json_int_t)life_resets(&m->life),
		"console_bytes", (json_int_t)console_bytes, "page_size",
		(json_int_t)m->gmem.page_size, "life", life_json(&m->life), "devices", devices,
		"nets", nets, "disks", disks, "virtio", extras, "cpus", cpus_status(m), "ram_nodes",
		ram_nodes_status(&m->placement), "exits", machine_exits_status(m, -1));
	return firmware_add(status, m);
}
