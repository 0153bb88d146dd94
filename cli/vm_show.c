// SPDX-License-Identifier: BSD-3-Clause
/* How a VM looks to people: as a row, as a block, as the result of what was done to it. */
#include "cli/cli.h"
#include "cli/view.h"
#include "cli/vm_virtio.h"

#include <errno.h>

/* "wan=0000:01:10.0 lan=LOST"; `key` is the member with the address. */
static void text_devices(const json_t *list, const char *key, char *buf, size_t cap)
{
	char name[64], address[64], clean[TEXT_CELL];
	const json_t *one;
	size_t i, n = 0;

	clean[0] = '\0';
	json_array_foreach((json_t *)list, i, one) {
		text_value(text_member(one, "name"), name, sizeof(name));
		text_value(text_member(one, key), address, sizeof(address));
		if (json_is_object(text_member(one, "lost")))
			snprintf(address, sizeof(address), "LOST");
		n += (size_t)snprintf(clean + n, sizeof(clean) - n, "%s%s=%s", i > 0 ? " " : "",
				      name, address);
		if (n >= sizeof(clean))
			break;
	}
	text_clean(buf, cap, clean[0] != '\0' ? clean : "-");
}

static void text_ports(const json_t *ports, char *buf, size_t cap)
{
	text_devices(ports, "vf", buf, cap);
}

/* Of a port: its VF's address, or the one that it had. */
static void text_port_vf(const json_t *port, char *buf, size_t cap)
{
	const json_t *lost = text_member(port, "lost");
	char address[64];

	text_value(text_member(json_is_object(lost) ? lost : port, "vf"), address, sizeof(address));
	snprintf(buf, cap, json_is_object(lost) ? "LOST (%s)" : "%s", address);
}

static void text_functions(const json_t *functions, char *buf, size_t cap)
{
	text_devices(functions, "address", buf, cap);
}

/* "ram 0.12 s, pin 0.40 s". */
static void text_steps(const json_t *steps, char *buf, size_t cap)
{
	char name[64], clean[TEXT_CELL];
	const json_t *step;
	size_t i, n = 0;

	clean[0] = '\0';
	json_array_foreach((json_t *)steps, i, step) {
		const json_t *ns = text_member(step, "ns");

		text_value(text_member(step, "step"), name, sizeof(name));
		n += (size_t)snprintf(clean + n, sizeof(clean) - n, "%s%s %.1f ms",
				      i > 0 ? ", " : "", name,
				      (double)json_integer_value(ns) / 1e6);
		if (n >= sizeof(clean))
			break;
	}
	text_clean(buf, cap, clean[0] != '\0' ? clean : "-");
}

/* "2, 3 (dedicated)". */
static void text_host_cpus(const json_t *cpus, char *buf, size_t cap)
{
	bool is_dedicated = json_is_true(text_member(cpus, "dedicated"));
	char pin[TEXT_CELL];

	if (json_array_size(text_member(cpus, "pin")) == 0) {
		text_clean(buf, cap, json_is_object(cpus) ? "any" : "-");
		return;
	}
	text_value(text_member(cpus, "pin"), pin, sizeof(pin));
	snprintf(buf, cap, "%s%s", pin, is_dedicated ? " (dedicated)" : "");
}

/* "80 tasks, CPU weight 200, host CPUs 0-3": what the kernel holds the whole process to. */
static void text_limits(const json_t *limits, char *buf, size_t cap)
{
	static const struct {
		const char *key, *before, *after;
	} rows[] = { { "tasks", "", " tasks" },
		     { "cpu_weight", "CPU weight ", "" },
		     { "cpus", "host CPUs ", "" } };
	char value[64], clean[256] = "";
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows) && n < sizeof(clean); i++) {
		const json_t *limit = text_member(limits, rows[i].key);

		if (limit == NULL || json_is_null(limit))
			continue;
		text_value(limit, value, sizeof(value));
		n += (size_t)snprintf(clean + n, sizeof(clean) - n, "%s%s%s%s", n > 0 ? ", " : "",
				      rows[i].before, value, rows[i].after);
	}
	text_clean(buf, cap, clean[0] != '\0' ? clean : "-");
}

