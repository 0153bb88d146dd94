// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/dmar.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define TABLE_PATH "sys/firmware/acpi/tables/DMAR"

/* Header (8.1): the ACPI header of 36 bytes, then its own members. */
enum {
	HDR_LENGTH = 4,
	HDR_REVISION = 8,
	HDR_OEM_ID = 10,
	HDR_OEM_TABLE_ID = 16,
	HDR_ADDRESS_WIDTH = 36,
	HDR_FLAGS = 37,
	HDR_BYTES = 48
};

/* Every remapping structure starts so (8.2). */
enum { ST_TYPE = 0, ST_LENGTH = 2, ST_HEADER = 4 };

/* Device scope entry (8.3.1). */
enum {
	SC_TYPE = 0,
	SC_LENGTH = 1,
	SC_FLAGS = 2,
	SC_ENUMERATION_ID = 4,
	SC_START_BUS = 5,
	SC_PATH = 6,
	SC_HOP = 2
};

/* What is read, where it starts in the table, and how long it is: nothing is read but through view_get. */
struct view {
	const uint8_t *bytes;
	uint32_t offset, len;
};

/* `width` bytes at `at`, little-endian; 0 past the end, which callers have excluded by the structure's length. */
static uint64_t view_get(const struct view *v, uint32_t at, uint32_t width)
{
	return range_fits(at, width, v->len) ? get_le(v->bytes + at, width) : 0;
}

static struct view view_part(const struct view *v, uint32_t at, uint32_t len)
{
	if (!range_fits(at, len, v->len))
		at = len = 0;
	return (struct view){ v->bytes + at, v->offset + at, len };
}

static int malformed(struct err *e, uint32_t offset, const char *what)
{
	err_set(e, EBADMSG, "the ACPI DMAR table is malformed at offset 0x%x: %s", offset, what);
	err_code(e, "dmar-malformed");
	return err_hint(e, "the firmware's fault: look for an update of it; the bytes: xxd "
			   "/sys/firmware/acpi/tables/DMAR");
}

static int drhd_parse(const struct view *v, struct dmar_entry *entry, struct err *e)
{
	entry->flags = (uint8_t)view_get(v, 4, 1);
	entry->size_bytes = 4096ULL << (view_get(v, 5, 1) & 0xF);
	entry->base = view_get(v, 8, 8);
	if (entry->base == 0 || !is_aligned(entry->base, 4096))
		entry->odd = "no address of a register set";
	return 0;
}

static int rmrr_parse(const struct view *v, struct dmar_entry *entry, struct err *e)
{
	entry->base = view_get(v, 8, 8);
	entry->limit = view_get(v, 16, 8);
	if (entry->limit < entry->base)
		entry->odd = "limit below base";
	else if (!is_aligned(entry->base, 4096) || !is_aligned(entry->limit + 1, 4096))
		entry->odd = "not whole pages";
	return 0;
}

static int flags_parse(const struct view *v, struct dmar_entry *entry, struct err *e)
{
	entry->flags = (uint8_t)view_get(v, 4, 1);
	return 0;
}

static int rhsa_parse(const struct view *v, struct dmar_entry *entry, struct err *e)
{
	entry->base = view_get(v, 8, 8);
	entry->proximity = (uint32_t)view_get(v, 16, 4);
	return 0;
}

static int andd_parse(const struct view *v, struct dmar_entry *entry, struct err *e)
{
	struct view name = view_part(v, 8, v->len - 8);
	uint32_t n = 0;

	entry->acpi_device = (uint8_t)view_get(v, 7, 1);
	for (; n < name.len && name.bytes[n] != '\0'; n++)
		if (name.bytes[n] < 0x20 || name.bytes[n] > 0x7E)
			return malformed(e, name.offset + n, "an object name that is no text");
	if (n == name.len)
		return malformed(e, name.offset, "an object name without end");
	entry->name = (const char *)name.bytes;
	return 0;
}

/* What each type has: its smallest length, whether it has a segment number at offset 6, and where its scopes start
 * (0: it has none). */
