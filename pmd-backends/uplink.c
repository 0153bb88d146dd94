// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/uplink.h"

#include "pmd-backends/afxdp.h"
#include "pmd-backends/counter.h"

#include "base/fd.h"
#include "base/log.h"

#include <rte_bus_pci.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_eth_bond.h>
#include <rte_ethdev.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define RX_RING 1024
#define TX_RING 1024

#define CSUM_OFFLOADS (RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define ALL_OFFLOADS                                                                  \
	(CSUM_OFFLOADS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO | \
	 RTE_ETH_TX_OFFLOAD_MULTI_SEGS)

struct uplink {
	struct endpoint ep; /* first: the operations get this */
	char name[PMD_NAME_TEXT];
	struct pmd_uplink_wish wish;
	const struct kind_row *row;
	char devargs[256];
	struct rte_mempool *pool;
	uint16_t port;
	bool probed, started, bonded, promisc, wants_interrupts, has_interrupts;
	uint64_t tx_offloads;
	char driver[32];
	uint32_t speed;
	struct uplink *members[PMD_MAX_NETWORK_UPLINKS]; /* of a bond; the caller's */
	size_t member_count;
	unsigned int mac_room;
	uint8_t macs[PMD_MAX_UPLINK_MACS][6]; /* that the device took beside its own */
	unsigned int mac_count;
	uint64_t refused; /* frames that the driver said it would not send */
	const char *note;
};

/* What DPDK needs to be told for a kind: NAME of the driver and uplink, then ",iface=DEVICE", then more. */
static const struct kind_row {
	const char *word;
	const char *vdev; /* NULL: the device is a PCI address */
	const char *more;
	uint64_t tx_offloads; /* those of the device's that are used */
	bool by_kernel; /* the host's kernel knows its link better than DPDK's driver does */
	const char *note;
} kind_rows[PMD_UPLINK_KINDS] = {
	[PMD_UPLINK_PCI] = { "pci", NULL, "", ALL_OFFLOADS, false, "" },
	[PMD_UPLINK_AF_XDP] = { "af-xdp", "net_af_xdp_", "", 0, true,
				"last resort: AF_XDP, each frame copied by the kernel" },
	[PMD_UPLINK_AF_PACKET] = { "af-packet", "net_af_packet_", "", 0, true,
				   "last resort: AF_PACKET, through the host's kernel" },
	/* Its own offloads segment and sum in software as the switch does, with a pool of its own. */
	[PMD_UPLINK_TAP] = { "tap", "net_tap_", "", RTE_ETH_TX_OFFLOAD_MULTI_SEGS, false,
			     "last resort: TAP, through the host's kernel" },
	[PMD_UPLINK_NULL] = { "null", "net_null_", ",no-rx=1", RTE_ETH_TX_OFFLOAD_MULTI_SEGS, false,
			      "swallows what is sent" },
	[PMD_UPLINK_VF] = { "vf", NULL, "", ALL_OFFLOADS, false, "" },
};

static uint16_t uplink_receive(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	struct uplink *u = (struct uplink *)ep;

	/* A bond speaks LACP while it is asked to send, even nothing (IEEE 802.1AX wants it once a second). */
	if (u->bonded)
		(void)rte_eth_tx_burst(u->port, 0, NULL, 0);
	return rte_eth_rx_burst(u->port, 0, frames, n);
}

