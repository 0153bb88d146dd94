// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/chipset_console.h"

#include "vmm/chipset_console_log.h"
#include "vmm/ready_mark.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Output is passed on this long after its first byte, in one go. */
#define OUTPUT_DELAY_NS 5000000
#define CHUNK		4096U

struct console_client {
	struct console *console;
	int fd; /* -1: free entry */
	uint64_t pos; /* next byte it gets, counted from the start of output */
	bool input_ended;
	bool output_blocked;
};

struct console {
	struct console_env env;
	int timer_fd; /* wakes the main thread */
	struct console_client clients[CONSOLE_CLIENTS]; /* main thread only */
	struct console_log log; /* main thread only, like the next */
	uint64_t log_pos;
	uint64_t log_lost; /* what it could not take, and has not yet said so */

	/* Under the machine's lock */
	bool wake_pending;
	bool input_paused; /* clients are not read until the guest has caught up */
	uint64_t total;
	uint8_t ring[CONSOLE_RING];
	uint8_t input[CONSOLE_INPUT];
	unsigned int input_head, input_count;
};

static void wake(struct console *c)
{
	const struct itimerspec in = { .it_value = { .tv_nsec = OUTPUT_DELAY_NS } };

	if (!c->wake_pending)
		c->wake_pending = timerfd_settime(c->timer_fd, 0, &in, NULL) == 0;
}

void console_put(struct console *c, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		c->ring[c->total++ % CONSOLE_RING] = data[i];
		if (c->env.ready != NULL)
			ready_mark_byte(c->env.ready, data[i]);
	}
	wake(c);
}

void console_skip(struct console *c, uint64_t len)
{
	c->total += len;
}

uint64_t console_bytes(const struct console *c)
{
	return c->total;
}

void console_refill(struct console *c)
{
	while (c->input_count != 0) {
		size_t run = u64_min(c->input_count, CONSOLE_INPUT - c->input_head);
		size_t n = c->env.receive(c->env.arg, &c->input[c->input_head], run);

		if (n == 0)
			break;
		c->input_head = (c->input_head + (unsigned int)n) % CONSOLE_INPUT;
		c->input_count -= (unsigned int)n;
	}
	if (c->input_paused && c->input_count < CONSOLE_INPUT / 2)
		wake(c);
}

/* Copies what follows *pos, moving it over what the ring no longer has. Main thread. */
static size_t output_copy(struct console *c, uint64_t *pos, uint8_t buf[CHUNK], uint64_t *lost)
{
	uint64_t left;
	size_t n;

	pthread_mutex_lock(c->env.lock);
	*lost = 0;
	left = c->total - *pos;
	if (left > CONSOLE_RING) {
		*lost = left - CONSOLE_RING;
		*pos += *lost;
		left = CONSOLE_RING;
	}
	n = u64_min(left, CHUNK);
	n = u64_min(n, CONSOLE_RING - *pos % CONSOLE_RING);
	memcpy(buf, &c->ring[*pos % CONSOLE_RING], n);
	pthread_mutex_unlock(c->env.lock);
	return n;
}

static int lost_text(char *text, size_t cap, uint64_t lost)
{
	return snprintf(text, cap, "\r\n[%llu bytes of console output lost]\r\n",
			(unsigned long long)lost);
}

/* Bounded, as client_send() is: a guest that prints without end wakes the main thread again. */
static void log_flush(struct console *c)
{
	uint8_t buf[CHUNK];
	uint64_t lost;
	size_t n;

	for (unsigned int i = 0; c->log.fd >= 0 && i < CONSOLE_RING / CHUNK + 2; i++) {
		char text[64];
		ssize_t put;

		n = output_copy(c, &c->log_pos, buf, &lost);
		if (n == 0)
			return;
		c->log_lost += lost;
		if (c->log_lost != 0) {
			size_t len = (size_t)lost_text(text, sizeof(text), c->log_lost);

			if (console_log_put(&c->log, text, len) > 0)
				c->log_lost = 0;
		}
		put = console_log_put(&c->log, buf, n);
		if (put < 0) /* the disk is full, say: tried again with the next output */
			return;
		c->log_pos += (uint64_t)put;
	}
}

static void client_close(struct console_client *cl)
{
	loop_del(cl->console->env.loop, cl->fd);
	fd_close(&cl->fd);
}

/* Main thread; the lock is not held. */
static void client_watch(struct console_client *cl, bool paused)
{
	uint32_t events = (cl->input_ended || paused ? 0 : EPOLLIN) |
			  (cl->output_blocked ? EPOLLOUT : 0);

	if (loop_mod(cl->console->env.loop, cl->fd, events) < 0)
		client_close(cl);
}

