/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames of lane_worlds.c, made from bytes of its input. */
#ifndef VIADUCT_TESTS_FAKE_LANE_FRAMES_H
#define VIADUCT_TESTS_FAKE_LANE_FRAMES_H

#include "lane_worlds.h"

#define LANE_SENDER_AT	28 /* part of the IPv4 source */
#define LANE_FRAME_MOST 65000U /* and PAYLOAD and a tag */
#define LANE_MAC_LAST	5
#define LANE_WIRE	LANE_GUESTS /* as a sender; its station's address likewise */
#define LANE_SENDERS	(LANE_GUESTS + 1)

/* Nobody sends under another's address: what is learned of that depends on the order of frames to different stations. */
extern bool lane_sources_are_own;

/* Frame `seq` of sender `from`: Ethernet, maybe a tag, IPv4, TCP. Its bytes; b: six of the input. */
uint32_t lane_frame_make(uint8_t *p, uint64_t seq, const uint8_t *b, unsigned int from);

/* The header of virtio-net before a frame of that length. */
void lane_header_make(uint8_t *p, const uint8_t *b, uint32_t len);

/* Whose frame it is, by its IPv4 source. */
unsigned int lane_sender_of(const uint8_t *frame);

#endif
