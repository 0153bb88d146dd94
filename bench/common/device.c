// SPDX-License-Identifier: BSD-3-Clause
#include "bench/common/device.h"

#include "bench/common/promisc.h"

#include "base/fd.h"
#include "base/parse.h"

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SMALL_MTU  1500
#define JUMBO_ROOM (RTE_PKTMBUF_HEADROOM + 9216)
/* A ring, what two lcores keep, and what is being looked at. */
#define PACKETS 2047
/* AF_XDP fills a ring of 2,048, and another, and sends from the same memory. */
#define PACKETS_XDP  8191
#define LINK_SECONDS 10
#define LINK_WAIT_MS 50

/* "WORD:REST" is DPDK's device DRIVER + port's name, with the argument KEY=REST and more. */
static const struct kind_row {
	const char *word;
	const char *driver, *key, *more, *more_jumbo;
	bool can_listen;
	bool by_kernel; /* REST is a network device that there is */
	uint32_t packets;
} kinds[] = {
	{ "vhost-user:", "net_virtio_user_", "path", ",queues=1,queue_size=256",
	  ",queues=1,queue_size=256", true, false, PACKETS },
	{ "tap:", "net_tap_", "iface", "", "", false, false, PACKETS },
	/* Its frames lie in a ring of equal places, none larger than a buffer of the pool's, whole numbers of them in a
	 * block, which is of whole pages. */
	{ "af-packet:", "net_af_packet_", "iface", ",framecnt=1024",
	  ",framecnt=1024,framesz=9216,blocksz=36864", false, true, PACKETS },
	{ "af-xdp:", "net_af_xdp_", "iface", "", "", false, true, PACKETS_XDP },
};

static const char *const pci_drivers[] = { "vfio-pci", "igb_uio", "uio_pci_generic" };

struct rte_mempool *device_pool_of(struct device_pools *pools, uint32_t packets, uint16_t room)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "packets-%u", pools->made++);
	return rte_pktmbuf_pool_create(name, packets, DEVICE_CACHE, 0, room, SOCKET_ID_ANY);
}

struct rte_mempool *device_pool(struct device_pools *pools, uint32_t packets, uint64_t mtu)
{
	return device_pool_of(pools, packets,
			      mtu <= SMALL_MTU ? RTE_MBUF_DEFAULT_BUF_SIZE : JUMBO_ROOM);
}

int device_refuse(const char *device, int errnum, const char *step, struct err *e)
{
	errnum = errnum < 0 ? -errnum : errnum;
	return err_set(e, errnum != 0 ? errnum : EIO, "%s: %s: %s", device, step,
		       rte_strerror(errnum != 0 ? errnum : EIO));
}

static int refuse(const struct device_wish *w, int errnum, const char *step, struct err *e)
{
	return device_refuse(w->device, errnum, step, e);
}

int device_pci_check(const char *addr, struct err *e)
{
	char path[128], driver[64] = "no driver";

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.20s", addr);
	if (access(path, F_OK) < 0)
		return err_set(e, ENODEV, "there is no %s", addr);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.20s/driver", addr);
	(void)link_base_at(AT_FDCWD, path, driver, sizeof(driver));
	for (size_t i = 0; i < ARRAY_SIZE(pci_drivers); i++)
		if (strcmp(driver, pci_drivers[i]) == 0)
			return 0;
	return err_set(e, EBUSY, "%s is with %s, not with vfio-pci or igb_uio", addr, driver);
}

int device_queues(uint16_t port, const struct rte_eth_conf *conf, uint16_t places,
		  struct rte_mempool *pool)
{
	uint16_t rx = places, tx = places;
	int r = rte_eth_dev_configure(port, 1, 1, conf);

	if (r == 0)
		r = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx, &tx);
	if (r == 0)
		r = rte_eth_rx_queue_setup(port, 0, rx, SOCKET_ID_ANY, NULL, pool);
	if (r == 0)
		r = rte_eth_tx_queue_setup(port, 0, tx, SOCKET_ID_ANY, NULL);
	return r;
}

