// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/probe.h"

#include "base/parse.h"

#include <arpa/inet.h>

/* Places in the frame: Ethernet, IPv4 (RFC 791), UDP (RFC 768), then ours. */
#define AT_TYPE	       12
#define AT_IP	       14
#define AT_IP_LENGTH   16
#define AT_IP_KEY      18 /* identification */
#define AT_IP_TTL      22
#define AT_IP_PROTO    23
#define AT_IP_CHECKSUM 24
#define AT_IP_SOURCE   26
#define AT_UDP_SOURCE  34
#define AT_UDP_TARGET  36
#define AT_UDP_LENGTH  38
#define AT_TRIAL       42
#define AT_SEQ	       46
#define AT_STAMP       50
#define AT_CHECK       56

#define PORT_FIRST 49152 /* RFC 6335: dynamic ports */
#define PORT_ECHO  7 /* RFC 2544, C.2.6.4 */
#define STAMP_MASK (((uint64_t)1 << PROBE_STAMP_BITS) - 1)

static void put_be16(uint8_t *data, uint16_t v)
{
	data[0] = (uint8_t)(v >> 8);
	data[1] = (uint8_t)v;
}

static uint16_t get_be16(const uint8_t *data)
{
	return (uint16_t)(data[0] << 8 | data[1]);
}

bool probe_sizes_parse(struct probe_sizes *s, const char *text)
{
	static const struct probe_sizes mix = {
		.frame = { 64, 594, 1518 },
		.turn = { 0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 1, 0 },
		.count = PROBE_SIZES,
	};
	uint64_t n;

	if (strcmp(text, "imix") == 0) {
		*s = mix;
		return true;
	}
	if (parse_u64(text, PROBE_MAX, &n) < 0 || n < PROBE_MIN)
		return false;
	*s = (struct probe_sizes){ .frame = { (uint16_t)n }, .count = 1 };
	return true;
}

uint32_t probe_sizes_max(const struct probe_sizes *s)
{
	uint32_t max = 0;

	for (uint32_t i = 0; i < s->count; i++)
		max = s->frame[i] > max ? s->frame[i] : max;
	return max;
}

/* xorshift64 (Marsaglia, 2003): bytes without order, the same each time. */
void probe_pattern_make(struct probe_plan *plan)
{
	uint64_t x = 88172645463325252ULL;

	for (size_t i = 0; i < sizeof(plan->pattern); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		plan->pattern[i] = (uint8_t)(x >> 32);
	}
}

static void head_make(uint8_t *head, uint16_t bytes, const struct probe_addresses *to)
{
	/* RFC 2544: 198.18.0.0/15 is for benchmarks. */
	static const uint8_t addresses[8] = { 198, 18, 0, 1, 198, 19, 0, 1 };

	memset(head, 0, PROBE_HEADERS);
	memcpy(head, to->target[0], sizeof(to->target[0]));
	memcpy(head + 6, to->source, sizeof(to->source));
	put_be16(head + AT_TYPE, 0x0800);
	head[AT_IP] = 0x45;
	put_be16(head + AT_IP_LENGTH, (uint16_t)(bytes - AT_IP));
	head[AT_IP_TTL] = 64;
	head[AT_IP_PROTO] = 17;
	memcpy(head + AT_IP_SOURCE, addresses, sizeof(addresses));
	put_be16(head + AT_UDP_TARGET, PORT_ECHO);
	put_be16(head + AT_UDP_LENGTH, (uint16_t)(bytes - AT_UDP_SOURCE));
	/* The UDP checksum is 0, as RFC 768 allows: none. */
}

static uint32_t header_sum(const uint8_t *head)
{
	uint32_t sum = 0;

	for (unsigned int at = AT_IP; at < AT_UDP_SOURCE; at += 2)
		sum += get_be16(head + at);
	return sum;
}

void probe_plan_make(struct probe_plan *plan, const struct probe_sizes *sizes,
		     const struct probe_addresses *to, uint32_t flows, uint32_t trial)
{
	plan->sizes = *sizes;
	plan->flows = flows;
	plan->trial = trial;
	plan->target_count = to->target_count;
	memcpy(plan->target, to->target, sizeof(plan->target));
	for (uint32_t i = 0; i < sizes->count; i++) {
		head_make(plan->head[i], (uint16_t)(sizes->frame[i] - PROBE_FCS), to);
		plan->sum[i] = header_sum(plan->head[i]);
	}
}

void probe_fill(const struct probe_plan *plan, uint8_t *data, size_t room, uint8_t key)
{
	size_t len = room < PROBE_MAX ? room : PROBE_MAX;

	if (len < PROBE_HEAD)
		return;
	memset(data, 0, PROBE_HEAD);
	put_be16(data + AT_IP_KEY, key);
	memcpy(data + PROBE_HEAD, plan->pattern + key, len - PROBE_HEAD);
}

