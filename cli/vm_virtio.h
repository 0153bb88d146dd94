/* SPDX-License-Identifier: BSD-3-Clause */
/* The small virtio devices of a VM, for `vm show`. */
#ifndef VIADUCT_CLI_VM_VIRTIO_H
#define VIADUCT_CLI_VM_VIRTIO_H

#include "cli/text.h"

/* "rng (in use), vsock of CID 4711 (no driver)"; "-": none. */
text_fn text_virtio;

#endif
