// SPDX-License-Identifier: BSD-3-Clause
/*
 * The device's process is killed, between any two instructions and at random moments, and another goes on: each buffer
 * comes back to the driver once, in order; no frame is seen twice, in part or changed; what is lost was in hand.
 */
#include "ring_net.h"

#include <rte_memory.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE  16U /* descriptors */
#define FRAME 100U /* bytes: two buffers of the guest's */
#define REGION \
	0x8000 /* in-flight, and in the guest's memory only so that all that matters lies together */
#define BUFFERS	    0x10000
#define BUFFER	    0x100 /* from one to the next */
#define HALF	    32U /* a buffer is two descriptors of this many bytes */
#define SHARED	    (BUFFERS + SIZE * BUFFER)
#define SUCCESSOR   1000U /* its first frame */
#define STORM_BURST 8

/* A driver, and the chains that are with the device, in the order in which it got them. */
struct guest_side {
	struct ring_driver d;
	bool is_sender;
	uint64_t next_seq; /* sender: of the next frame */
	uint16_t ids[SIZE];
	unsigned int count;
};

static void offer(struct guest_side *g)
{
	uint16_t id = g->d.free_ids[g->d.id_count - 1];
	uint64_t gpa = BUFFERS + (uint64_t)id * BUFFER;
	struct ring_piece pieces[] = { { gpa, HALF },
				       { gpa + HALF, g->is_sender ? HALF + 12 : HALF } };

	if (g->is_sender) {
		memset(g->d.at + gpa, 0, RING_HEADER);
		ring_pattern(g->d.at + gpa + RING_HEADER, g->next_seq++, 2 * HALF);
	}
	assert_int_equal(ring_offer(&g->d, pieces, 2, !g->is_sender, RING_DIRECT), id);
	g->ids[g->count++] = id;
}

static void offer_all(struct guest_side *g)
{
	while (g->d.free_count >= 2)
		offer(g);
}

/* The next used chain is the one that was offered first. */
static bool take(struct guest_side *g, uint16_t *id, uint32_t *len)
{
	if (!ring_reap(&g->d, id, len))
		return false;
	assert_int_equal(*id, g->ids[0]);
	memmove(g->ids, g->ids + 1, --g->count * sizeof(g->ids[0]));
	return true;
}

static unsigned int take_sent(struct guest_side *g)
{
	unsigned int count = 0;
	uint16_t id;
	uint32_t len;

	while (take(g, &id, &len))
		count++;
	return count;
}

/* One whole frame; its number, or UINT64_MAX: there is none. */
static uint64_t take_frame(struct guest_side *g)
{
	uint8_t bytes[2 * FRAME];
	uint32_t at = 0, count = 1, len;
	uint16_t id;

	for (uint32_t i = 0; i < count; i++) {
		if (!take(g, &id, &len)) {
			assert_int_equal(i, 0); /* part of a frame is none */
			return UINT64_MAX;
		}
		assert_in_range(len, 1, 2 * HALF);
		memcpy(bytes + at, g->d.at + BUFFERS + (size_t)id * BUFFER, len);
		count = get_le16(bytes + 10);
		at += len;
	}
	assert_int_equal(at, RING_HEADER + FRAME);
	assert_int_equal(count, 2);
	assert_true(ring_pattern_is(bytes + RING_HEADER, get_le64(bytes + RING_HEADER), FRAME));
	return get_le64(bytes + RING_HEADER);
}

static void device_start(struct vring *r, const struct ring_guest *guest,
			 const struct guest_side *g)
{
	uint32_t len = 1;
	struct vring_start s = { .place = ring_place(&g->d),
				 .features = g->d.features,
				 .base = 0x80008000,
				 .memory = &guest->memory };

	/* Split rings need none. */
	if ((g->d.features & (PACKED | EVENTS)) != EVENTS)
		s.inflight = guest_at(&guest->memory, REGION, &len);

	if (vring_start(r, &s, NULL) < 0)
		abort();
}

/* Number of a frame from the guest; what is no frame of ours counts as one that cannot come. */
static uint64_t frame_seq(const struct rte_mbuf *m)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

	if (m->pkt_len != 2 * HALF || m->nb_segs != 1 || !ring_pattern_is(p, get_le64(p), 2 * HALF))
		return UINT64_MAX;
	return get_le64(p);
}

struct step_case {
	uint64_t features;
	bool is_sender;
	unsigned int begin; /* frames that passed before */
};

struct scene {
	struct ring_guest dying, next; /* memory of the one that is killed, and of each successor */
	struct guest_side g; /* as the driver left it before */
	struct rte_mempool *pool;
	struct rte_mbuf *frames[4];
	const struct step_case *c;
	unsigned int states;
};