/* Sends as much as the client takes; false: the client has gone. */
static bool client_send(struct console_client *cl)
{
	uint8_t buf[CHUNK];
	uint64_t lost;
	size_t n;

	cl->output_blocked = false;
	/* Bounded: one ring at a time, so that a chatty guest does not keep the main thread here. */
	for (unsigned int i = 0; i < CONSOLE_RING / CHUNK + 1; i++) {
		ssize_t sent;

		n = output_copy(cl->console, &cl->pos, buf, &lost);
		if (lost != 0) {
			char text[64];
			int len = lost_text(text, sizeof(text), lost);

			/* Only a courtesy: what comes next is sent in any case. */
			(void)!send(cl->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
		}
		if (n == 0)
			return true;
		sent = send(cl->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (sent > 0)
			cl->pos += (uint64_t)sent;
		if (sent < (ssize_t)n)
			break;
	}
	cl->output_blocked = true;
	return true;
}

static bool input_is_paused(struct console *c)
{
	bool paused;

	pthread_mutex_lock(c->env.lock);
	paused = c->input_paused;
	pthread_mutex_unlock(c->env.lock);
	return paused;
}

/* New output, or the guest has read its input. */
static void console_woken(void *arg, int fd, uint32_t events)
{
	struct console *c = arg;
	uint64_t ticks;
	bool paused;

	(void)events;
	(void)!read(fd, &ticks, sizeof(ticks));
	pthread_mutex_lock(c->env.lock);
	c->wake_pending = false;
	if (c->input_count < CONSOLE_INPUT / 2)
		c->input_paused = false;
	paused = c->input_paused;
	pthread_mutex_unlock(c->env.lock);

	log_flush(c);
	for (unsigned int i = 0; i < CONSOLE_CLIENTS; i++) {
		struct console_client *cl = &c->clients[i];

		if (cl->fd < 0)
			continue;
		/* A blocked client has its turn when its socket has room. */
		if (cl->output_blocked || client_send(cl))
			client_watch(cl, paused);
		else
			client_close(cl);
	}
}

/* Queues what a client typed; false: the client has gone. */
static bool client_receive(struct console_client *cl)
{
	struct console *c = cl->console;
	uint8_t buf[512];
	size_t room;
	ssize_t n;

	pthread_mutex_lock(c->env.lock);
	room = u64_min(CONSOLE_INPUT - c->input_count, sizeof(buf));
	c->input_paused |= room == 0; /* until console_woken(): others may wait */
	pthread_mutex_unlock(c->env.lock);
	if (room == 0)
		return true;

	n = recv(cl->fd, buf, room, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	cl->input_ended = n == 0;

	pthread_mutex_lock(c->env.lock);
	for (ssize_t i = 0; i < n; i++)
		c->input[(c->input_head + c->input_count++) % CONSOLE_INPUT] = buf[i];
	console_refill(c);
	pthread_mutex_unlock(c->env.lock);
	return true;
}

static void client_event(void *arg, int fd, uint32_t events)
{
	struct console_client *cl = arg;
	bool alive = (events & (EPOLLHUP | EPOLLERR)) == 0;

	(void)fd;
	/* Input that came before the hang-up still counts. */
	if ((events & EPOLLIN) != 0)
		alive = client_receive(cl) && alive;
	if (alive && (events & EPOLLOUT) != 0)
		alive = client_send(cl);
	if (alive)
		client_watch(cl, input_is_paused(cl->console));
	else
		client_close(cl);
}

static struct console_client *client_free_entry(struct console *c)
{
	for (unsigned int i = 0; i < CONSOLE_CLIENTS; i++) {
		if (c->clients[i].fd < 0)
			return &c->clients[i];
	}
	return NULL;
}

static void console_accept(void *arg, int fd, uint32_t events)
{
	static const char full[] = "console: too many readers\r\n";
	struct console *c = arg;
	struct console_client *cl = client_free_entry(c);
	auto_fd int sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (sock < 0)
		return;
	if (cl == NULL) {
		(void)!send(sock, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	if (loop_add(c->env.loop, sock, EPOLLIN, client_event, cl) < 0)
		return;
	pthread_mutex_lock(c->env.lock);
	*cl = (struct console_client){ .console = c,
				       .pos = c->total - u64_min(c->total, CONSOLE_SCROLLBACK) };
	pthread_mutex_unlock(c->env.lock);
	cl->fd = fd_take(&sock);
	if (client_send(cl))
		client_watch(cl, input_is_paused(c));
	else
		client_close(cl);
}

static int listener_add(struct console *c)
{
	int fd = c->env.listener_fd;
	int flags;

	if (fd < 0)
		return 0;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return loop_add(c->env.loop, fd, EPOLLIN, console_accept, c);
}

int console_create(const struct console_env *env, struct console **out, struct err *e)
{
	struct console *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return err_set(e, ENOMEM, "console: out of memory");
	c->env = *env;
	for (unsigned int i = 0; i < CONSOLE_CLIENTS; i++)
		c->clients[i].fd = -1;
	console_log_init(&c->log, env->log_fd, env->log_old_fd);
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	r = c->timer_fd < 0 ? -errno : loop_add(env->loop, c->timer_fd, EPOLLIN, console_woken, c);
	if (r == 0)
		r = listener_add(c);
	if (r < 0) {
		console_destroy(c);
		return err_set(e, r, "console: %s", strerror(-r));
	}
	*out = c;
	return 0;
}

void console_destroy(struct console *c)
{
	if (c == NULL)
		return;
	log_flush(c);
	for (unsigned int i = 0; i < CONSOLE_CLIENTS; i++) {
		if (c->clients[i].fd < 0)
			continue;
		client_send(&c->clients[i]);
		client_close(&c->clients[i]);
	}
	if (c->env.listener_fd >= 0)
		loop_del(c->env.loop, c->env.listener_fd);
	if (c->timer_fd >= 0)
		loop_del(c->env.loop, c->timer_fd);
	fd_close(&c->timer_fd);
	free(c);
}
