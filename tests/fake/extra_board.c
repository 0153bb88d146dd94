// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/extra_board.h"

#include "tests/fake/kvm_kernel.h"

#include "base/fd.h"
#include "vmm/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FAKE_VM_FD   100000 /* never looked at */
#define CAP_MSIX     0x40
#define CID	     42
#define SETTLE_STEPS 4

struct fake_vhost fake_vhost;

static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "extra_board: %s: %s\n", what, strerror(errno));
	abort();
}

/* --- the kernel's vhost_vsock ----------------------------------------------------------------- */

static int fail(int error)
{
	errno = error;
	return -1;
}

/* The kernel starts only with rings that lie in the memory that it was told of. */
static int running_set(bool on)
{
	if (!on) {
		fake_vhost.stops += fake_vhost.runs;
		fake_vhost.runs = false;
		return 0;
	}
	if (fake_vhost.runs || fake_vhost.regions == 0)
		return fail(EFAULT);
	for (unsigned int i = 0; i < FAKE_VHOST_RINGS; i++)
		if (fake_vhost.addr[i].desc_user_addr == 0 || fake_vhost.num[i].num == 0)
			return fail(EFAULT);
	fake_vhost.starts++;
	fake_vhost.runs = true;
	return 0;
}

static int ring_call(unsigned long request, void *arg)
{
	unsigned int i = *(unsigned int *)arg; /* the first member of all of them */

	must(i < FAKE_VHOST_RINGS, "no such ring");
	must(!fake_vhost.runs || request == VHOST_GET_VRING_BASE, "a ring changes while it runs");
	switch (request) {
	case VHOST_SET_VRING_NUM:
		fake_vhost.num[i] = *(struct vhost_vring_state *)arg;
		return 0;
	case VHOST_SET_VRING_BASE:
		fake_vhost.base[i] = *(struct vhost_vring_state *)arg;
		return 0;
	case VHOST_GET_VRING_BASE:
		*(struct vhost_vring_state *)arg = fake_vhost.base[i];
		return 0;
	case VHOST_SET_VRING_ADDR:
		fake_vhost.addr[i] = *(struct vhost_vring_addr *)arg;
		return 0;
	case VHOST_SET_VRING_KICK:
		fake_vhost.kick[i] = ((struct vhost_vring_file *)arg)->fd;
		return 0;
	case VHOST_SET_VRING_CALL:
		fake_vhost.call[i] = ((struct vhost_vring_file *)arg)->fd;
		return 0;
	default:
		return fail(ENOTTY);
	}
}

static int vhost_call(unsigned long request, void *arg)
{
	if (request == fake_vhost.fails)
		return fail(EINVAL);
	must(fake_vhost.is_owned || request == VHOST_SET_OWNER || request == VHOST_GET_FEATURES,
	     "nobody owns it");
	switch (request) {
	case VHOST_SET_OWNER:
		if (fake_vhost.is_owned)
			return fail(EBUSY);
		fake_vhost.is_owned = true;
		return 0;
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = fake_vhost.features;
		return 0;
	case VHOST_SET_FEATURES:
		fake_vhost.acked = *(uint64_t *)arg;
		return (fake_vhost.acked & ~fake_vhost.features) == 0 ? 0 : fail(EOPNOTSUPP);
	case VHOST_SET_MEM_TABLE:
		must(!fake_vhost.runs, "memory changes while it runs");
		fake_vhost.regions = ((struct vhost_memory *)arg)->nregions;
		return 0;
	case VHOST_VSOCK_SET_RUNNING:
		return running_set(*(int *)arg != 0);
	default:
		return ring_call(request, arg);
	}
}

/* --- the board -------------------------------------------------------------------------------- */

static int listener_make(void)
{
	const struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(bind(fd, (const struct sockaddr *)&sa, sizeof(sa.sun_family)) == 0, "bind");
	must(listen(fd, 4) == 0, "listen");
	return fd;
}

static void spec_fill(struct extra_board *b, unsigned int which)
{
	vmm_spec_init(&b->spec);
	b->spec.has_rng = (which & BIT(EXTRA_RNG)) != 0;
	b->spec.has_virtio_console = (which & BIT(EXTRA_CONSOLE)) != 0;
	b->spec.hvc0_fd = listener_make();
	b->address_len = sizeof(b->address);
	must(getsockname(b->spec.hvc0_fd, (struct sockaddr *)&b->address, &b->address_len) == 0,
	     "name");
	b->spec.vsock_cid = (which & BIT(EXTRA_VSOCK)) != 0 ? CID : 0;
	fake_vhost = (struct fake_vhost){ .features = UINT64_MAX };
	fake_kvm.vhost = vhost_call;
}