/* The successor takes what was not used, and no other; `seen`: chains that the driver saw used. */
static void sender_check(struct scene *s, struct guest_side *g, uint64_t first, unsigned int seen)
{
	struct rte_mbuf *frames[SIZE];
	struct vring ring;
	uint64_t seq = first + seen;
	uint16_t count;

	device_start(&ring, &s->next, g);
	for (unsigned int turn = 0; turn < 2 * SIZE; turn++) {
		count = vring_dequeue(&ring, s->pool, frames, 3);
		for (uint16_t i = 0; i < count; i++, seq++) {
			assert_int_equal(frame_seq(frames[i]), seq);
			rte_pktmbuf_free(frames[i]);
		}
		if (count == 0) {
			assert_int_equal(seq, g->next_seq);
			(void)take_sent(g);
			assert_int_equal(g->count, 0);
			offer_all(g);
		}
	}
	assert_null(ring.broken);
	assert_int_equal(ring.counters.bad_chains, 0);
}

static void receiver_check(struct scene *s, struct guest_side *g)
{
	struct vring ring;
	uint64_t seq = SUCCESSOR, got = SUCCESSOR, back;

	device_start(&ring, &s->next, g);
	for (unsigned int turn = 0; turn < 2 * SIZE; turn++) {
		struct rte_mbuf *m = s->frames[3];

		ring_pattern(rte_pktmbuf_mtod(m, uint8_t *), seq, FRAME);
		if (vring_enqueue(&ring, &m, 1) == 1) {
			seq++;
			continue;
		}
		/* Full; what comes next to the driver is all of it. */
		while ((back = take_frame(g)) != UINT64_MAX)
			assert_int_equal(back, got++);
		assert_int_equal(got, seq);
		assert_in_range(g->count, 0, 1);
		offer_all(g);
	}
	assert_in_range(seq, SUCCESSOR + SIZE / 2, UINT64_MAX);
	assert_null(ring.broken);
	assert_int_equal(ring.counters.bad_chains, 0);
}

/* What a kill at this instruction leaves behind. `early`: the driver goes on before there is a successor. */
static void state_check(struct scene *s, bool early)
{
	struct guest_side g = s->g;
	uint64_t first = g.next_seq - g.count, seq = 0;
	struct guest_side view;
	unsigned int seen = 0;

	memcpy(s->next.at, s->dying.at, SHARED);
	g.d.at = s->next.at;
	view = g;
	if (g.is_sender) {
		seen = take_sent(&view);
	} else {
		while ((seq = take_frame(&view)) != UINT64_MAX)
			assert_int_equal(seq, seen++);
	}
	if (early) {
		g = view;
		offer_all(&g);
	} else if (!g.is_sender) {
		/* Looks only afterwards; the same frames, then the successor's. */
		struct vring ring;

		device_start(&ring, &s->next, &g);
		for (unsigned int i = 0; i < seen; i++)
			assert_int_equal(take_frame(&g), i);
	}
	if (g.is_sender)
		sender_check(s, &g, first, seen);
	else
		receiver_check(s, &g);
	s->states++;
}

/* The child's own copy of DPDK's memory, which is shared with it. */
static int list_unshare(const struct rte_memseg_list *list, void *arg)
{
	const struct rte_memseg *seg = rte_mem_virt2memseg(list->base_va, list);
	int fd = seg ? rte_memseg_get_fd(seg) : -1;

	if (fd < 0 || mmap(list->base_va, list->len, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_FIXED, fd, 0) != list->base_va)
		_exit(3);
	return 0;
}

static pid_t device_fork(void)
{
	pid_t child = fork();

	if (child != 0)
		return child;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || rte_memseg_list_walk(list_unshare, NULL) < 0)
		_exit(3);
	return 0;
}

static void child_run(struct scene *s)
{
	struct rte_mbuf *frames[4];
	struct vring ring;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0)
		_exit(4);
	device_start(&ring, &s->dying, &s->g);
	if (s->c->is_sender) {
		if (vring_dequeue(&ring, s->pool, frames, 2) != 2 ||
		    vring_dequeue(&ring, s->pool, frames, 2) != 2)
			_exit(5);
	} else if (vring_enqueue(&ring, s->frames, 2) != 2 ||
		   vring_enqueue(&ring, s->frames + 2, 1) != 1) {
		_exit(5);
	}
	_exit(0);
}

