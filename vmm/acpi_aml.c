// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/acpi_aml.h"

#include <stdlib.h>

/* Opcodes (ACPI 6.4, 20.3) */
#define OP_NAME	   0x08
#define OP_BYTE	   0x0A
#define OP_WORD	   0x0B
#define OP_DWORD   0x0C
#define OP_STRING  0x0D
#define OP_QWORD   0x0E
#define OP_SCOPE   0x10
#define OP_BUFFER  0x11
#define OP_PACKAGE 0x12
#define OP_METHOD  0x14
#define OP_DUAL	   0x2E
#define OP_MULTI   0x2F
#define OP_EXT	   0x5B
#define OP_DEVICE  0x82 /* after OP_EXT */
#define OP_IF	   0xA0

#define METHOD_SERIALIZED 0x08

/* Resource descriptors (ACPI 6.4, 6.4.2 and 6.4.3) */
#define RES_IRQ		0x22
#define RES_IO		0x47
#define RES_END		0x79
#define RES_MEMORY32	0x86
#define RES_DWORD_SPACE 0x87
#define RES_WORD_SPACE	0x88
#define RES_QWORD_SPACE 0x8A
#define RES_FIXED	0x0C /* minimum and maximum are fixed; producer, positive decode */
#define RES_CONSUMER	0x01

#define SEGMENT	      4
#define PATH_SEGMENTS 8

void aml_bytes(struct aml *a, const void *bytes, size_t len)
{
	if (a->failed)
		return;
	if (len > a->cap - a->len) {
		size_t cap = a->cap * 2 + len + 256;
		uint8_t *data = realloc(a->data, cap);

		if (data == NULL) {
			a->failed = true;
			return;
		}
		a->data = data;
		a->cap = cap;
	}
	memcpy(a->data + a->len, bytes, len);
	a->len += len;
}

void aml_op(struct aml *a, uint8_t op)
{
	aml_bytes(a, &op, 1);
}

static void aml_le(struct aml *a, uint64_t value, unsigned int width)
{
	uint8_t bytes[8];

	put_le64(bytes, value);
	aml_bytes(a, bytes, width);
}

/* Inserts bytes before the contents that start at `at`. */
static void aml_insert(struct aml *a, size_t at, const uint8_t *bytes, size_t len)
{
	size_t tail = a->len - at;

	aml_bytes(a, bytes, len); /* makes the room */
	if (a->failed)
		return;
	memmove(a->data + at + len, a->data + at, tail);
	memcpy(a->data + at, bytes, len);
}

static void aml_begin(struct aml *a)
{
	if (a->depth == AML_DEPTH) {
		a->failed = true;
		return;
	}
	a->open[a->depth++] = a->len;
}

/* PkgLength counts itself; 6 bits fit one byte, 12, 20 and 28 bits two to four. */
void aml_end(struct aml *a)
{
	uint8_t bytes[4];
	size_t start, len, n = 1;

	if (a->failed || a->depth == 0) {
		a->failed = true;
		return;
	}
	start = a->open[--a->depth];
	len = a->len - start + 1;
	if (len > 0x3F) {
		for (n = 2, len++; len >> (8 * (n - 1) + 4) != 0; n++)
			len++;
		bytes[0] = (uint8_t)((n - 1) << 6 | (len & 0xF));
		for (size_t i = 1; i < n; i++)
			bytes[i] = (uint8_t)(len >> (8 * (i - 1) + 4));
	} else {
		bytes[0] = (uint8_t)len;
	}
	aml_insert(a, start, bytes, n);
}

void aml_path(struct aml *a, const char *path)
{
	char segments[PATH_SEGMENTS][SEGMENT];
	unsigned int count = 0;

	if (*path == '\\')
		aml_op(a, (uint8_t)*path++);
	while (*path != '\0' && count < PATH_SEGMENTS) {
		size_t len = strcspn(path, ".");

		memset(segments[count], '_', SEGMENT);
		memcpy(segments[count++], path, u64_min(len, SEGMENT));
		path += len + (path[len] == '.');
	}
	if (count == 0)
		aml_op(a, 0); /* the null name */
	if (count == 2)
		aml_op(a, OP_DUAL);
	if (count > 2) {
		aml_op(a, OP_MULTI);
		aml_op(a, (uint8_t)count);
	}
	aml_bytes(a, segments, (size_t)count * SEGMENT);
}

void aml_int(struct aml *a, uint64_t value)
{
	if (value <= 1) {
		aml_op(a, (uint8_t)value);
	} else if (value <= UINT8_MAX) {
		aml_op(a, OP_BYTE);
		aml_le(a, value, 1);
	} else if (value <= UINT16_MAX) {
		aml_op(a, OP_WORD);
		aml_le(a, value, 2);
	} else if (value <= UINT32_MAX) {
		aml_op(a, OP_DWORD);
		aml_le(a, value, 4);
	} else {
		aml_op(a, OP_QWORD);
		aml_le(a, value, 8);
	}
}

