// SPDX-License-Identifier: BSD-3-Clause
/* Events, as pages or as a stream, and alarms. */
#include "vf-manager/api_handlers.h"
#include "vf-manager/eventstream.h"
#include "vf-manager/ledger_event.h"

#include "base/json.h"
#include "base/parse.h"

#include <errno.h>

#define PAGE_DEFAULT 500
#define PAGE_MAX     1000

static json_t *text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

json_t *event_json(const struct event *event)
{
	return json_pack("{s:I, s:I, s:s, s:s, s:o, s:o, s:o}", "cursor", (json_int_t)event->cursor,
			 "at_ms", (json_int_t)event->at_ms, "kind", event->kind, "object",
			 event->object, "from", text_or_null(event->from), "to",
			 text_or_null(event->to), "text", text_or_null(event->text));
}

static void page_add(void *arg, const struct event *event)
{
	json_array_append_new(arg, event_json(event));
}

/* A number that came as the text of a parameter or a header. */
static int number_read(const char *what, const char *text, uint64_t max, uint64_t *out,
		       struct err *e)
{
	int r = parse_u64(text != NULL ? text : "", max, out);

	return r < 0 ? err_set(e, EINVAL, "%s is no number from 0 to %llu", what,
			       (unsigned long long)max)
		     : 0;
}

static int query_number(const json_t *query, const char *key, uint64_t max, uint64_t *out,
			struct err *e)
{
	const json_t *value = json_object_get(query, key);

	return value == NULL ? 0 : number_read(key, json_string_value(value), max, out, e);
}

/* Where to begin: the header of a client that comes back beats the parameter of its first request. */
static int since_read(struct request *req, bool *is_given, uint64_t *since, struct err *e)
{
	*is_given = req->wants_stream && req->last_event_id != NULL;
	if (*is_given)
		return number_read("Last-Event-ID", req->last_event_id, INT64_MAX, since, e);
	*is_given = json_object_get(req->body, "since") != NULL;
	return query_number(req->body, "since", INT64_MAX, since, e);
}

static int page_make(struct request *req, const struct event_walk *walk, struct err *e)
{
	struct event_walk filled = *walk;
	json_t *list = json_array();
	uint64_t oldest = 0, newest = 0;
	json_int_t next;
	int r;

	filled.arg = list;
	filled.fn = page_add;
	r = ledger_event_range(req->d->ledger, &oldest, &newest, e);
	if (r == 0)
		r = ledger_event_each(req->d->ledger, &filled, e);
	next = json_array_size(list) > 0
		       ? json_integer_value(json_object_get(
				 json_array_get(list, json_array_size(list) - 1), "cursor"))
		       : (json_int_t)walk->since;
	req->reply = json_pack("{s:o, s:I, s:I, s:I, s:b}", "events", list, "next", next, "oldest",
			       (json_int_t)oldest, "newest", (json_int_t)newest, "more",
			       r == 0 && (uint64_t)next < newest);
	return r;
}

int api_events(struct request *req, struct err *e)
{
	uint64_t since = 0, limit = PAGE_DEFAULT;
	bool is_given;
	int r = since_read(req, &is_given, &since, e);

	if (r == 0)
		r = query_number(req->body, "limit", PAGE_MAX, &limit, e);
	if (r == 0 && limit == 0)
		r = err_set(e, EINVAL, "limit: 1 to %d", PAGE_MAX);
	if (r < 0)
		return r;
	state_lock(req->d);
	if (is_given)
		r = ledger_event_check(req->d->ledger, since, e);
	if (r == 0 && req->wants_stream)
		r = event_stream_create(req, is_given ? &since : NULL, e);
	else if (r == 0)
		r = page_make(req,
			      &(struct event_walk){ .since = since, .limit = (unsigned int)limit },
			      e);
	state_unlock(req->d);
	return r;
}

static void alarm_add(void *arg, const struct alarm *a)
{
	json_array_append_new(arg,
			      json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:I}", "kind", a->kind,
					"object", a->object, "severity", a->severity, "text",
					a->text, "hint", text_or_null(a->hint), "raised_at",
					(json_int_t)a->raised_at, "cursor", (json_int_t)a->cursor));
}

json_t *alarms_json(struct ledger *l)
{
	json_t *list = json_array();

	ledger_alarm_each(l, alarm_add, list, NULL);
	return list;
}

int api_alarms(struct request *req, struct err *e)
{
	json_t *list = json_array();
	int r;

	state_lock(req->d);
	r = ledger_alarm_each(req->d->ledger, alarm_add, list, e);
	state_unlock(req->d);
	req->reply = json_pack("{s:o}", "alarms", list);
	return r;
}
