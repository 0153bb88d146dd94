// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/requests.h"

#include "vmm/chipset.h"
#include "vmm/machine.h"
#include "vmm/nets.h"
#include "vmm/spec_nets.h"
#include "vmm/stats.h"
#include "vmm/status.h"
#include "vmm/vfio.h"

#include "base/json.h"

#include <errno.h>

static int op_status(struct machine *m, json_t **result, struct err *e)
{
	*result = machine_status(m);
	return 0;
}

static int op_stats(struct machine *m, json_t **result, struct err *e)
{
	*result = machine_stats(m);
	return 0;
}

static int op_pause(struct machine *m, json_t **result, struct err *e)
{
	int r = machine_pause(m, e);

	return r < 0 ? r : op_status(m, result, e);
}

static int op_resume(struct machine *m, json_t **result, struct err *e)
{
	int r = machine_resume(m, e);

	return r < 0 ? r : op_status(m, result, e);
}

static int op_shutdown(struct machine *m, json_t **result, struct err *e)
{
	if (m->paused) {
		err_set(e, EBUSY, "VM %s is paused and cannot see its power button", m->spec->name);
		return err_hint(e, "viaduct vm resume %s", m->spec->name);
	}
	pthread_mutex_lock(&m->lock);
	chipset_power_button(m->chipset);
	pthread_mutex_unlock(&m->lock);
	*result = json_object();
	return 0;
}

static int op_kill(struct machine *m, json_t **result, struct err *e)
{
	machine_end_request(m, MACHINE_KILLED, "killed by the operator");
	*result = json_object();
	return 0;
}

static int quarantine_set(struct machine *m, const char *port, bool on, json_t **result,
			  struct err *e)
{
	int r;

	pthread_mutex_lock(&m->lock);
	r = vfio_set_quarantine(m->vfio, port, on, e);
	pthread_mutex_unlock(&m->lock);
	return r < 0 ? r : op_status(m, result, e);
}

static int op_quarantine(struct machine *m, const char *port, json_t **result, struct err *e)
{
	return quarantine_set(m, port, true, result, e);
}

static int op_unquarantine(struct machine *m, const char *port, json_t **result, struct err *e)
{
	return quarantine_set(m, port, false, result, e);
}

static int op_set_link(struct machine *m, const char *port, const json_t *body, json_t **result,
		       struct err *e)
{
	enum vmm_link link = VMM_LINK_AUTO;
	char word[16];
	int r = json_get_str(body, "link", word, sizeof(word), e);

	if (r == 0)
		r = spec_link_parse(word, &link, e);
	if (r == 0)
		r = nets_link_set(m->nets, port, link, e);
	return r < 0 ? r : op_status(m, result, e);
}

/* Every request; none takes fds or members beside "v", "op" and, where it is of a port, "port" (and "link"). */
static const struct op_row {
	const char *name;
	size_t fds_max;
	int (*handle)(struct machine *m, json_t **result, struct err *e);
	int (*handle_port)(struct machine *m, const char *port, json_t **result, struct err *e);
	int (*handle_link)(struct machine *m, const char *port, const json_t *body, json_t **result,
			   struct err *e);
} op_rows[] = {
	{ "status", 0, op_status },
	{ "stats", 0, op_stats },
	{ "pause", 0, op_pause },
	{ "resume", 0, op_resume },
	{ "shutdown", 0, op_shutdown },
	{ "kill", 0, op_kill },
	{ "quarantine", 0, NULL, op_quarantine },
	{ "unquarantine", 0, NULL, op_unquarantine },
	{ "set-link", 0, NULL, NULL, op_set_link },
};

static int op_run(struct machine *m, const struct op_row *row, const json_t *body, json_t **result,
		  struct err *e)
{
	static const char *const keys[] = { "v", "op", NULL };
	static const char *const port_keys[] = { "v", "op", "port", NULL };
	static const char *const link_keys[] = { "v", "op", "port", "link", NULL };
	char port[64];
	int r = json_check_keys(body,
				row->handle_link != NULL   ? link_keys
				: row->handle_port != NULL ? port_keys
							   : keys,
				e);

	if (r < 0)
		return r;
	if (row->handle != NULL)
		return row->handle(m, result, e);
	r = json_get_str(body, "port", port, sizeof(port), e);
	if (r < 0)
		return r;
	return row->handle_link != NULL ? row->handle_link(m, port, body, result, e)
					: row->handle_port(m, port, result, e);
}

static int request_handle(struct machine *m, const struct seqmsg *request, json_t **result,
			  struct err *e)
{
	char op[CONTROL_OP_TEXT];
	int r = control_head_parse(request->body, VMM_MSG_VERSION, op, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(op_rows); i++) {
		if (strcmp(op_rows[i].name, op) != 0)
			continue;
		if (request->fd_count > op_rows[i].fds_max)
			return err_set(e, EINVAL, "\"%s\" takes %zu fds, %zu came", op,
				       op_rows[i].fds_max, request->fd_count);
		return op_run(m, &op_rows[i], request->body, result, e);
	}
	err_set(e, EOPNOTSUPP, "unknown request \"%s\"", op);
	return err_code(e, "unknown-request");
}

json_t *requests_answer(struct machine *m, const struct seqmsg *request)
{
	struct err e = { 0 };
	json_t *result = NULL;
	int r = request_handle(m, request, &result, &e);

	return r < 0 ? control_reply_err(VMM_MSG_VERSION, &e)
		     : control_reply_ok(VMM_MSG_VERSION, result);
}

static json_t *answer(void *arg, struct seqmsg *request)
{
	return requests_answer(arg, request);
}

int requests_serve(struct machine *m, int *launch_sock, struct control **out, struct err *e)
{
	const struct control_target target = { .loop = m->loop,
					       .listener = m->spec->listener_fd,
					       .version = VMM_MSG_VERSION,
					       .what = "this VM",
					       .answer = answer,
					       .arg = m };

	return control_create(&target, launch_sock, out, e);
}
