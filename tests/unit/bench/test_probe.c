// SPDX-License-Identifier: BSD-3-Clause
/* What the generator must see: a frame that is not what was sent, in any bit but those of the addresses. */
#include "bench/gen/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FLOWS 5
#define TRIAL 300
#define STAMP 0xfedcba987654ULL

static const struct probe_addresses to = {
	.source = { 2, 0, 0, 0, 0, 1 },
	.target = { { 2, 0, 0, 0, 0, 2 } },
	.target_count = 1,
};
static struct probe_plan plan;
static uint8_t frame[PROBE_MAX];

static void plan_for(const char *text, uint32_t trial)
{
	struct probe_sizes sizes;

	assert_true(probe_sizes_parse(&sizes, text));
	probe_pattern_make(&plan);
	probe_plan_make(&plan, &sizes, &to, FLOWS, trial);
}

/* The length of frame `id`, from a buffer that was used before. */
static size_t sent(const struct probe_id *id, uint8_t key)
{
	static const struct probe_id before = { 1, 99, 0 };

	probe_fill(&plan, frame, sizeof(frame), key);
	probe_write(&plan, frame, &before, 1);
	probe_write(&plan, frame, id, STAMP);
	return probe_bytes(&plan, id);
}

static void test_what_was_sent_is_good(void **state)
{
	static const char *const sizes[] = { "64", "65", "67", "128", "1518", "9000", "imix" };
	struct probe_seen seen;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct probe_id id = { 0 };

		plan_for(sizes[i], TRIAL);
		for (uint32_t n = 0; n < 300; n++) {
			size_t len = sent(&id, (uint8_t)n);

			assert_int_equal(probe_read(&plan, frame, len, &seen), PROBE_GOOD);
			assert_int_equal(seen.flow, n % FLOWS);
			assert_int_equal(seen.seq, n / FLOWS);
			assert_true(seen.stamp == STAMP);
			probe_next(&plan, &id);
		}
	}
}

static void test_each_bit_counts(void **state)
{
	const struct probe_id id = { 2, 77, 0 };
	struct probe_seen seen;
	size_t len;

	plan_for("594", TRIAL);
	len = sent(&id, 9);
	for (size_t at = 12; at < len; at++)
		for (unsigned int bit = 0; bit < 8; bit++) {
			enum probe_verdict verdict;

			frame[at] ^= (uint8_t)(1 << bit);
			verdict = probe_read(&plan, frame, len, &seen);
			/* What is behind the number and its check leaves the number known. */
			if (at >= PROBE_HEAD)
				assert_int_equal(verdict, PROBE_BAD);
			else
				assert_true(verdict == PROBE_BAD || verdict == PROBE_BROKEN);
			frame[at] ^= (uint8_t)(1 << bit);
		}
	assert_int_equal(probe_read(&plan, frame, len, &seen), PROBE_GOOD);
}

/* A reflector swaps them. */
static void test_addresses_of_ethernet_do_not_count(void **state)
{
	const struct probe_id id = { 0, 1, 0 };
	struct probe_seen seen;
	size_t len;

	plan_for("64", TRIAL);
	len = sent(&id, 1);
	assert_memory_equal(frame, to.target[0], 6);
	assert_memory_equal(frame + 6, to.source, 6);
	memcpy(frame, to.source, 6);
	memcpy(frame + 6, to.target[0], 6);
	assert_int_equal(probe_read(&plan, frame, len, &seen), PROBE_GOOD);
}

/* Each flow goes to one of them, and they are all the same frames to who hears them. */
static void test_flows_go_to_the_targets_in_turn(void **state)
{
	struct probe_addresses three = to;
	struct probe_sizes sizes;
	struct probe_id id = { 0 };
	struct probe_seen seen;

	three.target_count = 3;
	memcpy(three.target[1], (const uint8_t[]){ 2, 0, 0, 0, 0, 3 }, 6);
	memcpy(three.target[2], (const uint8_t[]){ 2, 0, 0, 0, 0, 4 }, 6);
	assert_true(probe_sizes_parse(&sizes, "imix"));
	probe_plan_make(&plan, &sizes, &three, FLOWS, TRIAL);
	for (uint32_t n = 0; n < 60; n++) {
		size_t len = sent(&id, (uint8_t)n);

		assert_memory_equal(frame, three.target[n % FLOWS % 3], 6);
		assert_memory_equal(frame + 6, to.source, 6);
		assert_int_equal(probe_read(&plan, frame, len, &seen), PROBE_GOOD);
		probe_next(&plan, &id);
	}
}

