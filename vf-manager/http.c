// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/http.h"

#include "vf-manager/acceptor.h"
#include "vf-manager/api.h"
#include "vf-manager/guard.h"
#include "vf-manager/routes.h"

#include "base/fd.h"
#include "base/json.h"

#include <microhttpd.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DRAIN_TRIES    500
#define DRAIN_PAUSE_NS 10000000L
#define STREAM_BLOCK   4096
#define QUERY_MAX      16
/* A body that is too large is read to this end, so that its sender reads the answer; then it is broken off. */
#define DRAIN_MAX   (1U << 20)
#define CONN_MEMORY (8U << 10) /* the headers fit in it, or 431 */

struct http_server {
	struct daemon *d;
	struct MHD_Daemon *mhd;
	struct guard *guard; /* these are NULL in http_serve_one */
	struct acceptor *acceptor;
	int listener;
	bool is_closed; /* of http_serve_one */
	_Atomic unsigned int active; /* requests between their body and their reply's last byte */
};

/* One request while its body comes in. */
struct upload {
	char *bytes;
	size_t len, cap;
	size_t drained;
	bool is_too_large, is_too_much; /* by itself; with all the others' */
	struct http_server *s; /* while it counts as active */
};

static struct guard_conn *guard_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

static enum MHD_Result response_send(const struct http_server *s, struct MHD_Connection *c,
				     unsigned int status, struct MHD_Response *response,
				     const char *type)
{
	enum MHD_Result r;

	guard_phase_set(s->guard, guard_of(c), GUARD_REPLYING);
	MHD_add_response_header(response, "Content-Type", type);
	r = MHD_queue_response(c, status, response);
	MHD_destroy_response(response);
	if (status / 100 < DAEMON_STATUS_CLASSES)
		atomic_fetch_add_explicit(&s->d->requests[status / 100], 1, memory_order_relaxed);
	return r;
}

/* Takes the text over. */
static enum MHD_Result text_send(const struct http_server *s, struct MHD_Connection *c,
				 unsigned int status, char *text, const char *type)
{
	struct MHD_Response *response;

	if (text == NULL)
		return MHD_NO;
	response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (response == NULL) {
		free(text);
		return MHD_NO;
	}
	return response_send(s, c, status, response, type);
}

static enum MHD_Result reply_send(const struct http_server *s, struct MHD_Connection *c,
				  unsigned int status, json_t *body)
{
	return text_send(s, c, status, body != NULL ? json_dumps(body, JSON_COMPACT) : NULL,
			 "application/json");
}

/* A stream's reply and the clock over its peer. */
struct stream_state {
	struct reply_stream stream;
	struct guard *guard;
	struct guard_conn *conn;
};

static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct stream_state *s = cls;
	size_t n;

	/* It may wait here; only the peer has a deadline. */
	guard_phase_set(s->guard, s->conn, GUARD_WORKING);
	n = s->stream.read(s->stream.arg, s->stream.peer, buf, max);
	guard_phase_set(s->guard, s->conn, GUARD_REPLYING);
	return n > 0 ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void stream_free(void *cls)
{
	struct stream_state *s = cls;

	s->stream.free(s->stream.arg);
	free(s);
}

static enum MHD_Result stream_send(const struct http_server *s, struct MHD_Connection *c,
				   struct request *req)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct stream_state *state = malloc(sizeof(*state));
	struct MHD_Response *response = NULL;

	if (state != NULL) {
		*state = (struct stream_state){ req->stream, s->guard, guard_of(c) };
		state->stream.peer = info != NULL ? info->connect_fd : -1;
		response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
							     stream_read, state, stream_free);
	}
	if (response != NULL)
		return response_send(s, c, MHD_HTTP_OK, response, req->content_type);
	req->stream.free(req->stream.arg);
	free(state);
	return MHD_NO;
}

static enum MHD_Result error_send(const struct http_server *s, struct MHD_Connection *c,
				  unsigned int status, const struct err *e)
{
	auto_json json_t *body = json_pack("{s:o}", "error", json_from_err(e));

	return reply_send(s, c, status, body);
}

static enum MHD_Result refuse_send(const struct http_server *s, struct MHD_Connection *c,
				   const struct request *req, const struct err *e)
{
	auto_json json_t *body =
		json_pack("{s:o, s:O*}", "error", json_from_err(e), "placement", req->placement);

	return reply_send(s, c, http_status(req, e), body);
}

/* A parameter that is given twice, or is no text, is none that a handler would take. */
static enum MHD_Result query_add(void *cls, enum MHD_ValueKind kind, const char *key,
				 const char *value)
{
	json_t *query = cls;
	bool is_twice = json_object_get(query, key) != NULL;
	json_t *text = is_twice ? NULL : json_string(value != NULL ? value : "");

	if (text == NULL)
		text = json_null();
	if (json_object_set_new(query, key, text) < 0)
		json_object_set_new(query, "?", json_null());
	return json_object_size(query) < QUERY_MAX ? MHD_YES : MHD_NO;
}

