// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmplace.h"

#include "vf-manager/coresched.h"
#include "vf-manager/hostcpu.h"
#include "vf-manager/vm.h"

#include "base/json.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#define LIST_TEXT 80 /* for messages */

json_t *vm_place_cpus(const struct vm_spec *spec)
{
	json_t *pin = json_array();

	for (unsigned int i = 0; i < spec->pin_count; i++)
		json_array_append_new(pin, json_integer(spec->pin[i]));
	return json_pack("{s:o, s:b}", "pin", pin, "dedicated", (int)spec->is_dedicated);
}

static void pins_of(const struct vm_spec *spec, cpu_set_t *out)
{
	CPU_ZERO(out);
	for (unsigned int i = 0; i < spec->pin_count; i++)
		CPU_SET(spec->pin[i], out);
}

/* What a VM that runs (or starts) has. False: it does not run. */
static bool vm_cpus(const struct vm *vm, cpu_set_t *pins, bool *is_dedicated)
{
	const json_t *cpus = json_object_get(vm->facts, "cpus"), *pin;
	size_t i;

	CPU_ZERO(pins);
	*is_dedicated = json_is_true(json_object_get(cpus, "dedicated"));
	if (!vm_state_is_live(vm->state) && vm->pid == 0)
		return false;
	json_array_foreach(json_object_get(cpus, "pin"), i, pin) {
		json_int_t cpu = json_integer_value(pin);

		if (cpu >= 0 && cpu < CPU_SETSIZE)
			CPU_SET(cpu, pins);
	}
	return true;
}

/* The CPUs of all VMs but the one of this name: those that any pins, and those that are dedicated. */
static void vms_cpus(const struct daemon *d, const char *but, cpu_set_t *pinned,
		     cpu_set_t *dedicated)
{
	CPU_ZERO(pinned);
	CPU_ZERO(dedicated);
	for (size_t i = 0; i < d->vm_count; i++) {
		cpu_set_t pins;
		bool is_dedicated;

		if (strcmp(d->vms[i]->name, but) == 0 || !vm_cpus(d->vms[i], &pins, &is_dedicated))
			continue;
		CPU_OR(pinned, pinned, &pins);
		if (is_dedicated)
			CPU_OR(dedicated, dedicated, &pins);
	}
}

void vm_place_dedicated(const struct daemon *d, cpu_set_t *out)
{
	cpu_set_t pinned;

	vms_cpus(d, "", &pinned, out);
}

static const char *vm_with(const struct daemon *d, unsigned int cpu)
{
	for (size_t i = 0; i < d->vm_count; i++) {
		cpu_set_t pins;
		bool is_dedicated;

		if (vm_cpus(d->vms[i], &pins, &is_dedicated) && CPU_ISSET(cpu, &pins))
			return d->vms[i]->name;
	}
	return "?";
}

/* One start's view of the host; gathered once. */
struct view {
	struct daemon *d;
	const struct vm_spec *spec;
	struct host_cpus host;
	cpu_set_t pins; /* of this VM */
	cpu_set_t pinned, dedicated; /* of the others */
	char unused[LIST_TEXT]; /* online and pinned by nobody, for hints */
};

static int view_make(struct daemon *d, const struct vm_spec *spec, struct view *v, struct err *e)
{
	cpu_set_t unused;
	int r = host_cpus_read(d, &v->host, e);

	v->d = d;
	v->spec = spec;
	pins_of(spec, &v->pins);
	vms_cpus(d, spec->name, &v->pinned, &v->dedicated);
	if (r < 0)
		return r;
	unused = v->host.online;
	cpu_set_remove(&unused, &v->pinned);
	cpu_list_text(&unused, v->unused, sizeof(v->unused));
	return 0;
}

static int online_check(const struct view *v, struct err *e)
{
	char text[LIST_TEXT];

	for (unsigned int i = 0; i < v->spec->pin_count; i++) {
		if (CPU_ISSET(v->spec->pin[i], &v->host.online))
			continue;
		err_set(e, EINVAL, "cpus.pin: the host has no CPU %u that is online (%s are)",
			v->spec->pin[i], cpu_list_text(&v->host.online, text, sizeof(text)));
		err_code(e, "no-such-cpu");
		return err_hint(e, "cat /sys/devices/system/cpu/online");
	}
	return 0;
}

