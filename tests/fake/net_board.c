// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/net_board.h"

#include "tests/fake/kvm_kernel.h"

#include "base/fd.h"
#include "vmm/layout.h"
#include "vmm/virtio_net.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static void listener_make(struct vmm_vhost_spec *v)
{
	const struct sockaddr_un sa = { .sun_family = AF_UNIX };

	v->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(bind(v->fd, (const struct sockaddr *)&sa, sizeof(sa.sun_family)) == 0, "bind");
	must(listen(v->fd, 4) == 0, "listen");
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
	listener_make(&b->spec.vhosts[i]);
}

static void backend_init(struct fake_backend *k)
{
	*k = (struct fake_backend){ .sock = -1,
				    .features = virtio_net_ring_features() |
						BIT_ULL(VHOST_USER_F_PROTOCOL_FEATURES),
				    .protocol = UINT64_MAX,
				    .pairs = VMM_MAX_PAIRS };
	for (unsigned int i = 0; i < ARRAY_SIZE(k->kick); i++)
		k->kick[i] = k->call[i] = -1;
}

void net_board_init(struct net_board *b, const struct vmm_net_spec *net)
{
	net_board_init_many(b, net, 1);
}

void net_board_init_many(struct net_board *b, const struct vmm_net_spec *net, unsigned int count)
{
	struct pci_host_env env = { &b->pio, &b->mmio, NULL, GIB(256), GIB(64) };
	struct nets_env nets_env;
	struct err e = { 0 };

	memset(b, 0, sizeof(*b));
	backend_init(&b->backend);
	vmm_spec_init(&b->spec);
	while (b->spec.net_count < count)
		spec_fill(b, net);
	b->address_len = sizeof(b->address);
	must(getsockname(b->spec.vhosts[0].fd, (struct sockaddr *)&b->address, &b->address_len) ==
		     0,
	     "name");
	pthread_mutex_init(&b->lock, NULL);
	must(bus_init(&b->pio, &b->lock) == 0 && bus_init(&b->mmio, &b->lock) == 0, "buses");
	must(gmem_create(&b->gmem, MIB(64), 0, 0, &e) == 0, "RAM");
	must(irq_router_create(FAKE_VM_FD, &b->irq, &e) == 0, "interrupts");
	env.irq = b->irq;
	must(pci_host_create(&env, &b->pci, &e) == 0, "root complex");
	must(loop_create(&b->loop, &e) == 0, "loop");
	nets_env = (struct nets_env){ .loop = b->loop,
				      .lock = &b->lock,
				      .pci = b->pci,
				      .virtio = { FAKE_VM_FD, &b->gmem, &b->mmio, b->irq } };
	must(nets_create(&b->spec, &nets_env, &b->nets, &e) == 0, e.text);
	must(pci_host_assign(b->pci, &e) == 0, e.text);
	b->bar = net_cfg_read(b, PCI_BASE_ADDRESS_0, 4) & ~0xFULL;
	b->bar |= (uint64_t)net_cfg_read(b, PCI_BASE_ADDRESS_1, 4) << 32;
	net_cfg_write(b, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void net_board_fini(struct net_board *b)
{
	fake_backend_close(b);
	nets_close(b->nets);
	pci_host_destroy(b->pci);
	nets_destroy(b->nets);
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
	list = nets_status(b->nets);
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

	bus_read(&b->mmio, 0, DEVICE_ECAM + off, &value, len);
	return (uint32_t)value;
}

void net_cfg_write(struct net_board *b, unsigned int off, unsigned int len, uint32_t value)
{
	const uint64_t wide = value;

	bus_write(&b->mmio, 0, DEVICE_ECAM + off, &wide, len);
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

/* --- the back end ---------------------------------------------------------------------------- */

void fake_backend_connect(struct net_board *b)
{
	struct fake_backend *k = &b->backend;

	must(k->sock < 0, "the back end is connected");
	k->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(connect(k->sock, (struct sockaddr *)&b->address, b->address_len) == 0, "connect");
}

void fake_backend_close(struct net_board *b)
{
	struct fake_backend *k = &b->backend;

	fd_close(&k->sock);
	for (unsigned int i = 0; i < ARRAY_SIZE(k->kick); i++) {
		fd_close(&k->kick[i]);
		fd_close(&k->call[i]);
		k->enabled[i] = false;
	}
}

struct said {
	struct vhost_user_header h;
	union vhost_user_payload p;
	int fds[VHOST_USER_FDS];
	unsigned int fd_count;
};

static bool said_receive(struct fake_backend *k, struct said *s)
{
	struct iovec iov = { &s->h, sizeof(s->h) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_USER_FDS)];
	} control;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;

	memset(s, 0, sizeof(*s));
	if (recvmsg(k->sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(s->h))
		return false;
	must(s->h.size <= sizeof(s->p), "a message that is too large");
	must(s->h.size == 0 || recv(k->sock, &s->p, s->h.size, 0) == (ssize_t)s->h.size, "payload");
	c = CMSG_FIRSTHDR(&msg);
	if (c != NULL) {
		s->fd_count = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(s->fds, CMSG_DATA(c), s->fd_count * sizeof(int));
	}
	return true;
}

static void answer_send(struct fake_backend *k, const struct said *s, uint32_t size, int fd)
{
	enum fake_lie lie = k->lie_at == s->h.request ? k->lie : LIE_NONE;
	struct said a = *s;
	struct iovec iov[] = { { &a.h, sizeof(a.h) }, { &a.p, size } };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int fds[2];
	size_t count = 0;
	struct cmsghdr *c;

	a.h.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	a.h.size = size;
	if (lie == LIE_SILENT || lie == LIE_CLOSE) {
		if (lie == LIE_CLOSE)
			fd_close(&k->sock);
		return;
	}
	a.h.request += lie == LIE_REQUEST;
	a.h.flags ^= lie == LIE_FLAGS ? VHOST_USER_REPLY : 0;
	a.h.size = lie == LIE_HUGE ? UINT32_MAX : a.h.size + (lie == LIE_LONG) - (lie == LIE_SHORT);
	iov[1].iov_len = size + (lie == LIE_LONG) - (lie == LIE_SHORT);
	if (lie == LIE_NACK)
		a.p.number = size == sizeof(uint64_t) && (s->h.flags & VHOST_USER_NEED_REPLY) != 0;
	if (fd >= 0)
		fds[count++] = fd;
	if (lie == LIE_FD)
		fds[count++] = k->sock;
	if (count != 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	for (int i = 0; i < 1 + (lie == LIE_TWICE); i++)
		(void)sendmsg(k->sock, &msg, MSG_NOSIGNAL);
}

static void fd_place(int *place, struct said *s)
{
	fd_close(place);
	*place = s->fd_count == 1 ? fd_take(&s->fds[0]) : -1;
}

static void number_answer(struct fake_backend *k, struct said *s, uint64_t value)
{
	s->p.number = value;
	answer_send(k, s, sizeof(s->p.number), -1);
}

static void inflight_answer(struct fake_backend *k, struct said *s)
{
	auto_fd int fd = memfd_create("inflight", MFD_CLOEXEC);

	s->p.inflight.mmap_size = k->lie_at == s->h.request && k->lie == LIE_NACK ? 0 : 4096;
	s->p.inflight.mmap_offset = 0;
	answer_send(k, s, sizeof(s->p.inflight), fd);
}

/* What asks a question: its answer is sent. */
static bool question_answer(struct fake_backend *k, struct said *s)
{
	switch (s->h.request) {
	case VHOST_USER_GET_FEATURES:
		number_answer(k, s, k->features);
		return true;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		number_answer(k, s, k->protocol);
		return true;
	case VHOST_USER_GET_QUEUE_NUM:
		number_answer(k, s, k->pairs);
		return true;
	case VHOST_USER_GET_VRING_BASE:
		k->enabled[s->p.state.index] = false;
		s->p.state.num = k->base[s->p.state.index];
		if (k->lie == LIE_NACK && k->lie_at == s->h.request)
			s->p.state.num = UINT32_MAX;
		answer_send(k, s, sizeof(s->p.state), -1);
		return true;
	case VHOST_USER_GET_INFLIGHT_FD:
		inflight_answer(k, s);
		return true;
	default:
		return false;
	}
}

static void order_take(struct fake_backend *k, struct said *s)
{
	unsigned int ring = s->p.state.index % ARRAY_SIZE(k->kick);
	struct stat st;

	switch (s->h.request) {
	case VHOST_USER_SET_FEATURES:
		k->acked = s->p.number;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		k->memory = s->p.memory;
		must(s->fd_count == s->p.memory.count, "one fd for each region");
		break;
	case VHOST_USER_NET_SET_MTU:
		k->mtu = s->p.number;
		break;
	case VHOST_USER_SET_VRING_NUM:
		k->num[ring] = s->p.state.num;
		break;
	case VHOST_USER_SET_VRING_BASE:
		k->base[ring] = s->p.state.num;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		k->addr[ring] = s->p.addr;
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		k->enabled[ring] = s->p.state.num != 0;
		break;
	case VHOST_USER_SET_VRING_KICK:
		fd_place(&k->kick[ring], s);
		break;
	case VHOST_USER_SET_VRING_CALL:
		fd_place(&k->call[ring], s);
		break;
	case VHOST_USER_SET_INFLIGHT_FD:
		k->inflight = s->p.inflight;
		if (s->fd_count == 1 && fstat(s->fds[0], &st) == 0)
			k->inflight_ino = st.st_ino;
		break;
	default:
		break;
	}
}

/* One message; false: there is none. */
static bool backend_step(struct fake_backend *k)
{
	struct said s;

	if (k->sock < 0 || !said_receive(k, &s))
		return false;
	must(s.h.request < ARRAY_SIZE(k->messages), "a message that there is not");
	k->messages[s.h.request]++;
	if (!question_answer(k, &s)) {
		order_take(k, &s);
		if ((s.h.flags & VHOST_USER_NEED_REPLY) != 0)
			number_answer(k, &s, 0);
	}
	for (unsigned int i = 0; i < s.fd_count; i++)
		fd_close(&s.fds[i]);
	return true;
}

void net_board_step(struct net_board *b, int ms)
{
	uint64_t quiet = now_ns();

	do {
		must(loop_step(b->loop, 1) == 0, "loop");
		if (backend_step(&b->backend))
			quiet = now_ns();
	} while (now_ns() - quiet < (uint64_t)ms * 1000000);
}
