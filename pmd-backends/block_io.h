/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests of a disk on their way: what the kernel is asked for next, until each is whole. Short reads and writes go on
 * where they ended; memory that O_DIRECT does not take goes through a buffer of ours, piece by piece. A disk's worker
 * alone calls this.
 */
#ifndef VIADUCT_PMD_BACKENDS_BLOCK_IO_H
#define VIADUCT_PMD_BACKENDS_BLOCK_IO_H

#include "pmd-backends/block_request.h"
#include "pmd-backends/block_worker.h"

/*
 * What the kernel does for a disk at once. Some of it io_uring hands to threads, of which a worker has a bounded number for
 * all its disks: with storage that hangs each is gone for as long. So no disk may have more than its part; what is beyond
 * waits in the disk.
 */
#define BLOCK_BY_THREAD 16U /* flushes, discards, zeroes, writes by the page cache */
#define BLOCK_DIRECT \
	112U /* the rest, which has a thread only where the file system wants to wait */

enum block_gate { BLOCK_GATE_THREAD, BLOCK_GATE_DIRECT, BLOCK_GATES };

struct block_ring;
struct block_flight;

/* What became of requests. Written by the worker, read by any. */
struct block_counters {
	uint64_t ops[BLOCK_KINDS]; /* done, whatever came of them */
	uint64_t read_bytes, written_bytes;
	uint64_t errors; /* answered with IOERR, the file's fault or the guest's */
	uint64_t no_space; /* of these: the file system was full */
	uint64_t bad_chains;
	uint64_t calls;
};

/* Of one disk: where its requests go. */
struct block_io {
	const struct block_file *file;
	struct block_worker *worker;
	const char *serial; /* BLOCK_SERIAL bytes */
	bool is_writethrough; /* a write is on the medium before it is answered: the driver knows no flush */
	bool flush_failed; /* what a cache lost cannot be flushed any more */
	struct block_counters counters;
	int last_error; /* errno of the last that failed; 0: none */

	/* A file in memory is read and written by the worker itself, so much of it in a round. */
	uint64_t budget; /* bytes left in this round */
	struct block_flight *now, *now_last; /* that are to be, the next first; by `next` */

	struct block_gate_state {
		uint32_t passed; /* the kernel has them */
		struct block_flight *first, *last; /* that wait, by `next` */
	} gates[BLOCK_GATES];

	/* The request is whole: used, with `written` bytes, or as many as `status` allows. */
	void (*done)(struct block_io *io, struct block_flight *f);
};

/* A request under way. */
struct block_flight {
	struct block_op op;
	struct block_request q;
	struct block_io *io;
	struct block_flight *next; /* free; or of block_io.now, or of a gate */
	enum block_gate gate; /* that it has passed */
	struct block_ring *ring;
	uint16_t head;
	uint32_t iov_at; /* the first of q.iov that is not done; it is cut down as it is */
	uint64_t left; /* bytes of the request, or of the range at hand */
	uint64_t offset; /* of them, in the file */
	uint32_t range_at;
	uint8_t *bounce; /* owned; NULL: none */
	struct iovec piece; /* of the bounce buffer, or of zeros */
	uint32_t tries;
	bool is_zeroing; /* the file system knows no zeroes: they are written */
	bool is_syncing; /* the ranges are done, and are being brought to the medium */
};

/* From a request that was read (block_request_read() gave 0) to io->done(), at once or later. */
void block_io_begin(struct block_flight *f);

/* Once a round, whether more is begun or not: goes on with those whose file is in memory. Returns how much there was. */
uint32_t block_io_round(struct block_io *io);

#endif
