// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_io.h"

#include "pmd-backends/counter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>

#define BOUNCE	  KIB(256)
#define PAGE	  4096U
#define TRIES	  16U /* of a call that says "again" */
#define ZERO_SIZE KIB(64)
#define NOW_BYTES MIB(8) /* from and to files in memory in one round: a millisecond or two */
#define NOW_PIECE MIB(1) /* with one call */

static _Alignas(PAGE) const uint8_t zeros[ZERO_SIZE];

static void finish(struct block_flight *f, uint8_t status)
{
	struct block_counters *c = &f->io->counters;

	free(f->bounce);
	f->bounce = NULL;
	counter_add(&c->ops[f->q.kind], 1);
	if (status == VIRTIO_BLK_S_IOERR)
		counter_add(&c->errors, 1);
	else if (f->q.kind == BLOCK_READ)
		counter_add(&c->read_bytes, f->q.len);
	else if (f->q.kind == BLOCK_WRITE)
		counter_add(&c->written_bytes, f->q.len);
	if (status != VIRTIO_BLK_S_OK)
		f->q.written = 1;
	__atomic_store_n(f->q.status_at, status, __ATOMIC_RELAXED);
	f->io->done(f->io, f);
}

static void fail(struct block_flight *f, int error)
{
	__atomic_store_n(&f->io->last_error, error, __ATOMIC_RELAXED);
	if (error == ENOSPC || error == EDQUOT)
		counter_add(&f->io->counters.no_space, 1);
	finish(f, VIRTIO_BLK_S_IOERR);
}

static_assert(BLOCK_BY_THREAD + BLOCK_DIRECT <= BLOCK_WORKER_THREADS / BLOCK_WORKER_JOBS,
	      "each has its thread");

static const uint32_t gate_widths[BLOCK_GATES] = {
	[BLOCK_GATE_THREAD] = BLOCK_BY_THREAD,
	[BLOCK_GATE_DIRECT] = BLOCK_DIRECT,
};

static enum block_gate gate_of(const struct block_file *file, uint8_t opcode)
{
	bool is_write = opcode == IORING_OP_WRITE || opcode == IORING_OP_WRITEV;
	bool is_rw = is_write || opcode == IORING_OP_READ || opcode == IORING_OP_READV;

	return !is_rw || file->always_waits || (is_write && !file->is_direct) ? BLOCK_GATE_THREAD
									      : BLOCK_GATE_DIRECT;
}

/* False: it waits, and the step is begun anew when there is room. */
static bool gate_pass(struct block_flight *f, enum block_gate at)
{
	struct block_gate_state *g = &f->io->gates[at];

	if (g->passed < gate_widths[at]) {
		g->passed++;
		f->gate = at;
		return true;
	}
	f->next = NULL;
	*(g->first == NULL ? &g->first : &g->last->next) = f;
	g->last = f;
	return false;
}

/* NULL: the request waits, or it has failed. */
static struct io_uring_sqe *sqe_get(struct block_flight *f, uint8_t opcode)
{
	struct io_uring_sqe *sqe;

	if (!gate_pass(f, gate_of(f->io->file, opcode)))
		return NULL;
	sqe = block_worker_sqe(f->io->worker, &f->op);
	if (sqe == NULL) {
		f->io->gates[f->gate].passed--;
		fail(f, EAGAIN);
		return NULL;
	}
	block_worker_count(f->io->worker, 1);
	sqe->opcode = opcode;
	sqe->fd = f->io->file->fd;
	return sqe;
}

/* --- reads and writes ------------------------------------------------------------------------ */

/* Takes `len` bytes off the front of what is left. With `copy`, between there and the bounce buffer. */
static void bytes_pass(struct block_flight *f, uint64_t len, uint8_t *copy)
{
	while (len > 0) {
		struct iovec *v = &f->q.iov[f->iov_at];
		size_t n = u64_min(len, v->iov_len);

		if (copy != NULL) {
			memcpy(v->iov_base, copy, n);
			copy += n;
		}
		v->iov_base = (uint8_t *)v->iov_base + n;
		v->iov_len -= n;
		len -= n;
		if (v->iov_len == 0)
			f->iov_at++;
	}
}

