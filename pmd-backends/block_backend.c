// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_backend.h"

#include "pmd-backends/guest_memory.h"
#include "pmd-backends/vhost_thread.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ANSWER_MS 200 /* for an image, before an answer says that it hangs */
#define QUIT_MS	  5000 /* for I/O under way at the end; less than the daemon waits */
#define LOOK_MS	  2 /* between two looks at what is to end */
#define LEAVE_MS  100

static unsigned int disk_find(const struct block_backend *b, const char *name)
{
	unsigned int i = 0;

	while (i < b->disk_count && strcmp(block_disk_name(b->disks[i]), name) != 0)
		i++;
	return i;
}

static int no_disk(const char *name, struct err *e)
{
	err_set(e, ENOENT, "no disk %s", name);
	return err_code(e, "no-such-disk");
}

static int disk_busy(const char *name, const char *why, struct err *e)
{
	err_set(e, EBUSY, "disk %s: %s", name, why);
	return err_code(e, "disk-busy");
}

/* --- disks that leave: each goes by itself once its I/O has ended ------------------------------ */

static void leave_time(struct block_backend *b, bool on)
{
	const struct timespec every = { 0, on ? LEAVE_MS * 1000000 : 0 };
	const struct itimerspec t = { every, every };

	if (on != b->is_leave_timed)
		(void)timerfd_settime(b->leave_fd, 0, &t, NULL);
	b->is_leave_timed = on;
}

/* Returns how many are left of those that are leaving. */
static unsigned int leave_look(struct block_backend *b)
{
	unsigned int left = 0;

	for (unsigned int i = 0; i < b->disk_count;) {
		struct block_disk *d = b->disks[i];
		bool is_leaving = block_disk_is_leaving(d);

		if (is_leaving && block_disk_leave(d)) {
			block_disk_destroy(d);
			b->disks[i] = b->disks[--b->disk_count];
			continue;
		}
		left += is_leaving;
		i++;
	}
	leave_time(b, left > 0);
	return left;
}

static void leave_ready(void *arg, int fd, uint32_t events)
{
	uint64_t seen;

	(void)!read(fd, &seen, sizeof(seen));
	(void)leave_look(arg);
}

/* Every disk that can goes within the time, whichever of the others cannot. Returns how many cannot. */
static unsigned int leave_all(struct block_backend *b, unsigned int timeout_ms)
{
	const uint64_t end_ns = now_ns() + timeout_ms * 1000000ULL;
	unsigned int left;

	for (unsigned int i = 0; i < b->disk_count; i++)
		(void)block_disk_leave(b->disks[i]);
	while ((left = leave_look(b)) > 0 && now_ns() < end_ns)
		usleep(LOOK_MS * 1000);
	return left;
}

/* False: it is leaving still when the time is over. */
static bool leave_one(struct block_backend *b, const char *name)
{
	const uint64_t end_ns = now_ns() + ANSWER_MS * 1000000ULL;

	(void)block_disk_leave(b->disks[disk_find(b, name)]);
	for (;;) {
		(void)leave_look(b);
		if (disk_find(b, name) == b->disk_count)
			return true;
		if (now_ns() >= end_ns)
			return false;
		usleep(LOOK_MS * 1000);
	}
}

/* --- requests -------------------------------------------------------------------------------- */

static struct block_worker *worker_least(const struct block_backend *b)
{
	struct block_worker *least = block_workers_at(b->workers, 0);

	for (unsigned int i = 1; i < block_workers_count(b->workers); i++) {
		struct block_worker *w = block_workers_at(b->workers, i);

		if (block_worker_jobs(w) < block_worker_jobs(least))
			least = w;
	}
	return least;
}

static json_t *status_disk(struct block_disk *d)
{
	struct block_disk_facts facts;
	const struct block_file *f = &facts.file;
	char features[24];

	block_disk_facts(d, &facts);
	snprintf(features, sizeof(features), "0x%llx", (unsigned long long)facts.features);
	return json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:b, s:b, s:b, s:s, s:s, s:s}", "disk",
			 block_disk_name(d), "state", facts.state, "pid", facts.pid, "queues",
			 (int)facts.rings, "size", (json_int_t)f->size, "block_size",
			 (json_int_t)f->block_size, "readonly", f->is_readonly, "direct",
			 f->is_direct, "flush_failed", facts.flush_failed, "features", features,
			 "error", facts.error, "io_error",
			 facts.last_error == 0 ? "" : strerror(facts.last_error));
}

