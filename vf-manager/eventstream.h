/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Server-sent events: a follower is a thread of the HTTP server that waits for what is new in the
 * ledger and writes it to its peer. It holds the `state` lock only to copy one page; a peer that does
 * not read stops its own thread alone, and when what it has missed is no longer kept, it is told so
 * (`event: lost`) and dropped.
 */
#ifndef VIADUCT_VF_MANAGER_EVENTSTREAM_H
#define VIADUCT_VF_MANAGER_EVENTSTREAM_H

#include "vf-manager/http.h"
#include "vf-manager/ledger_event.h"

/* State locked. Fills the request's stream; since NULL: only what comes. -EAGAIN code
 * "too-many-followers". */
int event_stream_create(struct request *req, const uint64_t *since, struct err *e);

/* The API's objects; of the second the list. State locked. */
json_t *event_json(const struct event *event);
json_t *alarms_json(struct ledger *l);

#endif
