// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/life.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S 1000000000ULL

static void resets_come_in_a_burst_and_then_one_a_second(void **state)
{
	struct life life;
	uint64_t now = 100 * S;
	unsigned int done = 0;

	life_init(&life, now);
	for (unsigned int i = 0; i < LIFE_RESET_BURST; i++)
		assert_int_equal(life_reset_admit(&life, now), 0);
	assert_int_equal(life_reset_admit(&life, now), S);
	assert_int_equal(life_reset_admit(&life, now + S / 4), S - S / 4);
	/* However often it asks. */
	for (; now < 160 * S; now += S / 100)
		done += life_reset_admit(&life, now) == 0;
	assert_in_range(done, 59, 60);
	/* Peace brings the burst back, and no more than that. */
	now += 3600 * S;
	for (unsigned int i = 0; i < LIFE_RESET_BURST; i++)
		assert_int_equal(life_reset_admit(&life, now), 0);
	assert_int_not_equal(life_reset_admit(&life, now), 0);
}

static void panics_count_in_a_row_when_each_is_soon_after_a_start(void **state)
{
	struct life life;
	uint64_t now = 100 * S;

	life_init(&life, now);
	for (unsigned int i = 1; i < LIFE_PANIC_ROW; i++) {
		assert_false(life_panicked(&life, now + 5 * S));
		life_reset_done(&life, RESET_PANIC, now += 6 * S);
	}
	/* It ran for an hour: that is another matter. */
	now += 3600 * S;
	assert_false(life_panicked(&life, now));
	for (unsigned int i = 1; i < LIFE_PANIC_ROW - 1; i++) {
		life_reset_done(&life, RESET_PANIC, now);
		assert_false(life_panicked(&life, now += S));
	}
	life_reset_done(&life, RESET_PANIC, now);
	assert_true(life_panicked(&life, now + S));
	assert_int_equal(life.panics, 2 * LIFE_PANIC_ROW - 1);
}

static void json_names_what_happened_and_nothing_else(void **state)
{
	struct life life;
	json_t *j, *resets;

	life_init(&life, S);
	life_reset_done(&life, RESET_TRIPLE_FAULT, S);
	life_reset_done(&life, RESET_TRIPLE_FAULT, S);
	life_reset_done(&life, RESET_WATCHDOG, S);
	life_watchdog_fired(&life);
	j = life_json(&life);
	resets = json_object_get(j, "resets");
	assert_int_equal(json_object_size(resets), 2);
	assert_int_equal(json_integer_value(json_object_get(resets, "triple-fault")), 2);
	assert_int_equal(json_integer_value(json_object_get(resets, "watchdog")), 1);
	assert_int_equal(life_resets(&life), 3);
	assert_true(json_integer_value(json_object_get(j, "reset_at")) > 1000000000);
	assert_true(json_integer_value(json_object_get(j, "watchdog_at")) > 1000000000);
	assert_int_equal(json_integer_value(json_object_get(j, "panicked_at")), 0);
	json_decref(j);
	for (unsigned int i = 0; i < RESET_CAUSES; i++)
		assert_true(reset_cause_text(i)[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resets_come_in_a_burst_and_then_one_a_second),
		cmocka_unit_test(panics_count_in_a_row_when_each_is_soon_after_a_start),
		cmocka_unit_test(json_names_what_happened_and_nothing_else),
	};

	return cmocka_run_group_tests_name("vmm-life", tests, NULL, NULL);
}
