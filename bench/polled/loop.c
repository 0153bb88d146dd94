// SPDX-License-Identifier: BSD-3-Clause
/*
 * polled-loop [EAL options of two lcores] -- SOCKET SOCKET ...: the least backend there can be, with which polled-gen shows
 * its own ceiling. Goes to the sockets of its guests, and hands over between the first two, the next two, and so on.
 */
#include "bench/polled/handover.h"

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUESTS_MAX 8

/* Queues of a network device: its guest receives by the first, and sends by the second. */
enum { RECEIVE, SEND, QUEUES };

/* `ready` hands it to the lcore; what a guest changes later is not followed. */
struct guest {
	const char *path;
	struct ring rings[QUEUES];
	atomic_bool ready;
};

static struct guest guests[GUESTS_MAX];
static unsigned int guest_count;

static int on_device(int vid)
{
	struct rte_vhost_memory *memory;
	char path[128];

	if (rte_vhost_get_ifname(vid, path, sizeof(path)) < 0 ||
	    rte_vhost_get_mem_table(vid, &memory) < 0)
		return -1;
	for (unsigned int i = 0; i < guest_count; i++) {
		struct guest *g = &guests[i];

		if (strcmp(g->path, path) != 0)
			continue;
		for (uint16_t queue = 0; queue < QUEUES; queue++)
			if (ring_open(&g->rings[queue], vid, queue, memory) < 0)
				return -1;
		/* release: pairs with acquire in loop_main() */
		atomic_store_explicit(&g->ready, true, memory_order_release);
		printf("ready %s\n", path);
		fflush(stdout);
	}
	return 0;
}

/* The benchmark ends the loop first; a guest that goes before ends it, too. */
static void on_end(int vid)
{
	exit(0);
}

static const struct rte_vhost_device_ops ops = {
	.new_device = on_device,
	.destroy_device = on_end,
};

static int loop_main(void *arg)
{
	for (;;) {
		for (unsigned int i = 0; i + 1 < guest_count; i += 2) {
			struct guest *a = &guests[i], *b = &guests[i + 1];

			/* acquire: pairs with release in on_device() */
			if (!atomic_load_explicit(&a->ready, memory_order_acquire) ||
			    !atomic_load_explicit(&b->ready, memory_order_acquire))
				continue;
			handover(&a->rings[SEND], &b->rings[RECEIVE]);
			handover(&b->rings[SEND], &a->rings[RECEIVE]);
		}
	}
	return 0;
}

static int guests_add(char **paths, int count)
{
	for (int i = 0; i < count && i < GUESTS_MAX; i++) {
		guests[i].path = paths[i];
		guest_count++;
	}
	for (unsigned int i = 0; i < guest_count; i++)
		if (rte_vhost_driver_register(guests[i].path, RTE_VHOST_USER_CLIENT) < 0 ||
		    rte_vhost_driver_callback_register(guests[i].path, &ops) < 0 ||
		    rte_vhost_driver_start(guests[i].path) < 0)
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	unsigned int worker = rte_get_next_lcore(-1, 1, 0);

	if (used < 0 || worker == RTE_MAX_LCORE || argc - used < 3) {
		fprintf(stderr,
			"usage: polled-loop [EAL options of two lcores] -- SOCKET SOCKET ...\n");
		return 1;
	}
	if (guests_add(argv + used + 1, argc - used - 1) < 0)
		return 1;
	if (rte_eal_remote_launch(loop_main, NULL, worker) < 0)
		return 1;
	/* Not rte_eal_wait_lcore(), which polls: on the generator's CPU. */
	for (;;)
		pause();
}