static const struct type_row {
	const char *name;
	uint32_t min_len, scopes_at;
	bool has_segment;
	int (*parse)(const struct view *v, struct dmar_entry *entry, struct err *e);
} types[DMAR_TYPES] = {
	[DMAR_DRHD] = { "DRHD", 16, 16, true, drhd_parse },
	[DMAR_RMRR] = { "RMRR", 24, 24, true, rmrr_parse },
	[DMAR_ATSR] = { "ATSR", 8, 8, true, flags_parse },
	[DMAR_RHSA] = { "RHSA", 20, 0, false, rhsa_parse },
	[DMAR_ANDD] = { "ANDD", 9, 0, false, andd_parse },
	[DMAR_SATC] = { "SATC", 8, 8, true, flags_parse },
	[DMAR_SIDP] = { "SIDP", 8, 8, true, NULL },
};

static const char *const scope_types[] = {
	[DMAR_SCOPE_ENDPOINT] = "endpoint",	[DMAR_SCOPE_HIERARCHY] = "sub-hierarchy",
	[DMAR_SCOPE_IOAPIC] = "I/O APIC",	[DMAR_SCOPE_HPET] = "HPET",
	[DMAR_SCOPE_NAMESPACE] = "ACPI device",
};

const char *dmar_type_name(unsigned int type)
{
	return type < DMAR_TYPES ? types[type].name : "?";
}

static bool scope_type_is_known(unsigned int type)
{
	return type < ARRAY_SIZE(scope_types) && scope_types[type] != NULL;
}

const char *dmar_scope_type_name(unsigned int type)
{
	return scope_type_is_known(type) ? scope_types[type] : "?";
}

static int scope_parse(const struct view *v, struct dmar_scope *out, struct err *e)
{
	struct dmar_scope s = { .type = (uint8_t)view_get(v, SC_TYPE, 1), .offset = v->offset };

	if (scope_type_is_known(s.type)) {
		if (v->len < SC_PATH + SC_HOP || (v->len - SC_PATH) % SC_HOP != 0)
			return malformed(e, v->offset, "a device scope without a whole path");
		s.flags = (uint8_t)view_get(v, SC_FLAGS, 1);
		s.enumeration_id = (uint8_t)view_get(v, SC_ENUMERATION_ID, 1);
		s.start_bus = (uint8_t)view_get(v, SC_START_BUS, 1);
		s.hops = (uint16_t)((v->len - SC_PATH) / SC_HOP);
		s.path = v->bytes + SC_PATH;
		for (uint32_t i = 0; i < s.hops; i++)
			if (s.path[2 * i] > 31 || s.path[2 * i + 1] > 7)
				return malformed(
					e, v->offset + SC_PATH + SC_HOP * i,
					"a path with a device above 31 or a function above 7");
	}
	*out = s;
	return 0;
}

static int scopes_parse(const struct view *v, uint32_t at, struct dmar *d, struct err *e)
{
	while (at < v->len) {
		uint32_t len = (uint32_t)view_get(v, at + SC_LENGTH, 1);
		struct view part;
		int r;

		if (v->len - at < SC_PATH || len < SC_PATH || len > v->len - at)
			return malformed(e, v->offset + at,
					 "a device scope shorter than its header or longer than "
					 "its structure");
		part = view_part(v, at, len);
		r = scope_parse(&part, &d->scopes[d->scope_count], e);
		if (r < 0)
			return r;
		d->scope_count++;
		at += len;
	}
	return 0;
}

static int structure_parse(const struct view *v, struct dmar *d, struct err *e)
{
	uint32_t type = (uint32_t)view_get(v, ST_TYPE, 2);
	struct dmar_entry *entry = &d->entries[d->entry_count];
	const struct type_row *row;
	int r = 0;

	if (type >= DMAR_TYPES) {
		d->unknown_count++;
		return 0;
	}
	row = &types[type];
	if (v->len < row->min_len)
		return malformed(e, v->offset, "a structure shorter than its type");
	*entry = (struct dmar_entry){ .type = (enum dmar_type)type,
				      .offset = v->offset,
				      .scope_first = d->scope_count };
	if (row->has_segment)
		entry->segment = (uint16_t)view_get(v, 6, 2);
	if (row->parse != NULL)
		r = row->parse(v, entry, e);
	if (r == 0 && row->scopes_at != 0)
		r = scopes_parse(v, row->scopes_at, d, e);
	entry->scope_count = d->scope_count - entry->scope_first;
	d->entry_count += r == 0;
	return r;
}

static int structures_parse(const struct view *table, struct dmar *d, struct err *e)
{
	uint32_t at = HDR_BYTES;

	while (at < table->len) {
		uint32_t len = (uint32_t)view_get(table, at + ST_LENGTH, 2);
		struct view part;
		int r;

		if (table->len - at < ST_HEADER || len < ST_HEADER || len > table->len - at)
			return malformed(e, table->offset + at,
					 "a structure shorter than its header or longer than the "
					 "table");
		part = view_part(table, at, len);
		r = structure_parse(&part, d, e);
		if (r < 0)
			return r;
		at += len;
	}
	return 0;
}

