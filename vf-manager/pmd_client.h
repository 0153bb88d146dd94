/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests to a running viaduct-pmd, each over a connection of its own to its control socket, so that it is the
 * same for one that this daemon started and for one it has found. Bounded in size and time; what the reply says is
 * read by pmd_reply.h.
 */
#ifndef VIADUCT_VF_MANAGER_PMD_CLIENT_H
#define VIADUCT_VF_MANAGER_PMD_CLIENT_H

#include "vf-manager/daemon.h"

#include <jansson.h>

#define PMD_QUICK_MS 1000
#define PMD_DISK_MS  3000 /* whoever has a disk's image open already */
#define PMD_SLOW_MS  10000 /* a device is opened, or an lcore let go */

/* Who must be at the other end. */
struct pmd_peer {
	const char *name; /* of the instance: "net0" */
	const char *look; /* the command that shows what it serves */
	uid_t uid;
	pid_t pid; /* 0: nobody */
};

/* `body` without "v", which is added. *result (may be NULL) is a new reference to an object. Errors of viaduct-pmd pass
 * through; code "backend-down": it does not answer. */
int pmd_call(const struct daemon *d, const struct pmd_peer *peer, json_t *body, json_t **result,
	     struct err *e);

/* The same with an fd that goes along as "image"; it stays the caller's. */
int pmd_call_image(const struct daemon *d, const struct pmd_peer *peer, json_t *body, int image,
		   struct err *e);

#endif
