/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of all API paths: method, path, who may, whether it works without a daemon, handler.
 * The dispatcher checks all of that and the body's form; handlers trust it.
 */
#ifndef VIADUCT_VF_MANAGER_ROUTES_H
#define VIADUCT_VF_MANAGER_ROUTES_H

#include "vf-manager/http.h"

struct route_call {
	const char *method, *path; /* the path is decoded */
	json_t *query; /* NULL or an object of texts; borrowed */
	const char *body; /* NULL: none */
	size_t body_len;
};

typedef int route_handler(struct request *req, struct err *e);

struct route {
	const char *method;
	const char *path; /* "*" stands for one part, which becomes req->arg */
	bool needs_manage; /* root and the group only: it changes something */
	bool is_oneshot; /* works in viaductd --oneshot */
	bool is_costly; /* in time or memory: few at once */
	const char *const *members; /* of the body, or of GET its parameters; NULL: none */
	route_handler *handler;
	const char *
		operation; /* kind of the operation that it may be (Prefer: respond-async); NULL: none */
	bool needs_root; /* it is about VMs of all owners */
};

extern const struct route routes[];
extern const size_t route_count;

/* Begins it as an operation; the reply is that (api_operation.c). */
int route_defer(struct request *req, const struct route *route, struct err *e);

int route_dispatch(struct request *req, const struct route_call *call, struct err *e);

#endif
