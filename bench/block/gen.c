// SPDX-License-Identifier: BSD-3-Clause
/*
 * block-gen: the guest of `scripts/bench block`. Requests on standard input, one JSON object a line, each answered by one:
 *   {"op":"listen","disk":N,"path":"/socket"}     the backend will come there
 *   {"op":"start","disk":N,"path":"/socket"}      -> {"ok":true,"blocks":N}
 *   {"op":"run","disk":N,"write":bool,"depth":N,"ms":N} -> {"ok":true,"requests":N,"ns":N,"kicks":N,"bad":N,"p50":ns,"p99":ns}
 *   {"op":"check","disk":N}                       every block that was written is read back -> {"ok":true,"bad":N}
 * Each block holds its own number and how often it was written, in every eight bytes.
 */
#include "bench/block/front.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DISKS	      4U
#define STEP	      64U /* completions between two looks at the clock */
#define PATIENCE_NS   20000000000ULL
#define CHECK_ALL     64U /* of so many blocks read, one is compared whole */
#define LATENCIES     (1U << 20)
#define GOLDEN_NUMBER 0x9E3779B97F4A7C15ULL

struct disk {
	struct front front;
	uint32_t *written; /* times, by block */
	uint64_t random;
};

struct slice {
	struct disk *d;
	bool is_write;
	unsigned int depth;
	uint64_t blocks[FRONT_SLOTS]; /* that a slot is for */
	uint64_t begun_ns[FRONT_SLOTS];
	uint8_t *busy; /* blocks under way: no two writes of one at once */
	uint64_t requests, bad;
	uint32_t *latencies;
	uint32_t latency_count;
};

static struct disk disks[DISKS];

static uint64_t random_next(struct disk *d)
{
	uint64_t z = d->random += GOLDEN_NUMBER;

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
	return z ^ (z >> 31);
}

static uint64_t word_of(const struct disk *d, uint64_t block)
{
	return d->written[block] == 0 ? block : block | (uint64_t)d->written[block] << 40;
}

static void block_fill(const struct disk *d, uint8_t *data, uint64_t block)
{
	uint64_t word = word_of(d, block);

	for (uint32_t i = 0; i < FRONT_BLOCK; i += 8)
		memcpy(data + i, &word, 8);
}

static bool block_is_right(const struct disk *d, const uint8_t *data, uint64_t block, bool whole)
{
	uint64_t word = word_of(d, block);

	for (uint32_t i = 0; i < FRONT_BLOCK; i += whole ? 8 : FRONT_BLOCK - 8)
		if (memcmp(data + i, &word, 8) != 0)
			return false;
	return true;
}

static void request_begin(struct slice *s, unsigned int slot, uint64_t block)
{
	s->blocks[slot] = block;
	s->busy[block] = 1;
	if (s->is_write) {
		s->d->written[block]++;
		block_fill(s->d, front_data(&s->d->front, slot), block);
	}
	front_put(&s->d->front, slot, s->is_write, block);
}

static void request_end(struct slice *s, unsigned int slot, uint8_t status, uint64_t now)
{
	bool whole = s->requests++ % CHECK_ALL == 0;

	s->busy[s->blocks[slot]] = 0;
	if (status != 0 || (!s->is_write && !block_is_right(s->d, front_data(&s->d->front, slot),
							    s->blocks[slot], whole)))
		s->bad++;
	if (s->depth == 1 && s->latency_count < LATENCIES)
		s->latencies[s->latency_count++] = (uint32_t)(now - s->begun_ns[slot]);
}

static uint64_t block_choose(struct slice *s)
{
	uint64_t block;

	do
		block = random_next(s->d) % s->d->front.blocks;
	while (s->busy[block]);
	return block;
}

/* Takes all that came back and, until `end`, asks for as much again. Returns how much is under way. */
static unsigned int turn(struct slice *s, unsigned int under_way, uint64_t now, uint64_t end)
{
	unsigned int begun = 0;
	uint8_t status;
	int slot;

	while ((slot = front_take(&s->d->front, &status)) >= 0) {
		request_end(s, (unsigned int)slot, status, now);
		under_way--;
		if (now >= end)
			continue;
		s->begun_ns[slot] = now;
		request_begin(s, (unsigned int)slot, block_choose(s));
		begun++;
	}
	if (begun > 0)
		front_publish(&s->d->front);
	return under_way + begun;
}

/* Returns the time it took, ns; 0: something did not come back. */
static uint64_t slice_run(struct slice *s, uint64_t ms)
{
	uint64_t begin = now_ns(), now = begin, end = begin + ms * 1000000;
	unsigned int under_way = s->depth;

	for (unsigned int i = 0; i < s->depth; i++) {
		s->begun_ns[i] = begin;
		request_begin(s, i, block_choose(s));
	}
	front_publish(&s->d->front);
	while (under_way > 0) {
		under_way = turn(s, under_way, now, end);
		now = now_ns();
		if (now > end + PATIENCE_NS)
			return 0;
	}
	return now - begin;
}

