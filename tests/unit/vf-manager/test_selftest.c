// SPDX-License-Identifier: BSD-3-Clause
/* The report of the self test: what the tester says of its steps, checked, and what it all comes to. */
#include "vf-manager/selftest.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>

static const json_t *step_of(const json_t *steps, const char *id)
{
	const json_t *step, *found = NULL;
	size_t i;

	json_array_foreach((json_t *)steps, i, step)
		if (strcmp(json_string_value(json_object_get(step, "id")), id) == 0) {
			assert_null(found); /* each once */
			found = step;
		}
	assert_non_null(found);
	return found;
}

static const char *member(const json_t *steps, const char *id, const char *key)
{
	return json_string_value(json_object_get(step_of(steps, id), key));
}

static json_t *said(const char *text)
{
	json_t *j = json_loads(text, 0, NULL);

	assert_non_null(j);
	return j;
}

static void what_the_tester_says_is_taken_step_by_step(void **state)
{
	auto_json json_t *steps = json_array();
	auto_json json_t *reply = said(
		"{\"steps\":["
		"{\"id\":\"dma\",\"result\":\"pass\",\"text\":\"64 MiB\",\"us\":70},"
		"{\"id\":\"function\",\"result\":\"pass\",\"text\":\"opened\",\"us\":3},"
		"{\"id\":\"scrub\",\"result\":\"pass\",\"text\":\"not its business\",\"us\":3},"
		"{\"id\":\"rm -rf\",\"result\":\"pass\",\"text\":\"x\",\"us\":3},"
		"{\"id\":\"reset\",\"result\":\"splendid\",\"text\":\"x\",\"us\":3},"
		"{\"id\":\"vcpu\",\"result\":\"pass\",\"text\":\"\\u001b[2J\",\"us\":3},"
		"{\"id\":\"vfio-interrupt\",\"result\":\"pass\",\"text\":\"x\",\"us\":-1},"
		"{\"id\":\"device-interrupt\",\"result\":\"not-run\",\"text\":\"not known\",\"us\":1}]}");

	selftest_steps_take(steps, reply, NULL);
	assert_int_equal(json_array_size(steps), 7);
	/* In the report's order. */
	assert_string_equal(json_string_value(json_object_get(json_array_get(steps, 0), "id")),
			    "function");
	assert_string_equal(member(steps, "dma", "result"), "pass");
	assert_string_equal(member(steps, "dma", "text"), "64 MiB");
	assert_int_equal(json_integer_value(json_object_get(step_of(steps, "dma"), "us")), 70);
	assert_string_equal(member(steps, "device-interrupt", "result"), "not-run");
	/* What cannot be believed has failed, and so has what is missing. */
	assert_string_equal(member(steps, "reset", "result"), "fail");
	assert_string_equal(member(steps, "vcpu", "result"), "fail");
	assert_string_equal(member(steps, "vfio-interrupt", "result"), "fail");
	assert_string_equal(member(steps, "guest-interrupt", "result"), "fail");
	assert_string_equal(selftest_verdict(steps), "fail");
}

static void a_tester_that_says_nothing_has_failed(void **state)
{
	static const char *const odd[] = { "{}", "{\"steps\":3}", "{\"steps\":[1,null,{}]}",
					   "{\"steps\":[{\"id\":\"dma\"}]}" };
	struct err why = { 0 };

	err_set(&why, ECONNRESET, "viaduct-vmm: it closed the connection");
	err_hint(&why, "look there");
	for (size_t i = 0; i <= ARRAY_SIZE(odd); i++) {
		auto_json json_t *steps = json_array();
		auto_json json_t *reply = i < ARRAY_SIZE(odd) ? said(odd[i]) : NULL;

		selftest_steps_take(steps, reply, reply == NULL ? &why : NULL);
		assert_int_equal(json_array_size(steps), 7);
		assert_string_equal(member(steps, "dma", "result"), "fail");
		if (reply == NULL)
			assert_string_equal(member(steps, "dma", "hint"), "look there");
	}
}

