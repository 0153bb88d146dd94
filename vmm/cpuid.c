// SPDX-License-Identifier: BSD-3-Clause
/*
 * Leaves: Intel SDM vol. 2A, CPUID; AMD64 APM vol. 3, appendix E; Documentation/virt/kvm/x86/cpuid.rst.
 * A leaf that is in no row of leaf_rows[] does not reach the guest.
 */
#include "vmm/cpuid.h"

#include <errno.h>
#include <linux/kvm_para.h>

#define LEAF_BASIC	    0x0U
#define LEAF_FEATURES	    0x1U
#define LEAF_CACHE	    0x4U
#define LEAF_MONITOR	    0x5U
#define LEAF_TOPOLOGY	    0xBU
#define LEAF_TSC	    0x15U
#define LEAF_TOPOLOGY_V2    0x1FU
#define LEAF_KVM_SIGNATURE  0x40000000U
#define LEAF_KVM_FEATURES   0x40000001U
#define LEAF_KVM_TIMING	    0x40000010U /* first VMware's, now several hypervisors' */
#define LEAF_EXTENDED	    0x80000000U
#define LEAF_POWER_EXTENDED 0x80000007U
#define LEAF_ADDRESS_SIZES  0x80000008U
#define LEAF_AMD_TOPOLOGY   0x8000001EU

/* Leaf 1 */
#define F1_ECX_MONITOR	    BIT(3)
#define F1_ECX_VMX	    BIT(5)
#define F1_ECX_PDCM	    BIT(15)
#define F1_ECX_X2APIC	    BIT(21)
#define F1_ECX_TSC_DEADLINE BIT(24)
#define F1_ECX_OSXSAVE	    BIT(27)
#define F1_ECX_HYPERVISOR   BIT(31)
#define F1_EDX_HTT	    BIT(28)
/* Leaf 7 */
#define F7_EBX_SGX    BIT(2)
#define F7_EBX_PQM    BIT(12)
#define F7_EBX_PQE    BIT(15)
#define F7_EBX_PT     BIT(25)
#define F7_ECX_OSPKE  BIT(4)
#define F7_ECX_SGX_LC BIT(30)
/* Leaf 0x80000001 */
#define FX_ECX_CMP_LEGACY BIT(1)
#define FX_ECX_SVM	  BIT(2)
#define FX_ECX_IBS	  BIT(10)
#define FX_ECX_SKINIT	  BIT(12)
#define FX_ECX_PERFCTR	  BIT(23)
#define FX_ECX_PERFCTR_NB BIT(24)
#define FX_ECX_PERFCTR_L2 BIT(28)
/* Leaf 0x80000007 */
#define FX_EDX_TSC_INVARIANT BIT(8)

#define VENDOR_INTEL_EBX 0x756E6547U /* "Genu" */

/* KVM's APIC timer counts at 1 GHz. */
#define APIC_HZ 1000000000U

#define TOPOLOGY_SMT  1U /* level types of leaves 0xB and 0x1F */
#define TOPOLOGY_CORE 2U

/* No asynchronous page faults: guest RAM is populated (and pinned for VFs). No MSI_EXT_DEST_ID:
 * every APIC id fits an MSI as it is. */
#define KVM_FEATURES_SHOWN                                                                       \
	(BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) |                          \
	 BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_EOI) | \
	 BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_TLB_FLUSH) |                            \
	 BIT(KVM_FEATURE_PV_SEND_IPI) | BIT(KVM_FEATURE_POLL_CONTROL) |                          \
	 BIT(KVM_FEATURE_PV_SCHED_YIELD) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT))

typedef void leaf_fn(struct cpu_model *model, struct kvm_cpuid_entry2 *c);

/* Of APIC ids: what the topology leaves shift by. */
static unsigned int apic_bits(unsigned int cpu_count)
{
	unsigned int bits = 0;

	while (BIT(bits) < cpu_count)
		bits++;
	return bits;
}

