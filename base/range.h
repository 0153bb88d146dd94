/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A set of disjoint [start, end] ranges of 64-bit numbers, sorted, each with a pointer of its
 * owner. Bounds are inclusive so that the last address of the space can be held. Used for trapped
 * regions, address windows and IOVA limits. Not thread-safe: the struct's owner locks.
 */
#ifndef VIADUCT_BASE_RANGE_H
#define VIADUCT_BASE_RANGE_H

#include "base/util.h"

struct range {
	uint64_t start;
	uint64_t last; /* inclusive */
	void *owner;
};

struct range_set {
	struct range *items; /* sorted by start */
	size_t count;
	size_t cap;
};

void range_set_fini(struct range_set *set);

/* -EINVAL if last < start, -EEXIST if it overlaps another range, -ENOMEM. */
int range_set_add(struct range_set *set, uint64_t start, uint64_t last, void *owner);

/* Removes the range with exactly these bounds; -ENOENT if there is none. */
int range_set_del(struct range_set *set, uint64_t start, uint64_t last);

/* The range that holds `at`, or NULL. Valid until the next add or del. O(log n). */
const struct range *range_set_find(const struct range_set *set, uint64_t at);

/* The first range that shares a number with [start, last], or NULL. */
const struct range *range_set_overlap(const struct range_set *set, uint64_t start, uint64_t last);

/* True if one range of the set holds all of [start, last]. */
bool range_set_covers(const struct range_set *set, uint64_t start, uint64_t last);

#endif