/* Three letters of five bits and four hexadecimal digits, big-endian (ACPI 6.4, 19.3.4). */
void aml_eisa_id(struct aml *a, const char *id)
{
	uint16_t vendor = (uint16_t)((id[0] & 0x1F) << 10 | (id[1] & 0x1F) << 5 | (id[2] & 0x1F));
	uint16_t product = (uint16_t)strtoul(id + 3, NULL, 16);
	const uint8_t bytes[] = { OP_DWORD, (uint8_t)(vendor >> 8), (uint8_t)vendor,
				  (uint8_t)(product >> 8), (uint8_t)product };

	aml_bytes(a, bytes, sizeof(bytes));
}

void aml_string(struct aml *a, const char *text)
{
	aml_op(a, OP_STRING);
	aml_bytes(a, text, strlen(text) + 1);
}

void aml_name(struct aml *a, const char *path)
{
	aml_op(a, OP_NAME);
	aml_path(a, path);
}

void aml_name_int(struct aml *a, const char *path, uint64_t value)
{
	aml_name(a, path);
	aml_int(a, value);
}

void aml_name_eisa_id(struct aml *a, const char *path, const char *id)
{
	aml_name(a, path);
	aml_eisa_id(a, id);
}

void aml_scope_begin(struct aml *a, const char *path)
{
	aml_op(a, OP_SCOPE);
	aml_begin(a);
	aml_path(a, path);
}

void aml_device_begin(struct aml *a, const char *path)
{
	aml_op(a, OP_EXT);
	aml_op(a, OP_DEVICE);
	aml_begin(a);
	aml_path(a, path);
}

void aml_method_begin(struct aml *a, const char *path, unsigned int args)
{
	aml_op(a, OP_METHOD);
	aml_begin(a);
	aml_path(a, path);
	aml_op(a, (uint8_t)(METHOD_SERIALIZED | args));
}

void aml_package_begin(struct aml *a, unsigned int items)
{
	aml_op(a, OP_PACKAGE);
	aml_begin(a);
	aml_op(a, (uint8_t)items);
}

void aml_if_begin(struct aml *a)
{
	aml_op(a, OP_IF);
	aml_begin(a);
}

/* The size of a buffer stands between the package length and the bytes. */
static void buffer_end(struct aml *a)
{
	struct aml size = { 0 };

	if (a->failed || a->depth == 0) {
		a->failed = true;
		return;
	}
	aml_int(&size, a->len - a->open[a->depth - 1]);
	if (size.failed)
		a->failed = true;
	else
		aml_insert(a, a->open[a->depth - 1], size.data, size.len);
	free(size.data);
	aml_end(a);
}

void aml_buffer(struct aml *a, const void *bytes, size_t len)
{
	aml_op(a, OP_BUFFER);
	aml_begin(a);
	aml_bytes(a, bytes, len);
	buffer_end(a);
}

void aml_resources_begin(struct aml *a)
{
	aml_op(a, OP_BUFFER);
	aml_begin(a);
}

void aml_resources_end(struct aml *a)
{
	aml_op(a, RES_END);
	aml_op(a, 0); /* no checksum */
	buffer_end(a);
}

static void address_space(struct aml *a, unsigned int width, const uint8_t head[3],
			  const uint64_t range[2])
{
	static const uint8_t tags[] = {
		[2] = RES_WORD_SPACE, [4] = RES_DWORD_SPACE, [8] = RES_QWORD_SPACE
	};

	aml_op(a, tags[width]);
	aml_le(a, 3 + 5 * width, 2);
	aml_bytes(a, head, 3);
	aml_le(a, 0, width); /* granularity */
	aml_le(a, range[0], width);
	aml_le(a, range[1], width);
	aml_le(a, 0, width); /* translation */
	aml_le(a, range[1] - range[0] + 1, width);
}

void aml_window(struct aml *a, enum aml_space space, unsigned int width, uint8_t flags,
		const uint64_t range[2])
{
	const uint8_t head[] = { (uint8_t)space, RES_FIXED, flags };

	address_space(a, width, head, range);
}

void aml_io(struct aml *a, uint16_t base, uint8_t len)
{
	aml_op(a, RES_IO);
	aml_op(a, 1); /* decodes 16 bits */
	aml_le(a, base, 2);
	aml_le(a, base, 2);
	aml_op(a, 1);
	aml_op(a, len);
}

void aml_irq(struct aml *a, unsigned int irq)
{
	aml_op(a, RES_IRQ);
	aml_le(a, BIT(irq), 2);
}

void aml_memory(struct aml *a, uint64_t base, uint64_t size)
{
	const uint8_t head[] = { AML_SPACE_MEMORY, RES_FIXED | RES_CONSUMER,
				 AML_MEMORY_RW_UNCACHED };
	const uint64_t range[] = { base, base + size - 1 };

	if (range[1] > UINT32_MAX) {
		address_space(a, 8, head, range);
		return;
	}
	aml_op(a, RES_MEMORY32);
	aml_le(a, 9, 2);
	aml_op(a, 1); /* writable */
	aml_le(a, base, 4);
	aml_le(a, size, 4);
}

uint8_t *aml_finish(struct aml *a, size_t *len)
{
	uint8_t *data = a->data;

	if (a->failed || a->depth != 0) {
		free(data);
		data = NULL;
	} else {
		*len = a->len;
	}
	*a = (struct aml){ 0 };
	return data;
}
