// SPDX-License-Identifier: BSD-3-Clause
#include "bench/gen/port.h"

#include <rte_cycles.h>

#include <errno.h>
#include <stdio.h>

#define QUIET_MS     5
#define DRAIN_MS     500
#define PACKETS_WIRE 4095 /* what is on its way at most, and what two lcores keep */

static int wire_open(const struct device_wish *wish, const struct impair_wish *faults,
		     struct device_pools *pools, struct port *out, struct err *e)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct port p = { .mtu = wish->mtu };
	int r;

	if (wish->server)
		return err_set(e, EINVAL, "%s cannot be a server", wish->device);
	p.device.pool = device_pool(pools, PACKETS_WIRE, wish->mtu);
	r = impair_create(faults, p.device.pool, &p.impair, e);
	if (r < 0) {
		rte_mempool_free(p.device.pool);
		return r;
	}
	snprintf(p.device.driver, sizeof(p.device.driver), "impair");
	memcpy(p.device.mac, mac, sizeof(mac));
	p.device.link_up = true;
	p.device.max_frame = (uint32_t)wish->mtu + DEVICE_OVERHEAD;
	*out = p;
	return 0;
}

int port_open(const struct device_wish *wish, struct device_pools *pools, double hz,
	      struct port *out, struct err *e)
{
	struct impair_wish faults;
	struct port p = { .mtu = wish->mtu };
	int r = impair_wish_read(wish->device, &faults, e);

	faults.hz = hz;
	if (r == 0)
		r = wire_open(wish, &faults, pools, &p, e);
	else if (r == -ENOENT)
		r = device_open(wish, pools, &p.device, e);
	if (r < 0)
		return r;
	memcpy(p.device.name, wish->name, sizeof(p.device.name));
	memcpy(p.text, wish->device, sizeof(p.text));
	*out = p;
	return 0;
}

void port_close(struct port *p)
{
	if (p->impair != NULL) {
		impair_destroy(p->impair);
		rte_mempool_free(p->device.pool);
	} else {
		device_close(&p->device);
	}
	/* What a device had not sent it has given back. */
	rte_mempool_free(p->send_small);
	rte_mempool_free(p->send_jumbo);
	*p = (struct port){ 0 };
}

bool port_is_dead(const struct port *p)
{
	return p->impair == NULL && device_is_dead(&p->device);
}

bool port_has_link(const struct port *p)
{
	return p->impair != NULL || device_has_link(&p->device);
}

void port_drain(const struct port *p)
{
	uint64_t ms = rte_get_tsc_hz() / 1000, begin = rte_rdtsc(), last = begin;
	struct rte_mbuf *got[DEVICE_BURST];

	while (rte_rdtsc() - last < QUIET_MS * ms && rte_rdtsc() - begin < DRAIN_MS * ms) {
		uint16_t n = port_receive(p, got, DEVICE_BURST);

		rte_pktmbuf_free_bulk(got, n);
		if (n > 0)
			last = rte_rdtsc();
	}
}
