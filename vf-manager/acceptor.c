// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/acceptor.h"

#include "vf-manager/listen.h"
#include "vf-manager/monitor.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS	   250
#define LOST_MS	   1000 /* between two looks whether clients still find the socket */
#define PAUSE_MS   100 /* when the machine has no room for a further socket */
#define AT_ONCE	   64
#define TURNED_OFF 64 /* that may still read why */

struct acceptor {
	struct acceptor_plan plan;
	int stop;
	pthread_t thread;
	/* A ring. A socket that is closed at once would break its peer's request off, and the answer with it. */
	int turned_off[TURNED_OFF];
	unsigned int next;
	uint64_t lost_next_ns;
	bool is_lost; /* and it has been said */
};

/* A whole reply to a peer that no other thread writes to; never waits. */
static void acceptor_say(int sock, unsigned int status, const struct err *e)
{
	auto_json json_t *body = json_pack("{s:o}", "error", json_from_err(e));
	auto_free char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	char reply[2048];
	int n;

	if (text == NULL)
		return;
	n = snprintf(reply, sizeof(reply),
		     "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
		     "Content-Length: %zu\r\n\r\n%s",
		     status, status == 408 ? "Request Timeout" : "Service Unavailable",
		     strlen(text), text);
	if (n > 0 && (size_t)n < sizeof(reply))
		send(sock, reply, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void acceptor_say_late(int sock)
{
	struct err e = { 0 };

	err_set(&e, ETIMEDOUT, "the request did not come within %d s", GUARD_REQUEST_S);
	err_code(&e, "too-slow");
	acceptor_say(sock, 408, &e);
}

/* Takes the socket over. */
static void turn_off(struct acceptor *a, int sock, const struct err *e)
{
	acceptor_say(sock, 503, e);
	shutdown(sock, SHUT_WR);
	fd_close(&a->turned_off[a->next]);
	a->turned_off[a->next] = sock;
	a->next = (a->next + 1) % TURNED_OFF;
}

static void take(struct acceptor *a, int sock)
{
	struct daemon *d = a->plan.d;
	struct guard_conn *c = NULL;
	struct err e = { 0 };
	struct caller who;
	int r = caller_from_socket(sock, &who, &e);

	if (r == 0) {
		const struct guard_peer peer = { sock, who.uid, caller_class(&who, d->gid) };

		r = guard_admit(a->plan.guard, &peer, &c, &e);
	}
	if (r < 0)
		turn_off(a, sock, &e);
	else
		a->plan.take(a->plan.arg, sock, c);
}

static void accept_some(struct acceptor *a)
{
	for (int i = 0; i < AT_ONCE; i++) {
		int sock = accept4(a->plan.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (sock >= 0)
			take(a, sock);
		else if (errno == EAGAIN)
			return;
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			poll(NULL, 0, PAUSE_MS);
	}
}

static void turned_off_close(struct acceptor *a)
{
	for (unsigned int i = 0; i < TURNED_OFF; i++)
		fd_close(&a->turned_off[i]);
}

/* Who removes /run/viaduct has not ended the daemon. */
static void lost_look(struct acceptor *a)
{
	struct daemon *d = a->plan.d;
	struct err e = { 0 };

	if (now_ns() < a->lost_next_ns)
		return;
	a->lost_next_ns = now_ns() + LOST_MS * 1000000ULL;
	if (!api_listen_is_lost(d, a->plan.listener)) {
		a->is_lost = false;
		return;
	}
	if (!a->is_lost)
		log_warn("somebody has removed %s, or what lies in it: it is made again",
			 d->opt->run_dir);
	accept_some(a);
	if (api_listen_again(d, a->plan.listener, &e) < 0 && !a->is_lost)
		log_err(&e, "clients do not find the daemon");
	a->is_lost = true;
	/* Paths of VMs may be gone, too. */
	if (d->monitor != NULL)
		monitor_kick(d->monitor);
}

static void *run(void *arg)
{
	struct acceptor *a = arg;
	struct pollfd fds[] = { { .fd = a->plan.listener, .events = POLLIN },
				{ .fd = a->stop, .events = POLLIN } };
	bool is_quiet = true; /* nobody is connected: not much to look after */

	while ((fds[1].revents & POLLIN) == 0) {
		int n = poll(fds, ARRAY_SIZE(fds), is_quiet ? LOST_MS : LOOK_MS);

		if (n > 0 && (fds[0].revents & POLLIN) != 0)
			accept_some(a);
		else if (n == 0)
			turned_off_close(a);
		lost_look(a);
		is_quiet = guard_look(a->plan.guard) == 0 && n == 0;
	}
	return NULL;
}

int acceptor_create(const struct acceptor_plan *plan, struct acceptor **out, struct err *e)
{
	struct acceptor *a = calloc(1, sizeof(*a));
	int flags = fcntl(plan->listener, F_GETFL), r;

	if (a == NULL)
		return err_set(e, ENOMEM, "no memory");
	a->plan = *plan;
	for (unsigned int i = 0; i < TURNED_OFF; i++)
		a->turned_off[i] = -1;
	a->stop = eventfd(0, EFD_CLOEXEC);
	/* One that systemd made may block. */
	if (a->stop < 0 || flags < 0 || fcntl(plan->listener, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    listen(plan->listener, SOMAXCONN) < 0)
		r = err_set(e, errno, "accept clients: %s", strerror(errno));
	else if ((r = pthread_create(&a->thread, NULL, run, a)) != 0)
		r = err_set(e, r, "a thread for clients: %s", strerror(r));
	if (r < 0) {
		fd_close(&a->stop);
		free(a);
		return r;
	}
	*out = a;
	return 0;
}

void acceptor_destroy(struct acceptor *a)
{
	if (a == NULL)
		return;
	eventfd_write(a->stop, 1);
	pthread_join(a->thread, NULL);
	turned_off_close(a);
	fd_close(&a->stop);
	free(a);
}
