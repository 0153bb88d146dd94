// SPDX-License-Identifier: BSD-3-Clause
/* Whole functions: who may have one, and the way there and back, on a host made of files. */
#include "tests/fake/sysfs_tree.h"

#include "vf-manager/fnpool.h"
#include "vf-manager/pfapply.h"
#include "vf-manager/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define NIC  "0000:04:00.0"
#define FN   "bus/pci/devices/"
#define BOOT "11111111-2222-3333-4444-555555555555"

static struct options opt;
static struct daemon d;
static const struct pci_addr nic = { .bus = 4 };
static bool group_is_held, has_direct_region;
static struct err err;

int __wrap_vfio_group_open(uint32_t nr, int *fd, struct err *e);

int __wrap_vfio_group_open(uint32_t nr, int *fd, struct err *e)
{
	assert_int_equal(nr, 12);
	if (group_is_held)
		return err_set(e, EIO, "the group is somebody's");
	*fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return 0;
}

bool __wrap_iommu_group_has_direct_region(int root_fd, uint32_t nr);

bool __wrap_iommu_group_has_direct_region(int root_fd, uint32_t nr)
{
	return has_direct_region;
}

static int setup(void **state)
{
	tree_make();
	tree_fn(NIC, 0x808610d3, 0x020000, 12);
	tree_file(FN NIC "/reset_method", "pm bus\n");
	tree_file(FN NIC "/reset", "%s", "");
	tree_driver("e1000e", NIC);
	tree_driver("vfio-pci", NULL);
	tree_netdev(NIC, "nic0", 4);
	tree_file(FN NIC "/net/nic0/flags", "0x1002\n"); /* down */
	tree.default_driver = "e1000e";
	group_is_held = has_direct_region = false;
	memset(&d, 0, sizeof(d));
	opt.dev_dir = tree.root;
	opt.proc_dir = tree.root;
	d.opt = &opt;
	snprintf(d.boot_id, sizeof(d.boot_id), BOOT);
	assert_int_equal(inventory_create(&d.inv, tree.root, &err), 0);
	assert_int_equal(ledger_open(&d.ledger, NULL, BOOT, &err), 0);
	return 0;
}

static int teardown(void **state)
{
	ledger_close(d.ledger);
	inventory_destroy(d.inv);
	tree_remove();
	return 0;
}

static void driver_is(const char *name)
{
	char driver[DRIVER_NAME];

	assert_int_equal(fn_driver(inventory_sysfs(d.inv), &nic, driver), 0);
	assert_string_equal(driver, name);
}

static int take(bool consent, struct fn_hold *hold)
{
	const struct fn_want want = { .addr = nic, .take = consent, .owner = "fw1/out" };
	int r = fnpool_lease(&d, &want, hold, &err);

	return r < 0 ? r : fnpool_bind(&d, hold, &err);
}

static void there_and_back(void **state)
{
	struct fn_hold hold;

	assert_int_equal(take(false, &hold), 0);
	driver_is("vfio-pci");
	assert_string_equal(hold.was.driver, "e1000e");
	assert_int_equal(hold.group, 12);
	assert_int_equal(ledger_fn_find(d.ledger, &nic)->state, FN_TAKEN);
	assert_int_equal(fnpool_assign(&d, &nic, &err), 0);
	assert_int_equal(take(true, &hold), -EBUSY);
	assert_string_equal(err.code, "function-in-use");
	assert_string_equal(err.hint, "viaduct vm stop fw1");
	fnpool_release_vm(&d, "fw"); /* another's name begins so */
	driver_is("vfio-pci");
	tree.write_count = 0;
	fnpool_release_vm(&d, "fw1");
	driver_is("e1000e");
	assert_null(ledger_fn_find(d.ledger, &nic));
	assert_string_equal(tree_writes(),
			    "reset=1 driver_override=- unbind=" NIC " drivers_probe=" NIC);
}

