// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vcpu_state.h"

#include "vmm/kvm.h"
#include "vmm/layout.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CR0_PE	 BIT_ULL(0)
#define CR0_ET	 BIT_ULL(4)
#define CR0_NE	 BIT_ULL(5)
#define CR0_PG	 BIT_ULL(31)
#define CR4_PAE	 BIT_ULL(5)
#define EFER_LME BIT_ULL(8)
#define EFER_LMA BIT_ULL(10)
#define RFLAGS_1 BIT_ULL(1) /* reads as one always */

#define MSR_TSC		       0x10U
#define MSR_MTRR_DEF_TYPE      0x2FFU
#define MTRR_ENABLE	       BIT_ULL(11)
#define MTRR_TYPE_WRITE_BACK   6ULL
#define MSR_KVM_WALL_CLOCK     0x11U
#define MSR_KVM_WALL_CLOCK_NEW 0x4B564D00U

#define SEGMENT_CODE 11 /* execute, read, accessed */
#define SEGMENT_DATA 3 /* read, write, accessed */
#define SEGMENT_TSS  11 /* busy 32-bit or 64-bit TSS */

/* The TSC has a way of its own (tsc_sync); writing the address of a wall clock makes KVM write into
 * guest memory. */
static const uint32_t msrs_left_alone[] = { MSR_TSC, MSR_KVM_WALL_CLOCK, MSR_KVM_WALL_CLOCK_NEW };

static bool msr_left_alone(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(msrs_left_alone); i++)
		if (msrs_left_alone[i] == index)
			return true;
	return false;
}

int vcpu_msr_list_get(int kvm_fd, struct vcpu_msr_list *list, struct err *e)
{
	auto_free struct kvm_msr_list *all =
		calloc(1, sizeof(*all) + VCPU_MSRS_MAX * sizeof(all->indices[0]));
	int r;

	if (all == NULL)
		return err_set(e, ENOMEM, "MSR list: out of memory");
	all->nmsrs = VCPU_MSRS_MAX;
	r = kvm_msr_index_list(kvm_fd, all);
	if (r < 0)
		return err_set(e, r, "KVM_GET_MSR_INDEX_LIST (%u MSRs): %s", all->nmsrs,
			       strerror(-r));
	list->count = 0;
	for (uint32_t i = 0; i < all->nmsrs && i < VCPU_MSRS_MAX; i++)
		if (!msr_left_alone(all->indices[i]))
			list->indices[list->count++] = all->indices[i];
	return 0;
}

/* struct kvm_msrs with one entry: its own array is a flexible one. */
struct msr_block {
	uint32_t nmsrs;
	uint32_t pad;
	struct kvm_msr_entry entry;
};
static_assert(offsetof(struct msr_block, entry) == offsetof(struct kvm_msrs, entries),
	      "linux/kvm.h");

static struct kvm_msrs *msr_list(struct msr_block *b)
{
	return (struct kvm_msrs *)b;
}

/* One at a time: KVM stops at the first MSR that this CPU model lacks, and those are no error. */
static void msrs_get(int vcpu_fd, const struct vcpu_msr_list *list, struct vcpu_state *state)
{
	state->msr_count = 0;
	for (uint32_t i = 0; i < list->count; i++) {
		struct msr_block b = { .nmsrs = 1, .entry.index = list->indices[i] };

		if (kvm_msrs_get(vcpu_fd, msr_list(&b)) == 1)
			state->msrs[state->msr_count++] = b.entry;
	}
}

/* Sets what differs: read-only MSRs, which KVM lists too, never do. */
static int msrs_set(int vcpu_fd, const struct vcpu_state *state, struct err *e)
{
	for (uint32_t i = 0; i < state->msr_count; i++) {
		struct msr_block b = { .nmsrs = 1, .entry.index = state->msrs[i].index };

		if (kvm_msrs_get(vcpu_fd, msr_list(&b)) == 1 && b.entry.data == state->msrs[i].data)
			continue;
		b.entry = state->msrs[i];
		if (kvm_msrs_set(vcpu_fd, msr_list(&b)) != 1)
			return err_set(e, EIO, "vCPU MSR 0x%x cannot be set to 0x%llx",
				       state->msrs[i].index,
				       (unsigned long long)state->msrs[i].data);
	}
	return 0;
}

