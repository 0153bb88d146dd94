/* SPDX-License-Identifier: BSD-3-Clause */
/* What the launch message says of firmware, for spec.c. */
#ifndef VIADUCT_VMM_SPEC_FIRMWARE_H
#define VIADUCT_VMM_SPEC_FIRMWARE_H

#include "vmm/spec.h"

#include <jansson.h>

/* "uuid" of the spec, and that kernel, firmware and variables go together. After the fds. */
int spec_firmware_parse(struct vmm_spec *spec, const json_t *obj, struct err *e);

#endif
