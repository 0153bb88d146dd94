// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/sysfs_tree.h"
#include "tests/unit/sriov/cases.h"

#include "sriov/fnuse.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#define NIC  "0000:04:00.0"
#define DISK "0000:03:00.0"
#define FN   "bus/pci/devices/"

static struct inventory *inv;
static struct err err;

static int setup(void **state)
{
	tree_make();
	tree_fn(NIC, 0x808610d3, 0x020000, 12);
	tree_driver("e1000e", NIC);
	tree_netdev(NIC, "nic0", 4);
	tree_file(FN NIC "/net/nic0/flags", "0x1002\n"); /* down */
	tree_fn(DISK, 0x1b360010, 0x010802, 11);
	tree_driver("nvme", DISK);
	tree_file(FN DISK "/nvme/nvme0/state", "live\n");
	tree_file(FN DISK "/nvme/nvme0/nvme0n1/size", "1\n");
	tree_file(FN DISK "/nvme/nvme0/nvme0c0n2/size", "1\n"); /* a path of a shared one */
	tree_file(FN DISK "/nvme/nvme0/ng0n1/dev", "1:1\n");
	tree_file("class/block/nvme0n1/dev", "259:1\n");
	tree_file("class/block/nvme0n1/nvme0n1p1/dev", "259:2\n");
	tree_file("class/block/nvme0n2/dev", "259:3\n");
	tree_file("dev/nvme0n1", "data");
	tree_file("dev/nvme0n2", "data");
	inv = NULL;
	return 0;
}

static int teardown(void **state)
{
	inventory_destroy(inv);
	tree_remove();
	return 0;
}

static void look(const char *name, bool claim, struct fn_use *use)
{
	const struct pci_fn *fn;

	if (inv == NULL)
		assert_int_equal(inventory_create(&inv, tree.root, &err), 0);
	assert_int_equal(inventory_scan(inv, &err), 0);
	assert_int_equal(inventory_find_name(inv, name, &fn, &err), 0);
	fn_use_look(inventory_sysfs(inv), fn, claim, use);
}

/* One file more in the tree, and what is then said of the function. */
static const struct row {
	const char *fn, *path, *text;
	enum fn_use_kind kind;
	const char *why, *remedy;
} rows[] = {
	{ NIC, "x", "", FN_IDLE, "", "" },
	{ NIC, FN NIC "/net/nic0/flags", "0x1003\n", FN_USED, "nic0 is up",
	  "ip link set nic0 down" },
	{ NIC, FN NIC "/net/nic0/upper_br0/x", "", FN_USED, "nic0 belongs to br0", "nomaster" },
	{ NIC, "proc/net/route",
	  "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
	  "nic0 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
	  "nic0 00000000 0202000A 0003 0 0 0 00000000 0 0 0\n",
	  FN_USED, "the host's default route goes through nic0", "ip route" },
	{ NIC, "proc/net/route", "nic1 00000000 0202000A 0003 0 0 0 00000000 0 0 0\n", FN_IDLE, "",
	  "" },
	{ NIC, "proc/net/ipv6_route",
	  "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
	  "fe800000000000000000000000000002 00000400 00000001 00000000 00450003 nic0\n",
	  FN_USED, "the host's default route goes through nic0", "ip -6 route" },
	{ DISK, "x", "", FN_IDLE, "", "" },
	{ DISK, "proc/self/mountinfo", "36 35 259:1 / /srv rw shared:1 - ext4 /dev/nvme0n1 rw\n",
	  FN_BUSY, "nvme0n1 is mounted at /srv", "umount /srv" },
	{ DISK, "proc/self/mountinfo", "36 35 0:42 / /b rw shared:1 - btrfs /dev/nvme0n1p1 rw\n",
	  FN_BUSY, "nvme0n1p1 is mounted at /b", "umount /b" },
	{ DISK, "proc/self/mountinfo", "36 35 259:3 / /srv rw - ext4 /dev/root rw\n", FN_BUSY,
	  "nvme0n2 is mounted at /srv", "umount /srv" },
	{ DISK, "proc/self/mountinfo", "36 35 259:4 / /srv rw - ext4 /dev/nvme1n1 rw\n", FN_IDLE,
	  "", "" },
	{ DISK, "proc/self/mountinfo", "\n36\n36 35 259:1\n - - -\n", FN_IDLE, "", "" },
	{ DISK, "proc/swaps", "Filename Type\n/dev/nvme0n1p1 partition 1 0 -2\n", FN_BUSY,
	  "nvme0n1p1 is swap", "swapoff /dev/nvme0n1p1" },
	{ DISK, "class/block/nvme0n2/holders/md0/x", "", FN_BUSY, "nvme0n2 is part of md0",
	  "lsblk /dev/nvme0n2" },
};

static void what_the_host_does_is_named(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fn_use use;

		setup(NULL);
		tree_file(rows[i].path, "%s", rows[i].text);
		look(rows[i].fn, false, &use);
		assert_string_equal(use.why, rows[i].why);
		assert_int_equal(use.kind, rows[i].kind);
		assert_contains(use.remedy, rows[i].remedy);
		assert_int_equal(use.claim_count, 0);
		teardown(NULL);
	}
}

static void a_use_that_cannot_be_seen_is_a_use(void **state)
{
	struct fn_use use;

	setup(NULL);
	tree_delete(FN NIC "/net/nic0"); /* gone to another namespace */
	look(NIC, false, &use);
	assert_int_equal(use.kind, FN_USED);
	assert_contains(use.why, "e1000e has no network device in this namespace");
	tree_driver("snd_hda_intel", DISK);
	tree_delete(FN DISK "/nvme");
	look(DISK, false, &use);
	assert_int_equal(use.kind, FN_USED);
	assert_contains(use.why, "its driver is snd_hda_intel");
	tree_driver("vfio-pci", DISK);
	look(DISK, false, &use);
	assert_int_equal(use.kind, FN_IDLE);
	teardown(NULL);
}

static void namespaces_are_counted_and_claimed(void **state)
{
	struct fn_use use;

	setup(NULL);
	look(DISK, true, &use);
	assert_int_equal(use.kind, FN_IDLE);
	assert_int_equal(use.namespaces, 2);
	assert_int_equal(use.claim_count, 2);
	assert_true(fcntl(use.claims[0], F_GETFD) >= 0);
	fn_use_end(&use);
	assert_int_equal(use.claim_count, 0);
	fn_use_end(&use);
	teardown(NULL);
}

static void back_means_all_of_it(void **state)
{
	const struct pci_addr nic = { .bus = 4 }, disk = { .bus = 3 };
	struct sysfs sys = { .root_fd = -1 };

	setup(NULL);
	assert_int_equal(sysfs_open(&sys, tree.root, &err), 0);
	assert_true(fn_use_is_back(&sys, &nic, FN_NETWORK, 0));
	assert_true(fn_use_is_back(&sys, &disk, FN_NVME, 2));
	assert_false(fn_use_is_back(&sys, &disk, FN_NVME, 3));
	tree_file(FN DISK "/nvme/nvme0/state", "connecting\n");
	assert_false(fn_use_is_back(&sys, &disk, FN_NVME, 2));
	tree_delete(FN NIC "/net/nic0");
	assert_false(fn_use_is_back(&sys, &nic, FN_NETWORK, 0));
	assert_true(fn_use_is_back(&sys, &nic, FN_OTHER, 0));
	sysfs_close(&sys);
	teardown(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_host_does_is_named),
		cmocka_unit_test(a_use_that_cannot_be_seen_is_a_use),
		cmocka_unit_test(namespaces_are_counted_and_claimed),
		cmocka_unit_test(back_means_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