static void bounce_fill(struct block_flight *f)
{
	uint32_t at = 0;

	for (uint32_t i = f->iov_at; at < f->piece.iov_len; i++) {
		size_t n = u64_min(f->piece.iov_len - at, f->q.iov[i].iov_len);

		memcpy(f->bounce + at, f->q.iov[i].iov_base, n);
		at += (uint32_t)n;
	}
}

static bool bounce_make(struct block_flight *f)
{
	void *p = NULL;

	if (f->bounce == NULL && posix_memalign(&p, PAGE, u64_min(BOUNCE, f->left)) != 0)
		return false;
	if (f->bounce == NULL)
		f->bounce = p;
	f->piece = (struct iovec){ f->bounce, u64_min(BOUNCE, f->left) };
	if (f->q.kind == BLOCK_WRITE)
		bounce_fill(f);
	return true;
}

static void step_done(struct block_flight *f, int32_t result);

/* What is next of the request, as the file takes it. False: it has failed. */
static bool iov_next(struct block_flight *f, struct iovec **iov, uint32_t *count)
{
	if (f->q.is_aligned) {
		*iov = &f->q.iov[f->iov_at];
		*count = f->q.iov_count - f->iov_at;
		return true;
	}
	if (!bounce_make(f)) {
		fail(f, ENOMEM);
		return false;
	}
	*iov = &f->piece;
	*count = 1;
	return true;
}

/* Leaves NOW_PIECE bytes of a list. Returns by how much its last buffer is shorter now. */
static uint64_t iov_cut(struct iovec *iov, uint32_t *count)
{
	uint64_t sum = 0, cut;
	uint32_t n = 0;

	while (n < *count && sum < NOW_PIECE)
		sum += iov[n++].iov_len;
	cut = sum > NOW_PIECE ? sum - NOW_PIECE : 0;
	iov[n - 1].iov_len -= cut;
	*count = n;
	return cut;
}

/* One piece. It is there at once: io_uring would hand it to a thread of the kernel's, which costs more than the copy. */
static void now_step(struct block_flight *f)
{
	struct block_io *io = f->io;
	struct iovec *iov;
	uint32_t count;
	uint64_t cut;
	ssize_t n;
	int error;

	if (!iov_next(f, &iov, &count))
		return;
	cut = iov_cut(iov, &count);
	if (f->q.kind == BLOCK_WRITE)
		n = pwritev2(io->file->fd, iov, (int)count, (off_t)f->offset,
			     io->is_writethrough ? RWF_DSYNC : 0);
	else
		n = preadv2(io->file->fd, iov, (int)count, (off_t)f->offset, 0);
	error = errno;
	iov[count - 1].iov_len += cut;
	io->budget -= u64_min(io->budget, n < PAGE ? PAGE : (uint64_t)n);
	step_done(f, n < 0 ? -error : (int32_t)n);
}

/* Behind all others, so that a large request keeps no small one waiting. */
static void now_put(struct block_flight *f)
{
	struct block_io *io = f->io;

	f->next = NULL;
	*(io->now == NULL ? &io->now : &io->now_last->next) = f;
	io->now_last = f;
}

static uint32_t now_run(struct block_io *io)
{
	uint32_t n = 0;

	for (struct block_flight *f; io->budget > 0 && (f = io->now) != NULL; n++) {
		io->now = f->next;
		now_step(f);
	}
	return n;
}

uint32_t block_io_round(struct block_io *io)
{
	io->budget = NOW_BYTES;
	return now_run(io);
}

