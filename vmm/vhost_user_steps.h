/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each message to a vhost-user back end says and what becomes of its answer, as a table. Private to
 * vhost_user_front.c.
 */
#ifndef VIADUCT_VMM_VHOST_USER_STEPS_H
#define VIADUCT_VMM_VHOST_USER_STEPS_H

#include "vmm/vhost_user_front.h"

#define VHOST_SKIP 1 /* of fill: this message is not for this back end */

enum vhost_answer { VHOST_ANSWER_NONE, VHOST_ANSWER_ACK, VHOST_ANSWER_VALUE };

/* Bytes of its payload, what is answered, fds of that answer. */
struct vhost_row {
	enum vhost_user_request request;
	uint32_t size;
	enum vhost_answer answer;
	uint32_t answer_size;
	unsigned int answer_fds;
	int (*fill)(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m);
	int (*take)(struct vhost_front *f, unsigned int ring, struct vhost_user_message *m,
		    struct err *e);
};

/* Of a message that this front end sends. */
const struct vhost_row *vhost_row_find(uint32_t request);

#endif
