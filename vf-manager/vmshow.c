// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/faultwatch.h"
#include "vf-manager/irqwatch.h"
#include "vf-manager/ports.h"
#include "vf-manager/posture.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmdef.h"
#include "vf-manager/vmend.h"
#include "vf-manager/vmextra.h"
#include "vf-manager/vmm_client.h"
#include "vf-manager/vmops.h"
#include "vf-manager/vmplace.h"
#include "vf-manager/vmshow_disks.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define STEPS_MAX 64
#define TRAPS_MAX 128

static json_t *status_device(const json_t *status, const char *addr)
{
	json_t *devices = status != NULL ? json_object_get(status, "devices") : NULL;
	json_t *dev;
	size_t i;

	json_array_foreach(devices, i, dev) {
		const char *a = json_string_value(json_object_get(dev, "address"));

		if (a != NULL && strcmp(a, addr) == 0)
			return dev;
	}
	return NULL;
}

/* Parts of BARs in which accesses leave the guest. A peer's word: numbers, and so many. */
static json_t *traps_take(const json_t *from)
{
	json_t *list = json_array();
	const json_t *trap;
	size_t i;

	json_array_foreach((json_t *)from, i, trap) {
		uint64_t bar, offset, size, accesses;
		bool has_table = false;

		if (i == TRAPS_MAX)
			break;
		if (json_get_u64(trap, "bar", 5, &bar, NULL) < 0 ||
		    json_get_u64(trap, "offset", INT64_MAX, &offset, NULL) < 0 ||
		    json_get_u64(trap, "size", INT64_MAX, &size, NULL) < 0 ||
		    json_get_u64(trap, "accesses", INT64_MAX, &accesses, NULL) < 0)
			continue;
		json_get_bool_opt(trap, "table", &has_table, NULL);
		json_array_append_new(list, json_pack("{s:I, s:I, s:I, s:b, s:I}", "bar",
						      (json_int_t)bar, "offset", (json_int_t)offset,
						      "size", (json_int_t)size, "table", has_table,
						      "accesses", (json_int_t)accesses));
	}
	return list;
}

/* `key` is the member with the function's address. */
static void port_add_live(json_t *port, const char *key, const json_t *status,
			  const char *interrupts)
{
	const char *addr = json_string_value(json_object_get(port, key));
	const json_t *dev = addr != NULL ? status_device(status, addr) : NULL;
	bool is_master = false;
	uint64_t vectors = 0, count = 0;

	if (dev != NULL) {
		json_get_bool_opt(dev, "driver_active", &is_master, NULL);
		json_get_u64_opt(dev, "vectors_enabled", 4096, &vectors, NULL);
	}
	if (addr != NULL && interrupts != NULL)
		count = irq_count(interrupts, addr);
	json_object_set_new(port, "traps",
			    traps_take(dev != NULL ? json_object_get(dev, "traps") : NULL));
	json_object_set_new(port, "bus_mastering", json_boolean(is_master));
	json_object_set_new(port, "vectors", json_integer((json_int_t)vectors));
	json_object_set_new(port, "interrupts", json_integer((json_int_t)count));
	json_object_set_new(port, "irqs", json_null());
}

/* The VMM's word is a peer's: names and times, and nothing of any other form or depth. */
void vm_steps_take(json_t *to, const json_t *from)
{
	const json_t *step;
	size_t i;

	json_array_foreach((json_t *)from, i, step) {
		char name[32];
		uint64_t ns;

		if (json_array_size(to) < STEPS_MAX &&
		    json_get_str(step, "step", name, sizeof(name), NULL) == 0 &&
		    json_get_u64(step, "ns", INT64_MAX, &ns, NULL) == 0)
			json_array_append_new(to, json_pack("{s:s, s:I}", "step", name, "ns",
							    (json_int_t)ns));
	}
}

/* What the VMM knew at the start is in the facts; that the guest is up comes later. */
static void ready_add_live(json_t *vm, const json_t *status)
{
	auto_json json_t *now = json_array();
	json_t *step;
	size_t i;

	vm_steps_take(now, status != NULL ? json_object_get(status, "start") : NULL);
	json_array_foreach(now, i, step) {
		const char *name = json_string_value(json_object_get(step, "step"));

		if (strcmp(name, "ready") == 0)
			json_array_append(json_object_get(vm, "start_steps"), step);
	}
}

