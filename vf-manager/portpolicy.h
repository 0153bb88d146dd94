/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The policy of a port as viaduct-pmd takes it (POLICY of pmd-backends/pmd_msg.h): from a VM file, and changed word by word
 * while the VM runs. Pure. The words are those of the VM file; API and policy give rates in bits per second.
 */
#ifndef VIADUCT_VF_MANAGER_PORTPOLICY_H
#define VIADUCT_VF_MANAGER_PORTPOLICY_H

#include "vf-manager/vmspec.h"

/* Words of POST /v1/vms/{vm}/ports/set, NULL at the end: "port" and what may change while the VM runs. */
extern const char *const port_set_members[];

/* A new reference. mac: of the port, NULL: not known yet (null). */
json_t *port_policy_json(const struct vm_port *port, const uint8_t mac[6]);

/* The policy with the words of `wish` (an object of port_set_members) over it: a new reference. -EINVAL names the word. Nothing
 * to set is -EINVAL, too. */
int port_policy_change(const json_t *policy, const json_t *wish, json_t **out, struct err *e);

/* What is wrong with the words whatever the port has now: -EINVAL names one. */
int port_wish_check(const json_t *wish, struct err *e);

/* The same words as a body of POST /v1/vfs/{vf}/set. -EOPNOTSUPP code "attr-unsupported": a VF has no such thing. */
int port_wish_of_vf(const json_t *wish, json_t **out, struct err *e);

#endif
