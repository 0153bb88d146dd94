/* SPDX-License-Identifier: BSD-3-Clause */
/* DMAR tables made by hand: bytes are put down one structure after the other, lengths and checksum come last. */
#ifndef VIADUCT_TESTS_UNIT_IOMMU_DMAR_TABLES_H
#define VIADUCT_TESTS_UNIT_IOMMU_DMAR_TABLES_H

#include "base/util.h"

struct table {
	uint8_t bytes[4096];
	size_t len, structure; /* where the last structure starts */
};

static inline void table_start(struct table *t, uint8_t address_width, uint8_t flags)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->bytes, "DMAR", 4);
	t->bytes[8] = 1;
	memcpy(t->bytes + 10, "VIADCT", 6);
	memcpy(t->bytes + 16, "HANDMADE", 8);
	t->bytes[36] = address_width;
	t->bytes[37] = flags;
	t->len = 48;
}

/* A structure of `len` bytes before its scopes. */
static inline uint8_t *table_structure(struct table *t, uint16_t type, uint16_t len)
{
	uint8_t *p = t->bytes + t->len;

	t->structure = t->len;
	put_le16(p, type);
	put_le16(p + 2, len);
	t->len += len;
	return p;
}

static inline void table_drhd(struct table *t, uint8_t flags, uint16_t segment, uint64_t base)
{
	uint8_t *p = table_structure(t, 0, 16);

	p[4] = flags;
	put_le16(p + 6, segment);
	put_le64(p + 8, base);
}

static inline void table_rmrr(struct table *t, uint16_t segment, uint64_t base, uint64_t limit)
{
	uint8_t *p = table_structure(t, 1, 24);

	put_le16(p + 6, segment);
	put_le64(p + 8, base);
	put_le64(p + 16, limit);
}

/* ATSR, SATC, SIDP. */
static inline void table_flags(struct table *t, uint16_t type, uint8_t flags, uint16_t segment)
{
	uint8_t *p = table_structure(t, type, 8);

	p[4] = flags;
	put_le16(p + 6, segment);
}

/* A scope of the last structure; head: type, enumeration id, start bus; path: hops pairs of device and function. */
static inline void table_scope(struct table *t, const uint8_t head[3], const uint8_t *path,
			       uint8_t hops)
{
	uint8_t *p = t->bytes + t->len, len = (uint8_t)(6 + 2 * hops);

	p[0] = head[0];
	p[1] = len;
	p[4] = head[1];
	p[5] = head[2];
	memcpy(p + 6, path, 2 * hops);
	t->len += len;
	put_le16(t->bytes + t->structure + 2, (uint16_t)(t->len - t->structure));
}

static inline void table_end(struct table *t)
{
	uint8_t sum = 0;

	put_le32(t->bytes + 4, (uint32_t)t->len);
	t->bytes[9] = 0;
	for (size_t i = 0; i < t->len; i++)
		sum = (uint8_t)(sum + t->bytes[i]);
	t->bytes[9] = (uint8_t)-sum;
}

#endif
