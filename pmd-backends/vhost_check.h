/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages of a VMM, checked before anything is done with them (Vhost-user protocol, QEMU docs/interop/vhost-user.rst). A
 * VMM that its guest has taken over may send anything: memory that a truncated file no longer backs (SIGBUS), a pipe
 * as a ring's eventfd, a ring that there is not.
 */
#ifndef VIADUCT_PMD_BACKENDS_VHOST_CHECK_H
#define VIADUCT_PMD_BACKENDS_VHOST_CHECK_H

#include "pmd-backends/vhost_wire.h"

#include "base/err.h"

/* The header alone: is it a message that a VMM may send us, and is its payload of a size that it can have? -EBADMSG. */
int vhost_header_check(const struct vhost_header *h, struct err *e);

/* All of it. Each region of memory is a part of a regular file that is large enough and sealed against shrinking; each
 * ring is one that we have, each fd of a ring an eventfd. -EBADMSG says what is wrong. */
int vhost_message_check(const struct vhost_message *m, const int *fds, size_t fd_count,
			struct err *e);

/* Does its answer carry more than success or failure? */
bool vhost_message_asks(const struct vhost_message *m);

/* Features of the protocol without which the message means nothing. */
uint64_t vhost_message_needs(const struct vhost_message *m);

/* The ring that the message is about, if it is about one that can run. */
uint32_t vhost_message_rings(const struct vhost_message *m);

/* Rings of which all that was taken must be done before this is, if they run. Of a message that was checked. */
uint32_t vhost_message_stops(const struct vhost_message *m);

/* For errors: "SET_MEM_TABLE". */
const char *vhost_request_name(uint32_t request);

#endif