static void test_another_length_is_bad(void **state)
{
	const struct probe_id id = { 0, 1, 0 };
	struct probe_seen seen;
	size_t len;

	plan_for("512", TRIAL);
	len = sent(&id, 1);
	assert_int_equal(probe_read(&plan, frame, len - 1, &seen), PROBE_BAD);
	assert_int_equal(probe_read(&plan, frame, len + 4, &seen), PROBE_BAD);
	assert_int_equal(probe_read(&plan, frame, PROBE_HEAD, &seen), PROBE_BAD);
	assert_int_equal(probe_read(&plan, frame, PROBE_HEAD - 1, &seen), PROBE_STRAY);
	assert_int_equal(probe_read(&plan, frame, PROBE_MAX, &seen), PROBE_STRAY);
	assert_int_equal(probe_read(&plan, frame, 0, &seen), PROBE_STRAY);
}

/* A copy that stops early leaves what another buffer's frame had. */
static void test_an_end_of_another_frame_is_bad(void **state)
{
	const struct probe_id id = { 0, 1, 0 };
	struct probe_seen seen;
	size_t len;

	plan_for("1518", TRIAL);
	len = sent(&id, 1);
	for (unsigned int key = 2; key < 256; key++) {
		memcpy(frame + len - 4, plan.pattern + key + len - PROBE_HEAD - 4, 4);
		assert_int_equal(probe_read(&plan, frame, len, &seen), PROBE_BAD);
	}
}

static void test_one_of_the_trial_before_is_stray(void **state)
{
	const struct probe_id id = { 0, 1, 0 };
	struct probe_seen seen;
	size_t len;

	plan_for("64", TRIAL - 1);
	len = sent(&id, 1);
	plan_for("64", TRIAL);
	assert_int_equal(probe_read(&plan, frame, len, &seen), PROBE_STRAY);
}

/* Numbers that have their lower half in common: another generator's. */
static void test_all_of_the_trial_counts(void **state)
{
	const struct probe_id id = { 0, 1, 0 };
	struct probe_seen seen;
	size_t len;

	for (unsigned int bit = 0; bit < 32; bit++) {
		plan_for("64", TRIAL ^ (1U << bit));
		len = sent(&id, 1);
		plan_for("64", TRIAL);
		assert_int_equal(probe_read(&plan, frame, len, &seen), PROBE_STRAY);
	}
}

static void test_what_others_send_is_stray(void **state)
{
	struct probe_seen seen;

	plan_for("64", TRIAL);
	memset(frame, 0, sizeof(frame));
	assert_int_equal(probe_read(&plan, frame, 60, &seen), PROBE_STRAY);
	memset(frame, 0xff, sizeof(frame));
	assert_int_equal(probe_read(&plan, frame, 1514, &seen), PROBE_STRAY);
}

/* Of a flow that there is not: a trial of more flows with the same number. */
static void test_a_flow_that_is_none_is_not_counted(void **state)
{
	const struct probe_id id = { 4, 1, 0 };
	struct probe_sizes sizes;
	struct probe_seen seen;
	size_t len;

	plan_for("64", TRIAL);
	len = sent(&id, 1);
	probe_sizes_parse(&sizes, "64");
	probe_plan_make(&plan, &sizes, &to, 4, TRIAL);
	assert_int_equal(probe_read(&plan, frame, len, &seen), PROBE_BROKEN);
}

static void test_sizes_are_read(void **state)
{
	static const char *const bad[] = { "", "63", "9001", "64k", " 64", "-64", "IMIX", "1e3" };
	unsigned int count[PROBE_SIZES] = { 0 };
	struct probe_sizes s;

	assert_true(probe_sizes_parse(&s, "imix"));
	assert_int_equal(probe_sizes_max(&s), 1518);
	for (unsigned int i = 0; i < PROBE_MIX; i++)
		count[s.turn[i]]++;
	assert_int_equal(count[0], 7);
	assert_int_equal(count[1], 4);
	assert_int_equal(count[2], 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(probe_sizes_parse(&s, bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_sent_is_good),
		cmocka_unit_test(test_each_bit_counts),
		cmocka_unit_test(test_addresses_of_ethernet_do_not_count),
		cmocka_unit_test(test_flows_go_to_the_targets_in_turn),
		cmocka_unit_test(test_another_length_is_bad),
		cmocka_unit_test(test_an_end_of_another_frame_is_bad),
		cmocka_unit_test(test_one_of_the_trial_before_is_stray),
		cmocka_unit_test(test_all_of_the_trial_counts),
		cmocka_unit_test(test_what_others_send_is_stray),
		cmocka_unit_test(test_a_flow_that_is_none_is_not_counted),
		cmocka_unit_test(test_sizes_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
