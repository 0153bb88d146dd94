/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notes when the guest's console output first contains a text that the operator chose ("login:"): the
 * last step of a start. One byte at a time, constant work per byte; under the console's lock.
 */
#ifndef VIADUCT_VMM_READY_MARK_H
#define VIADUCT_VMM_READY_MARK_H

#include "vmm/vmm_msg.h"

#include <stdint.h>

struct ready_mark {
	char text[VMM_MAX_READY + 1]; /* "": never found */
	uint8_t shorter[VMM_MAX_READY]; /* of each prefix: its longest proper suffix that begins text */
	uint8_t len, matched;
	uint64_t found_ns; /* CLOCK_MONOTONIC; 0: not yet */
};

/* text: at most VMM_MAX_READY bytes. */
void ready_mark_init(struct ready_mark *mark, const char *text);
void ready_mark_byte(struct ready_mark *mark, uint8_t byte);

#endif
