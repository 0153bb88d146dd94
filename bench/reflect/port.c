// SPDX-License-Identifier: BSD-3-Clause
#include "bench/reflect/port.h"

#include "bench/common/device.h"
#include "bench/common/promisc.h"

#include "base/fd.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define RING	   512
#define POOL_SPARE 3071 /* beyond what fills the rings: caches, bursts under way */
#define POOL_CACHE 256
#define LINK_TRIES 100 /* of 100 ms: a VF hears of its PF's link after some seconds */

/* Where distributions have what libxdp comes with. */
static const char *const xdp_programs[] = {
	"/usr/lib/x86_64-linux-gnu/bpf/xsk_def_xdp_prog_5.3.o",
	"/usr/lib64/bpf/xsk_def_xdp_prog_5.3.o",
	"/usr/lib/bpf/xsk_def_xdp_prog_5.3.o",
};

static int refuse(const struct port *p, int errnum, const char *step, struct err *e)
{
	return device_refuse(p->device, errnum, step, e);
}

static int xdp_args(char *args, size_t cap, struct err *e)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(xdp_programs); i++) {
		if (access(xdp_programs[i], R_OK) < 0)
			continue;
		snprintf(args, cap, ",xdp_prog=%s", xdp_programs[i]);
		return 0;
	}
	return err_set(e, ENOENT, "no %s: AF_XDP needs libxdp's program", xdp_programs[0]);
}

/* What DPDK is told: a PCI address, or NAME of the driver and port, and arguments. */
static int device_args(const struct port *p, const struct reflect_request *q, char *args,
		       size_t cap, struct err *e)
{
	static const struct {
		const char *vdev, *key;
	} rows[REFLECT_KINDS] = {
		[REFLECT_AF_XDP] = { "net_af_xdp_", "iface" },
		[REFLECT_TAP] = { "net_tap_", "iface" },
		[REFLECT_VHOST_USER] = { "net_virtio_user_", "path" },
	};
	char more[128] = "";
	int r = 0;

	if (p->kind == REFLECT_PCI) {
		snprintf(args, cap, "%s", p->device);
		return device_pci_check(p->device, e);
	}
	if (p->kind == REFLECT_AF_XDP)
		r = xdp_args(more, sizeof(more), e);
	if (p->kind == REFLECT_VHOST_USER)
		snprintf(more, sizeof(more), ",server=%d,queues=1,queue_size=256,mrg_rxbuf=1",
			 q->server);
	snprintf(args, cap, "%s%s,%s=%s%s", rows[p->kind].vdev, p->name, rows[p->kind].key,
		 p->device, more);
	return r;
}

static int probe(struct port *p, const struct reflect_request *q, struct err *e)
{
	char args[320], name[64];
	int r = device_args(p, q, args, sizeof(args), e);

	if (r < 0)
		return r;
	r = rte_dev_probe(args);
	if (r < 0)
		return refuse(p, r, "the driver does not take it", e);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(args, ","), args);
	r = rte_eth_dev_get_port_by_name(name, &p->id);
	if (r < 0)
		return refuse(p, r, "no network device of it", e);
	p->probed = true;
	return 0;
}

/* One segment holds any frame: what is measured is the device's work, not that of chains. */
static int pool_make(struct port *p, uint32_t mtu, uint32_t ring, struct err *e)
{
	uint32_t room = RTE_PKTMBUF_HEADROOM + mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN + 8;
	char name[32];

	room = room < RTE_MBUF_DEFAULT_BUF_SIZE
		       ? RTE_MBUF_DEFAULT_BUF_SIZE
		       : (uint32_t)align_up(room, 1024) + RTE_PKTMBUF_HEADROOM;
	snprintf(name, sizeof(name), "frames-%s", p->name);
	p->pool = rte_pktmbuf_pool_create(name, 2 * ring + POOL_SPARE, POOL_CACHE, 0,
					  (uint16_t)room, SOCKET_ID_ANY);
	return p->pool == NULL ? refuse(p, rte_errno, "packet memory", e) : 0;
}

