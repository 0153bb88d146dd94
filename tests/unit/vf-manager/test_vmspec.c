// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/coresched.h"
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

/* As gmem places them (tests/unit/vmm/test_gmem.c has the same figures). */
static void ram_lies_where_the_vmm_puts_it(void **state)
{
	static const struct {
		uint64_t memory, low_limit, start, last;
	} rows[] = {
		{ MIB(64), 0, 0, MIB(64) - 1 },
		{ MIB(128), MIB(64), GIB(4), GIB(4) + MIB(64) - 1 },
		{ GIB(1010), 0, GIB(4), GIB(1012) - 1 },
		{ GIB(1010) + MIB(2), 0, GIB(1024), GIB(2032) + MIB(2) - 1 },
		{ GIB(1024), 0, GIB(1024), GIB(2046) - 1 },
	};
	struct vm_spec *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct range slots[2];
		unsigned int n;

		s->memory_bytes = rows[i].memory;
		s->low_limit_bytes = rows[i].low_limit;
		n = vm_ram_slots(s, slots);
		assert_int_equal(slots[n - 1].start, rows[i].start);
		assert_int_equal(slots[n - 1].last, rows[i].last);
	}
	free(s);
}

static void a_whole_file_is_read(void **state)
{
	const struct vm_text text = {
		.base_dir = "/srv",
		.yaml = HEAD
		"cpus: {count: 2, pin: [2, 3], dedicated: yes}\n"
		"ports:\n"
		"  - {name: wan, network: provider, mac: '02:00:00:00:00:01',\n"
		"     vlan: {mode: qinq, ids: [100], qos: 3}, trust: promisc, spoofchk: off,\n"
		"     rate: 5G, min_rate: 100M, link: up, mtu: 9000, anti_affinity: [edge, core]}\n"
		"  - {name: lan, vf: 'eth0#1', engine: auto}\n"
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
	assert_int_equal(s->ports[0].word_count, 2);
	assert_string_equal(s->ports[0].words[1], "core");
	assert_int_equal(s->ports[1].word_count, 0);
	assert_int_equal(s->ports[1].source, PORT_FROM_VF);
	assert_int_equal(s->ports[1].attrs.mask, 0);
	assert_int_equal(s->ports[1].engine, PORT_VF);
	assert_int_equal(json_array_size(warnings), 0);
	shown = vm_spec_json(s);
	assert_non_null(shown);
	assert_int_equal(json_array_size(json_object_get(shown, "ports")), 2);
	free(s);
}

static void cores_and_shares_are_read(void **state)
{
	static const struct {
		const char *cpus;
		enum vm_core core;
		unsigned int shares;
		bool is_wanted;
	} rows[] = {
		{ "", VM_CORE_AUTO, 0, true },
		{ "cpus: {pin: [3]}\n", VM_CORE_AUTO, 0, false },
		{ "cpus: {pin: [3], core_scheduling: true, shares: 10000}\n", VM_CORE_ON, 10000,
		  true },
		{ "cpus: {core_scheduling: false, shares: 1}\n", VM_CORE_OFF, 1, false },
	};
	struct vm_spec *s = calloc(1, sizeof(*s));
	struct err e = { 0 };
	char yaml[256];

	assert_non_null(s);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct vm_text text = { .base_dir = "/srv", .yaml = yaml };

		snprintf(yaml, sizeof(yaml), HEAD "%s", rows[i].cpus);
		assert_int_equal(vm_spec_parse(&text, s, NULL, &e), 0);
		assert_int_equal(s->core_sched, rows[i].core);
		assert_int_equal(s->shares, rows[i].shares);
		assert_int_equal(core_is_wanted(s), rows[i].is_wanted);
	}
	for (unsigned int n = 0; n <= 10001; n += 10001) {
		const struct vm_text text = { .base_dir = "/srv", .yaml = yaml };

		snprintf(yaml, sizeof(yaml), HEAD "cpus: {shares: %u}\n", n);
		assert_int_equal(vm_spec_parse(&text, s, NULL, &e), -ERANGE);
		assert_non_null(strstr(e.text, "is not between 1 and 10000"));
	}
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

/* NULL: the file is right. */
static void port_refused(const char *words, const char *refusal, struct vm_spec *s)
{
	auto_json json_t *warnings = json_array();
	char yaml[600];
	const struct vm_text text = { .yaml = yaml, .base_dir = "/" };
	struct err e = { 0 };
	int r;

	snprintf(yaml, sizeof(yaml), HEAD "ports: [{name: mgt, %s}]\n", words);
	r = vm_spec_parse(&text, s, warnings, &e);
	if (refusal == NULL ? r != 0 : r == 0 || strstr(e.text, refusal) == NULL)
		fail_msg("%s: %d %s", words, r, e.text);
}

static void polled_ports_have_words_of_their_own(void **state)
{
	static const struct {
		const char *words, *refusal;
	} rows[] = {
		{ "network: n, engine: polled", NULL },
		{ "pf: p, engine: polled", "engine: polled needs a network, not a pf" },
		{ "vf: 'p#0', engine: auto, fallback: polled", "fallback: polled needs a network" },
		{ "network: n, engine: polled, fallback: polled",
		  "fallback is only for engine: auto" },
		{ "network: n, engine: auto, fallback: vf", "fallback: 'vf' is not polled" },
		{ "network: n, engine: polled, queues: 8", NULL },
		{ "network: n, engine: polled, queues: 9", "queues: 9 is not between 1 and 8" },
		{ "network: n, engine: polled, queue_size: 96",
		  "queue_size: 96 is no power of two" },
		{ "network: n, engine: polled, queue_size: 32", "queue_size: 32 is not between" },
		{ "network: n, engine: polled, queue_size: 2048",
		  "queue_size: 2048 is not between" },
		{ "network: n, engine: auto, fallback: polled, mtu: 9001",
		  "mtu: 9001 is not between" },
		{ "network: n, engine: polled, storm: 0", "storm: 0 is not between" },
		{ "network: n, engine: polled, anti_affinity: [edge]",
		  "anti_affinity: a polled port" },
		{ "network: n, engine: auto, fallback: polled, anti_affinity: [edge]",
		  "anti_affinity: a polled port" },
		{ "network: n, engine: auto, anti_affinity: [edge]", NULL },
		{ "network: n, engine: polled, on_fault: stop",
		  "on_fault: stop: a polled port has no" },
		{ "network: n, engine: auto, fallback: polled, on_fault: stop", NULL },
		{ "network: n, engine: polled, backend_grace: 61s",
		  "backend_grace: '61s' is no time" },
		{ "network: n, engine: polled, backend_grace: soon", "backend_grace: 'soon'" },
		{ "network: n, engine: polled, backend_grace: 500ms", NULL },
	};
	struct vm_spec *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		port_refused(rows[i].words, rows[i].refusal, s);
	assert_int_equal(s->ports[0].grace_ms, 500);
	port_refused(
		"network: n, engine: polled}, {name: b, network: n, engine: auto, fallback: polled"
		"}, {name: c, network: n",
		NULL, s);
	assert_int_equal(vm_spec_devices(s), 1);
	assert_int_equal(vm_spec_devices_max(s), 2);
	assert_int_equal(s->ports[0].grace_ms, PORT_GRACE_MS);
	free(s);
}

static void the_grace_of_the_vm_is_that_of_its_ports(void **state)
{
	const struct vm_text text = {
		.base_dir = "/",
		.yaml = HEAD "backend_grace: 10s\n"
			     "ports: [{name: a, network: n, engine: polled},"
			     " {name: b, network: n, engine: polled, backend_grace: 0s}]\n",
	};
	auto_json json_t *warnings = json_array();
	struct vm_spec *s = calloc(1, sizeof(*s));
	struct err e = { 0 };

	assert_non_null(s);
	assert_int_equal(vm_spec_parse(&text, s, warnings, &e), 0);
	assert_int_equal(s->ports[0].grace_ms, 10000);
	assert_int_equal(s->ports[1].grace_ms, 0);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ram_lies_where_the_vmm_puts_it),
		cmocka_unit_test(a_whole_file_is_read),
		cmocka_unit_test(cores_and_shares_are_read),
		cmocka_unit_test(hugepages_are_wanted_unless_the_file_says_off),
		cmocka_unit_test(memory_lies_on_a_node_near_or_anywhere),
		cmocka_unit_test(relative_paths_need_a_folder),
		cmocka_unit_test(rates_are_whole_megabits),
		cmocka_unit_test(polled_ports_have_words_of_their_own),
		cmocka_unit_test(the_grace_of_the_vm_is_that_of_its_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
