// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct config *out, struct err *e)
{
	return config_parse(text, strlen(text), out, e);
}

static void all_keys_are_read(void **state)
{
	struct config c;
	struct err e = { 0 };

	assert_int_equal(
		parse("group: ops\n"
		      "networks: [{name: a, uplinks: [eth0, eth1]}, {name: c, uplinks: [eth2], placement: pack}]\n"
		      "pfs: [{name: eth0, vfs: 8}, {name: eth1, vfs: 1, drift: repair}]\n"
		      "apply_pfs_at_start: on\n"
		      "uids: {first: 5000, count: 3}\n"
		      "mac_prefix: '06:01:02'\n"
		      "dma: type1\n"
		      "file_roots: [/srv]\n",
		      &c, &e),
		0);
	assert_string_equal(c.group, "ops");
	assert_string_equal(config_network_find(&c, "a")->uplinks[1], "eth1");
	assert_null(config_network_find(&c, "b"));
	assert_int_equal(config_network_find(&c, "a")->placement, PLACE_ORDER);
	assert_int_equal(config_network_find(&c, "c")->placement, PLACE_PACK);
	assert_int_equal(c.pfs[0].vfs, 8);
	assert_false(c.pfs[0].repairs_drift);
	assert_true(c.pfs[1].repairs_drift);
	assert_true(c.apply_pfs_at_start);
	assert_int_equal(c.uid_first, 5000);
	assert_int_equal(c.dma, DMA_WISH_TYPE1);
	assert_int_equal(c.mac_prefix[0], 6);
	assert_string_equal(c.roots[0], "/srv");
}

static void the_polled_engine_is_read(void **state)
{
	const struct config_network *net;
	struct config c;
	struct err e = { 0 };

	assert_int_equal(
		parse("uplinks: [{name: w0, kind: pci, device: '04:00.0', mtu: 9000}, {name: w1, kind: tap, device: vtap0},\n"
		      "  {name: w2, kind: 'null'}, {name: w3, kind: vf, pf: '05:00.0'}, {name: w4, kind: vf, pf: eth0}]\n"
		      "networks: [{name: a, uplinks: [eth0, w0, w1], bond: 802.3ad}, {name: b, uplinks: []},\n"
		      "  {name: c, uplinks: [eth1]}, {name: d, uplinks: [w2]}]\n"
		      "backends: {cores: [1, 3], memory: 256M, hugepages: off, idle: interrupt, uid: 4711}\n",
		      &c, &e),
		0);
	assert_string_equal(c.uplinks[0].device, "0000:04:00.0");
	assert_int_equal(c.uplinks[0].mtu, 9000);
	assert_int_equal(c.uplinks[1].kind, PMD_UPLINK_TAP);
	assert_int_equal(c.uplinks[1].mtu, 1500);
	assert_int_equal(c.uplinks[3].kind, PMD_UPLINK_VF);
	assert_string_equal(c.uplinks[3].device, "0000:05:00.0");
	assert_string_equal(c.uplinks[4].device, "eth0");
	net = config_network_find(&c, "a");
	assert_int_equal(net->uplink_count, 1);
	assert_string_equal(net->uplinks[0], "eth0");
	assert_int_equal(net->polled_count, 2);
	assert_string_equal(net->polled[1], "w1");
	assert_int_equal(net->bond, PMD_BOND_802_3AD);
	assert_true(config_network_is_polled(net));
	assert_true(config_network_is_polled(config_network_find(&c, "b")));
	assert_false(config_network_is_polled(config_network_find(&c, "c")));
	assert_int_equal(config_network_find(&c, "d")->bond, PMD_BOND_NONE);
	assert_int_equal(c.backends.core_count, 2);
	assert_int_equal(c.backends.cores[1], 3);
	assert_int_equal(c.backends.memory_bytes, 256U << 20);
	assert_int_equal(c.backends.huge, CONFIG_HUGE_OFF);
	assert_int_equal(c.backends.idle, PMD_IDLE_INTERRUPT);
	assert_int_equal(c.backends.uid, 4711);
	assert_true(config_has_polled(&c));
}

static void without_cores_nothing_polls_for_ever(void **state)
{
	struct config c;
	struct err e = { 0 };

	assert_int_equal(parse("networks: [{name: a, uplinks: [eth0]}]\n", &c, &e), 0);
	assert_int_equal(c.backends.idle, PMD_IDLE_ADAPTIVE);
	assert_int_equal(c.backends.memory_bytes, 128U << 20);
	assert_false(config_has_polled(&c));
	assert_int_equal(parse("backends: {cores: [2]}\n", &c, &e), 0);
	assert_int_equal(c.backends.idle, PMD_IDLE_POLL);
}

