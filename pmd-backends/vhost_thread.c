// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vhost_thread.h"

#include "pmd-backends/pmd_msg.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TICK_NS	    100000000ULL
#define EVENTS	    32
#define WAKE_EVENT  UINT64_MAX
#define GIVE_WAY_US 50

struct vhost_thread {
	pthread_t thread;
	bool has_thread;
	int epoll_fd, wake_fd;
	atomic_bool quit;
	pthread_mutex_t lock; /* of what follows; taken before a client's */
	unsigned int generation; /* so that an event of one that is gone is not its successor's */
	struct vhost_client *clients[PMD_MAX_PORTS];
};

static uint64_t client_key(const struct vhost_client *c)
{
	return (uint64_t)c->generation << 32 | c->place;
}

/* The client at a place, locked, unless it is another's by now. */
static struct vhost_client *client_get(struct vhost_thread *t, uint32_t place)
{
	struct vhost_client *c;

	pthread_mutex_lock(&t->lock);
	c = t->clients[place];
	if (c != NULL)
		pthread_mutex_lock(&c->lock);
	pthread_mutex_unlock(&t->lock);
	return c;
}

/* A VMM that talks without end keeps nobody from its port: who wakes with a free lock is slower than this thread. */
static void client_put(struct vhost_client *c)
{
	bool is_wanted = atomic_load(&c->waiting) > 0;

	pthread_mutex_unlock(&c->lock);
	if (is_wanted)
		usleep(GIVE_WAY_US);
}

static void ready_run(struct vhost_thread *t, uint64_t key)
{
	struct vhost_client *c = client_get(t, (uint32_t)key % PMD_MAX_PORTS);

	if (c == NULL)
		return;
	if (client_key(c) == key)
		c->ops->ready(c->arg);
	client_put(c);
}

static void all_run(struct vhost_thread *t, bool is_tick)
{
	for (uint32_t i = 0; i < PMD_MAX_PORTS; i++) {
		struct vhost_client *c = client_get(t, i);
		bool is_woken;

		if (c == NULL)
			continue;
		is_woken = atomic_exchange(&c->is_woken, false);
		if (is_woken)
			c->ops->woken(c->arg);
		if (is_tick)
			c->ops->tick(c->arg);
		client_put(c);
	}
}

static void *thread_main(void *arg)
{
	struct vhost_thread *t = arg;
	struct epoll_event events[EVENTS];
	uint64_t next = 0;

	pthread_setname_np(pthread_self(), "vhost");
	while (!atomic_load(&t->quit)) {
		uint64_t now = now_ns(), seen;
		bool is_tick = now >= next, is_woken = false;
		int n;

		if (is_tick)
			next = now + TICK_NS;
		n = epoll_wait(t->epoll_fd, events, EVENTS,
			       is_tick ? 0 : (int)((next - now) / 1000000) + 1);
		for (int i = 0; i < n; i++) {
			is_woken |= events[i].data.u64 == WAKE_EVENT;
			if (events[i].data.u64 != WAKE_EVENT)
				ready_run(t, events[i].data.u64);
		}
		if (is_woken)
			(void)!read(t->wake_fd, &seen, sizeof(seen));
		if (is_woken || is_tick)
			all_run(t, is_tick);
	}
	return NULL;
}

static void thread_wake(struct vhost_thread *t)
{
	const uint64_t one = 1;

	(void)!write(t->wake_fd, &one, sizeof(one));
}

int vhost_thread_start(struct vhost_thread **out, struct err *e)
{
	struct vhost_thread *t = calloc(1, sizeof(*t));
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = WAKE_EVENT };
	int r = 0;

	if (t == NULL)
		return err_set(e, ENOMEM, "no memory");
	pthread_mutex_init(&t->lock, NULL);
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->epoll_fd < 0 || t->wake_fd < 0 ||
	    epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->wake_fd, &event) < 0)
		r = -errno;
	if (r == 0)
		r = -pthread_create(&t->thread, NULL, thread_main, t);
	t->has_thread = r == 0;
	if (r < 0) {
		vhost_thread_stop(t);
		return err_set(e, r, "the thread that speaks with VMMs: %s", strerror(-r));
	}
	*out = t;
	return 0;
}

void vhost_thread_stop(struct vhost_thread *t)
{
	if (t == NULL)
		return;
	if (t->has_thread) {
		atomic_store(&t->quit, true);
		thread_wake(t);
		pthread_join(t->thread, NULL);
	}
	fd_close(&t->epoll_fd);
	fd_close(&t->wake_fd);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void vhost_client_init(struct vhost_client *c, const struct vhost_client_ops *ops, void *arg)
{
	memset(c, 0, sizeof(*c));
	c->ops = ops;
	c->arg = arg;
	pthread_mutex_init(&c->lock, NULL);
}

void vhost_client_fini(struct vhost_client *c)
{
	vhost_client_remove(c);
	pthread_mutex_destroy(&c->lock);
}

int vhost_client_add(struct vhost_client *c, struct vhost_thread *t, struct err *e)
{
	unsigned int place = 0;

	pthread_mutex_lock(&t->lock);
	while (place < PMD_MAX_PORTS && t->clients[place] != NULL)
		place++;
	if (place < PMD_MAX_PORTS) {
		c->thread = t;
		c->is_added = true;
		c->place = place;
		c->generation = ++t->generation;
		t->clients[place] = c;
	}
	pthread_mutex_unlock(&t->lock);
	if (place == PMD_MAX_PORTS)
		return err_set(e, ENOSPC, "no room for more ports");
	return 0;
}

void vhost_client_remove(struct vhost_client *c)
{
	struct vhost_thread *t = c->thread;

	if (!c->is_added)
		return;
	atomic_fetch_add(&c->waiting, 1);
	pthread_mutex_lock(&t->lock);
	t->clients[c->place] = NULL;
	pthread_mutex_unlock(&t->lock);
	/* The last callback, which had the lock before. */
	pthread_mutex_lock(&c->lock);
	pthread_mutex_unlock(&c->lock);
	atomic_fetch_sub(&c->waiting, 1);
	c->is_added = false;
}

void vhost_client_lock(struct vhost_client *c)
{
	atomic_fetch_add(&c->waiting, 1);
	pthread_mutex_lock(&c->lock);
	atomic_fetch_sub(&c->waiting, 1);
}

void vhost_client_unlock(struct vhost_client *c)
{
	pthread_mutex_unlock(&c->lock);
}

int vhost_client_watch(struct vhost_client *c, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = client_key(c) };

	return epoll_ctl(c->thread->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void vhost_client_unwatch(struct vhost_client *c, int fd)
{
	(void)epoll_ctl(c->thread->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void vhost_client_wake(struct vhost_client *c)
{
	atomic_store(&c->is_woken, true);
	thread_wake(c->thread);
}
