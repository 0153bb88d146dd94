// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/sysfs_tree.h"
#include "tests/unit/sriov/cases.h"

#include "sriov/inventory.h"

#include <errno.h>
#include <stdlib.h>

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
/* What openat() is with 64-bit file offsets, which meson.build asks for. */
int __real_openat64(int dirfd, const char *path, int flags, int mode);
int __wrap_openat64(int dirfd, const char *path, int flags, int mode);

#define PF   "0000:01:00.0"
#define NVME "0000:03:00.0"

static struct err err;
static unsigned calls, fail_call; /* of the wrapped functions; 0: none fails */

static bool fails(void)
{
	return ++calls == fail_call;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}

int __wrap_openat64(int dirfd, const char *path, int flags, int mode)
{
	if (!fails())
		return __real_openat64(dirfd, path, flags, mode);
	errno = EMFILE;
	return -1;
}

static int setup(void **state)
{
	struct inventory *inv;

	tree_make();
	tree_fn("0000:00:1f.0", 0x80862918, 0x060100, 1);
	tree_fn(PF, 0x808610c9, 0x020000, 9);
	tree_pf(PF, 7);
	tree_netdev(PF, "pf0rep0", 12);
	tree_netdev(PF, "pf0", 2);
	tree_driver("igb", PF);
	tree_fn(NVME, 0x1b360010, 0x010802, 11);
	tree_pf(NVME, 4);
	tree_file("bus/pci/devices/" NVME "/nvme/nvme0/state", "live\n");
	tree_vf(PF, 0);
	tree_vf(PF, 2);
	tree_file("bus/pci/devices/" PF "/sriov_numvfs", "3\n");
	tree_file("bus/pci/devices/garbage/vendor", "0x8086\n");
	assert_int_equal(inventory_create(&inv, tree.root, &err), 0);
	*state = inv;
	return 0;
}

static int teardown(void **state)
{
	inventory_destroy(*state);
	tree_remove();
	return 0;
}

static void facts_of_a_pf(void **state)
{
	const struct pci_fn *pf;

	assert_int_equal(inventory_count(*state), 5);
	assert_null(inventory_at(*state, 5));
	assert_int_equal(inventory_find_pf(*state, "pf0", &pf, &err), 0);
	assert_string_equal(pf->name, PF);
	assert_int_equal(pf->vendor, 0x8086);
	assert_int_equal(pf->device, 0x10c9);
	assert_int_equal(pf->class_code, 0x020000);
	assert_string_equal(fn_kind_text(pf->kind), "network");
	assert_string_equal(pf->driver, "igb");
	assert_int_equal(pf->numa_node, -1);
	assert_int_equal(pf->iommu_group, 9);
	assert_int_equal(pf->ifindex, 2); /* not the representor */
	assert_true(pf->net.admin_up && pf->net.has_carrier && pf->net.carrier);
	assert_int_equal(pf->net.speed_mbps, 1000);
	assert_int_equal(pf->net.mac[0], 0x52);
	assert_true(pf->is_pf && !pf->is_vf && pf->autoprobe);
	assert_int_equal(pf->total_vfs, 7);
	assert_int_equal(pf->caps.sriov.total_vfs, 8); /* the driver's limit is another matter */
	assert_int_equal(pf->caps.sriov.bars[0].size_bytes, 16384);
	assert_int_equal(pf->caps.sriov.bars[1].size_bytes, 4096);
	assert_int_equal(pf->num_vfs, 3);
	assert_non_null(pf->vfs[0]);
	assert_null(pf->vfs[1]);
	assert_ptr_equal(pf->vfs[2]->pf, pf);
	assert_int_equal(pf->vfs[2]->vf_index, 2);
}

static void nvme_has_its_controller(void **state)
{
	const struct pci_fn *pf;

	assert_int_equal(inventory_find_pf(*state, "nvme0", &pf, &err), 0);
	assert_int_equal(pf->kind, FN_NVME);
	assert_int_equal(pf->ifindex, 0);
	assert_string_equal(pf->driver, "");
}

static void vf_by_index_and_address(void **state)
{
	const struct pci_fn *a, *b;
	char id[VF_ID_TEXT];

	assert_int_equal(inventory_find_vf(*state, "pf0#2", &a, &err), 0);
	assert_int_equal(inventory_find_vf(*state, "01:10.2", &b, &err), 0);
	assert_ptr_equal(a, b);
	assert_int_equal(inventory_find_vf(*state, PF "#2", &b, &err), 0);
	assert_ptr_equal(a, b);
	assert_string_equal(vf_id_text(a, id), "pf0#2");
}

