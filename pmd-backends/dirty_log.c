// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/dirty_log.h"

#define PAGES_OF_BYTE 8U
#define FILL_PAGES    (KIB(256) * PAGES_OF_BYTE)

static uint64_t log_pages(const struct dirty_log *l)
{
	return l->memory.regions[0].size * PAGES_OF_BYTE;
}

int dirty_log_map(struct dirty_log *l, int fd, uint64_t offset, uint64_t size, struct err *e)
{
	const struct guest_region_wire region = { .size = size, .offset = offset };

	return guest_memory_map(&l->memory, &region, &fd, 1, e);
}

void dirty_log_unmap(struct dirty_log *l)
{
	guest_memory_unmap(&l->memory);
}

bool dirty_log_covers(const struct dirty_log *l, uint64_t gpa, uint64_t len)
{
	return l->memory.count > 0 && len > 0 && gpa <= UINT64_MAX - (len - 1) &&
	       (gpa + (len - 1)) / DIRTY_PAGE < log_pages(l);
}

static void page_mark(const struct dirty_log *l, uint64_t page)
{
	uint8_t *byte = l->memory.regions[0].at + page / PAGES_OF_BYTE;

	/* release: the page's bytes before its bit. The VMM, too, changes bits of this byte. */
	(void)__atomic_fetch_or(byte, (uint8_t)(1U << page % PAGES_OF_BYTE), __ATOMIC_RELEASE);
}

/* From the page of the first byte to that of the last. */
static void pages_find(const struct dirty_log *l, uint64_t gpa, uint64_t len, uint64_t *page,
		       uint64_t *end)
{
	*page = gpa / DIRTY_PAGE;
	*end = u64_min((gpa + (len - 1)) / DIRTY_PAGE + 1, log_pages(l));
}

void dirty_log_mark(const struct dirty_log *l, uint64_t gpa, uint64_t len)
{
	uint64_t page, end;

	for (pages_find(l, gpa, len, &page, &end); page < end; page++)
		page_mark(l, page);
}

/* All bits of a byte may be set without looking at them. */
static void pages_fill(const struct dirty_log *l, uint64_t page, uint64_t end)
{
	uint64_t bytes;

	for (; page < end && page % PAGES_OF_BYTE != 0; page++)
		page_mark(l, page);
	bytes = page < end ? (end - page) / PAGES_OF_BYTE : 0;
	memset(l->memory.regions[0].at + page / PAGES_OF_BYTE, 0xff, bytes);
	for (page += bytes * PAGES_OF_BYTE; page < end; page++)
		page_mark(l, page);
}

void dirty_log_fill(const struct dirty_log *l, const struct guest_memory *guest,
		    struct dirty_fill *f)
{
	uint64_t left = FILL_PAGES;

	while (left > 0 && f->region < guest->count) {
		const struct guest_region *r = &guest->regions[f->region];
		uint64_t page, end, n;

		pages_find(l, r->gpa, r->size, &page, &end);
		page += f->page;
		n = page < end ? u64_min(end - page, left) : 0;
		pages_fill(l, page, page + n);
		left -= n;
		f->page += n;
		if (page + n < end)
			break;
		f->region++;
		f->page = 0;
	}
	f->is_due = f->region < guest->count;
}
