// SPDX-License-Identifier: BSD-3-Clause
/*
 * The console device (virtio 1.2, 5.3) with its one port, hvc0: what the guest says goes into a ring that clients of a
 * socket follow (chipset_console.h), what they type waits until the guest has given buffers for it. A guest that writes without end loses nothing
 * but its readers' patience: at most CONSOLE_RATE bytes a second are taken, the rest waits in its own rings.
 */
#include "vmm/chipset_console.h"
#include "vmm/virtio_served.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define VIRTIO_ID_CONSOLE 3
#define CLASS_CONSOLE	  0x078000 /* communication, other */
#define QUEUE_INPUT	  0 /* receiveq(port0), 5.3.2 */
#define QUEUE_OUTPUT	  1
#define QUEUES		  2
#define CONSOLE_RATE	  (8U << 20)
#define CONSOLE_TURN	  65536
#define CHUNK		  4096U

/* Neither a size nor further ports nor emergency writes: the configuration is all zeroes then. */
#define FEATURES                                                         \
	(BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_INDIRECT_DESC) | \
	 BIT_ULL(VIRTIO_F_EVENT_IDX))

static_assert(QUEUES <= SERVED_QUEUES, "queues of a console");

struct virtio_console {
	struct virtio_served served; /* first */
	struct console *console;
	uint64_t to_guest, from_guest;
};

static struct virtio_console *console_of(const struct virtio_pci *vp)
{
	return (struct virtio_console *)vp;
}

static uint64_t features(const struct virtio_pci *vp)
{
	return FEATURES;
}

static void config(const struct virtio_pci *vp, uint8_t out[VIRTIO_CONFIG_MAX])
{
}

/* --- output ---------------------------------------------------------------------------------- */

/* Of a chain that is longer than the ring only the end will ever be read. How many bytes were moved. */
static int64_t chain_take(struct virtio_console *vc, const struct virtqueue *vq,
			  const struct virtq_chain *chain)
{
	uint64_t len = virtio_served_readable(chain), off = 0;
	int64_t moved = 0, n = 1;
	uint8_t bytes[CHUNK];

	if (len > CONSOLE_RING) {
		off = len - CONSOLE_RING;
		console_skip(vc->console, off);
	}
	while (off < len && n > 0) {
		n = virtq_chain_read(vq, chain, off, bytes, sizeof(bytes));
		if (n > 0)
			console_put(vc->console, bytes, (size_t)n);
		off += n > 0 ? (uint64_t)n : 0;
		moved += n > 0 ? n : 0;
	}
	vc->from_guest += len;
	return n < 0 ? n : moved;
}

static int64_t output_serve(struct virtio_console *vc)
{
	struct virtio_served *s = &vc->served;
	struct virtqueue *vq = virtio_served_ring(s, QUEUE_OUTPUT);
	struct virtq_chain chain;
	bool interrupt = false;
	int64_t moved = 0;
	unsigned int done = 0;
	int r = 1;

	for (; r > 0 && moved < CONSOLE_TURN && done < vq->size; done++) {
		int64_t n;

		r = virtqueue_pop(vq, &chain);
		if (r <= 0)
			break;
		n = chain_take(vc, vq, &chain);
		r = n < 0 ? (int)n : virtqueue_push(vq, &chain, 0);
		interrupt |= r > 0;
		moved += n > 0 ? n : 0;
		if (r == 0)
			r = 1; /* no interrupt wanted */
	}
	if (interrupt)
		virtio_pci_queue_raise(&s->vp, QUEUE_OUTPUT);
	if (r > 0)
		virtio_served_poke(s, QUEUE_OUTPUT);
	return r < 0 ? r : moved;
}

/* --- input ----------------------------------------------------------------------------------- */