void device_remove(uint16_t port)
{
	struct rte_eth_dev_info info;
	struct rte_device *device = rte_eth_dev_info_get(port, &info) == 0 ? info.device : NULL;

	(void)rte_eth_dev_stop(port);
	(void)rte_eth_dev_close(port);
	if (device != NULL)
		(void)rte_dev_remove(device);
}

static int kernel_check(const struct device_wish *w, const char *iface, struct err *e)
{
	char path[DEVICE_TEXT + 64], text[16];
	uint64_t mtu = 0;

	snprintf(path, sizeof(path), "/sys/class/net/%s/mtu", iface);
	if (iface[0] == '\0' || strchr(iface, '/') != NULL ||
	    file_read_at(AT_FDCWD, path, text, sizeof(text)) < 0)
		return err_set(e, ENODEV, "there is no network device '%s'", iface);
	/* It is not ours to change. */
	if (parse_u64(text, UINT32_MAX, &mtu) < 0 || mtu < w->mtu)
		return err_set(e, ERANGE, "%s has an mtu of %s: ip link set %s mtu %llu", iface,
			       text, iface, (unsigned long long)w->mtu);
	snprintf(path, sizeof(path), "/sys/class/net/%s/queues/rx-1", iface);
	if (strncmp(w->device, "af-xdp:", 7) == 0 && access(path, F_OK) == 0)
		return err_set(e, EBUSY,
			       "%s receives on several queues, of which af-xdp serves one: "
			       "ethtool -L %s combined 1, or rx 1 tx 1 where it has no combined",
			       iface, iface);
	return 0;
}

/* NULL: a PCI function. */
static const struct kind_row *kind_of(const struct device_wish *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strncmp(w->device, kinds[i].word, strlen(kinds[i].word)) == 0)
			return &kinds[i];
	return NULL;
}

static bool is_by_kernel(const struct device_wish *w)
{
	const struct kind_row *row = kind_of(w);

	return row != NULL && row->by_kernel;
}

static int kind_args(const struct device_wish *w, char *buf, size_t cap, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct kind_row *row = &kinds[i];
		const char *rest = w->device + strlen(row->word);

		if (strncmp(w->device, row->word, strlen(row->word)) != 0)
			continue;
		if (w->server && !row->can_listen)
			return err_set(e, EINVAL, "%s cannot be a server", w->device);
		/* A comma would begin another argument of the driver's. */
		if (rest[0] == '\0' || strchr(rest, ',') != NULL)
			return err_set(e, EINVAL, "'%s' is no device", w->device);
		if (row->by_kernel && kernel_check(w, rest, e) < 0)
			return -e->errnum;
		snprintf(buf, cap, "%s%s,%s=%s%s%s", row->driver, w->name, row->key, rest,
			 w->mtu > SMALL_MTU ? row->more_jumbo : row->more,
			 w->server ? ",server=1" : "");
		return 0;
	}
	return err_set(e, EINVAL, "'%s' is no device", w->device);
}

/* Of a port that EAL's options named, and nobody has opened, there is no owner. */
static int known_take(const struct device_wish *w, uint16_t port, struct err *e)
{
	struct rte_eth_dev_owner owner = { 0 };

	if (!rte_eth_dev_is_valid_port(port))
		return refuse(w, EBUSY, "port", e);
	if (rte_eth_dev_owner_get(port, &owner) == 0 && owner.id != RTE_ETH_DEV_NO_OWNER)
		return err_set(e, EBUSY, "%s is a port already", w->device);
	return 0;
}

