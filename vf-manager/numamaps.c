// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/numamaps.h"

#include "vmm/vmm_msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX    VMM_MAX_NODE + 64U /* of a line: one for each node, and some */
#define PAGE_KIB_MAX (16ULL << 20) /* of one page: 16 GiB */
#define FILE_PREFIX  "file=/memfd:"
#define DEFAULT_PAGE 4U /* KiB, where the line does not say */
#define BYTES_MAX    (UINT64_MAX / 4) /* of all shares: what adds up never wraps */

/* One line's pages, before the size of its pages is known: that comes last. */
struct line {
	bool is_ours;
	uint64_t page_kib;
	struct numa_share pages[NUMA_SHARES];
	unsigned int count;
};

/* Decimal digits to the end of the word; anything else is false. */
static bool number_take(const char *at, const char *end, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (at == end)
		return false;
	for (; at < end; at++) {
		const unsigned int digit = (unsigned int)(*at - '0');

		if (digit > 9 || n > (max - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*out = n;
	return true;
}

static bool starts(const char *at, const char *end, const char *word)
{
	const size_t len = strlen(word);

	return (size_t)(end - at) >= len && memcmp(at, word, len) == 0;
}

/* "file=/memfd:guest-ram\040(deleted)": the kernel writes a space as its octal number. */
static bool is_file(const char *at, const char *end, const char *name)
{
	const char *rest = at + strlen(FILE_PREFIX);

	if (!starts(at, end, FILE_PREFIX) || !starts(rest, end, name))
		return false;
	rest += strlen(name);
	return rest == end || *rest == '\\';
}

/* "N1=512" */
static void node_take(struct line *l, const char *at, const char *end)
{
	const char *equals = memchr(at, '=', (size_t)(end - at));
	uint64_t node, pages;

	if (equals == NULL || !number_take(at + 1, equals, VMM_MAX_NODE, &node) ||
	    !number_take(equals + 1, end, UINT64_MAX / 1024, &pages) || l->count == NUMA_SHARES)
		return;
	l->pages[l->count++] = (struct numa_share){ (unsigned int)node, pages };
}

static void word_take(struct line *l, const char *at, const char *end, const char *name)
{
	static const char page[] = "kernelpagesize_kB=";

	if (starts(at, end, "file="))
		l->is_ours = is_file(at, end, name);
	else if (starts(at, end, page))
		(void)number_take(at + strlen(page), end, PAGE_KIB_MAX, &l->page_kib);
	else if (starts(at, end, "N"))
		node_take(l, at, end);
}

/* In its place by node. */
static void share_add(struct numa_shares *s, unsigned int node, uint64_t bytes)
{
	unsigned int i = 0;

	if (bytes == 0 || bytes > BYTES_MAX || s->total > BYTES_MAX - bytes)
		return;
	while (i < s->count && s->items[i].node < node)
		i++;
	if (i == s->count || s->items[i].node != node) {
		if (s->count == NUMA_SHARES)
			return;
		memmove(&s->items[i + 1], &s->items[i], (s->count - i) * sizeof(s->items[0]));
		s->items[i] = (struct numa_share){ .node = node };
		s->count++;
	}
	s->items[i].bytes += bytes;
	s->total += bytes;
}

static void line_parse(const char *at, const char *end, const char *name, struct numa_shares *out)
{
	struct line l = { .page_kib = DEFAULT_PAGE };

	for (unsigned int i = 0; at < end && i < WORDS_MAX; i++) {
		const char *space = memchr(at, ' ', (size_t)(end - at));
		const char *word_end = space != NULL ? space : end;

		word_take(&l, at, word_end, name);
		at = space != NULL ? space + 1 : end;
	}
	for (unsigned int i = 0; l.is_ours && i < l.count; i++)
		if (l.pages[i].bytes <= BYTES_MAX / (l.page_kib * 1024 + 1))
			share_add(out, l.pages[i].node, l.pages[i].bytes * l.page_kib * 1024);
}

bool numa_maps_parse(const char *text, const char *name, struct numa_shares *out)
{
	memset(out, 0, sizeof(*out));
	for (const char *at = text; *at != '\0';) {
		const char *end = at + strcspn(at, "\n");

		line_parse(at, end, name, out);
		at = *end != '\0' ? end + 1 : end;
	}
	return out->count > 0;
}

uint64_t numa_share_of(const struct numa_shares *s, unsigned int node)
{
	for (unsigned int i = 0; i < s->count; i++)
		if (s->items[i].node == node)
			return s->items[i].bytes;
	return 0;
}

char *numa_shares_text(const struct numa_shares *s, char *buf, size_t cap)
{
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < s->count && len < cap; i++)
		len += (size_t)snprintf(buf + len, cap - len, "%snode %u: %llu MiB (%.1f%%)",
					i > 0 ? ", " : "", s->items[i].node,
					(unsigned long long)s->items[i].bytes >> 20,
					100.0 * (double)s->items[i].bytes / (double)s->total);
	return buf;
}