static int rings_set_up(struct port *p, struct rte_eth_conf *conf, uint32_t ring)
{
	int r = device_queues(p->id, conf, (uint16_t)ring, p->pool);

	if (r == 0 || !conf->intr_conf.rxq)
		return r;
	conf->intr_conf.rxq = 0;
	return device_queues(p->id, conf, (uint16_t)ring, p->pool);
}

static int start(struct port *p, uint32_t mtu, uint32_t ring, struct err *e)
{
	struct rte_eth_conf conf = { .intr_conf.rxq = p->kind == REFLECT_PCI };
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	int r = rte_eth_dev_info_get(p->id, &info);

	if (r < 0)
		return refuse(p, r, "facts", e);
	if (mtu > info.max_mtu)
		return err_set(e, ERANGE, "%s: MTU %u, the device can %u", p->device, mtu,
			       info.max_mtu);
	conf.rxmode.mtu = mtu;
	snprintf(p->driver, sizeof(p->driver), "%s", info.driver_name);
	r = rings_set_up(p, &conf, ring);
	/* DPDK would clear at the start what it does not know of. */
	if (p->kind == REFLECT_AF_XDP && promisc_is_set(p->device))
		(void)rte_eth_promiscuous_enable(p->id);
	if (r == 0)
		r = rte_eth_dev_start(p->id);
	if (r == 0)
		r = rte_eth_macaddr_get(p->id, &mac);
	if (p->kind == REFLECT_AF_XDP && (r == -EINVAL || r == -EBUSY || r == -EEXIST))
		return err_set(e, -r,
			       "%s: start: %s: does another XDP program hold it? "
			       "ip link set %s xdp off",
			       p->device, strerror(-r), p->device);
	if (r < 0)
		return refuse(p, r, "start", e);
	/* By igb_uio, which has one vector, it cannot be done. */
	p->can_interrupt = conf.intr_conf.rxq && rte_eth_dev_rx_intr_enable(p->id, 0) == 0;
	if (p->can_interrupt)
		(void)rte_eth_dev_rx_intr_disable(p->id, 0);
	memcpy(p->mac, mac.addr_bytes, sizeof(p->mac));
	p->max_frame = mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
	/* Not every driver can; what is meant for others is asked for by tests of switches. */
	if (p->kind == REFLECT_AF_XDP)
		p->promisc = promisc_open(p->device);
	else
		(void)rte_eth_promiscuous_enable(p->id);
	return 0;
}

static void link_wait(struct port *p)
{
	struct rte_eth_link link = { 0 };

	for (int i = 0; i < LINK_TRIES; i++) {
		(void)rte_eth_link_get_nowait(p->id, &link);
		if (link.link_status == RTE_ETH_LINK_UP)
			break;
		usleep(100000);
	}
	if (link.link_status == RTE_ETH_LINK_UP && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
		p->link_mbps = link.link_speed;
}

int port_open(struct port *p, const struct reflect_request *q, struct err *e)
{
	uint32_t mtu = q->mtu == 0 ? RTE_ETHER_MTU : q->mtu, ring = q->ring == 0 ? RING : q->ring;
	int r = 0;

	*p = (struct port){ .fd = -1, .promisc = -1, .kind = q->kind };
	strcpy(p->name, q->name);
	strcpy(p->device, q->device);
	if (q->kind == REFLECT_AF_PACKET)
		return socket_open(p, q, e);
	if (q->kind == REFLECT_AF_XDP)
		r = netdev_facts(p, q, e);
	if (r == 0)
		r = probe(p, q, e);
	if (r == 0)
		r = pool_make(p, mtu, ring, e);
	if (r == 0)
		r = start(p, mtu, ring, e);
	if (r == 0)
		link_wait(p);
	return r;
}

void port_close(struct port *p)
{
	if (p->probed)
		device_remove(p->id);
	rte_mempool_free(p->pool);
	fd_close(&p->fd);
	fd_close(&p->promisc);
	*p = (struct port){ .fd = -1, .promisc = -1 };
}
