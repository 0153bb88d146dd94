// SPDX-License-Identifier: BSD-3-Clause
/*
 * The process that moves frames from one guest's ring to another's is killed, at each instruction and at random moments,
 * and another goes on: no frame comes twice, changed, in part or out of order; each buffer comes back. What is lost was in hand.
 */
#include "ring_net.h"

#include "pmd-backends/vring_look.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE  16U /* descriptors */
#define FRAME 100U /* bytes */
#define BURST 4U
#define REGION \
	0x8000 /* in flight, and in the guest's memory only so that all that matters lies together */
#define BUFFER 0x100 /* from one to the next */
#define FIRST  0x10000
#define SHARED (FIRST + SIZE * BUFFER)

/* One guest with one ring, and its memory. */
struct end {
	struct ring_guest *guest;
	struct ring_driver d;
	struct vring ring; /* of the process that moves frames */
};

struct pair {
	struct end from, to;
	uint64_t sent, got; /* frames: next to send; behind the last that came */
	uint64_t lost;
};

static void ring_begin(struct end *e)
{
	uint32_t len = 1;
	struct vring_start s = { .place = ring_place(&e->d),
				 .features = e->d.features,
				 .base = 0x80008000,
				 .memory = &e->guest->memory };

	s.inflight = guest_at(&e->guest->memory, REGION, &len);
	if (vring_start(&e->ring, &s, NULL) < 0)
		abort();
}

static void pair_init(struct pair *p, struct ring_guest guests[2], uint64_t from, uint64_t to)
{
	*p = (struct pair){ .from = { .guest = &guests[0] }, .to = { .guest = &guests[1] } };
	memset(guests[0].at, 0, SHARED);
	memset(guests[1].at, 0, SHARED);
	ring_driver_init(&p->from.d, guests[0].at, SIZE, from);
	ring_driver_init(&p->to.d, guests[1].at, SIZE, to);
}

/* What both drivers do: take what came, offer what they can. */
static void drive(struct pair *p)
{
	uint32_t len;
	uint16_t id;

	while (ring_reap(&p->from.d, &id, &len))
		;
	while (ring_reap(&p->to.d, &id, &len)) {
		const uint8_t *b = p->to.d.at + FIRST + (size_t)id * BUFFER;
		uint64_t seq = get_le64(b + RING_HEADER);

		assert_int_equal(len, RING_HEADER + FRAME);
		assert_int_equal(get_le16(b + 10), 1);
		assert_true(ring_pattern_is(b + RING_HEADER, seq, FRAME));
		assert_in_range(seq, p->got, p->sent - 1);
		p->lost += seq - p->got;
		p->got = seq + 1;
	}
	while (p->to.d.free_count > 0) {
		id = p->to.d.free_ids[p->to.d.id_count - 1];
		(void)ring_offer(&p->to.d,
				 &(struct ring_piece){ FIRST + (uint64_t)id * BUFFER, BUFFER }, 1,
				 true, RING_DIRECT);
	}
	while (p->from.d.free_count > 0) {
		uint64_t gpa =
			FIRST + (uint64_t)p->from.d.free_ids[p->from.d.id_count - 1] * BUFFER;

		memset(p->from.d.at + gpa, 0, RING_HEADER);
		ring_pattern(p->from.d.at + gpa + RING_HEADER, p->sent++, FRAME);
		(void)ring_offer(&p->from.d, &(struct ring_piece){ gpa, RING_HEADER + FRAME }, 1,
				 false, RING_DIRECT);
	}
}

/* One burst, as lane.c does it. */
static unsigned int move(struct pair *p, uint16_t n)
{
	static struct vring_look in, out;
	struct vring_look *receiver = &out;
	struct vring_plain plain;

	if (!vring_look_begin(&in, &p->from.ring, true) ||
	    !vring_look_begin(&out, &p->to.ring, false))
		abort();
	(void)vring_look_on(&out, vring_look_on(&in, n));
	for (; in.filled < in.count; in.filled++)
		if (!vring_plain_take(&in, in.filled, &plain) || !vring_plain_put(&out, &plain))
			break;
	n = in.filled;
	vring_look_use(&in, &receiver, 1);
	return n;
}