static int compare(const void *a, const void *b)
{
	uint32_t l = *(const uint32_t *)a, r = *(const uint32_t *)b;

	return l < r ? -1 : l > r;
}

static int latency(struct slice *s, unsigned int permille)
{
	if (s->latency_count == 0)
		return 0;
	return (int)s->latencies[(uint64_t)(s->latency_count - 1) * permille / 1000];
}

static int op_run(struct disk *d, const json_t *q, json_t **out, struct err *e)
{
	struct slice s = { .d = d, .is_write = json_is_true(json_object_get(q, "write")) };
	uint64_t depth = 1, ms = 0, kicks = d->front.kicks, ns;
	int r = json_get_u64(q, "depth", FRONT_SLOTS, &depth, e);

	if (r == 0)
		r = json_get_u64(q, "ms", 60000, &ms, e);
	if (r < 0 || depth == 0)
		return r < 0 ? r : err_set(e, EINVAL, "depth: 1 to %u", FRONT_SLOTS);
	s.depth = (unsigned int)depth;
	s.busy = calloc(d->front.blocks, 1);
	s.latencies = calloc(LATENCIES, sizeof(*s.latencies));
	ns = s.busy == NULL || s.latencies == NULL ? 0 : slice_run(&s, ms);
	qsort(s.latencies, s.latency_count, sizeof(*s.latencies), compare);
	*out = json_pack("{s:b, s:I, s:I, s:I, s:I, s:i, s:i}", "ok", 1, "requests",
			 (json_int_t)s.requests, "ns", (json_int_t)ns, "kicks",
			 (json_int_t)(d->front.kicks - kicks), "bad", (json_int_t)s.bad, "p50",
			 latency(&s, 500), "p99", latency(&s, 990));
	free(s.busy);
	free(s.latencies);
	return ns == 0 ? err_set(e, ETIMEDOUT, "requests are not answered") : 0;
}

static int op_check(struct disk *d, const json_t *q, json_t **out, struct err *e)
{
	uint64_t bad = 0;

	for (uint64_t block = 0; block < d->front.blocks; block++) {
		uint64_t end = now_ns() + PATIENCE_NS;
		uint8_t status = 0xff;

		if (d->written[block] == 0)
			continue;
		front_put(&d->front, 0, false, block);
		front_publish(&d->front);
		while (front_take(&d->front, &status) < 0)
			if (now_ns() > end)
				return err_set(e, ETIMEDOUT, "a request is not answered");
		bad += status != 0 || !block_is_right(d, front_data(&d->front, 0), block, true);
	}
	*out = json_pack("{s:b, s:I}", "ok", 1, "bad", (json_int_t)bad);
	return 0;
}

static int op_listen(struct disk *d, const json_t *q, json_t **out, struct err *e)
{
	char path[108];
	int r = json_get_str(q, "path", path, sizeof(path), e);

	front_init(&d->front);
	if (r == 0)
		r = front_listen(&d->front, path, e);
	*out = json_pack("{s:b}", "ok", 1);
	return r;
}

static int op_start(struct disk *d, const json_t *q, json_t **out, struct err *e)
{
	char path[108];
	int r = json_get_str(q, "path", path, sizeof(path), e);

	if (d->front.listener <= 0)
		front_init(&d->front);
	if (r == 0)
		r = front_start(&d->front, path, e);
	if (r < 0)
		return r;
	d->written = calloc(d->front.blocks, sizeof(*d->written));
	d->random = now_ns();
	if (d->written == NULL)
		return err_set(e, ENOMEM, "no memory");
	*out = json_pack("{s:b, s:I}", "ok", 1, "blocks", (json_int_t)d->front.blocks);
	return 0;
}

static const struct op_row {
	const char *name;
	int (*run)(struct disk *d, const json_t *q, json_t **out, struct err *e);
} ops[] = {
	{ "listen", op_listen },
	{ "start", op_start },
	{ "run", op_run },
	{ "check", op_check },
};

static int answer(const json_t *q, json_t **out, struct err *e)
{
	uint64_t disk = 0;
	char op[16];
	int r = json_get_str(q, "op", op, sizeof(op), e);

	if (r == 0)
		r = json_get_u64(q, "disk", DISKS - 1, &disk, e);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(ops); i++)
		if (strcmp(ops[i].name, op) == 0)
			return ops[i].run(&disks[disk], q, out, e);
	return r < 0 ? r : err_set(e, EINVAL, "op: \"%s\" is none", op);
}

int main(void)
{
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, stdin) > 0) {
		auto_json json_t *q = json_loads(line, 0, NULL), *out = NULL;
		struct err e = { 0 };

		if (answer(q, &out, &e) < 0) {
			json_decref(out);
			out = json_pack("{s:b, s:s}", "ok", 0, "text", e.text);
		}
		json_dumpf(out, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
	}
	free(line);
	return 0;
}