static void bad_values_are_named(void **state)
{
	static const struct {
		const char *text, *said;
	} rows[] = {
		{ "nets: []\n", "'nets'" },
		{ "networks: [{name: A, uplinks: [x]}]\n", "'A'" },
		{ "networks: [{name: a, uplinks: [x]}, {name: a, uplinks: [y]}]\n", "twice" },
		{ "uplinks: [{name: W, kind: 'null'}]\n", "'W' is no name" },
		{ "uplinks: [{name: w, kind: bridge}]\n", "'bridge' is not pci" },
		{ "uplinks: [{name: w, kind: vf}]\n", "w: pf: '' is no PCI address" },
		{ "uplinks: [{name: w, kind: vf, pf: '../x'}]\n", "'../x'" },
		{ "uplinks: [{name: w, kind: vf, pf: eth0, device: eth0}]\n",
		  "kind vf has no device" },
		{ "uplinks: [{name: w, kind: vf, pf: eth0, take: on}]\n", "kind vf has no take" },
		{ "uplinks: [{name: w, kind: tap, device: t0, pf: eth0}]\n", "kind tap has no pf" },
		{ "uplinks: [{name: w, kind: tap}]\n", "w: device: '' is no name" },
		{ "uplinks: [{name: w, kind: tap, device: ../x}]\n", "'../x'" },
		{ "uplinks: [{name: w, kind: pci, device: '0:0'}]\n", "no PCI address" },
		{ "uplinks: [{name: w, kind: 'null', device: x}]\n", "has no device" },
		{ "uplinks: [{name: w, kind: tap, device: x, mtu: 9001}]\n", "9001" },
		{ "uplinks: [{name: w, kind: 'null'}, {name: w, kind: 'null'}]\n",
		  "w is there twice" },
		{ "uplinks: [{name: w, kind: pci, device: '04:00.0'}, {name: x, kind: pci, device: '0000:04:00.0'}]\n",
		  "w and x are the same device 0000:04:00.0" },
		{ "pfs: [{name: eth0, vfs: 2}]\nuplinks: [{name: eth0, kind: 'null'}]\n",
		  "the name of a PF" },
		{ "pfs: [{name: eth0, vfs: 2}]\nuplinks: [{name: w, kind: pci, device: eth0}]\n",
		  "gives VFs" },
		{ "uplinks: [{name: w, kind: 'null'}]\nnetworks: [{name: a, uplinks: [w]}, {name: b, uplinks: [w]}]\n",
		  "b: the uplink w is network a's already" },
		{ "uplinks: [{name: w, kind: 'null'}]\nnetworks: [{name: a, uplinks: [w, w]}]\n",
		  "network a's already" },
		{ "uplinks: [{name: w, kind: 'null'}]\nnetworks: [{name: a, uplinks: [w, eth0], bond: 802.3ad}]\n",
		  "there are 1" },
		{ "networks: [{name: a, uplinks: [], bond: round-robin}]\n", "'round-robin'" },
		{ "backends: {cores: [1, 2, 1]}\n", "cores: 1 is there twice" },
		{ "backends: {cores: [5000]}\n", "no CPU 5000" },
		{ "backends: {memory: 1M}\n", "'1M' is not from" },
		{ "backends: {memory: 33M}\n", "steps of 2M" },
		{ "backends: {hugepages: maybe}\n", "'maybe'" },
		{ "backends: {idle: sleep}\n", "'sleep'" },
		{ "backends: {uid: 3}\n", "backends: uid: 3" },
		{ "networks: [{name: a, uplinks: []}]\nuids: {first: 5000, count: 1}\n",
		  "one is too few" },
		{ "networks: [{name: a, uplinks: [x], placement: best}]\n", "'best' is not order" },
		{ "pfs: [{name: x, vfs: 70000}]\n", "70000" },
		{ "uids: {first: 0, count: 1}\n", "uids" },
		{ "uids: {first: 4294967294, count: 2}\n", "uids" },
		{ "mac_prefix: '01:00:5e'\n", "mac_prefix" },
		{ "dma: vfio\n", "dma: 'vfio' is not auto, type1 or iommufd" },
		{ "mac_prefix: zz\n", "line 1" },
		{ "file_roots: [srv]\n", "'srv'" },
		{ "policies: 3\n", "not available yet" },
		{ "hugepages: [{size: 4M, node: 0, count: 1}]\n", "'4M' is not 2M or 1G" },
		{ "hugepages: [{size: 1G, node: 0, count: 1}, {size: 1G, node: 0, count: 2}]\n",
		  "node 0 has two pools of 1G" },
		{ "hugepages: [{size: 2M, node: 1024, count: 1}]\n", "1024 is not from 0 to 1023" },
		{ "hugepages: [{size: 1G, node: 0, count: 4000000000}]\n",
		  "more than any host has" },
		{ "hugepages: [{size: 1G, count: 1}]\n", "'node' is missing" },
		{ "apply_pfs_at_start: si\n", "'si'" },
		{ "pfs: [{name: a, vfs: 1, drift: fix}]\n", "'fix'" },
		{ "[]\n", "line" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct config c;
		struct err e = { 0 };

		assert_true(parse(rows[i].text, &c, &e) < 0);
		assert_non_null(strstr(e.text, rows[i].said));
	}
}

static void no_file_means_the_defaults(void **state)
{
	struct config c, d;
	struct err e = { 0 };

	config_default(&d);
	assert_int_equal(config_load("/nonexistent/x", false, &c, &e), 0);
	assert_memory_equal(&c, &d, sizeof(c));
	assert_int_equal(config_load("/nonexistent/x", true, &c, &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_keys_are_read),
		cmocka_unit_test(the_polled_engine_is_read),
		cmocka_unit_test(without_cores_nothing_polls_for_ever),
		cmocka_unit_test(bad_values_are_named),
		cmocka_unit_test(no_file_means_the_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