static int in_use(const struct view *v, unsigned int cpu, struct err *e)
{
	bool is_theirs = CPU_ISSET(cpu, &v->dedicated);
	const char *name = vm_with(v->d, cpu);

	err_set(e, EBUSY, "cpus.%s: host CPU %u is %s VM %s", is_theirs ? "pin" : "dedicated", cpu,
		is_theirs ? "dedicated to" : "pinned by", name);
	err_code(e, "cpu-in-use");
	return err_hint(e, "pin to others (%s have no VM), or: viaduct vm stop %s",
			v->unused[0] != '\0' ? v->unused : "none", name);
}

/* The other threads of a dedicated CPU's core: nobody else may run there. */
static int siblings_check(const struct view *v, unsigned int cpu, struct err *e)
{
	cpu_set_t others;

	host_cpu_siblings(v->d, cpu, &others);
	cpu_set_remove(&others, &v->pins);
	for (unsigned int other = 0; other < CPU_SETSIZE; other++) {
		if (!CPU_ISSET(other, &others) || !CPU_ISSET(other, &v->host.online))
			continue;
		if (CPU_ISSET(other, &v->pinned))
			err_set(e, EBUSY,
				"cpus.dedicated: host CPU %u shares its core with CPU %u of VM %s",
				cpu, other, vm_with(v->d, other));
		else
			err_set(e, EBUSY,
				"cpus.dedicated: host CPU %u shares its core with CPU %u, which is not "
				"in cpus.pin",
				cpu, other);
		err_code(e, "cpu-sibling");
		return err_hint(e,
				"pin vCPUs to both threads of a core, or: "
				"echo 0 > /sys/devices/system/cpu/cpu%u/online",
				other);
	}
	return 0;
}

/* What is left to the host and to the VMM's own threads. */
static void cpus_left(const struct view *v, cpu_set_t *out)
{
	cpu_set_t mine;

	*out = v->host.online;
	cpu_set_remove(out, &v->dedicated);
	if (v->spec->is_dedicated)
		cpu_set_remove(out, &v->pins);
	/* Where this process may run, so may the VMMs. */
	if (sched_getaffinity(0, sizeof(mine), &mine) < 0)
		return;
	CPU_AND(&mine, &mine, out);
	if (CPU_COUNT(&mine) > 0)
		*out = mine;
}

static int dedicated_check(const struct view *v, struct err *e)
{
	cpu_set_t left;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < v->spec->pin_count; i++)
		r = siblings_check(v, v->spec->pin[i], e);
	if (r < 0)
		return r;
	cpus_left(v, &left);
	if (CPU_COUNT(&left) > 0)
		return 0;
	err_set(e, EBUSY, "cpus.dedicated: no CPU would be left for the host itself");
	err_code(e, "no-host-cpu");
	return err_hint(e, "take at least one CPU out of cpus.pin");
}

static void isolation_warn(const struct view *v, json_t *warnings)
{
	cpu_set_t busy = v->pins;
	char text[LIST_TEXT], all[LIST_TEXT];

	cpu_set_remove(&busy, &v->host.isolated);
	if (CPU_COUNT(&busy) == 0)
		return;
	cpu_list_text(&busy, text, sizeof(text));
	cpu_list_text(&v->pins, all, sizeof(all));
	json_add_text(
		warnings,
		"cpus.dedicated: host CPU %s is not isolated: the host's other work runs there, too; boot "
		"with isolcpus=%s nohz_full=%s rcu_nocbs=%s",
		text, all, all, all);
}

/* viaduct-pmd polls there, if it is ever needed. */
static int backend_check(const struct view *v, unsigned int cpu, struct err *e)
{
	const struct config *c = &v->d->config;

	for (unsigned int i = 0; config_has_polled(c) && i < c->backends.core_count; i++) {
		if (c->backends.cores[i] != cpu)
			continue;
		err_set(e, EBUSY,
			"cpus.dedicated: host CPU %u is one of backends.cores: viaduct-pmd polls there",
			cpu);
		err_code(e, "cpu-in-use");
		return err_hint(e, "pin to others (%s have no VM)",
				v->unused[0] != '\0' ? v->unused : "none");
	}
	return 0;
}

