// SPDX-License-Identifier: BSD-3-Clause
#include "base/loop.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct watch {
	int fd;
	loop_fn *fn;
	void *arg;
	struct watch *next;
};

struct loop {
	int epfd;
	bool stopped;
	int result;
	struct watch *watches;
	struct watch *dead; /* freed after the batch: a later event of it may still point to one */
};

int loop_create(struct loop **out, struct err *e)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return err_set(e, ENOMEM, "event loop: out of memory");
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0) {
		int r = err_set(e, errno, "epoll_create1: %s", strerror(errno));

		free(loop);
		return r;
	}
	*out = loop;
	return 0;
}

static void list_free(struct watch **list)
{
	while (*list != NULL) {
		struct watch *w = *list;

		*list = w->next;
		free(w);
	}
}

void loop_destroy(struct loop *loop)
{
	if (loop == NULL)
		return;
	list_free(&loop->watches);
	list_free(&loop->dead);
	fd_close(&loop->epfd);
	free(loop);
}

static struct watch **watch_find(struct loop *loop, int fd)
{
	struct watch **p = &loop->watches;

	while (*p != NULL && (*p)->fd != fd)
		p = &(*p)->next;
	return p;
}

int loop_add(struct loop *loop, int fd, uint32_t events, loop_fn *fn, void *arg)
{
	struct epoll_event ev = { .events = events };
	struct watch *w;

	if (*watch_find(loop, fd) != NULL)
		return -EEXIST;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	*w = (struct watch){ .fd = fd, .fn = fn, .arg = arg, .next = loop->watches };
	ev.data.ptr = w;
	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int r = -errno;

		free(w);
		return r;
	}
	loop->watches = w;
	return 0;
}

int loop_mod(struct loop *loop, int fd, uint32_t events)
{
	struct watch *w = *watch_find(loop, fd);
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (w == NULL)
		return -ENOENT;
	return epoll_ctl(loop->epfd, EPOLL_CTL_MOD, fd, &ev) < 0 ? -errno : 0;
}

void loop_del(struct loop *loop, int fd)
{
	struct watch **p = watch_find(loop, fd), *w = *p;

	if (w == NULL)
		return;
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, fd, NULL);
	*p = w->next;
	w->fn = NULL;
	w->next = loop->dead;
	loop->dead = w;
}

int loop_step(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[16];
	int n = epoll_wait(loop->epfd, events, ARRAY_SIZE(events), timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;

		if (w->fn != NULL)
			w->fn(w->arg, w->fd, events[i].events);
	}
	list_free(&loop->dead);
	return 0;
}

int loop_run(struct loop *loop)
{
	loop->stopped = false;
	while (!loop->stopped) {
		int r = loop_step(loop, -1);

		if (r < 0)
			return r;
	}
	return loop->result;
}

void loop_stop(struct loop *loop, int result)
{
	loop->stopped = true;
	loop->result = result;
}
