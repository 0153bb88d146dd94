/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viaductd.yaml: networks and uplinks, wanted PFs, uid range of the VMs, MAC prefix, folders that
 * files may come from. Read once at start. A missing file means the defaults.
 */
#ifndef VIADUCT_VF_MANAGER_CONFIG_H
#define VIADUCT_VF_MANAGER_CONFIG_H

#include "base/err.h"

#include <limits.h>
#include <sys/types.h>

#define CONFIG_NETWORKS 64
#define CONFIG_UPLINKS	16
#define CONFIG_PFS	64
#define CONFIG_ROOTS	16
#define CONFIG_NAME	64

struct config_network {
	char name[CONFIG_NAME];
	char uplinks[CONFIG_UPLINKS][CONFIG_NAME]; /* PFs, in order of preference */
	unsigned int uplink_count;
};

struct config_pf {
	char name[CONFIG_NAME];
	uint16_t vfs;
	bool repairs_drift; /* else a count that somebody else has changed is an alarm and no more */
};

/* What who manages nothing may read: what the socket's mode lets him (0660), all, nothing. */
enum config_read { CONFIG_READ_SOCKET, CONFIG_READ_ALL, CONFIG_READ_GROUP };

struct config {
	char group[CONFIG_NAME]; /* who may change things, beside root */
	enum config_read read;
	char webhook[256]; /* for alarms; "": none */
	uid_t uid_first; /* of the VMs; none of them needs an entry in /etc/passwd */
	unsigned int uid_count;
	uint8_t mac_prefix[3];
	bool apply_pfs_at_start;
	unsigned int rescan_s; /* without a word of the kernel the machine is looked at this often */
	struct config_network networks[CONFIG_NETWORKS];
	unsigned int network_count;
	struct config_pf pfs[CONFIG_PFS];
	unsigned int pf_count;
	char roots[CONFIG_ROOTS][256]; /* none: files may be anywhere */
	unsigned int root_count;
};

void config_default(struct config *out);

/* `must_exist`: the operator named the file. -EINVAL names file, line and key. */
int config_load(const char *path, bool must_exist, struct config *out, struct err *e);
int config_parse(const char *text, size_t len, struct config *out, struct err *e);

/* NULL if there is no such network. */
const struct config_network *config_network_find(const struct config *config, const char *name);

#endif
