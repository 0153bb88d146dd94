/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration as the API shows it, and where it does not agree: with the machine, with the file that
 * it came from. New references, NULL when out of memory.
 */
#ifndef VIADUCT_VF_MANAGER_CONFIGVIEW_H
#define VIADUCT_VF_MANAGER_CONFIGVIEW_H

#include "vf-manager/daemon.h"

#include <jansson.h>

json_t *config_view(const struct config *config);

/* State locked. One text for each thing that the file names and this machine does not have or cannot do. */
json_t *config_warnings(struct daemon *d, const struct config *config);

/* State locked. A list of DIFFERENCE (api.h): of the file from what runs, of the wanted PFs from those that
 * are there. `file`: what the configuration's file holds now. */
json_t *config_differences(struct daemon *d, const struct config *file);

/* State locked. NETWORK (api.h). */
json_t *config_network_view(struct daemon *d, const struct config_network *net);

#endif