/* "/usr/share/OVMF/OVMF_CODE_4M.fd, variables in PATH (failed: No space left on device)". */
static void text_firmware(const json_t *firmware, char *buf, size_t cap)
{
	char code[256], vars[256], state[32], error[160], clean[800];

	if (!json_is_object(firmware)) {
		snprintf(buf, cap, "-");
		return;
	}
	text_value(text_member(firmware, "code"), code, sizeof(code));
	text_value(text_member(firmware, "vars"), vars, sizeof(vars));
	text_value(text_member(firmware, "state"), state, sizeof(state));
	text_value(text_member(firmware, "error"), error, sizeof(error));
	snprintf(clean, sizeof(clean), "%s, variables in %s (%s%s%s)", code, vars, state,
		 strcmp(error, "-") != 0 ? ": " : "", strcmp(error, "-") != 0 ? error : "");
	text_clean(buf, cap, clean);
}

/* "512 MiB on node 1 (strict: node 1)": as the kernel has it now, else as it was at the start. */
static void text_numa(const json_t *numa, char *buf, size_t cap)
{
	const json_t *now = text_member(numa, "now.nodes"), *row, *node = text_member(numa, "node");
	const json_t *nodes = json_is_array(now) ? now : text_member(numa, "nodes");
	char bytes[64], nr[64], policy[64], clean[TEXT_CELL] = "";
	size_t i, n = 0;

	json_array_foreach((json_t *)nodes, i, row) {
		text_bytes(text_member(row, "bytes"), bytes, sizeof(bytes));
		text_value(text_member(row, "node"), nr, sizeof(nr));
		n += (size_t)snprintf(clean + n, sizeof(clean) - n, "%s%s on node %s",
				      i > 0 ? ", " : "", bytes, nr);
		if (n >= sizeof(clean))
			break;
	}
	if (n < sizeof(clean) && json_is_integer(node)) {
		text_value(text_member(numa, "policy"), policy, sizeof(policy));
		text_value(node, nr, sizeof(nr));
		n += (size_t)snprintf(clean + n, sizeof(clean) - n, "%s(%s: node %s)",
				      n > 0 ? " " : "", policy, nr);
	}
	if (n < sizeof(clean) && json_is_true(text_member(numa, "now.drift")))
		snprintf(clean + n, sizeof(clean) - n, " NUMA DRIFT");
	text_clean(buf, cap, clean[0] != '\0' ? clean : "-");
}

static uint64_t number_of(const json_t *obj, const char *path)
{
	json_int_t n = json_integer_value(text_member(obj, path));

	return n > 0 ? (uint64_t)n : 0;
}

/* Its kernel panicked, and nothing has reset it since. */
static bool vm_lies_panicked(const json_t *vm)
{
	return json_is_integer(json_object_get(vm, "pid")) &&
	       number_of(vm, "life.panicked_at") > number_of(vm, "life.reset_at");
}

/* Of the whole VM: "running", "running, panicked", "running, no answer". */
static void text_state(const json_t *vm, char *buf, size_t cap)
{
	char state[64], text[128];

	text_value(text_member(vm, "state"), state, sizeof(state));
	snprintf(text, sizeof(text), "%s%s%s%s", state,
		 json_is_object(json_object_get(vm, "unsafe_interrupts")) ? ", UNSAFE INTERRUPTS"
									  : "",
		 vm_lies_panicked(vm) ? ", panicked" : "",
		 json_is_false(json_object_get(vm, "answers")) ? ", no answer" : "");
	text_clean(buf, cap, text);
}

/* What the causes of a reset mean; a daemon may know more of them. */
static const char *cause_text(const char *cause)
{
	static const struct {
		const char *cause, *text;
	} rows[] = {
		{ "port-cf9", "port 0xCF9" },	 { "port-64", "port 0x64" },
		{ "port-92", "port 0x92" },	 { "triple-fault", "triple fault" },
		{ "kvm", "KVM's system event" }, { "watchdog", "watchdog" },
		{ "panic", "kernel panic" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].cause, cause) == 0)
			return rows[i].text;
	return cause;
}