/* Until the port is closed. */
static int own(const struct device_wish *w, uint16_t port, struct err *e)
{
	struct rte_eth_dev_owner owner = { 0 };
	int r = rte_eth_dev_owner_new(&owner.id);

	snprintf(owner.name, sizeof(owner.name), "%s", w->name);
	if (r == 0)
		r = rte_eth_dev_owner_set(port, &owner);
	return r < 0 ? refuse(w, r, "owner", e) : 0;
}

static int probe(const struct device_wish *w, uint16_t *port, struct err *e)
{
	char args[2 * DEVICE_TEXT + 128], name[RTE_DEV_NAME_MAX_LEN];
	struct pci_addr addr;
	int r;

	if (parse_pci_addr(w->device, &addr) == 0) {
		pci_addr_text(&addr, args);
		r = w->server ? err_set(e, EINVAL, "a PCI function cannot be a server")
			      : device_pci_check(args, e);
	} else {
		r = kind_args(w, args, sizeof(args), e);
	}
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(args, ","), args);
	/* EAL's own options may have named it already. */
	if (rte_eth_dev_get_port_by_name(name, port) == 0)
		return known_take(w, *port, e);
	r = rte_dev_probe(args);
	if (r < 0)
		return refuse(w, r, "the driver does not take it", e);
	r = rte_eth_dev_get_port_by_name(name, port);
	return r < 0 ? refuse(w, r, "no network device of it", e) : 0;
}

static int configure(const struct device_wish *w, struct device *d, struct err *e)
{
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;
	int r = rte_eth_dev_info_get(d->port, &info);

	if (r < 0)
		return refuse(w, r, "facts", e);
	if (info.max_mtu != 0 && w->mtu > info.max_mtu)
		return err_set(e, ERANGE, "%s: mtu %llu, the device can %u", w->device,
			       (unsigned long long)w->mtu, info.max_mtu);
	snprintf(d->driver, sizeof(d->driver), "%s", info.driver_name);
	conf.rxmode.mtu = is_by_kernel(w) ? 0 : (uint32_t)w->mtu;
	conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	r = device_queues(d->port, &conf, DEVICE_RING, d->pool);
	return r < 0 ? refuse(w, r, "configuration", e) : 0;
}

/* DPDK's drivers of kernel devices know neither link nor speed. */
static void link_read(const struct device_wish *w, struct device *d)
{
	const char *iface = strchr(w->device, ':');
	struct rte_eth_link link = { 0 };
	char path[DEVICE_TEXT + 64], text[16];
	uint64_t speed;

	(void)rte_eth_link_get_nowait(d->port, &link);
	d->link_up = link.link_status == RTE_ETH_LINK_UP;
	d->link_mbps = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
	if (!is_by_kernel(w)) {
		struct pci_addr addr;

		if (parse_pci_addr(w->device, &addr) < 0)
			d->link_mbps = 0;
		return;
	}
	d->link_mbps = 0;
	snprintf(path, sizeof(path), "/sys/class/net/%s/speed", iface + 1);
	/* "-1" where nobody knows. */
	if (file_read_at(AT_FDCWD, path, text, sizeof(text)) > 0 &&
	    parse_u64(text, UINT32_MAX - 1, &speed) == 0)
		d->link_mbps = (uint32_t)speed;
}

static bool has_carrier(const char *iface)
{
	char path[DEVICE_TEXT + 64], text[16];

	snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", iface);
	/* EINVAL where it is down. */
	return file_read_at(AT_FDCWD, path, text, sizeof(text)) > 0 && text[0] == '1';
}

bool device_is_dead(const struct device *d)
{
	if (d->iface[0] != '\0')
		return !has_carrier(d->iface);
	return rte_eth_dev_is_removed(d->port) != 0;
}

bool device_has_link(const struct device *d)
{
	struct rte_eth_link link = { 0 };

	(void)rte_eth_link_get_nowait(d->port, &link);
	return link.link_status == RTE_ETH_LINK_UP;
}

