// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_config.h"
#include "pmd-backends/block_disk_core.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SIZE_MS 200

/* --- what the thread of all VMMs does --------------------------------------------------------- */

struct hold {
	struct block_disk *d;
	bool on, is_quiet;
};

static void hold_run(void *arg)
{
	struct hold *h = arg;

	h->d->is_held = h->on;
	h->is_quiet = h->d->in_flight == 0;
	h->d->is_waited_for = h->on && !h->is_quiet;
}

static bool session_quiesce(void *arg)
{
	struct hold h = { .d = arg, .on = true };

	block_worker_call(h.d->worker, hold_run, &h);
	return h.is_quiet;
}

static void session_resume(void *arg)
{
	struct hold h = { .d = arg, .on = false };

	if (!h.d->is_leaving)
		block_worker_call(h.d->worker, hold_run, &h);
}

static bool session_is_fit(void *arg, struct err *e)
{
	struct block_disk *d = arg;

	if (block_keeper_wait(&d->keeper, 0, NULL, e) != BLOCK_READY)
		return false;
	if (d->is_leaving) {
		err_set(e, EBUSY, "the disk is being taken away");
		return false;
	}
	d->kind.features = block_features(&d->keeper.file, d->queues);
	return true;
}

static const struct vhost_session_ops session_ops = { session_quiesce, session_resume,
						      session_is_fit };

/* --- life ------------------------------------------------------------------------------------ */

int block_disk_create(const struct block_disk_config *cfg, int *fd, struct block_disk **out,
		      struct err *e)
{
	struct block_disk *d = calloc(1, sizeof(*d));
	struct vhost_session_config session = { .name = cfg->name,
						.socket = cfg->socket,
						.thread = cfg->thread,
						.launch = cfg->launch,
						.ops = &session_ops,
						.arg = d };
	int r;

	if (d == NULL)
		return err_set(e, ENOMEM, "no memory");
	memcpy(d->serial, cfg->wish->serial, sizeof(d->serial));
	d->queues = cfg->wish->queues;
	d->worker = cfg->worker;
	r = block_serve_init(d, e);
	if (r == 0)
		r = block_keeper_start(&d->keeper, fd, cfg->wish->readonly, e);
	if (r < 0) {
		free(d->flights);
		free(d);
		return r;
	}
	d->io.flush_failed = cfg->wish->flush_failed;
	block_serve_limit(d, cfg->wish->iops, cfg->wish->bandwidth);
	session.device = &d->ops;
	vhost_session_init(&d->session, &session);
	d->has_session = true;
	*out = d;
	return 0;
}

int block_disk_start(struct block_disk *d, struct err *e)
{
	int r = block_worker_job_add(d->worker, &d->job);

	if (r < 0)
		return err_set(e, r, "no room for more disks");
	d->has_job = true;
	return vhost_session_start(&d->session, e);
}

int block_disk_await(struct block_disk *d, unsigned int timeout_ms, struct err *e)
{
	struct err why = { 0 };

	if (block_keeper_wait(&d->keeper, timeout_ms, NULL, &why) != BLOCK_REFUSED)
		return 0;
	*e = why;
	return -why.errnum;
}

static void idle_look(void *arg)
{
	struct hold *h = arg;

	h->is_quiet = h->d->in_flight == 0;
	for (unsigned int i = 0; i < VHOST_MAX_RINGS; i++)
		h->is_quiet &= block_kick_end(&h->d->rings[i].kick, h->d->worker);
}

/* The VMM is let go of as soon as nothing of its guest's is in use. */
static bool session_leave(struct block_disk *d)
{
	struct vhost_client *client = &d->session.client;
	bool is_quiet;

	if (!d->has_session)
		return true;
	vhost_client_lock(client);
	d->is_leaving = true;
	is_quiet = session_quiesce(d);
	vhost_client_unlock(client);
	if (is_quiet)
		vhost_session_fini(&d->session);
	d->has_session = !is_quiet;
	return is_quiet;
}

