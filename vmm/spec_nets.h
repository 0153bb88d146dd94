/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The "nets" of the launch message and the sockets that come with them (vmm_msg.h).
 */
#ifndef VIADUCT_VMM_SPEC_NETS_H
#define VIADUCT_VMM_SPEC_NETS_H

#include "vmm/spec.h"

/* Takes *fd as the socket of that port; the caller has checked what kind of fd it is. */
int spec_vhost_take(struct vmm_spec *spec, const char *port, int *fd, struct err *e);

/* After every fd and after the devices: ports of both share their names. */
int spec_nets_parse(struct vmm_spec *spec, const json_t *obj, struct err *e);

/* A word of VMM_LINK_WORDS; -EINVAL: none of them. */
int spec_link_parse(const char *word, enum vmm_link *out, struct err *e);

#endif
