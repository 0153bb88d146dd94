// SPDX-License-Identifier: BSD-3-Clause
#include "base/range.h"

#include <errno.h>
#include <stdlib.h>

void range_set_fini(struct range_set *set)
{
	free(set->items);
	*set = (struct range_set){ 0 };
}

/* Index of the first range whose last is >= at: the only candidate to hold `at`. */
static size_t first_reaching(const struct range_set *set, uint64_t at)
{
	size_t lo = 0, hi = set->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (set->items[mid].last < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct range *range_set_overlap(const struct range_set *set, uint64_t start, uint64_t last)
{
	size_t i = first_reaching(set, start);

	return i < set->count && set->items[i].start <= last ? &set->items[i] : NULL;
}

const struct range *range_set_find(const struct range_set *set, uint64_t at)
{
	return range_set_overlap(set, at, at);
}

bool range_set_covers(const struct range_set *set, uint64_t start, uint64_t last)
{
	const struct range *r = range_set_find(set, start);

	return r != NULL && last >= start && last <= r->last;
}

int range_set_add(struct range_set *set, uint64_t start, uint64_t last, void *owner)
{
	size_t i = first_reaching(set, start);

	if (last < start)
		return -EINVAL;
	if (range_set_overlap(set, start, last) != NULL)
		return -EEXIST;
	if (set->count == set->cap) {
		size_t cap = set->cap != 0 ? set->cap * 2 : 8;
		struct range *items = reallocarray(set->items, cap, sizeof(*items));

		if (items == NULL)
			return -ENOMEM;
		set->items = items;
		set->cap = cap;
	}
	memmove(&set->items[i + 1], &set->items[i], (set->count - i) * sizeof(*set->items));
	set->items[i] = (struct range){ start, last, owner };
	set->count++;
	return 0;
}

int range_set_del(struct range_set *set, uint64_t start, uint64_t last)
{
	size_t i = first_reaching(set, start);

	if (i == set->count || set->items[i].start != start || set->items[i].last != last)
		return -ENOENT;
	set->count--;
	memmove(&set->items[i], &set->items[i + 1], (set->count - i) * sizeof(*set->items));
	return 0;
}
