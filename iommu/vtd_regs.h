/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers of a VT-d remapping unit: where they are and what their bits mean, with the names of the Intel VT-d
 * specification, chapter 11 ("Register Descriptions"). Pure: values in, meanings out; who may read a register is the
 * caller's business. Used for the host's units and for those that guests see.
 */
#ifndef VIADUCT_IOMMU_VTD_REGS_H
#define VIADUCT_IOMMU_VTD_REGS_H

#include "base/util.h"

/* The registers that are decoded here (11.4). */
enum vtd_reg {
	VTD_VER, /* Version Register */
	VTD_CAP, /* Capability Register, 11.4.2 */
	VTD_ECAP, /* Extended Capability Register, 11.4.3 */
	VTD_GSTS, /* Global Status Register */
	VTD_RTADDR, /* Root Table Address Register */
	VTD_FSTS, /* Fault Status Register */
	VTD_FECTL, /* Fault Event Control Register */
	VTD_IRTA, /* Interrupt Remapping Table Address Register */
	VTD_FRCD_LOW, /* Fault Recording Registers, bits 63:0; at FRO */
	VTD_FRCD_HIGH, /* bits 127:64 */
	VTD_REGS
};

/* Offset from the unit's base, bytes (4 or 8). The offset of the fault recording registers is the unit's own
 * (vtd_frcd_offset); in this table it is 0. */
struct vtd_reg_row {
	const char *name;
	uint16_t offset;
	uint8_t bytes;
};
extern const struct vtd_reg_row vtd_regs[VTD_REGS];

/* One field: bits lsb to lsb + bits - 1. */
struct vtd_field {
	enum vtd_reg reg;
	const char *name; /* the specification's */
	uint8_t lsb, bits;
	const char *what; /* for people */
};

/* All fields, sorted by register, then by bit. */
extern const struct vtd_field vtd_fields[];
extern const size_t vtd_field_count;

/* The field's value in the register's value. */
static inline uint64_t vtd_field_get(const struct vtd_field *f, uint64_t value)
{
	return f->bits >= 64 ? value : value >> f->lsb & ((1ULL << f->bits) - 1);
}

/* CAP. */
#define VTD_CAP_SAGAW(v) ((unsigned int)((v) >> 8 & 0x1F))
#define VTD_CAP_MGAW(v)	 ((unsigned int)((v) >> 16 & 0x3F))
#define VTD_CAP_SSLPS(v) ((unsigned int)((v) >> 34 & 0xF))
#define VTD_CAP_PI(v)	 (((v) >> 59 & 1) != 0)

/* ECAP. */
#define VTD_ECAP_C(v)	 (((v)&1) != 0)
#define VTD_ECAP_DT(v)	 (((v) >> 2 & 1) != 0)
#define VTD_ECAP_IR(v)	 (((v) >> 3 & 1) != 0)
#define VTD_ECAP_EIM(v)	 (((v) >> 4 & 1) != 0)
#define VTD_ECAP_SC(v)	 (((v) >> 7 & 1) != 0)
#define VTD_ECAP_SMTS(v) (((v) >> 43 & 1) != 0)

/* GSTS. */
#define VTD_GSTS_TES(v)	 (((v) >> 31 & 1) != 0)
#define VTD_GSTS_IRES(v) (((v) >> 25 & 1) != 0)
#define VTD_GSTS_CFIS(v) (((v) >> 23 & 1) != 0)

/* RTADDR: translation table mode (TTM) and the table's address. */
enum vtd_ttm { VTD_TTM_LEGACY, VTD_TTM_SCALABLE, VTD_TTM_RESERVED, VTD_TTM_ABORT };
#define VTD_RTADDR_TTM(v) ((enum vtd_ttm)((v) >> 10 & 3))
#define VTD_RTADDR_RTA(v) ((v) & ~0xFFFULL)

/* IRTA: the table's address, x2APIC mode, 2^(S + 1) entries. */
#define VTD_IRTA_ADDR(v)    ((v) & ~0xFFFULL)
#define VTD_IRTA_EIME(v)    (((v) >> 11 & 1) != 0)
#define VTD_IRTA_ENTRIES(v) (2U << ((v)&0xF))

/* Guest address widths that second-stage tables can have, a bit for each number of levels: bit 3, 4, 5. */
unsigned int vtd_levels(uint64_t cap);

/* How wide the addresses are that the unit translates at most: the smaller one of MGAW and the deepest table's
 * width. 0: it translates none. */
unsigned int vtd_address_bits(uint64_t cap);

#endif