/* Whether its variables are on the disk; the VMM's word is a peer's. */
static void firmware_add_live(json_t *firmware, const json_t *status)
{
	static const char *const states[] = { "none", "stored", "waiting", "failed" };
	char state[16] = "", error[128] = "";

	if (!json_is_object(firmware))
		return;
	json_object_set_new(firmware, "state", json_null());
	json_object_set_new(firmware, "error", json_null());
	if (json_get_str_opt(status, "vars", state, sizeof(state), NULL) < 0 ||
	    json_get_str_opt(status, "error", error, sizeof(error), NULL) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (strcmp(states[i], state) == 0)
			json_object_set_new(firmware, "state", json_string(state));
	if (error[0] != '\0')
		json_object_set_new(firmware, "error", json_string(error));
}

/* What the VMM says right now; status NULL: it said nothing. `interrupts` is /proc/interrupts or NULL. */
static void live_add(json_t *vm, const json_t *status, const char *interrupts)
{
	json_t *ports = json_object_get(vm, "ports"), *port;
	json_t *functions = json_object_get(vm, "functions"), *function;
	json_t *life = vm_life_copy(json_object_get(status, "life"));
	size_t i;

	if (life != NULL)
		json_object_set_new(vm, "life", life);
	json_array_foreach(ports, i, port) {
		port_add_live(port, "vf", status, status != NULL ? interrupts : NULL);
		port_net_add(port, status);
	}
	json_array_foreach(functions, i, function)
		port_add_live(function, "address", status, status != NULL ? interrupts : NULL);
	disks_live_add(vm, status);
	ready_add_live(vm, status);
	vm_extras_add_live(vm, status);
	firmware_add_live(json_object_get(vm, "firmware"), json_object_get(status, "firmware"));
}

/* Members that not every port has. */
static void port_defaults_add(json_t *port)
{
	static const char *const nullable[] = { "lost",	   "quarantine", "link",
						"network", "policy",	 "fallback",
						"queues",  "queue_size", "grace_ms" };

	json_object_del(port, "socket");
	for (size_t i = 0; i < ARRAY_SIZE(nullable); i++)
		if (json_object_get(port, nullable[i]) == NULL)
			json_object_set_new(port, nullable[i], json_null());
	if (json_object_get(port, "wanted") == NULL)
		json_object_set_new(port, "wanted", json_string("vf"));
	json_object_set_new(port, "net", json_null());
	json_object_set_new(port, "backend", json_null());
}

/* Members that a VM has from its start, null before. */
static void defaults_add(json_t *j)
{
	static const char *const nullable[] = { "vcpus",	  "memory",
						"page_size",	  "started_at",
						"start_seconds",  "exit",
						"cpus",		  "numa",
						"life",		  "owner",
						"anti_affinity",  "unit",
						"audit",	  "unsafe_interrupts",
						"stop_timeout_s", "dma",
						"firmware",	  "limits",
						"core_scheduling" };
	json_t *port;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(nullable); i++)
		if (json_object_get(j, nullable[i]) == NULL)
			json_object_set_new(j, nullable[i], json_null());
	if (json_object_get(j, "ports") == NULL)
		json_object_set_new(j, "ports", json_array());
	if (json_object_get(j, "functions") == NULL)
		json_object_set_new(j, "functions", json_array());
	if (json_object_get(j, "start_steps") == NULL)
		json_object_set_new(j, "start_steps", json_array());
	json_array_foreach(json_object_get(j, "ports"), i, port)
		port_defaults_add(port);
	json_array_foreach(json_object_get(j, "functions"), i, port)
		if (json_object_get(port, "quarantine") == NULL)
			json_object_set_new(port, "quarantine", json_null());
	if (json_object_get(j, "dma_remapping") == NULL)
		json_object_set_new(j, "dma_remapping", json_false());
	if (json_object_get(j, "interrupt_remapping") == NULL)
		json_object_set_new(j, "interrupt_remapping", json_false());
}

static void backends_add(struct daemon *d, const struct vm *vm, json_t *j)
{
	json_t *port;
	size_t i;

	json_array_foreach(json_object_get(j, "ports"), i, port)
		if (vm->pid != 0)
			port_backend_add(d, vm->name, port);
}