static int cpus_check(const struct view *v, json_t *warnings, struct err *e)
{
	int r = online_check(v, e);

	for (unsigned int i = 0; r == 0 && i < v->spec->pin_count; i++) {
		unsigned int cpu = v->spec->pin[i];

		if (CPU_ISSET(cpu, &v->dedicated) ||
		    (v->spec->is_dedicated && CPU_ISSET(cpu, &v->pinned)))
			r = in_use(v, cpu, e);
		else if (v->spec->is_dedicated)
			r = backend_check(v, cpu, e);
	}
	if (r < 0 || !v->spec->is_dedicated)
		return r;
	r = dedicated_check(v, e);
	if (r == 0)
		isolation_warn(v, warnings);
	return r;
}

/* The hugepages to take for RAM on this node: none where its pool runs short and they need not be, since
 * the kernel makes pages beyond the pool wherever it likes. */
static uint64_t node_hugepage(const struct daemon *d, const struct vm_spec *spec, int node)
{
	uint64_t have = 0;

	if (!spec->hugepage_fallback || spec->hugepage_bytes == 0 ||
	    (host_node_free(d, node, spec->hugepage_bytes, &have) == 0 &&
	     have >= spec->memory_bytes))
		return spec->hugepage_bytes;
	return 0;
}

static int node_memory_check(const struct view *v, struct err *e)
{
	const struct vm_spec *spec = v->spec;
	uint64_t page_bytes = node_hugepage(v->d, spec, spec->numa_node), have = 0;
	unsigned long long page = page_bytes >> 20;

	/* A node that does not say is left to the VMM, which looks at what it got. */
	if (host_node_free(v->d, spec->numa_node, page_bytes, &have) < 0 ||
	    have >= spec->memory_bytes)
		return 0;
	if (page == 0) {
		err_set(e, ENOMEM, "memory.numa: %llu MiB are asked for and node %d has %llu MiB",
			(unsigned long long)spec->memory_bytes >> 20, spec->numa_node,
			(unsigned long long)have >> 20);
		err_code(e, "memory-short");
		return err_hint(e,
				"cat /sys/devices/system/node/node%d/meminfo; or memory.numa: auto",
				spec->numa_node);
	}
	err_set(e, ENOMEM,
		"memory.numa: %llu hugepages of %llu MiB are needed and node %d has %llu free",
		(unsigned long long)(spec->memory_bytes / page_bytes), page, spec->numa_node,
		(unsigned long long)(have / page_bytes));
	err_code(e, "hugepages-short");
	return err_hint(
		e,
		"echo N > /sys/devices/system/node/node%d/hugepages/hugepages-%llukB/nr_hugepages",
		spec->numa_node, page << 10);
}

static int node_check(const struct view *v, json_t *warnings, struct err *e)
{
	const struct vm_spec *spec = v->spec;
	cpu_set_t nodes, far = v->pins, near;
	char text[LIST_TEXT];
	int r;

	if (spec->numa != VM_NUMA_NODE)
		return 0;
	host_nodes(v->d, &nodes);
	if (!CPU_ISSET(spec->numa_node, &nodes)) {
		err_set(e, EINVAL, "memory.numa: the host has no node %d (%s)", spec->numa_node,
			CPU_COUNT(&nodes) > 0 ? cpu_list_text(&nodes, text, sizeof(text))
					      : "it has no nodes");
		err_code(e, "no-such-node");
		return err_hint(e, "cat /sys/devices/system/node/online");
	}
	r = node_memory_check(v, e);
	host_node_cpus(v->d, spec->numa_node, &near);
	cpu_set_remove(&far, &near);
	if (r == 0 && CPU_COUNT(&far) > 0)
		json_add_text(
			warnings,
			"memory.numa: host CPU %s of cpus.pin is not on node %d: its vCPU reaches RAM over "
			"the link between the nodes",
			cpu_list_text(&far, text, sizeof(text)), spec->numa_node);
	return r;
}