/* The text of an ACPI header, padded with spaces or zeros; what is no text shows as '?'. */
static void header_text(const struct view *v, uint32_t at, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)view_get(v, at + (uint32_t)i, 1);

		out[i] = (char)(c >= 0x20 && c <= 0x7E ? c : c == 0 ? ' ' : '?');
		if (out[i] != ' ')
			n = i + 1;
	}
	out[n] = '\0';
}

static int header_parse(struct view *v, struct dmar *d, struct err *e)
{
	uint8_t sum = 0;
	uint64_t len = view_get(v, HDR_LENGTH, 4);

	if (v->len < HDR_BYTES || memcmp(v->bytes, "DMAR", 4) != 0)
		return malformed(e, 0, "no DMAR header");
	if (len < HDR_BYTES || len > v->len)
		return malformed(e, HDR_LENGTH, "a length that is not the table's");
	v->len = (uint32_t)len;
	for (uint32_t i = 0; i < v->len; i++)
		sum = (uint8_t)(sum + v->bytes[i]);
	if (sum != 0)
		return malformed(e, 9, "the checksum is wrong");
	d->revision = (uint8_t)view_get(v, HDR_REVISION, 1);
	d->flags = (uint8_t)view_get(v, HDR_FLAGS, 1);
	d->address_bits = (unsigned int)view_get(v, HDR_ADDRESS_WIDTH, 1) + 1;
	header_text(v, HDR_OEM_ID, 6, d->oem_id);
	header_text(v, HDR_OEM_TABLE_ID, 8, d->oem_table_id);
	return 0;
}

int dmar_parse(const void *bytes, size_t len, struct dmar *out, struct err *e)
{
	struct dmar d = { .bytes_len = len };
	struct view v;
	int r;

	*out = (struct dmar){ 0 };
	if (len < HDR_BYTES || len > DMAR_BYTES_MAX)
		return malformed(e, 0, "no DMAR header, or more than 64 KiB");
	/* As many as there could be: a structure takes 4 bytes at least, known ones 8, a scope 6. */
	d.bytes = malloc(len);
	d.entries = calloc(len / 8, sizeof(*d.entries));
	d.scopes = calloc(len / SC_PATH, sizeof(*d.scopes));
	if (d.bytes == NULL || d.entries == NULL || d.scopes == NULL) {
		r = err_set(e, ENOMEM, "the DMAR table: out of memory");
		goto fail;
	}
	memcpy(d.bytes, bytes, len);
	v = (struct view){ d.bytes, 0, (uint32_t)len };
	r = header_parse(&v, &d, e);
	if (r == 0)
		r = structures_parse(&v, &d, e);
	if (r < 0)
		goto fail;
	*out = d;
	return 0;
fail:
	dmar_fini(&d);
	return r;
}

/* Up to `cap` bytes of a file; the number or -errno. */
static ssize_t bytes_read(int fd, uint8_t *buf, size_t cap)
{
	size_t n = 0;

	while (n < cap) {
		ssize_t got = read(fd, buf + n, cap - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

int dmar_read(int root_fd, struct dmar *out, struct err *e)
{
	auto_fd int root = root_fd >= 0 ? dup(root_fd)
					: open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd int fd = root >= 0 ? openat(root, TABLE_PATH, O_RDONLY | O_CLOEXEC) : -1;
	auto_free uint8_t *buf = NULL;
	ssize_t n;

	*out = (struct dmar){ 0 };
	if (fd < 0)
		return err_set(e, errno, "open /" TABLE_PATH ": %s", strerror(errno));
	buf = malloc(DMAR_BYTES_MAX + 1);
	if (buf == NULL)
		return err_set(e, ENOMEM, "the DMAR table: out of memory");
	n = bytes_read(fd, buf, DMAR_BYTES_MAX + 1);
	if (n < 0)
		return err_set(e, (int)-n, "read /" TABLE_PATH ": %s", strerror((int)-n));
	return dmar_parse(buf, (size_t)n, out, e);
}

void dmar_fini(struct dmar *d)
{
	if (d == NULL)
		return;
	free(d->bytes);
	free(d->entries);
	free(d->scopes);
	*d = (struct dmar){ 0 };
}
