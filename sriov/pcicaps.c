// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/pcicaps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum cap_id { CAP_MSI = 0x05, CAP_PCIE = 0x10, CAP_MSIX = 0x11 };

enum ext_cap_id {
	EXT_DSN = 0x03,
	EXT_ACS = 0x0d,
	EXT_ARI = 0x0e,
	EXT_ATS = 0x0f,
	EXT_SRIOV = 0x10,
	EXT_PRI = 0x13,
	EXT_PASID = 0x1b,
};

/* Offsets in the SR-IOV capability, PCIe Base 6.0, 9.3.3. */
enum sriov_reg {
	SRIOV_CAP = 0x04,
	SRIOV_CTL = 0x08,
	SRIOV_INITIAL_VFS = 0x0c,
	SRIOV_TOTAL_VFS = 0x0e,
	SRIOV_NUM_VFS = 0x10,
	SRIOV_DEPENDENCY = 0x12,
	SRIOV_VF_OFFSET = 0x14,
	SRIOV_VF_STRIDE = 0x16,
	SRIOV_VF_DEVICE = 0x1a,
	SRIOV_SUPPORTED_PAGES = 0x1c,
	SRIOV_SYSTEM_PAGE = 0x20,
	SRIOV_BAR0 = 0x24,
};

enum {
	SRIOV_CAP_MIGRATION = 1 << 0,
	SRIOV_CAP_ARI_PRESERVED = 1 << 1,
	SRIOV_CAP_10BIT_TAG = 1 << 2,
	SRIOV_CTL_VFE = 1 << 0,
	SRIOV_CTL_MSE = 1 << 3,
	SRIOV_CTL_ARI = 1 << 4,
};

/* Offsets in the PCI Express capability. */
enum pcie_reg { PCIE_FLAGS = 0x02, PCIE_DEVCAP = 0x04, PCIE_LNKCAP = 0x0c, PCIE_LNKSTA = 0x12 };

#define PCIE_DEVCAP_FLR BIT(28)

enum { BAR_IS_IO = 1 << 0, BAR_TYPE = 3 << 1, BAR_64BIT = 2 << 1, BAR_PREFETCH = 1 << 3 };

/* Flags in the third column of sysfs `resource`: the kernel's struct resource. */
#define RES_MEM	     0x00000200ULL
#define RES_PREFETCH 0x00002000ULL
#define RES_MEM_64   0x00100000ULL

#define RESOURCE_FIRST_VF_LINE 7 /* after six BARs and the ROM */

const struct acs_bit_name acs_bit_names[ACS_BIT_COUNT] = {
	{ ACS_SOURCE_VALIDATION, "source_validation", "SrcValid" },
	{ ACS_TRANSLATION_BLOCKING, "translation_blocking", "TransBlk" },
	{ ACS_P2P_REQUEST_REDIRECT, "p2p_request_redirect", "ReqRedir" },
	{ ACS_P2P_COMPLETION_REDIRECT, "p2p_completion_redirect", "CmpltRedir" },
	{ ACS_UPSTREAM_FORWARDING, "upstream_forwarding", "UpstreamFwd" },
	{ ACS_P2P_EGRESS_CONTROL, "p2p_egress_control", "EgressCtrl" },
	{ ACS_DIRECT_TRANSLATED_P2P, "direct_translated_p2p", "DirectTrans" },
};

/* A register of a capability that was found; 0 where it does not lie in the space. */
static uint16_t reg16(struct cfg_space *cfg, int cap, unsigned reg)
{
	uint16_t v = 0;

	(void)cfg_read16(cfg, (unsigned)cap + reg, &v);
	return v;
}

static uint32_t reg32(struct cfg_space *cfg, int cap, unsigned reg)
{
	uint32_t v = 0;

	(void)cfg_read32(cfg, (unsigned)cap + reg, &v);
	return v;
}

static void decode_pcie(struct cfg_space *cfg, int cap, struct pci_caps *out)
{
	uint32_t link_cap = reg32(cfg, cap, PCIE_LNKCAP);
	uint16_t link_sta = reg16(cfg, cap, PCIE_LNKSTA);

	out->pcie = (struct pcie_cap){
		.present = true,
		.flr = (reg32(cfg, cap, PCIE_DEVCAP) & PCIE_DEVCAP_FLR) != 0,
		.type = reg16(cfg, cap, PCIE_FLAGS) >> 4 & 0xf,
		.speed = link_sta & 0xf,
		.speed_max = link_cap & 0xf,
		.width = link_sta >> 4 & 0x3f,
		.width_max = link_cap >> 4 & 0x3f,
	};
}