static void as_it_was_is_as_it_was(void **state)
{
	struct fn_hold hold;

	/* Kept for vfio-pci by the administrator: it stays there. */
	tree_driver("vfio-pci", NIC);
	tree_file(FN NIC "/driver_override", "vfio-pci\n");
	tree_delete(FN NIC "/net");
	assert_int_equal(take(false, &hold), 0);
	fnpool_release_vm(&d, "fw1");
	driver_is("vfio-pci");
	/* One without a driver gets none. */
	tree_delete(FN NIC "/driver");
	tree_file(FN NIC "/driver_override", "(null)\n");
	assert_int_equal(take(false, &hold), 0);
	fnpool_release_vm(&d, "fw1");
	driver_is("");
}

/* What the host is, what the file says, and the code of the refusal. */
static const struct refusal {
	const char *path, *text; /* one file more */
	bool take;
	const char *code, *words;
} refusals[] = {
	{ FN NIC "/net/nic0/flags", "0x1003\n", false, "host-uses-it", "nic0 is up" },
	{ FN NIC "/class", "0x060400\n", true, "is-bridge", "bridge" },
	{ FN NIC "/reset_method", "\n", true, "no-reset", "no reset" },
	{ FN NIC "/reset_method", "cxl_bus\n", true, "no-reset", "no reset" },
};

static void refused_before_anything_is_done(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *row = &refusals[i];
		struct fn_hold hold;

		if (i > 0)
			setup(NULL);
		tree_file(row->path, "%s", row->text);
		tree.write_count = 0;
		assert_true(take(row->take, &hold) < 0);
		assert_string_equal(err.code, row->code);
		assert_non_null(strstr(err.text, row->words));
		assert_true(err.hint[0] != '\0');
		assert_int_equal(tree.write_count, 0);
		assert_int_equal(ledger_fn_count(d.ledger), 0);
		if (i + 1 < ARRAY_SIZE(refusals))
			teardown(NULL);
	}
}

static void refused_by_its_place(void **state)
{
	uint8_t space[4096];
	struct fn_hold hold;

	tree_fn("0000:04:00.1", 0x808610d3, 0x020000, 12);
	assert_int_equal(take(true, &hold), -EBUSY);
	assert_string_equal(err.code, "group-shared");
	assert_non_null(strstr(err.text, "0000:04:00.1"));
	/* A bridge in the group stays with its own driver. */
	tree_fn("0000:04:00.1", 0x808610d3, 0x060400, 12);
	assert_int_equal(take(true, &hold), 0);
	fnpool_release_vm(&d, "fw1");
	has_direct_region = true;
	assert_int_equal(take(true, &hold), -ENOTSUP);
	assert_string_equal(err.code, "firmware-memory");
	has_direct_region = false;
	tree_config(space, false);
	space[0x34] = 0xa0; /* the list begins behind MSI-X */
	tree_bytes(FN NIC "/config", space, sizeof(space));
	assert_int_equal(take(true, &hold), -ENOTSUP);
	assert_string_equal(err.code, "intx-only");
	tree_delete(FN NIC "/iommu_group");
	assert_int_equal(take(true, &hold), -ENOTSUP);
	assert_string_equal(err.code, "no-iommu-group");
}

static void a_pf_has_vfs_or_is_given_away(void **state)
{
	struct fn_hold hold;

	tree_pf(NIC, 8);
	tree_file(FN NIC "/sriov_numvfs", "2\n");
	assert_int_equal(take(true, &hold), -EBUSY);
	assert_string_equal(err.code, "pf-has-vfs");
	tree_file(FN NIC "/sriov_numvfs", "0\n");
	assert_int_equal(take(true, &hold), 0);
	assert_int_equal(pf_apply(&d, NIC, &(struct pf_wish){ .vfs = 2 }, &err), -EBUSY);
	assert_string_equal(err.code, "function-in-use");
	fnpool_release_vm(&d, "fw1");
	driver_is("e1000e");
}

