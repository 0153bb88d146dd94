/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The word that a mistyped one was meant to be: fewest insertions, deletions, changes and swaps of
 * neighbours, and few enough of them to be worth saying.
 */
#ifndef VIADUCT_CLI_NEAREST_H
#define VIADUCT_CLI_NEAREST_H

#include "base/util.h"

/* Number of edits between the two; words over 31 characters are as far apart as their lengths. */
size_t nearest_distance(const char *a, const char *b);

/* The nearest of the words, or NULL when none is near. The first of equals. */
const char *nearest_word(const char *typed, const char *const *words, size_t count);

#endif
