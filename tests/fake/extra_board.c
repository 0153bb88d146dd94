// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/extra_board.h"

#include "tests/fake/kvm_kernel.h"

#include "vmm/layout.h"

#include <errno.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FAKE_VM_FD   100000 /* never looked at */
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

static void spec_fill(struct vmm_spec *spec, unsigned int which)
{
	vmm_spec_init(spec);
	spec->has_rng = (which & BIT(EXTRA_RNG)) != 0;
	spec->has_virtio_console = (which & BIT(EXTRA_CONSOLE)) != 0;
	spec->hvc0_fd = board_listen();
	spec->vsock_cid = (which & BIT(EXTRA_VSOCK)) != 0 ? CID : 0;
	fake_vhost = (struct fake_vhost){ .features = UINT64_MAX };
	fake_kvm.vhost = vhost_call;
}

void extra_board_init(struct extra_board *x, unsigned int which)
{
	struct net_board *b = &x->board;
	struct extras_env env;
	struct err e = { 0 };

	memset(x, 0, sizeof(*x));
	fake_backend_init(&b->backend);
	spec_fill(&b->spec, which);
	board_make(b, b->spec.hvc0_fd);
	env = (struct extras_env){ .loop = b->loop,
				   .lock = &b->lock,
				   .pci = b->pci,
				   .virtio = { FAKE_VM_FD, &b->gmem, &b->mmio, b->irq } };
	must(extras_create(&b->spec, &env, &x->extras, &e) == 0, e.text);
	must(pci_host_assign(b->pci, &e) == 0, e.text);
	for (unsigned int f = EXTRA_VSOCK; f >= EXTRA_RNG; f--)
		if ((which & BIT(f)) != 0)
			extra_select(x, f);
}

void extra_board_fini(struct extra_board *x)
{
	extras_close(x->extras);
	pci_host_destroy(x->board.pci);
	x->board.pci = NULL;
	extras_destroy(x->extras);
	net_board_fini(&x->board);
	must(!fake_vhost.runs, "the kernel still works on memory that is gone");
}

void extra_board_step(struct extra_board *x, int ms)
{
	uint64_t end = now_ns() + (uint64_t)ms * 1000000;

	while (now_ns() < end)
		must(loop_step(x->board.loop, 1) == 0, "loop");
	/* On a busy machine all of the time may have passed in one step: what is due by now, and what follows from it. */
	for (int i = 0; i < SETTLE_STEPS; i++)
		must(loop_step(x->board.loop, 0) == 0, "loop");
}

json_t *extra_board_status(struct extra_board *x, unsigned int index)
{
	json_t *list, *one;

	pthread_mutex_lock(&x->board.lock);
	list = extras_status(x->extras);
	pthread_mutex_unlock(&x->board.lock);
	one = json_incref(json_array_get(list, index));
	json_decref(list);
	return one;
}

/* --- the guest -------------------------------------------------------------------------------- */

void extra_select(struct extra_board *x, unsigned int function)
{
	board_select(&x->board, LAYOUT_ECAM + (0x1FULL << 15) + (function << 12));
}

bool extra_driver_start(struct extra_board *x, uint64_t features)
{
	memset(x->avail, 0, sizeof(x->avail));
	return net_driver_start(&x->board, features);
}

void extra_put(struct extra_board *x, unsigned int queue, uint16_t desc,
	       const struct extra_buffer *buffer)
{
	struct net_board *b = &x->board;
	uint8_t *at = gmem_host(&b->gmem, NET_RING(queue) + 16ULL * desc, 16);
	uint8_t *avail = gmem_host(&b->gmem, NET_AVAIL(queue), 1024);
	unsigned int size;

	net_write(b, VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
	size = (unsigned int)net_read(b, VIRTIO_PCI_COMMON_Q_SIZE, 2);
	put_le64(at, buffer->gpa);
	put_le32(at + 8, buffer->len);
	put_le16(at + 12, buffer->is_writable ? 2 : 0);
	put_le16(at + 14, 0);
	put_le16(avail + 4 + 2 * (x->avail[queue]++ % (size != 0 ? size : 1)), desc);
	put_le16(avail + 2, x->avail[queue]);
}

void extra_ring(struct extra_board *x, unsigned int queue)
{
	net_write(&x->board, NET_DOORBELL + 4 * queue, 2, queue);
}

uint16_t extra_used(struct extra_board *x, unsigned int queue)
{
	return get_le16(gmem_host(&x->board.gmem, NET_USED(queue) + 2, 2));
}

uint32_t extra_used_len(struct extra_board *x, unsigned int queue, uint16_t n)
{
	return get_le32(gmem_host(&x->board.gmem, NET_USED(queue) + 8 + 8ULL * n, 4));
}

int extra_client(struct extra_board *x)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(connect(fd, (struct sockaddr *)&x->board.address, x->board.address_len) == 0,
	     "connect");
	return fd;
}