static void refusals_name_the_thing(void **state)
{
	static const struct {
		const char *text, *code;
		int r;
	} vfs[] = {
		{ "pf0#1", "vf-index", -ERANGE },     { "pf0#9", "vf-index", -ERANGE },
		{ "pf0#", "bad-vf-name", -EINVAL },   { "pf0#-1", "bad-vf-name", -EINVAL },
		{ "pf0", "not-a-vf", -EINVAL },	      { "nix#1", "no-such-pf", -ENOENT },
		{ "00:1f.0#1", "no-sriov", -EINVAL }, { "", "no-such-vf", -ENOENT },
		{ "02:00.0", "no-such-vf", -ENOENT },
	};
	const struct pci_fn *fn = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(vfs); i++) {
		assert_int_equal(inventory_find_vf(*state, vfs[i].text, &fn, &err), vfs[i].r);
		assert_string_equal(err.code, vfs[i].code);
		assert_null(fn);
	}
	assert_int_equal(inventory_find_pf(*state, "01:10.0", &fn, &err), -EINVAL);
	assert_contains(err.text, "a VF, not a PF");
	assert_int_equal(inventory_find_pf(*state, "eth9", &fn, &err), -ENOENT);
	assert_contains(err.text, "eth9");
}

static void unprivileged_reader_still_sees_pfs(void **state)
{
	const struct pci_fn *pf;
	uint8_t space[4096];

	tree_config(space, true);
	tree_bytes("bus/pci/devices/" PF "/config", space, 64);
	assert_int_equal(inventory_scan(*state, &err), 0);
	assert_int_equal(inventory_find_pf(*state, "pf0", &pf, &err), 0);
	assert_true(pf->caps.needs_root);
	assert_int_equal(pf->total_vfs, 7);
	assert_int_equal(pf->caps.sriov.bar_count, 2);
	assert_int_equal(pf->caps.sriov.bars[0].size_bytes, 0);
}

static void vf_without_its_pf_is_not_an_ordinary_function(void **state)
{
	const struct pci_fn *fn = NULL;

	tree_delete("bus/pci/devices/" PF "/virtfn2");
	assert_int_equal(inventory_scan(*state, &err), 0);
	assert_int_equal(inventory_count(*state), 4);
	assert_int_equal(inventory_find_name(*state, "01:10.2", &fn, &err), -ENOENT);
	tree_delete("bus/pci/devices/" PF);
	assert_int_equal(inventory_scan(*state, &err), 0);
	assert_int_equal(inventory_count(*state), 2);
}

static void link_to_a_stranger_is_not_believed(void **state)
{
	const struct pci_fn *pf;

	tree_link("bus/pci/devices/" PF "/virtfn1", "../" NVME);
	tree_link("bus/pci/devices/" NVME "/virtfn0", "../0000:01:10.0");
	tree_file("bus/pci/devices/" NVME "/sriov_numvfs", "1\n");
	assert_int_equal(inventory_scan(*state, &err), 0);
	assert_int_equal(inventory_find_pf(*state, "pf0", &pf, &err), 0);
	assert_null(pf->vfs[1]);
	assert_ptr_equal(pf->vfs[0]->pf, pf);
	assert_int_equal(inventory_find_pf(*state, "nvme0", &pf, &err), 0);
	assert_null(pf->vfs[0]);
}

static void failed_scan_keeps_the_snapshot(void **state)
{
	const struct pci_fn *pf;

	tree_delete("bus");
	assert_int_equal(inventory_scan(*state, &err), -ENOENT);
	assert_int_equal(inventory_find_pf(*state, "pf0", &pf, &err), 0);
}

/* A look that is not deep: of a VF that is the same only the driver is read; PFs and others as ever. */
static void quick_look_sees_what_can_change(void **state)
{
	struct snapshot *next = NULL;
	const struct pci_fn *vf;

	assert_int_equal(inventory_copy(*state, &next, &err), 0);
	tree_file("bus/pci/devices/0000:01:10.0/device", "0xbad0\n"); /* no kernel does that */
	tree_driver("vfio-pci", "0000:01:10.0");
	tree_file("bus/pci/devices/" PF "/net/pf0/mtu", "9000\n");
	tree_vf(PF, 1);
	assert_int_equal(inventory_look(*state, &next, &err), 0);
	inventory_take(*state, next);
	assert_int_equal(inventory_count(*state), 6);
	assert_int_equal(inventory_find_vf(*state, "pf0#0", &vf, &err), 0);
	assert_string_equal(vf->driver, "vfio-pci");
	assert_int_not_equal(vf->device, 0xbad0);
	assert_int_equal(vf->pf->net.mtu, 9000);
	assert_ptr_equal(vf->pf->vfs[0], vf);
	assert_int_equal(inventory_find_vf(*state, "pf0#1", &vf, &err), 0);
	assert_int_equal(inventory_scan(*state, &err), 0);
	assert_int_equal(inventory_find_vf(*state, "pf0#0", &vf, &err), 0);
	assert_int_equal(vf->device, 0xbad0);
}

