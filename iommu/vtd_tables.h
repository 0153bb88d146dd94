/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What VT-d's structures in memory look like: bits and fields under the specification's names (Intel Virtualization
 * Technology for Directed I/O, revision 4.1; the section stands at each). Every entry is 64-bit words, little-endian,
 * taken with get_le64() from a copy. Names and fields only: whoever reads entries of somebody else's making checks
 * them (vtd_walk.h), whoever makes them writes them. Registers are vtd_regs.h's.
 */
#ifndef VIADUCT_IOMMU_VTD_TABLES_H
#define VIADUCT_IOMMU_VTD_TABLES_H

#include "base/util.h"

#define VTD_PAGE       4096U
#define VTD_PAGE_SHIFT 12
#define VTD_WORDS      512U /* in one page */
#define VTD_LEVEL_BITS 9
#define VTD_LEVELS_MAX 5
#define VTD_ADDRESS_MASK \
	0x000FFFFFFFFFF000ULL /* bits 51:12 of every pointer to a table or a page */

/* Bits last:first of a word. */
static inline uint64_t vtd_bits(uint64_t word, unsigned int last, unsigned int first)
{
	return word >> first & (~0ULL >> (63 - (last - first)));
}

/* 9.1 Root Entry: 256 of them, one a bus; 128 bits. */
#define VTD_ROOT_SIZE	 16U
#define VTD_ROOT_P	 BIT_ULL(0)
#define VTD_ROOT_RSVD_LO 0x0000000000000FFEULL /* 11:1; CTP is 63:12 */
#define VTD_ROOT_RSVD_HI (~0ULL)

/* 9.2 Scalable-Mode Root Entry: LCTP for devices 0 to 15, UCTP for 16 to 31; each half like a root entry's low word. */
#define VTD_SM_ROOT_P	 BIT_ULL(0) /* LP, UP */
#define VTD_SM_ROOT_RSVD 0x0000000000000FFEULL

/* 9.3 Context Entry: 256 of them, indexed by device and function; 128 bits. */
#define VTD_CONTEXT_SIZE    16U
#define VTD_CONTEXT_P	    BIT_ULL(0)
#define VTD_CONTEXT_FPD	    BIT_ULL(1)
#define VTD_CONTEXT_TT(lo)  vtd_bits(lo, 3, 2)
#define VTD_CONTEXT_RSVD_LO 0x0000000000000FF0ULL /* 11:4; SSPTPTR is 63:12 */
#define VTD_CONTEXT_AW(hi)  vtd_bits(hi, 2, 0)
#define VTD_CONTEXT_DID(hi) vtd_bits(hi, 23, 8)
#define VTD_CONTEXT_RSVD_HI 0xFFFFFFFFFF000080ULL /* 127:88 and 71; 70:67 are ignored */
enum vtd_tt {
	VTD_TT_UNTRANSLATED = 0, /* untranslated requests through SSPTPTR, all others blocked */
	VTD_TT_DEVICE_TLB = 1, /* also translation requests, and translated ones pass (ATS) */
	VTD_TT_PASS_THROUGH = 2, /* untranslated requests pass as they are */
	VTD_TT_RSVD = 3
};

/* AW of 9.3 and 9.6: how many levels the second-stage tables have. 0: a reserved value. */
static inline unsigned int vtd_aw_levels(uint64_t aw)
{
	return aw >= 1 && aw <= 3 ? (unsigned int)aw + 2 : 0;
}

/* 9.4 Scalable-Mode Context Entry: 128 of them in each half; 256 bits, the upper two words reserved. */
#define VTD_SM_CONTEXT_SIZE	     32U
#define VTD_SM_CONTEXT_P	     BIT_ULL(0)
#define VTD_SM_CONTEXT_FPD	     BIT_ULL(1)
#define VTD_SM_CONTEXT_DTE	     BIT_ULL(2) /* device-TLB: ATS requests are served */
#define VTD_SM_CONTEXT_PASIDE	     BIT_ULL(3) /* requests with PASID are served */
#define VTD_SM_CONTEXT_PRE	     BIT_ULL(4)
#define VTD_SM_CONTEXT_PDTS(lo)	     vtd_bits(lo, 11, 9) /* the PASID directory has 2^(PDTS+7) entries */
#define VTD_SM_CONTEXT_RSVD_LO	     0x00000000000001E0ULL /* 8:5; PASIDDIRPTR is 63:12 */
#define VTD_SM_CONTEXT_RID_PASID(hi) vtd_bits(hi, 19, 0)
#define VTD_SM_CONTEXT_RSVD_HI	     0xFFFFFFFFFFE00000ULL /* bit 84 is RID_PRIV */

/* 9.5 Scalable-Mode PASID Directory Entry: 64 bits, indexed by PASID 19:6. */
#define VTD_PASID_DIR_P		    BIT_ULL(0)
#define VTD_PASID_DIR_FPD	    BIT_ULL(1)
#define VTD_PASID_DIR_RSVD	    0x0000000000000FFCULL /* SMPTBLPTR is 63:12 */
#define VTD_PASID_DIR_ENTRIES(pdts) (1U << ((pdts) + 7))
#define VTD_PASID_DIR_SHIFT	    6