void extra_board_init(struct extra_board *b, unsigned int which)
{
	struct pci_host_env env = { &b->pio, &b->mmio, NULL, GIB(256), GIB(64) };
	struct extras_env extras;
	struct err e = { 0 };

	memset(b, 0, sizeof(*b));
	spec_fill(b, which);
	pthread_mutex_init(&b->lock, NULL);
	must(bus_init(&b->pio, &b->lock) == 0 && bus_init(&b->mmio, &b->lock) == 0, "buses");
	must(gmem_create(&b->gmem, MIB(64), 0, 0, &e) == 0, "RAM");
	must(irq_router_create(FAKE_VM_FD, &b->irq, &e) == 0, "interrupts");
	env.irq = b->irq;
	must(pci_host_create(&env, &b->pci, &e) == 0, "root complex");
	must(loop_create(&b->loop, &e) == 0, "loop");
	extras = (struct extras_env){ .loop = b->loop,
				      .lock = &b->lock,
				      .pci = b->pci,
				      .virtio = { FAKE_VM_FD, &b->gmem, &b->mmio, b->irq } };
	must(extras_create(&b->spec, &extras, &b->extras, &e) == 0, e.text);
	must(pci_host_assign(b->pci, &e) == 0, e.text);
	for (unsigned int f = EXTRA_VSOCK; f >= EXTRA_RNG; f--)
		if ((which & BIT(f)) != 0)
			extra_select(b, f);
}

void extra_board_fini(struct extra_board *b)
{
	extras_close(b->extras);
	pci_host_destroy(b->pci);
	extras_destroy(b->extras);
	irq_router_destroy(b->irq);
	loop_destroy(b->loop);
	gmem_destroy(&b->gmem);
	bus_fini(&b->mmio);
	bus_fini(&b->pio);
	pthread_mutex_destroy(&b->lock);
	vmm_spec_fini(&b->spec);
	must(!fake_vhost.runs, "the kernel still works on memory that is gone");
}

void extra_board_step(struct extra_board *b, int ms)
{
	uint64_t end = now_ns() + (uint64_t)ms * 1000000;

	while (now_ns() < end)
		must(loop_step(b->loop, 1) == 0, "loop");
	/* On a busy machine all of the time may have passed in one step: what is due by now, and what follows from it. */
	for (int i = 0; i < SETTLE_STEPS; i++)
		must(loop_step(b->loop, 0) == 0, "loop");
}

json_t *extra_board_status(struct extra_board *b, unsigned int index)
{
	json_t *list, *one;

	pthread_mutex_lock(&b->lock);
	list = extras_status(b->extras);
	pthread_mutex_unlock(&b->lock);
	one = json_incref(json_array_get(list, index));
	json_decref(list);
	return one;
}

/* --- the guest -------------------------------------------------------------------------------- */

