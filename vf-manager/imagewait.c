// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/imagewait.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define TASKS_MOST 256 /* at once, of all images */

struct under_way {
	struct under_way *next;
	struct image_id id;
	struct image_task task;
	int result;
	bool has_ended, is_left;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct under_way *first;
static unsigned int count;

/* Locked. */
static bool is_busy(const struct image_id *id)
{
	const struct under_way *u = first;

	while (u != NULL && !image_id_is(&u->id, id))
		u = u->next;
	return u != NULL || count == TASKS_MOST;
}

/* Locked. */
static void take_out(struct under_way *u)
{
	struct under_way **at = &first;

	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
	count--;
}

static pthread_cond_t *ended(void)
{
	static pthread_cond_t cond;
	static bool is_made;
	pthread_condattr_t attr;

	if (!is_made) {
		pthread_condattr_init(&attr);
		pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		pthread_cond_init(&cond, &attr);
		pthread_condattr_destroy(&attr);
		is_made = true;
	}
	return &cond;
}

static void *task_main(void *arg)
{
	struct under_way *u = arg;
	int r = u->task.run(u->task.arg);
	bool is_left;

	pthread_mutex_lock(&lock);
	take_out(u);
	u->result = r;
	u->has_ended = true;
	is_left = u->is_left;
	pthread_cond_broadcast(ended());
	pthread_mutex_unlock(&lock);
	if (is_left) {
		u->task.drop(u->task.arg);
		free(u);
	}
	return NULL;
}

/* Locked. */
static int begin(struct under_way *u)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, task_main, u);

	if (r != 0) /* whatever it is: none that means something to the task */
		return -ENOMEM;
	pthread_detach(thread);
	u->next = first;
	first = u;
	count++;
	return 0;
}

/* Locked. */
static void wait_for(const struct under_way *u)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IMAGE_WAIT_MS / 1000;
	while (!u->has_ended && r == 0)
		r = pthread_cond_timedwait(ended(), &lock, &until);
}

int image_task_run(const struct image_id *id, const struct image_task *task, bool *taken)
{
	struct under_way *u = calloc(1, sizeof(*u));
	int r = -ETIMEDOUT;

	*taken = false;
	if (u == NULL)
		return -ENOMEM;
	u->id = *id;
	u->task = *task;
	pthread_mutex_lock(&lock);
	if (!is_busy(id))
		r = begin(u);
	if (r == 0) {
		wait_for(u);
		r = u->has_ended ? u->result : -ETIMEDOUT;
		*taken = u->is_left = !u->has_ended;
	}
	pthread_mutex_unlock(&lock);
	if (!*taken)
		free(u);
	return r;
}
