// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vcpu_fault.h"

#include "vmm/gmem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* KVM's answers to what vcpu_code_read() asks. */
static struct {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint64_t gpa;
	bool is_mapped;
	int error;
} kvm;

int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	struct kvm_translation *t = arg;

	if (kvm.error != 0) {
		errno = kvm.error;
		return -1;
	}
	switch (request) {
	case KVM_GET_REGS:
		memcpy(arg, &kvm.regs, sizeof(kvm.regs));
		return 0;
	case KVM_GET_SREGS:
		memcpy(arg, &kvm.sregs, sizeof(kvm.sregs));
		return 0;
	case KVM_TRANSLATE:
		assert_int_equal(t->linear_address, kvm.sregs.cs.base + kvm.regs.rip);
		t->valid = kvm.is_mapped;
		t->physical_address = kvm.gpa;
		return 0;
	default:
		fail_msg("ioctl 0x%lx", request);
		return -1;
	}
}

static const struct vcpu_code in_ram = {
	.linear = 0x1234, .gpa = 0x1234, .is_mapped = true, .count = 2, .bytes = { 0x0f, 0x0b }
};
static const struct vcpu_code nowhere = { .linear = 0xE0000000,
					  .gpa = 0xE0000000,
					  .is_mapped = true };

static const char *said(const struct kvm_run *run, int error, const struct vcpu_code *code)
{
	static char buf[320];

	vcpu_fault_text(run, error, code, buf, sizeof(buf));
	assert_non_null(strstr(buf, "; ")); /* what to do about it */
	return buf;
}

#define SAYS(text, words) assert_non_null(strstr(text, words))

static void each_internal_error_has_a_cause(void **state)
{
	static const char *const words[] = { [1] = "cannot emulate",
					     [2] = "cannot give to it",
					     [3] = "could not be delivered",
					     [4] = "does not know",
					     [5] = "internal error 5" };

	for (uint32_t i = 1; i < ARRAY_SIZE(words); i++) {
		const struct kvm_run run = { .exit_reason = KVM_EXIT_INTERNAL_ERROR,
					     .internal.suberror = i };

		SAYS(said(&run, 0, &in_ram), words[i]);
	}
}

static void a_guest_that_left_its_ram_is_told_so(void **state)
{
	const struct kvm_run run = { .exit_reason = KVM_EXIT_INTERNAL_ERROR,
				     .internal.suberror = KVM_INTERNAL_ERROR_EMULATION };

	SAYS(said(&run, 0, &nowhere), "runs at 0xe0000000, where it has no RAM");
}

static void other_ends_have_a_cause(void **state)
{
	struct kvm_run run = { .exit_reason = KVM_EXIT_FAIL_ENTRY };

	run.fail_entry.hardware_entry_failure_reason = 0x80000021;
	SAYS(said(&run, 0, &in_ram), "invalid guest state (0x80000021)");
	run.fail_entry.hardware_entry_failure_reason = 0x77;
	SAYS(said(&run, 0, &in_ram), "unknown to viaduct (0x77)");
	run = (struct kvm_run){ .exit_reason = KVM_EXIT_HYPERV };
	SAYS(said(&run, 0, &in_ram), "exit 27 (Hyper-V)");
	run = (struct kvm_run){ .exit_reason = 4000 };
	SAYS(said(&run, 0, &in_ram), "exit 4000 (no name)");
	SAYS(said(&run, -EFAULT, &in_ram), "behind a guest address");
	SAYS(said(&run, -ENOTTY, &in_ram), "KVM_RUN: Inappropriate ioctl");
}

static void the_log_has_the_numbers(void **state)
{
	char buf[640], small[24];
	struct kvm_run run = { .exit_reason = KVM_EXIT_INTERNAL_ERROR };

	run.internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
	run.internal.ndata = 3;
	run.internal.data[0] = 0x80000b0e;
	run.internal.data[2] = 7;
	vcpu_fault_data(&run, 0, buf, sizeof(buf));
	assert_string_equal(buf, "KVM_RUN 0, exit 17, suberror 3, data 0x80000b0e 0x0 0x7");
	run.internal.ndata = UINT32_MAX; /* as a kernel with a fault might say */
	vcpu_fault_data(&run, 0, buf, sizeof(buf));
	vcpu_fault_data(&run, 0, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
	assert_memory_equal(small, buf, sizeof(small) - 1);

	run = (struct kvm_run){ .exit_reason = KVM_EXIT_INTERNAL_ERROR };
	run.emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run.emulation_failure.ndata = 4;
	run.emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	run.emulation_failure.insn_size = 200;
	run.emulation_failure.insn_bytes[0] = 0xc4;
	run.emulation_failure.insn_bytes[14] = 0x90;
	vcpu_fault_data(&run, 0, buf, sizeof(buf));
	SAYS(buf, "suberror 1, instruction c4 00 00 00 00 00 00 00 00 00 00 00 00 00 90");
}

static void code_is_read_where_the_guest_stands(void **state)
{
	struct gmem gm = { .memfd = -1 };
	struct vcpu_code code;
	char buf[200];

	assert_int_equal(gmem_create(&gm, MIB(64), 0, 0, NULL), 0);
	memset(&kvm, 0, sizeof(kvm));
	kvm.sregs.cs.base = 0x10000;
	kvm.regs.rip = 0x40;
	kvm.is_mapped = true;
	kvm.gpa = 0x5FFE; /* two bytes of the page are left */
	memset(gm.host + kvm.gpa, 0xCC, 64);
	vcpu_code_read(-1, &gm, &code);
	vcpu_code_text(&code, buf, sizeof(buf));
	assert_string_equal(buf, "at 0x10040 (guest-physical 0x5ffe): cc cc");
	kvm.gpa = MIB(64) - 4;
	vcpu_code_read(-1, &gm, &code);
	assert_int_equal(code.count, 4);
	kvm.gpa = UINT64_MAX;
	vcpu_code_read(-1, &gm, &code);
	vcpu_code_text(&code, buf, sizeof(buf));
	assert_string_equal(buf, "at 0x10040 (guest-physical 0xffffffffffffffff): no RAM");
	kvm.is_mapped = false;
	vcpu_code_read(-1, &gm, &code);
	vcpu_code_text(&code, buf, sizeof(buf));
	assert_string_equal(buf, "at 0x10040 (in no page of the guest's)");
	kvm.error = EIO;
	vcpu_code_read(-1, &gm, &code);
	assert_false(code.is_mapped);
	assert_int_equal(code.linear, 0);
	gmem_destroy(&gm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_internal_error_has_a_cause),
		cmocka_unit_test(a_guest_that_left_its_ram_is_told_so),
		cmocka_unit_test(other_ends_have_a_cause),
		cmocka_unit_test(the_log_has_the_numbers),
		cmocka_unit_test(code_is_read_where_the_guest_stands),
	};

	return cmocka_run_group_tests_name("vmm-vcpu-fault", tests, NULL, NULL);
}
