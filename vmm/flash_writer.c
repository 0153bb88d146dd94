// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/flash_writer.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

struct flash_writer {
	struct flash *flash;
	struct flash_store *store;
	pthread_t thread;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	bool started, wanted, ends;
	struct flash_writer_facts facts;
};

#define NS_PER_S 1000000000ULL

static void time_in(struct timespec *at, uint64_t ns)
{
	clock_gettime(CLOCK_MONOTONIC, at);
	at->tv_sec += (time_t)(ns / NS_PER_S);
	at->tv_nsec += (long)(ns % NS_PER_S);
	if (at->tv_nsec >= (long)NS_PER_S) {
		at->tv_sec++;
		at->tv_nsec -= (long)NS_PER_S;
	}
}

/* Waits for work; false: there will be none. Lock held. */
static bool work_wait(struct flash_writer *w)
{
	struct timespec at;
	int r = 0;

	time_in(&at, FLASH_RETRY_NS);
	while (!w->wanted && !w->ends && r != ETIMEDOUT) {
		if (w->facts.error != 0)
			r = pthread_cond_timedwait(&w->changed, &w->lock, &at);
		else
			r = pthread_cond_wait(&w->changed, &w->lock);
	}
	w->wanted = false;
	return !w->ends;
}

/* A disk that stays full is said once, and once that it takes them again. */
static void result_note(struct flash_writer *w, int r)
{
	int before = w->facts.error;

	w->facts.error = r < 0 ? -r : 0;
	w->facts.commits += r == 0;
	w->facts.is_waiting = r < 0 || flash_is_changed(w->flash);
	if (r < 0 && before != -r)
		log_error(
			"firmware variables cannot be stored: %s; they are kept in memory and tried "
			"again",
			strerror(-r));
	if (r == 0 && before != 0)
		log_info("firmware variables are stored again");
}

static void commit(struct flash_writer *w)
{
	int r;

	pthread_mutex_unlock(&w->lock);
	r = flash_store_commit(w->store, w->flash);
	pthread_mutex_lock(&w->lock);
	result_note(w, r);
}

/* A guest that writes without end gets no more of the host's disk than this leaves. Lock held. */
static void commit_pause(struct flash_writer *w)
{
	struct timespec at;

	time_in(&at, FLASH_PAUSE_NS);
	while (!w->ends && pthread_cond_timedwait(&w->changed, &w->lock, &at) != ETIMEDOUT)
		;
}

static void *writer_main(void *arg)
{
	struct flash_writer *w = arg;

	pthread_setname_np(pthread_self(), "flash");
	pthread_mutex_lock(&w->lock);
	w->started = true;
	pthread_cond_broadcast(&w->changed);
	while (work_wait(w)) {
		commit(w);
		commit_pause(w);
	}
	if (w->facts.error != 0 || flash_is_changed(w->flash))
		commit(w);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int thread_start(struct flash_writer *w)
{
	sigset_t all, old;
	int r;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, writer_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return -r;
	pthread_mutex_lock(&w->lock);
	while (!w->started)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

int flash_writer_create(struct flash *flash, struct flash_store *store, struct flash_writer **out,
			struct err *e)
{
	auto_free struct flash_writer *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;
	int r;

	if (w == NULL)
		return err_set(e, ENOMEM, "firmware variables: out of memory");
	w->flash = flash;
	w->store = store;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	r = thread_start(w);
	if (r < 0) {
		pthread_cond_destroy(&w->changed);
		pthread_mutex_destroy(&w->lock);
		return err_set(e, r, "thread for firmware variables: %s", strerror(-r));
	}
	*out = ptr_take(&w);
	return 0;
}

void flash_writer_destroy(struct flash_writer *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->ends = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void flash_writer_wake(struct flash_writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->wanted = true;
	w->facts.is_waiting = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

void flash_writer_facts(struct flash_writer *w, struct flash_writer_facts *out)
{
	pthread_mutex_lock(&w->lock);
	*out = w->facts;
	pthread_mutex_unlock(&w->lock);
}
