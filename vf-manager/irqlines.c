// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/irqlines.h"

#include "base/fd.h"
#include "base/parse.h"

#include <fcntl.h>
#include <stdio.h>

#define INTERRUPTS_MAX (4U << 20)

char *interrupts_read(void)
{
	char *text = malloc(INTERRUPTS_MAX);

	if (text != NULL && file_read_at(AT_FDCWD, "/proc/interrupts", text, INTERRUPTS_MAX) < 0)
		text[0] = '\0';
	return text;
}

/* Copies the next word of the line, cut to cap, and steps over it; false at the line's end. */
static bool word_next(const char **at, const char *end, char *buf, size_t cap)
{
	size_t len = 0;

	while (*at < end && **at == ' ')
		++*at;
	if (*at == end)
		return false;
	for (; *at < end && **at != ' '; ++*at)
		if (len + 1 < cap)
			buf[len++] = **at;
	buf[len] = '\0';
	return true;
}

/* "vfio-msix[0](0000:01:10.0)"; the address may have a domain of up to eight digits. */
static bool name_parse(const char *name, const char *addr, uint32_t *vector)
{
	static const char *const kinds[] = { "vfio-msix[", "vfio-msi[" };
	char *after;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len = strlen(kinds[i]);

		if (strncmp(name, kinds[i], len) != 0)
			continue;
		*vector = (uint32_t)strtoul(name + len, &after, 10);
		len = strlen(addr);
		return strncmp(after, "](", 2) == 0 && strncmp(after + 2, addr, len) == 0 &&
		       strcmp(after + 2 + len, ")") == 0;
	}
	return false;
}

/* A line is "  57:  12  0  IR-PCI-MSIX-0000:01:10.0  0-edge  vfio-msix[0](0000:01:10.0)". */
static bool line_parse(const char *at, const char *end, const char *addr, struct irq_line *out)
{
	char word[128];
	uint64_t n;

	*out = (struct irq_line){ 0 };
	if (!word_next(&at, end, word, sizeof(word)) || strchr(word, ':') == NULL)
		return false;
	*strchr(word, ':') = '\0';
	if (parse_u64(word, UINT32_MAX, &n) < 0)
		return false;
	out->irq = (uint32_t)n;
	/* One count a CPU; the first word that is no number is the chip's name. */
	while (word_next(&at, end, word, sizeof(word)) && parse_u64(word, UINT64_MAX, &n) == 0)
		out->count += n;
	snprintf(out->chip, sizeof(out->chip), "%.63s", word);
	while (word_next(&at, end, word, sizeof(word)))
		if (name_parse(word, addr, &out->vector))
			return true;
	return false;
}

void irq_lines_each(const char *text, const char *addr,
		    void (*fn)(void *arg, const struct irq_line *line), void *arg)
{
	while (*text != '\0') {
		const char *end = text + strcspn(text, "\n");
		struct irq_line line;

		if (line_parse(text, end, addr, &line))
			fn(arg, &line);
		text = *end == '\n' ? end + 1 : end;
	}
}

static void count_add(void *arg, const struct irq_line *line)
{
	*(uint64_t *)arg += line->count;
}

uint64_t irq_count(const char *text, const char *addr)
{
	uint64_t total = 0;

	irq_lines_each(text, addr, count_add, &total);
	return total;
}
