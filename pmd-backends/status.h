/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a viaduct-pmd says of itself: STATUS, STATS and the addresses of a switch (pmd_msg.h). New references; NULL
 * without memory.
 */
#ifndef VIADUCT_PMD_BACKENDS_STATUS_H
#define VIADUCT_PMD_BACKENDS_STATUS_H

#include "pmd-backends/backend.h"

json_t *status_json(struct backend *b);
json_t *status_uplink(struct uplink *u);
json_t *stats_json(struct backend *b, struct port *only); /* NULL: all */
json_t *fdb_json(struct network *n);

#endif
