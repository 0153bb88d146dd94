// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/block_keeper.h"

#include "base/fd.h"
#include "base/util.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define AGAIN_MS 100 /* between two tries of a lock */

static struct timespec time_in(unsigned int ms)
{
	uint64_t at = now_ns() + ms * 1000000ULL;

	return (struct timespec){ (time_t)(at / 1000000000), (long)(at % 1000000000) };
}

/* With the lock. False: the time is over. */
static bool changed_wait(struct block_keeper *k, const struct timespec *until)
{
	return pthread_cond_timedwait(&k->changed, &k->lock, until) == 0;
}

static void stage_set(struct block_keeper *k, enum block_stage stage, const struct err *why)
{
	pthread_mutex_lock(&k->lock);
	k->stage = stage;
	k->why = *why;
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
}

static void file_publish(struct block_keeper *k, enum block_stage stage, const struct block_file *f)
{
	pthread_mutex_lock(&k->lock);
	k->file = *f;
	k->stage = stage;
	k->why = (struct err){ 0 };
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
}

/* False: the disk is to end. */
static bool pause_made(struct block_keeper *k)
{
	const struct timespec until = time_in(AGAIN_MS);
	bool goes_on;

	pthread_mutex_lock(&k->lock);
	while (!k->is_ending && changed_wait(k, &until))
		continue;
	goes_on = !k->is_ending;
	pthread_mutex_unlock(&k->lock);
	return goes_on;
}

/* The lock, whenever it can be had. */
static int file_lock(struct block_keeper *k, const struct block_file *f)
{
	struct err why = { 0 };
	int r;

	while ((r = block_file_busy(f)) == -EAGAIN) {
		err_set(&why, EBUSY, "another process has I/O under way on the image");
		stage_set(k, BLOCK_LOCKED, &why);
		if (!pause_made(k))
			return -ECANCELED;
	}
	if (r < 0) {
		err_set(&why, -r, "the image cannot be locked: %s", strerror(-r));
		stage_set(k, BLOCK_REFUSED, &why);
	}
	return r;
}

static void file_open(struct block_keeper *k)
{
	struct block_file file = { .fd = -1 };
	struct err why = { 0 };
	uint64_t size = 0;

	if (block_file_take(&file, &k->fd, k->readonly, &why) < 0) {
		stage_set(k, BLOCK_REFUSED, &why);
		return;
	}
	file_publish(k, BLOCK_OPEN, &file);
	if (file_lock(k, &file) < 0)
		return;
	block_file_probe(&file);
	/* Whoever had the lock may have made it larger. */
	if (block_file_size(&file, &size, NULL) == 0 && size > 0)
		file.size = size;
	file_publish(k, BLOCK_READY, &file);
}

static void size_find(struct block_keeper *k)
{
	struct block_file file = k->file;
	struct err why = { 0 };
	uint64_t size = 0, asked = k->size_asked;

	pthread_mutex_unlock(&k->lock);
	(void)block_file_size(&file, &size, &why);
	pthread_mutex_lock(&k->lock);
	k->size = size;
	k->size_err = why;
	k->size_answered = asked;
	pthread_cond_broadcast(&k->changed);
}

static void *keeper_main(void *arg)
{
	struct block_keeper *k = arg;
	struct block_file file;
	const struct err none = { 0 };

	pthread_setname_np(pthread_self(), "image");
	file_open(k);
	pthread_mutex_lock(&k->lock);
	while (!k->is_ending) {
		if (k->size_answered != k->size_asked)
			size_find(k);
		else
			pthread_cond_wait(&k->changed, &k->lock);
	}
	file = k->file;
	k->file.fd = -1;
	pthread_mutex_unlock(&k->lock);
	/* A file system may wait here, too. */
	block_file_close(&file);
	fd_close(&k->fd);
	stage_set(k, BLOCK_CLOSED, &none);
	return NULL;
}

int block_keeper_start(struct block_keeper *k, int *fd, bool readonly, struct err *e)
{
	pthread_condattr_t attr;
	int r;

	memset(k, 0, sizeof(*k));
	k->file.fd = -1;
	k->file.is_readonly = k->readonly = readonly;
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->changed, &attr);
	pthread_condattr_destroy(&attr);
	k->fd = *fd;
	r = pthread_create(&k->thread, NULL, keeper_main, k);
	k->has_thread = r == 0;
	if (r == 0) {
		*fd = -1;
		return 0;
	}
	k->fd = -1;
	k->stage = BLOCK_CLOSED;
	return err_set(e, r, "a thread for the image: %s", strerror(r));
}

enum block_stage block_keeper_wait(struct block_keeper *k, unsigned int timeout_ms,
				   struct block_file *file, struct err *why)
{
	const struct timespec until = time_in(timeout_ms);
	enum block_stage stage;

	pthread_mutex_lock(&k->lock);
	while (timeout_ms > 0 && k->stage <= BLOCK_OPEN && changed_wait(k, &until))
		continue;
	stage = k->stage;
	if (file != NULL)
		*file = k->file;
	if (why != NULL)
		*why = k->why;
	pthread_mutex_unlock(&k->lock);
	if (why != NULL && stage <= BLOCK_OPEN)
		err_set(why, EBUSY,
			"the image does not answer: its file system or device hangs or is slow");
	return stage;
}

int block_keeper_size(struct block_keeper *k, unsigned int timeout_ms, uint64_t *size,
		      struct err *e)
{
	const struct timespec until = time_in(timeout_ms);
	struct err why = { 0 };
	uint64_t asked = 0;
	bool is_open;

	pthread_mutex_lock(&k->lock);
	is_open = k->file.fd >= 0 && !k->is_ending;
	if (is_open) {
		asked = ++k->size_asked;
		pthread_cond_broadcast(&k->changed);
	}
	/* An answer to somebody before may be older than what has been changed since. */
	while (is_open && k->size_answered < asked && changed_wait(k, &until))
		continue;
	if (!is_open) {
		err_set(&why, EINVAL, "the image is not open yet");
	} else if (k->size_answered < asked) {
		err_set(&why, EBUSY, "the image does not answer");
		err_code(&why, "disk-busy");
	} else {
		*size = k->size;
		why = k->size_err;
	}
	pthread_mutex_unlock(&k->lock);
	if (why.errnum == 0)
		return 0;
	*e = why;
	return -why.errnum;
}

bool block_keeper_end(struct block_keeper *k)
{
	bool is_over;

	pthread_mutex_lock(&k->lock);
	k->is_ending = true;
	is_over = k->stage == BLOCK_CLOSED;
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
	if (!is_over)
		return false;
	if (k->has_thread)
		pthread_join(k->thread, NULL);
	k->has_thread = false;
	pthread_cond_destroy(&k->changed);
	pthread_mutex_destroy(&k->lock);
	return true;
}
