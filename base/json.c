// SPDX-License-Identifier: BSD-3-Clause
#include "base/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int json_get_u64_opt(const json_t *obj, const char *key, uint64_t max, uint64_t *out, struct err *e)
{
	const json_t *v = json_object_get(obj, key);
	json_int_t n;

	if (v == NULL)
		return 0;
	n = json_integer_value(v);
	if (!json_is_integer(v) || n < 0)
		return err_set(e, EINVAL, "%s is not a number of zero or more", key);
	if ((uint64_t)n > max)
		return err_set(e, ERANGE, "%s is %llu, at most %llu is possible", key,
			       (unsigned long long)n, (unsigned long long)max);
	*out = (uint64_t)n;
	return 0;
}

static int member_missing(const char *key, struct err *e)
{
	return err_set(e, ENOENT, "%s is missing", key);
}

int json_get_u64(const json_t *obj, const char *key, uint64_t max, uint64_t *out, struct err *e)
{
	if (json_object_get(obj, key) == NULL)
		return member_missing(key, e);
	return json_get_u64_opt(obj, key, max, out, e);
}

int json_get_bool_opt(const json_t *obj, const char *key, bool *out, struct err *e)
{
	const json_t *v = json_object_get(obj, key);

	if (v == NULL)
		return 0;
	if (!json_is_boolean(v))
		return err_set(e, EINVAL, "%s is neither true nor false", key);
	*out = json_is_true(v);
	return 0;
}

int json_get_str_opt(const json_t *obj, const char *key, char *buf, size_t cap, struct err *e)
{
	const json_t *v = json_object_get(obj, key);
	const char *s = json_string_value(v);

	if (v == NULL)
		return 0;
	if (s == NULL)
		return err_set(e, EINVAL, "%s is not a text", key);
	if (json_string_length(v) >= cap)
		return err_set(e, EINVAL, "%s is longer than %zu characters", key, cap - 1);
	for (size_t i = 0; i < json_string_length(v); i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return err_set(e, EINVAL, "%s holds a control character", key);
	memcpy(buf, s, json_string_length(v) + 1);
	return 0;
}

int json_get_str(const json_t *obj, const char *key, char *buf, size_t cap, struct err *e)
{
	if (json_object_get(obj, key) == NULL)
		return member_missing(key, e);
	return json_get_str_opt(obj, key, buf, cap, e);
}

int json_get_obj(const json_t *obj, const char *key, json_t **out, struct err *e)
{
	json_t *v = json_object_get(obj, key);

	if (v == NULL)
		return member_missing(key, e);
	if (!json_is_object(v))
		return err_set(e, EINVAL, "%s is not an object", key);
	*out = v;
	return 0;
}

int json_get_array(const json_t *obj, const char *key, size_t max_items, json_t **out,
		   struct err *e)
{
	json_t *v = json_object_get(obj, key);

	if (v == NULL)
		return member_missing(key, e);
	if (!json_is_array(v))
		return err_set(e, EINVAL, "%s is not a list", key);
	if (json_array_size(v) > max_items)
		return err_set(e, ERANGE, "%s has %zu items, at most %zu are possible", key,
			       json_array_size(v), max_items);
	*out = v;
	return 0;
}

int json_check_keys(const json_t *obj, const char *const *known, struct err *e)
{
	const char *key;
	json_t *v;

	if (!json_is_object(obj))
		return err_set(e, EINVAL, "not an object");
	json_object_foreach((json_t *)obj, key, v) {
		size_t i = 0;

		while (known[i] != NULL && strcmp(known[i], key) != 0)
			i++;
		if (known[i] == NULL)
			return err_set(e, EINVAL, "unknown member '%.64s'", key);
	}
	return 0;
}

/* Names and words of others may be in no encoding at all, and a text that was cut may end within a
 * character: JSON takes neither, and an error must reach whoever asked. */
static json_t *string_from_bytes(const char *bytes)
{
	json_t *s = json_string(bytes);
	char *plain;

	if (s != NULL)
		return s;
	plain = strdup(bytes);
	for (char *c = plain; c != NULL && *c != '\0'; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	s = plain != NULL ? json_string(plain) : NULL;
	free(plain);
	return s;
}

json_t *json_from_err(const struct err *e)
{
	return json_pack("{s:s, s:i, s:o, s:o}", "code", e->code, "errno", e->errnum, "text",
			 string_from_bytes(e->text), "hint", string_from_bytes(e->hint));
}

int json_to_err(const json_t *obj, struct err *e)
{
	char text[sizeof(e->text)] = "unknown error", hint[sizeof(e->hint)] = "";
	char code[sizeof(e->code)] = "";
	uint64_t errnum = EIO;

	json_get_u64_opt(obj, "errno", 4095, &errnum, NULL);
	json_get_str_opt(obj, "text", text, sizeof(text), NULL);
	json_get_str_opt(obj, "hint", hint, sizeof(hint), NULL);
	json_get_str_opt(obj, "code", code, sizeof(code), NULL);
	err_set(e, (int)errnum, "%s", text);
	err_code(e, code);
	return err_hint(e, "%s", hint);
}

void json_add_text(json_t *list, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (list != NULL)
		json_array_append_new(list, json_string(text));
}
