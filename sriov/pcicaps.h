/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The capabilities that matter for giving a function away, decoded from its configuration space.
 * Pure: bytes in, facts out. PCIe Base 6.0: SR-IOV 9.3.3, ARI 7.8.7, ACS 7.7.11, ATS 10.5.1,
 * PRI 10.5.2, PASID 7.8.9, Device Capabilities 7.5.3.3.
 */
#ifndef VIADUCT_SRIOV_PCICAPS_H
#define VIADUCT_SRIOV_PCICAPS_H

#include "sriov/cfgspace.h"

#define VF_BARS 6

/* Bits of struct acs_cap, in the same place in the capability and the control register. */
enum acs_bit {
	ACS_SOURCE_VALIDATION = 1 << 0,
	ACS_TRANSLATION_BLOCKING = 1 << 1,
	ACS_P2P_REQUEST_REDIRECT = 1 << 2,
	ACS_P2P_COMPLETION_REDIRECT = 1 << 3,
	ACS_UPSTREAM_FORWARDING = 1 << 4,
	ACS_P2P_EGRESS_CONTROL = 1 << 5,
	ACS_DIRECT_TRANSLATED_P2P = 1 << 6,
};

struct acs_bit_name {
	uint16_t bit;
	const char *name; /* "source_validation": the member's name in JSON */
	const char *abbrev; /* "SrcValid": as lspci prints it */
};

#define ACS_BIT_COUNT 7
extern const struct acs_bit_name acs_bit_names[ACS_BIT_COUNT];

struct acs_cap {
	bool present;
	uint16_t cap; /* enum acs_bit */
	uint16_t ctl; /* enum acs_bit: what is switched on */
};

struct ari_cap {
	bool present;
	bool mfvc_groups; /* MFVC function groups capability */
	bool acs_groups; /* ACS function groups capability */
	uint8_t next_function;
};

struct ats_cap {
	bool present;
	uint8_t queue_depth; /* invalidations that may be outstanding, 1-32 */
	bool page_aligned;
	bool enabled;
	uint8_t stu; /* smallest translation unit: 4 KiB << stu */
};

struct pri_cap {
	bool present;
	bool enabled;
	bool stopped;
	uint32_t capacity; /* outstanding page requests */
};

struct pasid_cap {
	bool present;
	bool exec;
	bool priv;
	uint8_t width_bits; /* PASIDs: 1 << width_bits */
	bool enabled;
};

struct pcie_cap {
	bool present;
	bool flr;
	uint8_t type; /* device/port type field: 0 endpoint, 4 root port, ... */
	uint8_t speed, speed_max; /* code of the link speed: 1 = 2.5 GT/s; 0 = none (a VF) */
	uint8_t width, width_max; /* lanes */
};

struct vf_bar {
	uint8_t index; /* 0-5 */
	bool is_64bit; /* takes the next index too */
	bool is_prefetchable;
	uint64_t size_bytes; /* of one VF; 0: the kernel gave it no space (or it is not known) */
};

struct sriov_cap {
	bool present;
	bool vf_migration_capable;
	bool vf_10bit_tag;
	bool vf_enable; /* control: VFE */
	bool vf_mse; /* control: VF memory space enable */
	bool ari_capable_hierarchy; /* control */
	bool ari_preserved; /* capability: the hierarchy bit survives D3hot */
	uint16_t initial_vfs, total_vfs, num_vfs;
	uint8_t dependency_link;
	uint16_t first_vf_offset, vf_stride, vf_device_id;
	uint32_t supported_page_sizes; /* bit n: 4 KiB << n */
	uint32_t system_page_size; /* one bit of the above */
	uint8_t bar_count;
	struct vf_bar bars[VF_BARS];
};

struct pci_caps {
	/* The space was cut at 64 bytes: all below is unknown, not absent. */
	bool needs_root;
	bool is_dead; /* the header reads as all ones: the function does not answer */
	bool has_serial; /* Device Serial Number */
	uint64_t serial;
	uint16_t msix_vectors; /* 0: no MSI-X */
	bool msi;
	struct pcie_cap pcie;
	struct ari_cap ari;
	struct acs_cap acs;
	struct ats_cap ats;
	struct pri_cap pri;
	struct pasid_cap pasid;
	struct sriov_cap sriov; /* bars without sizes: those come from `resource` */
};

/* Never fails: what cannot be read is absent, or needs_root is set. */
void pci_caps_decode(struct cfg_space *cfg, struct pci_caps *out);

/* Fills the sizes of sriov->bars from the text of the PF's sysfs attribute `resource`, whose lines
 * 7 to 12 hold the space of all TotalVFs together. If the capability could not be read (!present)
 * the BARs come from the resource's flags, without sizes: sriov_totalvfs may be a driver's lower
 * limit. */
void sriov_cap_add_sizes(struct sriov_cap *sriov, const char *resource);

#endif