/* 9.6 Scalable-Mode PASID Table Entry: 512 bits, 64 of them in a table, indexed by PASID 5:0. */
#define VTD_PASID_SIZE	   64U
#define VTD_PASID_ENTRIES  64U
#define VTD_PASID_P	   BIT_ULL(0)
#define VTD_PASID_FPD	   BIT_ULL(1)
#define VTD_PASID_AW(w0)   vtd_bits(w0, 4, 2)
#define VTD_PASID_PGTT(w0) vtd_bits(w0, 8, 6)
#define VTD_PASID_SSADE	   BIT_ULL(9)
#define VTD_PASID_RSVD_0   0x0000000000000C00ULL /* SSPTPTR is 63:12 */
#define VTD_PASID_DID(w1)  vtd_bits(w1, 15, 0)
#define VTD_PASID_SRE	   BIT_ULL(0) /* of word 2 */
#define VTD_PASID_FSPM(w2) vtd_bits(w2, 3, 2) /* 0: 4 levels, 1: 5 levels */
#define VTD_PASID_RSVD_2   0x0000000000000F00ULL /* FSPTPTR is 191:140 */
enum vtd_pgtt {
	VTD_PGTT_FIRST = 1,
	VTD_PGTT_SECOND = 2,
	VTD_PGTT_NESTED = 3,
	VTD_PGTT_PASS_THROUGH = 4
};

/* 9.7 First-Stage Paging Entries: the processor's format, 4 or 5 levels. */
#define VTD_FS_P  BIT_ULL(0)
#define VTD_FS_RW BIT_ULL(1)
#define VTD_FS_US BIT_ULL(2)
#define VTD_FS_A  BIT_ULL(5)
#define VTD_FS_D  BIT_ULL(6)
#define VTD_FS_PS BIT_ULL(7)
#define VTD_FS_PAT_HUGE \
	BIT_ULL(12) /* the lowest address bit of a 2 MiB or 1 GiB page's entry is PAT */
#define VTD_FS_XD BIT_ULL(63)

/* 9.8 Second-Stage Paging Entries: 3, 4 or 5 levels. A table or page is present if it may be read or written. */
#define VTD_SS_R   BIT_ULL(0)
#define VTD_SS_W   BIT_ULL(1)
#define VTD_SS_X   BIT_ULL(2)
#define VTD_SS_PS  BIT_ULL(7)
#define VTD_SS_A   BIT_ULL(8)
#define VTD_SS_D   BIT_ULL(9)
#define VTD_SS_SNP BIT_ULL(11)

/* Bytes that one entry of a table of this level (1: leaves of 4 KiB) stands for. */
static inline uint64_t vtd_entry_span(unsigned int level)
{
	return 1ULL << (VTD_PAGE_SHIFT + VTD_LEVEL_BITS * (level - 1));
}

/* 9.10 Interrupt Remapping Table Entry for Remapped Interrupts, 9.11 for Posted Interrupts: 128 bits. */
#define VTD_IRTE_SIZE	 16U
#define VTD_IRTE_P	 BIT_ULL(0)
#define VTD_IRTE_FPD	 BIT_ULL(1)
#define VTD_IRTE_IM	 BIT_ULL(15) /* set: posted */
#define VTD_IRTE_SID(hi) ((uint16_t)vtd_bits(hi, 15, 0))
#define VTD_IRTE_SQ(hi)	 vtd_bits(hi, 17, 16)
#define VTD_IRTE_SVT(hi) vtd_bits(hi, 19, 18)
/* remapped */
#define VTD_IRTE_DM	 BIT_ULL(2) /* logical destination */
#define VTD_IRTE_RH	 BIT_ULL(3)
#define VTD_IRTE_TM	 BIT_ULL(4)
#define VTD_IRTE_DLM(lo) vtd_bits(lo, 7, 5)
#define VTD_IRTE_RSVD_LO 0x00000000FF007000ULL
#define VTD_IRTE_V(lo)	 ((uint8_t)vtd_bits(lo, 23, 16))
#define VTD_IRTE_DST(lo) \
	((uint32_t)vtd_bits(lo, 63, 32)) /* all 32 bits with EIME, else bits 15:8 */
#define VTD_IRTE_RSVD_HI 0xFFFFFFFFFFF00000ULL
/* posted */
#define VTD_IRTE_URG	    BIT_ULL(14)
#define VTD_IRTE_PD_RSVD_LO 0x0000003FFF0030FCULL
#define VTD_IRTE_PD_RSVD_HI 0x00000000FFF00000ULL
enum vtd_svt {
	VTD_SVT_NONE = 0, /* any device may use the entry */
	VTD_SVT_SID = 1, /* SID, less the function bits that SQ names */
	VTD_SVT_BUS = 2, /* any function of the buses SID 15:8 to SID 7:0 */
	VTD_SVT_RSVD = 3
};

/* Where the descriptor of a posted entry lies: PDAL is 63:38 (address bits 31:6), PDAH 127:96. */
static inline uint64_t vtd_irte_pda(uint64_t lo, uint64_t hi)
{
	return vtd_bits(lo, 63, 38) << 6 | vtd_bits(hi, 63, 32) << 32;
}

/* The APIC ID in DST or NDST; x2APIC: EIME of the unit is set. */
static inline uint32_t vtd_apic_id(uint32_t dst, bool is_x2apic)
{
	return is_x2apic ? dst : dst >> 8 & 0xFF;
}

/* 9.12 Posted Interrupt Descriptor: 512 bits, aligned to 64 bytes; PIR is 255:0, the rest in word 4. */
#define VTD_PID_SIZE	 64U
#define VTD_PID_WORD	 4
#define VTD_PID_ON	 BIT_ULL(0)
#define VTD_PID_SN	 BIT_ULL(1)
#define VTD_PID_NV(w4)	 ((uint8_t)vtd_bits(w4, 23, 16))
#define VTD_PID_NDST(w4) ((uint32_t)vtd_bits(w4, 63, 32))
#define VTD_PID_RSVD	 0x00000000FF00FFFCULL

#endif
