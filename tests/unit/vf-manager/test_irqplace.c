// SPDX-License-Identifier: BSD-3-Clause
/* Which host CPU a vector belongs on, and what counts as being there. */
#include "vf-manager/irqplace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <stdio.h>

static cpu_set_t cpus(const char *list)
{
	cpu_set_t set;

	assert_int_equal(cpu_list_parse(list, &set), 0);
	return set;
}

static void every_vector_has_its_cpu(void **state)
{
	static const struct {
		struct irq_want want;
		const char *node, *foreign;
		uint32_t vector;
		const char *expected;
	} rows[] = {
		/* vector v: the host CPU of vCPU v mod their number */
		{ { 3, { 4, 2, 9 } }, "", "", 0, "4" },
		{ { 3, { 4, 2, 9 } }, "", "", 1, "2" },
		{ { 3, { 4, 2, 9 } }, "", "", 2, "9" },
		{ { 3, { 4, 2, 9 } }, "", "", 3, "4" },
		{ { 3, { 4, 2, 9 } }, "", "", 2047, "2" },
		{ { 1, { 7 } }, "", "", 5, "7" },
		/* pins win over the node */
		{ { 1, { 7 } }, "0-3", "", 0, "7" },
		/* the node, without what others have for themselves */
		{ { 0 }, "0-3", "", 0, "0-3" },
		{ { 0 }, "0-3", "2-5", 9, "0-1" },
		{ { 0 }, "0-3", "0-7", 0, "" },
		/* nothing is asked for */
		{ { 0 }, "", "", 0, "" },
		/* never a CPU that is another VM's alone */
		{ { 2, { 4, 5 } }, "", "5", 0, "4" },
		{ { 2, { 4, 5 } }, "", "5", 1, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct irq_want want = rows[i].want;
		char text[64];
		cpu_set_t got;

		want.node = cpus(rows[i].node);
		want.foreign = cpus(rows[i].foreign);
		irq_want_cpus(&want, rows[i].vector, &got);
		assert_string_equal(cpu_list_text(&got, text, sizeof(text)), rows[i].expected);
		assert_int_equal(irq_want_is_any(&want),
				 want.pin_count > 0 || rows[i].node[0] != '\0');
	}
}

static void what_differs(void **state)
{
	static const struct {
		const char *asked, *allowed, *effective; /* NULL: the kernel does not say */
		bool has_fired;
		enum irq_verdict expected;
	} rows[] = {
		{ "2", "2", "2", true, IRQ_RIGHT },
		{ "2", "0-7", "2", true, IRQ_ELSEWHERE }, /* it may leave at any time */
		{ "2", "3", "3", false, IRQ_ELSEWHERE },
		{ "0-3", "0-3", "1", true, IRQ_RIGHT },
		{ "0-3", "0-3", "4", true, IRQ_NOT_FOLLOWED },
		{ "0-3", "0-4", "1", true, IRQ_ELSEWHERE },
		{ "2", "2", "0", true, IRQ_NOT_FOLLOWED },
		{ "2", "2", "0", false, IRQ_RIGHT }, /* it moves when it comes */
		{ "2", "2", NULL, true, IRQ_RIGHT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const cpu_set_t asked = cpus(rows[i].asked);
		struct irq_affinity now = { .allowed = cpus(rows[i].allowed) };

		now.has_effective = rows[i].effective != NULL;
		if (now.has_effective)
			now.effective = cpus(rows[i].effective);
		assert_int_equal(irq_judge(&asked, &now, rows[i].has_fired), rows[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_has_its_cpu),
		cmocka_unit_test(what_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
