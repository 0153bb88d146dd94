// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmkeep.h"

#include "vf-manager/vmfile.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>

/* A number of the file, where it is there. */
struct number {
	const char *key;
	const unsigned int *value; /* NULL: absent, *out stays */
	unsigned int least, most;
	unsigned int *out;
};

static int numbers_take(const struct number *rows, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		if (rows[i].value == NULL)
			continue;
		if (*rows[i].value < rows[i].least || *rows[i].value > rows[i].most)
			return err_set(e, ERANGE, "%s: %u is not between %u and %u", rows[i].key,
				       *rows[i].value, rows[i].least, rows[i].most);
		*rows[i].out = *rows[i].value;
	}
	return 0;
}

static int after_parse(const struct vmfile *file, struct vm_keep *out, struct err *e)
{
	const struct vmfile_autostart *a = file->autostart;

	for (unsigned int i = 0; i < a->after_count; i++) {
		if (parse_name(a->after[i]) < 0)
			return err_set(e, EINVAL, "autostart.after: '%.64s' is no name of a VM",
				       a->after[i]);
		if (strcmp(a->after[i], file->name) == 0)
			return err_set(e, EINVAL, "autostart.after: the VM cannot wait for itself");
		for (unsigned int k = 0; k < i; k++)
			if (strcmp(a->after[k], a->after[i]) == 0)
				return err_set(e, EINVAL, "autostart.after: %s is there twice",
					       a->after[i]);
		snprintf(out->after[out->after_count++], KEEP_NAME, "%s", a->after[i]);
	}
	return 0;
}

static int action_parse(const struct vmfile_on_crash *c, struct vm_keep *out, struct err *e)
{
	if (c->action == NULL || strcmp(c->action, "restart") == 0)
		out->restarts = true;
	else if (strcmp(c->action, "stop") != 0)
		return err_set(e, EINVAL, "on_crash.action: '%.16s' is none of restart, stop",
			       c->action);
	return 0;
}

int vm_keep_parse(const struct vmfile *file, struct vm_keep *out, struct err *e)
{
	static const struct vmfile_autostart no_autostart;
	static const struct vmfile_on_crash no_crash;
	static const struct vmfile_stop no_stop;
	const struct vmfile_autostart *a = file->autostart ? file->autostart : &no_autostart;
	const struct vmfile_on_crash *c = file->on_crash ? file->on_crash : &no_crash;
	const struct vmfile_stop *s = file->stop ? file->stop : &no_stop;
	const struct number rows[] = {
		{ "autostart.order", a->order, 0, KEEP_ORDER_MAX, &out->order },
		{ "autostart.delay", a->delay, 0, KEEP_DELAY_MAX_S, &out->delay_s },
		{ "on_crash.backoff", c->backoff, 1, KEEP_BACKOFF_MAX_S, &out->backoff_s },
		{ "on_crash.max", c->max, 1, KEEP_CRASHES - 1, &out->max },
		{ "on_crash.within", c->within, 1, KEEP_WITHIN_MAX_S, &out->within_s },
		{ "stop.timeout", s->timeout, 0, KEEP_STOP_MAX_S, &out->stop_s },
	};
	int r;

	*out = (struct vm_keep){ .is_autostart = file->autostart != NULL,
				 .order = KEEP_ORDER,
				 .backoff_s = KEEP_BACKOFF_S,
				 .max = KEEP_RESTARTS,
				 .within_s = KEEP_WITHIN_S,
				 .stop_s = KEEP_STOP_S };
	r = numbers_take(rows, ARRAY_SIZE(rows), e);
	if (r == 0 && file->autostart != NULL)
		r = after_parse(file, out, e);
	return r == 0 && file->on_crash != NULL ? action_parse(c, out, e) : r;
}

json_t *vm_keep_json(const struct vm_keep *keep)
{
	json_t *after = json_array(), *autostart = json_null();

	for (unsigned int i = 0; i < keep->after_count; i++)
		json_array_append_new(after, json_string(keep->after[i]));
	if (keep->is_autostart)
		autostart = json_pack("{s:i, s:O, s:i}", "order", (int)keep->order, "after", after,
				      "delay_s", (int)keep->delay_s);
	json_decref(after);
	return json_pack("{s:o, s:{s:s, s:i, s:i, s:i}, s:{s:i}}", "autostart", autostart,
			 "on_crash", "action", keep->restarts ? "restart" : "stop", "backoff_s",
			 (int)keep->backoff_s, "max", (int)keep->max, "within_s",
			 (int)keep->within_s, "stop", "timeout_s", (int)keep->stop_s);
}

/* Every end has its row in vmend.c; those that are not here are wanted by somebody. */
static const char *const crashes[] = { "guest-panicked", "watchdog",	  "device-error",
				       "internal-error", "launch-failed", "signal",
				       "oom-killed",	 "unknown" };

bool crash_is(const char *reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		if (strcmp(crashes[i], reason) == 0)
			return true;
	return false;
}

void crash_plan(const struct vm_keep *keep, const int64_t *times, size_t count,
		struct crash_plan *out)
{
	*out = (struct crash_plan){ .next = CRASH_STAYS };
	/* Those of the future are of a clock that has been set back since. */
	for (size_t i = 0; i < count; i++)
		out->count += times[i] <= times[count - 1] &&
			      times[i] > times[count - 1] - (int64_t)keep->within_s;
	if (!keep->restarts)
		return;
	out->next = out->count > keep->max ? CRASH_GIVES_UP : CRASH_RESTARTS;
	out->delay_s = keep->backoff_s;
	for (unsigned int i = 1; i < out->count && out->delay_s < KEEP_BACKOFF_MAX_S; i++)
		out->delay_s *= 2;
	if (out->delay_s > KEEP_BACKOFF_MAX_S)
		out->delay_s = KEEP_BACKOFF_MAX_S;
}
