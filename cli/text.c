// SPDX-License-Identifier: BSD-3-Clause
#include "cli/text.h"

#include "vf-manager/api.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* Decodes one UTF-8 character; returns its length, 0 when the bytes are none (RFC 3629). */
static size_t utf8_decode(const unsigned char *s, uint32_t *out)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = s[0] < 0x80		   ? 1
		     : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
		     : (s[0] & 0xf0) == 0xe0	   ? 3
		     : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
						   : 0;
	uint32_t c;

	if (len <= 1) {
		*out = s[0];
		return len;
	}
	c = s[0] & (0xffU >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fU);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*out = c;
	return len;
}

static bool char_is_unsafe(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{ 0x00, 0x1f }, /* C0: ESC, newline, bell */
		{ 0x7f, 0x9f }, /* DEL, C1: CSI as one character */
		{ 0x61c, 0x61c }, /* Arabic letter mark */
		{ 0x200b, 0x200f }, /* zero width, direction marks */
		{ 0x2028, 0x202e }, /* line separators, direction overrides */
		{ 0x2060, 0x206f }, /* invisible operators, direction isolates */
		{ 0xfeff, 0xfeff }, { 0xe0000, 0xe0fff }, /* tags */
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

void text_clean(char *buf, size_t cap, const char *src)
{
	const unsigned char *s = (const unsigned char *)src;
	size_t n = 0;

	while (*s != '\0') {
		uint32_t c;
		size_t len = utf8_decode(s, &c);
		bool unsafe = len == 0 || char_is_unsafe(c);
		size_t put = unsafe ? 1 : len;

		if (put >= cap - n)
			break;
		if (unsafe)
			buf[n] = '?';
		else
			memcpy(buf + n, s, put);
		n += put;
		s += len == 0 ? 1 : len;
	}
	buf[n] = '\0';
}

const json_t *text_member(const json_t *obj, const char *path)
{
	while (obj != NULL && *path != '\0') {
		size_t len = strcspn(path, ".");
		char key[64];

		/* What takes root to read is this word instead of an object: it stands for all below. */
		if (json_is_string(obj) && strcmp(json_string_value(obj), API_NEEDS_ROOT) == 0)
			return obj;
		if (len >= sizeof(key))
			return NULL;
		memcpy(key, path, len);
		key[len] = '\0';
		obj = json_object_get(obj, key);
		path += len;
		path += *path == '.';
	}
	return obj;
}

/* A member's name for people: "source_validation" -> "source validation". */
void text_clean_name(char *buf, size_t cap, const char *key)
{
	text_clean(buf, cap, key);
	for (char *p = buf; *p != '\0'; p++)
		if (*p == '_')
			*p = ' ';
}

static void text_append(char *buf, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void text_append(char *buf, size_t cap, const char *fmt, ...)
{
	size_t n = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + n, cap - n, fmt, ap);
	va_end(ap);
}

static void text_scalar(const json_t *v, char *buf, size_t cap)
{
	if (json_is_string(v))
		text_clean(buf, cap, json_string_value(v));
	else if (json_is_integer(v))
		snprintf(buf, cap, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(buf, cap, "%.6g", json_real_value(v));
	else if (json_is_boolean(v))
		snprintf(buf, cap, "%s", json_is_true(v) ? "yes" : "no");
	else
		snprintf(buf, cap, "-");
	if (buf[0] == '\0')
		snprintf(buf, cap, "-");
}

/* Each item by `item`, with commas; a text that would not fit whole is cut at the end. A list
 * inside the list is not followed: how deep it goes is the peer's choice. */
static void text_list(const json_t *list, text_fn *item, char *buf, size_t cap)
{
	char one[TEXT_CELL], clean[TEXT_CELL];
	const json_t *v;
	size_t i;

	buf[0] = '\0';
	json_array_foreach((json_t *)list, i, v) {
		(json_is_array(v) ? text_scalar : item)(v, one, sizeof(one));
		text_append(buf, cap, "%s%s", i > 0 ? ", " : "", one);
		if (strlen(buf) + 1 >= cap)
			break;
	}
	/* The cut may have gone through a character. */
	snprintf(clean, sizeof(clean), "%s", buf);
	text_clean(buf, cap, clean[0] != '\0' ? clean : "-");
}

/* "name, other": the true members of an object that is itself a member. */
static void text_true_names(const json_t *obj, char *buf, size_t cap)
{
	char name[64];
	const char *key;
	json_t *v;

	buf[0] = '\0';
	json_object_foreach((json_t *)obj, key, v) {
		if (!json_is_true(v))
			continue;
		text_clean_name(name, sizeof(name), key);
		text_append(buf, cap, "%s%s", buf[0] != '\0' ? " + " : "", name);
	}
	if (buf[0] == '\0')
		snprintf(buf, cap, "none");
}

/* "name, other 5": members that are false or null are left out. */
static void text_members(const json_t *obj, char *buf, size_t cap)
{
	char name[64], one[TEXT_CELL], clean[TEXT_CELL];
	const char *key;
	json_t *v;

	buf[0] = '\0';
	json_object_foreach((json_t *)obj, key, v) {
		if (json_is_false(v) || json_is_null(v))
			continue;
		text_clean_name(name, sizeof(name), key);
		text_append(buf, cap, "%s%s", buf[0] != '\0' ? ", " : "", name);
		if (json_is_true(v))
			continue;
		(json_is_object(v) ? text_true_names : text_scalar)(v, one, sizeof(one));
		text_append(buf, cap, " %s", one);
	}
	snprintf(clean, sizeof(clean), "%s", buf);
	text_clean(buf, cap, clean[0] != '\0' ? clean : "-");
}

void text_value(const json_t *v, char *buf, size_t cap)
{
	if (json_is_array(v))
		text_list(v, text_scalar, buf, cap);
	else if (json_is_object(v))
		text_members(v, buf, cap);
	else
		text_scalar(v, buf, cap);
}

void text_bytes(const json_t *v, char *buf, size_t cap)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	json_int_t n = json_integer_value(v);
	size_t unit = 0;

	if (json_is_array(v)) {
		text_list(v, text_bytes, buf, cap);
		return;
	}
	if (!json_is_integer(v) || n < 0) {
		text_value(v, buf, cap);
		return;
	}
	while (n != 0 && n % 1024 == 0 && unit + 1 < ARRAY_SIZE(units)) {
		n /= 1024;
		unit++;
	}
	snprintf(buf, cap, "%lld %s", (long long)n, units[unit]);
}

void text_seconds(const json_t *v, char *buf, size_t cap)
{
	double s = json_number_value(v);
	unsigned long long n;

	if (!json_is_number(v) || !isfinite(s) || s < 0 || s > 1e12) {
		text_value(json_is_number(v) ? NULL : v, buf, cap);
		return;
	}
	n = (unsigned long long)s;
	if (json_is_real(v) && s < 100)
		snprintf(buf, cap, "%.2f s", s);
	else if (n < 60)
		snprintf(buf, cap, "%llu s", n);
	else if (n < 3600)
		snprintf(buf, cap, "%llu min %llu s", n / 60, n % 60);
	else if (n < 86400)
		snprintf(buf, cap, "%llu h %llu min", n / 3600, n % 3600 / 60);
	else
		snprintf(buf, cap, "%llu d %llu h", n / 86400, n % 86400 / 3600);
}

void text_hex(const json_t *v, char *buf, size_t cap)
{
	if (json_is_array(v))
		text_list(v, text_hex, buf, cap);
	else if (json_is_integer(v))
		snprintf(buf, cap, "0x%llx", (unsigned long long)json_integer_value(v));
	else
		text_value(v, buf, cap);
}

void text_number(const json_t *v, char *buf, size_t cap)
{
	text_value(json_is_integer(v) && json_integer_value(v) < 0 ? NULL : v, buf, cap);
}

void text_time(const json_t *v, char *buf, size_t cap)
{
	double s = json_number_value(v);
	struct tm tm;
	time_t t;

	if (!json_is_number(v) || !(s >= 0 && s < 253402300800.0)) { /* up to the year 9999 */
		text_value(v, buf, cap);
		return;
	}
	t = (time_t)s;
	if (localtime_r(&t, &tm) == NULL || strftime(buf, cap, "%F %T", &tm) == 0)
		snprintf(buf, cap, "-");
}

void text_capability(const json_t *v, char *buf, size_t cap)
{
	char members[TEXT_CELL - 8];

	if (json_is_null(v)) {
		snprintf(buf, cap, "no");
	} else if (json_is_object(v)) {
		text_members(v, members, sizeof(members));
		snprintf(buf, cap, "yes%s%s", strcmp(members, "-") == 0 ? "" : ": ",
			 strcmp(members, "-") == 0 ? "" : members);
	} else {
		text_value(v, buf, cap);
	}
}

void text_vf_count(const json_t *sriov, char *buf, size_t cap)
{
	char now[24], max[24];

	if (!json_is_object(sriov)) {
		text_value(json_is_string(sriov) ? sriov : NULL, buf, cap);
		return;
	}
	text_value(text_member(sriov, "num_vfs"), now, sizeof(now));
	text_value(text_member(sriov, "max_vfs"), max, sizeof(max));
	snprintf(buf, cap, "%s/%s", now, max);
}
