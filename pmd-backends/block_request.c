// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_request.h"

#include "pmd-backends/vring_core.h"

#include <errno.h>
#include <linux/virtio_blk.h>

static_assert(sizeof(struct virtio_blk_outhdr) == 16, "virtio 1.2, 5.2.6");
static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16, "virtio 1.2, 5.2.6");

/* The chain as it is walked: first what the driver wrote, then what it reads. */
struct walk {
	struct block_request *q;
	struct virtio_blk_outhdr header;
	uint32_t header_bytes; /* there so far */
	uint64_t out_bytes, in_bytes; /* behind the header; the status included */
	uint32_t out_count; /* iovs to be read; those to be written follow */
	bool is_full; /* more pieces than there is room for */
};

static void piece_add(struct walk *w, uint8_t *p, uint32_t len)
{
	struct block_request *q = w->q;

	if (q->iov_count == BLOCK_IOVS) {
		w->is_full = true;
		return;
	}
	q->iov[q->iov_count++] = (struct iovec){ p, len };
}

static void out_add(struct walk *w, uint8_t *p, uint32_t len)
{
	uint32_t head = (uint32_t)u64_min(sizeof(w->header) - w->header_bytes, len);

	memcpy((uint8_t *)&w->header + w->header_bytes, p, head);
	w->header_bytes += head;
	if (len == head)
		return;
	w->out_bytes += len - head;
	piece_add(w, p + head, len - head);
	w->out_count = w->q->iov_count;
}

static void in_add(struct walk *w, uint8_t *p, uint32_t len)
{
	w->in_bytes += len;
	w->q->status_at = p + len - 1;
	piece_add(w, p, len);
}

static bool chain_walk(struct walk *w, struct vring_chain *c)
{
	uint32_t len = UINT32_MAX;
	uint8_t *p;

	while (!w->is_full && (p = chain_span(c, &len)) != NULL) {
		if (c->want == 0)
			out_add(w, p, len);
		else
			in_add(w, p, len);
		len = UINT32_MAX;
	}
	/* The copy of the header is what counts: not to be fetched again. */
	atomic_signal_fence(memory_order_seq_cst);
	w->q->steps = c->steps;
	return !c->is_bad && !w->is_full && w->q->status_at != NULL &&
	       w->header_bytes == sizeof(w->header);
}

/* The status is the last byte of all, wherever the driver put it. */
static void status_cut(struct walk *w)
{
	struct block_request *q = w->q;
	struct iovec *last = &q->iov[q->iov_count - 1];

	w->in_bytes--;
	last->iov_len--;
	if (last->iov_len == 0)
		q->iov_count--;
}

static void refuse(struct block_request *q, uint8_t status)
{
	q->kind = BLOCK_NOTHING;
	q->status = status;
	q->written = 1;
	q->len = 0;
}

static void data_align(struct block_request *q, const struct block_file *f)
{
	q->is_aligned = true;
	for (uint32_t i = 0; i < q->iov_count; i++)
		q->is_aligned &=
			is_aligned((uintptr_t)q->iov[i].iov_base | q->iov[i].iov_len, f->align);
}

static void rw_read(struct walk *w, const struct block_file *f)
{
	struct block_request *q = w->q;
	bool is_write = q->kind == BLOCK_WRITE;

	q->len = is_write ? w->out_bytes : w->in_bytes;
	if ((is_write ? w->in_bytes : w->out_bytes) != 0 ||
	    w->header.sector > f->size / BLOCK_SECTOR || (is_write && f->is_readonly)) {
		refuse(q, VIRTIO_BLK_S_IOERR);
		return;
	}
	q->offset = w->header.sector * BLOCK_SECTOR;
	if (q->len > BLOCK_BYTES_MOST || !range_fits(q->offset, q->len, f->size) ||
	    !is_aligned(q->offset | q->len, f->block_size))
		refuse(q, VIRTIO_BLK_S_IOERR);
	else if (q->len == 0)
		refuse(q, VIRTIO_BLK_S_OK);
	else
		data_align(q, f);
}

