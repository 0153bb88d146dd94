// SPDX-License-Identifier: BSD-3-Clause
#include "bench/reflect/loop.h"

#include <rte_cycles.h>
#include <rte_ether.h>

#include <linux/if_packet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SLEEP_MS    100 /* so long at most: it has to hear of its end */
#define DROPS_EVERY 4096 /* empty polls after which the kernel is asked what it has dropped */
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

/* A frame that the kernel refuses is left out. */
static void send_on(struct loop *l, struct batch *b, unsigned int n)
{
	unsigned int good = address_all(l, b, n), at = 0, sent = 0;

	while (at < good) {
		int r = sendmmsg(l->to->fd, b->messages + at, good - at, MSG_DONTWAIT);

		sent += r > 0 ? (unsigned int)r : 0;
		at += r > 0 ? (unsigned int)r : 1;
	}
	loop_count(&l->counts.sent, sent);
	loop_count(&l->counts.dropped, good - sent);
	loop_count(&l->counts.ignored, n - good);
}

static void drops_count(struct loop *l)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);

	if (getsockopt(l->from->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
		loop_count(&l->counts.dropped, stats.tp_drops);
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
