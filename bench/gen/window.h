/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which numbers of one flow have come, in bounded memory: the last `size` ones up to the highest. RFC 4737: a packet is
 * reordered if its number is below one that came before it.
 */
#ifndef VIADUCT_BENCH_GEN_WINDOW_H
#define VIADUCT_BENCH_GEN_WINDOW_H

#include <stddef.h>
#include <stdint.h>

struct window {
	uint64_t *bits; /* of size / 64 words; the caller's, all zero at first */
	uint32_t size; /* a power of two, 64 at least */
	uint64_t next; /* one above the highest */
};

enum window_word {
	WINDOW_NEW,
	WINDOW_LATE, /* new, but after a higher one */
	WINDOW_TWICE,
	WINDOW_TOO_OLD, /* too far behind to tell; not counted as here */
};

enum window_word window_take(struct window *w, uint32_t seq);

#endif