static uint16_t uplink_send(struct endpoint *ep, struct rte_mbuf **frames, uint16_t n)
{
	struct uplink *u = (struct uplink *)ep;
	uint16_t good;

	/* Drivers that cut IPv4 make each header's sum anew, and want to be told. */
	for (uint16_t i = 0; i < n; i++)
		if ((frames[i]->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0 &&
		    (frames[i]->ol_flags & RTE_MBUF_F_TX_IPV4) != 0)
			frames[i]->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	good = rte_eth_tx_prepare(u->port, 0, frames, n);
	if (good != 0 || n == 0)
		return rte_eth_tx_burst(u->port, 0, frames, good);
	/* What the driver will never take must not stand in the way of all others. */
	rte_pktmbuf_free(frames[0]);
	counter_add(&u->refused, 1);
	return 1;
}

static const struct endpoint_ops uplink_ops = { uplink_receive, uplink_send };

static int refuse(const struct uplink *u, int errnum, const char *step, struct err *e)
{
	errnum = errnum < 0 ? -errnum : errnum;
	err_set(e, errnum != 0 ? errnum : EIO, "%s: %s: %s", u->name, step, rte_strerror(errnum));
	return err_code(e, "device-refused");
}

static int no_device(const struct uplink *u, struct err *e)
{
	err_set(e, ENODEV, "%s: there is no %s", u->name, u->wish.device);
	return err_code(e, "no-such-device");
}

/* DPDK would say no more than that its probe failed. */
static int pci_check(const struct uplink *u, struct err *e)
{
	char path[128], driver[64];
	int r;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", u->wish.device);
	if (access(path, F_OK) < 0)
		return no_device(u, e);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", u->wish.device);
	r = link_base_at(AT_FDCWD, path, driver, sizeof(driver));
	if (r < 0)
		strcpy(driver, "no driver");
	if (strcmp(driver, "vfio-pci") == 0)
		return 0;
	err_set(e, EBUSY, "%s: %s is with %s, not with vfio-pci", u->name, u->wish.device, driver);
	return err_code(e, "device-refused");
}

static int netdev_check(const struct uplink *u, struct err *e)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/net/%s", u->wish.device);
	return access(path, F_OK) < 0 ? no_device(u, e) : 0;
}

static int probe(struct uplink *u, struct err *e)
{
	char name[96], more[96] = "";
	int r = 0;

	if (u->row->vdev == NULL)
		r = pci_check(u, e);
	else if (u->row->by_kernel)
		r = netdev_check(u, e);
	if (r == 0 && u->wish.kind == PMD_UPLINK_AF_XDP)
		r = afxdp_args(u->wish.device, more, sizeof(more), e);
	if (r < 0)
		return r;
	if (u->row->vdev == NULL)
		snprintf(u->devargs, sizeof(u->devargs), "%s", u->wish.device);
	else
		snprintf(u->devargs, sizeof(u->devargs), "%s%s%s%s%s%s", u->row->vdev, u->name,
			 u->wish.device[0] == '\0' ? "" : ",iface=", u->wish.device, u->row->more,
			 more);
	r = rte_dev_probe(u->devargs);
	if (r < 0)
		return refuse(u, r, "the driver does not take it", e);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(u->devargs, ","), u->devargs);
	r = rte_eth_dev_get_port_by_name(name, &u->port);
	if (r < 0)
		return refuse(u, r, "no network device of it", e);
	u->probed = true;
	return 0;
}

