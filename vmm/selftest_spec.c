// SPDX-License-Identifier: BSD-3-Clause
/* The message "selftest", and what /proc/interrupts says. */
#include "vmm/selftest.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>

#define NAMES_MAX 8

void selftest_spec_init(struct selftest_spec *s)
{
	*s = (struct selftest_spec){ .kvm = -1, .container = -1, .group_fd = -1, .interrupts = -1 };
}

void selftest_spec_fini(struct selftest_spec *s)
{
	fd_close(&s->kvm);
	fd_close(&s->container);
	fd_close(&s->group_fd);
	fd_close(&s->interrupts);
}

static int fds_take(struct selftest_spec *out, struct seqmsg *m, struct err *e)
{
	const struct {
		const char *name;
		int *fd;
	} rows[] = { { "kvm", &out->kvm },
		     { "container", &out->container },
		     { "group", &out->group_fd },
		     { "interrupts", &out->interrupts } };
	json_t *names, *name;
	size_t i;
	int r = json_get_array(m->body, "fds", NAMES_MAX, &names, e);

	if (r < 0)
		return r;
	if (json_array_size(names) != m->fd_count)
		return err_set(e, EINVAL, "fds: %zu names for %zu descriptors",
			       json_array_size(names), m->fd_count);
	json_array_foreach(names, i, name) {
		const char *text = json_string_value(name);
		size_t k = 0;

		while (text != NULL && k < ARRAY_SIZE(rows) && strcmp(rows[k].name, text) != 0)
			k++;
		if (text == NULL || k == ARRAY_SIZE(rows) || *rows[k].fd >= 0)
			return err_set(e, EINVAL, "fds: not known, or named twice");
		*rows[k].fd = fd_take(&m->fds[i]);
	}
	if (out->kvm < 0 || out->container < 0 || out->group_fd < 0)
		return err_set(e, EINVAL, "fds: kvm, container and group are needed");
	return 0;
}

int selftest_spec_parse(struct selftest_spec *out, struct seqmsg *m, struct err *e)
{
	char address[PCI_ADDR_TEXT];
	uint64_t group;
	int r = json_get_str(m->body, "address", address, sizeof(address), e);

	if (r == 0)
		r = json_get_u64(m->body, "group", UINT32_MAX, &group, e);
	if (r < 0)
		return r;
	if (parse_pci_addr(address, &out->address) < 0)
		return err_set(e, EINVAL, "address: '%s' is none", address);
	out->group = (uint32_t)group;
	return fds_take(out, m, e);
}

/* "  42:    7    0   IR-PCI-MSIX-0000:01:10.0    0-edge      vfio-msix[0](0000:01:10.0)" */
static bool line_ends_with(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);

	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\n'))
		len--;
	return len > n && memcmp(line + len - n, name, n) == 0 && line[len - n - 1] == ' ';
}

/* Behind the number and the colon at the line's head; NULL: it has none. */
static const char *line_counts(const char *line)
{
	const char *number = line + strspn(line, " ");
	size_t digits = strspn(number, "0123456789");

	return digits > 0 && number[digits] == ':' ? number + digits + 1 : NULL;
}

int64_t selftest_irq_count(const char *text, const char *name)
{
	for (const char *line = text; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		const char *at = line_counts(line);
		int64_t sum = 0;

		while (at != NULL && line_ends_with(line, len, name)) {
			size_t blank = strspn(at, " ");
			size_t digits = strspn(at + blank, "0123456789");

			if (digits == 0 || digits > 18 || at[blank + digits] != ' ')
				return sum;
			sum += (int64_t)strtoull(at + blank, NULL, 10);
			at += blank + digits;
		}
		line += len + (line[len] == '\n');
	}
	return -1;
}
