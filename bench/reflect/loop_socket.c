// SPDX-License-Identifier: BSD-3-Clause
#include "bench/reflect/loop.h"

#include <rte_cycles.h>
#include <rte_ether.h>

#include <errno.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SLEEP_MS    100 /* so long at most: it has to hear of its end */
#define DROPS_EVERY 4096 /* empty polls after which the kernel is asked what it has dropped */
#define DROP_FRAMES 65536 /* more than the socket's buffer holds */
#define FRAME_BYTES (REFLECT_MAX_MTU + RTE_ETHER_HDR_LEN)

struct batch {
	struct mmsghdr messages[PORT_BURST];
	struct iovec parts[PORT_BURST];
	uint8_t frames[PORT_BURST][FRAME_BYTES];
};

static void batch_empty(struct batch *b)
{
	for (unsigned int i = 0; i < PORT_BURST; i++) {
		b->parts[i] = (struct iovec){ b->frames[i], FRAME_BYTES };
		b->messages[i] = (struct mmsghdr){
			.msg_hdr = { .msg_iov = &b->parts[i], .msg_iovlen = 1 },
		};
	}
}

/* What may go on stands first then; returns how many. */
static unsigned int address_all(struct loop *l, struct batch *b, unsigned int n)
{
	unsigned int good = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (!loop_address(l, b->frames[i], b->messages[i].msg_len))
			continue;
		b->parts[good] = (struct iovec){ b->frames[i], b->messages[i].msg_len };
		b->messages[good].msg_hdr.msg_iov = &b->parts[good];
		good++;
	}
	return good;
}

/* The socket says once that its device went down or away, and hears nothing then. */
static void trouble_note(struct loop *l, int errnum)
{
	if (errnum == ENETDOWN || errnum == ENXIO || errnum == ENODEV)
		atomic_store_explicit(&l->trouble, errnum, memory_order_relaxed);
}

/* A frame that the kernel refuses is left out. */
static void send_on(struct loop *l, struct batch *b, unsigned int n)
{
	unsigned int good = address_all(l, b, n), at = 0, sent = 0;

	while (at < good) {
		int r = sendmmsg(l->to->fd, b->messages + at, good - at, MSG_DONTWAIT);

		if (r < 0)
			trouble_note(l, errno);
		sent += r > 0 ? (unsigned int)r : 0;
		at += r > 0 ? (unsigned int)r : 1;
	}
	loop_count(&l->counts.sent, sent);
	loop_count(&l->counts.dropped, good - sent);
	loop_count(&l->counts.ignored, n - good);
}

/* Frames that the socket had no room for since it was last asked. */
static uint32_t drops(const struct port *p)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);

	return getsockopt(p->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0 ? stats.tp_drops
										   : 0;
}

static void drops_count(struct loop *l)
{
	loop_count(&l->counts.dropped, drops(l->from));
}

void loop_socket_drop(const struct port *p)
{
	uint8_t head;

	for (int i = 0; i < DROP_FRAMES; i++)
		if (recv(p->fd, &head, sizeof(head), MSG_DONTWAIT | MSG_TRUNC) < 0)
			break;
	(void)drops(p);
}

static void nap(struct loop *l)
{
	struct pollfd heard = { .fd = l->from->fd, .events = POLLIN };

	loop_count(&l->counts.sleeps, 1);
	(void)poll(&heard, 1, SLEEP_MS);
	drops_count(l);
}

void loop_socket_run(struct loop *l)
{
	struct batch *b = calloc(1, sizeof(*b));
	unsigned int empty = 0;

	while (b != NULL && loop_goes_on(l)) {
		uint64_t start = rte_rdtsc();
		int n;

		batch_empty(b);
		n = recvmmsg(l->from->fd, b->messages, PORT_BURST, MSG_DONTWAIT, NULL);
		loop_count(&l->counts.polls, 1);
		if (n <= 0) {
			trouble_note(l, n < 0 ? errno : 0);
			if (l->interrupt)
				nap(l);
			else if (++empty % DROPS_EVERY == 0)
				drops_count(l);
			continue;
		}
		if (l->mode != REFLECT_SINK)
			send_on(l, b, (unsigned int)n);
		loop_note(l, start, (unsigned int)n);
	}
	drops_count(l);
	free(b);
}
