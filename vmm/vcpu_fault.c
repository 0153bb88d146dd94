// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vcpu_fault.h"

#include "vmm/gmem.h"
#include "vmm/kvm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct cause_row {
	uint64_t code;
	const char *what, *advice;
};

#define ADVICE_GUEST_JUMPED \
	"look in the guest for a jump through a wrong pointer; the VM's log has the registers"
#define ADVICE_KVM \
	"a fault of the host's KVM or CPU: update the kernel, and report it with the VM's log"

/* Suberrors of KVM_EXIT_INTERNAL_ERROR. */
static const struct cause_row suberrors[] = {
	{ KVM_INTERNAL_ERROR_EMULATION, "KVM cannot emulate the guest's instruction",
	  "the guest works with this instruction on an address that is no RAM, which KVM emulates in part "
	  "only; the VM's log has its bytes" },
	{ KVM_INTERNAL_ERROR_SIMUL_EX, "the guest raised an exception that KVM cannot give to it",
	  "look for what the guest did to its IDT; the VM's log has the registers" },
	{ KVM_INTERNAL_ERROR_DELIVERY_EV,
	  "an interrupt or exception could not be delivered to the guest",
	  "the guest's IDT, TSS or stack lies where it has no RAM; the VM's log has the registers" },
	{ KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON,
	  "the CPU left the guest for a reason that KVM does not know", ADVICE_KVM },
};

/* KVM_EXIT_FAIL_ENTRY: Intel SDM vol. 3, appendix C (bit 31: entry failure) and "VM-instruction
 * error numbers"; AMD64 APM vol. 2, appendix C. */
static const struct cause_row entry_failures[] = {
	{ 0x80000021, "invalid guest state", ADVICE_KVM },
	{ 0x80000022, "the guest's MSRs cannot be loaded", ADVICE_KVM },
	{ 0x80000029, "machine check", "look for hardware errors: journalctl -k | grep -i mce" },
	{ 7, "invalid control field", ADVICE_KVM },
	{ 8, "invalid host state", ADVICE_KVM },
	{ UINT64_MAX, "invalid guest state", ADVICE_KVM },
};

/* What KVM_RUN itself fails with. */
static const struct cause_row run_errors[] = {
	{ EFAULT, "KVM could not get at the memory behind a guest address",
	  "a device that is gone or asleep, or bad host memory: journalctl -k" },
	{ EHWPOISON, "the host's memory behind a guest address is broken",
	  "journalctl -k names the module to replace" },
	{ ENOMEM, "the host has no memory for KVM", "free   shows who has it" },
	{ EINVAL, "KVM does not accept the guest's registers", ADVICE_KVM },
	{ EIO, "KVM has given the VM up", ADVICE_KVM },
};

static const char *const exit_names[] = {
	[KVM_EXIT_UNKNOWN] = "unknown to KVM",
	[KVM_EXIT_EXCEPTION] = "exception",
	[KVM_EXIT_HYPERCALL] = "hypercall",
	[KVM_EXIT_DEBUG] = "debug",
	[KVM_EXIT_SET_TPR] = "TPR set",
	[KVM_EXIT_TPR_ACCESS] = "TPR access",
	[KVM_EXIT_NMI] = "NMI",
	[KVM_EXIT_WATCHDOG] = "watchdog",
	[KVM_EXIT_IOAPIC_EOI] = "IOAPIC EOI",
	[KVM_EXIT_HYPERV] = "Hyper-V",
	[KVM_EXIT_X86_RDMSR] = "RDMSR",
	[KVM_EXIT_X86_WRMSR] = "WRMSR",
	[KVM_EXIT_DIRTY_RING_FULL] = "dirty ring full",
	[KVM_EXIT_AP_RESET_HOLD] = "AP reset hold",
	[KVM_EXIT_X86_BUS_LOCK] = "bus lock",
	[KVM_EXIT_XEN] = "Xen",
	[KVM_EXIT_NOTIFY] = "notify",
	[KVM_EXIT_MEMORY_FAULT] = "memory fault",
};

static const struct cause_row *cause_find(const struct cause_row *rows, size_t count, uint64_t code)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].code == code)
			return &rows[i];
	return NULL;
}

static void error_text(int error, char *buf, size_t cap)
{
	const struct cause_row *row =
		cause_find(run_errors, ARRAY_SIZE(run_errors), (uint64_t)-error);

	if (row != NULL)
		snprintf(buf, cap, "%s; %s", row->what, row->advice);
	else
		snprintf(buf, cap, "KVM_RUN: %s; " ADVICE_KVM, strerror(-error));
}

static void entry_text(const struct kvm_run *run, char *buf, size_t cap)
{
	uint64_t reason = run->fail_entry.hardware_entry_failure_reason;
	const struct cause_row *row =
		cause_find(entry_failures, ARRAY_SIZE(entry_failures), reason);

	snprintf(buf, cap, "the CPU refused to enter the guest: %s (0x%llx); %s",
		 row != NULL ? row->what : "reason unknown to viaduct", (unsigned long long)reason,
		 row != NULL ? row->advice : ADVICE_KVM);
}

