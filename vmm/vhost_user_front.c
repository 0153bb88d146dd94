// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vhost_user_steps.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ANSWER_MS  5000 /* for an answer */
#define PENALTY_MS 1000 /* after one that was dropped */
#define CHANNEL_MS 50 /* between two looks at what it says by itself */

#define LOG_BURST    10
#define LOG_EVERY_NS 10000000000ULL

static void step_next(struct vhost_front *f);
static void listener_ready(void *arg, int fd, uint32_t events);
static void channel_watch(struct vhost_front *f);

static void timer_set(struct vhost_front *f, unsigned int ms)
{
	const struct itimerspec in = { .it_value = { .tv_sec = ms / 1000,
						     .tv_nsec = ms % 1000 * 1000000L } };

	(void)timerfd_settime(f->timer_fd, 0, &in, NULL);
}

static void listen_start(struct vhost_front *f)
{
	if (!f->is_listening)
		f->is_listening =
			loop_add(f->env.loop, f->env.listener_fd, EPOLLIN, listener_ready, f) == 0;
}

/* While one is there the next waits in the listener's queue: a back end that takes over needs no retry. */
static void listen_stop(struct vhost_front *f)
{
	if (f->is_listening)
		loop_del(f->env.loop, f->env.listener_fd);
	f->is_listening = false;
}

static void channel_unwatch(struct vhost_front *f)
{
	if (f->is_channel_watched)
		loop_del(f->env.loop, f->channel_fd);
	f->is_channel_watched = false;
}

static void hang_up(struct vhost_front *f)
{
	if (f->conn.sock >= 0)
		loop_del(f->env.loop, f->conn.sock);
	vhost_user_conn_fini(&f->conn);
	fd_close(&f->conn.sock);
	channel_unwatch(f);
	fd_close(&f->channel_fd);
	fd_close(&f->channel_peer_fd);
	f->is_config_due = false;
	f->step_count = f->step_at = 0;
	f->due.request = 0;
}

/* e NULL: it went by itself. */
/* Back ends may come and go for ever: the log keeps the rest. */
static bool is_logged(struct vhost_front *f)
{
	uint64_t held = 0;

	if (!log_admit(&f->log_limit, now_ns(), &held))
		return false;
	if (held > 0)
		log_info("%s %s: %llu lines were left out", f->env.kind->noun, f->env.name,
			 (unsigned long long)held);
	return true;
}

static void drop(struct vhost_front *f, const struct err *e)
{
	hang_up(f);
	f->state = VHOST_ABSENT;
	f->error[0] = '\0';
	if (e != NULL) {
		snprintf(f->error, sizeof(f->error), "%.190s", e->text);
		if (is_logged(f))
			log_warn("%s %s: the backend (process %d) is dropped: %s",
				 f->env.kind->noun, f->env.name, (int)f->pid, f->error);
	} else if (is_logged(f)) {
		log_info("%s %s: the backend (process %d) is gone", f->env.kind->noun, f->env.name,
			 (int)f->pid);
	}
	/* Backends connect again at once: one that is always dropped must not keep this process busy. */
	if (e != NULL) {
		timer_set(f, PENALTY_MS);
	} else {
		timer_set(f, 0);
		listen_start(f);
	}
	f->env.changed(f->env.arg);
}

/* --- dialogues ------------------------------------------------------------------------------- */

static void step_add(struct vhost_front *f, uint32_t request, unsigned int ring)
{
	if (f->step_count < ARRAY_SIZE(f->steps))
		f->steps[f->step_count++] = (struct vhost_step){ request, ring };
}

static void steps_add_rings(struct vhost_front *f, const uint32_t *requests, size_t count)
{
	for (unsigned int ring = 0; ring < f->rings.count; ring++)
		for (size_t i = 0; f->rings.rings[ring].is_set && i < count; i++)
			step_add(f, requests[i], ring);
}

static void dialogue_begin(struct vhost_front *f, enum vhost_state state)
{
	f->state = state;
	f->step_count = f->step_at = 0;
	timer_set(f, ANSWER_MS);
}

/* Asks for the configuration again, where no other dialogue is under way. */
static void config_ask(struct vhost_front *f)
{
	if (!f->is_config_due || (f->state != VHOST_READY && f->state != VHOST_RUNNING))
		return;
	f->is_config_due = false;
	dialogue_begin(f, f->state == VHOST_RUNNING ? VHOST_STARTING : VHOST_STOPPING);
	step_add(f, VHOST_USER_GET_CONFIG, 0);
	step_next(f);
}