/* After a kill here another process serves both rings, and all that follows comes through. `early`: drivers go on before. */
static void successor_check(const struct pair *dead, struct ring_guest next[2], bool early)
{
	struct pair p = *dead;
	uint64_t behind;

	memcpy(next[0].at, dead->from.d.at, SHARED);
	memcpy(next[1].at, dead->to.d.at, SHARED);
	p.from.guest = &next[0];
	p.to.guest = &next[1];
	p.from.d.at = next[0].at;
	p.to.d.at = next[1].at;
	if (early)
		drive(&p);
	ring_begin(&p.from);
	ring_begin(&p.to);
	for (unsigned int i = 0; i < 3 * SIZE / BURST; i++) {
		(void)move(&p, BURST);
		drive(&p);
	}
	/* All that can be lost is what the dead one had in hand. */
	assert_in_range(p.lost, 0, BURST);
	behind = p.got;
	while (move(&p, BURST) > 0)
		;
	drive(&p);
	assert_in_range(p.got, behind + SIZE, p.sent - SIZE);
	assert_null(p.from.ring.broken);
	assert_null(p.to.ring.broken);
}

/* Runs a child instruction by instruction; what it leaves is looked at whenever something has changed. */
static void steps_run(uint64_t from, uint64_t to)
{
	static uint8_t before[2][SHARED];
	struct ring_guest guests[2], next[2];
	unsigned int states = 0;
	struct pair p;
	pid_t child;
	int status;

	for (unsigned int i = 0; i < 2; i++) {
		ring_guest_create(&guests[i], MIB(4));
		ring_guest_create(&next[i], MIB(4));
	}
	pair_init(&p, guests, from, to);
	drive(&p);
	/* So that a burst lies across the end of the ring. */
	ring_begin(&p.from);
	ring_begin(&p.to);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(move(&p, BURST + i % 2), BURST + i % 2);
		drive(&p);
	}
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
		    ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
			_exit(4);
		_exit(move(&p, BURST) == BURST ? 0 : 5);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	while (WIFSTOPPED(status)) {
		if (memcmp(before[0], guests[0].at, SHARED) != 0 ||
		    memcmp(before[1], guests[1].at, SHARED) != 0) {
			memcpy(before[0], guests[0].at, SHARED);
			memcpy(before[1], guests[1].at, SHARED);
			successor_check(&p, next, false);
			successor_check(&p, next, true);
			states++;
		}
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_in_range(states, 2 * BURST, 10000);
	print_message("%u states\n", states);
	for (unsigned int i = 0; i < 2; i++) {
		ring_guest_destroy(&guests[i]);
		ring_guest_destroy(&next[i]);
	}
}

static void test_killed_at_each_instruction(void **state)
{
	for_each_kind(from)
	{
		steps_run(from, SPLIT | MERGED);
		steps_run(from, PACKED | MERGED);
	}
}

static void storm_child(struct pair *p, _Atomic bool *is_running)
{
	ring_begin(&p->from);
	ring_begin(&p->to);
	atomic_store(is_running, true);
	for (;;)
		(void)move(p, BURST);
}

static void storm_run(uint64_t from, uint64_t to)
{
	unsigned long kills = getenv("VIADUCT_RING_KILLS")
				      ? strtoul(getenv("VIADUCT_RING_KILLS"), NULL, 10)
				      : 100;
	_Atomic bool *is_running = mmap(NULL, sizeof(*is_running), PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct ring_guest guests[2];
	struct pair p;

	assert_ptr_not_equal(is_running, MAP_FAILED);
	for (unsigned int i = 0; i < 2; i++)
		ring_guest_create(&guests[i], MIB(4));
	pair_init(&p, guests, from, to);
	for (unsigned long i = 0; i <= kills; i++) {
		uint64_t end_ns = now_ns() + (uint64_t)(random() % 2000) * 1000,
			 enough = p.got + 10 * SIZE;
		pid_t child;

		drive(&p);
		atomic_store(is_running, false);
		child = fork();
		assert_true(child >= 0);
		if (child == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
			storm_child(&p, is_running);
		while (i % 8 != 0 && !atomic_load(is_running))
			sched_yield();
		/* The last one lives until enough has come through it. */
		if (i == kills)
			end_ns = now_ns() + 20000000000ULL;
		while (now_ns() < end_ns && (i < kills || p.got < enough))
			drive(&p);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_true(i < kills || p.got >= enough);
	}
	assert_in_range(p.lost, 0, kills * BURST);
	print_message("%lu kills, %llu frames, %llu lost\n", kills, (unsigned long long)p.got,
		      (unsigned long long)p.lost);
	for (unsigned int i = 0; i < 2; i++)
		ring_guest_destroy(&guests[i]);
	munmap(is_running, sizeof(*is_running));
}

static void test_kill_storm(void **state)
{
	for_each_kind(from)
	{
		storm_run(from, SPLIT | MERGED);
		storm_run(from, PACKED | MERGED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_at_each_instruction),
		cmocka_unit_test(test_kill_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
