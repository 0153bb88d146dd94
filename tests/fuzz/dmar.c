// SPDX-License-Identifier: BSD-3-Clause
/*
 * The DMAR table of any firmware: the first bytes are buses of bridges, the rest is a table whose checksum is set right
 * unless the first byte says not to. What is parsed lies inside the table, and every question about a function ends.
 */
#include "iommu/dmar.h"

#include <stdlib.h>

#define BRIDGES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool bridge(void *arg, const struct pci_addr *at, uint8_t *secondary, uint8_t *subordinate)
{
	const uint8_t *buses = arg;

	*secondary = buses[(at->bus + at->dev) % BRIDGES];
	*subordinate = (uint8_t)(*secondary + at->fn);
	return at->fn != 7;
}

static void checksum_set(uint8_t *table, size_t len)
{
	uint8_t sum = 0;

	if (len < 48)
		return;
	table[9] = 0;
	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + table[i]);
	table[9] = (uint8_t)-sum;
}

static void inside(const struct dmar *d, const void *p, size_t len)
{
	if (!range_fits((size_t)((const uint8_t *)p - d->bytes), len, d->bytes_len))
		abort();
}

static void entries_check(const struct dmar *d, const struct dmar_pci *pci)
{
	struct dmar_found found;

	for (size_t i = 0; i < d->entry_count; i++) {
		const struct dmar_entry *entry = &d->entries[i];

		if (!range_fits(entry->scope_first, entry->scope_count, d->scope_count))
			abort();
		if (entry->name != NULL)
			inside(d, entry->name, strlen(entry->name) + 1);
	}
	for (size_t i = 0; i < d->scope_count; i++)
		if (d->scopes[i].hops > 0)
			inside(d, d->scopes[i].path, 2 * (size_t)d->scopes[i].hops);
	for (unsigned int type = 0; type < DMAR_TYPES; type++)
		for (unsigned int bus = 0; bus < 3; bus++)
			(void)dmar_entries_of(d, (enum dmar_type)type, pci,
					      &(struct pci_addr){ .bus = (uint8_t)bus }, &found);
	(void)dmar_unit_of(d, pci, &(struct pci_addr){ .bus = 1 });
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t buses[BRIDGES], *table;
	struct dmar_pci pci = { bridge, buses };
	struct err e = { 0 };
	struct dmar d;

	if (size < BRIDGES || size > DMAR_BYTES_MAX)
		return 0;
	memcpy(buses, data, BRIDGES);
	size -= BRIDGES;
	table = malloc(size + (size == 0));
	if (table == NULL)
		return 0;
	memcpy(table, data + BRIDGES, size);
	if (buses[0] != 0xFF)
		checksum_set(table, size);
	if (dmar_parse(table, size, &d, &e) == 0)
		entries_check(&d, &pci);
	else if (e.text[0] == '\0' || d.bytes != NULL)
		abort();
	dmar_fini(&d);
	free(table);
	return 0;
}
