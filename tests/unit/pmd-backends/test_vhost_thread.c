// SPDX-License-Identifier: BSD-3-Clause
/* The clients of the thread that speaks with VMMs, as they come and go. */
#include "pmd-backends/vhost_thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	struct vhost_client client;
	atomic_uint woken;
};

static void ready(void *arg)
{
}

static void woken(void *arg)
{
	atomic_fetch_add(&((struct place *)arg)->woken, 1);
}

static const struct vhost_client_ops ops = { ready, woken, ready };

static struct vhost_thread *start(struct place *p)
{
	struct vhost_thread *t = NULL;

	assert_int_equal(vhost_thread_start(&t, NULL), 0);
	vhost_client_init(&p->client, &ops, p);
	assert_int_equal(vhost_client_add(&p->client, t, NULL), 0);
	return t;
}

/* A disk's worker finds at any time that its guest's memory has been taken away. */
static void one_that_is_gone_may_still_be_woken(void **state)
{
	struct place p = { 0 };
	struct vhost_thread *t = start(&p);
	unsigned int before;

	vhost_client_remove(&p.client);
	before = atomic_load(&p.woken);
	vhost_client_wake(&p.client);
	usleep(250000); /* two ticks */
	assert_int_equal(atomic_load(&p.woken), before);
	/* Again: nothing. */
	vhost_client_remove(&p.client);
	vhost_client_fini(&p.client);
	vhost_thread_stop(t);
}

struct waker {
	struct place *p;
	atomic_bool stop;
};

static void *wake_without_end(void *arg)
{
	struct waker *w = arg;

	while (!atomic_load(&w->stop))
		vhost_client_wake(&w->p->client);
	return NULL;
}

static void it_may_be_woken_as_it_goes(void **state)
{
	struct place p = { 0 };
	struct vhost_thread *t = start(&p);
	struct waker w = { .p = &p };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wake_without_end, &w), 0);
	while (atomic_load(&p.woken) == 0)
		usleep(100);
	vhost_client_remove(&p.client);
	usleep(1000);
	atomic_store(&w.stop, true);
	pthread_join(thread, NULL);
	vhost_client_fini(&p.client);
	vhost_thread_stop(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_is_gone_may_still_be_woken),
		cmocka_unit_test(it_may_be_woken_as_it_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
