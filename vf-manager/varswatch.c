// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/varswatch.h"

#include "vf-manager/vm.h"
#include "vf-manager/vmm_client.h"
#include "vf-manager/vmspec.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

/* State locked. */
static void due_find(struct daemon *d, struct vmm_round *l)
{
	const uint64_t now = now_ns();

	for (size_t i = 0; i < d->vm_count; i++) {
		struct vm *vm = d->vms[i];

		if (vm->pid == 0 || vm->state == VM_STARTING || now < vm->vars.next_ns ||
		    !json_is_object(json_object_get(vm->facts, "firmware")))
			continue;
		vm->vars.next_ns = now + VARS_LOOK_NS;
		vmm_round_add(l, vm);
	}
}

/* A peer's word. One that says nothing has not changed. */
static void seen_take(struct vm *vm, const json_t *status)
{
	const json_t *firmware = json_object_get(status, "firmware");
	const char *state = json_string_value(json_object_get(firmware, "vars"));
	char error[sizeof(vm->vars.error)] = "";

	if (state == NULL)
		return;
	if (strcmp(state, "failed") == 0 &&
	    (json_get_str_opt(firmware, "error", error, sizeof(error), NULL) < 0 ||
	     error[0] == '\0'))
		snprintf(error, sizeof(error), "its viaduct-vmm does not say why");
	memcpy(vm->vars.error, error, sizeof(error));
}

void vars_watch_look(struct daemon *d)
{
	struct vmm_round *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return;
	state_lock(d);
	due_find(d, l);
	state_unlock(d);
	vmm_round_ask(d, l);
	state_lock(d);
	for (size_t i = 0; i < l->count; i++) {
		struct vm *vm = vm_find(d, l->names[i]);

		if (vm != NULL && vm->pid == l->peers[i].pid && l->status[i] != NULL)
			seen_take(vm, l->status[i]);
		json_decref(l->status[i]);
	}
	state_unlock(d);
	free(l);
}
