// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/vtd_regs.h"

const struct vtd_reg_row vtd_regs[VTD_REGS] = {
	[VTD_VER] = { "VER", 0x00, 4 },	       [VTD_CAP] = { "CAP", 0x08, 8 },
	[VTD_ECAP] = { "ECAP", 0x10, 8 },      [VTD_GSTS] = { "GSTS", 0x1C, 4 },
	[VTD_RTADDR] = { "RTADDR", 0x20, 8 },  [VTD_FSTS] = { "FSTS", 0x34, 4 },
	[VTD_FECTL] = { "FECTL", 0x38, 4 },    [VTD_IRTA] = { "IRTA", 0xB8, 8 },
	[VTD_FRCD_LOW] = { "FRCD_LOW", 0, 8 }, [VTD_FRCD_HIGH] = { "FRCD_HIGH", 0, 8 },
};

const struct vtd_field vtd_fields[] = {
	{ VTD_VER, "MIN", 0, 4, "minor version" },
	{ VTD_VER, "MAX", 4, 4, "major version" },

	{ VTD_CAP, "ND", 0, 3, "domains: 2^(4 + 2 ND)" },
	{ VTD_CAP, "AFL", 3, 1, "advanced fault logging" },
	{ VTD_CAP, "RWBF", 4, 1, "write buffers must be flushed" },
	{ VTD_CAP, "PLMR", 5, 1, "protected low memory" },
	{ VTD_CAP, "PHMR", 6, 1, "protected high memory" },
	{ VTD_CAP, "CM", 7, 1, "caching mode: entries not present may be cached" },
	{ VTD_CAP, "SAGAW", 8, 5, "table depths: bit 1 three levels, 2 four, 3 five" },
	{ VTD_CAP, "MGAW", 16, 6, "width of guest addresses, minus 1" },
	{ VTD_CAP, "ZLR", 22, 1, "reads of length zero of write-only pages" },
	{ VTD_CAP, "FRO", 24, 10, "fault records at 16 x FRO" },
	{ VTD_CAP, "SSLPS", 34, 4, "large pages: bit 0 2 MiB, bit 1 1 GiB" },
	{ VTD_CAP, "PSI", 39, 1, "invalidation of single pages" },
	{ VTD_CAP, "NFR", 40, 8, "fault records, minus 1" },
	{ VTD_CAP, "MAMV", 48, 6, "largest address mask of an invalidation" },
	{ VTD_CAP, "DWD", 54, 1, "writes are drained" },
	{ VTD_CAP, "DRD", 55, 1, "reads are drained" },
	{ VTD_CAP, "FS1GP", 56, 1, "1 GiB pages in first-stage tables" },
	{ VTD_CAP, "PI", 59, 1, "posted interrupts" },
	{ VTD_CAP, "FS5LP", 60, 1, "five levels in first-stage tables" },
	{ VTD_CAP, "ECMDS", 61, 1, "enhanced commands" },
	{ VTD_CAP, "ESIRTPS", 62, 1, "setting IRTA invalidates all interrupt entries" },
	{ VTD_CAP, "ESRTPS", 63, 1, "setting RTADDR invalidates all translations" },

	{ VTD_ECAP, "C", 0, 1, "walks of tables are coherent" },
	{ VTD_ECAP, "QI", 1, 1, "queued invalidation" },
	{ VTD_ECAP, "DT", 2, 1, "device TLBs (ATS)" },
	{ VTD_ECAP, "IR", 3, 1, "interrupt remapping" },
	{ VTD_ECAP, "EIM", 4, 1, "32-bit APIC ids (x2APIC)" },
	{ VTD_ECAP, "PT", 6, 1, "pass through" },
	{ VTD_ECAP, "SC", 7, 1, "snoop control" },
	{ VTD_ECAP, "IRO", 8, 10, "IOTLB registers at 16 x IRO" },
	{ VTD_ECAP, "MHMV", 20, 4, "largest handle mask" },
	{ VTD_ECAP, "NEST", 26, 1, "nested translation" },
	{ VTD_ECAP, "PRS", 29, 1, "page requests" },
	{ VTD_ECAP, "ERS", 30, 1, "requests to execute" },
	{ VTD_ECAP, "SRS", 31, 1, "supervisor requests" },
	{ VTD_ECAP, "NWFS", 33, 1, "no-write flag" },
	{ VTD_ECAP, "EAFS", 34, 1, "extended accessed flag" },
	{ VTD_ECAP, "PSS", 35, 5, "bits of a PASID, minus 1" },
	{ VTD_ECAP, "PASID", 40, 1, "PASIDs" },
	{ VTD_ECAP, "DIT", 41, 1, "throttled device TLB invalidation" },
	{ VTD_ECAP, "PDS", 42, 1, "drain of page requests" },
	{ VTD_ECAP, "SMTS", 43, 1, "scalable mode" },
	{ VTD_ECAP, "VCS", 44, 1, "virtual commands" },
	{ VTD_ECAP, "SSADS", 45, 1, "accessed and dirty bits, second stage" },
	{ VTD_ECAP, "SSTS", 46, 1, "second stage in scalable mode" },
	{ VTD_ECAP, "FSTS", 47, 1, "first stage in scalable mode" },
	{ VTD_ECAP, "SMPWCS", 48, 1, "coherent walks in scalable mode" },
	{ VTD_ECAP, "RPS", 49, 1, "PASID of requests without one" },
	{ VTD_ECAP, "PMS", 51, 1, "performance monitoring" },
	{ VTD_ECAP, "ADMS", 52, 1, "abort DMA mode" },
	{ VTD_ECAP, "RPRIVS", 53, 1, "privilege of requests without PASID" },

	{ VTD_GSTS, "CFIS", 23, 1, "compatibility interrupts pass" },
	{ VTD_GSTS, "IRTPS", 24, 1, "interrupt remapping table is set" },
	{ VTD_GSTS, "IRES", 25, 1, "interrupt remapping is on" },
	{ VTD_GSTS, "QIES", 26, 1, "queued invalidation is on" },
	{ VTD_GSTS, "WBFS", 27, 1, "write buffer flush in progress" },
	{ VTD_GSTS, "AFLS", 28, 1, "advanced fault logging is on" },
	{ VTD_GSTS, "FLS", 29, 1, "fault log is set" },
	{ VTD_GSTS, "RTPS", 30, 1, "root table is set" },
	{ VTD_GSTS, "TES", 31, 1, "translation is on" },

	{ VTD_RTADDR, "TTM", 10, 2, "mode: 0 legacy, 1 scalable, 3 abort DMA" },
	{ VTD_RTADDR, "RTA", 12, 52, "root table, address / 4096" },

	{ VTD_FSTS, "PFO", 0, 1, "faults were lost" },
	{ VTD_FSTS, "PPF", 1, 1, "a fault record is pending" },
	{ VTD_FSTS, "AFO", 2, 1, "advanced fault log overflowed" },
	{ VTD_FSTS, "APF", 3, 1, "advanced fault is pending" },
	{ VTD_FSTS, "IQE", 4, 1, "invalidation queue error" },
	{ VTD_FSTS, "ICE", 5, 1, "invalidation completion error" },
	{ VTD_FSTS, "ITE", 6, 1, "invalidation time-out" },
	{ VTD_FSTS, "FRI", 8, 8, "first pending fault record" },

	{ VTD_FECTL, "IP", 30, 1, "fault interrupt is pending" },
	{ VTD_FECTL, "IM", 31, 1, "fault interrupt is masked" },

	{ VTD_IRTA, "S", 0, 4, "entries: 2^(S + 1)" },
	{ VTD_IRTA, "EIME", 11, 1, "x2APIC mode" },
	{ VTD_IRTA, "IRTA", 12, 52, "interrupt remapping table, address / 4096" },

	{ VTD_FRCD_LOW, "FI", 12, 52, "fault information: page number" },

	{ VTD_FRCD_HIGH, "SID", 0, 16, "source-id" },
	{ VTD_FRCD_HIGH, "T2", 28, 1, "type, second bit" },
	{ VTD_FRCD_HIGH, "PRIV", 29, 1, "privileged request" },
	{ VTD_FRCD_HIGH, "EXE", 30, 1, "request to execute" },
	{ VTD_FRCD_HIGH, "PP", 31, 1, "PASID is present" },
	{ VTD_FRCD_HIGH, "FR", 32, 8, "fault reason" },
	{ VTD_FRCD_HIGH, "PV", 40, 20, "PASID" },
	{ VTD_FRCD_HIGH, "AT", 60, 2, "address type" },
	{ VTD_FRCD_HIGH, "T1", 62, 1, "type, first bit" },
	{ VTD_FRCD_HIGH, "F", 63, 1, "a fault is recorded" },
};
const size_t vtd_field_count = ARRAY_SIZE(vtd_fields);

/* SAGAW: bit 1 is 39 bits in 3 levels, bit 2 48 in 4, bit 3 57 in 5; bits 0 and 4 are reserved. */
unsigned int vtd_levels(uint64_t cap)
{
	return (VTD_CAP_SAGAW(cap) & 0xE) << 2;
}

unsigned int vtd_address_bits(uint64_t cap)
{
	unsigned int levels = vtd_levels(cap);

	for (unsigned int n = 5; n >= 3; n--)
		if ((levels >> n & 1) != 0)
			return (unsigned int)u64_min(VTD_CAP_MGAW(cap) + 1, 12 + 9 * n);
	return 0;
}
