// SPDX-License-Identifier: BSD-3-Clause
#include "bench/reflect/loop.h"

#include "base/fd.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <errno.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EMPTY_POLLS 64 /* before it sleeps */
#define SLEEP_MS    100 /* so long at most: it has to hear of its end */
#define DROP_BURSTS 256

static int perf_open(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_HW_INSTRUCTIONS,
	};

	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void send_on(struct loop *l, struct rte_mbuf **got, uint16_t n)
{
	uint16_t good = 0, sent;

	for (uint16_t i = 0; i < n; i++) {
		if (loop_address(l, rte_pktmbuf_mtod(got[i], uint8_t *), got[i]->data_len))
			got[good++] = got[i];
		else
			rte_pktmbuf_free(got[i]);
	}
	sent = rte_eth_tx_burst(l->to->id, 0, got, good);
	if (sent < good)
		rte_pktmbuf_free_bulk(got + sent, good - sent);
	loop_count(&l->counts.sent, sent);
	loop_count(&l->counts.dropped, good - sent);
	loop_count(&l->counts.ignored, n - good);
}

void loop_note(struct loop *l, uint64_t start, unsigned int frames)
{
	uint64_t cycles = rte_rdtsc() - start;
	uint64_t number = atomic_load_explicit(&l->counts.bursts, memory_order_relaxed);
	struct loop_look *look = &l->looks[number % LOOP_LOOKS];

	atomic_store_explicit(&look->frames, frames, memory_order_relaxed);
	atomic_store_explicit(&look->cycles, (uint32_t)u64_min(cycles, UINT32_MAX),
			      memory_order_relaxed);
	loop_count(&l->counts.bursts, 1);
	loop_count(&l->counts.received, frames);
	loop_count(&l->counts.cycles, cycles);
}

static bool poll_once(struct loop *l)
{
	struct rte_mbuf *got[PORT_BURST];
	uint64_t start = rte_rdtsc();
	uint16_t n = rte_eth_rx_burst(l->from->id, 0, got, PORT_BURST);

	loop_count(&l->counts.polls, 1);
	if (n == 0)
		return false;
	if (l->mode == REFLECT_SINK)
		rte_pktmbuf_free_bulk(got, n);
	else
		send_on(l, got, n);
	loop_note(l, start, n);
	return true;
}

/* What came between the last poll and the arming would be slept over. */
static void sleep_until_frame(struct loop *l)
{
	struct rte_epoll_event event;

	if (rte_eth_dev_rx_intr_enable(l->from->id, 0) < 0 || poll_once(l))
		return;
	loop_count(&l->counts.sleeps, 1);
	(void)rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, SLEEP_MS);
	(void)rte_eth_dev_rx_intr_disable(l->from->id, 0);
}

static void run_interrupt(struct loop *l)
{
	unsigned int empty = 0;

	while (loop_goes_on(l)) {
		empty = poll_once(l) ? 0 : empty + 1;
		if (empty < EMPTY_POLLS)
			continue;
		sleep_until_frame(l);
		empty = 0;
	}
}

static int run(void *arg)
{
	struct loop *l = arg;
	uint16_t id = l->from->id;

	atomic_store(&l->perf, perf_open());
	if (l->from->kind == REFLECT_AF_PACKET) {
		loop_socket_run(l);
		return 0;
	}
	if (!l->interrupt ||
	    rte_eth_dev_rx_intr_ctl_q(id, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, NULL) < 0) {
		while (loop_goes_on(l))
			(void)poll_once(l);
		return 0;
	}
	run_interrupt(l);
	(void)rte_eth_dev_rx_intr_ctl_q(id, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_DEL, NULL);
	return 0;
}

/* What came before the start: of a flood that does not end, no more than a port holds. */
static void old_frames_drop(const struct port *from)
{
	struct rte_mbuf *got[PORT_BURST];
	uint16_t n = PORT_BURST;

	if (from->kind == REFLECT_AF_PACKET) {
		loop_socket_drop(from);
		return;
	}
	for (int i = 0; i < DROP_BURSTS && n != 0; i++) {
		n = rte_eth_rx_burst(from->id, 0, got, PORT_BURST);
		rte_pktmbuf_free_bulk(got, n);
	}
}

int loop_start(struct loop *l, struct err *e)
{
	int r, perf;

	if (l->running)
		return err_set(e, EBUSY, "it runs");
	if ((l->from->kind == REFLECT_AF_PACKET) != (l->to->kind == REFLECT_AF_PACKET))
		return err_set(e, EINVAL, "af-packet forwards to af-packet alone");
	if (l->interrupt && !l->from->can_interrupt)
		return err_set(e, ENOTSUP, "%s: its driver (%s) has no receive interrupts",
			       l->from->device, l->from->driver);
	old_frames_drop(l->from);
	perf = atomic_exchange(&l->perf, -1);
	fd_close(&perf);
	atomic_store(&l->trouble, 0);
	l->counts = (struct loop_counts){ 0 };
	atomic_store(&l->stop, false);
	r = rte_eal_remote_launch(run, l, l->lcore);
	if (r < 0)
		return err_set(e, -r, "lcore %u: %s", l->lcore, strerror(-r));
	l->running = true;
	return 0;
}

void loop_stop(struct loop *l)
{
	if (!l->running)
		return;
	atomic_store(&l->stop, true);
	(void)rte_eal_wait_lcore(l->lcore);
	l->running = false;
}

bool loop_instructions(const struct loop *l, uint64_t *out)
{
	int fd = atomic_load(&l->perf);

	return fd >= 0 && read(fd, out, sizeof(*out)) == sizeof(*out);
}