static void offloads_set(struct uplink *u)
{
	uint64_t tx = u->tx_offloads;
	bool csum = (tx & CSUM_OFFLOADS) == CSUM_OFFLOADS;

	u->ep.offloads = 0;
	if (csum)
		u->ep.offloads |= ENDPOINT_CSUM;
	if (csum && (tx & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0)
		u->ep.offloads |= ENDPOINT_TSO4 | ENDPOINT_TSO6;
	if ((tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0)
		u->ep.offloads |= ENDPOINT_SEGMENTS;
}

static int configure(struct uplink *u, struct err *e)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf = { 0 };
	uint16_t rx = RX_RING, tx = TX_RING;
	int r = rte_eth_dev_info_get(u->port, &info);

	if (r < 0)
		return refuse(u, r, "facts", e);
	if (u->wish.mtu > info.max_mtu) {
		err_set(e, ERANGE, "%s: MTU %u, the device can %u", u->name, u->wish.mtu,
			info.max_mtu);
		return err_code(e, "device-refused");
	}
	snprintf(u->driver, sizeof(u->driver), "%s", info.driver_name);
	u->mac_room = info.max_mac_addrs > 1 ? info.max_mac_addrs - 1 : 0;
	u->tx_offloads = info.tx_offload_capa & u->row->tx_offloads;
	conf.txmode.offloads = u->tx_offloads;
	conf.rxmode.mtu = u->wish.mtu;
	conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	conf.intr_conf.rxq = u->wants_interrupts;
	r = rte_eth_dev_configure(u->port, 1, 1, &conf);
	if (r < 0 && u->wants_interrupts) {
		conf.intr_conf.rxq = u->wants_interrupts = false;
		r = rte_eth_dev_configure(u->port, 1, 1, &conf);
	}
	if (r == 0)
		r = rte_eth_dev_adjust_nb_rx_tx_desc(u->port, &rx, &tx);
	if (r == 0)
		r = rte_eth_rx_queue_setup(u->port, 0, rx, SOCKET_ID_ANY, NULL, u->pool);
	if (r == 0)
		r = rte_eth_tx_queue_setup(u->port, 0, tx, SOCKET_ID_ANY, NULL);
	return r < 0 ? refuse(u, r, "configuration", e) : 0;
}

/* Drivers that say yes to promiscuous mode and have it for multicast alone. */
static bool promisc_is_multicast(const struct uplink *u)
{
	static const char *const drivers[] = { "net_e1000_igb_vf" };

	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (strcmp(u->driver, drivers[i]) == 0)
			return true;
	return false;
}

static int start(struct uplink *u, struct err *e)
{
	int r = configure(u, e);

	if (r < 0)
		return r;
	r = rte_eth_dev_start(u->port);
	if (r < 0)
		return refuse(u, r, "start", e);
	u->started = true;
	/* Drivers without an MTU of their own (null) say ENOTSUP and take any frame. */
	r = rte_eth_dev_set_mtu(u->port, u->wish.mtu);
	if (r < 0 && r != -ENOTSUP && r != -EBUSY)
		return refuse(u, r, "MTU", e);
	/* The switch has many addresses; a device that takes them one by one only is asked by the caller. */
	u->promisc = rte_eth_promiscuous_enable(u->port) == 0 && !promisc_is_multicast(u);
	(void)rte_eth_allmulticast_enable(u->port);
	(void)rte_eth_dev_set_link_up(u->port);
	offloads_set(u);
	u->ep.ops = &uplink_ops;
	u->ep.mtu = u->wish.mtu;
	u->has_interrupts = u->wants_interrupts && uplink_interrupt_fd(u) >= 0;
	uplink_link_update(u);
	return 0;
}

static struct uplink *uplink_new(const struct uplink_config *cfg)
{
	struct uplink *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return NULL;
	snprintf(u->name, sizeof(u->name), "%s", cfg->name);
	u->wish = *cfg->wish;
	u->row = &kind_rows[u->wish.kind];
	u->note = u->row->note;
	u->pool = cfg->pool;
	u->wants_interrupts = cfg->interrupts;
	return u;
}

int uplink_create(const struct uplink_config *cfg, struct uplink **out, struct err *e)
{
	struct uplink *u = uplink_new(cfg);
	fd_set before;
	int r;

	if (u == NULL)
		return err_set(e, ENOMEM, "%s: out of memory", cfg->name);
	afxdp_sockets(&before);
	r = probe(u, e);
	if (r == 0)
		r = start(u, e);
	if (r < 0) {
		uplink_destroy(u);
		return r;
	}
	if (u->wish.kind == PMD_UPLINK_AF_XDP && afxdp_is_zero_copy(&before))
		u->note = "last resort: AF_XDP, zero-copy, by the host's driver";
	*out = u;
	return 0;
}

/* The members are what they were, each for itself. */
static void bond_undo(struct uplink *u)
{
	for (size_t i = 0; i < u->member_count; i++) {
		struct err e = { 0 };

		(void)rte_eth_bond_slave_remove(u->port, u->members[i]->port);
		if (start(u->members[i], &e) < 0)
			log_err(&e, "out of the bond");
	}
	(void)rte_eth_bond_free(u->devargs);
}

void uplink_destroy(struct uplink *u)
{
	struct rte_eth_dev_info info;

	if (u == NULL)
		return;
	if (u->started)
		(void)rte_eth_dev_stop(u->port);
	if (u->bonded) {
		bond_undo(u);
	} else if (u->probed && rte_eth_dev_info_get(u->port, &info) == 0) {
		(void)rte_eth_dev_close(u->port);
		(void)rte_dev_remove(info.device);
	}
	free(u);
}

static bool mac_is_among(const uint8_t (*macs)[6], unsigned int count, const uint8_t *mac)
{
	for (unsigned int i = 0; i < count; i++)
		if (memcmp(macs[i], mac, 6) == 0)
			return true;
	return false;
}

void uplink_macs_set(struct uplink *u, const uint8_t (*macs)[6], unsigned int count)
{
	struct rte_ether_addr addr;

	/* First what goes: it makes room. */
	for (unsigned int i = u->mac_count; i-- > 0;) {
		if (mac_is_among(macs, count, u->macs[i]))
			continue;
		memcpy(addr.addr_bytes, u->macs[i], sizeof(addr.addr_bytes));
		(void)rte_eth_dev_mac_addr_remove(u->port, &addr);
		memcpy(u->macs[i], u->macs[--u->mac_count], sizeof(u->macs[i]));
	}
	for (unsigned int i = 0; i < count && u->mac_count < PMD_MAX_UPLINK_MACS; i++) {
		if (mac_is_among(u->macs, u->mac_count, macs[i]))
			continue;
		memcpy(addr.addr_bytes, macs[i], sizeof(addr.addr_bytes));
		if (rte_eth_dev_mac_addr_add(u->port, &addr, 0) == 0)
			memcpy(u->macs[u->mac_count++], macs[i], sizeof(u->macs[0]));
	}
}

struct endpoint *uplink_endpoint(struct uplink *u)
{
	return &u->ep;
}

const char *uplink_name(const struct uplink *u)
{
	return u->name;
}

/* Of a device that the host's kernel drives, whose DPDK driver always says up. */
static bool carrier_read(const struct uplink *u)
{
	char path[128], text[8];

	snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", u->wish.device);
	return file_read_at(AT_FDCWD, path, text, sizeof(text)) > 0 && text[0] == '1';
}

void uplink_link_update(struct uplink *u)
{
	struct rte_eth_link link = { 0 };
	bool up = rte_eth_link_get_nowait(u->port, &link) == 0 &&
		  link.link_status == RTE_ETH_LINK_UP;

	if (up && !u->bonded && u->row->by_kernel)
		up = carrier_read(u);
	u->speed = up && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN ? link.link_speed : 0;
	__atomic_store_n(&u->ep.link_up, up, __ATOMIC_RELAXED);
}

void uplink_facts(struct uplink *u, struct uplink_facts *out)
{
	struct rte_ether_addr mac = { 0 };
	struct rte_eth_stats stats = { 0 };

	(void)rte_eth_macaddr_get(u->port, &mac);
	(void)rte_eth_stats_get(u->port, &stats);
	*out = (struct uplink_facts){ .name = u->name,
				      .kind = u->row->word,
				      .device = u->wish.device,
				      .driver = u->driver,
				      .note = u->note,
				      .mtu = u->wish.mtu,
				      .link = u->ep.link_up,
				      .promisc = u->promisc,
				      .mac_room = u->mac_room,
				      .macs = u->macs,
				      .mac_count = u->mac_count,
				      .speed = u->speed,
				      .rx_missed = stats.imissed + stats.ierrors + stats.rx_nombuf,
				      .tx_errors = stats.oerrors + counter_get(&u->refused) };
	memcpy(out->mac, mac.addr_bytes, sizeof(out->mac));
}

int uplink_interrupt_fd(const struct uplink *u)
{
	return u->wants_interrupts ? rte_eth_dev_rx_intr_ctl_q_get_fd(u->port, 0) : -1;
}

void uplink_interrupt(struct uplink *u, bool on)
{
	if (!u->has_interrupts)
		return;
	if (on)
		(void)rte_eth_dev_rx_intr_enable(u->port, 0);
	else
		(void)rte_eth_dev_rx_intr_disable(u->port, 0);
}

static int bond_make(struct uplink *u, struct uplink *const *members, size_t count, struct err *e)
{
	int r;

	snprintf(u->devargs, sizeof(u->devargs), "net_bonding_%s", u->name);
	r = rte_eth_bond_create(u->devargs, BONDING_MODE_8023AD, 0);
	if (r < 0)
		return refuse(u, EIO, "bond", e);
	u->port = (uint16_t)r;
	u->bonded = true;
	for (size_t i = 0; i < count; i++) {
		/* The bond sets its members up its own way and starts them. */
		(void)rte_eth_dev_stop(members[i]->port);
		members[i]->started = false;
		u->members[u->member_count++] = members[i];
		r = rte_eth_bond_slave_add(u->port, members[i]->port);
		if (r < 0) {
			err_set(e, EIO, "%s: %s cannot be part of a bond", u->name,
				members[i]->name);
			return err_code(e, "device-refused");
		}
	}
	return 0;
}

int uplink_bond_create(const struct uplink_config *cfg, struct uplink *const *members, size_t count,
		       struct uplink **out, struct err *e)
{
	struct uplink *u = uplink_new(cfg);
	int r;

	if (u == NULL)
		return err_set(e, ENOMEM, "%s: out of memory", cfg->name);
	r = bond_make(u, members, count, e);
	if (r == 0)
		r = start(u, e);
	if (r < 0) {
		uplink_destroy(u);
		return r;
	}
	*out = u;
	return 0;
}