/* 5.2.6.2: the id's rest is zero; a buffer that is too small gets what it holds. */
static void id_read(struct walk *w, const struct block_file *f)
{
	if (w->out_bytes != 0 || w->in_bytes == 0)
		refuse(w->q, VIRTIO_BLK_S_IOERR);
	w->q->len = u64_min(w->in_bytes, BLOCK_SERIAL);
}

static void flush_read(struct walk *w, const struct block_file *f)
{
}

static bool range_read(struct walk *w, const uint8_t *p, const struct block_file *f)
{
	struct block_request *q = w->q;
	struct block_range *r = &q->ranges[q->range_count++];
	uint64_t sector = get_le64(p);
	uint32_t sectors = get_le32(p + 8), flags = get_le32(p + 12);
	uint32_t most = q->kind == BLOCK_DISCARD ? BLOCK_DISCARD_MOST : BLOCK_ZEROES_MOST;

	/* 5.2.6.2: unknown flags, and "unmap" of a discard, are not supported. */
	if ((flags & ~(uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) != 0 ||
	    (q->kind == BLOCK_DISCARD && flags != 0)) {
		refuse(q, VIRTIO_BLK_S_UNSUPP);
		return false;
	}
	*r = (struct block_range){ sector * BLOCK_SECTOR, (uint64_t)sectors * BLOCK_SECTOR,
				   flags != 0 };
	if (sectors <= most && range_fits(sector, sectors, f->size / BLOCK_SECTOR) &&
	    is_aligned(r->offset | r->len, f->block_size)) {
		q->len += q->kind == BLOCK_ZEROES ? r->len : 0;
		return true;
	}
	refuse(q, VIRTIO_BLK_S_IOERR);
	return false;
}

static void ranges_read(struct walk *w, const struct block_file *f)
{
	uint8_t list[BLOCK_RANGES * sizeof(struct virtio_blk_discard_write_zeroes)];
	uint32_t at = 0, entry = sizeof(struct virtio_blk_discard_write_zeroes);

	if (f->is_readonly || w->in_bytes != 0 || w->out_bytes == 0 ||
	    w->out_bytes > sizeof(list) || w->out_bytes % entry != 0) {
		refuse(w->q, f->is_readonly ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
		return;
	}
	for (uint32_t i = 0; i < w->out_count; i++) {
		memcpy(list + at, w->q->iov[i].iov_base, w->q->iov[i].iov_len);
		at += (uint32_t)w->q->iov[i].iov_len;
	}
	atomic_signal_fence(memory_order_seq_cst);
	for (uint32_t i = 0; i < at; i += entry)
		if (!range_read(w, list + i, f))
			return;
}

static const struct type_row {
	uint32_t type;
	enum block_kind kind;
	void (*read)(struct walk *w, const struct block_file *f);
} types[] = {
	{ VIRTIO_BLK_T_IN, BLOCK_READ, rw_read },
	{ VIRTIO_BLK_T_OUT, BLOCK_WRITE, rw_read },
	{ VIRTIO_BLK_T_FLUSH, BLOCK_FLUSH, flush_read },
	{ VIRTIO_BLK_T_GET_ID, BLOCK_ID, id_read },
	{ VIRTIO_BLK_T_DISCARD, BLOCK_DISCARD, ranges_read },
	{ VIRTIO_BLK_T_WRITE_ZEROES, BLOCK_ZEROES, ranges_read },
};

int block_request_read(struct block_request *q, struct vring_chain *chain,
		       const struct block_file *f)
{
	struct walk w = { .q = q };
	const struct type_row *row = NULL;

	q->iov_count = q->range_count = q->written = 0;
	q->offset = q->len = 0;
	q->status_at = NULL;
	if (!chain_walk(&w, chain))
		return -EBADMSG;
	status_cut(&w);
	for (size_t i = 0; row == NULL && i < ARRAY_SIZE(types); i++)
		if (types[i].type == w.header.type)
			row = &types[i];
	if (row == NULL) {
		refuse(q, VIRTIO_BLK_S_UNSUPP);
		return 0;
	}
	q->kind = row->kind;
	q->written = (uint32_t)u64_min(w.in_bytes + 1, UINT32_MAX);
	row->read(&w, f);
	return 0;
}