/* "3, last at 2026-11-24 03:00:17"; buf is "-" if there was none. */
static void text_count(const json_t *life, const char *count, const char *at, char *buf, size_t cap)
{
	char when[64];
	uint64_t n = number_of(life, count);

	text_time(text_member(life, at), when, sizeof(when));
	if (n == 0)
		snprintf(buf, cap, "-");
	else
		snprintf(buf, cap, "%llu, last at %s", (unsigned long long)n, when);
}

/* "3 (2 port 0xCF9, 1 triple fault), last at ..." */
static void text_resets(const json_t *life, char *buf, size_t cap)
{
	char causes[256] = "", when[64], text[TEXT_CELL];
	unsigned long long sum = 0;
	const json_t *count;
	const char *cause;
	size_t n = 0;

	json_object_foreach(json_object_get(life, "resets"), cause, count) {
		unsigned long long times = (unsigned long long)json_integer_value(count);

		sum += times;
		if (n < sizeof(causes))
			n += (size_t)snprintf(causes + n, sizeof(causes) - n, "%s%llu %.40s",
					      n > 0 ? ", " : "", times, cause_text(cause));
	}
	text_time(text_member(life, "reset_at"), when, sizeof(when));
	if (sum == 0)
		snprintf(text, sizeof(text), "-");
	else
		snprintf(text, sizeof(text), "%llu (%s), last at %s", sum, causes, when);
	text_clean(buf, cap, text);
}

static void text_panics(const json_t *life, char *buf, size_t cap)
{
	text_count(life, "panics", "panicked_at", buf, cap);
}

static void text_watchdogs(const json_t *life, char *buf, size_t cap)
{
	text_count(life, "watchdogs", "watchdog_at", buf, cap);
}

static void text_kind(const json_t *defined, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s", json_is_object(defined) ? "defined" : "transient");
}

static const struct field vm_columns[] = {
	{ "NAME", "name", text_value, true },	{ "STATE", "", text_state },
	{ "VCPUS", "vcpus", text_value },	{ "MEMORY", "memory", text_bytes },
	{ "UPTIME", "uptime_s", text_seconds }, { "PORTS", "ports", text_ports, true },
	{ "PID", "pid", text_value },		{ "OWNER", "owner.name", text_value },
	{ "KIND", "defined", text_kind },	{ "FUNCTIONS", "functions", text_functions, true },
};

#define FUNCTION_COLUMNS 1 /* the last ones, where a VM has any */

static const struct field vm_fields[] = {
	{ "VM", "name", text_value },
	{ "state", "", text_state },
	{ "kind", "defined", text_kind },
	{ "pid", "pid", text_value },
	{ "systemd unit", "unit", text_value },
	{ "vCPUs", "vcpus", text_value },
	{ "host CPUs", "cpus", text_host_cpus },
	{ "core scheduling", "core_scheduling", text_value },
	{ "limits", "limits", text_limits },
	{ "memory", "memory", text_bytes },
	{ "in pages of", "page_size", text_bytes },
	{ "memory lies", "numa", text_numa },
	{ "firmware", "firmware", text_firmware },
	{ "virtio", "virtio", text_virtio },
	{ "owner", "owner.name", text_value },
	{ "DMA remapping", "dma_remapping", text_value },
	{ "DMA through", "dma", text_value },
	{ "last audit", "audit.verdict", text_value },
	{ "interrupt remapping", "interrupt_remapping", text_value },
	{ "started at", "started_at", text_time },
	{ "uptime", "uptime_s", text_seconds },
	{ "start took", "start_seconds", text_seconds },
	{ "start steps", "start_steps", text_steps },
	{ "console", "console", text_value },
	{ "log", "log", text_value },
};

