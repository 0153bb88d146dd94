// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/faultlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define STATUS "DMAR: DRHD: handling fault status reg 2"
#define FAULT \
	"DMAR: [DMA Read NO_PASID] Request device [01:10.0] fault addr 0x1000 [fault reason 0x06] x"

static struct fault_log *l;
static uint64_t seq;

static int setup(void **state)
{
	l = calloc(1, sizeof(*l));
	seq = 100;
	return l == NULL;
}

static int teardown(void **state)
{
	free(l);
	return 0;
}

static bool say_from(const char *text, uint64_t ms, bool is_kernel)
{
	struct kmsg_record rec = { .seq = seq++, .at_us = ms * 1000, .is_kernel = is_kernel };
	struct kmsg_fault f;

	snprintf(rec.text, sizeof(rec.text), "%s", text);
	return fault_log_record(l, &rec, (int64_t)ms, &f) != NULL;
}

static bool say(const char *text, uint64_t ms)
{
	return say_from(text, ms, true);
}

static struct fault_entry *note(uint8_t bus, const char *owner, int64_t ms, unsigned int kind)
{
	const struct fault_record record = {
		.at_ms = ms,
		.kind = kind,
		.what = { .has_address = true, .address = 0x1000, .has_reason = true, .reason = 5 }
	};
	const struct pci_addr fn = { .bus = bus };
	struct fault_owner o = { .start_ticks = 7 };

	snprintf(o.name, sizeof(o.name), "%s", owner);
	return fault_log_note(l, &fn, &o, &record);
}

static void a_process_cannot_tell_of_faults(void **state)
{
	assert_false(say_from(FAULT, 1, false));
	assert_false(say_from("dmar_fault: 9 callbacks suppressed", 1, false));
	assert_false(fault_log_is_short(l));
	assert_true(say(FAULT, 2));
	assert_int_equal(l->records, 3);
}

static void what_the_kernel_left_out_is_counted(void **state)
{
	assert_false(say("dmar_fault: 9 callbacks suppressed", 1000));
	assert_int_equal(l->suppressed, 9);
	assert_true(fault_log_is_short(l));
	assert_int_equal(l->last_loss_ms, 1000);
	assert_false(say("DMAR: DRHD: handling fault status reg 3", 2000));
	assert_int_equal(l->overflows, 1);
	assert_int_equal(l->last_loss_ms, 2000);
}

static void a_gap_in_the_numbers_is_a_loss(void **state)
{
	say("x", 1);
	assert_false(fault_log_is_short(l));
	seq += 5;
	say("x", 2);
	assert_int_equal(l->lost, 5);
	assert_true(fault_log_is_short(l));
}

/* As in the lab: three faults, a status line each, and the fourth status is the last word. */
static void the_limit_is_known_before_the_kernel_says_so(void **state)
{
	for (uint64_t i = 0; i < 3; i++) {
		say(STATUS, 1000 + i);
		assert_true(say(FAULT, 1000 + i));
	}
	assert_false(fault_log_is_short(l));
	say(STATUS, 1010);
	assert_true(fault_log_is_short(l));
	assert_int_equal(l->limits, 1);
	say(STATUS, 1011);
	assert_int_equal(l->limits, 1);
}

static void slow_faults_reach_no_limit(void **state)
{
	for (uint64_t i = 0; i < 50; i++) {
		say(STATUS, 2000 * i);
		assert_true(say(FAULT, 2000 * i));
	}
	assert_false(fault_log_is_short(l));
}

static void an_entry_is_a_function_and_its_owner(void **state)
{
	struct fault_entry *a = note(1, "a/wan", 10, KMSG_AER_CORRECTED), *b;

	assert_int_equal(a->last_bad_ms, 0);
	assert_ptr_equal(note(1, "a/wan", 20, KMSG_DMA_WRITE), a);
	assert_int_equal(a->total, 2);
	assert_int_equal(a->counts[KMSG_DMA_WRITE], 1);
	assert_int_equal(a->last_bad_ms, 20);
	b = note(1, "b/wan", 30, KMSG_DMA_READ);
	assert_ptr_not_equal(a, b);
	assert_ptr_not_equal(note(2, "a/wan", 30, KMSG_DMA_READ), a);
	assert_int_equal(l->count, 3);
	assert_int_equal(a->total, 2);
}

/* A storm of one function drives nothing of another one out, and many functions make room for each other. */
static void memory_is_bounded(void **state)
{
	struct fault_entry *quiet = note(0, "b/wan", 1, KMSG_DMA_READ);

	for (int i = 0; i < 100000; i++)
		note(1, "a/wan", 10 + i, KMSG_DMA_WRITE);
	assert_int_equal(quiet->total, 1);
	assert_int_equal(l->count, 2);
	for (int i = 0; i < 2 * FAULT_ENTRIES; i++) {
		char owner[32];

		snprintf(owner, sizeof(owner), "vm%d/wan", i);
		note(2, owner, 200000 + i, KMSG_DMA_READ);
	}
	assert_int_equal(l->count, FAULT_ENTRIES);
	/* Both of the first two, and then the oldest of the others. */
	assert_int_equal(l->forgotten, 100001 + FAULT_ENTRIES);
}

static void a_fault_in_words(void **state)
{
	char text[FAULT_TEXT];

	assert_string_equal(fault_text(&note(1, "", 1, KMSG_DMA_WRITE)->recent[0], text),
			    "DMA write to 0x1000 (reason 0x05: the page may not be written)");
	for (unsigned int k = 0; k < FAULT_KINDS; k++)
		assert_true(strlen(fault_kind_word(k)) > 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_process_cannot_tell_of_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_kernel_left_out_is_counted, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_gap_in_the_numbers_is_a_loss, setup, teardown),
		cmocka_unit_test_setup_teardown(the_limit_is_known_before_the_kernel_says_so, setup,
						teardown),
		cmocka_unit_test_setup_teardown(slow_faults_reach_no_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(an_entry_is_a_function_and_its_owner, setup,
						teardown),
		cmocka_unit_test_setup_teardown(memory_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(a_fault_in_words, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
