// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/numawatch.h"

#include "vf-manager/vm.h"

#include "base/fd.h"
#include "vmm/vmm_msg.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAPS_BYTES (8U << 20) /* some hundred bytes for each of 65530 mappings at most */
#define COST_PARTS 100U
#define FAR_PARTS  100U /* of preferred memory, what may lie elsewhere */

/* A VM whose time has come, copied out of the lock. */
struct due {
	char name[64];
	pid_t pid;
	uint64_t start_ticks;
};

/* State locked. Its memory is all there from the moment it runs. */
static bool is_due(const struct vm *vm, uint64_t now)
{
	return vm->pid != 0 && (vm->state == VM_RUNNING || vm->state == VM_PAUSED) &&
	       vm->numa.next_ns <= now;
}

static bool due_next(struct daemon *d, uint64_t now, struct due *out)
{
	bool is_any = false;

	state_lock(d);
	for (size_t i = 0; !is_any && i < d->vm_count; i++) {
		struct vm *vm = d->vms[i];

		if (!is_due(vm, now))
			continue;
		is_any = true;
		/* Whatever comes of it. */
		vm->numa.next_ns = now_ns() + NUMA_LOOK_NS;
		*out = (struct due){ .pid = vm->pid, .start_ticks = vm->start_ticks };
		snprintf(out->name, sizeof(out->name), "%s", vm->name);
	}
	state_unlock(d);
	return is_any;
}

/* State locked. */
static void seen_put(struct vm *vm, const struct numa_shares *shares, bool is_known,
		     uint64_t took_ns)
{
	const uint64_t pause = u64_max(NUMA_LOOK_NS, took_ns * COST_PARTS);

	vm->numa.is_known = is_known;
	vm->numa.shares = *shares;
	vm->numa.at = time(NULL);
	vm->numa.next_ns = now_ns() + pause;
}

static void vm_look(struct daemon *d, const struct due *due, char *text)
{
	struct numa_shares shares = { 0 };
	const uint64_t began = now_ns();
	char path[PATH_MAX];
	uint64_t ticks;
	bool is_known;
	struct vm *vm;

	snprintf(path, sizeof(path), "%s/%d/numa_maps", d->opt->proc_dir, (int)due->pid);
	is_known = file_read_at(AT_FDCWD, path, text, MAPS_BYTES) > 0 &&
		   numa_maps_parse(text, VMM_RAM_NAME, &shares);
	/* Read of this process, if it is there still. */
	if (process_start_ticks(due->pid, &ticks) < 0 || ticks != due->start_ticks)
		return;
	state_lock(d);
	vm = vm_find(d, due->name);
	if (vm != NULL && vm->pid == due->pid && vm->start_ticks == due->start_ticks)
		seen_put(vm, &shares, is_known, now_ns() - began);
	state_unlock(d);
}

void numa_watch_look(struct daemon *d)
{
	auto_free char *text = NULL;
	const uint64_t now = now_ns();
	struct due due;

	/* Each look moves the time of its VM, so this ends. */
	while (!daemon_is_ending(d) && due_next(d, now, &due)) {
		if (text == NULL)
			text = malloc(MAPS_BYTES);
		if (text == NULL)
			return;
		vm_look(d, &due, text);
	}
}

uint64_t numa_far_bytes(const struct vm *vm)
{
	const json_t *numa = json_object_get(vm->facts, "numa");
	const json_t *node = json_object_get(numa, "node");
	const char *policy = json_string_value(json_object_get(numa, "policy"));
	const struct numa_shares *s = &vm->numa.shares;
	uint64_t far;

	if (!vm->numa.is_known || vm->pid == 0 || !json_is_integer(node) ||
	    json_integer_value(node) < 0 || json_integer_value(node) > VMM_MAX_NODE)
		return 0;
	far = s->total - numa_share_of(s, (unsigned int)json_integer_value(node));
	if (policy != NULL && strcmp(policy, "strict") == 0)
		return far;
	return far > s->total / FAR_PARTS ? far : 0;
}

json_t *numa_now_json(const struct vm *vm)
{
	json_t *nodes;

	if (!vm->numa.is_known || vm->pid == 0)
		return json_null();
	nodes = json_array();
	for (unsigned int i = 0; i < vm->numa.shares.count; i++)
		json_array_append_new(nodes,
				      json_pack("{s:I, s:I}", "node",
						(json_int_t)vm->numa.shares.items[i].node, "bytes",
						(json_int_t)vm->numa.shares.items[i].bytes));
	return json_pack("{s:I, s:o, s:b}", "at", (json_int_t)vm->numa.at, "nodes", nodes, "drift",
			 (int)(numa_far_bytes(vm) != 0));
}
