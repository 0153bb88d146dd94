/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads VT-d's structures out of memory that nobody vouches for: which tables a function has, what they map, which
 * interrupt remapping entries there are. Every read goes through one struct physmem; no walk is deeper than the levels
 * that the entry names, none follows a table that it is inside of, and none reads more tables than its limit. The
 * layouts are vtd_tables.h's.
 *
 * What cannot be told apart from memory that could not be read is an error, never an empty answer:
 *   -EFAULT   a structure lies where nothing can be read
 *   -ENODATA  a table behind a present entry is all zero (an unreadable page of /proc/kcore reads so)
 *   -EBADMSG  reserved bits are set, or a field has a reserved value
 *   -ELOOP    a table is its own ancestor
 *   -E2BIG    more tables than the limit
 */
#ifndef VIADUCT_IOMMU_VTD_WALK_H
#define VIADUCT_IOMMU_VTD_WALK_H

#include "base/err.h"

/* Memory by host-physical address. read: all len bytes (never across a 4 KiB boundary) and 0, or a negative errno. */
struct physmem {
	int (*read)(void *arg, uint64_t hpa, void *buf, size_t len);
	void *arg;
};

enum vtd_domain_kind {
	VTD_BLOCKED, /* no present entry: every request of the function is refused */
	VTD_ABORTED, /* the whole unit refuses everything (TTM 11b) */
	VTD_PASS_THROUGH, /* host-physical addresses as they come */
	VTD_SECOND_STAGE,
	VTD_FIRST_STAGE,
	VTD_NESTED
};

/* What requests of one function without PASID are translated by. */
struct vtd_domain {
	enum vtd_domain_kind kind;
	bool is_scalable;
	bool has_device_tlb; /* translation requests are answered: the device may keep translations (ATS) */
	unsigned int levels;
	uint16_t did;
	uint64_t table; /* HPA of the top table */
	uint64_t entry; /* HPA of the context entry; 0 if the bus has none */
	uint64_t lo, hi; /* its first two words */
	unsigned int other_pasids; /* present PASID entries beside that of requests without PASID */
	uint32_t first_other_pasid;
};

/* rtaddr: the unit's RTADDR register. sid: bus 15:8, device 7:3, function 2:0. */
int vtd_domain_read(const struct physmem *mem, uint64_t rtaddr, uint16_t sid,
		    struct vtd_domain *out, struct err *e);

#define VTD_READ    1U
#define VTD_WRITE   2U
#define VTD_EXECUTE 4U

/* Neighbours in both address spaces with equal page size and access are one. */
struct vtd_mapping {
	uint64_t iova, hpa, size;
	uint64_t page_size;
	unsigned int access;
};

struct vtd_walk {
	/* In: called for each mapping, by rising address (in the first stage the upper half comes last); a value other
	 * than 0 ends the walk and is returned. */
	int (*fn)(void *arg, const struct vtd_mapping *m);
	void *arg;
	uint64_t max_tables;
	/* Out */
	uint64_t tables, mappings, bytes;
	uint64_t pages_4k, pages_2m, pages_1g;
	uint64_t digest; /* of all present entries and where they are, accessed and dirty bits left out */
};

/* Walks the tables of a domain whose kind is VTD_SECOND_STAGE or VTD_FIRST_STAGE. */
int vtd_tables_walk(const struct physmem *mem, const struct vtd_domain *domain, struct vtd_walk *w,
		    struct err *e);

struct vtd_irte {
	uint32_t index;
	uint64_t lo, hi;
	bool is_posted, is_logical;
	uint8_t vector;
	uint8_t dlm; /* remapped: delivery mode (5.1.2.1), 0: fixed, 1: lowest priority */
	uint8_t svt, sq;
	uint16_t sid;
	uint32_t dst; /* remapped: an APIC ID, or in logical mode its logical one */
	uint64_t pda; /* posted: where the descriptor is */
};

/* True if the unit lets a request of this source through the entry (5.1.4, source validation). */
bool vtd_irte_admits(const struct vtd_irte *irte, uint16_t sid);

struct vtd_irt_walk {
	/* In: called for each present entry; a value other than 0 ends the walk and is returned. */
	int (*fn)(void *arg, const struct vtd_irte *irte);
	void *arg;
	/* Out */
	uint64_t digest; /* of all present entries */
};

/* irta: the unit's IRTA register. */
int vtd_irt_walk(const struct physmem *mem, uint64_t irta, struct vtd_irt_walk *w, struct err *e);

struct vtd_posted {
	uint8_t vector; /* NV: notifies the CPU */
	uint32_t apic_id; /* NDST */
	bool is_on, is_suppressed;
};

/* The descriptor of a posted entry (9.12). */
int vtd_posted_read(const struct physmem *mem, uint64_t pda, bool is_x2apic, struct vtd_posted *out,
		    struct err *e);

#endif