static void internal_text(const struct kvm_run *run, const struct vcpu_code *code, char *buf,
			  size_t cap)
{
	const struct cause_row *row =
		cause_find(suberrors, ARRAY_SIZE(suberrors), run->internal.suberror);

	if (row == NULL) {
		snprintf(buf, cap, "KVM internal error %u; " ADVICE_KVM, run->internal.suberror);
		return;
	}
	/* The most frequent one, and the easiest to name. */
	if (row->code == KVM_INTERNAL_ERROR_EMULATION && code->is_mapped && code->count == 0) {
		snprintf(buf, cap,
			 "the guest runs at 0x%llx, where it has no RAM; " ADVICE_GUEST_JUMPED,
			 (unsigned long long)code->gpa);
		return;
	}
	snprintf(buf, cap, "%s (at 0x%llx); %s", row->what, (unsigned long long)code->linear,
		 row->advice);
}

void vcpu_fault_text(const struct kvm_run *run, int error, const struct vcpu_code *code, char *buf,
		     size_t cap)
{
	uint32_t reason = run->exit_reason;
	const char *name = NULL;

	if (error != 0) {
		error_text(error, buf, cap);
		return;
	}
	if (reason == KVM_EXIT_FAIL_ENTRY) {
		entry_text(run, buf, cap);
		return;
	}
	if (reason == KVM_EXIT_INTERNAL_ERROR) {
		internal_text(run, code, buf, cap);
		return;
	}
	if (reason < ARRAY_SIZE(exit_names))
		name = exit_names[reason];
	snprintf(
		buf, cap,
		"KVM stopped for something that viaduct did not ask for: exit %u (%s); " ADVICE_KVM,
		reason, name != NULL ? name : "no name");
}

static size_t put(char *buf, size_t cap, size_t at, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Where the next text goes; what does not fit is cut. */
static size_t put(char *buf, size_t cap, size_t at, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (at + 1 >= cap)
		return at;
	va_start(ap, fmt);
	n = vsnprintf(buf + at, cap - at, fmt, ap);
	va_end(ap);
	return n < 0 ? at : (size_t)u64_min(at + (size_t)n, cap - 1);
}

static size_t bytes_put(char *buf, size_t cap, size_t at, const uint8_t *bytes, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		at = put(buf, cap, at, "%s%02x", i != 0 ? " " : "", bytes[i]);
	return at;
}

static size_t internal_put(const struct kvm_run *run, char *buf, size_t cap, size_t at)
{
	/* KVM counts flags, size and bytes of the instruction as ndata, too. */
	uint32_t ndata = (uint32_t)u64_min(run->internal.ndata, ARRAY_SIZE(run->internal.data));

	at = put(buf, cap, at, ", suberror %u", run->internal.suberror);
	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && ndata >= 3 &&
	    (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) !=
		    0) {
		unsigned int size =
			(unsigned int)u64_min(run->emulation_failure.insn_size,
					      sizeof(run->emulation_failure.insn_bytes));

		at = put(buf, cap, at, ", instruction ");
		return bytes_put(buf, cap, at, run->emulation_failure.insn_bytes, size);
	}
	for (uint32_t i = 0; i < ndata; i++)
		at = put(buf, cap, at, "%s0x%llx", i == 0 ? ", data " : " ",
			 (unsigned long long)run->internal.data[i]);
	return at;
}

void vcpu_fault_data(const struct kvm_run *run, int error, char *buf, size_t cap)
{
	size_t at = put(buf, cap, 0, "KVM_RUN %d, exit %u", error, run->exit_reason);

	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		at = internal_put(run, buf, cap, at);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		at = put(buf, cap, at, ", hardware reason 0x%llx, host CPU %u",
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason,
			 run->fail_entry.cpu);
	else if (run->exit_reason == KVM_EXIT_UNKNOWN)
		at = put(buf, cap, at, ", hardware reason 0x%llx",
			 (unsigned long long)run->hw.hardware_exit_reason);
	else if (run->exit_reason == KVM_EXIT_MEMORY_FAULT)
		at = put(buf, cap, at, ", flags 0x%llx, 0x%llx bytes at 0x%llx",
			 (unsigned long long)run->memory_fault.flags,
			 (unsigned long long)run->memory_fault.size,
			 (unsigned long long)run->memory_fault.gpa);
	(void)at;
}

void vcpu_code_read(int vcpu_fd, const struct gmem *gm, struct vcpu_code *out)
{
	struct kvm_translation t = { 0 };
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	unsigned int in_page;

	memset(out, 0, sizeof(*out));
	if (kvm_regs_get(vcpu_fd, &regs) < 0 || kvm_sregs_get(vcpu_fd, &sregs) < 0)
		return;
	out->linear = sregs.cs.base + regs.rip;
	t.linear_address = out->linear;
	if (kvm_translate(vcpu_fd, &t) < 0 || t.valid == 0)
		return;
	out->is_mapped = true;
	out->gpa = t.physical_address;
	/* Not past the page: the next one may lie elsewhere. */
	in_page = (unsigned int)(4096 - out->gpa % 4096);
	in_page = (unsigned int)u64_min(in_page, VCPU_CODE_BYTES);
	if (gmem_read(gm, out->gpa, out->bytes, in_page) == 0)
		out->count = in_page;
}

void vcpu_code_text(const struct vcpu_code *code, char *buf, size_t cap)
{
	size_t at = put(buf, cap, 0, "at 0x%llx", (unsigned long long)code->linear);

	if (!code->is_mapped) {
		put(buf, cap, at, " (in no page of the guest's)");
		return;
	}
	at = put(buf, cap, at, " (guest-physical 0x%llx)%s", (unsigned long long)code->gpa,
		 code->count == 0 ? ": no RAM" : ": ");
	bytes_put(buf, cap, at, code->bytes, code->count);
}