/* Of a VM to which something has happened; what has not is left out. */
static const struct field event_fields[] = {
	{ "guest resets", "life", text_resets },	{ "kernel panics", "life", text_panics },
	{ "watchdog expired", "life", text_watchdogs }, { "ended", "exit.reason", text_value },
	{ "because", "exit.text", text_value },		{ "ended at", "exit.wall_time", text_time },
	{ "ran for", "exit.uptime_s", text_seconds },	{ "what now", "exit.hint", text_value },
};

static const struct field port_columns[] = {
	{ "PORT", "name", text_value, true },
	{ "ENGINE", "engine", text_value },
	{ "VF", "", text_port_vf },
	{ "ID", "vf_id", text_value, true },
	{ "PF", "pf", text_value },
	{ "GROUP", "iommu_group", text_value },
	{ "MAC", "mac", text_value },
	{ "VLAN", "vlan", text_value },
	{ "DMA ON", "bus_mastering", text_value },
	{ "VECTORS", "vectors", text_value },
	{ "INTERRUPTS", "interrupts", text_value },
};

static const struct field function_columns[] = {
	{ "FUNCTION", "name", text_value, true },
	{ "ADDRESS", "address", text_value },
	{ "KIND", "kind", text_value },
	{ "ON THE HOST", "host_name", text_value, true },
	{ "HOST'S DRIVER", "host_driver", text_value },
	{ "GROUP", "iommu_group", text_value },
	{ "DMA ON", "bus_mastering", text_value },
	{ "VECTORS", "vectors", text_value },
	{ "INTERRUPTS", "interrupts", text_value },
};

void vm_unsafe_print(FILE *out, const json_t *vm)
{
	const json_t *unsafe = json_object_get(vm, "unsafe_interrupts");
	char reason[TEXT_CELL], uid[TEXT_CELL], at[64];

	if (!json_is_object(unsafe))
		return;
	text_value(text_member(unsafe, "reason"), reason, sizeof(reason));
	text_value(text_member(unsafe, "uid"), uid, sizeof(uid));
	text_time(text_member(unsafe, "at"), at, sizeof(at));
	fprintf(out, "UNSAFE INTERRUPTS, allowed by uid %s at %s: %s\n", uid, at, reason);
}

/* "wan: isolated by dmar0 (without posted-interrupts, snoop-control)". */
static void print_posture(FILE *out, const json_t *device)
{
	const json_t *posture = json_object_get(device, "posture");
	char name[TEXT_CELL], verdict[TEXT_CELL], unit[TEXT_CELL], code[TEXT_CELL];
	char warnings[TEXT_CELL];

	if (!json_is_object(posture))
		return;
	text_value(text_member(device, "name"), name, sizeof(name));
	text_value(text_member(posture, "verdict"), verdict, sizeof(verdict));
	text_value(text_member(posture, "unit"), unit, sizeof(unit));
	text_value(text_member(posture, "code"), code, sizeof(code));
	text_value(text_member(posture, "warnings"), warnings, sizeof(warnings));
	fprintf(out, "%s: %s by %s", name, verdict, unit);
	if (strcmp(code, "-") != 0)
		fprintf(out, ": viaduct explain %s", code);
	if (strcmp(warnings, "-") != 0)
		fprintf(out, " (less than there could be: %s)", warnings);
	fputc('\n', out);
}

int render_vm_list(FILE *out, const json_t *reply, struct err *e)
{
	size_t columns = ARRAY_SIZE(vm_columns) - FUNCTION_COLUMNS, i;
	json_t *rows, *vm;
	int r = render_rows(reply, "vms", &rows, e);

	if (r < 0)
		return r;
	if (json_array_size(rows) == 0) {
		fprintf(out, "No VMs. To start one: viaduct vm run FILE\n");
		return 0;
	}
	json_array_foreach(rows, i, vm)
		if (json_array_size(json_object_get(vm, "functions")) > 0)
			columns = ARRAY_SIZE(vm_columns);
	return view_table(out, vm_columns, columns, rows, e);
}