static void decode_msi(struct cfg_space *cfg, int cap, struct pci_caps *out)
{
	out->msi = true;
}

static void decode_msix(struct cfg_space *cfg, int cap, struct pci_caps *out)
{
	out->msix_vectors = (uint16_t)((reg16(cfg, cap, 2) & 0x7ff) + 1);
}

static void decode_ari(struct cfg_space *cfg, int cap, struct pci_caps *out)
{
	uint16_t v = reg16(cfg, cap, 4);

	out->ari = (struct ari_cap){ .present = true,
				     .mfvc_groups = (v & 1) != 0,
				     .acs_groups = (v & 2) != 0,
				     .next_function = (uint8_t)(v >> 8) };
}

static void decode_acs(struct cfg_space *cfg, int cap, struct pci_caps *out)
{
	out->acs = (struct acs_cap){ .present = true,
				     .cap = reg16(cfg, cap, 4) & (BIT(ACS_BIT_COUNT) - 1),
				     .ctl = reg16(cfg, cap, 6) & (BIT(ACS_BIT_COUNT) - 1) };
}

static void decode_ats(struct cfg_space *cfg, int cap, struct pci_caps *out)
{
	uint16_t v = reg16(cfg, cap, 4), ctl = reg16(cfg, cap, 6);
	uint8_t depth = v & 0x1f;

	out->ats = (struct ats_cap){ .present = true,
				     .queue_depth = depth != 0 ? depth : 32,
				     .page_aligned = (v & BIT(5)) != 0,
				     .enabled = (ctl & BIT(15)) != 0,
				     .stu = ctl & 0x1f };
}

static void decode_pri(struct cfg_space *cfg, int cap, struct pci_caps *out)
{
	out->pri = (struct pri_cap){ .present = true,
				     .enabled = (reg16(cfg, cap, 4) & 1) != 0,
				     .stopped = (reg16(cfg, cap, 6) & BIT(8)) != 0,
				     .capacity = reg32(cfg, cap, 8) };
}

static void decode_pasid(struct cfg_space *cfg, int cap, struct pci_caps *out)
{
	uint16_t v = reg16(cfg, cap, 4);

	out->pasid = (struct pasid_cap){ .present = true,
					 .exec = (v & BIT(1)) != 0,
					 .priv = (v & BIT(2)) != 0,
					 .width_bits = v >> 8 & 0x1f,
					 .enabled = (reg16(cfg, cap, 6) & 1) != 0 };
}

static void decode_vf_bars(struct cfg_space *cfg, int cap, struct sriov_cap *s)
{
	for (uint8_t i = 0; i < VF_BARS; i++) {
		uint32_t bar = reg32(cfg, cap, SRIOV_BAR0 + 4U * i);
		bool is_64bit = (bar & BAR_TYPE) == BAR_64BIT;

		/* VF BARs are memory only. */
		if (bar == 0 || (bar & BAR_IS_IO) != 0)
			continue;
		s->bars[s->bar_count++] =
			(struct vf_bar){ .index = i,
					 .is_64bit = is_64bit,
					 .is_prefetchable = (bar & BAR_PREFETCH) != 0 };
		if (is_64bit)
			i++; /* the next register holds the upper half */
	}
}

static void decode_sriov(struct cfg_space *cfg, int cap, struct pci_caps *out)
{
	uint32_t v = reg32(cfg, cap, SRIOV_CAP);
	uint16_t ctl = reg16(cfg, cap, SRIOV_CTL);

	out->sriov = (struct sriov_cap){
		.present = true,
		.vf_migration_capable = (v & SRIOV_CAP_MIGRATION) != 0,
		.ari_preserved = (v & SRIOV_CAP_ARI_PRESERVED) != 0,
		.vf_10bit_tag = (v & SRIOV_CAP_10BIT_TAG) != 0,
		.vf_enable = (ctl & SRIOV_CTL_VFE) != 0,
		.vf_mse = (ctl & SRIOV_CTL_MSE) != 0,
		.ari_capable_hierarchy = (ctl & SRIOV_CTL_ARI) != 0,
		.initial_vfs = reg16(cfg, cap, SRIOV_INITIAL_VFS),
		.total_vfs = reg16(cfg, cap, SRIOV_TOTAL_VFS),
		.num_vfs = reg16(cfg, cap, SRIOV_NUM_VFS),
		.dependency_link = (uint8_t)reg16(cfg, cap, SRIOV_DEPENDENCY),
		.first_vf_offset = reg16(cfg, cap, SRIOV_VF_OFFSET),
		.vf_stride = reg16(cfg, cap, SRIOV_VF_STRIDE),
		.vf_device_id = reg16(cfg, cap, SRIOV_VF_DEVICE),
		.supported_page_sizes = reg32(cfg, cap, SRIOV_SUPPORTED_PAGES),
		.system_page_size = reg32(cfg, cap, SRIOV_SYSTEM_PAGE),
	};
	decode_vf_bars(cfg, cap, &out->sriov);
}

