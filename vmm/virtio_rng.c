// SPDX-License-Identifier: BSD-3-Clause
/*
 * The entropy device (virtio 1.2, 5.4): one queue of buffers that the host's kernel fills, as getrandom(2) gives it to
 * anybody. At most RNG_RATE bytes a second, so that a guest which reads without end costs the host little.
 */
#include "vmm/virtio_served.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define VIRTIO_ID_RNG 4
#define CLASS_RNG     0x00FF00 /* no class that there is fits */
#define RNG_RATE      (1U << 20)
#define RNG_CHUNK \
	4096U /* of one buffer at most: 5.4.6 lets a device give less than there is room for */
#define RNG_TURN  65536
#define RNG_PRICE 256 /* of a buffer, however small, in bytes */

#define FEATURES                                                         \
	(BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_INDIRECT_DESC) | \
	 BIT_ULL(VIRTIO_F_EVENT_IDX))

struct virtio_rng {
	struct virtio_served served; /* first */
	uint64_t bytes;
};

static struct virtio_rng *rng_of(const struct virtio_pci *vp)
{
	return (struct virtio_rng *)vp;
}

static uint64_t features(const struct virtio_pci *vp)
{
	return FEATURES;
}

static void config(const struct virtio_pci *vp, uint8_t out[VIRTIO_CONFIG_MAX])
{
	/* 5.4.4: it has none. */
}

/* How many bytes; negative: it broke the rules. */
static int64_t chain_fill(struct virtqueue *vq, const struct virtq_chain *chain, bool *interrupt)
{
	uint8_t bytes[RNG_CHUNK];
	uint64_t room = u64_min(virtio_served_writable(chain), sizeof(bytes));
	ssize_t n = room == 0 ? 0 : getrandom(bytes, room, GRND_NONBLOCK);
	int r;

	if (n <=
	    0) /* 5.4.6.1: a buffer has room; the host's own numbers are there before any VM is */
		return room == 0 ? -EBADMSG : -EIO;
	r = virtq_chain_write(vq, chain, bytes, (uint64_t)n);
	explicit_bzero(bytes, sizeof(bytes));
	if (r == 0)
		r = virtqueue_push(vq, chain, (uint32_t)n);
	*interrupt |= r > 0;
	return r < 0 ? r : n;
}

static int64_t serve(struct virtio_served *s, unsigned int queue)
{
	struct virtqueue *vq = virtio_served_ring(s, queue);
	struct virtq_chain chain;
	bool interrupt = false;
	int64_t moved = 0, price = 0, n = 1;

	for (uint32_t i = 0; n > 0 && i < vq->size && price < RNG_TURN; i++) {
		n = virtqueue_pop(vq, &chain);
		if (n > 0)
			n = chain_fill(vq, &chain, &interrupt);
		moved += n > 0 ? n : 0;
		price += n > 0 ? n + RNG_PRICE : 0;
	}
	rng_of(&s->vp)->bytes += (uint64_t)moved;
	if (interrupt)
		virtio_pci_queue_raise(&s->vp, queue);
	if (n > 0)
		virtio_served_poke(s, queue);
	return n < 0 ? n : price;
}

static const struct virtio_pci_ops rng_ops = {
	.features = features,
	.config = config,
	.changed = virtio_served_changed,
	.reset = virtio_served_reset,
};

static bool is_wanted(const struct vmm_spec *spec)
{
	return spec->has_rng;
}

static int rng_create(const struct extras_env *env, const struct vmm_spec *spec,
		      struct virtio_pci **out, struct err *e)
{
	const struct virtio_pci_kind kind = { .id = VIRTIO_ID_RNG,
					      .class_code = CLASS_RNG,
					      .queue_count = 1,
					      .is_integrated = true,
					      .ops = &rng_ops };
	struct virtio_rng *rng = calloc(1, sizeof(*rng));
	int r;

	if (rng == NULL)
		return err_set(e, ENOMEM, "virtio-rng: out of memory");
	rng->served.serve = serve;
	rng->served.rate = RNG_RATE;
	r = virtio_served_init(&rng->served, env, &kind, "virtio-rng", e);
	if (r < 0)
		free(rng);
	else
		*out = &rng->served.vp;
	return r;
}

static void rng_pause(struct virtio_pci *vp, bool paused)
{
	virtio_served_pause(&rng_of(vp)->served, paused);
}

static void rng_close(struct virtio_pci *vp)
{
	virtio_served_close(&rng_of(vp)->served);
}

static void rng_status(const struct virtio_pci *vp, struct extra_status *out)
{
	out->to_guest = rng_of(vp)->bytes;
}

static void rng_destroy(struct virtio_pci *vp)
{
	virtio_served_fini(&rng_of(vp)->served);
	free(vp);
}

const struct extra_kind virtio_rng_extra = {
	.name = "rng",
	.function = 1,
	.is_wanted = is_wanted,
	.create = rng_create,
	.pause = rng_pause,
	.close = rng_close,
	.status = rng_status,
	.destroy = rng_destroy,
};
