// SPDX-License-Identifier: BSD-3-Clause
#include "bench/polled/port.h"

#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include <errno.h>
#include <stdio.h>

#define QUEUE_SIZE    256
#define POOL_PACKETS  8191
#define POOL_CACHE    256
#define LEARN_SECONDS 5
#define LEARN_MS      20 /* after the last: the backend has had its look */

static void contents_make(struct rte_mempool *pool, void *arg, void *object, unsigned int i)
{
	struct rte_mbuf *m = object;

	packet_make((uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, *(uint16_t *)arg, i);
}

static struct rte_mempool *pool_make(const char *name)
{
	return rte_pktmbuf_pool_create(name, POOL_PACKETS, POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
}

int port_pools_make(struct port_pools *pools, const struct packet_sizes *sizes)
{
	pools->sizes = *sizes;
	pools->receive = pool_make("receive");
	if (pools->receive == NULL)
		return -rte_errno;
	for (unsigned int i = 0; i < sizes->count; i++) {
		char name[16];

		snprintf(name, sizeof(name), "send%u", i);
		pools->send[i] = pool_make(name);
		if (pools->send[i] == NULL)
			return -rte_errno;
		rte_mempool_obj_iter(pools->send[i], contents_make, &pools->sizes.bytes[i]);
	}
	return 0;
}

static int device_make(const struct port_spec *spec, char *name, size_t cap)
{
	char args[256];

	if (strcmp(spec->driver, "af-packet") == 0) {
		snprintf(name, cap, "net_af_packet_%s", spec->name);
		snprintf(args, sizeof(args), "iface=%s,framecnt=1024", spec->path);
	} else {
		snprintf(name, cap, "net_virtio_user_%s", spec->name);
		snprintf(
			args, sizeof(args),
			"path=%s,server=1,queues=1,queue_size=%d,packed_vq=%d,mrg_rxbuf=%d,in_order=0",
			spec->path, QUEUE_SIZE, spec->packed, spec->mergeable);
	}
	return rte_vdev_init(name, args);
}

int port_open(struct port *p, const struct port_spec *spec, struct port_pools *pools)
{
	const struct rte_eth_conf conf = { 0 };
	char name[RTE_DEV_NAME_MAX_LEN];
	int r = device_make(spec, name, sizeof(name));

	if (r == 0)
		r = rte_eth_dev_get_port_by_name(name, &p->id);
	if (r == 0)
		r = rte_eth_dev_configure(p->id, 1, 1, &conf);
	if (r == 0)
		r = rte_eth_rx_queue_setup(p->id, 0, QUEUE_SIZE, SOCKET_ID_ANY, NULL,
					   pools->receive);
	if (r == 0)
		r = rte_eth_tx_queue_setup(p->id, 0, QUEUE_SIZE, SOCKET_ID_ANY, NULL);
	if (r == 0)
		r = rte_eth_dev_start(p->id);
	if (r < 0)
		return r;
	/* Not every driver can. */
	(void)rte_eth_promiscuous_enable(p->id);
	p->index = spec->index;
	snprintf(p->name, sizeof(p->name), "%s", spec->name);
	return 0;
}

void port_close(struct port *p)
{
	(void)rte_eth_dev_stop(p->id);
	(void)rte_eth_dev_close(p->id);
}

struct rte_mbuf *port_packet(struct port_pools *pools, uint64_t seq)
{
	unsigned int turn = packet_size_turn(&pools->sizes, seq);
	struct rte_mbuf *m = rte_pktmbuf_alloc(pools->send[turn]);

	if (m != NULL)
		m->data_len = m->pkt_len = pools->sizes.bytes[turn];
	return m;
}

int port_learn(const struct port *p, unsigned int addresses, struct port_pools *pools)
{
	uint64_t end = rte_rdtsc() + LEARN_SECONDS * rte_get_tsc_hz();

	for (unsigned int i = 0; i < addresses; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pools->receive);

		if (m == NULL)
			return -ENOMEM;
		packet_learn((uint8_t *)rte_pktmbuf_append(m, PACKET_MIN), p->index, i);
		while (rte_eth_tx_burst(p->id, 0, &m, 1) == 0) {
			if (rte_rdtsc() < end)
				continue;
			rte_pktmbuf_free(m);
			return -ETIMEDOUT;
		}
		/* Others get them all, and room for few. */
		if (i % PORT_BURST == PORT_BURST - 1)
			rte_delay_us(200);
	}
	rte_delay_ms(LEARN_MS);
	return 0;
}

void port_drain(const struct port *p)
{
	struct rte_mbuf *got[PORT_BURST];
	uint64_t quiet = rte_get_tsc_hz() / 200, last = rte_rdtsc();

	while (rte_rdtsc() - last < quiet) {
		uint16_t n = rte_eth_rx_burst(p->id, 0, got, PORT_BURST);

		rte_pktmbuf_free_bulk(got, n);
		if (n > 0)
			last = rte_rdtsc();
	}
}