json_t *block_backend_status(struct block_backend *b)
{
	uint64_t uptime_ns = now_ns() - b->start_ns;
	json_t *workers = json_array(), *disks = json_array();

	for (unsigned int i = 0; i < block_workers_count(b->workers); i++) {
		struct block_worker_facts f;

		block_worker_facts(block_workers_at(b->workers, i), &f);
		json_array_append_new(workers,
				      json_pack("{s:i, s:f}", "cpu", f.cpu, "busy",
						(double)f.busy_ns / (double)(uptime_ns + 1)));
	}
	for (unsigned int i = 0; i < b->disk_count; i++)
		json_array_append_new(disks, status_disk(b->disks[i]));
	return json_pack("{s:s, s:i, s:I, s:o, s:o}", "name", b->launch->name, "pid", (int)getpid(),
			 "uptime_ns", (json_int_t)uptime_ns, "workers", workers, "disks", disks);
}

static json_t *stats_disk(struct block_disk *d)
{
	struct block_disk_facts f;
	const struct block_counters *c = &f.counters;

	block_disk_facts(d, &f);
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "disk", block_disk_name(d), "in_flight", (json_int_t)f.in_flight, "kicks",
			 (json_int_t)f.kicks, "calls", (json_int_t)c->calls, "bad_chains",
			 (json_int_t)c->bad_chains, "errors", (json_int_t)c->errors, "no_space",
			 (json_int_t)c->no_space, "reads", (json_int_t)c->ops[BLOCK_READ], "writes",
			 (json_int_t)c->ops[BLOCK_WRITE], "flushes",
			 (json_int_t)c->ops[BLOCK_FLUSH], "discards",
			 (json_int_t)c->ops[BLOCK_DISCARD], "zeroes",
			 (json_int_t)c->ops[BLOCK_ZEROES], "read_bytes", (json_int_t)c->read_bytes,
			 "written_bytes", (json_int_t)c->written_bytes);
}

static int op_status(struct block_backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	*result = block_backend_status(b);
	return 0;
}

static int op_stats(struct block_backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	json_t *disks = json_array();

	for (unsigned int i = 0; i < b->disk_count; i++)
		json_array_append_new(disks, stats_disk(b->disks[i]));
	*result = json_pack("{s:o}", "disks", disks);
	return 0;
}

/* Two disks on one image would each undo what the other's guest wrote; two readers do no harm. */
static int image_check(const struct block_backend *b, struct block_disk *d, struct err *e)
{
	struct block_file file;

	block_disk_file(d, &file);
	/* Which it is, is not known yet where it hangs; the lock (block_file.h) is. */
	if (file.fd < 0)
		return 0;
	for (unsigned int i = 0; i < b->disk_count; i++) {
		struct block_file other;

		block_disk_file(b->disks[i], &other);
		if (b->disks[i] == d || other.fd < 0 || !block_file_is_same(&other, &file) ||
		    (other.is_readonly && file.is_readonly))
			continue;
		err_set(e, EBUSY, "the image is that of disk %s", block_disk_name(b->disks[i]));
		return err_code(e, "image-in-use");
	}
	return 0;
}

static int op_disk_add(struct block_backend *b, struct pmd_request *q, json_t **result,
		       struct err *e)
{
	struct block_disk_config cfg = { .name = q->name,
					 .socket = q->socket,
					 .wish = &q->disk,
					 .worker = worker_least(b),
					 .thread = b->vhost,
					 .launch = b->launch };
	unsigned int i = disk_find(b, q->name);
	struct block_disk *d = NULL;
	int r;

	if (i < b->disk_count && block_disk_is_leaving(b->disks[i]))
		return disk_busy(q->name, "I/O of its predecessor has not ended", e);
	if (i < b->disk_count) {
		err_set(e, EEXIST, "disk %s is there already", q->name);
		return err_code(e, "disk-exists");
	}
	if (b->disk_count == PMD_MAX_DISKS)
		return err_set(e, ENOSPC, "no more than %d disks", PMD_MAX_DISKS);
	r = block_disk_create(&cfg, &q->file, &d, e);
	if (r < 0)
		return r;
	b->disks[b->disk_count++] = d;
	r = block_disk_await(d, ANSWER_MS, e);
	if (r < 0) {
		err_wrap(e, "disk %s", q->name);
		err_code(e, "image-refused");
	}
	if (r == 0)
		r = image_check(b, d, e);
	if (r == 0)
		r = block_disk_start(d, e);
	if (r < 0) {
		(void)leave_one(b, q->name);
		return r;
	}
	*result = json_pack("{s:o}", "disk", status_disk(d));
	return 0;
}