static void basic_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	c->eax = (uint32_t)u64_min(c->eax, LEAF_TOPOLOGY_V2); /* above are TDX and later leaves */
}

static void features_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	/* Logical processors, 8 bits; the initial APIC id is cpu_model_for()'s. */
	c->ebx = (c->ebx & 0xFFFF) | (uint32_t)u64_min(model->wish.count, 0xFF) << 16;
	c->ecx &=
		~(F1_ECX_MONITOR | F1_ECX_VMX | F1_ECX_PDCM | F1_ECX_OSXSAVE | F1_ECX_TSC_DEADLINE);
	if (model->wish.monitor[0] != 0)
		c->ecx |= F1_ECX_MONITOR;
	c->ecx |= F1_ECX_X2APIC | F1_ECX_HYPERVISOR;
	if (model->wish.tsc_deadline)
		c->ecx |= F1_ECX_TSC_DEADLINE;
	c->edx &= ~F1_EDX_HTT;
	if (model->wish.count > 1)
		c->edx |= F1_EDX_HTT;
}

/* Deterministic cache parameters, leaf 4 and AMD's 0x8000001D alike: levels 1 and 2 belong to one
 * core, the last level to all of them. */
static void cache_sharing_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	uint32_t level = c->eax >> 5 & 7, sharers = level >= 3 ? model->wish.count : 1;

	c->eax = (c->eax & 0x3FFF) | (sharers - 1) << 14;
}

static void cache_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	if ((c->eax & 0x1F) == 0)
		return;
	cache_sharing_fix(model, c);
	/* Core ids in a package less one: 6 bits. */
	c->eax |= (uint32_t)u64_min(BIT(apic_bits(model->wish.count)) - 1, 0x3F) << 26;
}

static void amd_cache_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	if ((c->eax & 0x1F) != 0)
		cache_sharing_fix(model, c);
}

static void power_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	c->eax &= BIT(2); /* ARAT: the APIC timer runs in every C state */
	c->ebx = c->ecx = c->edx = 0;
}

static void features7_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	if (c->index != 0)
		return;
	c->ebx &= ~(F7_EBX_SGX | F7_EBX_PQM | F7_EBX_PQE | F7_EBX_PT);
	c->ecx &= ~(F7_ECX_SGX_LC | F7_ECX_OSPKE);
}

static void kvm_signature_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	c->eax = LEAF_KVM_TIMING;
}

static void kvm_features_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	c->eax &= KVM_FEATURES_SHOWN;
	c->ebx = c->ecx = c->edx = 0;
	/* PV_UNHALT stays: Linux looks at the hint only where it is there. */
	if (model->wish.is_dedicated)
		c->edx = BIT(KVM_HINTS_REALTIME);
}

static void extended_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	c->eax = (uint32_t)u64_min(c->eax, 0x80000021U);
}

static void extended_features_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	c->ecx &= ~(FX_ECX_SVM | FX_ECX_IBS | FX_ECX_SKINIT | FX_ECX_PERFCTR | FX_ECX_PERFCTR_NB |
		    FX_ECX_PERFCTR_L2 | FX_ECX_CMP_LEGACY);
	if (model->wish.count > 1)
		c->ecx |= FX_ECX_CMP_LEGACY;
}

static void power_extended_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	model->tsc_invariant = (c->edx & FX_EDX_TSC_INVARIANT) != 0;
	c->eax = c->ebx = c->ecx = 0;
	c->edx &= FX_EDX_TSC_INVARIANT;
}

static void address_sizes_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	model->phys_bits = (uint32_t)u64_min(c->eax & 0xFF, CPU_PHYS_BITS_MAX);
	/* GuestPhysAddrSize (23:16) 0: the same as PhysAddrSize. */
	c->eax = (c->eax & 0xFF00) | model->phys_bits;
	c->ecx = (model->wish.count - 1) | apic_bits(model->wish.count) << 12;
	c->edx = 0;
}