static int glance(struct inventory *inv, bool with_pf)
{
	struct pci_addr addr;
	struct fn_glance g;
	int r;

	assert_int_equal(parse_pci_addr("0000:01:10.0", &addr), 0);
	r = inventory_glance_begin(inv, &addr, &g);
	g.with_pf = with_pf;
	if (r == 0)
		r = inventory_glance(inv, &g);
	return r == 0 ? inventory_glance_end(inv, &g) : r;
}

static void glance_keeps_pointers_and_tells_what_moved(void **state)
{
	const struct pci_fn *vf;

	assert_int_equal(inventory_find_vf(*state, "pf0#0", &vf, &err), 0);
	tree_driver("vfio-pci", "0000:01:10.0");
	tree_file("bus/pci/devices/" PF "/net/pf0/mtu", "9000\n");
	assert_int_equal(glance(*state, false), 0);
	assert_string_equal(vf->driver, "vfio-pci");
	assert_int_not_equal(vf->pf->net.mtu, 9000);
	assert_int_equal(glance(*state, true), 0);
	assert_int_equal(vf->pf->net.mtu, 9000);
	assert_ptr_equal(vf->pf->vfs[0], vf);
	tree_driver("igbvf", "0000:01:10.0");
	assert_int_equal(glance(*state, false), -EAGAIN);
	tree_driver("vfio-pci", "0000:01:10.0");
	tree_file("bus/pci/devices/" PF "/sriov_numvfs", "2\n");
	assert_int_equal(glance(*state, false), -EAGAIN);
	tree_file("bus/pci/devices/" PF "/sriov_numvfs", "3\n");
	tree_delete("bus/pci/devices/" PF "/virtfn0");
	assert_int_equal(glance(*state, false), -EAGAIN);
	tree_delete("bus/pci/devices/0000:01:10.0");
	assert_int_equal(glance(*state, true), -EAGAIN);
}

/* Whatever is short, for each call in turn: a whole inventory or none, and nothing leaks. */
static void every_call_may_fail(void **state)
{
	const struct pci_fn *fn;
	struct inventory *inv;
	unsigned failed = 0, needed;

	calls = fail_call = 0;
	assert_int_equal(inventory_scan(*state, &err), 0);
	needed = calls;
	for (unsigned n = 1; n <= needed; n++) {
		inv = NULL;
		calls = 0;
		fail_call = n;
		if (inventory_create(&inv, tree.root, &err) < 0) {
			failed++;
			assert_null(inv);
			assert_true(err.text[0] != '\0');
		} else {
			assert_int_equal(inventory_count(inv), 5);
			fail_call = 0;
			assert_int_equal(inventory_find_vf(inv, "01:10.2", &fn, &err), 0);
			assert_false(fn->caps.needs_root || fn->caps.is_dead);
			inventory_destroy(inv);
		}
	}
	fail_call = 0;
	assert_true(failed > 10);
}

static void no_sysfs(void **state)
{
	struct inventory *inv = NULL;

	assert_int_equal(inventory_create(&inv, "/nonexistent", &err), -ENOENT);
	assert_contains(err.text, "/nonexistent");
	assert_null(inv);
	inventory_destroy(NULL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(facts_of_a_pf),
		CASE(nvme_has_its_controller),
		CASE(vf_by_index_and_address),
		CASE(refusals_name_the_thing),
		CASE(unprivileged_reader_still_sees_pfs),
		CASE(vf_without_its_pf_is_not_an_ordinary_function),
		CASE(link_to_a_stranger_is_not_believed),
		CASE(failed_scan_keeps_the_snapshot),
		CASE(quick_look_sees_what_can_change),
		CASE(glance_keeps_pointers_and_tells_what_moved),
		CASE(every_call_may_fail),
		cmocka_unit_test(no_sysfs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
