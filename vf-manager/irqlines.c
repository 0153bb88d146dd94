// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/irqlines.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#define INTERRUPTS_MAX (4U << 20)

char *interrupts_read(const char *proc)
{
	char *text = malloc(INTERRUPTS_MAX), path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/interrupts", proc);
	if (text != NULL && file_read_at(AT_FDCWD, path, text, INTERRUPTS_MAX) < 0)
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
static bool name_parse(const char *name, struct irq_line *out)
{
	static const char *const kinds[] = { "vfio-msix[", "vfio-msi[" };
	char *after;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len = strlen(kinds[i]);

		if (strncmp(name, kinds[i], len) != 0)
			continue;
		out->vector = (uint32_t)strtoul(name + len, &after, 10);
		if (strncmp(after, "](", 2) != 0)
			return false;
		after += 2;
		len = strcspn(after, ")");
		if (len >= sizeof(out->fn) || strcmp(after + len, ")") != 0)
			return false;
		snprintf(out->fn, sizeof(out->fn), "%.*s", (int)len, after);
		snprintf(out->name, sizeof(out->name), "%s", name);
		return strchr(name, '/') == NULL;
	}
	return false;
}

/* A line is "  57:  12  0  IR-PCI-MSIX-0000:01:10.0  0-edge  vfio-msix[0](0000:01:10.0)". */
static bool line_parse(const char *at, const char *end, struct irq_line *out)
{
	char word[IRQ_NAME];
	uint64_t n;

	*out = (struct irq_line){ 0 };
	if (memmem(at, (size_t)(end - at), "vfio-msi", 8) == NULL)
		return false;
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
		if (name_parse(word, out))
			return true;
	return false;
}

void irq_lines_each(const char *text, const char *addr,
		    void (*fn)(void *arg, const struct irq_line *line), void *arg)
{
	while (*text != '\0') {
		const char *end = text + strcspn(text, "\n");
		struct irq_line line;

		if (line_parse(text, end, &line) && (addr == NULL || strcmp(line.fn, addr) == 0))
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

/* False: the file is not there, or is no list. */
static bool list_read(const char *proc, uint32_t irq, const char *file, cpu_set_t *out)
{
	char path[PATH_MAX], text[CPU_LIST_TEXT];

	snprintf(path, sizeof(path), "%s/irq/%u/%s", proc, irq, file);
	return file_read_at(AT_FDCWD, path, text, sizeof(text)) >= 0 &&
	       cpu_list_parse(text, out) == 0;
}

int irq_affinity_read(const char *proc, uint32_t irq, struct irq_affinity *out)
{
	if (!list_read(proc, irq, "smp_affinity_list", &out->allowed))
		return -ENOENT;
	out->has_effective = list_read(proc, irq, "effective_affinity_list", &out->effective) &&
			     CPU_COUNT(&out->effective) > 0;
	if (!out->has_effective)
		CPU_ZERO(&out->effective);
	return 0;
}
