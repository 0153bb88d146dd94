/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VM may belong to a user. Then he and root alone open its console, stop it and change its ports; other managers do not.
 * Who owns it is a fact of the VM, so the ledger has it from before its process is.
 */
#ifndef VIADUCT_VF_MANAGER_VMOWNER_H
#define VIADUCT_VF_MANAGER_VMOWNER_H

#include "vf-manager/caller.h"
#include "vf-manager/daemon.h"

#include <jansson.h>

struct vm_owner {
	bool is_set; /* else whoever manages manages it */
	uid_t uid;
	char name[64]; /* as it was asked for */
};

/* A user's name or number. -EINVAL code "no-such-user". */
int vm_owner_read(const struct daemon *d, const char *text, struct vm_owner *out, struct err *e);

/* For the VM's facts; NULL if nobody in particular owns it. */
json_t *vm_owner_json(const struct vm_owner *owner);

/* State locked. 1: it is his (or he is root and it is somebody's), 0: it is nobody's in particular or there is
 * none, -EPERM code "not-owner". `name` ends at a slash: the owner of a VF will do. */
int vm_owner_check(struct daemon *d, const char *name, const struct caller *who, struct err *e);

#endif