/* Runs the child instruction by instruction; what it leaves is looked at whenever something has changed. */
static void child_step(struct scene *s)
{
	static uint8_t before[SHARED];
	pid_t child = device_fork();
	int status;

	assert_true(child >= 0);
	if (child == 0)
		child_run(s);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSTOPPED(status));
	memcpy(before, s->dying.at, SHARED);
	state_check(s, false);
	for (;;) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (WIFEXITED(status))
			break;
		assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
		if (memcmp(before, s->dying.at, REGION + 0x1000) == 0 &&
		    memcmp(before + BUFFERS, s->dying.at + BUFFERS, SHARED - BUFFERS) == 0)
			continue;
		memcpy(before, s->dying.at, SHARED);
		state_check(s, false);
		state_check(s, true);
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static struct rte_mbuf *ring_small_frame(struct rte_mempool *pool)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	memset(rte_pktmbuf_append(m, HALF), 0, HALF);
	return m;
}

/* Frames pass, so that the steps cross every part of the ring, and its end. */
static void begin_run(struct scene *s)
{
	struct vring ring;
	struct rte_mbuf *m;

	device_start(&ring, &s->dying, &s->g);
	offer_all(&s->g);
	if (s->c->begin > 0 && !s->g.is_sender) {
		uint32_t len;
		uint16_t id;

		/* One in a single buffer, so that a later one lies across the end of the ring. */
		m = ring_small_frame(s->pool);
		assert_int_equal(vring_enqueue(&ring, &m, 1), 1);
		assert_true(take(&s->g, &id, &len));
		rte_pktmbuf_free(m);
	}
	for (unsigned int i = 0; i < s->c->begin; i++) {
		if (s->g.is_sender) {
			assert_int_equal(vring_dequeue(&ring, s->pool, &m, 1), 1);
			rte_pktmbuf_free(m);
			assert_int_equal(take_sent(&s->g), 1);
			offer(&s->g);
		} else {
			offer_all(&s->g);
			assert_int_equal(vring_enqueue(&ring, s->frames, 1), 1);
			assert_int_equal(take_frame(&s->g), 0);
		}
	}
	offer_all(&s->g);
}

static void steps_run(const struct step_case *c)
{
	struct scene s = { .c = c, .pool = ring_pool() };

	ring_guest_create(&s.dying, MIB(4));
	ring_guest_create(&s.next, MIB(4));
	ring_driver_init(&s.g.d, s.dying.at, SIZE, c->features | MERGED);
	memset(s.dying.at + REGION, 0, 0x1000);
	s.g.is_sender = c->is_sender;
	for (uint64_t i = 0; i < ARRAY_SIZE(s.frames); i++) {
		s.frames[i] = rte_pktmbuf_alloc(s.pool);
		ring_pattern((uint8_t *)rte_pktmbuf_append(s.frames[i], FRAME), i, FRAME);
	}
	begin_run(&s);
	child_step(&s);
	/* Publications alone are more, and each byte that is written is one. */
	assert_in_range(s.states, 10, 100000);
	rte_pktmbuf_free_bulk(s.frames, ARRAY_SIZE(s.frames));
	ring_guest_destroy(&s.dying);
	ring_guest_destroy(&s.next);
}

/* In the middle of the ring, and across its end. */
static void steps_all(uint64_t features, bool is_sender)
{
	struct step_case middle = { .features = features, .is_sender = is_sender };
	struct step_case end = middle;

	end.begin = is_sender ? SIZE / 2 - 2 : SIZE / 4 - 1;
	steps_run(&middle);
	steps_run(&end);
}

static void test_killed_at_each_instruction_split_sender(void **state)
{
	steps_all(SPLIT, true);
}

static void test_killed_at_each_instruction_split_receiver(void **state)
{
	steps_all(SPLIT | EVENTS, false);
}

static void test_killed_at_each_instruction_packed_sender(void **state)
{
	steps_all(PACKED | EVENTS, true);
}

static void test_killed_at_each_instruction_packed_receiver(void **state)
{
	steps_all(PACKED, false);
}

/* What the processes of a storm tell each other. */
struct tally {
	_Atomic uint64_t sent; /* to the guest, or tried */
	_Atomic uint64_t last; /* of the guest's frames, plus 1 */
	_Atomic uint64_t lost; /* of the guest's frames */
	_Atomic bool is_bad; /* changed, twice, or out of order */
	_Atomic bool is_running;
};

struct storm {
	struct ring_guest guest;
	struct guest_side g;
	struct rte_mempool *pool;
	struct tally *tally;
};

static void storm_receive(struct storm *s, struct vring *ring)
{
	struct rte_mbuf *frames[STORM_BURST];
	uint16_t count = vring_dequeue(ring, s->pool, frames, STORM_BURST);

	for (uint16_t i = 0; i < count; i++) {
		uint64_t seq = frame_seq(frames[i]), last = s->tally->last;

		if (seq == UINT64_MAX || seq < last)
			s->tally->is_bad = true;
		s->tally->lost += seq - last;
		s->tally->last = seq + 1;
		rte_pktmbuf_free(frames[i]);
	}
}