bool block_disk_leave(struct block_disk *d)
{
	struct hold h = { .d = d };

	if (!session_leave(d))
		return false;
	/* The worker still knows of ops within the disk until the kernel has answered the last. */
	block_worker_call(d->worker, idle_look, &h);
	if (!h.is_quiet)
		return false;
	if (d->has_job)
		block_worker_job_remove(d->worker, &d->job);
	d->has_job = false;
	return block_keeper_end(&d->keeper);
}

bool block_disk_is_leaving(const struct block_disk *d)
{
	return d->is_leaving;
}

void block_disk_destroy(struct block_disk *d)
{
	assert(!d->has_session && !d->has_job && d->in_flight == 0);
	free(d->flights);
	free(d);
}

const char *block_disk_name(const struct block_disk *d)
{
	return d->session.name;
}

void block_disk_file(struct block_disk *d, struct block_file *out)
{
	(void)block_keeper_wait(&d->keeper, 0, out, NULL);
}

struct reading {
	struct block_disk *d;
	struct block_disk_facts *out;
};

static void facts_read(void *arg)
{
	struct reading *a = arg;

	a->out->in_flight = a->d->in_flight;
	a->out->counters = a->d->io.counters;
	a->out->last_error = a->d->io.last_error;
	a->out->flush_failed = a->d->io.flush_failed;
	a->out->rings = (unsigned int)__builtin_popcount(live_rings(a->d));
	a->out->kicks = a->d->session.device.kicks;
}

/* With the client's lock. */
static enum pmd_disk_state state_find(const struct block_disk *d, enum block_stage stage,
				      unsigned int rings)
{
	if (d->is_leaving)
		return PMD_DISK_LEAVING;
	if (stage != BLOCK_READY)
		return stage == BLOCK_LOCKED ? PMD_DISK_LOCKED : PMD_DISK_OPENING;
	if (d->session.conn.sock < 0)
		return PMD_DISK_WAITING;
	return rings > 0 ? PMD_DISK_RUNNING : PMD_DISK_CONNECTED;
}

void block_disk_facts(struct block_disk *d, struct block_disk_facts *out)
{
	static const char *const words[] = PMD_DISK_STATE_WORDS;
	struct reading a = { d, out };
	enum block_stage stage;

	memset(out, 0, sizeof(*out));
	out->state = words[PMD_DISK_LEAVING];
	stage = block_keeper_wait(&d->keeper, 0, &out->file, NULL);
	block_worker_call(d->worker, facts_read, &a);
	if (!d->has_session)
		return;
	vhost_client_lock(&d->session.client);
	out->state = words[state_find(d, stage, out->rings)];
	out->pid = d->session.conn.pid;
	out->features = d->session.device.features;
	strcpy(out->error, d->session.error);
	vhost_client_unlock(&d->session.client);
}

struct change {
	struct block_disk *d;
	uint64_t a, b;
};

static void limit_run(void *arg)
{
	struct change *c = arg;

	block_serve_limit(c->d, c->a, c->b);
}

void block_disk_limit(struct block_disk *d, uint64_t iops, uint64_t bandwidth)
{
	struct change c = { d, iops, bandwidth };

	block_worker_call(d->worker, limit_run, &c);
}

static void size_run(void *arg)
{
	struct change *c = arg;

	c->d->keeper.file.size = c->a;
}

int block_disk_resize(struct block_disk *d, uint64_t *size, struct err *e)
{
	struct change c = { .d = d };
	struct block_file file;
	int r = block_keeper_size(&d->keeper, SIZE_MS, &c.a, e);

	if (r < 0)
		return r;
	block_disk_file(d, &file);
	/* A guest has mounted what is there: taking it away is no change of size. */
	if (c.a < file.size)
		return err_set(e, EINVAL, "the image has %llu bytes, fewer than the disk's %llu",
			       (unsigned long long)c.a, (unsigned long long)file.size);
	vhost_client_lock(&d->session.client);
	block_worker_call(d->worker, size_run, &c);
	vhost_device_config_changed(&d->session.device);
	vhost_client_unlock(&d->session.client);
	*size = c.a;
	return 0;
}
