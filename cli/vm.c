// SPDX-License-Identifier: BSD-3-Clause
/* vm list, show, stop, kill, pause, resume, and how a VM looks. vm check and run: vm_file.c. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/view.h"

#include "base/json.h"

#include <errno.h>

#define STOP_DEFAULT_S 30
#define STOP_MAX_S     86400
#define STOP_MARGIN_S  60 /* the kill at the deadline, and the release of the VFs */

/* "wan=0000:01:10.0 lan=0000:01:10.2"; `key` is the member with the address. */
static void text_devices(const json_t *list, const char *key, char *buf, size_t cap)
{
	char name[64], address[64], clean[TEXT_CELL];
	const json_t *one;
	size_t i, n = 0;

	clean[0] = '\0';
	json_array_foreach((json_t *)list, i, one) {
		text_value(text_member(one, "name"), name, sizeof(name));
		text_value(text_member(one, key), address, sizeof(address));
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

/* "512 MiB on node 1 (strict: 1)". */
static void text_numa(const json_t *numa, char *buf, size_t cap)
{
	const json_t *nodes = text_member(numa, "nodes"), *row, *node = text_member(numa, "node");
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
		snprintf(clean + n, sizeof(clean) - n, "%s(%s: node %s)", n > 0 ? " " : "", policy,
			 nr);
	}
	text_clean(buf, cap, clean[0] != '\0' ? clean : "-");
}

static const struct field vm_columns[] = {
	{ "NAME", "name", text_value, true },	{ "STATE", "state", text_value },
	{ "VCPUS", "vcpus", text_value },	{ "MEMORY", "memory", text_bytes },
	{ "UPTIME", "uptime_s", text_seconds }, { "PORTS", "ports", text_ports, true },
	{ "PID", "pid", text_value },		{ "FUNCTIONS", "functions", text_functions, true },
};

#define FUNCTION_COLUMNS 1 /* the last ones, where a VM has any */

static const struct field vm_fields[] = {
	{ "VM", "name", text_value },
	{ "state", "state", text_value },
	{ "pid", "pid", text_value },
	{ "vCPUs", "vcpus", text_value },
	{ "host CPUs", "cpus", text_host_cpus },
	{ "memory", "memory", text_bytes },
	{ "in pages of", "page_size", text_bytes },
	{ "memory lies", "numa", text_numa },
	{ "DMA remapping", "dma_remapping", text_value },
	{ "interrupt remapping", "interrupt_remapping", text_value },
	{ "started at", "started_at", text_time },
	{ "uptime", "uptime_s", text_seconds },
	{ "start took", "start_seconds", text_seconds },
	{ "start steps", "start_steps", text_steps },
	{ "console", "console", text_value },
	{ "log", "log", text_value },
	{ "ended", "exit.reason", text_value },
	{ "because", "exit.text", text_value },
	{ "ended at", "exit.wall_time", text_time },
};

#define EXIT_FIELDS 3 /* the last ones, of a VM that has ended */

static const struct field port_columns[] = {
	{ "PORT", "name", text_value, true },
	{ "ENGINE", "engine", text_value },
	{ "VF", "vf", text_value },
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
		json_array_foreach((json_t *)rows, k, device)
			print_traps(out, device);
	}
	return r;
}

int render_vm(FILE *out, const json_t *reply, struct err *e)
{
	bool has_ended = json_is_object(json_object_get(reply, "exit"));

	view_block(out, vm_fields, ARRAY_SIZE(vm_fields) - (has_ended ? 0 : EXIT_FIELDS), reply);
	return print_devices(out, reply, e);
}

int render_vm_state(FILE *out, const json_t *reply, struct err *e)
{
	char name[TEXT_CELL], state[TEXT_CELL], why[TEXT_CELL];
	size_t functions;
	bool is_paused;

	text_value(text_member(reply, "name"), name, sizeof(name));
	text_value(text_member(reply, "state"), state, sizeof(state));
	text_value(text_member(reply, "exit.text"), why, sizeof(why));
	is_paused = strcmp(state, "paused") == 0;
	fprintf(out, "VM %s is %s%s%s\n", name, state, strcmp(why, "-") != 0 ? ": " : "",
		strcmp(why, "-") != 0 ? why : "");
	functions = json_array_size(json_object_get(reply, "functions"));
	if (is_paused && json_array_size(json_object_get(reply, "ports")) + functions > 0)
		fprintf(out, "Its vCPUs stand still; its %s still do DMA into its memory.\n",
			functions > 0 ? "devices" : "VFs");
	return 0;
}

int vm_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET", .collection = "/v1/vms" };

	return cli_call_show(cli, &rq, render_vm_list, e);
}

int vm_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET", .collection = "/v1/vms", .item = a->words[0] };

	return cli_call_show(cli, &rq, render_vm, e);
}

static int vm_act(struct cli *cli, const struct args *a, const char *action, struct err *e)
{
	char progress[128], name[64];
	const struct request rq = { .method = "POST",
				    .collection = "/v1/vms",
				    .item = a->words[0],
				    .action = action,
				    .progress = progress };

	text_clean(name, sizeof(name), a->words[0]);
	snprintf(progress, sizeof(progress), "%s VM %s", action, name);
	return cli_call_show(cli, &rq, render_vm_state, e);
}

int vm_kill(struct cli *cli, const struct args *a, struct err *e)
{
	return vm_act(cli, a, "kill", e);
}

int vm_pause(struct cli *cli, const struct args *a, struct err *e)
{
	return vm_act(cli, a, "pause", e);
}

int vm_resume(struct cli *cli, const struct args *a, struct err *e)
{
	return vm_act(cli, a, "resume", e);
}

int vm_stop(struct cli *cli, const struct args *a, struct err *e)
{
	uint64_t timeout_s = STOP_DEFAULT_S;
	auto_json json_t *body = NULL;
	char progress[128], name[64];
	struct request rq = { .method = "POST",
			      .collection = "/v1/vms",
			      .item = a->words[0],
			      .action = "stop",
			      .progress = progress };

	if (a->value[OPT_TIMEOUT] != NULL) {
		int r = arg_number(a, OPT_TIMEOUT, STOP_MAX_S, &timeout_s, e);

		if (r < 0)
			return r;
		body = json_pack("{s:I}", "timeout_s", (json_int_t)timeout_s);
		rq.body = body;
	}
	text_clean(name, sizeof(name), a->words[0]);
	snprintf(progress, sizeof(progress), "waiting for VM %s to power off, at most %llu s", name,
		 (unsigned long long)timeout_s);
	rq.timeout_s = (unsigned int)timeout_s + STOP_MARGIN_S;
	return cli_call_show(cli, &rq, render_vm_state, e);
}