static uint16_t ip_checksum(uint32_t sum, uint16_t key)
{
	sum += key;
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* Of all that is not compared with a template; another in any one bit gives another. */
static uint32_t id_check(const uint8_t *data)
{
	/* Odd numbers with many bits set. */
	static const uint64_t a = 0x9e3779b97f4a7c15ULL, b = 0xc2b2ae3d27d4eb4fULL;
	/* Trial and number; the rest of the number and the stamp; port and key. */
	uint64_t first = get_le64(data + AT_TRIAL), second = get_le64(data + AT_TRIAL + 6), h;

	h = first * a;
	h ^= h >> 32;
	h = (h + second) * b;
	h ^= h >> 29;
	h = (h + ((uint32_t)get_be16(data + AT_UDP_SOURCE) << 16 | get_be16(data + AT_IP_KEY))) * a;
	return (uint32_t)(h >> 32);
}

void probe_write(const struct probe_plan *plan, uint8_t *data, const struct probe_id *id,
		 uint64_t stamp)
{
	uint32_t size = plan->sizes.turn[id->turn];
	/* Read back from memory that a backend may have, too: one of 256, whatever it says. */
	uint8_t key = data[AT_IP_KEY + 1];

	memcpy(data, plan->head[size], PROBE_HEADERS);
	if (plan->target_count > 1)
		memcpy(data, plan->target[id->flow % plan->target_count], sizeof(plan->target[0]));
	put_be16(data + AT_IP_KEY, key);
	put_be16(data + AT_IP_CHECKSUM, ip_checksum(plan->sum[size], key));
	put_be16(data + AT_UDP_SOURCE, (uint16_t)(PORT_FIRST + id->flow));
	put_le32(data + AT_TRIAL, plan->trial);
	put_le32(data + AT_SEQ, id->seq);
	put_le32(data + AT_STAMP, (uint32_t)stamp);
	put_le16(data + AT_STAMP + 4, (uint16_t)(stamp >> 32));
	put_le32(data + AT_CHECK, id_check(data));
}

/* All headers but the addresses of Ethernet; which size it says it has. */
static bool head_good(const struct probe_plan *plan, const uint8_t *data, size_t len)
{
	for (uint32_t i = 0; i < plan->sizes.count; i++) {
		const uint8_t *want = plan->head[i];
		uint16_t key = get_be16(data + AT_IP_KEY);

		if (len != (size_t)plan->sizes.frame[i] - PROBE_FCS)
			continue;
		return key < 256 &&
		       memcmp(data + AT_TYPE, want + AT_TYPE, AT_IP_KEY - AT_TYPE) == 0 &&
		       memcmp(data + AT_IP_KEY + 2, want + AT_IP_KEY + 2,
			      AT_IP_CHECKSUM - AT_IP_KEY - 2) == 0 &&
		       get_be16(data + AT_IP_CHECKSUM) == ip_checksum(plan->sum[i], key) &&
		       memcmp(data + AT_IP_SOURCE, want + AT_IP_SOURCE,
			      AT_UDP_SOURCE - AT_IP_SOURCE) == 0 &&
		       memcmp(data + AT_UDP_TARGET, want + AT_UDP_TARGET,
			      PROBE_HEADERS - AT_UDP_TARGET) == 0;
	}
	return false;
}

/* Enough of it to say that no one else made it. */
static bool looks_ours(const struct probe_plan *plan, const uint8_t *data, bool good_head)
{
	return good_head || get_le32(data + AT_TRIAL) == plan->trial ||
	       memcmp(data + AT_IP_SOURCE, plan->head[0] + AT_IP_SOURCE,
		      AT_UDP_SOURCE - AT_IP_SOURCE) == 0;
}

enum probe_verdict probe_read(const struct probe_plan *plan, const uint8_t *data, size_t len,
			      struct probe_seen *out)
{
	bool good_head, good_id;
	uint32_t flow;

	if (len < PROBE_HEAD || len > PROBE_MAX - PROBE_FCS)
		return PROBE_STRAY;
	good_head = head_good(plan, data, len);
	good_id = get_le32(data + AT_CHECK) == id_check(data);
	if (good_id && get_le32(data + AT_TRIAL) != plan->trial)
		return PROBE_STRAY; /* of one before, or of another generator's */
	if (!good_id)
		return looks_ours(plan, data, good_head) ? PROBE_BROKEN : PROBE_STRAY;
	flow = (uint32_t)get_be16(data + AT_UDP_SOURCE) - PORT_FIRST;
	if (flow >= plan->flows)
		return PROBE_BROKEN;
	*out = (struct probe_seen){
		.flow = flow,
		.seq = get_le32(data + AT_SEQ),
		.stamp = get_le64(data + AT_STAMP) & STAMP_MASK,
	};
	if (!good_head ||
	    memcmp(data + PROBE_HEAD, plan->pattern + data[AT_IP_KEY + 1], len - PROBE_HEAD) != 0)
		return PROBE_BAD;
	return PROBE_GOOD;
}