static void channel_ready(void *arg, int fd, uint32_t events)
{
	struct vhost_front *f = arg;
	bool wants_ack = false;
	struct err e = { 0 };
	int r = vhost_user_channel_receive(fd, &wants_ack, &e);

	if (r == -EBADMSG) {
		drop(f, &e);
		return;
	}
	if (r == 0)
		return;
	/* For a while: a back end that never ends to say it must not keep this process busy. */
	channel_unwatch(f);
	if (r < 0)
		fd_close(&f->channel_fd);
	if (wants_ack)
		vhost_user_channel_ack(fd);
	f->is_config_due = r > 0;
	if (f->due.request == 0)
		timer_set(f, CHANNEL_MS);
	config_ask(f);
}

static void channel_watch(struct vhost_front *f)
{
	if (f->channel_fd >= 0 && !f->is_channel_watched)
		f->is_channel_watched =
			loop_add(f->env.loop, f->channel_fd, EPOLLIN, channel_ready, f) == 0;
}

static void dialogue_end(struct vhost_front *f)
{
	timer_set(f, f->channel_fd >= 0 && !f->is_channel_watched ? CHANNEL_MS : 0);
	switch (f->state) {
	case VHOST_HELLO:
		f->connects++;
		if (is_logged(f))
			log_info("%s %s: a backend is connected (process %d)", f->env.kind->noun,
				 f->env.name, (int)f->pid);
		f->state = VHOST_READY;
		channel_watch(f);
		break;
	case VHOST_STARTING:
		f->error[0] = '\0';
		f->state = VHOST_RUNNING;
		break;
	case VHOST_STOPPING:
		f->error[0] = '\0';
		f->state = VHOST_READY;
		break;
	case VHOST_ABSENT:
	case VHOST_READY:
	case VHOST_RUNNING:
		break;
	}
	f->env.changed(f->env.arg);
	config_ask(f);
}

static int step_send(struct vhost_front *f, const struct vhost_step *step, struct err *e)
{
	const struct vhost_row *row = vhost_row_find(step->request);
	struct vhost_user_message m = { .request = step->request,
					.size = row->size,
					.wants_ack = row->answer == VHOST_ANSWER_ACK };
	int r = row->fill != NULL ? row->fill(f, step->ring, &m) : 0;

	if (r == VHOST_SKIP)
		return VHOST_SKIP;
	r = vhost_user_send(&f->conn, &m, e);
	if (r == 0 && row->answer != VHOST_ANSWER_NONE)
		f->due = (struct vhost_user_due){
			.request = step->request,
			.size = row->answer == VHOST_ANSWER_ACK ? sizeof(uint64_t)
								: row->answer_size,
			.fd_count = row->answer_fds,
		};
	return r;
}

/* Sends what needs no answer, and then one that does. */
static void step_next(struct vhost_front *f)
{
	struct err e = { 0 };

	while (f->step_at < f->step_count) {
		int r = step_send(f, &f->steps[f->step_at], &e);

		if (r < 0) {
			drop(f, &e);
			return;
		}
		if (f->due.request != 0)
			return;
		f->step_at++;
	}
	dialogue_end(f);
}

static int answer_take(struct vhost_front *f, struct vhost_user_message *m, struct err *e)
{
	const struct vhost_step *step = &f->steps[f->step_at];
	const struct vhost_row *row = vhost_row_find(step->request);

	if (row->answer == VHOST_ANSWER_ACK && m->payload.number != 0)
		return err_set(e, EPROTO, "it refuses %s", vhost_user_request_name(step->request));
	return row->take != NULL ? row->take(f, step->ring, m, e) : 0;
}

/* Takes one answer, or part of it. */
static void answer_ready(struct vhost_front *f)
{
	struct vhost_user_message m = { 0 };
	struct err e = { 0 };
	int r = vhost_user_receive(&f->conn, f->due.request != 0 ? &f->due : NULL, &m, &e);

	if (r == 0)
		return;
	if (r > 0) {
		r = answer_take(f, &m, &e);
		for (unsigned int i = 0; i < m.fd_count; i++)
			fd_close(&m.fds[i]);
	}
	if (r == -ECONNRESET && f->due.request != 0)
		err_set(&e, ECONNRESET, "it closed the connection instead of an answer to %s",
			vhost_user_request_name(f->due.request));
	if (r < 0) {
		drop(f, r == -ECONNRESET && f->due.request == 0 ? NULL : &e);
		return;
	}
	f->due.request = 0;
	f->step_at++;
	timer_set(f, ANSWER_MS);
	step_next(f);
}

