// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/guard.h"

#include "base/fd.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#define EVICT_AGE_NS (100 * 1000000ULL) /* an honest client has asked by then */

/* The rows add up: what is above a row is what the rows below it cannot take. */
static const struct guard_limits {
	unsigned int of_uid; /* connections of one user */
	unsigned int of_all; /* connections, while it may have a further one */
	size_t bytes; /* held for everybody, while it may hold more */
	unsigned int turns;
} limits[] = {
	[CALLER_OTHER] = { 250, 1000, 6U << 20, 2 },
	[CALLER_MANAGER] = { 500, 1032, 9U << 20, 3 },
	[CALLER_ROOT] = { 1000, GUARD_CONNECTIONS, 12U << 20, 4 },
};

struct guard_conn {
	int sock; /* -1: the slot is free */
	uid_t uid;
	enum caller_class class;
	enum guard_phase phase;
	bool has_asked; /* at least once */
	bool is_cut;
	uint64_t since_ns; /* of the phase */
	size_t bytes;
};

/* All of it under the lock. */
struct guard {
	guard_late *late;
	pthread_mutex_t lock;
	pthread_cond_t turn_ended;
	struct guard_conn conns[GUARD_SLOTS];
	unsigned int count; /* that are not cut off */
	size_t bytes;
	unsigned int turns;
};

int guard_create(guard_late *late, struct guard **out, struct err *e)
{
	struct guard *g = calloc(1, sizeof(*g));
	pthread_condattr_t attr;

	if (g == NULL)
		return err_set(e, ENOMEM, "no memory");
	g->late = late;
	for (size_t i = 0; i < GUARD_SLOTS; i++)
		g->conns[i].sock = -1;
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&g->turn_ended, &attr);
	pthread_condattr_destroy(&attr);
	*out = g;
	return 0;
}

void guard_destroy(struct guard *g)
{
	if (g == NULL)
		return;
	pthread_cond_destroy(&g->turn_ended);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* The thread that serves it finds the socket at its end, and leaves. */
static void cut(struct guard *g, struct guard_conn *c)
{
	shutdown(c->sock, SHUT_RDWR);
	c->is_cut = true;
	g->count--;
}

static unsigned int uid_count(const struct guard *g, uid_t uid)
{
	unsigned int n = 0;

	for (size_t i = 0; i < GUARD_SLOTS; i++)
		n += g->conns[i].sock >= 0 && !g->conns[i].is_cut && g->conns[i].uid == uid;
	return n;
}

/* The one that has kept its place for longest without a request; of that user only, or of everybody who is no more
 * than `class`. */
static struct guard_conn *victim_find(struct guard *g, const uid_t *uid, enum caller_class class)
{
	struct guard_conn *found = NULL;

	for (size_t i = 0; i < GUARD_SLOTS; i++) {
		struct guard_conn *c = &g->conns[i];

		if (c->sock < 0 || c->is_cut || c->phase != GUARD_READING || c->class > class)
			continue;
		if (uid != NULL && c->uid != *uid)
			continue;
		if (found == NULL || c->since_ns < found->since_ns)
			found = c;
	}
	return found != NULL && now_ns() - found->since_ns >= EVICT_AGE_NS ? found : NULL;
}

/* Locked. */
static bool room_make(struct guard *g, uid_t uid, enum caller_class class)
{
	bool is_users = uid_count(g, uid) >= limits[class].of_uid;
	struct guard_conn *victim;

	if (!is_users && g->count < limits[class].of_all)
		return true;
	victim = victim_find(g, is_users ? &uid : NULL, class);
	if (victim != NULL)
		cut(g, victim);
	return victim != NULL;
}

static struct guard_conn *slot_find(struct guard *g)
{
	for (size_t i = 0; i < GUARD_SLOTS; i++)
		if (g->conns[i].sock < 0)
			return &g->conns[i];
	return NULL;
}

int guard_admit(struct guard *g, const struct guard_peer *peer, struct guard_conn **out,
		struct err *e)
{
	const struct guard_limits *limit = &limits[peer->class];
	struct guard_conn *c = NULL;

	pthread_mutex_lock(&g->lock);
	if (room_make(g, peer->uid, peer->class))
		c = slot_find(g);
	if (c != NULL) {
		*c = (struct guard_conn){ .sock = peer->sock,
					  .uid = peer->uid,
					  .class = peer->class,
					  .since_ns = now_ns() };
		g->count++;
	}
	pthread_mutex_unlock(&g->lock);
	if (c == NULL) {
		err_set(e, EAGAIN, "no room for a further client: uid %u may have %u, all %u",
			peer->uid, limit->of_uid, limit->of_all);
		err_code(e, "too-many-connections");
		return err_hint(e, "the same again when others have ended");
	}
	*out = c;
	return 0;
}

struct guard_conn *guard_find(struct guard *g, int sock)
{
	struct guard_conn *found = NULL;

	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < GUARD_SLOTS && found == NULL; i++)
		if (g->conns[i].sock == sock)
			found = &g->conns[i];
	pthread_mutex_unlock(&g->lock);
	return found;
}