static void link_wait(const struct device_wish *w, struct device *d)
{
	struct pci_addr addr;
	uint64_t tries = LINK_SECONDS * 1000 / LINK_WAIT_MS;

	link_read(w, d);
	if (parse_pci_addr(w->device, &addr) < 0)
		return;
	while (!d->link_up && tries-- > 0) {
		rte_delay_us_sleep(LINK_WAIT_MS * 1000);
		link_read(w, d);
	}
}

static void hear_all(const struct device_wish *w, struct device *d)
{
	if (d->by_kernel) {
		d->promisc = promisc_open(strchr(w->device, ':') + 1);
		return;
	}
	(void)rte_eth_promiscuous_enable(d->port);
	(void)rte_eth_allmulticast_enable(d->port);
}

static int start(const struct device_wish *w, struct device *d, struct err *e)
{
	struct rte_ether_addr mac;
	int r = configure(w, d, e);

	if (r < 0)
		return r;
	/* DPDK would clear at the start what it does not know of. */
	if (d->by_kernel && promisc_is_set(strchr(w->device, ':') + 1))
		(void)rte_eth_promiscuous_enable(d->port);
	r = rte_eth_dev_start(d->port);
	if (r < 0)
		return refuse(w, r, "start", e);
	/* Drivers without an MTU of their own say ENOTSUP and take any frame. */
	if (!is_by_kernel(w))
		r = rte_eth_dev_set_mtu(d->port, (uint16_t)w->mtu);
	if (r < 0 && r != -ENOTSUP && r != -EBUSY)
		return refuse(w, r, "mtu", e);
	hear_all(w, d);
	(void)rte_eth_dev_set_link_up(d->port);
	r = rte_eth_macaddr_get(d->port, &mac);
	if (r < 0)
		return refuse(w, r, "address", e);
	memcpy(d->mac, mac.addr_bytes, sizeof(d->mac));
	d->max_frame = (uint32_t)w->mtu + DEVICE_OVERHEAD;
	link_wait(w, d);
	return 0;
}

int device_open(const struct device_wish *wish, struct device_pools *pools, struct device *out,
		struct err *e)
{
	const struct kind_row *row = kind_of(wish);
	struct device d = { .by_kernel = is_by_kernel(wish), .promisc = -1 };
	int r;

	r = probe(wish, &d.port, e);
	if (r < 0)
		return r;
	snprintf(d.name, sizeof(d.name), "%s", wish->name);
	if (row != NULL && row->by_kernel)
		snprintf(d.iface, sizeof(d.iface), "%s", wish->device + strlen(row->word));
	d.pool = device_pool(pools, row == NULL ? PACKETS : row->packets, wish->mtu);
	if (d.pool == NULL)
		r = err_set(e, ENOMEM, "no memory for packets: -m of DPDK's options is small");
	if (r == 0)
		r = own(wish, d.port, e);
	if (r == 0)
		r = start(wish, &d, e);
	if (r < 0) {
		device_close(&d);
		return r;
	}
	*out = d;
	return 0;
}

void device_close(struct device *d)
{
	fd_close(&d->promisc);
	device_remove(d->port);
	rte_mempool_free(d->pool);
	d->pool = NULL;
}

void device_misses(const struct device *d, uint64_t *unsent, uint64_t *unreceived)
{
	struct rte_eth_stats stats = { 0 };

	(void)rte_eth_stats_get(d->port, &stats);
	*unsent = stats.oerrors;
	*unreceived = stats.imissed + stats.ierrors + stats.rx_nombuf;
}

int device_facts(const struct device *d, json_t *reply)
{
	char mac[MAC_TEXT];
	json_t *facts = json_pack("{s:s, s:s, s:I, s:b, s:I}", "mac", mac_text(d->mac, mac),
				  "driver", d->driver, "link_mbps", (json_int_t)d->link_mbps,
				  "link_up", d->link_up, "max_frame", (json_int_t)d->max_frame);

	return facts == NULL ? -ENOMEM : json_object_update_new(reply, facts);
}
