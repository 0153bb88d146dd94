/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes ACPI Machine Language (ACPI 6.4, chapter 20) front to back. A begin is closed by aml_end()
 * (or by the end of its own kind), which puts the length in. Running out of memory is remembered and
 * told by aml_finish(), so that the text between reads like the ASL that it stands for.
 */
#ifndef VIADUCT_VMM_ACPI_AML_H
#define VIADUCT_VMM_ACPI_AML_H

#include "base/util.h"

#define AML_DEPTH 8

struct aml {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t open[AML_DEPTH]; /* where the contents of each open package start */
	unsigned int depth;
	bool failed;
};

/* Operands of one byte */
#define AML_ZERO	0x00
#define AML_ONE		0x01
#define AML_LOCAL0	0x60
#define AML_ARG0	0x68
#define AML_ARG1	0x69
#define AML_ARG3	0x6B
#define AML_STORE	0x70
#define AML_AND		0x7B
#define AML_OR		0x7D
#define AML_DWORD_FIELD 0x8A /* CreateDWordField */
#define AML_LNOT	0x92
#define AML_LEQUAL	0x93
#define AML_RETURN	0xA4

void aml_bytes(struct aml *a, const void *bytes, size_t len);
void aml_op(struct aml *a, uint8_t op);

/* A name path such as "\\_S5", "PCI0", "_SB.PCI0"; segments are padded to four characters. */
void aml_path(struct aml *a, const char *path);
void aml_int(struct aml *a, uint64_t value);
void aml_eisa_id(struct aml *a, const char *id); /* "PNP0A08" */
void aml_string(struct aml *a, const char *text);

/* Name (path, ...): the object follows. */
void aml_name(struct aml *a, const char *path);
void aml_name_int(struct aml *a, const char *path, uint64_t value);
void aml_name_eisa_id(struct aml *a, const char *path, const char *id);

void aml_scope_begin(struct aml *a, const char *path);
void aml_device_begin(struct aml *a, const char *path);
void aml_method_begin(struct aml *a, const char *path, unsigned int args); /* serialized */
void aml_package_begin(struct aml *a, unsigned int items);
void aml_if_begin(struct aml *a); /* the predicate follows */
void aml_end(struct aml *a);

void aml_buffer(struct aml *a, const void *bytes, size_t len);

/* ResourceTemplate () { ... } */
void aml_resources_begin(struct aml *a);
void aml_resources_end(struct aml *a);

enum aml_space { AML_SPACE_MEMORY, AML_SPACE_IO, AML_SPACE_BUS };

/* An address range that the device passes on to what is below it: 2, 4 or 8 bytes wide. flags are
 * those of the space: AML_MEMORY_* or AML_IO_ENTIRE. */
#define AML_MEMORY_RW_UNCACHED	0x01
#define AML_MEMORY_RW_CACHEABLE 0x03
#define AML_IO_ENTIRE		0x03

void aml_window(struct aml *a, enum aml_space space, unsigned int width, uint8_t flags,
		const uint64_t range[2]); /* first, last */

/* What the device itself takes. */
void aml_io(struct aml *a, uint16_t base, uint8_t len);
void aml_irq(struct aml *a, unsigned int irq);
void aml_memory(struct aml *a, uint64_t base, uint64_t size);

/* The finished bytes (the caller frees them), or NULL: out of memory, or unbalanced. */
uint8_t *aml_finish(struct aml *a, size_t *len);

#endif
