/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the generator sends and how the sink knows it again: an UDP packet with a stream, a sequence number and words that
 * follow from a key in the packet. A buffer keeps key and words when it is used again, so that a packet costs its sender
 * one cache line; every PACKET_WHOLE_EVERYth gets a new key, all words anew, and is compared whole.
 */
#ifndef VIADUCT_BENCH_POLLED_PACKET_H
#define VIADUCT_BENCH_POLLED_PACKET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PACKET_WORDS_AT	   56
#define PACKET_MIN	   64
#define PACKET_MAX	   1500
#define PACKET_WHOLE_EVERY 64
#define PACKET_SIZES	   3
#define PACKET_MIX	   12 /* packets after which a mix of sizes starts anew */

/* Sizes of one slice: packet n has bytes[turn[n % PACKET_MIX]]. */
struct packet_sizes {
	uint16_t bytes[PACKET_SIZES];
	uint8_t turn[PACKET_MIX];
	unsigned int count;
};

struct packet_id {
	uint16_t stream;
	uint64_t seq;
	unsigned int from, to; /* ports */
	unsigned int address; /* of the receiver's addresses */
	bool dirty; /* the payload is written, whatever the buffer has */
};

enum packet_verdict { PACKET_GOOD, PACKET_OTHER, PACKET_BAD };

/* "64" or "imix": 7 of 64, 4 of 576, 1 of 1500 bytes, well mixed. False: no such size. */
bool packet_sizes_parse(struct packet_sizes *s, const char *text);

static inline unsigned int packet_size_turn(const struct packet_sizes *s, uint64_t seq)
{
	return s->count == 1 ? 0 : s->turn[seq % PACKET_MIX];
}

/* A locally administered address. */
void packet_mac(uint8_t mac[6], unsigned int port, unsigned int address);

/* A buffer's first contents; all but what packet_stamp() writes. */
void packet_make(uint8_t *data, uint16_t bytes, uint32_t key);

void packet_words_write(uint8_t *data, uint16_t bytes, uint32_t key);

/* A frame that tells a switch where an address is: broadcast, of PACKET_MIN bytes, of no stream. */
void packet_learn(uint8_t *data, unsigned int port, unsigned int address);

void packet_stamp(uint8_t *data, uint16_t bytes, const struct packet_id *id);

/* Is it one of `stream`? Then its number is *seq, and it is what it was when it was sent, or bad. `whole`: its payload was
 * written for it (`dirty`), and all of it is looked at, headers too. */
enum packet_verdict packet_check(const uint8_t *data, uint32_t bytes, uint16_t stream, bool whole,
				 uint64_t *seq);

#endif