/* The daemon was killed after any step; the next one finds the row and a driver, or none. */
static void found_after_a_crash_it_is_given_back(void **state)
{
	static const enum fn_state states[] = { FN_TAKEN, FN_ASSIGNED, FN_RETURNING };
	static const char *const drivers[] = { "e1000e", "", "vfio-pci" };

	for (size_t i = 0; i < ARRAY_SIZE(states) * ARRAY_SIZE(drivers); i++) {
		const char *driver = drivers[i % ARRAY_SIZE(drivers)];
		struct fn_hold hold;

		assert_int_equal(take(false, &hold), 0);
		for (enum fn_state s = FN_ASSIGNED; s <= states[i / ARRAY_SIZE(drivers)]; s++) {
			struct fn_row row = *ledger_fn_find(d.ledger, &nic);

			row.state = s;
			assert_int_equal(ledger_fn_put(d.ledger, &row, &err), 0);
		}
		if (driver[0] != '\0')
			tree_driver(driver, NIC);
		else
			tree_delete(FN NIC "/driver");
		fnpool_reconcile(&d);
		driver_is("e1000e");
		assert_int_equal(ledger_fn_count(d.ledger), 0);
	}
}

static void another_boot_has_given_it_back(void **state)
{
	struct fn_row row = { .addr = nic, .state = FN_TAKEN, .boot_id = "another" };

	assert_int_equal(ledger_fn_put(d.ledger, &row, &err), 0);
	tree.write_count = 0;
	fnpool_reconcile(&d);
	assert_int_equal(ledger_fn_count(d.ledger), 0);
	assert_int_equal(tree.write_count, 0);
}

static int request(const char *method, const char *path)
{
	const struct route_call call = { .method = method, .path = path };
	struct request req = { .d = &d };
	int r = route_dispatch(&req, &call, &err);

	json_decref(req.reply);
	json_decref(req.body);
	return r;
}

/* It is never handed out again before it is known to be clean and the host's. */
static void what_cannot_be_given_back_is_quarantined(void **state)
{
	struct fn_hold hold;

	assert_int_equal(take(false, &hold), 0);
	assert_int_equal(request("POST", "/v1/functions/" NIC "/release"), -EBUSY);
	assert_string_equal(err.hint, "viaduct vm stop fw1");
	group_is_held = true;
	assert_true(fnpool_release(&d, &nic, &err) < 0);
	assert_string_equal(err.code, "function-quarantined");
	assert_int_equal(ledger_fn_find(d.ledger, &nic)->state, FN_QUARANTINED);
	assert_int_equal(take(true, &hold), -EBUSY);
	assert_string_equal(err.code, "function-quarantined");
	assert_string_equal(err.hint,
			    "viaduct function release " NIC "   tries again to give it back");
	fnpool_reconcile(&d); /* tried only when somebody says so */
	driver_is("vfio-pci");
	group_is_held = false;
	assert_int_equal(request("POST", "/v1/functions/" NIC "/release"), 0);
	driver_is("e1000e");
	assert_int_equal(request("GET", "/v1/functions"), 0);
}

static void another_driver_on_the_way_back_is_told(void **state)
{
	struct fn_hold hold;

	assert_int_equal(take(false, &hold), 0);
	tree.default_driver = "other";
	assert_true(fnpool_release(&d, &nic, &err) < 0);
	assert_non_null(strstr(err.text, "driver other took it instead of e1000e"));
}

static void every_write_may_fail(void **state)
{
	for (unsigned n = 1; n <= 3; n++) {
		struct fn_hold hold;

		tree.write_count = 0;
		tree.fail_write = n;
		tree.fail_errno = EIO;
		assert_true(take(false, &hold) < 0 || n == 3);
		tree.fail_write = 0;
		/* The row was there before the first of them. */
		assert_int_equal(ledger_fn_find(d.ledger, &nic)->state, FN_TAKEN);
		assert_int_equal(fnpool_release(&d, &nic, &err), 0);
		driver_is("e1000e");
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(there_and_back),
		CASE(as_it_was_is_as_it_was),
		CASE(refused_before_anything_is_done),
		CASE(refused_by_its_place),
		CASE(a_pf_has_vfs_or_is_given_away),
		CASE(found_after_a_crash_it_is_given_back),
		CASE(another_boot_has_given_it_back),
		CASE(what_cannot_be_given_back_is_quarantined),
		CASE(another_driver_on_the_way_back_is_told),
		CASE(every_write_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
