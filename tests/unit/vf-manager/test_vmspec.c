// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmspec.h"

#include "vf-manager/vmport.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <stdlib.h>

#define HEAD \
	"name: fw1\nmemory: {size: 2G, hugepages: 2M}\nboot: {kernel: vmlinuz, initrd: /i, cmdline: 'a b'}\n"

static void a_whole_file_is_read(void **state)
{
	const struct vm_text text = {
		.base_dir = "/srv",
		.yaml = HEAD
		"cpus: {count: 2, pin: [2, 3], dedicated: yes}\n"
		"ports:\n"
		"  - {name: wan, network: provider, mac: '02:00:00:00:00:01',\n"
		"     vlan: {mode: qinq, ids: [100], qos: 3}, trust: promisc, spoofchk: off,\n"
		"     rate: 5G, min_rate: 100M, link: up, mtu: 9000}\n"
		"  - {name: lan, vf: 'eth0#1', engine: auto, fallback: polled}\n"
		"test: {low_ram_limit: 256M}\n",
	};
	struct vm_spec *s = calloc(1, sizeof(*s));
	auto_json json_t *warnings = json_array(), *shown = NULL;
	struct err e = { 0 };
	const struct vf_attrs *a;

	assert_non_null(s);
	assert_int_equal(vm_spec_parse(&text, s, warnings, &e), 0);
	assert_string_equal(s->kernel, "/srv/vmlinuz");
	assert_string_equal(s->initrd, "/i");
	assert_int_equal(s->memory_bytes, GIB(2));
	assert_int_equal(s->hugepage_bytes, MIB(2));
	assert_int_equal(s->low_limit_bytes, MIB(256));
	assert_int_equal(s->pin[1], 3);
	assert_true(s->is_dedicated);
	assert_int_equal(s->numa, VM_NUMA_AUTO);
	assert_int_equal(s->port_count, 2);
	a = &s->ports[0].attrs;
	assert_int_equal(a->mask, VF_ATTRS_ALL);
	assert_int_equal(a->vlan, 100);
	assert_int_equal(a->vlan_proto, VF_VLAN_8021AD);
	assert_int_equal(a->max_mbps, 5000);
	assert_int_equal(a->min_mbps, 100);
	assert_true(a->trust && !a->spoofchk);
	assert_int_equal(s->ports[1].source, PORT_FROM_VF);
	assert_int_equal(s->ports[1].attrs.mask, 0);
	assert_int_equal(json_array_size(warnings), 1);
	shown = vm_spec_json(s);
	assert_non_null(shown);
	assert_int_equal(json_array_size(json_object_get(shown, "ports")), 2);
	free(s);
}

/* What memory.hugepages means: pages and whether smaller ones will do. */
static void hugepages_are_wanted_unless_the_file_says_off(void **state)
{
	static const struct {
		const char *word;
		uint64_t bytes;
		bool fallback;
	} rows[] = {
		{ "", MIB(2), true },
		{ ", hugepages: auto", MIB(2), true },
		{ ", hugepages: 2M", MIB(2), false },
		{ ", hugepages: 1G", GIB(1), false },
		{ ", hugepages: off", 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char yaml[256];
		const struct vm_text text = { .base_dir = "/srv", .yaml = yaml };
		struct vm_spec *s = calloc(1, sizeof(*s));
		auto_json json_t *warnings = json_array();
		struct err e = { 0 };

		snprintf(yaml, sizeof(yaml),
			 "name: a\nmemory: {size: 2G%s}\nboot: {kernel: k, ready: 'login:'}\n",
			 rows[i].word);
		assert_int_equal(vm_spec_parse(&text, s, warnings, &e), 0);
		assert_int_equal(s->hugepage_bytes, rows[i].bytes);
		assert_int_equal(s->hugepage_fallback, rows[i].fallback);
		assert_string_equal(s->ready, "login:");
		free(s);
	}
}

static void memory_lies_on_a_node_near_or_anywhere(void **state)
{
	static const struct {
		const char *word;
		enum vm_numa numa;
		const char *shown;
	} rows[] = { { "auto", VM_NUMA_AUTO, "\"auto\"" },
		     { "off", VM_NUMA_OFF, "\"off\"" },
		     { "0", VM_NUMA_NODE, "0" },
		     { "1023", VM_NUMA_NODE, "1023" } };
	struct vm_spec *s = calloc(1, sizeof(*s));
	auto_json json_t *warnings = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *json = NULL;
		auto_free char *shown = NULL;
		struct vm_text text = { .base_dir = "/" };
		char yaml[128];

		snprintf(yaml, sizeof(yaml),
			 "name: a\nmemory: {size: 64M, numa: %s}\nboot: {kernel: k}\n",
			 rows[i].word);
		text.yaml = yaml;
		assert_int_equal(vm_spec_parse(&text, s, warnings, NULL), 0);
		assert_int_equal(s->numa, rows[i].numa);
		json = vm_spec_json(s);
		shown = json_dumps(json_object_get(json_object_get(json, "memory"), "numa"),
				   JSON_ENCODE_ANY);
		assert_string_equal(shown, rows[i].shown);
	}
	free(s);
}

static void relative_paths_need_a_folder(void **state)
{
	const struct vm_text text = { .base_dir = "", .yaml = HEAD };
	struct vm_spec *s = calloc(1, sizeof(*s));
	auto_json json_t *warnings = json_array();
	struct err e = { 0 };

	assert_int_equal(vm_spec_parse(&text, s, warnings, &e), -EINVAL);
	assert_non_null(strstr(e.text, "boot.kernel"));
	free(s);
}

static void rates_are_whole_megabits(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint32_t mbps;
	} rows[] = {
		{ "5G", 0, 5000 },
		{ "100M", 0, 100 },
		{ "1000000", 0, 1 },
		{ "2000K", 0, 2 },
		{ "0", 0, 0 },
		{ "", -EINVAL, 0 },
		{ "G", -EINVAL, 0 },
		{ "1K", -EINVAL, 0 },
		{ "-1G", -EINVAL, 0 },
		{ "0x10M", 0, 16 },
		{ "5GG", -EINVAL, 0 },
		{ "5 G", -EINVAL, 0 },
		{ "99999999999G", -EINVAL, 0 },
		{ "5000000G", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t mbps = 0;

		assert_int_equal(rate_parse(rows[i].text, &mbps), rows[i].r);
		assert_int_equal(mbps, rows[i].mbps);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_file_is_read),
		cmocka_unit_test(hugepages_are_wanted_unless_the_file_says_off),
		cmocka_unit_test(memory_lies_on_a_node_near_or_anywhere),
		cmocka_unit_test(relative_paths_need_a_folder),
		cmocka_unit_test(rates_are_whole_megabits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
