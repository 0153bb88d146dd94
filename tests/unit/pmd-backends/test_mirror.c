// SPDX-License-Identifier: BSD-3-Clause
/* The file is read back by its own rules: draft-ietf-opsawg-pcapng, 3.1 and 4. */
#include "switch_net.h"

#include "base/fd.h"
#include "pmd-backends/mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static struct mirror *mirror_on(int file, uint64_t limit)
{
	struct mirror_config cfg = { .name = "vm/a", .limit_bytes = limit, .hz = 1000000000 };
	struct mirror *mirror;

	wire_eal_start();
	assert_int_equal(mirror_create(dup(file), &cfg, &mirror, NULL), 0);
	return mirror;
}

struct seen {
	unsigned int blocks, frames, in, out;
	uint32_t last_len, last_full;
	uint64_t first_ns, last_ns;
	uint8_t last[2048];
};

static void frame_see(const uint8_t *block, uint32_t len, struct seen *s)
{
	uint32_t head[7], flags;
	size_t padded;

	memcpy(head, block, sizeof(head));
	assert_int_equal(head[2], 0);
	s->last_ns = (uint64_t)head[3] << 32 | head[4];
	if (s->frames++ == 0)
		s->first_ns = s->last_ns;
	s->last_len = head[5];
	s->last_full = head[6];
	padded = align_up(head[5], 4);
	assert_int_equal(len, 28 + padded + 16);
	if (head[5] <= sizeof(s->last))
		memcpy(s->last, block + 28, head[5]);
	assert_memory_equal(block + 28 + padded, "\2\0\4\0", 4);
	memcpy(&flags, block + 28 + padded + 4, 4);
	s->in += flags == 1;
	s->out += flags == 2;
}

/* Every block of the file; the file ends with a whole one. */
static void file_see(int file, struct seen *s)
{
	off_t size = lseek(file, 0, SEEK_END), at = 0;
	uint8_t *p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, file, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	*s = (struct seen){ 0 };
	while (at < size) {
		uint32_t type, len, again;

		assert_true(size - at >= 12);
		memcpy(&type, p + at, 4);
		memcpy(&len, p + at + 4, 4);
		assert_true(len >= 12 && len % 4 == 0 && len <= size - at);
		memcpy(&again, p + at + len - 4, 4);
		assert_int_equal(len, again);
		assert_int_equal(type, s->blocks == 0 ? 0x0A0D0D0A : s->blocks == 1 ? 1 : 6);
		if (s->blocks++ == 1)
			assert_memory_equal(p + at + 16, "\2\0\4\0vm/a\x9\0\1\0\x9\0\0\0", 16);
		else if (type == 6)
			frame_see(p + at, len, s);
		at += len;
	}
	munmap(p, (size_t)size);
}

static void both_ways_as_they_passed(void **state)
{
	int file = memfd_create("mirror", 0);
	struct mirror *mirror = mirror_on(file, 1 << 20);
	struct net *n = net_create();
	struct mirror_facts facts;
	struct seen seen;
	uint8_t want[128];

	switch_port_mirror(n->ports[0], mirror);
	net_send(n, NET_B, NET_A, NULL);
	net_send(n, NET_B, NET_C, NULL); /* not of this port */
	n->w.now += 1500000000;
	net_send(n, NET_A, NET_B, NULL);
	switch_port_mirror(n->ports[0], NULL);
	net_send(n, NET_A, NET_B, NULL);
	mirror_facts(mirror, &facts);
	mirror_destroy(mirror);
	file_see(file, &seen);
	assert_int_equal(seen.frames, 2);
	assert_int_equal(seen.in, 1);
	assert_int_equal(seen.out, 1);
	assert_int_equal(seen.last_ns - seen.first_ns, 1500000000);
	assert_int_equal(seen.last_len, net_frame(want, NET_A, NET_B, NULL, 100));
	assert_memory_equal(seen.last, want, 100);
	assert_int_equal(facts.frames, 2);
	assert_int_equal(facts.lost, 0);
	assert_int_equal(facts.bytes, lseek(file, 0, SEEK_END));
	close(file);
	net_destroy(n);
}

static void limit_of_the_file_is_kept(void **state)
{
	int file = memfd_create("mirror", 0);
	struct mirror *mirror = mirror_on(file, MIRROR_MIN_LIMIT);
	struct net *n = net_create();
	struct mirror_facts facts;
	struct seen seen;

	switch_port_mirror(n->ports[0], mirror);
	for (int i = 0; i < 100; i++)
		net_send(n, NET_B, NET_A, NULL);
	assert_int_equal(n->ends[1].out_count, 100);
	mirror_facts(mirror, &facts);
	mirror_destroy(mirror);
	file_see(file, &seen);
	assert_true(lseek(file, 0, SEEK_END) <= MIRROR_MIN_LIMIT);
	assert_true(seen.frames > 20);
	assert_int_equal(facts.frames, seen.frames);
	assert_int_equal(facts.lost, 100 - seen.frames);
	close(file);
	net_destroy(n);
}

/* A port that is faster than the file loses copies, not frames; the ring goes round and stays whole. */
static void fast_port_loses_copies_only(void **state)
{
	int file = memfd_create("mirror", 0);
	struct mirror *mirror = mirror_on(file, 1ULL << 30);
	struct net *n = net_create();
	struct mirror_facts facts;
	struct seen seen;
	static uint8_t frame[1514];
	uint64_t passed = 0;

	switch_port_mirror(n->ports[0], mirror);
	net_frame(frame, NET_B, NET_A, NULL, sizeof(frame));
	for (unsigned int i = 0; i < 20000; i++) {
		wire_put(&n->w, &n->ends[0], frame, 1000 + i % 515);
		n->w.now += 1000;
		wire_run(&n->w);
		passed += n->ends[1].out_count;
		net_clear(n);
	}
	mirror_facts(mirror, &facts);
	mirror_destroy(mirror);
	file_see(file, &seen);
	assert_int_equal(passed, 20000);
	assert_int_equal(facts.error, 0);
	assert_int_equal(facts.frames + facts.lost, 20000);
	assert_true(facts.lost > 0); /* 20 ms hold no more than the limit of bytes per second */
	assert_int_equal(seen.frames, facts.frames);
	close(file);
	net_destroy(n);
}

static void only_files_with_room(void **state)
{
	struct mirror_config cfg = { .name = "vm/a", .limit_bytes = 100, .hz = 1000000000 };
	int file = memfd_create("mirror", 0), ends[2];
	struct mirror *mirror;
	struct err e = { 0 };

	wire_eal_start();
	assert_int_equal(mirror_create(dup(file), &cfg, &mirror, &e), -EINVAL);
	assert_string_equal(e.code, "bad-mirror");
	cfg.limit_bytes = 1 << 20;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(mirror_create(ends[1], &cfg, &mirror, &e), -EINVAL);
	assert_string_equal(e.code, "bad-mirror");
	assert_int_equal(fcntl(ends[1], F_GETFD), -1); /* closed all the same */
	close(ends[0]);
	close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways_as_they_passed),
		cmocka_unit_test(limit_of_the_file_is_kept),
		cmocka_unit_test(fast_port_loses_copies_only),
		cmocka_unit_test(only_files_with_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
