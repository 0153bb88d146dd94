// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/net_board.h"

#include "tests/fake/kvm_kernel.h"

#include "base/fd.h"
#include "vmm/layout.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_VM_FD  100000 /* never looked at */
#define DEVICE_ECAM (LAYOUT_ECAM + (1ULL << 20)) /* bus 1, device 0 */
#define CAP_MSIX    0x40
#define QUEUE_SPAN  0x10000

static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "net_board: %s: %s\n", what, strerror(errno));
	abort();
}

int board_listen(void)
{
	const struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(bind(fd, (const struct sockaddr *)&sa, sizeof(sa.sun_family)) == 0, "bind");
	must(listen(fd, 4) == 0, "listen");
	return fd;
}

static void spec_fill(struct net_board *b, const struct vmm_net_spec *net)
{
	unsigned int i = b->spec.net_count;
	struct vmm_net_spec *n = &b->spec.nets[i];

	*n = *net;
	if (n->port[0] == '\0')
		strcpy(n->port, "mgt");
	n->mac[0] = n->mac[0] != 0 ? n->mac[0] : 2;
	n->mtu = n->mtu != 0 ? n->mtu : 1500;
	n->pairs = n->pairs != 0 ? n->pairs : 1;
	n->ring_size = n->ring_size != 0 ? n->ring_size : 256;
	n->socket = i;
	b->spec.net_count = b->spec.vhost_count = i + 1;
	strcpy(b->spec.vhosts[i].port, n->port);
	b->spec.vhosts[i].fd = board_listen();
}

void net_board_init(struct net_board *b, const struct vmm_net_spec *net)
{
	net_board_init_many(b, net, 1);
}

void board_make(struct net_board *b, int listener)
{
	struct pci_host_env env = { &b->pio, &b->mmio, NULL, GIB(256), GIB(64) };
	struct err e = { 0 };

	b->address_len = sizeof(b->address);
	must(getsockname(listener, (struct sockaddr *)&b->address, &b->address_len) == 0, "name");
	pthread_mutex_init(&b->lock, NULL);
	must(bus_init(&b->pio, &b->lock) == 0 && bus_init(&b->mmio, &b->lock) == 0, "buses");
	must(gmem_create(&b->gmem, MIB(64), 0, 0, &e) == 0, "RAM");
	must(irq_router_create(FAKE_VM_FD, &b->irq, &e) == 0, "interrupts");
	env.irq = b->irq;
	must(pci_host_create(&env, &b->pci, &e) == 0, "root complex");
	must(loop_create(&b->loop, &e) == 0, "loop");
}