static void sock_ready(void *arg, int fd, uint32_t events)
{
	answer_ready(arg);
}

static void timer_ready(void *arg, int fd, uint32_t events)
{
	struct vhost_front *f = arg;
	struct err e = { 0 };
	uint64_t count;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return;
	if (f->state == VHOST_ABSENT) {
		listen_start(f);
	} else if (f->due.request == 0) {
		channel_watch(f);
	} else if (f->env.kind->is_patient && f->due.request == VHOST_USER_GET_VRING_BASE) {
		snprintf(f->error, sizeof(f->error), "requests are under way for %d s",
			 ANSWER_MS / 1000);
		log_warn("%s %s: the backend (process %d) is to let go of its queues: %s",
			 f->env.kind->noun, f->env.name, (int)f->pid, f->error);
	} else {
		err_set(&e, ETIMEDOUT, "no answer to %s within %d s",
			vhost_user_request_name(f->due.request), ANSWER_MS / 1000);
		drop(f, &e);
	}
}

/* --- back ends that come --------------------------------------------------------------------- */

static int peer_check(struct vhost_front *f, struct err *e)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(f->conn.sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_set(e, errno, "who it is: %s", strerror(errno));
	f->pid = cred.pid;
	if (cred.uid != 0 && cred.uid != f->env.uid && cred.uid != f->env.own_uid)
		return err_set(e, EACCES, "it is of uid %u, not %u", cred.uid, f->env.uid);
	return 0;
}

static void hello(struct vhost_front *f)
{
	static const uint32_t requests[] = {
		VHOST_USER_GET_FEATURES,
		VHOST_USER_GET_PROTOCOL_FEATURES,
		VHOST_USER_SET_PROTOCOL_FEATURES,
		VHOST_USER_GET_QUEUE_NUM,
		VHOST_USER_SET_OWNER,
		/* What changes after the answer, it says. */
		VHOST_USER_SET_BACKEND_REQ_FD,
		VHOST_USER_GET_CONFIG,
		VHOST_USER_SET_MEM_TABLE,
	};

	dialogue_begin(f, VHOST_HELLO);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		step_add(f, requests[i], 0);
	step_next(f);
}

static void listener_ready(void *arg, int listener, uint32_t events)
{
	struct vhost_front *f = arg;
	int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct err e = { 0 };
	int r;

	if (sock < 0)
		return;
	listen_stop(f);
	vhost_user_conn_init(&f->conn, sock);
	f->state = VHOST_HELLO;
	r = peer_check(f, &e);
	if (r == 0) {
		r = loop_add(f->env.loop, sock, EPOLLIN, sock_ready, f);
		if (r < 0)
			err_set(&e, r, "its socket: %s", strerror(-r));
	}
	if (r < 0) {
		drop(f, &e);
		return;
	}
	f->env.changed(f->env.arg);
	hello(f);
}

int vhost_front_init(struct vhost_front *f, const struct vhost_front_env *env, struct err *e)
{
	int r;

	memset(f, 0, sizeof(*f));
	f->env = *env;
	f->log_limit = (struct log_limit){ .burst = LOG_BURST, .every_ns = LOG_EVERY_NS };
	f->conn.sock = f->inflight_fd = f->channel_fd = f->channel_peer_fd = -1;
	f->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (f->timer_fd < 0)
		return err_set(e, errno, "timerfd: %s", strerror(errno));
	r = loop_add(env->loop, f->timer_fd, EPOLLIN, timer_ready, f);
	if (r == 0)
		r = loop_add(env->loop, env->listener_fd, EPOLLIN, listener_ready, f);
	f->is_listening = r == 0;
	if (r < 0) {
		vhost_front_fini(f);
		return err_set(e, r, "vhost-user sockets: %s", strerror(-r));
	}
	return 0;
}

