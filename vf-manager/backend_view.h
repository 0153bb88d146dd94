/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The polled engine as the API, the alarms and the metrics show it. Every json_t is a new reference. Without a
 * daemon (--oneshot) it is what the configuration says.
 */
#ifndef VIADUCT_VF_MANAGER_BACKEND_VIEW_H
#define VIADUCT_VF_MANAGER_BACKEND_VIEW_H

#include "vf-manager/backend.h"

#include <stdio.h>

/* Any lock may be held. UPLINK of api.h. */
json_t *backend_uplinks_view(struct daemon *d);

/* {"name","state":"off|up|down","pid","dpdk","restarts","lcores":[{"lcore","cpu","busy"}],"problem"}; null without a daemon. */
json_t *backend_process_view(struct daemon *d);

/* State not locked: viaduct-pmd is asked. -ENOENT code "no-such-uplink". */
int backend_uplink_view(struct daemon *d, const char *name, json_t **out, struct err *e);

/* State not locked. The MACs that the network's switch has learned; null: it does not say. */
json_t *backend_fdb_view(struct daemon *d, const char *network, bool *is_cut);

/* Any lock. Which uplink of a group carries all; NULL: none does, or it is not known. */
const char *backend_network_active(struct daemon *d, const char *network, char buf[PMD_NAME_TEXT]);

/* Any lock. Appends {"port","engine","vf","state"} of each polled port on the network. */
void backend_network_ports(struct daemon *d, const char *network, json_t *list);

/* Any lock. Its part of /metrics, with what the last backend_stats_look() found. */
void backend_metrics_write(struct daemon *d, FILE *out);

/* State not locked, PMD_QUICK_MS at most: what the metrics then write. */
void backend_stats_look(struct daemon *d);

#endif
