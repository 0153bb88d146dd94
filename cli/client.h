/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The HTTP client: one request at a time to viaductd on its Unix socket, by libcurl. Without a
 * daemon, a request that only reads goes to a `viaductd --oneshot` that runs as the caller. The
 * reply is a peer's input: its size is bounded and it must be one JSON object.
 */
#ifndef VIADUCT_CLI_CLIENT_H
#define VIADUCT_CLI_CLIENT_H

#include "cli/options.h"

#include "base/err.h"

#include <jansson.h>

#define CLIENT_MAX_REPLY (16U << 20) /* bytes; 4096 VFs are about 3 MiB */

#define CLIENT_ACCEPTED 202 /* HTTP */

#define CLIENT_TIMEOUT_S 60 /* of requests that name no other */

/* COLLECTION[/ITEM[/ACTION]]: the item is text of the operator and is escaped. */
struct request {
	const char *method; /* "GET" or "POST" */
	const char *collection; /* "/v1/pfs" */
	const char *item; /* or NULL */
	const char *action; /* or NULL */
	const char *query; /* "since=7&limit=100": ours, so not escaped; or NULL */
	const json_t *body; /* borrowed; or NULL */
	unsigned int timeout_s; /* 0: CLIENT_TIMEOUT_S */
	bool is_async; /* Prefer: respond-async; the answer may be CLIENT_ACCEPTED */
	uint64_t progress_since_ns; /* what the seconds are counted from; 0: the request */
	const char *progress; /* shown on a terminal when it takes over a second; or NULL */
	bool read_only; /* may be answered by a one-shot daemon */
};

struct client;

int client_create(struct client **out, const struct settings *settings, struct err *e);
void client_destroy(struct client *c); /* NULL-safe; reaps the one-shot daemon */

/* 0 with the reply's object in *body (the caller's); or a negative errno. When the daemon itself
 * refused, e holds its words and *body its error object. -ENOTCONN: no daemon; -EACCES: not allowed
 * to talk to it; -ETIMEDOUT. */
int client_call(struct client *c, const struct request *rq, json_t **body, struct err *e);

/* The refusal that another reply tells of: its status counts as the last reply's. A negative errno. */
int client_refusal(struct client *c, long status, const json_t *body, struct err *e);

/* HTTP status of the last reply; 0 when there was none. */
long client_http_status(const struct client *c);

#endif
