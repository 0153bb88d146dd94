// SPDX-License-Identifier: BSD-3-Clause
#include "pcapng.h"

#include <string.h>

#define BLOCK_SECTION	  0x0A0D0D0A
#define BLOCK_INTERFACE	  1
#define BLOCK_FRAME	  6
#define BYTE_ORDER_MAGIC  0x1A2B3C4D
#define LINKTYPE_ETHERNET 1
#define OPT_END		  0
#define OPT_IF_NAME	  2
#define OPT_IF_TSRESOL	  9
#define OPT_FRAME_FLAGS	  2
#define TSRESOL_NS	  9
#define NAME_MAX_BYTES	  255

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static size_t padding(size_t len)
{
	return -len & 3;
}

static uint8_t *put_option(uint8_t *p, uint16_t code, const void *value, uint16_t len)
{
	p = put16(p, code);
	p = put16(p, len);
	memcpy(p, value, len);
	memset(p + len, 0, padding(len));
	return p + len + padding(len);
}

/* The block's length stands at its start and at its end. */
static uint8_t *block_end(uint8_t *block, uint8_t *p)
{
	uint32_t len = (uint32_t)(p - block) + 4;

	put32(block + 4, len);
	return put32(p, len);
}

size_t pcapng_start(const char *name, uint32_t snap_len, uint8_t out[PCAPNG_START_MAX])
{
	static const uint8_t resolution = TSRESOL_NS;
	uint8_t *block = out, *p = put32(block, BLOCK_SECTION) + 4;

	p = put32(p, BYTE_ORDER_MAGIC);
	p = put16(put16(p, 1), 0);
	p = put32(put32(p, UINT32_MAX), UINT32_MAX); /* length of the section: not known */
	p = block_end(block, p);

	block = p;
	p = put32(block, BLOCK_INTERFACE) + 4;
	p = put16(put16(p, LINKTYPE_ETHERNET), 0);
	p = put32(p, snap_len);
	p = put_option(p, OPT_IF_NAME, name, (uint16_t)strnlen(name, NAME_MAX_BYTES));
	p = put_option(p, OPT_IF_TSRESOL, &resolution, 1);
	p = put_option(p, OPT_END, "", 0);
	p = block_end(block, p);
	return (size_t)(p - out);
}

size_t pcapng_frame_size(uint32_t len)
{
	return PCAPNG_FRAME_HEAD + len + padding(len) + PCAPNG_FRAME_TAIL;
}

void pcapng_frame_head(const struct pcapng_frame *f, uint8_t out[PCAPNG_FRAME_HEAD])
{
	uint8_t *p = put32(out, BLOCK_FRAME);

	p = put32(p, (uint32_t)pcapng_frame_size(f->len));
	p = put32(p, 0); /* the interface */
	p = put32(p, (uint32_t)(f->time_ns >> 32));
	p = put32(p, (uint32_t)f->time_ns);
	p = put32(p, f->len);
	put32(p, f->full_len);
}

size_t pcapng_frame_tail(const struct pcapng_frame *f, uint8_t out[3 + PCAPNG_FRAME_TAIL])
{
	uint32_t flags = f->way;
	uint8_t *p = out;

	memset(p, 0, padding(f->len));
	p += padding(f->len);
	p = put_option(p, OPT_FRAME_FLAGS, &flags, sizeof(flags));
	p = put_option(p, OPT_END, "", 0);
	p = put32(p, (uint32_t)pcapng_frame_size(f->len));
	return (size_t)(p - out);
}