void vhost_front_fini(struct vhost_front *f)
{
	if (f->env.loop == NULL)
		return;
	hang_up(f);
	listen_stop(f);
	if (f->timer_fd >= 0)
		loop_del(f->env.loop, f->timer_fd);
	fd_close(&f->timer_fd);
	fd_close(&f->inflight_fd);
	f->state = VHOST_ABSENT;
	f->env.loop = NULL;
}

static void inflight_close(struct vhost_front *f)
{
	fd_close(&f->inflight_fd);
	f->inflight = (struct vhost_user_inflight){ 0 };
}

void vhost_front_start(struct vhost_front *f, const struct vhost_rings *rings)
{
	static const uint32_t places[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_BASE,
					   VHOST_USER_SET_VRING_ADDR };
	/* DPDK takes a ring for ready when it has both fds and is enabled: in this order. */
	static const uint32_t fds[] = { VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_KICK };
	static const uint32_t enable[] = { VHOST_USER_SET_VRING_ENABLE };
	uint64_t lacks = rings->features & rings->must & ~f->features;
	struct err e = { 0 };

	f->rings = *rings;
	/* What another one had in flight will be old when this one has served the rings without keeping account. */
	if ((f->protocol & BIT_ULL(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)) == 0)
		inflight_close(f);
	if (lacks != 0) {
		err_set(&e, EPROTO, "it lacks features 0x%llx that the guest uses",
			(unsigned long long)lacks);
		drop(f, &e);
		return;
	}
	dialogue_begin(f, VHOST_STARTING);
	step_add(f, VHOST_USER_SET_FEATURES, 0);
	step_add(f, VHOST_USER_NET_SET_MTU, 0);
	steps_add_rings(f, places, ARRAY_SIZE(places));
	step_add(f, VHOST_USER_GET_INFLIGHT_FD, 0);
	step_add(f, VHOST_USER_SET_INFLIGHT_FD, 0);
	steps_add_rings(f, fds, ARRAY_SIZE(fds));
	steps_add_rings(f, enable, ARRAY_SIZE(enable));
	step_next(f);
}

void vhost_front_enable(struct vhost_front *f, unsigned int enabled)
{
	static const uint32_t enable[] = { VHOST_USER_SET_VRING_ENABLE };

	f->rings.enabled = enabled;
	dialogue_begin(f, VHOST_STARTING);
	steps_add_rings(f, enable, ARRAY_SIZE(enable));
	step_next(f);
}

void vhost_front_stop(struct vhost_front *f)
{
	static const uint32_t bases[] = { VHOST_USER_GET_VRING_BASE };

	dialogue_begin(f, VHOST_STOPPING);
	steps_add_rings(f, bases, ARRAY_SIZE(bases));
	step_next(f);
}

void vhost_front_drop(struct vhost_front *f, const struct err *e)
{
	drop(f, e);
}

/* Fills in those whose answer is awaited; how many they are. */
static unsigned int due_list(struct vhost_front *const *fronts, unsigned int count,
			     struct pollfd *polls)
{
	unsigned int due = 0;

	for (unsigned int i = 0; i < count; i++) {
		polls[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
		if (fronts[i]->due.request == 0)
			continue;
		polls[i].fd = fronts[i]->conn.sock;
		due++;
	}
	return due;
}

void vhost_front_settle(struct vhost_front *const *fronts, unsigned int count,
			unsigned int timeout_ms)
{
	uint64_t now, end = now_ns() + timeout_ms * 1000000ULL;
	struct pollfd polls[VHOST_FRONTS_MAX];

	count = count < VHOST_FRONTS_MAX ? count : VHOST_FRONTS_MAX;
	for (now = now_ns(); now < end && due_list(fronts, count, polls) != 0; now = now_ns()) {
		if (poll(polls, count, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		for (unsigned int i = 0; i < count; i++)
			if (polls[i].revents != 0)
				answer_ready(fronts[i]);
	}
	for (unsigned int i = 0; i < count; i++) {
		struct err e = { 0 };

		if (fronts[i]->due.request == 0 || fronts[i]->env.kind->is_patient)
			continue;
		err_set(&e, ETIMEDOUT, "no answer to %s within %u ms",
			vhost_user_request_name(fronts[i]->due.request), timeout_ms);
		drop(fronts[i], &e);
	}
}

void vhost_front_forget(struct vhost_front *f)
{
	inflight_close(f);
	f->rings = (struct vhost_rings){ 0 };
}
