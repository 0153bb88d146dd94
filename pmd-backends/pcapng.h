/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks of a pcapng file with one Ethernet interface and times in nanoseconds (draft-ietf-opsawg-pcapng-02, 4.1-4.3),
 * in this machine's byte order, which the format allows. */
#ifndef VIADUCT_PMD_BACKENDS_PCAPNG_H
#define VIADUCT_PMD_BACKENDS_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

#define PCAPNG_START_MAX  512 /* bytes of what begins a file */
#define PCAPNG_FRAME_HEAD 28 /* of the block around a frame, before it */
#define PCAPNG_FRAME_TAIL 16 /* and behind its padding */

enum pcapng_way { PCAPNG_INBOUND = 1, PCAPNG_OUTBOUND = 2 };

struct pcapng_frame {
	uint64_t time_ns; /* since 1970 */
	uint32_t len; /* bytes there */
	uint32_t full_len; /* bytes that the frame had */
	enum pcapng_way way;
};

/* Writes section and interface; a long name is cut. Returns the bytes. */
size_t pcapng_start(const char *name, uint32_t snap_len, uint8_t out[PCAPNG_START_MAX]);

/* Bytes of a frame's block, a multiple of 4. */
size_t pcapng_frame_size(uint32_t len);

/* What stands before the frame's data, and behind it (first up to three bytes of padding; returns the bytes). */
void pcapng_frame_head(const struct pcapng_frame *f, uint8_t out[PCAPNG_FRAME_HEAD]);
size_t pcapng_frame_tail(const struct pcapng_frame *f, uint8_t out[3 + PCAPNG_FRAME_TAIL]);

#endif
