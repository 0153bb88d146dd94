// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/eventfd_guard.h"

#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WATCH_MS     100
#define WATCH_SIGNAL SIGURG /* of no other use here, and harmless where nobody expects it */

void eventfd_writer_begin(struct eventfd_writer *w)
{
	w->thread = pthread_self();
	/* release: pairs with the acquire in watch_look() */
	atomic_store_explicit(&w->has_thread, true, memory_order_release);
}

int eventfd_writer_add(struct eventfd_writer *w, int fd)
{
	uint32_t n = atomic_load_explicit(&w->writes, memory_order_relaxed);
	const uint64_t one = 1;
	int r;

	atomic_store_explicit(&w->writes, n + 1, memory_order_relaxed);
	r = write(fd, &one, sizeof(one)) == sizeof(one) ? 0 : -errno;
	atomic_store_explicit(&w->writes, n + 2, memory_order_relaxed);
	return r;
}

/* The same write as the last time: a signal ends it. One that comes too early is followed by the next. */
static void watch_look(struct eventfd_writer *w)
{
	uint32_t n = atomic_load_explicit(&w->writes, memory_order_relaxed);

	/* acquire: pairs with the release in eventfd_writer_begin() */
	if ((n & 1) != 0 && n == w->writes_seen &&
	    atomic_load_explicit(&w->has_thread, memory_order_acquire))
		pthread_kill(w->thread, WATCH_SIGNAL);
	w->writes_seen = n;
}

/* A thread of its own, since all others wait for those that write now and then. */
static void *watch_main(void *arg)
{
	struct eventfd_guard *g = arg;
	struct pollfd end = { .fd = g->end, .events = POLLIN };

	pthread_setname_np(pthread_self(), g->name);
	while (poll(&end, 1, WATCH_MS) <= 0)
		g->each(g->arg, watch_look);
	return NULL;
}

static void watch_signal(int signum)
{
}

/* Without SA_RESTART: what it interrupts ends with EINTR. */
int eventfd_guard_start(struct eventfd_guard *g, const char *name)
{
	const struct sigaction action = { .sa_handler = watch_signal };
	int r;

	g->name = name;
	g->end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->end < 0 || sigaction(WATCH_SIGNAL, &action, NULL) < 0)
		return -errno;
	r = pthread_create(&g->thread, NULL, watch_main, g);
	g->has_thread = r == 0;
	return -r;
}

void eventfd_guard_stop(struct eventfd_guard *g)
{
	const uint64_t one = 1;

	if (g->has_thread) {
		(void)!write(g->end, &one, sizeof(one));
		pthread_join(g->thread, NULL);
	}
	g->has_thread = false;
	fd_close(&g->end);
}