/* False: no further byte of it. */
static bool upload_add(const struct http_server *s, struct MHD_Connection *c, struct upload *u,
		       const char *data, size_t len)
{
	if (u->is_too_large || u->is_too_much || len > API_MAX_BODY - u->len) {
		u->is_too_large |= !u->is_too_much;
		u->drained += len;
		return u->drained <= DRAIN_MAX;
	}
	if (u->len + len > u->cap) {
		size_t cap = u64_min(u->len + len + 4096, API_MAX_BODY);
		char *bytes;

		if (!guard_hold(s->guard, guard_of(c), cap - u->cap)) {
			u->is_too_much = true;
			return true;
		}
		bytes = realloc(u->bytes, cap);
		if (bytes == NULL)
			return false;
		u->bytes = bytes;
		u->cap = cap;
	}
	memcpy(u->bytes + u->len, data, len);
	u->len += len;
	return true;
}

static int identify(struct http_server *s, struct MHD_Connection *c, struct caller *out,
		    struct err *e)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (s->d->is_oneshot)
		return caller_self(out);
	if (info == NULL)
		return err_set(e, EIO, "the connection has no socket");
	return caller_from_socket(info->connect_fd, out, e);
}

static enum MHD_Result busy_send(const struct http_server *s, struct MHD_Connection *c)
{
	struct err e = { 0 };

	err_set(&e, EAGAIN, "requests and replies take all the memory that they may");
	err_code(&e, "busy");
	err_hint(&e, "the same again in a few seconds");
	return error_send(s, c, MHD_HTTP_SERVICE_UNAVAILABLE, &e);
}

static enum MHD_Result request_send(struct http_server *s, struct MHD_Connection *c,
				    struct request *req)
{
	auto_free char *text = NULL;

	if (req->stream.read != NULL)
		return stream_send(s, c, req);
	if (req->text == NULL) {
		req->text = json_dumps(req->reply, JSON_COMPACT);
		req->content_type = "application/json";
	}
	text = ptr_take(&req->text);
	/* What has changed something is answered all the same: "again later" would be a lie. */
	if (text != NULL && !guard_hold(s->guard, guard_of(c), strlen(text)) && req->has_turn)
		return busy_send(s, c);
	return text_send(s, c, req->status != 0 ? req->status : HTTP_OK, ptr_take(&text),
			 req->content_type);
}

/* Nobody waits for its end: it has none of its own. */
static void upload_is_done(struct upload *u)
{
	if (u->s != NULL)
		atomic_fetch_sub_explicit(&u->s->active, 1, memory_order_relaxed);
	u->s = NULL;
}

static enum MHD_Result answer(struct upload *u, struct MHD_Connection *c, struct route_call *call)
{
	struct http_server *s = u->s;
	const char *accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept");
	const char *prefer = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Prefer");
	auto_json json_t *query = json_object();
	struct request req = { .d = s->d, .guard = s->guard };
	struct err e = { 0 };
	enum MHD_Result result;
	int r = identify(s, c, &req.who, &e);

	MHD_get_connection_values(c, MHD_GET_ARGUMENT_KIND, query_add, query);
	call->query = query;
	req.wants_async = prefer != NULL && strcmp(prefer, "respond-async") == 0;
	req.wants_stream = accept != NULL && strcmp(accept, "text/event-stream") == 0;
	req.last_event_id = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Last-Event-ID");
	if (r == 0)
		r = route_dispatch(&req, call, &e);
	if (r == 0 && req.reply == NULL && req.text == NULL && req.stream.read == NULL)
		r = err_set(&e, ENOMEM, "no memory for the reply");
	log_debug("uid %u: %s %s: %s", req.who.uid, call->method, call->path,
		  r < 0 ? e.text : "ok");
	if (req.stream.read != NULL)
		upload_is_done(u);
	result = r < 0 ? refuse_send(s, c, &req, &e) : request_send(s, c, &req);
	json_decref(req.placement);
	json_decref(req.reply);
	json_decref(req.body);
	if (req.has_turn)
		guard_turn_end(s->guard);
	return result;
}

static enum MHD_Result too_large_send(const struct http_server *s, struct MHD_Connection *c)
{
	struct err e = { 0 };

	err_set(&e, EFBIG, "the body of the request is larger than %u KiB", API_MAX_BODY >> 10);
	err_code(&e, "too-large");
	return error_send(s, c, MHD_HTTP_CONTENT_TOO_LARGE, &e);
}

/* The headers are there. A body that says that it is much too large is not read at all. */
static enum MHD_Result request_begin(const struct http_server *s, struct MHD_Connection *c,
				     void **state)
{
	const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");

	*state = calloc(1, sizeof(struct upload));
	if (*state == NULL)
		return MHD_NO;
	if (length != NULL && strtoull(length, NULL, 10) > DRAIN_MAX)
		return too_large_send(s, c);
	return MHD_YES;
}

