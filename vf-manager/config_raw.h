/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the configuration: what the file says of the polled engine (config_backend.c) and of pools of
 * hugepages (config_hugepages.c), as libcyaml reads it, and the functions that check it.
 */
#ifndef VIADUCT_VF_MANAGER_CONFIG_RAW_H
#define VIADUCT_VF_MANAGER_CONFIG_RAW_H

#include "vf-manager/config.h"
#include "vf-manager/yamlload.h"

struct raw_uplink {
	char *name, *kind;
	char *device, *pf, *take; /* may be NULL */
	unsigned int *mtu;
};

struct raw_backends {
	unsigned int *cores;
	unsigned int cores_count;
	char *memory, *hugepages, *idle; /* may be NULL */
	unsigned int *uid, *disk_uid;
	unsigned int *disk_cores;
	unsigned int disk_cores_count;
};

struct raw_hugepages {
	char *size;
	unsigned int node, count;
};

struct raw_network {
	char *name;
	char **uplinks;
	unsigned int uplinks_count;
	char *placement, *bond; /* may be NULL */
};

extern const cyaml_schema_value_t raw_uplink_value;
extern const cyaml_schema_field_t raw_backends_fields[];
extern const cyaml_schema_value_t raw_hugepages_value;

/* `raw` NULL: there is no such key. Uplinks come before networks, PFs before both. */
int config_uplinks_parse(const struct raw_uplink *raw, unsigned int count, struct config *out,
			 struct err *e);
int config_backends_parse(const struct raw_backends *raw, struct config *out, struct err *e);

int config_hugepages_parse(const struct raw_hugepages *raw, unsigned int count, struct config *out,
			   struct err *e);

/* Which of the network's uplinks are PFs and which are polled, and how those are a group. */
int config_network_uplinks_parse(const struct raw_network *raw, const struct config *config,
				 struct config_network *out, struct err *e);

/* What is only seen when all is there. */
int config_backend_check(const struct config *config, struct err *e);

#endif