/* State locked. Of each port and function: what its device did that it may not. */
static void faults_add(const struct daemon *d, const struct vm *vm, json_t *j)
{
	static const char *const lists[] = { "ports", "functions" };
	json_t *one;
	size_t k;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		json_array_foreach(json_object_get(j, lists[i]), k, one) {
			const char *name = json_string_value(json_object_get(one, "name"));

			json_object_set_new(one, "faults",
					    fault_port_json(d, vm->name, name != NULL ? name : "",
							    vm->start_ticks));
		}
}

/* State locked. As the host calls them now: since the VM's start the interface of a PF may have got another name. */
static void vf_ids_renew(const struct daemon *d, const struct vm *vm, json_t *j)
{
	json_t *port;
	size_t i;

	json_array_foreach(json_object_get(j, "ports"), i, port) {
		const char *text = json_string_value(json_object_get(port, "vf"));
		const struct pci_fn *vf = NULL;
		struct pci_addr addr;
		char id[VF_ID_TEXT];

		if (vm->pid != 0 && text != NULL && parse_pci_addr(text, &addr) == 0)
			vf = inventory_find(d->inv, &addr);
		if (vf != NULL && vf->is_vf)
			json_object_set_new(port, "vf_id", json_string(vf_id_text(vf, id)));
	}
}

/* State locked. Not since `started_at`: a host's clock may be set long after its VMs have started. */
static json_t *uptime_json(const struct vm *vm)
{
	const long hz = sysconf(_SC_CLK_TCK);
	struct timespec up;

	if (vm->pid == 0 || !json_is_integer(json_object_get(vm->facts, "started_at")))
		return json_null();
	clock_gettime(CLOCK_BOOTTIME, &up);
	return json_integer(up.tv_sec - (json_int_t)vm->start_ticks / hz);
}

/* State locked. */
static json_t *vm_json(struct daemon *d, const struct vm *vm)
{
	json_t *j = json_deep_copy(vm->facts);
	char path[VM_PATH_TEXT];

	json_object_set_new(j, "name", json_string(vm->name));
	json_object_set_new(j, "state", json_string(vm_state_text(vm->state)));
	json_object_set_new(j, "pid", vm->pid != 0 ? json_integer(vm->pid) : json_null());
	json_object_set_new(j, "console", json_string(vm_path(d, vm->name, "console.sock", path)));
	json_object_set_new(j, "log", json_string(vm_path(d, vm->name, "vmm.log", path)));
	json_object_set_new(j, "console_log",
			    json_string(vm_path(d, vm->name, "console.log", path)));
	json_object_set_new(j, "console_log_old",
			    json_string(vm_path(d, vm->name, "console.log.1", path)));
	json_object_del(j, "asked");
	json_object_set_new(j, "defined", def_json(d, vm));
	json_object_set_new(j, "ends", json_null());
	if (json_is_object(json_object_get(j, "numa")))
		json_object_set_new(json_object_get(j, "numa"), "now", numa_now_json(vm));
	if (vm->pid == 0)
		json_object_del(j, "unit");
	defaults_add(j);
	vf_ids_renew(d, vm, j);
	faults_add(d, vm, j);
	backends_add(d, vm, j);
	disks_show_add(d, vm, j);
	json_object_set_new(j, "uptime_s", uptime_json(vm));
	return j;
}

/* State locked. */
static struct vmm_peer peer_of(const struct vm *vm)
{
	return (struct vmm_peer){ .name = vm->name,
				  .uid = vm->uid,
				  .pid = vm->state == VM_STARTING ? 0 : vm->pid };
}

/* Of each port and function: where its vectors go. */
static void irqs_add(const struct daemon *d, json_t *vm, const struct irq_want *want,
		     const char *interrupts)
{
	static const struct {
		const char *list, *key;
	} rows[] = { { "ports", "vf" }, { "functions", "address" } };
	json_t *one;
	size_t k;

	for (size_t i = 0; interrupts != NULL && i < ARRAY_SIZE(rows); i++)
		json_array_foreach(json_object_get(vm, rows[i].list), k, one) {
			const char *fn = json_string_value(json_object_get(one, rows[i].key));

			if (fn != NULL)
				json_object_set_new(one, "irqs",
						    irq_lines_json(d->opt->proc_dir, want,
								   interrupts, fn));
		}
}