void board_select(struct net_board *b, uint64_t ecam)
{
	b->ecam = ecam;
	b->bar = net_cfg_read(b, PCI_BASE_ADDRESS_0, 4) & ~0xFULL;
	b->bar |= (uint64_t)net_cfg_read(b, PCI_BASE_ADDRESS_1, 4) << 32;
	net_cfg_write(b, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void net_board_init_many(struct net_board *b, const struct vmm_net_spec *net, unsigned int count)
{
	struct nets_env env;
	struct err e = { 0 };

	memset(b, 0, sizeof(*b));
	fake_backend_init(&b->backend);
	vmm_spec_init(&b->spec);
	while (b->spec.net_count < count)
		spec_fill(b, net);
	board_make(b, b->spec.vhosts[0].fd);
	env = (struct nets_env){ .loop = b->loop,
				 .lock = &b->lock,
				 .pci = b->pci,
				 .virtio = { FAKE_VM_FD, &b->gmem, &b->mmio, b->irq } };
	must(nets_create(&b->spec, &env, &b->nets, &e) == 0, e.text);
	must(pci_host_assign(b->pci, &e) == 0, e.text);
	board_select(b, DEVICE_ECAM);
}

static void disk_spec_fill(struct vmm_spec *spec, const struct vmm_disk_spec *disk)
{
	struct vmm_disk_spec *d = &spec->disks[0];

	*d = *disk;
	if (d->disk[0] == '\0')
		strcpy(d->disk, "root");
	d->queues = d->queues != 0 ? d->queues : 2;
	d->queue_size = d->queue_size != 0 ? d->queue_size : 256;
	d->fds = 0;
	spec->disk_count = spec->disk_fds_count = 1;
	spec->disk_fds[0].image_fd = -1;
	spec->disk_fds[0].socket_fd = board_listen();
}

void disk_board_init(struct net_board *b, const struct vmm_disk_spec *disk)
{
	disk_board_init_image(b, disk, -1);
}

void disk_board_init_image(struct net_board *b, const struct vmm_disk_spec *disk, int image_fd)
{
	struct disks_env env;
	struct err e = { 0 };

	memset(b, 0, sizeof(*b));
	vmm_spec_init(&b->spec);
	disk_spec_fill(&b->spec, disk);
	if (image_fd >= 0)
		b->spec.disk_fds[0].image_fd = dup(image_fd);
	fake_backend_disk_init(&b->backend, b->spec.disks[0].queues);
	board_make(b, b->spec.disk_fds[0].socket_fd);
	env = (struct disks_env){ .loop = b->loop,
				  .lock = &b->lock,
				  .pci = b->pci,
				  .virtio = { FAKE_VM_FD, &b->gmem, &b->mmio, b->irq } };
	must(disks_create(&b->spec, &env, &b->disks, &e) == 0, e.text);
	must(pci_host_assign(b->pci, &e) == 0, e.text);
	board_select(b, DEVICE_ECAM);
}

void net_board_fini(struct net_board *b)
{
	fake_backend_close(b);
	nets_close(b->nets);
	disks_close(b->disks);
	pci_host_destroy(b->pci);
	nets_destroy(b->nets);
	disks_destroy(b->disks);
	irq_router_destroy(b->irq);
	loop_destroy(b->loop);
	gmem_destroy(&b->gmem);
	bus_fini(&b->mmio);
	bus_fini(&b->pio);
	pthread_mutex_destroy(&b->lock);
	vmm_spec_fini(&b->spec);
}

json_t *net_board_status(struct net_board *b)
{
	json_t *list, *net;

	pthread_mutex_lock(&b->lock);
	list = b->disks != NULL ? disks_status(b->disks) : nets_status(b->nets);
	pthread_mutex_unlock(&b->lock);
	net = json_incref(json_array_get(list, 0));
	json_decref(list);
	return net;
}

/* --- the guest ------------------------------------------------------------------------------- */

uint64_t net_read(struct net_board *b, uint64_t off, unsigned int len)
{
	uint64_t value = 0;

	bus_read(&b->mmio, 0, b->bar + off, &value, len);
	return value;
}

void net_write(struct net_board *b, uint64_t off, unsigned int len, uint64_t value)
{
	if (!fake_kvm_doorbell(b->bar + off))
		bus_write(&b->mmio, 0, b->bar + off, &value, len);
}

uint32_t net_cfg_read(struct net_board *b, unsigned int off, unsigned int len)
{
	uint64_t value = 0;

	bus_read(&b->mmio, 0, b->ecam + off, &value, len);
	return (uint32_t)value;
}

void net_cfg_write(struct net_board *b, unsigned int off, unsigned int len, uint32_t value)
{
	const uint64_t wide = value;

	bus_write(&b->mmio, 0, b->ecam + off, &wide, len);
}

uint64_t net_driver_features(struct net_board *b)
{
	uint64_t f;

	net_write(b, VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
	f = net_read(b, VIRTIO_PCI_COMMON_DF, 4);
	net_write(b, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	return f | net_read(b, VIRTIO_PCI_COMMON_DF, 4) << 32;
}

static void address_write(struct net_board *b, unsigned int reg, uint64_t value)
{
	net_write(b, reg, 4, (uint32_t)value);
	net_write(b, reg + 4, 4, value >> 32);
}

void net_queue_set(struct net_board *b, unsigned int queue, uint16_t size)
{
	net_write(b, VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
	if (size != 0)
		net_write(b, VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
	net_write(b, VIRTIO_PCI_COMMON_Q_MSIX, 2, queue + 1);
	address_write(b, VIRTIO_PCI_COMMON_Q_DESCLO, NET_RING(queue));
	address_write(b, VIRTIO_PCI_COMMON_Q_AVAILLO, NET_AVAIL(queue));
	address_write(b, VIRTIO_PCI_COMMON_Q_USEDLO, NET_USED(queue));
	net_write(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static void vectors_set(struct net_board *b, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		net_write(b, NET_TABLE + 16 * i, 4, 0xFEE00000);
		net_write(b, NET_TABLE + 16 * i + 4, 4, 0);
		net_write(b, NET_TABLE + 16 * i + 8, 4, 0x40 + i);
		net_write(b, NET_TABLE + 16 * i + 12, 4, 0);
	}
	net_cfg_write(b, CAP_MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
}

bool net_driver_start(struct net_board *b, uint64_t features)
{
	uint8_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
	unsigned int queues = (unsigned int)net_read(b, VIRTIO_PCI_COMMON_NUMQ, 2);
	uint8_t *rings = gmem_host(&b->gmem, NET_RINGS, (uint64_t)QUEUE_SPAN * queues);

	if (!net_driver_reset(b))
		return false;
	memset(rings, 0, (size_t)QUEUE_SPAN * queues);
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, status);
	features &= net_driver_features(b);
	b->is_packed = (features & BIT_ULL(VIRTIO_F_RING_PACKED)) != 0;
	b->command_at = 0;
	b->command_is_odd = false;
	net_write(b, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	net_write(b, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)features);
	net_write(b, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	net_write(b, VIRTIO_PCI_COMMON_GF, 4, features >> 32);
	status |= VIRTIO_STATUS_FEATURES_OK;
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, status);
	if ((net_read(b, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_STATUS_FEATURES_OK) == 0)
		return false;
	vectors_set(b, queues + 1);
	net_write(b, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	for (unsigned int q = 0; q < queues; q++)
		net_queue_set(b, q, 0);
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, status | VIRTIO_STATUS_DRIVER_OK);
	return true;
}

bool net_driver_reset(struct net_board *b)
{
	net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	for (int i = 0; i < 3000; i++) {
		if (net_read(b, VIRTIO_PCI_COMMON_STATUS, 1) == 0)
			return true;
		net_board_step(b, 2);
	}
	return false;
}

static void desc_put(uint8_t *desc, uint64_t addr, uint32_t len)
{
	put_le64(desc, addr);
	put_le32(desc + 8, len);
}

/* Two descriptors in a row: the command, the answer. */
static void command_put_packed(struct net_board *b, unsigned int q, uint32_t len, unsigned int size)
{
	uint8_t *ring = gmem_host(&b->gmem, NET_RING(q), 16ULL * size);

	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *desc = ring + 16 * b->command_at;

		desc_put(desc, NET_RING(q) + (i == 0 ? 0xC010 : 0xC000), i == 0 ? len : 1);
		put_le16(desc + 12, 7); /* the buffer's id */
		put_le16(desc + 14,
			 (uint16_t)((i == 0 ? 1 : 2) | (b->command_is_odd ? 1U << 15 : 1U << 7)));
		b->command_at = (uint16_t)((b->command_at + 1) % size);
		b->command_is_odd ^= b->command_at == 0;
	}
}

static void command_put_split(struct net_board *b, unsigned int q, uint32_t len, unsigned int size)
{
	uint8_t *desc = gmem_host(&b->gmem, NET_RING(q), 64);
	uint8_t *avail = gmem_host(&b->gmem, NET_AVAIL(q), 256);
	uint16_t at = get_le16(avail + 2);

	desc_put(desc, NET_RING(q) + 0xC010, len);
	put_le16(desc + 12, 1); /* next */
	put_le16(desc + 14, 1);
	desc_put(desc + 16, NET_RING(q) + 0xC000, 1);
	put_le16(desc + 28, 2); /* write */
	put_le16(avail + 4 + 2 * (at % size), 0);
	put_le16(avail + 2, (uint16_t)(at + 1));
}

uint8_t net_command(struct net_board *b, unsigned int q, const void *data, uint32_t len)
{
	uint8_t *room = gmem_host(&b->gmem, NET_RING(q) + 0xC000, 0x4000);
	unsigned int size;

	net_write(b, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
	size = (unsigned int)net_read(b, VIRTIO_PCI_COMMON_Q_SIZE, 2);
	memcpy(room + 16, data, len);
	room[0] = 0xEE;
	if (size == 0)
		return room[0];
	if (b->is_packed)
		command_put_packed(b, q, len, size);
	else
		command_put_split(b, q, len, size);
	net_write(b, NET_DOORBELL + 4 * q, 2, q);
	net_board_step(b, 2);
	return room[0];
}

/* Quiet for that long and for as many looks: of a process that has no processor the time goes by alone. */
void net_board_step(struct net_board *b, int ms)
{
	uint64_t quiet = now_ns();
	int looks = 0;

	do {
		must(loop_step(b->loop, 1) == 0, "loop");
		looks++;
		if (!fake_backend_step(&b->backend))
			continue;
		quiet = now_ns();
		looks = 0;
	} while (looks < ms || now_ns() - quiet < (uint64_t)ms * 1000000);
}