static void storm_send(struct storm *s, struct vring *ring)
{
	struct rte_mbuf *frames[2];

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		frames[i] = rte_pktmbuf_alloc(s->pool);
		ring_pattern((uint8_t *)rte_pktmbuf_append(frames[i], FRAME), s->tally->sent++,
			     FRAME);
	}
	(void)vring_enqueue(ring, frames, 2);
	rte_pktmbuf_free_bulk(frames, 2);
}

static void storm_child(struct storm *s)
{
	struct vring ring;

	device_start(&ring, &s->guest, &s->g);
	s->tally->is_running = true;
	while (ring.broken == NULL && ring.counters.bad_chains == 0) {
		if (s->g.is_sender)
			storm_receive(s, &ring);
		else
			storm_send(s, &ring);
	}
	s->tally->is_bad = true;
	_exit(0);
}

/* The driver, for a while or until it has seen `count` chains. */
static uint64_t storm_drive(struct storm *s, uint64_t until_ns, uint64_t count)
{
	static uint64_t last; /* of the receiver's frames, plus 1 */
	uint64_t seen = 0, seq;

	if (s->g.next_seq == 0 && s->g.count == 0)
		last = 0;
	while (seen < count && now_ns() < until_ns) {
		if (s->g.is_sender) {
			seen += take_sent(&s->g);
		} else {
			while ((seq = take_frame(&s->g)) != UINT64_MAX) {
				assert_in_range(seq, last, UINT64_MAX - 1);
				last = seq + 1;
				seen++;
			}
		}
		offer_all(&s->g);
	}
	return seen;
}

static void storm_run(uint64_t features, bool is_sender)
{
	unsigned long kills = getenv("VIADUCT_RING_KILLS")
				      ? strtoul(getenv("VIADUCT_RING_KILLS"), NULL, 10)
				      : 200;
	struct storm s = { .pool = ring_pool() };
	uint64_t seen = 0;
	pid_t child;

	s.tally = mmap(NULL, sizeof(*s.tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	assert_ptr_not_equal(s.tally, MAP_FAILED);
	ring_guest_create(&s.guest, MIB(4));
	ring_driver_init(&s.g.d, s.guest.at, SIZE, features | MERGED);
	s.g.is_sender = is_sender;
	for (unsigned long i = 0; i <= kills; i++) {
		uint64_t wait_ns = (uint64_t)(random() % 2000) * 1000;

		s.tally->is_running = false;
		child = device_fork();
		assert_true(child >= 0);
		if (child == 0)
			storm_child(&s);
		/* Now and then it dies while it starts. */
		while (i % 8 != 0 && !s.tally->is_running)
			sched_yield();
		seen += storm_drive(&s, now_ns() + wait_ns, UINT64_MAX);
		/* The last one lives until everything that is with it has come back more than once. */
		if (i == kills)
			assert_in_range(storm_drive(&s, now_ns() + 20000000000ULL, 10 * SIZE),
					10 * SIZE, UINT64_MAX);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_false(s.tally->is_bad);
	}
	assert_in_range(s.tally->lost, 0, kills * STORM_BURST);
	print_message("%lu kills, %llu chains or frames, %llu lost\n", kills,
		      (unsigned long long)seen, (unsigned long long)s.tally->lost);
	munmap(s.tally, sizeof(*s.tally));
	ring_guest_destroy(&s.guest);
}

static void test_kill_storm_split_sender(void **state)
{
	storm_run(SPLIT, true);
}

static void test_kill_storm_split_receiver(void **state)
{
	storm_run(SPLIT, false);
}

static void test_kill_storm_packed_sender(void **state)
{
	storm_run(PACKED, true);
}

static void test_kill_storm_packed_receiver(void **state)
{
	storm_run(PACKED, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_at_each_instruction_split_sender),
		cmocka_unit_test(test_killed_at_each_instruction_split_receiver),
		cmocka_unit_test(test_killed_at_each_instruction_packed_sender),
		cmocka_unit_test(test_killed_at_each_instruction_packed_receiver),
		cmocka_unit_test(test_kill_storm_split_sender),
		cmocka_unit_test(test_kill_storm_split_receiver),
		cmocka_unit_test(test_kill_storm_packed_sender),
		cmocka_unit_test(test_kill_storm_packed_receiver),
	};

	/* Called by what the child steps through: found now, not then. */
	(void)ring_pool();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
