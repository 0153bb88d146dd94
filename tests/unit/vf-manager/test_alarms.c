// SPDX-License-Identifier: BSD-3-Clause
/* Which conditions are alarms, and which are not, on a host made of files. */
#include "tests/fake/sysfs_tree.h"

#include "vf-manager/alarms.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <stdio.h>

#define PF   "0000:01:00.0"
#define VF0  "0000:01:10.0"
#define FN   "bus/pci/devices/"
#define NET  FN PF "/net/enp1s0/"
#define BOOT "11111111-2222-3333-4444-555555555555"

static struct daemon d;
static struct alarms *alarms;

static int setup(void **state)
{
	const struct pf_row row = { .pf = { .bus = 1 }, .vfs = 2, .boot_id = BOOT };

	tree_make();
	tree_fn(PF, 0x808610c9, 0x020000, 1);
	tree_pf(PF, 8);
	tree_vf(PF, 0);
	tree_vf(PF, 1);
	tree_netdev(PF, "enp1s0", 4);
	tree_file(FN PF "/sriov_numvfs", "2\n");
	memset(&d, 0, sizeof(d));
	pthread_mutex_init(&d.state, NULL);
	pthread_mutex_init(&d.scan, NULL);
	pthread_cond_init(&d.changed, NULL);
	snprintf(d.boot_id, sizeof(d.boot_id), BOOT);
	assert_int_equal(inventory_create(&d.inv, tree.root, NULL), 0);
	assert_int_equal(ledger_open(&d.ledger, NULL, BOOT, NULL), 0);
	assert_int_equal(ledger_pf_put(d.ledger, &row, NULL), 0);
	assert_int_equal(alarms_create(&alarms, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	for (size_t i = 0; i < d.vm_count; i++)
		vm_destroy(d.vms[i]);
	alarms_destroy(alarms);
	ledger_close(d.ledger);
	inventory_destroy(d.inv);
	tree_remove();
	return 0;
}

static void vf_set(enum vf_state state, const char *boot)
{
	struct vf_row row = { .pf = { .bus = 1 },
			      .addr = { .bus = 1, .dev = 0x10 },
			      .state = state,
			      .note = "no reset" };

	snprintf(row.boot_id, sizeof(row.boot_id), "%s", boot);
	assert_int_equal(ledger_vf_force(d.ledger, &row, NULL), 0);
}

static void driver_set(const char *driver)
{
	char target[64];

	tree_delete(FN VF0 "/driver");
	snprintf(target, sizeof(target), "../../drivers/%s", driver);
	if (driver[0] != '\0')
		tree_link(FN VF0 "/driver", target);
}

struct list {
	char text[512];
	struct alarm last;
};

static void alarm_list(void *arg, const struct alarm *a)
{
	struct list *list = arg;
	size_t len = strlen(list->text);

	snprintf(list->text + len, sizeof(list->text) - len, "%s%s %s", len > 0 ? ", " : "",
		 a->kind, a->object);
	list->last = *a;
}

static struct list look(void)
{
	struct list list = { "" };

	assert_int_equal(alarms_check(alarms, &d, NULL), 0);
	assert_int_equal(ledger_alarm_each(d.ledger, alarm_list, &list, NULL), 0);
	return list;
}

#define ASSERT_ALARMS(text_) assert_string_equal(look().text, text_)

static void all_is_well(void **state)
{
	ASSERT_ALARMS("");
}

static void a_quarantine_of_an_earlier_boot_is_none(void **state)
{
	vf_set(VF_QUARANTINED, BOOT);
	ASSERT_ALARMS("vf-quarantined " VF0);
	assert_non_null(strstr(look().last.text, "no reset"));
	vf_set(VF_QUARANTINED, "another boot");
	ASSERT_ALARMS("");
}

static void a_driver_that_we_did_not_give_is_a_seizure(void **state)
{
	static const struct {
		enum vf_state state;
		const char *driver;
		bool is_seized;
	} rows[] = {
		{ VF_FREE, "igbvf", true },	 { VF_FREE, "vfio-pci", true },
		{ VF_LEASED, "vfio-pci", true }, { VF_LEASED, "", false },
		{ VF_BOUND, "vfio-pci", false }, { VF_BOUND, "", false },
		{ VF_BOUND, "igbvf", true },	 { VF_ASSIGNED, "vfio-pci", false },
		{ VF_ASSIGNED, "igbvf", true },	 { VF_SCRUBBING, "vfio-pci", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		vf_set(rows[i].state, BOOT);
		driver_set(rows[i].driver);
		ASSERT_ALARMS(rows[i].is_seized ? "vf-seized " VF0 : "");
	}
	/* VFs that are not ours may have any driver. */
	vf_set(VF_FREE, BOOT);
	driver_set("igbvf");
	tree_file(FN PF "/sriov_numvfs", "1\n");
	assert_string_equal(look().text, "vf-count-drift " PF);
}

static void a_link_is_lost_only_where_it_matters(void **state)
{
	tree_file(NET "flags", "0x1003\n");
	tree_file(NET "carrier", "1\n");
	ASSERT_ALARMS("");
	/* Nobody uses it. */
	tree_file(NET "carrier", "0\n");
	ASSERT_ALARMS("");
	/* It is coming up for a VM that starts: there is time. */
	vf_set(VF_ASSIGNED, BOOT);
	ASSERT_ALARMS("");
	tree_file(NET "carrier", "1\n");
	ASSERT_ALARMS("");
	tree_file(NET "carrier", "0\n");
	ASSERT_ALARMS("pf-link-lost " PF);
	assert_non_null(strstr(look().last.text, "no carrier"));
	tree_file(NET "flags", "0x1002\n");
	assert_non_null(strstr(look().last.text, "is down"));
	assert_string_equal(look().last.hint, "ip link set enp1s0 up");
	tree_file(NET "flags", "0x1003\n");
	tree_file(NET "carrier", "1\n");
	ASSERT_ALARMS("");
}

/* An interface gets another name: by its old one nobody would keep the VFs of its PF. */
static void a_pf_of_the_configuration_that_is_not_there(void **state)
{
	d.config.pf_count = 2;
	snprintf(d.config.pfs[0].name, sizeof(d.config.pfs[0].name), "enp1s0");
	snprintf(d.config.pfs[1].name, sizeof(d.config.pfs[1].name), PF);
	ASSERT_ALARMS("");
	snprintf(d.config.pfs[0].name, sizeof(d.config.pfs[0].name), "lan0");
	ASSERT_ALARMS("pf-absent lan0");
	assert_non_null(strstr(look().last.text, "lan0"));
	/* The same twice is one alarm. */
	snprintf(d.config.pfs[1].name, sizeof(d.config.pfs[1].name), "lan0");
	ASSERT_ALARMS("pf-absent lan0");
	d.config.pf_count = 0;
	ASSERT_ALARMS("");
}

static void vms_and_functions(void **state)
{
	struct fn_row fn = { .addr = { .bus = 3 }, .state = FN_TAKEN, .boot_id = BOOT };
	struct vm *vm = NULL;

	assert_int_equal(vm_create("fw1", &vm, NULL), 0);
	vm->state = VM_UNKNOWN;
	d.vms[d.vm_count++] = vm;
	ASSERT_ALARMS("vm-unknown fw1");
	assert_non_null(strstr(look().last.hint, "vm show fw1"));
	vm->pid = 4711;
	assert_non_null(strstr(look().last.hint, "vm kill fw1"));
	vm->pid = 0;
	vm->state = VM_STOPPED;
	for (; fn.state != FN_QUARANTINED;
	     fn.state = fn.state == FN_TAKEN ? FN_RETURNING : FN_QUARANTINED) {
		assert_int_equal(ledger_fn_put(d.ledger, &fn, NULL), 0);
		ASSERT_ALARMS("");
	}
	assert_int_equal(ledger_fn_put(d.ledger, &fn, NULL), 0);
	ASSERT_ALARMS("function-quarantined 0000:03:00.0");
	assert_non_null(strstr(look().last.hint, "function release 0000:03:00.0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_is_well, setup, teardown),
		cmocka_unit_test_setup_teardown(a_quarantine_of_an_earlier_boot_is_none, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_driver_that_we_did_not_give_is_a_seizure, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_link_is_lost_only_where_it_matters, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_pf_of_the_configuration_that_is_not_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(vms_and_functions, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
