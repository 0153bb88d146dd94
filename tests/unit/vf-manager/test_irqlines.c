// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/irqlines.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char interrupts[] =
	"            CPU0       CPU1\n"
	"   0:        123          0  IR-IO-APIC    2-edge      timer\n"
	"  57:         10         32  IR-PCI-MSIX-0000:01:10.0    0-edge      vfio-msix[0](0000:01:10.0)\n"
	"  58:          0          5  IR-PCI-MSIX-0000:01:10.0    1-edge      vfio-msix[1](0000:01:10.0)\n"
	"  59:       1000          0  IR-PCI-MSIX-0000:01:10.2    0-edge      vfio-msix[0](0000:01:10.2)\n"
	"  60:          7          0  IR-PCI-MSIX-0000:01:10.0    0-edge      igbvf\n"
	" NMI:          3          4   Non-maskable interrupts\n";

static void only_this_functions_vectors_count(void **state)
{
	assert_int_equal(irq_count(interrupts, "0000:01:10.0"), 47);
	assert_int_equal(irq_count(interrupts, "0000:01:10.2"), 1000);
	assert_int_equal(irq_count(interrupts, "0000:01:10.4"), 0);
}

static void first_of_all(void *arg, const struct irq_line *line)
{
	struct irq_line *first = arg;

	if (first[0].name[0] == '\0')
		first[0] = *line;
	first[1].count++;
}

static void lines_of_all_functions_carry_their_names(void **state)
{
	struct irq_line found[2] = { 0 };

	irq_lines_each(interrupts, NULL, first_of_all, found);
	assert_int_equal(found[1].count, 3);
	assert_int_equal(found[0].irq, 57);
	assert_string_equal(found[0].fn, "0000:01:10.0");
	assert_string_equal(found[0].name, "vfio-msix[0](0000:01:10.0)");
}

static void odd_texts_are_harmless(void **state)
{
	static const char *const odd[] = { "",
					   "\n\n",
					   "57:",
					   "57: vfio-msix[0](a)",
					   ":::::",
					   "57: 99999999999999999999999 vfio-msix[0](a)",
					   "57: 1 chip vfio-msix[",
					   "57: 1 chip vfio-msix[0](a",
					   "57: 1 chip vfio-msix[0](0000000000000000000000000000)" };

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		assert_int_equal(irq_count(odd[i], "b"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_this_functions_vectors_count),
		cmocka_unit_test(lines_of_all_functions_carry_their_names),
		cmocka_unit_test(odd_texts_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