static void rw_submit(struct block_flight *f)
{
	bool is_write = f->q.kind == BLOCK_WRITE;
	struct io_uring_sqe *sqe;
	struct iovec *iov;
	uint32_t count;

	if (f->io->file->is_memory) {
		now_put(f);
		return;
	}
	if (!iov_next(f, &iov, &count))
		return;
	/* One buffer costs the kernel less than a list of one. */
	if (count == 1) {
		sqe = sqe_get(f, is_write ? IORING_OP_WRITE : IORING_OP_READ);
		if (sqe == NULL)
			return;
		sqe->addr = (uintptr_t)iov->iov_base;
		sqe->len = (uint32_t)iov->iov_len;
	} else {
		sqe = sqe_get(f, is_write ? IORING_OP_WRITEV : IORING_OP_READV);
		if (sqe == NULL)
			return;
		sqe->addr = (uintptr_t)iov;
		sqe->len = count;
	}
	sqe->off = f->offset;
	sqe->rw_flags = is_write && f->io->is_writethrough ? RWF_DSYNC : 0;
}

static void rw_begin(struct block_flight *f)
{
	f->left = f->q.len;
	f->offset = f->q.offset;
	f->iov_at = 0;
	rw_submit(f);
}

static void rw_done(struct block_flight *f, uint64_t n)
{
	if (n == 0 || n > f->left) { /* the file ends before the disk does */
		fail(f, EIO);
		return;
	}
	if (!f->q.is_aligned && n > f->piece.iov_len)
		n = f->piece.iov_len;
	bytes_pass(f, n, !f->q.is_aligned && f->q.kind == BLOCK_READ ? f->bounce : NULL);
	f->left -= n;
	f->offset += n;
	/* What is left of a read that ended within a block is read again from there; O_DIRECT says if that cannot be. */
	if (f->left > 0)
		rw_submit(f);
	else
		finish(f, VIRTIO_BLK_S_OK);
}

/* --- the rest -------------------------------------------------------------------------------- */

static void flush_begin(struct block_flight *f)
{
	struct io_uring_sqe *sqe;

	if (f->io->flush_failed) {
		fail(f, EIO);
		return;
	}
	sqe = sqe_get(f, IORING_OP_FSYNC);
	if (sqe != NULL)
		sqe->fsync_flags = IORING_FSYNC_DATASYNC;
}

static void flush_done(struct block_flight *f, uint64_t n)
{
	finish(f, VIRTIO_BLK_S_OK);
}

static void id_begin(struct block_flight *f)
{
	const char *serial = f->io->serial;
	uint64_t left = f->q.len;

	for (uint32_t i = 0; left > 0 && i < f->q.iov_count; i++) {
		size_t n = u64_min(left, f->q.iov[i].iov_len);

		memcpy(f->q.iov[i].iov_base, serial, n);
		serial += n;
		left -= n;
	}
	f->q.written = (uint32_t)f->q.len + 1;
	finish(f, VIRTIO_BLK_S_OK);
}

static void nothing_begin(struct block_flight *f)
{
	finish(f, f->q.status);
}

