/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine's memory with VT-d structures in it, as the kernel would have made them: for tests of what reads them.
 */
#ifndef VIADUCT_TESTS_FAKE_VTD_MEMORY_H
#define VIADUCT_TESTS_FAKE_VTD_MEMORY_H

#include "iommu/vtd_walk.h"

#define VTD_MEMORY_BASE 0x100000000ULL

struct vtd_memory {
	uint8_t *bytes;
	size_t pages, used;
	uint64_t reads;
	uint64_t hole; /* this page cannot be read; 0: all can */
	uint64_t change_at; /* before the read of this number one bit of change_word is turned over; 0: never */
	bool is_restless; /* it is turned over whenever the root table is read */
	uint64_t change_word, change_bit;
	struct physmem reader;
	uint64_t rtaddr, irta;
};

/* Room for this many pages, the first of which is the root table. */
void vtd_memory_init(struct vtd_memory *m, size_t pages, bool is_scalable);
void vtd_memory_fini(struct vtd_memory *m);

uint64_t vtd_memory_page(struct vtd_memory *m); /* one more, zero; its HPA */
uint8_t *vtd_memory_at(struct vtd_memory *m, uint64_t hpa);
uint64_t vtd_memory_word(struct vtd_memory *m, uint64_t hpa);
void vtd_memory_set(struct vtd_memory *m, uint64_t hpa, uint64_t word);

/* Gives the function its entry; kind, levels, did and has_device_tlb count. An empty top table is made unless d->table
 * is set. */
void vtd_memory_domain(struct vtd_memory *m, uint16_t sid, struct vtd_domain *d);

/* One leaf of this level (1: 4 KiB, 2: 2 MiB, 3: 1 GiB); tables are made on the way. Returns where the leaf's entry is. */
uint64_t vtd_memory_map(struct vtd_memory *m, const struct vtd_domain *d,
			const struct vtd_mapping *map);

/* An interrupt remapping table of 256 entries in x2APIC mode, and one remapped entry of it. */
void vtd_memory_irt(struct vtd_memory *m);
void vtd_memory_irte(struct vtd_memory *m, unsigned int index, uint16_t sid, uint32_t apic_id);

#endif
