// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/fault_sweep.h"
#include "tests/fake/kvm_kernel.h"

#include "vmm/kvm_probe.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static bool cpu_has_virtualization(void)
{
	char line[8192];
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = strncmp(line, "flags", 5) == 0 &&
			(strstr(line, " svm") != NULL || strstr(line, " vmx") != NULL);
	fclose(f);
	return found;
}

/* A KVM that runs a vCPU is usable where the CPU has virtualization, and nowhere else. */
static void vcpu_that_runs_is_not_enough(void **state)
{
	char detail[200];

	assert_int_equal(kvm_probe("/dev/null", detail, sizeof(detail)), cpu_has_virtualization());
	assert_non_null(strstr(detail, cpu_has_virtualization()
					       ? "a vCPU ran"
					       : "the CPU has neither VT-x nor SVM"));
	fake_kvm_reset();
}

static void absent_kvm_is_said(void **state)
{
	char detail[200];

	assert_false(kvm_probe("/nonexistent/kvm", detail, sizeof(detail)));
	assert_string_equal(detail, "open /nonexistent/kvm: No such file or directory");
}

/* The probe has no object: what it says instead of "usable" is the error. */
static int probe(void *arg, struct err *e)
{
	char detail[200] = "";

	fake_kvm_reset();
	if (kvm_probe("/dev/null", detail, sizeof(detail)) || strstr(detail, "the CPU has") != NULL)
		return 0;
	fake_kvm_reset();
	return err_set(e, EIO, "%s", detail);
}

static void probe_end(void *arg)
{
	fake_kvm_reset();
}

static void each_call_may_fail(void **state)
{
	const struct fault_sweep sweep = { "KVM probe", NULL, probe, probe_end, NULL };

	assert_true(fault_sweep(&sweep) > 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vcpu_that_runs_is_not_enough),
		cmocka_unit_test(absent_kvm_is_said),
		cmocka_unit_test(each_call_may_fail),
	};

	return cmocka_run_group_tests_name("vmm-kvm_probe", tests, NULL, NULL);
}
