// SPDX-License-Identifier: BSD-3-Clause
/* The self test's message, its reading of /proc/interrupts, and what it knows of functions. */
#include "vmm/selftest.h"
#include "vmm/selftest_device.h"
#include "vmm/selftest_guest.h"

#include "base/fd.h"
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const char interrupts[] =
	"            CPU0       CPU1       \n"
	"   4:          0         17  IR-IO-APIC    4-edge      ttyS0\n"
	"  41:         11         31  IR-PCI-MSIX-0000:01:10.0    0-edge      vfio-msix[0](0000:01:10.0)\n"
	"  42:          5          6  IR-PCI-MSIX-0000:01:10.0    1-edge      vfio-msix[1](0000:01:10.0)\n"
	"  43:          1          0  IR-PCI-MSIX-0000:01:10.2    0-edge      vfio-msix[0](0000:01:10.2)  \n"
	" NMI:          0          0   Non-maskable interrupts\n"
	"  44: 99999999999999999999999 x vfio-msix[9](0000:01:10.0)\n"
	"NMI: 5 vfio-msix[8](0000:01:10.0)";

static void counts_are_those_of_one_line(void **state)
{
	assert_int_equal(selftest_irq_count(interrupts, "vfio-msix[0](0000:01:10.0)"), 42);
	assert_int_equal(selftest_irq_count(interrupts, "vfio-msix[1](0000:01:10.0)"), 11);
	assert_int_equal(selftest_irq_count(interrupts, "vfio-msix[0](0000:01:10.2)"), 1);
	assert_int_equal(selftest_irq_count(interrupts, "vfio-msix[9](0000:01:10.0)"), 0);
	assert_int_equal(selftest_irq_count(interrupts, "vfio-msix[8](0000:01:10.0)"), -1);
	assert_int_equal(selftest_irq_count(interrupts, "vfio-msix[0](0000:01:10.4)"), -1);
	assert_int_equal(selftest_irq_count("", "vfio-msix[0](0000:01:10.0)"), -1);
}

static int parse(const char *text, size_t fds, struct selftest_spec *out, struct err *e)
{
	auto_seqmsg struct seqmsg m = { .body = json_loads(text, 0, NULL), .fd_count = fds };

	assert_non_null(m.body);
	for (size_t i = 0; i < fds; i++)
		m.fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	selftest_spec_init(out);
	return selftest_spec_parse(out, &m, e);
}

#define REST "\"address\":\"0000:01:10.0\",\"group\":13}"

static void message_is_checked(void **state)
{
	static const struct {
		const char *text, *words;
		size_t fds;
	} bad[] = {
		{ "{\"fds\":[\"kvm\",\"container\"]," REST, "needed", 2 },
		{ "{\"fds\":[\"kvm\",\"container\",\"group\"]," REST, "descriptors", 2 },
		{ "{\"fds\":[\"kvm\",\"kvm\",\"group\"]," REST, "twice", 3 },
		{ "{\"fds\":[\"kvm\",\"container\",\"kernel\"]," REST, "not known", 3 },
		{ "{\"fds\":[\"kvm\",\"container\",7]," REST, "not known", 3 },
		{ "{\"fds\":7," REST, "fds", 0 },
		{ "{\"fds\":[],\"address\":\"pf0\",\"group\":1}", "address", 0 },
		{ "{\"fds\":[],\"address\":\"0000:01:10.0\"}", "group", 0 },
	};
	struct selftest_spec spec;
	struct err e = { 0 };

	assert_int_equal(parse("{\"fds\":[\"group\",\"kvm\",\"interrupts\",\"container\"]," REST, 4,
			       &spec, &e),
			 0);
	assert_true(spec.kvm >= 0 && spec.container >= 0 && spec.group_fd >= 0 &&
		    spec.interrupts >= 0);
	assert_int_equal(spec.group, 13);
	assert_int_equal(spec.address.dev, 0x10);
	selftest_spec_fini(&spec);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		e = (struct err){ 0 };
		assert_true(parse(bad[i].text, bad[i].fds, &spec, &e) < 0);
		if (strstr(e.text, bad[i].words) == NULL)
			fail_msg("%s: %s", bad[i].text, e.text);
		selftest_spec_fini(&spec);
	}
}

static void functions_are_known_by_their_ids(void **state)
{
	const struct selftest_device *vf = selftest_device_find(0x8086, 0x10ca);

	assert_non_null(vf);
	assert_true(vf->raise.offset != 0 && vf->raise.offset % 4 == 0 && vf->arm[0].offset != 0);
	assert_null(selftest_device_find(0x8086, 0x10c9));
	assert_null(selftest_device_find(0x10ca, 0x8086));
	assert_null(selftest_device_find(0xffff, 0xffff));
}

/* It lies in one page, between what the host puts beside it. */
static void guest_fits(void **state)
{
	size_t bytes = (size_t)(selftest_guest_end - selftest_guest);

	assert_true(bytes > 100 && bytes < SELFTEST_GUEST_BLOCK - SELFTEST_GUEST_CODE);
	assert_in_range((uintptr_t)selftest_guest_irq, (uintptr_t)selftest_guest + 1,
			(uintptr_t)selftest_guest_end - 1);
	assert_true(SELFTEST_GUEST_BLOCK + sizeof(struct selftest_block) <= SELFTEST_GUEST_GDT);
	assert_true(SELFTEST_GUEST_IDT + 8 * (SELFTEST_TIMER_VECTOR + 1) < SELFTEST_GUEST_STACK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_those_of_one_line),
		cmocka_unit_test(message_is_checked),
		cmocka_unit_test(functions_are_known_by_their_ids),
		cmocka_unit_test(guest_fits),
	};

	return cmocka_run_group_tests_name("vmm-selftest", tests, NULL, NULL);
}