/* Of each port and function that it has now: how well it is isolated. */
static void postures_add(struct daemon *d, json_t *vm)
{
	static const struct {
		const char *list, *key;
	} rows[] = { { "ports", "vf" }, { "functions", "address" } };
	struct posture_host *host = posture_host_read(d);
	struct pci_addr addr;
	json_t *one;
	size_t k;

	state_lock(d);
	for (size_t i = 0; host != NULL && i < ARRAY_SIZE(rows); i++)
		json_array_foreach(json_object_get(vm, rows[i].list), k, one) {
			const char *name = json_string_value(json_object_get(one, rows[i].key));
			const struct pci_fn *fn = NULL;

			if (name != NULL && parse_pci_addr(name, &addr) == 0)
				fn = inventory_find(d->inv, &addr);
			json_object_set_new(one, "posture",
					    fn != NULL ? posture_short(host, fn) : json_null());
		}
	state_unlock(d);
	posture_host_free(host);
}

int vm_show(struct daemon *d, const char *name, json_t **out, struct err *e)
{
	auto_free char *interrupts = NULL;
	auto_json json_t *status = NULL;
	struct vmm_peer peer = { 0 };
	struct irq_want want;
	cpu_set_t dedicated;
	struct vm *vm;
	json_t *j = NULL;
	int r;

	state_lock(d);
	r = vm_get(d, name, &vm, e);
	if (r == 0) {
		j = vm_json(d, vm);
		json_object_set_new(j, "ends", def_ends_json(d, name, DEF_ENDS_SHOWN));
		peer = peer_of(vm);
		peer.name = name;
		vm_place_dedicated(d, &dedicated);
		irq_want_of(d, vm, &dedicated, &want);
	}
	state_unlock(d);
	if (r < 0)
		return r;
	/* Without any lock: a VMM that does not answer delays nobody else. */
	if (peer.pid != 0)
		r = vmm_call(d, &peer, "status", &status, NULL);
	json_object_set_new(j, "answers", peer.pid != 0 ? json_boolean(r == 0) : json_null());
	if (json_array_size(json_object_get(j, "ports")) +
		    json_array_size(json_object_get(j, "functions")) !=
	    0)
		interrupts = interrupts_read(d->opt->proc_dir);
	live_add(j, status, interrupts);
	irqs_add(d, j, &want, peer.pid != 0 ? interrupts : NULL);
	if (peer.pid != 0 && interrupts != NULL)
		postures_add(d, j);
	*out = j;
	return 0;
}

/* What a list is made of; the names in peers are those in vms. */
struct listing {
	struct vmm_peer *peers;
	json_t **status;
	json_t *vms;
	size_t count;
};

static int listing_begin(struct daemon *d, struct listing *l)
{
	l->vms = json_array();
	l->peers = calloc(DAEMON_VMS, sizeof(l->peers[0]));
	l->status = calloc(DAEMON_VMS, sizeof(l->status[0]));
	if (l->vms == NULL || l->peers == NULL || l->status == NULL)
		return -ENOMEM;
	state_lock(d);
	for (l->count = 0; l->count < d->vm_count; l->count++) {
		const struct vm *vm = d->vms[l->count];
		json_t *j = vm_json(d, vm);

		json_array_append_new(l->vms, j);
		l->peers[l->count] = peer_of(vm);
		l->peers[l->count].name = json_string_value(json_object_get(j, "name"));
	}
	state_unlock(d);
	return 0;
}

int vm_list(struct daemon *d, json_t **out, struct err *e)
{
	struct listing l = { 0 };
	char *interrupts = NULL;
	int r = listing_begin(d, &l);

	if (r == 0) {
		vmm_status_all(d, l.peers, l.count, l.status);
		interrupts = interrupts_read(d->opt->proc_dir);
	}
	for (size_t i = 0; i < l.count; i++) {
		json_t *j = json_array_get(l.vms, i);

		json_object_set_new(j, "answers",
				    l.peers[i].pid != 0 ? json_boolean(l.status[i] != NULL)
							: json_null());
		live_add(j, l.status[i], interrupts);
		json_decref(l.status[i]);
	}
	free(interrupts);
	free(l.peers);
	free(l.status);
	if (r < 0) {
		json_decref(l.vms);
		return err_set(e, r, "no memory");
	}
	*out = l.vms;
	return 0;
}