static void bytes_give_back(struct guard *g, struct guard_conn *c)
{
	g->bytes -= c->bytes;
	c->bytes = 0;
}

void guard_leave(struct guard *g, struct guard_conn *c)
{
	if (g == NULL || c == NULL)
		return;
	pthread_mutex_lock(&g->lock);
	bytes_give_back(g, c);
	if (!c->is_cut)
		g->count--;
	c->sock = -1;
	pthread_mutex_unlock(&g->lock);
}

bool guard_phase_set(struct guard *g, struct guard_conn *c, enum guard_phase phase)
{
	bool is_cut;

	if (g == NULL || c == NULL)
		return true;
	pthread_mutex_lock(&g->lock);
	c->phase = phase;
	c->since_ns = now_ns();
	if (phase == GUARD_READING)
		bytes_give_back(g, c);
	else
		c->has_asked = true;
	is_cut = c->is_cut;
	pthread_mutex_unlock(&g->lock);
	return !is_cut;
}

bool guard_hold(struct guard *g, struct guard_conn *c, size_t bytes)
{
	bool fits;

	if (g == NULL || c == NULL)
		return true;
	pthread_mutex_lock(&g->lock);
	fits = g->bytes < limits[c->class].bytes;
	if (fits) {
		g->bytes += bytes;
		c->bytes += bytes;
	}
	pthread_mutex_unlock(&g->lock);
	return fits;
}

int guard_turn_take(struct guard *g, enum caller_class class, struct err *e)
{
	struct timespec until;
	int r = 0;

	if (g == NULL)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += GUARD_TURN_S;
	pthread_mutex_lock(&g->lock);
	while (g->turns >= limits[class].turns && r == 0)
		r = pthread_cond_timedwait(&g->turn_ended, &g->lock, &until);
	if (r == 0)
		g->turns++;
	pthread_mutex_unlock(&g->lock);
	if (r == 0)
		return 0;
	err_set(e, EAGAIN, "too many ask at the same time");
	err_code(e, "busy");
	return err_hint(e, "the same again in a few seconds");
}

void guard_turn_end(struct guard *g)
{
	if (g == NULL)
		return;
	pthread_mutex_lock(&g->lock);
	g->turns--;
	/* All: who may go on first depends on who it is. */
	pthread_cond_broadcast(&g->turn_ended);
	pthread_mutex_unlock(&g->lock);
}

static bool is_over_time(const struct guard_conn *c, uint64_t now)
{
	static const uint64_t seconds[] = {
		[GUARD_READING] = GUARD_REQUEST_S,
		[GUARD_WORKING] = 0, /* as long as the work takes */
		[GUARD_REPLYING] = GUARD_REPLY_S,
	};

	return seconds[c->phase] != 0 && now - c->since_ns >= seconds[c->phase] * 1000000000ULL;
}

unsigned int guard_look(struct guard *g)
{
	unsigned int count;
	uint64_t now;

	pthread_mutex_lock(&g->lock);
	now = now_ns();
	for (size_t i = 0; i < GUARD_SLOTS; i++) {
		struct guard_conn *c = &g->conns[i];

		if (c->sock < 0 || c->is_cut || !is_over_time(c, now))
			continue;
		/* While it reads, its thread writes nothing. Who has had a reply would take this for the next one. */
		if (c->phase == GUARD_READING && !c->has_asked)
			g->late(c->sock);
		cut(g, c);
	}
	count = g->count;
	pthread_mutex_unlock(&g->lock);
	return count;
}
