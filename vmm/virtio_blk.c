// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/virtio_blk.h"

#include <assert.h>
#include <errno.h>

#define VIRTIO_ID_BLOCK 2
#define CLASS_STORAGE	0x010000
#define SECTOR		512U
#define BLOCK_MAX	4096U /* Linux takes no larger one than a page */
#define EXPONENT_MAX	16U /* of blocks in a physical one */
#define SECTORS_MAX	(INT64_MAX / SECTOR)
#define OWN_DESCRIPTORS 2U /* of a request: header and status */

#define CONFIG_AT(member) offsetof(struct virtio_blk_config, member)

static_assert(CONFIG_AT(size_max) == 8, "5.2.4");
static_assert(CONFIG_AT(seg_max) == 12, "5.2.4");
static_assert(CONFIG_AT(blk_size) == 20, "5.2.4");
static_assert(CONFIG_AT(wce) == 32, "5.2.4");
static_assert(CONFIG_AT(num_queues) == 34, "5.2.4");
static_assert(CONFIG_AT(max_discard_sectors) == 36, "5.2.4");
static_assert(CONFIG_AT(write_zeroes_may_unmap) == 56, "5.2.4");
static_assert(CONFIG_AT(write_zeroes_may_unmap) + 4 == VHOST_USER_CONFIG_BYTES, "5.2.4");
static_assert(VHOST_USER_CONFIG_BYTES <= VIRTIO_CONFIG_MAX, "5.2.4");

#define BIT_OF(f) BIT_ULL(VIRTIO_BLK_F_##f)

/* Whether its cache is on is not the guest's to change (CONFIG_WCE), and rings are split: what a disk has in flight is
 * found again by an in-flight region whose form differs with packed ones. */
#define OFFERED                                                                               \
	(BIT_OF(SIZE_MAX) | BIT_OF(SEG_MAX) | BIT_OF(RO) | BIT_OF(BLK_SIZE) | BIT_OF(FLUSH) | \
	 BIT_OF(TOPOLOGY) | BIT_OF(MQ) | BIT_OF(DISCARD) | BIT_OF(WRITE_ZEROES) |             \
	 BIT_ULL(VIRTIO_F_INDIRECT_DESC) | BIT_ULL(VIRTIO_F_EVENT_IDX) |                      \
	 BIT_ULL(VIRTIO_F_VERSION_1))

/* A feature that means nothing while a number is 0; and numbers that a later back end has to come up to. */
static const struct {
	uint64_t feature;
	size_t at;
} limits[] = {
	{ BIT_OF(SIZE_MAX), CONFIG_AT(size_max) },
	{ BIT_OF(SEG_MAX), CONFIG_AT(seg_max) },
	{ BIT_OF(DISCARD), CONFIG_AT(max_discard_sectors) },
	{ BIT_OF(DISCARD), CONFIG_AT(max_discard_seg) },
	{ BIT_OF(WRITE_ZEROES), CONFIG_AT(max_write_zeroes_sectors) },
	{ BIT_OF(WRITE_ZEROES), CONFIG_AT(max_write_zeroes_seg) },
};

static struct virtio_blk *blk_of(struct virtio_pci *vp)
{
	return container_of(vp, struct virtio_blk, vp);
}

static uint32_t limit_get(const struct virtio_blk_config *c, size_t i)
{
	return get_le32((const uint8_t *)c + limits[i].at);
}

static uint64_t features(const struct virtio_pci *vp)
{
	const struct virtio_blk *b = (const struct virtio_blk *)vp;

	return (b->features & b->backend_features) | BIT_ULL(VIRTIO_F_VERSION_1);
}

static void config(const struct virtio_pci *vp, uint8_t out[VIRTIO_CONFIG_MAX])
{
	const struct virtio_blk *b = (const struct virtio_blk *)vp;

	memcpy(out, &b->config, VHOST_USER_CONFIG_BYTES);
}

static void changed(struct virtio_pci *vp)
{
	struct virtio_blk *b = blk_of(vp);

	b->changed(b->arg);
}

/* All of it is the back end's. */
static void reset(struct virtio_pci *vp)
{
}

static const struct virtio_pci_ops blk_ops = {
	.features = features,
	.config = config,
	.changed = changed,
	.reset = reset,
};

int virtio_blk_init(struct virtio_blk *b, const struct virtio_pci_env *env,
		    const struct vmm_disk_spec *spec, const char *name, struct err *e)
{
	const struct virtio_pci_kind kind = { .id = VIRTIO_ID_BLOCK,
					      .class_code = CLASS_STORAGE,
					      .queue_count = spec->queues,
					      .ops = &blk_ops };

	b->queues = spec->queues;
	b->queue_size = spec->queue_size;
	b->backend_features = UINT64_MAX;
	for (unsigned int i = 0; i < kind.queue_count; i++)
		b->vp.queues[i].size_max = (uint16_t)spec->queue_size;
	return virtio_pci_init(&b->vp, env, &kind, name, e);
}

