// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/vhost_session.h"

#include "pmd-backends/vhost_check.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>

#define LOG_BURST    5
#define LOG_EVERY_NS 10000000000ULL

#define MESSAGES_NS 50000000ULL /* for a VMM's messages in one tick (100 ms) */
#define STUCK_REST_NS \
	5000000000ULL /* for one whose eventfd has held an lcore, or that leaves an fd unread */

static void lcore_run(struct vhost_session *s, void (*fn)(void *fn_arg), void *fn_arg)
{
	s->device.ops->on_lcore(s->arg, fn, fn_arg);
}

/* What an operator reads; in the log, too, but no more than it takes. */
static void error_set(struct vhost_session *s, const char *text)
{
	uint64_t held = 0;

	if (s->conn.pid != 0)
		snprintf(s->error, sizeof(s->error), "process %d: %.230s", s->conn.pid, text);
	else
		snprintf(s->error, sizeof(s->error), "%.255s", text);
	if (!log_admit(&s->log_limit, now_ns(), &held))
		return;
	if (held > 0)
		log_warn("%s: %llu lines were left out", s->name, (unsigned long long)held);
	log_warn("%s: %s", s->name, s->error);
}

static bool is_quiet(struct vhost_session *s)
{
	return s->ops == NULL || s->ops->quiesce(s->arg);
}

static void resume(struct vhost_session *s)
{
	if (s->ops != NULL)
		s->ops->resume(s->arg);
}

static void stuck_clear(void *arg)
{
	((struct vhost_session *)arg)->is_stuck = false;
}

/* As soon as nothing of the guest's is in use any more. */
static void device_end(struct vhost_session *s)
{
	s->is_ending = !is_quiet(s);
	if (s->is_ending)
		return;
	vhost_device_reset(&s->device);
	lcore_run(s, stuck_clear, s);
	resume(s);
}

static void hang_up(struct vhost_session *s)
{
	vhost_client_unwatch(&s->client, s->conn.sock);
	/* It stays on its way as long as the VMM likes. */
	if (vhost_conn_has_fd_out(&s->conn))
		s->rest_until_ns = now_ns() + STUCK_REST_NS;
	vhost_conn_fini(&s->conn);
	s->is_resting = false;
	s->is_going_on = false;
	s->is_waiting = false;
	device_end(s);
}

/* A VMM that talks without end would keep the lcore from all that others send. */
static void rest_if_due(struct vhost_session *s, uint64_t began_ns)
{
	s->spent_ns += now_ns() - began_ns;
	if (s->spent_ns < MESSAGES_NS || s->conn.sock < 0 || s->is_resting)
		return;
	vhost_client_unwatch(&s->client, s->conn.sock);
	s->is_resting = true;
}

/* As far as it gets in a turn; what is left has the next ones, and the others theirs between. */
static int message_end(struct vhost_session *s, struct err *e)
{
	uint64_t began_ns = now_ns();

	s->is_going_on = true;
	while (s->is_going_on && now_ns() - began_ns < MESSAGES_NS)
		s->is_going_on = vhost_device_more(&s->device);
	if (s->is_going_on || !s->answer.is_due)
		return 0;
	return vhost_conn_send(&s->conn, &s->answer.m, s->answer.fd, e);
}

/* Does what has come, and answers. */
static int message_do(struct vhost_session *s, struct err *e)
{
	struct vhost_conn *c = &s->conn;
	uint32_t live = vhost_device_live(&s->device);
	int r = vhost_device_message(&s->device, &c->m, c->fds, &s->answer, e);

	/* It is served: what was wrong before is so no longer. */
	if ((vhost_device_live(&s->device) & ~live) != 0 && vhost_device_broken(&s->device) == 0)
		s->error[0] = '\0';
	if (r == 0)
		return message_end(s, e);
	if (s->answer.is_due)
		(void)vhost_conn_send(c, &s->answer.m, s->answer.fd, NULL);
	return r;
}

/* 1: it waits. */
static int message_begin(struct vhost_session *s, struct err *e)
{
	bool must_be_quiet = s->is_waiting;
	int r = s->is_waiting ? 0
			      : vhost_message_check(&s->conn.m, s->conn.fds, s->conn.fd_count, e);

	if (r < 0)
		return r;
	/* Of a ring that does not run, nothing is under way. */
	must_be_quiet |= s->ops != NULL &&
			 (vhost_message_stops(&s->conn.m) & vhost_device_live(&s->device)) != 0;
	if (must_be_quiet && !is_quiet(s)) {
		if (!s->is_waiting)
			vhost_client_unwatch(&s->client, s->conn.sock);
		s->is_waiting = true;
		return 1;
	}
	r = message_do(s, e);
	if (must_be_quiet)
		resume(s);
	return r;
}