static void posting_is_judged_where_it_is_there(void **state)
{
	static const struct {
		const char *said;
		enum iommu_tristate cpu, unit;
		const char *result, *words;
	} rows[] = {
		{ "{\"sent\":64,\"host_counted\":0}", IOMMU_ON, IOMMU_ON, "pass", "handled 0" },
		{ "{\"sent\":64,\"host_counted\":8}", IOMMU_ON, IOMMU_ON, "pass", "handled 8" },
		{ "{\"sent\":64,\"host_counted\":9}", IOMMU_ON, IOMMU_ON, "fail", "handled 9" },
		{ "{\"sent\":64,\"host_counted\":9}", IOMMU_ON, IOMMU_UNKNOWN, "not-run",
		  "is not known" },
		{ "{\"sent\":64,\"host_counted\":64}", IOMMU_ON, IOMMU_ON, "fail", "handled 64" },
		{ "{\"sent\":64,\"host_counted\":64}", IOMMU_ON, IOMMU_OFF, "not-run",
		  "the remapping unit does not post" },
		{ "{\"sent\":64,\"host_counted\":64}", IOMMU_OFF, IOMMU_ON, "not-run", "the CPU" },
		{ "{\"sent\":64,\"host_counted\":64}", IOMMU_ON, IOMMU_UNKNOWN, "not-run",
		  "is not known" },
		{ "{\"sent\":64,\"host_counted\":2}", IOMMU_ON, IOMMU_UNKNOWN, "pass",
		  "handled 2" },
		{ "{\"sent\":0,\"host_counted\":-1}", IOMMU_ON, IOMMU_ON, "not-run", "no message" },
		{ "{\"sent\":64,\"host_counted\":-1}", IOMMU_ON, IOMMU_ON, "not-run",
		  "what the host counted is not known" },
		{ "{\"sent\":\"64\"}", IOMMU_ON, IOMMU_ON, "not-run", "no message" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *steps = json_array();
		auto_json json_t *reply = said(rows[i].said);

		selftest_posted_add(steps, reply, rows[i].cpu, rows[i].unit);
		assert_string_equal(member(steps, "posted-interrupt", "result"), rows[i].result);
		assert_non_null(strstr(member(steps, "posted-interrupt", "text"), rows[i].words));
	}
}

static void without_a_vf_the_test_is_incomplete(void **state)
{
	auto_json json_t *steps = json_array();
	const struct selftest_step cpu = { .id = "cpu", .result = SELFTEST_PASS, .text = "NPT" };
	const struct selftest_step vf = { .id = "vf", .result = SELFTEST_PASS, .text = "pf0#0" };
	const struct selftest_step scrub = { .id = "scrub",
					     .result = SELFTEST_PASS,
					     .text = "flr" };

	selftest_step_add(steps, &cpu);
	selftest_step_add(steps, &vf);
	assert_string_equal(selftest_verdict(steps), "incomplete");
	selftest_steps_skip(steps, "there is none", "make one");
	assert_int_equal(json_array_size(steps), 12); /* all but kvm and iommu */
	assert_string_equal(member(steps, "vf", "result"), "pass");
	assert_string_equal(member(steps, "reset", "result"), "not-run");
	assert_string_equal(member(steps, "reset", "hint"), "make one");
	assert_string_equal(selftest_verdict(steps), "incomplete");
	json_array_clear(steps);
	selftest_step_add(steps, &cpu);
	selftest_step_add(steps, &scrub);
	assert_string_equal(selftest_verdict(steps), "incomplete");
}

static void it_passes_when_all_that_every_machine_has_was_tried(void **state)
{
	static const char *const ids[] = { "cpu",   "kvm",	 "iommu",
					   "vf",    "isolation", "function",
					   "dma",   "vcpu",	 "vfio-interrupt",
					   "reset", "scrub" };

	for (size_t without = 0; without <= ARRAY_SIZE(ids); without++) {
		auto_json json_t *steps = json_array();

		for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
			const struct selftest_step step = { .id = ids[i],
							    .result = i == without
									      ? SELFTEST_NOT_RUN
									      : SELFTEST_PASS,
							    .text = "x" };

			selftest_step_add(steps, &step);
		}
		selftest_steps_skip(steps, "no card that we know", NULL);
		assert_string_equal(selftest_verdict(steps),
				    without < ARRAY_SIZE(ids) ? "incomplete" : "pass");
	}
}

static void names_of_network_devices_are_not_told(void **state)
{
	static const struct selftest_name names[] = { { "enx001b21aabbcc", "0000:01:00.0" },
						      { "eth1", "0000:02:00.0" } };
	auto_json json_t *steps = json_array();
	const struct selftest_step step = {
		.id = "vf",
		.result = SELFTEST_NOT_RUN,
		.text = "enx001b21aabbcc#0 of (eth1), not eth10 nor veth1",
		.hint = "viaduct pf apply enx001b21aabbcc --vfs 2; viaduct pf show eth1"
	};

	selftest_step_add(steps, &step);
	selftest_names_hide(steps, names, ARRAY_SIZE(names));
	assert_string_equal(member(steps, "vf", "text"),
			    "0000:01:00.0#0 of (0000:02:00.0), not eth10 nor veth1");
	assert_string_equal(member(steps, "vf", "hint"),
			    "viaduct pf apply 0000:01:00.0 --vfs 2; viaduct pf show 0000:02:00.0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_tester_says_is_taken_step_by_step),
		cmocka_unit_test(a_tester_that_says_nothing_has_failed),
		cmocka_unit_test(posting_is_judged_where_it_is_there),
		cmocka_unit_test(without_a_vf_the_test_is_incomplete),
		cmocka_unit_test(it_passes_when_all_that_every_machine_has_was_tried),
		cmocka_unit_test(names_of_network_devices_are_not_told),
	};

	return cmocka_run_group_tests_name("vf-manager-selftest", tests, NULL, NULL);
}
