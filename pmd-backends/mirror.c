// SPDX-License-Identifier: BSD-3-Clause
#include "mirror.h"

#include "bucket.h"
#include "counter.h"
#include "pcapng.h"

#include "base/fd.h"

#include <rte_lcore.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES (4U << 20) /* power of 2 */
#define IDLE_NS	   5000000

/* A record in the ring: this, then the frame's block of the file as it will be. */
struct record {
	uint32_t bytes; /* of the block */
	uint32_t skip; /* 1: nothing here up to the ring's end */
};

struct mirror {
	/* The lcore's. */
	uint64_t limit_bytes;
	uint64_t hz;
	uint64_t first; /* `now` of the first frame */
	uint64_t first_ns; /* and the time of day then; 0: none yet */
	struct bucket rate;

	/* Counters: the lcore counts; any thread reads. */
	uint64_t frames;
	uint64_t bytes;
	uint64_t lost;

	/* Counts of bytes; place modulo RING_BYTES. head is moved by the writer, tail by the lcore. */
	uint64_t head;
	uint64_t tail;
	uint8_t *ring;

	/* The writer's. */
	int fd;
	int error; /* errno; any thread reads */
	bool stop; /* any thread sets */
	bool running;
	pthread_t writer;
};

static void all_write(struct mirror *mirror, const uint8_t *p, size_t len)
{
	int r = mirror->error == 0 ? fd_write_all(mirror->fd, p, len) : 0;

	if (r < 0)
		__atomic_store_n(&mirror->error, -r, __ATOMIC_RELAXED);
}

static bool ring_write(struct mirror *mirror)
{
	/* Acquire: pairs with the release in ring_done(). */
	uint64_t tail = __atomic_load_n(&mirror->tail, __ATOMIC_ACQUIRE);
	uint64_t head = mirror->head;

	if (head == tail)
		return false;
	while (head != tail) {
		uint8_t *at = mirror->ring + head % RING_BYTES;
		struct record record;

		memcpy(&record, at, sizeof(record));
		if (record.skip) {
			head += RING_BYTES - head % RING_BYTES;
			continue;
		}
		all_write(mirror, at + sizeof(record), record.bytes);
		head += sizeof(record) + align_up(record.bytes, sizeof(record));
	}
	/* Release: pairs with the acquire in ring_room(): what was read may be written over. */
	__atomic_store_n(&mirror->head, head, __ATOMIC_RELEASE);
	return true;
}

static void *writer_run(void *arg)
{
	const struct timespec idle = { .tv_nsec = IDLE_NS };
	struct mirror *mirror = arg;
	bool stop;

	do {
		stop = __atomic_load_n(&mirror->stop, __ATOMIC_ACQUIRE);
		if (!ring_write(mirror) && !stop)
			nanosleep(&idle, NULL);
	} while (!stop);
	return NULL;
}

static int file_check(int fd, const struct mirror_config *cfg, struct err *e)
{
	struct stat st;

	if (cfg->limit_bytes < MIRROR_MIN_LIMIT)
		err_set(e, EINVAL, "mirror: limit_bytes is %llu, at least %d is possible",
			(unsigned long long)cfg->limit_bytes, MIRROR_MIN_LIMIT);
	else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		err_set(e, EINVAL, "mirror: not a regular file");
	else
		return 0;
	err_code(e, "bad-mirror");
	return -EINVAL;
}

int mirror_create(int fd, const struct mirror_config *cfg, struct mirror **out, struct err *e)
{
	struct mirror *mirror = calloc(1, sizeof(*mirror));
	uint8_t start[PCAPNG_START_MAX];
	int r;

	if (!mirror) {
		close(fd);
		return err_set(e, ENOMEM, "mirror: no memory");
	}
	mirror->fd = fd;
	mirror->limit_bytes = cfg->limit_bytes;
	mirror->hz = cfg->hz;
	r = file_check(fd, cfg, e);
	if (r < 0)
		goto fail;
	mirror->ring = malloc(RING_BYTES);
	if (!mirror->ring) {
		r = err_set(e, ENOMEM, "mirror: no memory");
		goto fail;
	}
	mirror->bytes = pcapng_start(cfg->name, MIRROR_SNAP, start);
	all_write(mirror, start, mirror->bytes);
	r = mirror->error;
	if (r != 0) {
		r = err_set(e, r, "mirror: write: %s", strerror(r));
		goto fail;
	}
	r = rte_ctrl_thread_create(&mirror->writer, "mirror", NULL, writer_run, mirror);
	if (r != 0) {
		r = err_set(e, r, "mirror: thread: %s", strerror(abs(r)));
		goto fail;
	}
	mirror->running = true;
	*out = mirror;
	return 0;
fail:
	mirror_destroy(mirror);
	return r;
}