/* It was asked for, and is not to be had. Without SMT nothing shares a core. */
static void core_warn(const struct vm_spec *spec, json_t *warnings)
{
	if (spec->core_sched == VM_CORE_ON && core_host_state() == CORE_UNSUPPORTED)
		json_add_text(
			warnings,
			"cpus.core_scheduling: this host's kernel has none (CONFIG_SCHED_CORE, Linux 5.14): "
			"other VMs may run on the same cores at the same time");
}

int vm_place_check(struct daemon *d, const struct vm_spec *spec, json_t *warnings, struct err *e)
{
	struct view v;
	int r;

	core_warn(spec, warnings);
	if (spec->pin_count == 0 && spec->numa != VM_NUMA_NODE)
		return 0;
	r = view_make(d, spec, &v, e);
	if (r == 0)
		r = cpus_check(&v, warnings, e);
	return r == 0 ? node_check(&v, warnings, e) : r;
}

int vm_near_node(const struct daemon *d, const struct vm_spec *spec)
{
	cpu_set_t pins;

	if (spec->numa == VM_NUMA_NODE)
		return spec->numa_node;
	pins_of(spec, &pins);
	return spec->pin_count > 0 ? host_node_of(d, &pins) : -1;
}

static int node_choose(struct daemon *d, const struct vm_spec *spec, int vf_node)
{
	cpu_set_t nodes, pins;

	if (spec->numa != VM_NUMA_AUTO)
		return spec->numa == VM_NUMA_NODE ? spec->numa_node : -1;
	host_nodes(d, &nodes);
	if (CPU_COUNT(&nodes) < 2)
		return -1; /* there is no other place */
	pins_of(spec, &pins);
	return spec->pin_count > 0 ? host_node_of(d, &pins) : vf_node;
}

static void cores_add(const struct daemon *d, const unsigned int *cores, unsigned int count,
		      cpu_set_t *out)
{
	cpu_set_t core;

	for (unsigned int i = 0; i < count; i++) {
		host_cpu_siblings(d, cores[i], &core);
		CPU_OR(out, out, &core);
	}
}

/* The cores that viaduct-pmd's processes have: a VM with a cookie beside one that polls would halve the time of both. */
static void poll_cores(const struct daemon *d, cpu_set_t *out)
{
	const struct config_backends *b = &d->config.backends;

	CPU_ZERO(out);
	if (config_has_polled(&d->config))
		cores_add(d, b->cores, b->core_count, out);
	cores_add(d, b->disk_cores, b->disk_core_count, out);
}

static void cookie_place(const struct view *v, struct vm_place *out)
{
	cpu_set_t polled, left;

	if (!core_is_wanted(v->spec) || core_host_state() != CORE_ON)
		return;
	out->has_cookie = true;
	poll_cores(v->d, &polled);
	if (v->spec->pin_count > 0 || CPU_COUNT(&polled) == 0)
		return;
	cpus_left(v, &left);
	cpu_set_remove(&left, &polled);
	if (CPU_COUNT(&left) > 0)
		out->own = left;
	else
		out->has_cookie = v->spec->core_sched == VM_CORE_ON;
}

void vm_place(struct daemon *d, const struct vm_spec *spec, int vf_node, struct vm_place *out)
{
	struct view v;

	memset(out, 0, sizeof(*out));
	out->node = node_choose(d, spec, vf_node);
	out->is_strict = spec->numa == VM_NUMA_NODE;
	out->hugepage_bytes = out->node >= 0 ? node_hugepage(d, spec, out->node)
					     : spec->hugepage_bytes;
	if (view_make(d, spec, &v, NULL) < 0)
		return;
	if (spec->is_dedicated || CPU_COUNT(&v.dedicated) > 0)
		cpus_left(&v, &out->own);
	cookie_place(&v, out);
	if (out->node < 0)
		return;
	host_node_cpus(d, out->node, &out->node_cpus);
	cpu_set_remove(&out->node_cpus, &v.dedicated);
}
