/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Values of the daemon's replies as text for a terminal. What is missing is "-"; what came from
 * elsewhere never carries a control character, a direction override or broken UTF-8 to the terminal.
 */
#ifndef VIADUCT_CLI_TEXT_H
#define VIADUCT_CLI_TEXT_H

#include "base/util.h"

#include <jansson.h>

#define TEXT_CELL 512 /* room for one value */

/* Copies src, cut at a character's border; each unsafe character becomes '?'. */
void text_clean(char *buf, size_t cap, const char *src);

/* A member's name: as text_clean, with blanks for '_'. */
void text_clean_name(char *buf, size_t cap, const char *key);

/* Member at a dotted path ("sriov.num_vfs"); NULL when any part is missing. Below the word
 * API_NEEDS_ROOT everything is that word. */
const json_t *text_member(const json_t *obj, const char *path);

/* Formats one value (NULL: missing) into buf; cap is at least 16. */
typedef void text_fn(const json_t *v, char *buf, size_t cap);

text_fn text_value; /* numbers, texts, yes/no, lists with commas; an object is its true members */
text_fn text_bytes; /* 536870912 -> 512 MiB; a text as it is */
text_fn text_seconds; /* 93784 -> 1 d 2 h; 3.217 -> 3.22 s */
text_fn text_hex; /* 1363 -> 0x553; lists with commas */
text_fn text_number; /* -1 -> "-" */
text_fn text_time; /* seconds since the epoch -> local date and time */
text_fn text_vf_count; /* of a PF's "sriov": 2/7 */
text_fn text_capability; /* null -> no; object -> yes and its members */

#endif