static void amd_topology_fix(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
	c->eax = c->ebx = c->ecx = c->edx = 0; /* cpu_model_for fills the ids in */
}

static void keep(struct cpu_model *model, struct kvm_cpuid_entry2 *c)
{
}

static const struct leaf_row {
	uint32_t first, last;
	leaf_fn *fix;
} leaf_rows[] = {
	{ LEAF_BASIC, LEAF_BASIC, basic_fix },
	{ LEAF_FEATURES, LEAF_FEATURES, features_fix },
	{ 0x2, 0x2, keep }, /* cache descriptors */
	{ LEAF_CACHE, LEAF_CACHE, cache_fix },
	{ 0x6, 0x6, power_fix },
	{ 0x7, 0x7, features7_fix },
	{ 0xD, 0xD, keep }, /* XSAVE */
	{ 0x16, 0x16, keep }, /* core frequency */
	{ 0x1D, 0x1E, keep }, /* AMX tiles */
	{ LEAF_KVM_SIGNATURE, LEAF_KVM_SIGNATURE, kvm_signature_fix },
	{ LEAF_KVM_FEATURES, LEAF_KVM_FEATURES, kvm_features_fix },
	{ LEAF_EXTENDED, LEAF_EXTENDED, extended_fix },
	{ 0x80000001, 0x80000001, extended_features_fix },
	{ 0x80000002, 0x80000006, keep }, /* brand, AMD caches and TLBs */
	{ LEAF_POWER_EXTENDED, LEAF_POWER_EXTENDED, power_extended_fix },
	{ LEAF_ADDRESS_SIZES, LEAF_ADDRESS_SIZES, address_sizes_fix },
	{ 0x80000019, 0x8000001A, keep }, /* TLBs, SIMD width */
	{ 0x8000001D, 0x8000001D, amd_cache_fix },
	{ LEAF_AMD_TOPOLOGY, LEAF_AMD_TOPOLOGY, amd_topology_fix },
	{ 0x80000021, 0x80000021, keep }, /* AMD features, second set */
};

static const struct leaf_row *leaf_row_find(uint32_t leaf)
{
	for (size_t i = 0; i < ARRAY_SIZE(leaf_rows); i++)
		if (leaf >= leaf_rows[i].first && leaf <= leaf_rows[i].last)
			return &leaf_rows[i];
	return NULL;
}

static bool leaf_present(const struct cpu_model *model, uint32_t leaf)
{
	for (uint32_t i = 0; i < model->entry_count; i++)
		if (model->entries[i].function == leaf)
			return true;
	return false;
}

static void entry_add(struct cpu_model *model, const struct kvm_cpuid_entry2 *c)
{
	if (model->entry_count < CPUID_ENTRIES_MAX)
		model->entries[model->entry_count++] = *c;
}

/* Leaves 0xB and 0x1F: a level of one thread, a level of all cores, and the closing empty level. */
static void topology_add(struct cpu_model *model, uint32_t leaf)
{
	const struct {
		uint32_t shift, count, type;
	} levels[] = {
		{ 0, 1, TOPOLOGY_SMT },
		{ apic_bits(model->wish.count), model->wish.count, TOPOLOGY_CORE },
		{ 0, 0, 0 },
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(levels); i++)
		entry_add(model, &(struct kvm_cpuid_entry2){
					 .function = leaf,
					 .index = i,
					 .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
					 .eax = levels[i].shift,
					 .ebx = levels[i].count,
					 .ecx = levels[i].type << 8 | i,
				 });
}

/* Deep idle states take longer to leave than the packets of a dedicated CPU can wait: C0 and C1. */
static void monitor_add(struct cpu_model *model)
{
	const uint32_t *m = model->wish.monitor;

	entry_add(model, &(struct kvm_cpuid_entry2){ .function = LEAF_MONITOR,
						     .eax = m[0],
						     .ebx = m[1],
						     .ecx = m[2] & 3,
						     .edx = m[3] & 0xFF });
}

