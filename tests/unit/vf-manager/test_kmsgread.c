// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/kmsgread.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static struct kmsg_reader k;
static int in;

static int setup(void **state)
{
	int p[2];

	if (pipe2(p, O_NONBLOCK | O_CLOEXEC) < 0)
		return -1;
	k = (struct kmsg_reader){ .fd = p[0] };
	in = p[1];
	return 0;
}

static int teardown(void **state)
{
	kmsg_reader_close(&k);
	close(in);
	return 0;
}

static void put(const char *text)
{
	assert_int_equal(write(in, text, strlen(text)), strlen(text));
}

static void records_come_one_by_one(void **state)
{
	struct kmsg_record rec;

	assert_int_equal(kmsg_reader_next(&k, &rec), -EAGAIN);
	put("3,1,2,-;one\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:10.0\n3,2,2,-;two\n3,3,");
	assert_int_equal(kmsg_reader_next(&k, &rec), 0);
	assert_string_equal(rec.text, "one");
	assert_int_equal(kmsg_reader_next(&k, &rec), 0);
	assert_string_equal(rec.text, "two");
	assert_int_equal(kmsg_reader_next(&k, &rec), -EAGAIN);
	put("9,-;three\n");
	assert_int_equal(kmsg_reader_next(&k, &rec), 0);
	assert_int_equal(rec.at_us, 9);
	assert_int_equal(k.cut, 0);
}

static void what_is_no_record_is_skipped_and_counted(void **state)
{
	char junk[KMSG_RECORD];
	struct kmsg_record rec;

	put("nothing\n3,2,2,-;two\n");
	assert_int_equal(kmsg_reader_next(&k, &rec), 0);
	assert_string_equal(rec.text, "two");
	assert_int_equal(k.cut, 1);
	/* Without an end: the buffer does not grow. */
	memset(junk, 'x', sizeof(junk));
	for (int i = 0; i < 4; i++) {
		assert_int_equal(write(in, junk, sizeof(junk)), sizeof(junk));
		assert_int_equal(kmsg_reader_next(&k, &rec), -EAGAIN);
		assert_true(k.used <= sizeof(k.buf));
	}
	put("\n3,3,2,-;three\n");
	assert_int_equal(kmsg_reader_next(&k, &rec), 0);
	assert_string_equal(rec.text, "three");
}

static void an_end_is_told(void **state)
{
	struct kmsg_record rec;

	close(in);
	assert_int_equal(kmsg_reader_next(&k, &rec), -EPIPE);
	in = dup(k.fd);
}

static void a_log_that_is_not_there_is_said(void **state)
{
	struct kmsg_reader none;
	struct err e = { 0 };

	assert_int_equal(kmsg_reader_open(&none, "/nowhere", &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nowhere/kmsg"));
	kmsg_reader_close(&none);
}

/* Whatever there is to do, over a long time no more than its share. */
static void processor_time_is_bounded(void **state)
{
	uint64_t wall = 1000, cpu = 0, pauses = 0;
	struct cpu_budget b;

	cpu_budget_init(&b, wall, cpu);
	while (wall < 100000000000ULL) {
		uint64_t wait;

		wall += 1000000; /* works for a millisecond */
		cpu += 1000000;
		wait = cpu_budget_settle(&b, wall, cpu);
		wall += wait;
		pauses += wait > 0;
	}
	assert_true(pauses > 0);
	assert_true(cpu <=
		    100000000000ULL / 1000 * CPU_BUDGET_PERMILLE + CPU_BUDGET_BURST_NS + 2000000);
	/* It is no less, either. */
	assert_true(cpu >= 100000000000ULL / 1000 * CPU_BUDGET_PERMILLE);
}

static void who_did_nothing_may_work_at_once(void **state)
{
	struct cpu_budget b;

	cpu_budget_init(&b, 0, 0);
	assert_int_equal(cpu_budget_settle(&b, 3600000000000ULL, 0), 0);
	assert_int_equal(b.left_ns, CPU_BUDGET_BURST_NS);
	assert_int_equal(cpu_budget_settle(&b, 3600000000000ULL, CPU_BUDGET_BURST_NS), 0);
	assert_int_equal(cpu_budget_settle(&b, 3600000000000ULL, CPU_BUDGET_BURST_NS + 20),
			 20 * 1000 / CPU_BUDGET_PERMILLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records_come_one_by_one, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_record_is_skipped_and_counted, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_end_is_told, setup, teardown),
		cmocka_unit_test(a_log_that_is_not_there_is_said),
		cmocka_unit_test(processor_time_is_bounded),
		cmocka_unit_test(who_did_nothing_may_work_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