/* What costs exits that no driver expects: a page that holds registers and the interrupt table. */
static void print_traps(FILE *out, const json_t *device)
{
	const json_t *traps = json_object_get(device, "traps");
	char name[TEXT_CELL];
	const json_t *trap;
	size_t i;

	text_value(text_member(device, "name"), name, sizeof(name));
	json_array_foreach((json_t *)traps, i, trap) {
		unsigned long long from, size, count;

		from = (unsigned long long)json_integer_value(json_object_get(trap, "offset"));
		size = (unsigned long long)json_integer_value(json_object_get(trap, "size"));
		count = (unsigned long long)json_integer_value(json_object_get(trap, "accesses"));
		if (count == 0)
			continue;
		fprintf(out,
			"%s: registers of BAR %lld from 0x%llx to 0x%llx %s: %llu accesses trapped\n",
			name, (long long)json_integer_value(json_object_get(trap, "bar")), from,
			from + size - 1,
			json_is_true(json_object_get(trap, "table"))
				? "share pages with its interrupt table"
				: "cannot be mapped",
			count);
	}
}

/* "wan: vector 0 on host CPU 3 (asked 3), 1 on 4 (asked 4)". */
static void print_irqs(FILE *out, const json_t *device)
{
	const json_t *irqs = json_object_get(device, "irqs"), *irq;
	char name[TEXT_CELL], vector[64], asked[TEXT_CELL], is[TEXT_CELL];
	size_t i;

	if (json_array_size(irqs) == 0)
		return;
	text_value(text_member(device, "name"), name, sizeof(name));
	fprintf(out, "%s: ", name);
	json_array_foreach((json_t *)irqs, i, irq) {
		const json_t *effective = text_member(irq, "effective");

		text_value(text_member(irq, "vector"), vector, sizeof(vector));
		text_value(text_member(irq, "asked"), asked, sizeof(asked));
		text_value(json_is_string(effective) ? effective : text_member(irq, "allowed"), is,
			   sizeof(is));
		fprintf(out, i == 0 ? "vector %s on host CPU %s" : ", %s on %s", vector, is);
		if (strcmp(asked, "-") != 0)
			fprintf(out, " (asked %s)", asked);
	}
	fputc('\n', out);
}

/* "wan: >= 12 faults, the last: dma-read 0x123456000". */
static void print_faults(FILE *out, const json_t *device)
{
	const json_t *faults = json_object_get(device, "faults");
	char name[TEXT_CELL], kind[64], address[64];

	if (!json_is_object(faults))
		return;
	text_value(text_member(device, "name"), name, sizeof(name));
	text_value(text_member(faults, "last.kind"), kind, sizeof(kind));
	text_value(text_member(faults, "last.address"), address, sizeof(address));
	fprintf(out, "%s: %s%llu faults, the last: %s %s; viaduct iommu faults   says more\n", name,
		json_is_true(json_object_get(faults, "at_least")) ? ">= " : "",
		(unsigned long long)number_of(faults, "count"), kind, address);
}

/* "wan: in quarantine (on) since ..., by on_fault: DMA read from ...". */
static void print_quarantine(FILE *out, const json_t *device)
{
	static const char *const members[] = { "name", "quarantine.why", "quarantine.by",
					       "quarantine.state" };
	enum { NAME, WHY, BY, STATE, MEMBERS };
	char cell[MEMBERS][TEXT_CELL], when[TEXT_CELL];

	if (!json_is_object(json_object_get(device, "quarantine")))
		return;
	for (size_t i = 0; i < MEMBERS; i++)
		text_value(text_member(device, members[i]), cell[i], sizeof(cell[i]));
	text_time(text_member(device, "quarantine.at"), when, sizeof(when));
	fprintf(out, "%s: in quarantine (%s) since %s, by %s: %s\n", cell[NAME], cell[STATE], when,
		cell[BY], cell[WHY]);
}

