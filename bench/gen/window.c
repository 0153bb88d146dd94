// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/window.h"

#include <string.h>

static uint64_t *word_of(struct window *w, uint64_t seq)
{
	return &w->bits[(seq & (w->size - 1)) / 64];
}

/* The places of what has not come yet still hold what was `size` numbers before. */
static void forward(struct window *w, uint64_t seq)
{
	if (seq - w->next >= w->size) {
		memset(w->bits, 0, w->size / 8);
		w->next = seq + 1;
		return;
	}
	for (; w->next <= seq; w->next++)
		*word_of(w, w->next) &= ~((uint64_t)1 << (w->next % 64));
}

enum window_word window_take(struct window *w, uint32_t seq)
{
	uint64_t bit = (uint64_t)1 << (seq % 64);
	int is_late = seq < w->next;

	if (is_late && w->next - seq > w->size)
		return WINDOW_TOO_OLD;
	if (!is_late)
		forward(w, seq);
	if ((*word_of(w, seq) & bit) != 0)
		return WINDOW_TWICE;
	*word_of(w, seq) |= bit;
	return is_late ? WINDOW_LATE : WINDOW_NEW;
}