int vcpu_state_get(int vcpu_fd, const struct vcpu_msr_list *list, struct vcpu_state *state,
		   struct err *e)
{
	int r = kvm_regs_get(vcpu_fd, &state->regs);

	if (r == 0)
		r = kvm_sregs_get(vcpu_fd, &state->sregs);
	if (r == 0)
		r = kvm_xsave_get(vcpu_fd, &state->xsave);
	if (r == 0)
		r = kvm_xcrs_get(vcpu_fd, &state->xcrs);
	if (r == 0)
		r = kvm_debugregs_get(vcpu_fd, &state->debugregs);
	if (r == 0)
		r = kvm_lapic_get(vcpu_fd, &state->lapic);
	if (r == 0)
		r = kvm_events_get(vcpu_fd, &state->events);
	if (r == 0)
		r = kvm_mp_state_get(vcpu_fd, &state->mp);
	if (r < 0)
		return err_set(e, r, "read vCPU state: %s", strerror(-r));
	msrs_get(vcpu_fd, list, state);
	return 0;
}

/* To KVM a 0 means "as the other vCPUs", so the TSC goes on counting and all stay equal. It must be
 * written: kvm_amd forgets the TSC offset in the hardware's control block when a guest triple-faults,
 * and timers then fire as late as the offset is large. */
static int tsc_sync(int vcpu_fd, struct err *e)
{
	struct msr_block b = { .nmsrs = 1, .entry.index = MSR_TSC };
	int r = kvm_msrs_set(vcpu_fd, msr_list(&b));

	return r == 1 ? 0 : err_set(e, r < 0 ? r : EIO, "vCPU: the TSC cannot be set");
}

int vcpu_state_set(int vcpu_fd, const struct vcpu_state *state, struct err *e)
{
	const char *step = "special registers";
	/* First, since they hold the APIC base: the APIC's own state depends on its mode. */
	int r = kvm_sregs_set(vcpu_fd, &state->sregs);

	if (r == 0) {
		step = "registers";
		r = kvm_regs_set(vcpu_fd, &state->regs);
	}
	if (r == 0) {
		step = "FPU";
		r = kvm_xcrs_set(vcpu_fd, &state->xcrs);
	}
	if (r == 0)
		r = kvm_xsave_set(vcpu_fd, &state->xsave);
	if (r == 0) {
		step = "debug registers";
		r = kvm_debugregs_set(vcpu_fd, &state->debugregs);
	}
	if (r < 0)
		return err_set(e, r, "vCPU %s: %s", step, strerror(-r));
	r = msrs_set(vcpu_fd, state, e);
	if (r == 0)
		r = tsc_sync(vcpu_fd, e);
	if (r < 0)
		return r;
	step = "APIC";
	r = kvm_lapic_set(vcpu_fd, &state->lapic);
	if (r == 0) {
		step = "events";
		r = kvm_events_set(vcpu_fd, &state->events);
	}
	if (r == 0) {
		step = "run state";
		r = kvm_mp_state_set(vcpu_fd, &state->mp);
	}
	return r < 0 ? err_set(e, r, "vCPU %s: %s", step, strerror(-r)) : 0;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment){ .limit = UINT32_MAX,
				     .selector = selector,
				     .type = type,
				     .present = 1,
				     .s = 1,
				     .db = !long_mode,
				     .l = long_mode,
				     .g = 1 };
}