void extra_select(struct extra_board *b, unsigned int function)
{
	b->function = function;
	b->bar = extra_cfg_read(b, PCI_BASE_ADDRESS_0, 4) & ~0xFULL;
	b->bar |= (uint64_t)extra_cfg_read(b, PCI_BASE_ADDRESS_1, 4) << 32;
	extra_cfg_write(b, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

uint64_t extra_read(struct extra_board *b, uint64_t off, unsigned int len)
{
	uint64_t value = 0;

	bus_read(&b->mmio, 0, b->bar + off, &value, len);
	return value;
}

void extra_write(struct extra_board *b, uint64_t off, unsigned int len, uint64_t value)
{
	if (!fake_kvm_doorbell(b->bar + off))
		bus_write(&b->mmio, 0, b->bar + off, &value, len);
}

static uint64_t ecam(const struct extra_board *b, unsigned int off)
{
	return LAYOUT_ECAM + (0x1FULL << 15) + (b->function << 12) + off;
}

uint32_t extra_cfg_read(struct extra_board *b, unsigned int off, unsigned int len)
{
	uint64_t value = 0;

	bus_read(&b->mmio, 0, ecam(b, off), &value, len);
	return (uint32_t)value;
}

void extra_cfg_write(struct extra_board *b, unsigned int off, unsigned int len, uint32_t value)
{
	const uint64_t wide = value;

	bus_write(&b->mmio, 0, ecam(b, off), &wide, len);
}

static void address_write(struct extra_board *b, unsigned int reg, uint64_t value)
{
	extra_write(b, reg, 4, (uint32_t)value);
	extra_write(b, reg + 4, 4, value >> 32);
}

static void queue_set(struct extra_board *b, unsigned int queue)
{
	extra_write(b, VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
	extra_write(b, VIRTIO_PCI_COMMON_Q_MSIX, 2, queue + 1);
	address_write(b, VIRTIO_PCI_COMMON_Q_DESCLO, EXTRA_RING(queue));
	address_write(b, VIRTIO_PCI_COMMON_Q_AVAILLO, EXTRA_AVAIL(queue));
	address_write(b, VIRTIO_PCI_COMMON_Q_USEDLO, EXTRA_USED(queue));
	extra_write(b, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static void vectors_set(struct extra_board *b, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		extra_write(b, EXTRA_TABLE + 16 * i, 4, 0xFEE00000);
		extra_write(b, EXTRA_TABLE + 16 * i + 8, 4, 0x40 + i);
		extra_write(b, EXTRA_TABLE + 16 * i + 12, 4, 0);
	}
	extra_cfg_write(b, CAP_MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
}

static uint64_t features_take(struct extra_board *b, uint64_t features)
{
	for (unsigned int half = 0; half < 2; half++) {
		extra_write(b, VIRTIO_PCI_COMMON_DFSELECT, 4, half);
		features &= extra_read(b, VIRTIO_PCI_COMMON_DF, 4) << 32 * half |
			    (uint64_t)UINT32_MAX << 32 * (1 - half);
		extra_write(b, VIRTIO_PCI_COMMON_GFSELECT, 4, half);
		extra_write(b, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> 32 * half));
	}
	return features;
}

bool extra_driver_start(struct extra_board *b, uint64_t features)
{
	uint8_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
	unsigned int queues = (unsigned int)extra_read(b, VIRTIO_PCI_COMMON_NUMQ, 2);

	extra_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	/* A reset that waits is done by the main thread. */
	extra_board_step(b, 0);
	memset(gmem_host(&b->gmem, EXTRA_RING(0), 0x40000), 0, 0x40000);
	memset(b->avail, 0, sizeof(b->avail));
	extra_write(b, VIRTIO_PCI_COMMON_STATUS, 1, status);
	features_take(b, features);
	status |= VIRTIO_STATUS_FEATURES_OK;
	extra_write(b, VIRTIO_PCI_COMMON_STATUS, 1, status);
	if ((extra_read(b, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_STATUS_FEATURES_OK) == 0)
		return false;
	vectors_set(b, queues + 1);
	for (unsigned int q = 0; q < queues && q < ARRAY_SIZE(b->avail); q++)
		queue_set(b, q);
	extra_write(b, VIRTIO_PCI_COMMON_STATUS, 1, status | VIRTIO_STATUS_DRIVER_OK);
	return true;
}

void extra_put(struct extra_board *b, unsigned int queue, uint16_t desc,
	       const struct extra_buffer *buffer)
{
	uint8_t *at = gmem_host(&b->gmem, EXTRA_RING(queue) + 16ULL * desc, 16);
	uint8_t *avail = gmem_host(&b->gmem, EXTRA_AVAIL(queue), 1024);
	unsigned int size;

	extra_write(b, VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
	size = (unsigned int)extra_read(b, VIRTIO_PCI_COMMON_Q_SIZE, 2);
	put_le64(at, buffer->gpa);
	put_le32(at + 8, buffer->len);
	put_le16(at + 12, buffer->is_writable ? 2 : 0);
	put_le16(at + 14, 0);
	put_le16(avail + 4 + 2 * (b->avail[queue]++ % (size != 0 ? size : 1)), desc);
	put_le16(avail + 2, b->avail[queue]);
}

void extra_ring(struct extra_board *b, unsigned int queue)
{
	extra_write(b, EXTRA_DOORBELL(queue), 2, queue);
}

uint16_t extra_used(struct extra_board *b, unsigned int queue)
{
	return get_le16(gmem_host(&b->gmem, EXTRA_USED(queue) + 2, 2));
}

uint32_t extra_used_len(struct extra_board *b, unsigned int queue, uint16_t n)
{
	return get_le32(gmem_host(&b->gmem, EXTRA_USED(queue) + 8 + 8ULL * n, 4));
}

int extra_client(struct extra_board *b)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(connect(fd, (struct sockaddr *)&b->address, b->address_len) == 0, "connect");
	return fd;
}
