// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/runpaths.h"

#include "base/fd.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct kept {
	char *path;
	int fd; /* O_PATH */
};

struct run_paths {
	pthread_mutex_t lock; /* innermost */
	struct kept *list;
	size_t count, cap;
};

int run_paths_create(struct run_paths **out, struct err *e)
{
	struct run_paths *rp = calloc(1, sizeof(*rp));

	if (rp == NULL)
		return err_set(e, ENOMEM, "no memory");
	pthread_mutex_init(&rp->lock, NULL);
	*out = rp;
	return 0;
}

static void kept_fini(struct kept *one)
{
	fd_close(&one->fd);
	free(one->path);
}

void run_paths_destroy(struct run_paths *rp)
{
	if (rp == NULL)
		return;
	for (size_t i = 0; i < rp->count; i++)
		kept_fini(&rp->list[i]);
	free(rp->list);
	pthread_mutex_destroy(&rp->lock);
	free(rp);
}

/* Locked. NULL: it is not kept. */
static struct kept *kept_find(struct run_paths *rp, const char *path)
{
	for (size_t i = 0; i < rp->count; i++)
		if (strcmp(rp->list[i].path, path) == 0)
			return &rp->list[i];
	return NULL;
}

/* Locked. NULL: no memory. */
static struct kept *kept_add(struct run_paths *rp, const char *path)
{
	if (rp->count == rp->cap) {
		const size_t cap = rp->cap * 2 + 16;
		struct kept *list = reallocarray(rp->list, cap, sizeof(*list));

		if (list == NULL)
			return NULL;
		rp->list = list;
		rp->cap = cap;
	}
	rp->list[rp->count] = (struct kept){ strdup(path), -1 };
	return rp->list[rp->count].path != NULL ? &rp->list[rp->count++] : NULL;
}

void run_path_keep(struct run_paths *rp, const char *path)
{
	auto_fd int fd = rp != NULL ? open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW) : -1;
	struct kept *one;

	if (fd < 0)
		return;
	pthread_mutex_lock(&rp->lock);
	one = kept_find(rp, path);
	if (one == NULL)
		one = kept_add(rp, path);
	if (one != NULL) {
		fd_close(&one->fd);
		one->fd = fd_take(&fd);
	}
	pthread_mutex_unlock(&rp->lock);
}

void run_path_drop(struct run_paths *rp, const char *path)
{
	struct kept *one;

	if (rp == NULL)
		return;
	pthread_mutex_lock(&rp->lock);
	one = kept_find(rp, path);
	if (one != NULL) {
		kept_fini(one);
		*one = rp->list[--rp->count];
	}
	pthread_mutex_unlock(&rp->lock);
}

/* -1: it is not kept. */
static int kept_handle(struct run_paths *rp, const char *path)
{
	const struct kept *one;
	int fd = -1;

	if (rp == NULL)
		return -1;
	pthread_mutex_lock(&rp->lock);
	one = kept_find(rp, path);
	if (one != NULL)
		fd = fcntl(one->fd, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_unlock(&rp->lock);
	return fd;
}

bool run_path_is_gone(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

int run_path_open(struct run_paths *rp, const char *path, int flags, int *fd_out)
{
	auto_fd int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
	auto_fd int handle = -1;
	char self[40];
	int r = fd < 0 ? -errno : 0;

	if (fd < 0 && run_path_is_gone(path) && (handle = kept_handle(rp, path)) >= 0) {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", handle);
		fd = open(self, flags | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	if (r == 0)
		*fd_out = fd_take(&fd);
	return r;
}

int run_path_connect(struct run_paths *rp, const char *path, int type, int *fd_out, struct err *e)
{
	auto_fd int handle = run_path_is_gone(path) ? kept_handle(rp, path) : -1;
	char self[40];

	if (handle < 0)
		return unix_connect(path, type, fd_out, e);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", handle);
	return unix_connect(self, type, fd_out, e);
}
