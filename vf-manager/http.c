// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/http.h"

#include "vf-manager/api.h"
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

struct http_server {
	struct daemon *d;
	struct MHD_Daemon *mhd;
	bool is_closed; /* of http_serve_one */
	_Atomic unsigned int active; /* requests between their body and their reply's last byte */
};

/* One request while its body comes in. */
struct upload {
	char *bytes;
	size_t len, cap;
	bool is_too_large;
	struct http_server *s; /* while it counts as active */
};

static enum MHD_Result response_send(const struct http_server *s, struct MHD_Connection *c,
				     unsigned int status, struct MHD_Response *response,
				     const char *type)
{
	enum MHD_Result r;

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

static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct reply_stream *stream = cls;
	size_t n = stream->read(stream->arg, stream->peer, buf, max);

	return n > 0 ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void stream_free(void *cls)
{
	struct reply_stream *stream = cls;

	stream->free(stream->arg);
	free(stream);
}

static enum MHD_Result stream_send(const struct http_server *s, struct MHD_Connection *c,
				   struct request *req)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct reply_stream *stream = malloc(sizeof(*stream));
	struct MHD_Response *response = NULL;

	if (stream != NULL) {
		*stream = req->stream;
		stream->peer = info != NULL ? info->connect_fd : -1;
		response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
							     stream_read, stream, stream_free);
	}
	if (response != NULL)
		return response_send(s, c, MHD_HTTP_OK, response, req->content_type);
	req->stream.free(req->stream.arg);
	free(stream);
	return MHD_NO;
}

