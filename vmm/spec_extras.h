/* SPDX-License-Identifier: BSD-3-Clause */
/* What the launch message says of small virtio devices (extras.h), for spec.c. */
#ifndef VIADUCT_VMM_SPEC_EXTRAS_H
#define VIADUCT_VMM_SPEC_EXTRAS_H

#include "vmm/spec.h"

#include <jansson.h>

/* "rng", "virtio_console" and "vsock" of the spec, with the fds that they need. After the fds. */
int spec_extras_parse(struct vmm_spec *spec, const json_t *obj, struct err *e);

#endif