/* It hung up, or is hung up on. */
static void conn_lost(struct vhost_session *s, const struct err *e)
{
	if (e->text[0] != '\0')
		error_set(s, e->text);
	else
		snprintf(s->error, sizeof(s->error), "the connection with process %d ended",
			 s->conn.pid);
	hang_up(s);
}

static void message_turn(struct vhost_session *s)
{
	uint64_t began_ns = now_ns();
	struct err e = { 0 };
	bool has_waited = s->is_waiting;
	int r = has_waited ? 1 : vhost_conn_receive(&s->conn, &e);

	if (r > 0) {
		r = message_begin(s, &e);
		if (r == 1)
			return;
		s->is_waiting = false;
		vhost_conn_next(&s->conn);
		if (r == 0 && has_waited)
			r = vhost_client_watch(&s->client, s->conn.sock);
		rest_if_due(s, began_ns);
	}
	if (r < 0)
		conn_lost(s, &e);
}

static void session_ready(void *arg)
{
	struct vhost_session *s = arg;

	if (s->conn.sock >= 0 && !s->is_waiting && !s->is_going_on)
		message_turn(s);
}

struct look {
	struct vhost_session *s;
	bool is_stuck;
	unsigned int ring;
	const char *broken;
};

static void look_run(void *arg)
{
	struct look *l = arg;

	l->is_stuck = l->s->is_stuck;
	l->broken = l->s->device.broken != 0 ? l->s->device.broken_why : NULL;
	l->ring = l->s->device.broken_ring;
}

/* The lcore has seen something. */
static void session_woken(void *arg)
{
	struct vhost_session *s = arg;
	struct look l = { .s = s };
	char text[200];

	if (s->is_waiting)
		message_turn(s);
	if (s->is_ending)
		device_end(s);
	lcore_run(s, look_run, &l);
	if (l.broken != NULL) {
		snprintf(text, sizeof(text), "ring %u: %.180s", l.ring, l.broken);
		error_set(s, text);
	}
	if (l.is_stuck && s->conn.sock >= 0) {
		error_set(s, "an eventfd for interrupts that is full, and made to wait");
		hang_up(s);
		s->rest_until_ns = now_ns() + STUCK_REST_NS;
	}
}

static bool is_fit(struct vhost_session *s, struct err *e)
{
	return s->ops == NULL || s->ops->is_fit(s->arg, e);
}

static void session_connect(struct vhost_session *s)
{
	struct err e = { 0 };
	int r = is_fit(s, &e) ? 0 : -EBUSY;

	if (r == 0)
		r = vhost_conn_connect(&s->conn, s->socket, s->launch, &e);
	if (r == 0 && (r = vhost_client_watch(&s->client, s->conn.sock)) < 0) {
		err_set(&e, r, "%s: epoll: %s", s->socket, strerror(-r));
		vhost_conn_fini(&s->conn);
	}
	if (r < 0 && r != -EAGAIN && strcmp(e.text, s->error) != 0)
		error_set(s, e.text);
}

static void session_tick(void *arg)
{
	struct vhost_session *s = arg;
	uint64_t began_ns = now_ns();
	struct err e = { 0 };

	if (s->is_going_on && message_end(s, &e) < 0)
		conn_lost(s, &e);
	if (s->is_going_on)
		return;
	s->spent_ns = now_ns() - began_ns;
	if (s->is_resting && !s->is_waiting)
		(void)vhost_client_watch(&s->client, s->conn.sock);
	s->is_resting = false;
	if (s->conn.sock < 0 && !s->is_ending && now_ns() >= s->rest_until_ns)
		session_connect(s);
}

static const struct vhost_client_ops client_ops = { session_ready, session_woken, session_tick };

void vhost_session_stuck(struct vhost_session *s)
{
	s->is_stuck = true;
	vhost_client_wake(&s->client);
}

void vhost_session_init(struct vhost_session *s, const struct vhost_session_config *cfg)
{
	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", cfg->name);
	snprintf(s->socket, sizeof(s->socket), "%s", cfg->socket);
	s->launch = cfg->launch;
	s->thread = cfg->thread;
	s->ops = cfg->ops;
	s->arg = cfg->arg;
	s->log_limit = (struct log_limit){ .burst = LOG_BURST, .every_ns = LOG_EVERY_NS };
	vhost_client_init(&s->client, &client_ops, s);
	vhost_conn_init(&s->conn);
	vhost_device_init(&s->device, cfg->device, cfg->arg);
}

int vhost_session_start(struct vhost_session *s, struct err *e)
{
	int r = vhost_client_add(&s->client, s->thread, e);

	if (r < 0) {
		err_wrap(e, "%s", s->name);
		return err_code(e, "device-refused");
	}
	vhost_client_wake(&s->client);
	return 0;
}

void vhost_session_fini(struct vhost_session *s)
{
	vhost_client_remove(&s->client);
	vhost_device_fini(&s->device);
	vhost_conn_fini(&s->conn);
	vhost_client_fini(&s->client);
}
