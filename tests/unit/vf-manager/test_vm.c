// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/privops.h"
#include "vf-manager/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct vm *vm_make(const char *name, enum vm_state state, int ended_at)
{
	struct vm *vm = NULL;

	assert_int_equal(vm_create(name, &vm, NULL), 0);
	vm->state = state;
	json_object_set_new(vm->facts, "exit", json_pack("{s:i}", "wall_time", ended_at));
	return vm;
}

/* There is no other way to get rid of a VM that has ended. */
static void ended_vms_make_room(void **state)
{
	static const struct options opt = { .run_dir = "/nonexistent" };
	static struct daemon d = { .opt = &opt };
	struct err e = { 0 };
	struct vm *vm;
	char name[16];

	assert_int_equal(ledger_open(&d.ledger, NULL, "", &e), 0);
	for (int i = 0; i < DAEMON_VMS; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		vm = vm_make(name, i < 500 ? VM_RUNNING : VM_STOPPED, 100 + (i ^ 700));
		assert_int_equal(vm_add(&d, vm, NULL, &e), 0);
	}
	assert_int_equal(vm_add(&d, vm_make("z", VM_STARTING, 0), NULL, &e), 0);
	assert_int_equal(d.vm_count, DAEMON_VMS);
	assert_null(vm_find(&d, "m700"));
	assert_non_null(vm_find(&d, "z"));
	for (size_t i = 1; i < d.vm_count; i++)
		assert_true(strcmp(d.vms[i - 1]->name, d.vms[i]->name) < 0);
	for (size_t i = 0; i < d.vm_count; i++)
		d.vms[i]->state = VM_RUNNING;
	vm = vm_make("zz", VM_STARTING, 0);
	assert_int_equal(vm_add(&d, vm, NULL, &e), -ENOSPC);
	vm_destroy(vm);
	for (size_t i = 0; i < d.vm_count; i++)
		vm_destroy(d.vms[i]);
	ledger_close(d.ledger);
}

static void a_process_is_in_its_scope(void **state)
{
	static const char unit[] = "viaduct-vm-fw1.scope";

	assert_true(priv_vm_scope_has("0::/viaduct.slice/viaduct-vm-fw1.scope\n", unit));
	assert_true(priv_vm_scope_has("0::/viaduct.slice/viaduct-vm-fw1.scope", unit));
	/* cgroup v1, and a container. */
	assert_true(priv_vm_scope_has(
		"2:cpu:/\n1:name=systemd:/lxc/c1/viaduct.slice/viaduct-vm-fw1.scope\n"
		"0::/\n",
		unit));
	assert_false(priv_vm_scope_has("0::/viaduct.slice/viaduct-vm-fw11.scope\n", unit));
	assert_false(priv_vm_scope_has("0::/viaduct.slice/viaduct-vm-fw1.scope/x\n", unit));
	assert_false(priv_vm_scope_has("0::/viaduct/vm-fw1\n", unit));
	assert_false(priv_vm_scope_has("", unit));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(ended_vms_make_room),
					    cmocka_unit_test(a_process_is_in_its_scope) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
