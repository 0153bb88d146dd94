/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The HTTP server: libmicrohttpd on a Unix socket, one thread per connection; the acceptor and the guard bound
 * connections, memory and time. It knows requests and replies; routes.c knows paths.
 */
#ifndef VIADUCT_VF_MANAGER_HTTP_H
#define VIADUCT_VF_MANAGER_HTTP_H

#include "vf-manager/caller.h"
#include "vf-manager/daemon.h"

#include <jansson.h>

#define HTTP_IDLE_S	 60
#define HTTP_STACK_BYTES (512U << 10)

#define HTTP_OK	      200U
#define HTTP_ACCEPTED 202U

struct guard;
struct operation;

/* A body without an end that is known: read() fills buf with 1 to max bytes, may wait, and is not called
 * again once it has returned 0. */
struct reply_stream {
	size_t (*read)(void *arg, int peer, char *buf, size_t max);
	void (*free)(void *arg);
	void *arg;
	int peer; /* the connection's socket; not owned */
};

struct request {
	struct daemon *d;
	struct guard *guard; /* NULL: no limits */
	bool has_turn; /* the dispatcher took one of the guard's */
	struct caller who;
	char arg[256]; /* what stood for {..} in the path; "" if there is none */
	json_t *body; /* an object; of GET its parameters, which are texts */
	bool wants_async; /* Prefer: respond-async */
	struct operation *op; /* NULL: somebody waits for the reply */
	unsigned int status; /* of the reply; 0: HTTP_OK */
	bool wants_stream; /* Accept: text/event-stream */
	const char *last_event_id; /* NULL: no such header */
	json_t *placement; /* the handler's: goes into the body of its error; NULL: none */
	json_t *reply; /* the handler's; a new reference. Or one of these two: */
	char *text; /* of the type `content_type`; malloc'd */
	const char *content_type;
	struct reply_stream stream; /* read is NULL: none */
	/* The request itself is in order: from here on -EINVAL and the like are the machine's. */
	bool is_valid;
};

struct http_server;

/* Takes over the listening socket. */
int http_server_create(struct daemon *d, int listener, struct http_server **out, struct err *e);

/* Waits for the requests under way. */
void http_server_destroy(struct http_server *s);

/* Serves one connected socket (taken over) until the peer closes it. */
int http_serve_one(struct daemon *d, int sock, struct err *e);

/* HTTP status for an error of a handler. */
unsigned int http_status(const struct request *req, const struct err *e);

#endif
