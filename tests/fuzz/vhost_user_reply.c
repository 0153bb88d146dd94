// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a vhost-user back end says: bytes of any kind, answers with a right header and any payload, or honest ones, in
 * any order, while the guest's driver starts, resets and pauses. One byte says what the step is, with its length. The
 * VMM may drop the back end at any of them; then its guest's reset must still come to its end. An input whose first byte is
 * DISK is of a disk's back end, which also says things by itself.
 */
#include "tests/fake/kvm_kernel.h"
#include "tests/fake/net_board.h"

#include "base/log.h"

#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <sys/socket.h>

#define DISK 0xFF

struct input {
	const uint8_t *data;
	size_t size;
};

static size_t take(struct input *in, void *out, size_t len)
{
	size_t n = len < in->size ? len : in->size;

	memcpy(out, in->data, n);
	in->data += n;
	in->size -= n;
	return n;
}

/* The header that is due, then what the input has. */
static void answer(struct net_board *b, struct input *in, size_t len)
{
	uint8_t bytes[sizeof(union vhost_user_payload) + sizeof(struct vhost_user_header)] = { 0 };
	struct vhost_user_header h;
	char rest[512];

	while (loop_step(b->loop, 0) == 0 &&
	       recv(b->backend.sock, &h, sizeof(h), MSG_DONTWAIT) == sizeof(h)) {
		(void)recv(b->backend.sock, rest, u64_min(h.size, sizeof(rest)), MSG_DONTWAIT);
		h.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
		/* The longest of a length that one byte can say is that of a disk's configuration. */
		h.size = (uint32_t)take(in, bytes + sizeof(h),
					len == 63 ? sizeof(struct vhost_user_config) : len);
		memcpy(bytes, &h, sizeof(h));
		(void)send(b->backend.sock, bytes, sizeof(h) + h.size, MSG_NOSIGNAL);
		if (in->size == 0)
			return;
	}
}

static void raw(struct net_board *b, struct input *in, size_t len)
{
	uint8_t bytes[64];
	size_t n = take(in, bytes, len);

	(void)send(b->backend.sock, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)loop_step(b->loop, 0);
}

/* What it says by itself, if it has been given a channel. */
static void channel(struct net_board *b, struct input *in, size_t len)
{
	uint8_t bytes[64];
	size_t n = take(in, bytes, len);

	if (b->backend.channel >= 0)
		(void)send(b->backend.channel, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)loop_step(b->loop, 0);
}

static void guest(struct net_board *b, unsigned int what)
{
	if (what == 0)
		net_write(b, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	else if (what < 4)
		(void)net_read(b, VIRTIO_PCI_COMMON_STATUS, 1);
	else if (net_read(b, VIRTIO_PCI_COMMON_STATUS, 1) == 0)
		(void)net_driver_start(b, UINT64_MAX);
	(void)loop_step(b->loop, 0);
}

/* Whatever it said: the guest's disk has a size that can be. */
static bool size_is_absurd(struct net_board *b)
{
	json_t *s = net_board_status(b);
	json_int_t size = json_integer_value(json_object_get(s, "size"));

	json_decref(s);
	return size < 0 || size % 512 != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct net_board b;
	uint8_t op;

	log_init("fuzz", LOG_LEVEL_ERROR);
	if (size != 0 && data[0] == DISK) {
		disk_board_init(&b, &(struct vmm_disk_spec){ .queues = 2 });
		in = (struct input){ data + 1, size - 1 };
	} else {
		net_board_init(&b, &(struct vmm_net_spec){ .grace_ms = 1 });
	}
	fake_backend_connect(&b);
	for (unsigned int i = 0; i < 100 && take(&in, &op, 1) == 1; i++) {
		if ((op & 3) == 0)
			raw(&b, &in, op >> 2);
		else if ((op & 3) == 1)
			answer(&b, &in, op >> 2);
		else if ((op & 3) == 2)
			net_board_step(&b, 0);
		else if ((op & 0x80) != 0 && b.disks != NULL)
			channel(&b, &in, op >> 2 & 31);
		else
			guest(&b, op >> 2 & 7);
	}
	fake_backend_close(&b);
	if (b.disks != NULL && size_is_absurd(&b))
		abort();
	if (!net_driver_reset(&b))
		abort();
	net_board_fini(&b);
	if (fake_kvm.doorbell_count != 0 || fake_kvm.irqfds != 0)
		abort();
	fake_kvm_reset();
	return 0;
}