/* Device Serial Number, PCIe Base 7.9.3; none has all ones or zeros. */
static void decode_serial(struct cfg_space *cfg, int cap, struct pci_caps *out)
{
	out->serial = (uint64_t)reg32(cfg, cap, 8) << 32 | reg32(cfg, cap, 4);
	out->has_serial = out->serial != 0 && out->serial != UINT64_MAX;
}

typedef void decode_fn(struct cfg_space *cfg, int cap, struct pci_caps *out);

static const struct {
	uint16_t id;
	bool is_extended;
	decode_fn *decode;
} decoders[] = {
	{ CAP_PCIE, false, decode_pcie },  { CAP_MSIX, false, decode_msix },
	{ CAP_MSI, false, decode_msi },	   { EXT_ACS, true, decode_acs },
	{ EXT_ARI, true, decode_ari },	   { EXT_ATS, true, decode_ats },
	{ EXT_SRIOV, true, decode_sriov }, { EXT_PRI, true, decode_pri },
	{ EXT_PASID, true, decode_pasid }, { EXT_DSN, true, decode_serial },
};

void pci_caps_decode(struct cfg_space *cfg, struct pci_caps *out)
{
	uint32_t class_rev;

	memset(out, 0, sizeof(*out));
	/* Not the ids: those of a living VF read as ones, too. */
	if (cfg_read32(cfg, 8, &class_rev) < 0 || class_rev == UINT32_MAX) {
		out->is_dead = true;
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(decoders); i++) {
		int cap = decoders[i].is_extended ? cfg_find_ext_cap(cfg, decoders[i].id)
						  : cfg_find_cap(cfg, (uint8_t)decoders[i].id);

		if (cap >= 0)
			decoders[i].decode(cfg, cap, out);
	}
	out->needs_root = cfg->is_cut;
}

/* The entry of BAR `index`; a new one, in order, if the register did not show it. */
static struct vf_bar *bar_at(struct sriov_cap *s, uint8_t index)
{
	uint8_t at = 0;

	while (at < s->bar_count && s->bars[at].index < index)
		at++;
	if (at < s->bar_count && s->bars[at].index == index)
		return &s->bars[at];
	if (s->bar_count == VF_BARS)
		return NULL;
	memmove(&s->bars[at + 1], &s->bars[at], (s->bar_count - at) * sizeof(s->bars[0]));
	s->bars[at] = (struct vf_bar){ .index = index };
	s->bar_count++;
	return &s->bars[at];
}

void sriov_cap_add_sizes(struct sriov_cap *sriov, const char *resource)
{
	const uint16_t vfs = sriov->total_vfs; /* 0 if the capability could not be read */
	const char *line = resource;

	for (int nr = 0; line != NULL && nr < RESOURCE_FIRST_VF_LINE + VF_BARS; nr++) {
		const char *end = strchr(line, '\n');
		uint64_t start, last, flags;
		struct vf_bar *bar;

		/* Another form of the line or no resource: nothing to learn. */
		if (nr >= RESOURCE_FIRST_VF_LINE &&
		    sscanf(line, "0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64, &start, &last, &flags) ==
			    3 &&
		    (flags & RES_MEM) != 0) {
			bar = bar_at(sriov, (uint8_t)(nr - RESOURCE_FIRST_VF_LINE));
			if (bar == NULL)
				return;
			bar->is_64bit = (flags & RES_MEM_64) != 0;
			bar->is_prefetchable = (flags & RES_PREFETCH) != 0;
			if (vfs != 0 && last > start && (last - start + 1) % vfs == 0)
				bar->size_bytes = (last - start + 1) / vfs;
		}
		line = end != NULL ? end + 1 : NULL;
	}
}