static void sregs_boot(struct kvm_sregs *s, enum boot_mode mode)
{
	bool long_mode = mode == BOOT_LONG64;

	s->cs = segment(BOOT_SELECTOR_CODE, SEGMENT_CODE, long_mode);
	s->ds = segment(BOOT_SELECTOR_DATA, SEGMENT_DATA, false);
	s->es = s->fs = s->gs = s->ss = s->ds;
	s->tr = (struct kvm_segment){
		.limit = 0x67, .selector = BOOT_SELECTOR_TSS, .type = SEGMENT_TSS, .present = 1
	};
	s->ldt = (struct kvm_segment){ .unusable = 1 };
	s->gdt = (struct kvm_dtable){ .base = LAYOUT_GDT,
				      .limit = BOOT_GDT_ENTRIES * sizeof(uint64_t) - 1 };
	s->idt = (struct kvm_dtable){ 0 };
	s->cr0 = CR0_PE | CR0_ET | CR0_NE;
	s->cr4 = 0;
	s->efer = 0;
	if (!long_mode)
		return;
	s->cr0 |= CR0_PG;
	s->cr3 = LAYOUT_PAGE_TABLES;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA;
}

int vcpu_state_mtrr_set(int vcpu_fd, struct err *e)
{
	struct msr_block mtrr = { .nmsrs = 1,
				  .entry = { .index = MSR_MTRR_DEF_TYPE,
					     .data = MTRR_ENABLE | MTRR_TYPE_WRITE_BACK } };
	int r = kvm_msrs_set(vcpu_fd, msr_list(&mtrr));

	return r == 1 ? 0 : err_set(e, r < 0 ? r : EIO, "vCPU: MTRRs cannot be set");
}

int vcpu_state_boot(int vcpu_fd, const struct boot_entry *entry, struct err *e)
{
	struct kvm_regs regs = { .rip = entry->rip, .rflags = RFLAGS_1 };
	struct kvm_sregs sregs;
	int r = kvm_sregs_get(vcpu_fd, &sregs);

	if (entry->mode == BOOT_LONG64)
		regs.rsi = entry->params;
	else
		regs.rbx = entry->params;
	if (r == 0) {
		sregs_boot(&sregs, entry->mode);
		r = kvm_sregs_set(vcpu_fd, &sregs);
	}
	if (r == 0)
		r = kvm_regs_set(vcpu_fd, &regs);
	return r < 0 ? err_set(e, r, "vCPU registers for boot: %s", strerror(-r)) : 0;
}

void vcpu_state_text(int vcpu_fd, char *buf, size_t cap)
{
	struct kvm_regs r;

	buf[0] = '\0';
	if (kvm_regs_get(vcpu_fd, &r) < 0)
		return;
	snprintf(buf, cap,
		 "rip 0x%llx rflags 0x%llx rsp 0x%llx rbp 0x%llx rax 0x%llx rbx 0x%llx rcx 0x%llx"
		 " rdx 0x%llx rsi 0x%llx rdi 0x%llx r8 0x%llx r9 0x%llx r10 0x%llx r11 0x%llx"
		 " r12 0x%llx r13 0x%llx r14 0x%llx r15 0x%llx",
		 r.rip, r.rflags, r.rsp, r.rbp, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.r8,
		 r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15);
}

void vcpu_state_segments_text(int vcpu_fd, char *buf, size_t cap)
{
	struct kvm_sregs s;

	buf[0] = '\0';
	if (kvm_sregs_get(vcpu_fd, &s) < 0)
		return;
	snprintf(
		buf, cap,
		"cr0 0x%llx cr2 0x%llx cr3 0x%llx cr4 0x%llx efer 0x%llx cs 0x%x base 0x%llx ss 0x%x"
		" ds 0x%x tr 0x%x base 0x%llx gdt 0x%llx limit 0x%x idt 0x%llx limit 0x%x",
		s.cr0, s.cr2, s.cr3, s.cr4, s.efer, s.cs.selector, s.cs.base, s.ss.selector,
		s.ds.selector, s.tr.selector, s.tr.base, s.gdt.base, s.gdt.limit, s.idt.base,
		s.idt.limit);
}
