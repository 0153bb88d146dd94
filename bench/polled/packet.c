// SPDX-License-Identifier: BSD-3-Clause
#include "bench/polled/packet.h"

#include <arpa/inet.h>
#include <stdlib.h>

/* Places in the frame: Ethernet, IPv4, UDP, then ours. */
#define AT_SOURCE_MAC  6
#define AT_TYPE	       12
#define AT_IP	       14U
#define AT_IP_LENGTH   16
#define AT_IP_TTL      22
#define AT_IP_CHECKSUM 24
#define AT_IP_SOURCE   26
#define AT_UDP_SOURCE  34
#define AT_UDP_TARGET  36
#define AT_UDP_LENGTH  38
#define AT_STREAM      42
#define AT_KEY	       44
#define AT_SEQ	       48

#define IP_HEADER  20
#define STEP	   0x9e3779b1U /* any odd number with many bits set */
#define PORT_FIRST 1024

static void put16(uint8_t *data, unsigned int at, uint16_t v)
{
	v = htons(v);
	memcpy(data + at, &v, sizeof(v));
}

bool packet_sizes_parse(struct packet_sizes *s, const char *text)
{
	static const struct packet_sizes mix = {
		.bytes = { 64, 576, 1500 },
		.turn = { 0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 1, 0 },
		.count = PACKET_SIZES,
	};
	char *end;
	unsigned long n;

	if (strcmp(text, "imix") == 0) {
		*s = mix;
		return true;
	}
	n = strtoul(text, &end, 10);
	if (end == text || *end != '\0' || n < PACKET_MIN || n > PACKET_MAX || n % 4 != 0)
		return false;
	*s = (struct packet_sizes){ .bytes = { (uint16_t)n }, .count = 1 };
	return true;
}

void packet_mac(uint8_t mac[6], unsigned int port, unsigned int address)
{
	const uint8_t made[6] = { 2,
				  0,
				  (uint8_t)(port + 1),
				  (uint8_t)(address >> 16),
				  (uint8_t)(address >> 8),
				  (uint8_t)address };

	memcpy(mac, made, sizeof(made));
}

void packet_words_write(uint8_t *data, uint16_t bytes, uint32_t key)
{
	uint32_t *word = (uint32_t *)(data + PACKET_WORDS_AT);
	unsigned int count = (bytes - PACKET_WORDS_AT) / sizeof(*word);

	memcpy(data + AT_KEY, &key, sizeof(key));
	for (unsigned int i = 0; i < count; i++)
		word[i] = key + i * STEP;
}

static uint16_t ip_checksum(const uint8_t *header)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < IP_HEADER; i += 2)
		sum += (uint32_t)header[i] << 8 | header[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

void packet_make(uint8_t *data, uint16_t bytes, uint32_t key)
{
	static const uint8_t addresses[8] = { 10, 0, 0, 1, 10, 0, 0, 2 };

	memset(data, 0, PACKET_WORDS_AT);
	put16(data, AT_TYPE, 0x0800);
	data[AT_IP] = 0x45;
	put16(data, AT_IP_LENGTH, (uint16_t)(bytes - AT_IP));
	data[AT_IP_TTL] = 64;
	data[AT_IP_TTL + 1] = 17;
	memcpy(data + AT_IP_SOURCE, addresses, sizeof(addresses));
	put16(data, AT_IP_CHECKSUM, ip_checksum(data + AT_IP));
	put16(data, AT_UDP_SOURCE, PORT_FIRST);
	put16(data, AT_UDP_TARGET, 9);
	put16(data, AT_UDP_LENGTH, (uint16_t)(bytes - AT_IP - IP_HEADER));
	packet_words_write(data, bytes, key);
}

void packet_learn(uint8_t *data, unsigned int port, unsigned int address)
{
	packet_make(data, PACKET_MIN, 0);
	memset(data, 0xff, AT_SOURCE_MAC);
	packet_mac(data + AT_SOURCE_MAC, port, address);
	put16(data, AT_TYPE, 0x88b5); /* IEEE 802: for local experiments */
}

static uint32_t key_of(uint64_t seq, uint16_t stream)
{
	return (uint32_t)(seq + stream) * STEP;
}

void packet_stamp(uint8_t *data, uint16_t bytes, const struct packet_id *id)
{
	packet_mac(data, id->to, id->address);
	packet_mac(data + AT_SOURCE_MAC, id->from, 0);
	/* Who tells flows apart by ports (OVS's cache) sees as many as there are addresses. */
	put16(data, AT_UDP_SOURCE, (uint16_t)(PORT_FIRST + id->address));
	memcpy(data + AT_STREAM, &id->stream, sizeof(id->stream));
	memcpy(data + AT_SEQ, &id->seq, sizeof(id->seq));
	if (id->dirty || id->seq % PACKET_WHOLE_EVERY == 0)
		packet_words_write(data, bytes, key_of(id->seq, id->stream));
}

static bool words_good(const uint8_t *data, uint32_t bytes, uint32_t first)
{
	uint32_t count = (bytes - PACKET_WORDS_AT) / sizeof(uint32_t), key, word;

	memcpy(&key, data + AT_KEY, sizeof(key));
	for (uint32_t i = first; i < count; i++) {
		memcpy(&word, data + PACKET_WORDS_AT + i * sizeof(word), sizeof(word));
		if (word != key + i * STEP)
			return false;
	}
	return true;
}

/* Headers, and the key that one of this number has if its payload was written for it. */
static bool head_good(const uint8_t *data, uint32_t bytes, uint32_t key)
{
	/* No checksum, as it is sent. */
	const uint16_t udp[2] = { htons((uint16_t)(bytes - AT_IP - IP_HEADER)), 0 };

	return ip_checksum(data + AT_IP) == 0 &&
	       memcmp(data + AT_UDP_LENGTH, udp, sizeof(udp)) == 0 &&
	       memcmp(data + AT_KEY, &key, sizeof(key)) == 0;
}

enum packet_verdict packet_check(const uint8_t *data, uint32_t bytes, uint16_t stream, bool whole,
				 uint64_t *seq)
{
	uint32_t last = (bytes - PACKET_WORDS_AT) / sizeof(uint32_t) - 1;
	uint16_t its, length;

	if (bytes < PACKET_MIN || data[AT_TYPE] != 0x08 || data[AT_IP] != 0x45)
		return PACKET_OTHER;
	memcpy(&its, data + AT_STREAM, sizeof(its));
	if (its != stream)
		return PACKET_OTHER;
	memcpy(seq, data + AT_SEQ, sizeof(*seq));
	memcpy(&length, data + AT_IP_LENGTH, sizeof(length));
	if (ntohs(length) + AT_IP != bytes)
		return PACKET_BAD;
	if (whole && !head_good(data, bytes, key_of(*seq, stream)))
		return PACKET_BAD;
	whole = whole || *seq % PACKET_WHOLE_EVERY == 0;
	return words_good(data, bytes, whole ? 0 : last) ? PACKET_GOOD : PACKET_BAD;
}