static void range_submit(struct block_flight *f)
{
	const struct block_range *r = &f->q.ranges[f->range_at];
	bool punches = f->q.kind == BLOCK_DISCARD || r->unmap;
	struct io_uring_sqe *sqe;

	if (f->is_zeroing) {
		sqe = sqe_get(f, IORING_OP_WRITE);
		if (sqe == NULL)
			return;
		sqe->addr = (uintptr_t)zeros;
		sqe->len = (uint32_t)u64_min(f->left, sizeof(zeros));
		sqe->off = f->offset;
		return;
	}
	sqe = sqe_get(f, IORING_OP_FALLOCATE);
	if (sqe == NULL)
		return;
	sqe->off = f->offset;
	sqe->addr = f->left;
	sqe->len = FALLOC_FL_KEEP_SIZE |
		   (uint32_t)(punches ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
}

/* The next range with something in it, or the end. */
static void range_next(struct block_flight *f)
{
	while (f->range_at < f->q.range_count && f->q.ranges[f->range_at].len == 0)
		f->range_at++;
	if (f->range_at == f->q.range_count) {
		/* It is as much a write as any: where no flush is to come, it is to be on the medium. */
		f->is_syncing = f->io->is_writethrough;
		if (f->is_syncing)
			flush_begin(f);
		else
			finish(f, VIRTIO_BLK_S_OK);
		return;
	}
	f->offset = f->q.ranges[f->range_at].offset;
	f->left = f->q.ranges[f->range_at].len;
	range_submit(f);
}

static void ranges_begin(struct block_flight *f)
{
	f->range_at = 0;
	f->is_zeroing = f->is_syncing = false;
	range_next(f);
}

static void ranges_done(struct block_flight *f, uint64_t n)
{
	uint64_t done = f->is_zeroing ? u64_min(n, f->left) : f->left;

	if (f->is_syncing) {
		finish(f, VIRTIO_BLK_S_OK);
		return;
	}
	if (done == 0) {
		fail(f, EIO);
		return;
	}
	f->offset += done;
	f->left -= done;
	if (f->left > 0) {
		range_submit(f);
		return;
	}
	f->range_at++;
	range_next(f);
}

static void ranges_again(struct block_flight *f)
{
	if (f->is_syncing)
		flush_begin(f);
	else
		range_submit(f);
}

/* A cache that could not be written has dropped what was in it, and the next flush would not know. */
static bool flush_instead(struct block_flight *f, int error)
{
	f->io->flush_failed = !f->io->file->is_direct;
	return false;
}

/* A discard is a hint. Zeroes are a promise: they are written where the file system cannot make them. */
static bool ranges_instead(struct block_flight *f, int error)
{
	if (f->is_syncing)
		return flush_instead(f, error);
	if (error != EOPNOTSUPP || f->is_zeroing)
		return false;
	if (f->q.kind == BLOCK_DISCARD) {
		finish(f, VIRTIO_BLK_S_OK);
		return true;
	}
	f->is_zeroing = true;
	range_submit(f);
	return true;
}

static const struct step_row {
	void (*begin)(struct block_flight *f);
	void (*done)(struct block_flight *f, uint64_t n);
	void (*again)(struct block_flight *f);
	bool (*instead)(struct block_flight *f, int error); /* true: it found another way */
} steps[BLOCK_KINDS] = {
	[BLOCK_READ] = { rw_begin, rw_done, rw_submit, NULL },
	[BLOCK_WRITE] = { rw_begin, rw_done, rw_submit, NULL },
	[BLOCK_FLUSH] = { flush_begin, flush_done, flush_begin, flush_instead },
	[BLOCK_ID] = { id_begin, NULL, NULL, NULL },
	[BLOCK_DISCARD] = { ranges_begin, ranges_done, ranges_again, ranges_instead },
	[BLOCK_ZEROES] = { ranges_begin, ranges_done, ranges_again, ranges_instead },
	[BLOCK_NOTHING] = { nothing_begin, NULL, NULL, NULL },
};

static void step_done(struct block_flight *f, int32_t result)
{
	const struct step_row *step = &steps[f->q.kind];

	if (result >= 0)
		step->done(f, (uint64_t)result);
	else if ((result == -EAGAIN || result == -EINTR) && f->tries++ < TRIES)
		step->again(f);
	else if (step->instead == NULL || !step->instead(f, -result))
		fail(f, -result);
}

/* Who waits goes first: a large request keeps no small one waiting. */
static void gate_leave(struct block_io *io, enum block_gate at)
{
	struct block_gate_state *g = &io->gates[at];
	struct block_flight *f;

	g->passed--;
	/* One that fails at once leaves its room to the next. */
	while (g->passed < gate_widths[at] && (f = g->first) != NULL) {
		g->first = f->next;
		steps[f->q.kind].again(f);
	}
}

static void io_done(struct block_op *op, int32_t result)
{
	struct block_flight *f = container_of(op, struct block_flight, op);

	block_worker_count(f->io->worker, -1);
	gate_leave(f->io, f->gate);
	step_done(f, result);
}

void block_io_begin(struct block_flight *f)
{
	struct block_io *io = f->io;

	f->op.done = io_done;
	f->tries = 0;
	steps[f->q.kind].begin(f);
	(void)now_run(io);
}