void virtio_blk_fini(struct virtio_blk *b)
{
	virtio_pci_fini(&b->vp);
}

/* What must be right in any case. */
static int config_check(uint64_t f, const struct virtio_blk_config *c, struct err *e)
{
	if ((f & BIT_ULL(VIRTIO_F_VERSION_1)) == 0)
		return err_set(e, EPROTO, "it lacks the feature VERSION_1");
	if (c->capacity == 0 || c->capacity > SECTORS_MAX)
		return err_set(e, EPROTO, "it has a disk of %llu sectors",
			       (unsigned long long)c->capacity);
	if ((f & BIT_OF(BLK_SIZE)) != 0 &&
	    (!is_pow2(c->blk_size) || c->blk_size < SECTOR || c->blk_size > BLOCK_MAX))
		return err_set(e, EPROTO, "it has blocks of %u bytes", c->blk_size);
	return 0;
}

/* The features that this device offers by it, and the configuration as the guest shall read it. */
static uint64_t facts_make(const struct virtio_blk *b, uint64_t f, struct virtio_blk_config *c)
{
	const struct virtio_blk_config said = *c;

	f &= OFFERED;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (limit_get(c, i) == 0)
			f &= ~limits[i].feature;
	if (c->physical_block_exp > EXPONENT_MAX)
		f &= ~BIT_OF(TOPOLOGY);
	if (b->queues == 1)
		f &= ~BIT_OF(MQ);
	*c = (struct virtio_blk_config){
		.capacity = said.capacity,
		.size_max = said.size_max,
		/* A request in descriptors of the ring's own has to fit it. */
		.seg_max = (uint32_t)u64_min(said.seg_max, b->queue_size - OWN_DESCRIPTORS),
		.blk_size = said.blk_size,
		.physical_block_exp = said.physical_block_exp,
		.alignment_offset = said.alignment_offset,
		.min_io_size = said.min_io_size,
		.opt_io_size = said.opt_io_size,
		.num_queues = (uint16_t)b->queues,
		.max_discard_sectors = said.max_discard_sectors,
		.max_discard_seg = said.max_discard_seg,
		.discard_sector_alignment = said.discard_sector_alignment,
		.max_write_zeroes_sectors = said.max_write_zeroes_sectors,
		.max_write_zeroes_seg = said.max_write_zeroes_seg,
		.write_zeroes_may_unmap = said.write_zeroes_may_unmap,
	};
	return f;
}

/* The guest has the first one's word: no later one may do with less. What it lacks of the features that the guest took shows
 * when it is to serve the rings. */
static int facts_compare(const struct virtio_blk *b, uint64_t f, const struct virtio_blk_config *c,
			 struct err *e)
{
	const struct virtio_blk_config *first = &b->config;

	if (c->capacity < first->capacity)
		return err_set(e, EPROTO, "its disk has %llu bytes, fewer than the %llu there were",
			       (unsigned long long)c->capacity * SECTOR,
			       (unsigned long long)first->capacity * SECTOR);
	if (((f ^ b->features) & BIT_OF(RO)) != 0)
		return err_set(e, EPROTO, "its disk is %s",
			       virtio_blk_is_readonly(b) ? "writable, the guest's read-only"
							 : "read-only, the guest's writable");
	if ((f & b->features & BIT_OF(BLK_SIZE)) != 0 && c->blk_size != first->blk_size)
		return err_set(e, EPROTO, "its disk has blocks of %u bytes, not %u", c->blk_size,
			       first->blk_size);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if ((f & b->features & limits[i].feature) != 0 &&
		    limit_get(c, i) < limit_get(first, i))
			return err_set(e, EPROTO,
				       "it takes less in one request than its forerunner");
	return 0;
}

int virtio_blk_take(struct virtio_blk *b, uint64_t backend_features,
		    const uint8_t bytes[VHOST_USER_CONFIG_BYTES], struct err *e)
{
	struct virtio_blk_config c = { 0 };
	uint64_t f;
	int r;

	memcpy(&c, bytes, VHOST_USER_CONFIG_BYTES);
	r = config_check(backend_features, &c, e);
	if (r < 0)
		return r;
	f = facts_make(b, backend_features, &c);
	if (!b->has_facts) {
		b->features = f;
		b->config = c;
		b->has_facts = true;
		return 0;
	}
	r = facts_compare(b, f, &c, e);
	if (r < 0 || c.capacity == b->config.capacity)
		return r;
	b->config.capacity = c.capacity;
	virtio_pci_config_changed(&b->vp);
	return 0;
}

uint64_t virtio_blk_size(const struct virtio_blk *b)
{
	return b->config.capacity * SECTOR;
}