static enum MHD_Result error_send(const struct http_server *s, struct MHD_Connection *c,
				  unsigned int status, const struct err *e)
{
	auto_json json_t *body = json_pack("{s:o}", "error", json_from_err(e));

	return reply_send(s, c, status, body);
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

static int upload_add(struct upload *u, const char *data, size_t len)
{
	if (u->is_too_large || len > API_MAX_BODY - u->len) {
		u->is_too_large = true;
		return 0;
	}
	if (u->len + len > u->cap) {
		size_t cap = u->len + len + 4096;
		char *bytes = realloc(u->bytes, cap);

		if (bytes == NULL)
			return -ENOMEM;
		u->bytes = bytes;
		u->cap = cap;
	}
	memcpy(u->bytes + u->len, data, len);
	u->len += len;
	return 0;
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

static enum MHD_Result request_send(struct http_server *s, struct MHD_Connection *c,
				    struct request *req)
{
	if (req->stream.read != NULL)
		return stream_send(s, c, req);
	if (req->text != NULL)
		return text_send(s, c, MHD_HTTP_OK, ptr_take(&req->text), req->content_type);
	return reply_send(s, c, MHD_HTTP_OK, req->reply);
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
	auto_json json_t *query = json_object();
	struct request req = { .d = s->d };
	struct err e = { 0 };
	enum MHD_Result result;
	int r = identify(s, c, &req.who, &e);

	MHD_get_connection_values(c, MHD_GET_ARGUMENT_KIND, query_add, query);
	call->query = query;
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
	result = r < 0 ? error_send(s, c, http_status(&req, &e), &e) : request_send(s, c, &req);
	json_decref(req.reply);
	json_decref(req.body);
	return result;
}

static enum MHD_Result request_ready(void *cls, struct MHD_Connection *c, const char *url,
				     const char *method, const char *version, const char *data,
				     size_t *data_len, void **state)
{
	struct upload *u = *state;
	struct route_call call = { .method = method, .path = url };
	struct err e = { 0 };

	if (u == NULL) {
		*state = calloc(1, sizeof(*u));
		return *state != NULL ? MHD_YES : MHD_NO;
	}
	if (*data_len > 0) {
		if (upload_add(u, data, *data_len) < 0)
			return MHD_NO;
		*data_len = 0;
		return MHD_YES;
	}
	if (u->is_too_large) {
		err_set(&e, EFBIG, "the request is larger than %u bytes", API_MAX_BODY);
		err_code(&e, "too-large");
		return error_send(cls, c, MHD_HTTP_CONTENT_TOO_LARGE, &e);
	}
	u->s = cls;
	atomic_fetch_add_explicit(&u->s->active, 1, memory_order_relaxed);
	call.body = u->bytes;
	call.body_len = u->len;
	return answer(u, c, &call);
}

static void request_done(void *cls, struct MHD_Connection *c, void **state,
			 enum MHD_RequestTerminationCode how)
{
	struct upload *u = *state;

	if (u == NULL)
		return;
	upload_is_done(u);
	free(u->bytes);
	free(u);
	*state = NULL;
}

/* What a code says beats what its errno would. */
static const struct status_row {
	const char *code;
	unsigned int status;
} code_rows[] = {
	{ "no-such-vm", MHD_HTTP_NOT_FOUND },
	{ "no-such-vf", MHD_HTTP_NOT_FOUND },
	{ "no-such-pf", MHD_HTTP_NOT_FOUND },
	{ "no-such-network", MHD_HTTP_NOT_FOUND },
	{ "no-such-path", MHD_HTTP_NOT_FOUND },
	{ "vf-index", MHD_HTTP_NOT_FOUND },
	{ "no-sriov", MHD_HTTP_BAD_REQUEST },
	{ "method", MHD_HTTP_METHOD_NOT_ALLOWED },
	{ "not-allowed", MHD_HTTP_FORBIDDEN },
	{ "no-such-cpu", MHD_HTTP_BAD_REQUEST },
	{ "no-such-node", MHD_HTTP_BAD_REQUEST },
	{ "numa-short", MHD_HTTP_CONFLICT },
	{ "dedicated-unsupported", MHD_HTTP_CONFLICT },
	{ "memory-short", MHD_HTTP_CONFLICT },
	{ "hugepages-short", MHD_HTTP_CONFLICT },
	{ "kvm-unusable", MHD_HTTP_CONFLICT },
	{ "vmm-too-old", MHD_HTTP_CONFLICT },
	{ "bad-config", MHD_HTTP_CONFLICT },
	{ "cursor-lost", MHD_HTTP_GONE },
	{ "cursor-ahead", MHD_HTTP_BAD_REQUEST },
};

static const struct errno_row {
	int errnum;
	unsigned int status;
	bool is_of_request; /* the row holds only while the request itself is in question */
} errno_rows[] = {
	{ EINVAL, MHD_HTTP_BAD_REQUEST, true },
	{ ERANGE, MHD_HTTP_BAD_REQUEST, true },
	{ EBADMSG, MHD_HTTP_BAD_REQUEST, true },
	{ ENOENT, MHD_HTTP_BAD_REQUEST, true },
	{ ELOOP, MHD_HTTP_BAD_REQUEST, true },
	{ EACCES, MHD_HTTP_FORBIDDEN, true },
	{ EPERM, MHD_HTTP_FORBIDDEN, true },
	{ EBUSY, MHD_HTTP_CONFLICT, false },
	{ EEXIST, MHD_HTTP_CONFLICT, false },
	{ ESTALE, MHD_HTTP_CONFLICT, false },
	{ EAGAIN, MHD_HTTP_SERVICE_UNAVAILABLE, false },
};

unsigned int http_status(const struct request *req, const struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(code_rows); i++)
		if (strcmp(code_rows[i].code, e->code) == 0)
			return code_rows[i].status;
	for (size_t i = 0; i < ARRAY_SIZE(errno_rows); i++)
		if (errno_rows[i].errnum == e->errnum &&
		    !(errno_rows[i].is_of_request && req->is_valid))
			return errno_rows[i].status;
	return MHD_HTTP_INTERNAL_SERVER_ERROR;
}

int http_server_create(struct daemon *d, int listener, struct http_server **out, struct err *e)
{
	struct http_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return err_set(e, ENOMEM, "no memory");
	s->d = d;
	s->mhd = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
					  MHD_USE_POLL | MHD_USE_ITC,
				  0, NULL, NULL, request_ready, s, MHD_OPTION_LISTEN_SOCKET,
				  listener, MHD_OPTION_NOTIFY_COMPLETED, request_done, s,
				  MHD_OPTION_CONNECTION_LIMIT, (unsigned int)HTTP_CONNECTIONS,
				  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)HTTP_IDLE_S,
				  MHD_OPTION_THREAD_STACK_SIZE, (size_t)HTTP_STACK_BYTES,
				  MHD_OPTION_END);
	if (s->mhd == NULL) {
		free(s);
		return err_set(e, EIO, "the HTTP server does not start");
	}
	*out = s;
	return 0;
}

void http_server_destroy(struct http_server *s)
{
	const struct timespec pause = { .tv_nsec = DRAIN_PAUSE_NS };
	MHD_socket listener;

	if (s == NULL)
		return;
	/* Stopping breaks connections off; those that wait for a reply get it first. */
	listener = MHD_quiesce_daemon(s->mhd);
	for (int i = 0; i < DRAIN_TRIES; i++) {
		if (atomic_load_explicit(&s->active, memory_order_relaxed) == 0)
			break;
		nanosleep(&pause, NULL);
	}
	MHD_stop_daemon(s->mhd);
	fd_close(&listener);
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
	struct http_server s = { .d = d };
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
