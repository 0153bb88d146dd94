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

static void odd_texts_are_harmless(void **state)
{
	static const char *const odd[] = { "",	    "\n\n",
					   "57:",   "57: vfio-msix[0](a)",
					   ":::::", "57: 99999999999999999999999 vfio-msix[0](a)" };

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		irq_count(odd[i], "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_this_functions_vectors_count),
		cmocka_unit_test(odd_texts_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
