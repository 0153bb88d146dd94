/* SPDX-License-Identifier: BSD-3-Clause */
/* What a disk says of itself to its driver (virtio 1.2, 5.2.3 and 5.2.4). */
#ifndef VIADUCT_PMD_BACKENDS_BLOCK_CONFIG_H
#define VIADUCT_PMD_BACKENDS_BLOCK_CONFIG_H

#include "pmd-backends/block_file.h"
#include "pmd-backends/vhost_wire.h"

/* Offered, those of the ring and of vhost-user included. */
uint64_t block_features(const struct block_file *f, unsigned int queues);

/* Fills the configuration space, little-endian, and returns its size, bytes. */
uint32_t block_config(const struct block_file *f, unsigned int queues,
		      uint8_t config[VHOST_MAX_CONFIG]);

#endif
