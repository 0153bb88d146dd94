// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/audit_msg.h"
#include "iommu/audit_proc.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

static void guest_ram_among_mappings(void **state)
{
	/* A policy for one half cuts the mapping in two. */
	static const char maps[] =
		"55d0c0000000-55d0c0010000 r--p 00000000 fe:01 1234 /usr/bin/viaduct-vmm\n"
		"7f0000000000-7f0010000000 rw-s 00000000 00:01 2056 /memfd:guest-ram (deleted)\n"
		"7f0010000000-7f0020000000 rw-s 10000000 00:01 2056 /memfd:guest-ram (deleted)\n"
		"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]\n";
	struct audit_ram ram[2] = { { 0, MIB(384), 0 }, { GIB(4), MIB(128), 0 } };

	assert_int_equal(audit_maps_find(maps, ram, 2), 0);
	assert_int_equal(ram[0].hva, 0x7F0000000000ULL);
	assert_int_equal(ram[1].hva, 0x7F0000000000ULL + MIB(384));
	ram[1].size = MIB(130);
	assert_int_equal(audit_maps_find(maps, ram, 2), -ENOENT);
	assert_int_equal(audit_maps_find("", ram, 1), -ENOENT);
	assert_int_equal(audit_maps_find("7f0000000000-7f0010000000 rw-s 00001000 00:01 2056 "
					 "/memfd:guest-ram (deleted)",
					 ram, 1),
			 -ENOENT);
	/* The second half elsewhere. */
	assert_int_equal(
		audit_maps_find(
			"7f0000000000-7f0010000000 rw-s 00000000 00:01 1 /memfd:guest-ram (deleted)\n"
			"7f0030000000-7f0040000000 rw-s 10000000 00:01 1 /memfd:guest-ram (deleted)\n",
			ram, 1),
		-ENOENT);
}

static void apic_ids(void **state)
{
	static struct audit_machine m;

	audit_cpus_parse("processor\t: 0\nvendor_id\t: X\napicid\t\t: 4\ninitial apicid\t: 4\n\n"
			 "processor\t: 2\napicid\t\t: 260\n\nprocessor\t: 99999\napicid\t\t: 1\n",
			 &m);
	assert_int_equal(m.cpu_count, 3);
	assert_int_equal(m.apic_ids[0], 4);
	assert_int_equal(m.apic_ids[1], UINT32_MAX);
	assert_int_equal(m.apic_ids[2], 260);
}

static void frames_of_pagemap(void **state)
{
	assert_int_equal(audit_pagemap_frame(BIT_ULL(63) | 0x12345), 0x12345);
	assert_int_equal(audit_pagemap_frame(BIT_ULL(63) | BIT_ULL(55) | 0x12345), 0x12345);
	assert_int_equal(audit_pagemap_frame(0x12345), AUDIT_NO_FRAME);
	assert_int_equal(audit_pagemap_frame(BIT_ULL(63)), AUDIT_NO_FRAME); /* hidden */
	assert_int_equal(audit_pagemap_frame(BIT_ULL(62) | 0x12345), AUDIT_NO_FRAME);
}

static void requests_there_and_back(void **state)
{
	static struct audit_wish wish = { .pid = 77,
					  .ram = { { 0, GIB(2), 0 }, { GIB(4), GIB(1), 0 } },
					  .ram_count = 2,
					  .functions = { { { 0, 1, 16, 2 }, 0xFED90000, true } },
					  .function_count = 1 },
				 back;
	auto_json json_t *j = audit_wish_build(&wish);
	struct err e;

	assert_int_equal(audit_wish_parse(j, &back, &e), 0);
	assert_memory_equal(&wish, &back, sizeof(wish));
}

static void requests_of_another_form_are_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"{\"v\":2,\"pid\":1,\"ram\":[],\"functions\":[]}",
		"{\"v\":1,\"pid\":1,\"ram\":[],\"functions\":[],\"more\":1}",
		"{\"v\":1,\"pid\":-1,\"ram\":[],\"functions\":[]}",
		"{\"v\":1,\"pid\":1,\"ram\":[{\"gpa\":0,\"size\":100}],\"functions\":[]}",
		"{\"v\":1,\"pid\":1,\"ram\":[{\"gpa\":4096,\"size\":0}],\"functions\":[]}",
		"{\"v\":1,\"pid\":1,\"ram\":[{\"gpa\":4096,\"size\":8192},{\"gpa\":8192,\"size\":4096}],\"functions\":[]}",
		"{\"v\":1,\"pid\":1,\"ram\":[3],\"functions\":[]}",
		"{\"v\":1,\"pid\":1,\"ram\":[],\"functions\":[{\"address\":\"x\",\"registers\":0}]}",
		"{\"v\":1,\"pid\":1,\"ram\":[],\"functions\":[{\"address\":\"0000:01:10.0\"}]}",
	};
	static struct audit_wish wish;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_json json_t *j = json_loads(bad[i], 0, NULL);
		struct err e;

		assert_non_null(j);
		assert_true(audit_wish_parse(j, &wish, &e) < 0);
		assert_true(e.text[0] != '\0');
	}
}

static void the_worst_verdict_counts(void **state)
{
	assert_int_equal(audit_verdict_worse(AUDIT_PROVEN, AUDIT_NOT_PROVABLE), AUDIT_NOT_PROVABLE);
	assert_int_equal(audit_verdict_worse(AUDIT_NOT_PROVABLE, AUDIT_PROVEN), AUDIT_NOT_PROVABLE);
	assert_int_equal(audit_verdict_worse(AUDIT_VIOLATED, AUDIT_NOT_PROVABLE), AUDIT_VIOLATED);
	assert_int_equal(audit_verdict_worse(AUDIT_NOT_PROVABLE, AUDIT_VIOLATED), AUDIT_VIOLATED);
	assert_int_equal(audit_verdict_worse(AUDIT_PROVEN, AUDIT_PROVEN), AUDIT_PROVEN);
}

static void a_result_as_json(void **state)
{
	static struct audit_result r;
	struct pci_addr fn = { 0, 1, 16, 2 };
	auto_json json_t *j = NULL;

	audit_say(&r, WHY_FOREIGN_PAGE, "IOVA %d", 5);
	r.has_address = true;
	r.address = 0xFFFF800000001000ULL;
	j = audit_result_build(&fn, &r);
	assert_string_equal(json_string_value(json_object_get(j, "verdict")), "violated");
	assert_string_equal(json_string_value(json_object_get(j, "iova")), "0xffff800000001000");
	assert_true(json_is_null(json_object_get(j, "entry")));
	assert_string_equal(json_string_value(json_object_get(j, "stage")), "blocked");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_ram_among_mappings),
		cmocka_unit_test(apic_ids),
		cmocka_unit_test(frames_of_pagemap),
		cmocka_unit_test(requests_there_and_back),
		cmocka_unit_test(requests_of_another_form_are_refused),
		cmocka_unit_test(the_worst_verdict_counts),
		cmocka_unit_test(a_result_as_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