static int op_disk_remove(struct block_backend *b, struct pmd_request *q, json_t **result,
			  struct err *e)
{
	if (disk_find(b, q->name) == b->disk_count)
		return no_disk(q->name, e);
	if (!leave_one(b, q->name))
		return disk_busy(q->name, "it goes when I/O that is under way has ended", e);
	*result = json_object();
	return 0;
}

static int op_disk_resize(struct block_backend *b, struct pmd_request *q, json_t **result,
			  struct err *e)
{
	unsigned int i = disk_find(b, q->name);
	uint64_t size = 0;
	int r;

	if (i == b->disk_count)
		return no_disk(q->name, e);
	if (block_disk_is_leaving(b->disks[i]))
		return disk_busy(q->name, "it is leaving", e);
	r = block_disk_resize(b->disks[i], &size, e);
	if (r < 0) {
		err_wrap(e, "disk %s", q->name);
		return r == -EBUSY ? r : err_code(e, "image-refused");
	}
	*result = json_pack("{s:I}", "size", (json_int_t)size);
	return 0;
}

static int op_disk_set(struct block_backend *b, struct pmd_request *q, json_t **result,
		       struct err *e)
{
	unsigned int i = disk_find(b, q->name);

	if (i == b->disk_count)
		return no_disk(q->name, e);
	block_disk_limit(b->disks[i], q->disk.iops, q->disk.bandwidth);
	*result = json_object();
	return 0;
}

static int op_quit(struct block_backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	loop_stop(b->loop, 0);
	*result = json_object();
	return 0;
}

static int (*const handlers[PMD_OPS])(struct block_backend *b, struct pmd_request *q,
				      json_t **result, struct err *e) = {
	[PMD_OP_STATUS] = op_status,
	[PMD_OP_STATS] = op_stats,
	[PMD_OP_DISK_ADD] = op_disk_add,
	[PMD_OP_DISK_REMOVE] = op_disk_remove,
	[PMD_OP_DISK_RESIZE] = op_disk_resize,
	[PMD_OP_DISK_SET] = op_disk_set,
	[PMD_OP_QUIT] = op_quit,
};

int block_backend_request(struct block_backend *b, struct pmd_request *request, json_t **result,
			  struct err *e)
{
	if (handlers[request->op] == NULL)
		return pmd_role_refuse(b->launch, e);
	(void)leave_look(b);
	return handlers[request->op](b, request, result, e);
}

int block_backend_create(const struct pmd_launch *launch, struct loop *loop,
			 struct block_backend **out, struct err *e)
{
	struct block_backend *b = calloc(1, sizeof(*b));
	int r;

	if (b == NULL)
		return err_set(e, ENOMEM, "out of memory");
	b->launch = launch;
	b->loop = loop;
	b->start_ns = now_ns();
	b->leave_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	r = b->leave_fd < 0 ? -errno : loop_add(loop, b->leave_fd, EPOLLIN, leave_ready, b);
	if (r < 0)
		err_set(e, r, "a timer: %s", strerror(-r));
	if (r == 0 && (r = guest_memory_guard()) < 0)
		err_set(e, r, "SIGBUS: %s", strerror(-r));
	if (r == 0)
		r = block_workers_start(launch, &b->workers, e);
	if (r == 0)
		r = vhost_thread_start(&b->vhost, e);
	if (r < 0) {
		block_backend_destroy(b);
		return r;
	}
	*out = b;
	return 0;
}

void block_backend_destroy(struct block_backend *b)
{
	if (b == NULL)
		return;
	/* What a disk of its own has that does not answer ends with the process, and its lock later; all others are let go of. */
	if (leave_all(b, QUIT_MS) > 0)
		_exit(EXIT_FAILURE);
	if (b->leave_fd >= 0)
		loop_del(b->loop, b->leave_fd);
	fd_close(&b->leave_fd);
	vhost_thread_stop(b->vhost);
	block_workers_stop(b->workers);
	free(b);
}
