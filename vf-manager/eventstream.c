// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/eventstream.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PAGE	     64
#define LOOK_S	     1 /* is the peer still there? */
#define KEEP_ALIVE_S 15

/* What is above a row is what the rows below it cannot take. */
static const struct follower_limits {
	unsigned int of_uid, of_all;
} limits[] = {
	[CALLER_OTHER] = { 4, 16 },
	[CALLER_MANAGER] = { 16, 28 },
	[CALLER_ROOT] = { DAEMON_FOLLOWERS, DAEMON_FOLLOWERS },
};

struct event_stream {
	struct daemon *d;
	uid_t uid;
	uint64_t since; /* last cursor that was put into text */
	char *text; /* on its way to the peer */
	size_t len, sent;
	unsigned int quiet_s;
	bool is_over; /* after this text */
};

static void event_write(void *arg, const struct event *event)
{
	auto_json json_t *object = event_json(event);
	auto_free char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);

	/* Compact JSON is one line. */
	fprintf(arg, "id: %llu\nevent: %s\ndata: %s\n\n", (unsigned long long)event->cursor,
		event->kind, text != NULL ? text : "{}");
}

struct page {
	FILE *out;
	uint64_t last;
};

static void page_add(void *arg, const struct event *event)
{
	struct page *page = arg;

	event_write(page->out, event);
	page->last = event->cursor;
}

/* The last words to a follower: why there is no more. */
static void lost_write(struct event_stream *s, FILE *out, const struct err *e)
{
	auto_json json_t *error = json_from_err(e);
	auto_free char *text = json_dumps(error, JSON_COMPACT | JSON_ENSURE_ASCII);

	fprintf(out, "event: lost\ndata: %s\n\n", text != NULL ? text : "{}");
	s->is_over = true;
}

/* State locked. What is new; nothing new: nothing. */
static void page_fill(struct event_stream *s, FILE *out)
{
	struct page page = { .out = out, .last = s->since };
	const struct event_walk walk = {
		.since = s->since, .limit = PAGE, .fn = page_add, .arg = &page
	};
	struct err e = { 0 };
	int r = ledger_event_check(s->d->ledger, s->since, &e);

	if (r == 0)
		r = ledger_event_each(s->d->ledger, &walk, &e);
	if (r < 0)
		lost_write(s, out, &e);
	s->since = page.last;
}

/* State locked; unlocked while it waits. */
static void wait_a_little(struct event_stream *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += LOOK_S;
	if (pthread_cond_timedwait(&s->d->changed, &s->d->state, &until) == ETIMEDOUT)
		s->quiet_s += LOOK_S;
}

static bool peer_is_gone(int peer)
{
	struct pollfd p = { .fd = peer, .events = POLLRDHUP };

	return peer >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Waits until there is text, or the end. */
static void text_make(struct event_stream *s, int peer)
{
	FILE *out;

	free(ptr_take(&s->text));
	s->len = s->sent = 0;
	out = open_memstream(&s->text, &s->len);
	if (out == NULL)
		return;
	state_lock(s->d);
	for (;;) {
		if (s->d->is_ending || peer_is_gone(peer)) {
			s->is_over = true;
			break;
		}
		page_fill(s, out);
		if (s->quiet_s >= KEEP_ALIVE_S)
			fputs(": still here\n\n", out);
		if (fflush(out) != 0 || s->len > 0)
			break;
		wait_a_little(s);
	}
	state_unlock(s->d);
	s->quiet_s = 0;
	fclose(out);
}

static size_t stream_read(void *arg, int peer, char *buf, size_t max)
{
	struct event_stream *s = arg;
	size_t n;

	if (s->sent == s->len && !s->is_over)
		text_make(s, peer);
	n = u64_min(s->len - s->sent, max);
	if (n > 0)
		memcpy(buf, s->text + s->sent, n);
	s->sent += n;
	return n;
}

/* State locked. */
static void follower_remove(struct daemon *d, uid_t uid)
{
	for (unsigned int i = 0; i < d->follower_count; i++) {
		if (d->followers[i] != uid)
			continue;
		d->followers[i] = d->followers[--d->follower_count];
		return;
	}
}

/* State locked. */
static int follower_add(struct request *req, struct err *e)
{
	const struct follower_limits *limit = &limits[caller_class(&req->who, req->d->gid)];
	struct daemon *d = req->d;
	unsigned int own = 0;

	for (unsigned int i = 0; i < d->follower_count; i++)
		own += d->followers[i] == req->who.uid;
	if (own < limit->of_uid && d->follower_count < limit->of_all) {
		d->followers[d->follower_count++] = req->who.uid;
		return 0;
	}
	err_set(e, EAGAIN, "%u clients follow the events already, %u of them of uid %u",
		d->follower_count, own, req->who.uid);
	err_code(e, "too-many-followers");
	return err_hint(e, "viaduct events   asks for pages instead");
}

static void stream_free(void *arg)
{
	struct event_stream *s = arg;

	state_lock(s->d);
	follower_remove(s->d, s->uid);
	state_unlock(s->d);
	free(s->text);
	free(s);
}

int event_stream_create(struct request *req, const uint64_t *since, struct err *e)
{
	struct daemon *d = req->d;
	struct event_stream *s;
	uint64_t oldest, newest;
	int r = ledger_event_range(d->ledger, &oldest, &newest, e);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return err_set(e, ENOMEM, "no memory");
	r = follower_add(req, e);
	if (r < 0) {
		free(s);
		return r;
	}
	s->d = d;
	s->uid = req->who.uid;
	s->since = since != NULL ? *since : newest;
	/* A first line at once, so that a client knows that it is heard. */
	s->quiet_s = KEEP_ALIVE_S;
	req->content_type = "text/event-stream";
	req->stream = (struct reply_stream){ .read = stream_read, .free = stream_free, .arg = s };
	return 0;
}