/* The leaves that are made here; cpu_model_for() has what they say of the TSC and of one vCPU. */
static void leaves_add(struct cpu_model *model, uint32_t basic_max, bool is_intel)
{
	topology_add(model, LEAF_TOPOLOGY);
	if (basic_max >= LEAF_TOPOLOGY_V2)
		topology_add(model, LEAF_TOPOLOGY_V2);
	if (model->wish.monitor[0] != 0)
		monitor_add(model);
	if (basic_max >= LEAF_TSC && is_intel)
		entry_add(model, &(struct kvm_cpuid_entry2){ .function = LEAF_TSC });
	entry_add(model, &(struct kvm_cpuid_entry2){ .function = LEAF_KVM_TIMING });
}

int cpu_model_init(struct cpu_model *model, const struct kvm_cpuid2 *host,
		   const struct cpu_wish *wish, struct err *e)
{
	static const uint32_t needed[] = { LEAF_BASIC, LEAF_FEATURES, LEAF_KVM_FEATURES,
					   LEAF_EXTENDED, LEAF_ADDRESS_SIZES };
	uint32_t basic_max = 0;
	bool is_intel = false;

	memset(model, 0, sizeof(*model));
	model->wish = *wish;
	for (uint32_t i = 0; i < host->nent && model->entry_count < CPUID_ENTRIES_MAX; i++) {
		const struct leaf_row *row = leaf_row_find(host->entries[i].function);
		struct kvm_cpuid_entry2 *c = &model->entries[model->entry_count];

		if (row == NULL)
			continue;
		*c = host->entries[i];
		row->fix(model, c);
		if (c->function == LEAF_BASIC) {
			basic_max = c->eax;
			is_intel = c->ebx == VENDOR_INTEL_EBX;
		}
		model->entry_count++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!leaf_present(model, needed[i]))
			return err_set(e, EINVAL, "KVM offers no CPUID leaf 0x%x", needed[i]);
	if (basic_max < LEAF_TOPOLOGY)
		return err_set(e, EINVAL, "host CPU too old: CPUID ends at leaf 0x%x", basic_max);
	leaves_add(model, basic_max, is_intel);
	return 0;
}

/* What depends on the vCPU or on the TSC's rate. */
static void leaf_finish(const struct cpu_model *model, unsigned int cpu, struct kvm_cpuid_entry2 *c)
{
	switch (c->function) {
	case LEAF_FEATURES:
		c->ebx = (c->ebx & 0x00FFFFFF) | cpu << 24;
		break;
	case LEAF_TOPOLOGY:
	case LEAF_TOPOLOGY_V2:
		c->edx = cpu;
		break;
	case LEAF_AMD_TOPOLOGY:
		c->eax = cpu; /* extended APIC id */
		c->ebx = cpu & 0xFF; /* core id, one thread per core */
		break;
	case LEAF_POWER_EXTENDED:
		if (model->tsc_khz == 0)
			c->edx &= ~FX_EDX_TSC_INVARIANT;
		break;
	case LEAF_TSC: /* rate = crystal * ebx / eax; guests take the crystal for the APIC's clock */
		if (model->tsc_khz == 0)
			break;
		c->eax = APIC_HZ / 1000;
		c->ebx = model->tsc_khz;
		c->ecx = APIC_HZ;
		break;
	case LEAF_KVM_TIMING:
		c->eax = model->tsc_khz;
		c->ebx = APIC_HZ / 1000;
		break;
	default:
		break;
	}
}

void cpu_model_for(const struct cpu_model *model, unsigned int cpu, struct kvm_cpuid2 *out)
{
	out->nent = model->entry_count;
	out->padding = 0;
	for (uint32_t i = 0; i < model->entry_count; i++) {
		out->entries[i] = model->entries[i];
		leaf_finish(model, cpu, &out->entries[i]);
	}
}