/* Into the next buffer that the guest has for it. */
static int buffer_fill(struct virtio_console *vc, struct virtqueue *vq, const uint8_t *data,
		       size_t *len)
{
	struct virtq_chain chain;
	int r = virtqueue_pop(vq, &chain);

	if (r <= 0)
		return r;
	*len = u64_min(*len, virtio_served_writable(&chain));
	if (*len == 0)
		return -EBADMSG;
	r = virtq_chain_write(vq, &chain, data, *len);
	if (r == 0)
		r = virtqueue_push(vq, &chain, (uint32_t)*len);
	if (r > 0)
		virtio_pci_queue_raise(&vc->served.vp, QUEUE_INPUT);
	return r < 0 ? r : 1;
}

/* struct console_env. */
static size_t receive(void *arg, const uint8_t *data, size_t len)
{
	struct virtio_console *vc = arg;
	struct virtqueue *vq = virtio_served_ring(&vc->served, QUEUE_INPUT);
	int r = vq != NULL ? buffer_fill(vc, vq, data, &len) : 0;

	if (r < 0)
		virtio_pci_break(&vc->served.vp);
	vc->to_guest += r > 0 ? len : 0;
	return r > 0 ? len : 0;
}

static int64_t serve(struct virtio_served *s, unsigned int queue)
{
	struct virtio_console *vc = console_of(&s->vp);
	uint64_t before = vc->to_guest;

	if (queue == QUEUE_OUTPUT)
		return output_serve(vc);
	console_refill(vc->console);
	return (int64_t)(vc->to_guest - before);
}

/* --- life ------------------------------------------------------------------------------------ */

static const struct virtio_pci_ops console_ops = {
	.features = features,
	.config = config,
	.changed = virtio_served_changed,
	.reset = virtio_served_reset,
};

static bool is_wanted(const struct vmm_spec *spec)
{
	return spec->has_virtio_console;
}

static int console_open(struct virtio_console *vc, const struct extras_env *env, int listener_fd,
			struct err *e)
{
	const struct console_env console = { .loop = env->loop,
					     .lock = env->lock,
					     .receive = receive,
					     .arg = vc,
					     .listener_fd = listener_fd,
					     .log_fd = -1,
					     .log_old_fd = -1 };

	return console_create(&console, &vc->console, e);
}

static void extra_close(struct virtio_pci *vp)
{
	struct virtio_console *vc = console_of(vp);

	virtio_served_close(&vc->served);
	console_destroy(ptr_take(&vc->console));
}

static void extra_destroy(struct virtio_pci *vp)
{
	extra_close(vp);
	virtio_served_fini(&console_of(vp)->served);
	free(vp);
}

static int extra_create(const struct extras_env *env, const struct vmm_spec *spec,
			struct virtio_pci **out, struct err *e)
{
	const struct virtio_pci_kind kind = { .id = VIRTIO_ID_CONSOLE,
					      .class_code = CLASS_CONSOLE,
					      .queue_count = QUEUES,
					      .is_integrated = true,
					      .ops = &console_ops };
	struct virtio_console *vc = calloc(1, sizeof(*vc));
	int r;

	if (vc == NULL)
		return err_set(e, ENOMEM, "virtio-console: out of memory");
	vc->served.serve = serve;
	vc->served.rate = CONSOLE_RATE;
	r = virtio_served_init(&vc->served, env, &kind, "virtio-console", e);
	if (r < 0) {
		free(vc);
		return r;
	}
	r = console_open(vc, env, spec->hvc0_fd, e);
	if (r < 0)
		extra_destroy(&vc->served.vp);
	else
		*out = &vc->served.vp;
	return r;
}

static void extra_pause(struct virtio_pci *vp, bool paused)
{
	virtio_served_pause(&console_of(vp)->served, paused);
	if (!paused) /* what was typed meanwhile */
		virtio_served_poke(&console_of(vp)->served, QUEUE_INPUT);
}

static void extra_status(const struct virtio_pci *vp, struct extra_status *out)
{
	out->to_guest = console_of(vp)->to_guest;
	out->from_guest = console_of(vp)->from_guest;
}

const struct extra_kind virtio_console_extra = {
	.name = "hvc0",
	.function = 2,
	.is_wanted = is_wanted,
	.create = extra_create,
	.pause = extra_pause,
	.close = extra_close,
	.status = extra_status,
	.destroy = extra_destroy,
};
