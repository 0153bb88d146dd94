// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/audit_proc.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define RAM_NAME "/memfd:guest-ram"

#define PAGEMAP_PRESENT BIT_ULL(63)
#define PAGEMAP_SWAPPED BIT_ULL(62)
#define PAGEMAP_PFN	(BIT_ULL(55) - 1)

uint64_t audit_pagemap_frame(uint64_t entry)
{
	if ((entry & PAGEMAP_PRESENT) == 0 || (entry & PAGEMAP_SWAPPED) != 0 ||
	    (entry & PAGEMAP_PFN) == 0)
		return AUDIT_NO_FRAME;
	return entry & PAGEMAP_PFN;
}

struct vma {
	uint64_t start, end, offset;
};

/* "7f3e00000000-7f3e20000000 rw-s 00000000 00:01 2056   /memfd:guest-ram (deleted)" */
static bool vma_parse(const char *line, size_t len, struct vma *out)
{
	unsigned long long start, end, offset;
	char text[512];

	if (len >= sizeof(text) || memmem(line, len, RAM_NAME, sizeof(RAM_NAME) - 1) == NULL)
		return false;
	memcpy(text, line, len);
	text[len] = '\0';
	if (sscanf(text, "%llx-%llx %*4s %llx ", &start, &end, &offset) != 3 || end <= start)
		return false;
	*out = (struct vma){ start, end, offset };
	return true;
}

int audit_maps_find(const char *maps, struct audit_ram *ram, size_t count)
{
	uint64_t total = 0, base = 0, have = 0, offset = 0;

	for (size_t i = 0; i < count; i++)
		total += ram[i].size;
	for (const char *at = maps; *at != '\0';) {
		size_t len = strcspn(at, "\n");
		struct vma v;

		if (vma_parse(at, len, &v)) {
			if (have == 0)
				base = v.start - v.offset;
			/* Policies and advice cut one mapping into several that lie behind each other. */
			if (v.offset != have || v.start - v.offset != base)
				return -ENOENT;
			have += v.end - v.start;
		}
		at += len + (at[len] == '\n');
	}
	if (have == 0 || have < total)
		return -ENOENT;
	for (size_t i = 0; i < count; i++) {
		ram[i].hva = base + offset;
		offset += ram[i].size;
	}
	return 0;
}

/* "apicid\t\t: 3" */
static bool number_parse(const char *line, const char *name, unsigned long *out)
{
	size_t len = strlen(name);
	char *end;

	if (strncmp(line, name, len) != 0 || (line[len] != '\t' && line[len] != ' '))
		return false;
	line += len;
	line += strspn(line, " \t");
	if (*line++ != ':')
		return false;
	*out = strtoul(line, &end, 10);
	return end != line;
}

void audit_cpus_parse(const char *cpuinfo, struct audit_machine *m)
{
	unsigned long cpu = AUDIT_CPUS, n;

	m->cpu_count = 0;
	for (size_t i = 0; i < AUDIT_CPUS; i++)
		m->apic_ids[i] = UINT32_MAX;
	for (const char *at = cpuinfo; *at != '\0'; at += *at == '\n') {
		if (number_parse(at, "processor", &n)) {
			cpu = n;
		} else if (number_parse(at, "apicid", &n) && cpu < AUDIT_CPUS && n < UINT32_MAX) {
			m->apic_ids[cpu] = (uint32_t)n;
			m->cpu_count = u64_max(m->cpu_count, cpu + 1);
		}
		at += strcspn(at, "\n");
	}
}