void mirror_destroy(struct mirror *mirror)
{
	if (!mirror)
		return;
	if (mirror->running) {
		__atomic_store_n(&mirror->stop, true, __ATOMIC_RELEASE);
		pthread_join(mirror->writer, NULL);
		(void)ring_write(mirror);
	}
	close(mirror->fd);
	free(mirror->ring);
	free(mirror);
}

/* Where a record of so many bytes may be written, in one piece, after *gap bytes that stay empty; NULL: no room. */
static uint8_t *ring_room(const struct mirror *mirror, size_t bytes, uint64_t *gap_out)
{
	const struct record skip = { .skip = 1 };
	uint64_t at = mirror->tail % RING_BYTES;
	uint64_t gap = RING_BYTES - at < bytes ? RING_BYTES - at : 0;

	/* Acquire: pairs with the release in ring_write(). */
	if (mirror->tail + gap + bytes - __atomic_load_n(&mirror->head, __ATOMIC_ACQUIRE) >
	    RING_BYTES)
		return NULL;
	if (gap != 0)
		memcpy(mirror->ring + at, &skip, sizeof(skip));
	*gap_out = gap;
	return mirror->ring + (mirror->tail + gap) % RING_BYTES;
}

static uint64_t time_of(struct mirror *mirror, uint64_t now)
{
	uint64_t passed;

	if (mirror->first_ns == 0) {
		mirror->first = now;
		mirror->first_ns = clock_ns(CLOCK_REALTIME);
		bucket_init(&mirror->rate, MIRROR_RATE, mirror->hz, now);
	}
	passed = now - mirror->first;
	return mirror->first_ns + passed / mirror->hz * 1000000000ULL +
	       passed % mirror->hz * 1000000000ULL / mirror->hz;
}

static void data_copy(const struct rte_mbuf *m, uint32_t len, uint8_t *to)
{
	const void *data = rte_pktmbuf_read(m, 0, len, to);

	if (data && data != to)
		memcpy(to, data, len);
}

void mirror_frame(struct mirror *mirror, const struct rte_mbuf *m, enum mirror_way way,
		  uint64_t now)
{
	struct pcapng_frame f = {
		.time_ns = time_of(mirror, now),
		.len = RTE_MIN(rte_pktmbuf_pkt_len(m), (uint32_t)MIRROR_SNAP),
		.full_len = rte_pktmbuf_pkt_len(m),
		.way = way == MIRROR_FROM_GUEST ? PCAPNG_INBOUND : PCAPNG_OUTBOUND,
	};
	size_t size = pcapng_frame_size(f.len);
	size_t bytes = sizeof(struct record) + align_up(size, sizeof(struct record));
	const struct record record = { .bytes = (uint32_t)size };
	uint8_t *p = NULL;
	uint64_t gap;

	bucket_refill(&mirror->rate, now);
	if (size <= mirror->limit_bytes - mirror->bytes && bucket_has(&mirror->rate) &&
	    __atomic_load_n(&mirror->error, __ATOMIC_RELAXED) == 0)
		p = ring_room(mirror, bytes, &gap);
	if (!p) {
		counter_add(&mirror->lost, 1);
		return;
	}
	memcpy(p, &record, sizeof(record));
	pcapng_frame_head(&f, p + sizeof(record));
	data_copy(m, f.len, p + sizeof(record) + PCAPNG_FRAME_HEAD);
	pcapng_frame_tail(&f, p + sizeof(record) + PCAPNG_FRAME_HEAD + f.len);
	bucket_take(&mirror->rate, size);
	counter_add(&mirror->frames, 1);
	counter_add(&mirror->bytes, size);
	/* Release: pairs with the acquire in ring_write(): the record is whole. */
	__atomic_store_n(&mirror->tail, mirror->tail + gap + bytes, __ATOMIC_RELEASE);
}

void mirror_facts(const struct mirror *mirror, struct mirror_facts *out)
{
	*out = (struct mirror_facts){
		.frames = counter_get(&mirror->frames),
		.bytes = counter_get(&mirror->bytes),
		.lost = counter_get(&mirror->lost),
		.error = __atomic_load_n(&mirror->error, __ATOMIC_RELAXED),
	};
}
