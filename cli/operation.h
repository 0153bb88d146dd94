/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes that take long. On a terminal they are asked for as operations (Prefer: respond-async), so
 * that their steps can be shown; with --no-wait they are begun and left to themselves. A daemon that
 * knows no operations answers as to any other request, and that is as good.
 */
#ifndef VIADUCT_CLI_OPERATION_H
#define VIADUCT_CLI_OPERATION_H

#include "cli/cli.h"

/* As cli_call(). With --no-wait *reply is NULL, and the operation's id has been printed. */
int operation_call(struct cli *cli, const struct args *a, const struct request *rq, json_t **reply,
		   struct err *e);

/* And shows the reply, if there is one. */
int operation_call_show(struct cli *cli, const struct args *a, const struct request *rq,
			render_fn *render, struct err *e);

/* Of the replies of vm stop --all, vf release or scrub, and host selftest: whether they came to what was asked for. */
int vms_stopped_check(const json_t *reply, struct err *e); /* -EBUSY code "vms-left" */
void vf_wiped_check(struct cli *cli, const json_t *reply); /* cli->exit_status */
void selftest_check(struct cli *cli, const json_t *reply); /* cli->exit_status */

#endif