static enum MHD_Result request_ready(void *cls, struct MHD_Connection *c, const char *url,
				     const char *method, const char *version, const char *data,
				     size_t *data_len, void **state)
{
	struct upload *u = *state;
	struct route_call call = { .method = method, .path = url };
	struct http_server *s = cls;

	if (u == NULL)
		return request_begin(s, c, state);
	if (*data_len > 0) {
		if (!upload_add(s, c, u, data, *data_len))
			return MHD_NO;
		*data_len = 0;
		return MHD_YES;
	}
	if (u->is_too_large)
		return too_large_send(s, c);
	if (u->is_too_much)
		return busy_send(s, c);
	if (!guard_phase_set(s->guard, guard_of(c), GUARD_WORKING))
		return MHD_NO;
	u->s = s;
	atomic_fetch_add_explicit(&u->s->active, 1, memory_order_relaxed);
	call.body = u->bytes;
	call.body_len = u->len;
	return answer(u, c, &call);
}

static void request_done(void *cls, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode how)
{
	const struct http_server *s = cls;
	struct upload *u = *state;

	if (u == NULL)
		return;
	upload_is_done(u);
	guard_phase_set(s->guard, guard_of(c), GUARD_READING);
	free(u->bytes);
	free(u);
	*state = NULL;
}

static void connection_taken(void *cls, struct MHD_Connection *c, void **context,
			     enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct http_server *s = cls;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		*context = info != NULL ? guard_find(s->guard, info->connect_fd) : NULL;
	else
		guard_leave(s->guard, *context);
}

static void connection_add(void *arg, int sock, struct guard_conn *c)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct http_server *s = arg;

	/* It starts later, on another thread; if not even that comes, the socket is closed already. */
	if (MHD_add_connection(s->mhd, sock, (struct sockaddr *)&addr, sizeof(addr)) != MHD_YES)
		guard_leave(s->guard, c);
}

static int server_start(struct http_server *s, struct err *e)
{
	const struct acceptor_plan plan = { s->d, s->guard, s->listener, connection_add, s };

	s->mhd = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
					  MHD_USE_POLL | MHD_USE_ITC | MHD_USE_NO_LISTEN_SOCKET,
				  0, NULL, NULL, request_ready, s, MHD_OPTION_NOTIFY_COMPLETED,
				  request_done, s, MHD_OPTION_NOTIFY_CONNECTION, connection_taken,
				  s, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)GUARD_SLOTS,
				  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)HTTP_IDLE_S,
				  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONN_MEMORY,
				  MHD_OPTION_THREAD_STACK_SIZE, (size_t)HTTP_STACK_BYTES,
				  MHD_OPTION_END);
	if (s->mhd == NULL)
		return err_set(e, EIO, "the HTTP server does not start");
	return acceptor_create(&plan, &s->acceptor, e);
}

int http_server_create(struct daemon *d, int listener, struct http_server **out, struct err *e)
{
	struct http_server *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL) {
		fd_close(&listener);
		return err_set(e, ENOMEM, "no memory");
	}
	s->d = d;
	s->listener = listener;
	r = guard_create(acceptor_say_late, &s->guard, e);
	if (r == 0)
		r = server_start(s, e);
	if (r < 0) {
		http_server_destroy(s);
		return r;
	}
	*out = s;
	return 0;
}

void http_server_destroy(struct http_server *s)
{
	const struct timespec pause = { .tv_nsec = DRAIN_PAUSE_NS };

	if (s == NULL)
		return;
	acceptor_destroy(s->acceptor);
	/* Stopping breaks connections off; those that wait for a reply get it first. */
	for (int i = 0; i < DRAIN_TRIES; i++) {
		if (atomic_load_explicit(&s->active, memory_order_relaxed) == 0)
			break;
		nanosleep(&pause, NULL);
	}
	if (s->mhd != NULL)
		MHD_stop_daemon(s->mhd);
	guard_destroy(s->guard);
	fd_close(&s->listener);
	free(s);
}

static void connection_notify(void *cls, struct MHD_Connection *c, void **state,
			      enum MHD_ConnectionNotificationCode what)
{
	struct http_server *s = cls;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED)
		s->is_closed = true;
}

int http_serve_one(struct daemon *d, int sock, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct http_server s = { .d = d, .listener = -1 };
	int r = 0;

	s.mhd = MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, request_ready, &s,
				 MHD_OPTION_NOTIFY_COMPLETED, request_done, &s,
				 MHD_OPTION_NOTIFY_CONNECTION, connection_notify, &s,
				 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)HTTP_IDLE_S,
				 MHD_OPTION_END);
	if (s.mhd == NULL ||
	    MHD_add_connection(s.mhd, sock, (struct sockaddr *)&addr, sizeof(addr)) != MHD_YES)
		r = err_set(e, EIO, "fd %d cannot be served", sock);
	while (r == 0 && !s.is_closed)
		if (MHD_run_wait(s.mhd, -1) != MHD_YES)
			r = err_set(e, EIO, "the connection broke");
	if (s.mhd != NULL)
		MHD_stop_daemon(s.mhd);
	return r;
}
