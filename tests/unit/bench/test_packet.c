// SPDX-License-Identifier: BSD-3-Clause
/* What the benchmark's sink must see: a packet that is not what was sent, in any byte that is told by. */
#include "bench/polled/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define STREAM 7

static uint8_t frame[PACKET_MAX] __attribute__((aligned(8)));

/* A buffer that was used before, with a key of its own, and is sent as packet `seq`. */
static void sent(uint16_t bytes, uint64_t seq, bool dirty)
{
	const struct packet_id id = {
		.stream = STREAM, .seq = seq, .from = 0, .to = 1, .address = 3, .dirty = dirty
	};

	packet_make(frame, bytes, 0x1234);
	packet_stamp(frame, bytes, &id);
}

static enum packet_verdict check(uint32_t bytes, uint64_t *seq)
{
	return packet_check(frame, bytes, STREAM, false, seq);
}

static void test_what_was_sent_is_good(void **state)
{
	static const uint16_t sizes[] = { 64, 68, 512, 576, 1500 };
	uint64_t seq = 0;

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (uint64_t n = 1; n <= PACKET_WHOLE_EVERY; n++) {
			sent(sizes[i], n, n % 2 == 0);
			assert_int_equal(check(sizes[i], &seq), PACKET_GOOD);
			assert_int_equal(seq, n);
		}
}

static void test_addresses_are_those_of_the_ports(void **state)
{
	uint8_t to[6], from[6];

	sent(64, 1, false);
	packet_mac(to, 1, 3);
	packet_mac(from, 0, 0);
	assert_memory_equal(frame, to, sizeof(to));
	assert_memory_equal(frame + 6, from, sizeof(from));
	assert_int_equal(to[0] & 3, 2);
}

/* Of another size than it was sent with, cut or with what another left behind it. */
static void test_another_length_is_bad(void **state)
{
	uint64_t seq;

	sent(512, 1, false);
	assert_int_equal(check(508, &seq), PACKET_BAD);
	assert_int_equal(check(1500, &seq), PACKET_BAD);
	assert_int_equal(check(60, &seq), PACKET_OTHER);
}

/* The end is looked at in each packet: a copy that stops early leaves there what was before. */
static void test_an_end_of_another_packet_is_bad(void **state)
{
	uint64_t seq;

	sent(1500, 1, false);
	packet_words_write(frame, 1500, 0x9999);
	memset(frame + 44, 0, 4); /* the key */
	assert_int_equal(check(1500, &seq), PACKET_BAD);
}

static void test_each_byte_of_a_whole_one_counts(void **state)
{
	uint64_t seq;

	for (unsigned int at = PACKET_WORDS_AT; at < 1500; at++) {
		sent(1500, PACKET_WHOLE_EVERY, false);
		frame[at] ^= 1;
		assert_int_equal(check(1500, &seq), PACKET_BAD);
	}
}

/* Where each packet is looked at whole, none that holds the payload or the headers of another is good. */
static void test_what_is_another_packets_counts(void **state)
{
	uint64_t seq;

	for (unsigned int at = 14; at < 576; at++) {
		bool is_number = at >= 48 && at < 56, is_stream = at == 42 || at == 43;
		bool is_port = at >= 34 && at < 38;
		enum packet_verdict verdict;

		sent(576, 1000, true);
		assert_int_equal(packet_check(frame, 576, STREAM, true, &seq), PACKET_GOOD);
		frame[at] ^= 1;
		verdict = packet_check(frame, 576, STREAM, true, &seq);
		/* Ports tell flows apart, and a stream of its own is somebody else's. */
		if (!is_port && !is_stream && !is_number)
			assert_int_not_equal(verdict, PACKET_GOOD);
		if (is_number)
			assert_int_not_equal(seq, 1000);
	}
}

static void test_other_streams_are_not_ours(void **state)
{
	uint64_t seq;

	sent(64, 1, false);
	assert_int_equal(packet_check(frame, 64, STREAM + 1, false, &seq), PACKET_OTHER);
	packet_learn(frame, 0, 0);
	assert_int_equal(check(64, &seq), PACKET_OTHER);
}

static void test_sizes_are_read(void **state)
{
	struct packet_sizes s;
	unsigned int bytes = 0;

	assert_true(packet_sizes_parse(&s, "1500"));
	assert_int_equal(s.bytes[packet_size_turn(&s, 12345)], 1500);
	assert_true(packet_sizes_parse(&s, "imix"));
	for (uint64_t seq = 0; seq < PACKET_MIX; seq++)
		bytes += s.bytes[packet_size_turn(&s, seq)];
	assert_int_equal(bytes, 7 * 64 + 4 * 576 + 1500);
	assert_false(packet_sizes_parse(&s, ""));
	assert_false(packet_sizes_parse(&s, "60"));
	assert_false(packet_sizes_parse(&s, "66"));
	assert_false(packet_sizes_parse(&s, "1504"));
	assert_false(packet_sizes_parse(&s, "64k"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_sent_is_good),
		cmocka_unit_test(test_addresses_are_those_of_the_ports),
		cmocka_unit_test(test_another_length_is_bad),
		cmocka_unit_test(test_an_end_of_another_packet_is_bad),
		cmocka_unit_test(test_each_byte_of_a_whole_one_counts),
		cmocka_unit_test(test_what_is_another_packets_counts),
		cmocka_unit_test(test_other_streams_are_not_ours),
		cmocka_unit_test(test_sizes_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