/* "wan: its link is kept: the driver igb has no link state of a VF": of a port that is, or was, in quarantine. */
static void print_link(FILE *out, const json_t *device)
{
	const json_t *link = json_object_get(device, "link");
	char name[TEXT_CELL], state[64], why[TEXT_CELL];
	bool has_why = json_is_string(json_object_get(link, "why"));

	if (!json_is_object(link))
		return;
	text_value(text_member(device, "name"), name, sizeof(name));
	text_value(text_member(link, "state"), state, sizeof(state));
	text_value(text_member(link, "why"), why, sizeof(why));
	fprintf(out, "%s: its link is %s%s%s\n", name, state, has_why ? ": " : "",
		has_why ? why : "");
}

static int print_devices(FILE *out, const json_t *vm, struct err *e)
{
	const struct {
		const char *key;
		const struct field *columns;
		size_t count;
	} tables[] = { { "ports", port_columns, ARRAY_SIZE(port_columns) },
		       { "functions", function_columns, ARRAY_SIZE(function_columns) } };
	const json_t *device;
	size_t k;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(tables); i++) {
		const json_t *rows = json_object_get(vm, tables[i].key);

		if (json_array_size(rows) == 0)
			continue;
		fputc('\n', out);
		r = view_table(out, tables[i].columns, tables[i].count, rows, e);
		json_array_foreach((json_t *)rows, k, device) {
			port_polled_print(out, device);
			print_posture(out, device);
			print_irqs(out, device);
			print_traps(out, device);
			print_faults(out, device);
			print_quarantine(out, device);
			print_link(out, device);
		}
	}
	return r;
}

/* The block, with those of its events that there were. */
static void vm_block(FILE *out, const json_t *vm)
{
	struct field fields[ARRAY_SIZE(vm_fields) + ARRAY_SIZE(event_fields)];
	size_t n = ARRAY_SIZE(vm_fields);
	char cell[TEXT_CELL];

	memcpy(fields, vm_fields, sizeof(vm_fields));
	for (size_t i = 0; i < ARRAY_SIZE(event_fields); i++) {
		event_fields[i].format(text_member(vm, event_fields[i].path), cell, sizeof(cell));
		if (strcmp(cell, "-") != 0)
			fields[n++] = event_fields[i];
	}
	view_block(out, fields, n, vm);
}

int render_vm(FILE *out, const json_t *reply, struct err *e)
{
	char name[TEXT_CELL];

	vm_block(out, reply);
	vm_disks_print(out, reply);
	vm_defined_print(out, reply);
	vm_unsafe_print(out, reply);
	text_value(text_member(reply, "name"), name, sizeof(name));
	if (vm_lies_panicked(reply))
		fprintf(out,
			"\nThe guest's kernel has panicked and nothing has reset it since.\n"
			"  viaduct vm console %s --log   ends with its last words\n"
			"  viaduct vm kill %s   ends it\n",
			name, name);
	if (json_is_false(json_object_get(reply, "answers")))
		fprintf(out, "\nIts viaduct-vmm does not answer: viaduct vm kill %s\n", name);
	return print_devices(out, reply, e);
}

int render_vm_state(FILE *out, const json_t *reply, struct err *e)
{
	char name[TEXT_CELL], state[TEXT_CELL], why[TEXT_CELL], hint[TEXT_CELL];
	size_t functions;
	bool is_paused;

	text_value(text_member(reply, "name"), name, sizeof(name));
	text_value(text_member(reply, "state"), state, sizeof(state));
	text_value(text_member(reply, "exit.text"), why, sizeof(why));
	text_value(text_member(reply, "exit.hint"), hint, sizeof(hint));
	is_paused = strcmp(state, "paused") == 0;
	fprintf(out, "VM %s is %s%s%s\n", name, state, strcmp(why, "-") != 0 ? ": " : "",
		strcmp(why, "-") != 0 ? why : "");
	if (strcmp(hint, "-") != 0)
		fprintf(out, "  %s\n", hint);
	vm_unsafe_print(out, reply);
	functions = json_array_size(json_object_get(reply, "functions"));
	if (is_paused && json_array_size(json_object_get(reply, "ports")) + functions > 0)
		fprintf(out, "Its vCPUs stand still; its %s still do DMA into its memory.\n",
			functions > 0 ? "devices" : "VFs");
	return 0;
}
