/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tells a management application of alarms: a thread that POSTs them to the URL of viaductd.yaml, in the order of the events' cursor,
 * until they are taken (2xx). Its queue is the ledger's events, and what was taken last is kept in the state folder, so that neither a
 * receiver that is down nor a daemon that is killed loses any. At least once, not exactly once.
 */
#ifndef VIADUCT_VF_MANAGER_WEBHOOK_H
#define VIADUCT_VF_MANAGER_WEBHOOK_H

#include "vf-manager/daemon.h"

struct webhook;

/* -EINVAL: neither http://, https:// nor unix:/PATH. */
int webhook_url_check(const char *url, struct err *e);

/* *out is NULL where none is configured. */
int webhook_create(struct daemon *d, struct webhook **out, struct err *e);

/* After daemon_end(); NULL-safe. */
void webhook_destroy(struct webhook *w);

#endif
