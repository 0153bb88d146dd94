/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bounded access to JSON that came from another process: every getter names the member in its
 * error, checks type and range, and writes *out only on success. -ENOENT (with error text) when a
 * required member is missing; the *_opt forms leave *out alone then and return 0.
 */
#ifndef VIADUCT_BASE_JSON_H
#define VIADUCT_BASE_JSON_H

#include "base/err.h"

#include <jansson.h>

static inline void json_put(json_t **j)
{
	json_decref(*j);
}

#define auto_json __attribute__((cleanup(json_put)))

int json_get_u64(const json_t *obj, const char *key, uint64_t max, uint64_t *out, struct err *e);
int json_get_u64_opt(const json_t *obj, const char *key, uint64_t max, uint64_t *out,
		     struct err *e);
int json_get_bool_opt(const json_t *obj, const char *key, bool *out, struct err *e);

/* Copies the string with its NUL; -EINVAL if it does not fit cap or holds a control character. */
int json_get_str(const json_t *obj, const char *key, char *buf, size_t cap, struct err *e);
int json_get_str_opt(const json_t *obj, const char *key, char *buf, size_t cap, struct err *e);

/* Borrowed references, valid while obj lives. */
int json_get_obj(const json_t *obj, const char *key, json_t **out, struct err *e);
int json_get_array(const json_t *obj, const char *key, size_t max_items, json_t **out,
		   struct err *e);

/* Refuses members that are not in the NULL-terminated list, naming the first. */
int json_check_keys(const json_t *obj, const char *const *known, struct err *e);

/* Appends a text to a list; list may be NULL. What is longer than 511 bytes is cut. */
void json_add_text(json_t *list, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* {"code","errno","text","hint"}; a new reference. And back: returns -errnum. */
json_t *json_from_err(const struct err *e);
int json_to_err(const json_t *obj, struct err *e);

#endif
