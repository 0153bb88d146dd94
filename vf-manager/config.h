/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * viaductd.yaml: networks and uplinks, wanted PFs, uid range of the VMs, MAC prefix, folders that
 * files may come from. Read once at start. A missing file means the defaults.
 */
#ifndef VIADUCT_VF_MANAGER_CONFIG_H
#define VIADUCT_VF_MANAGER_CONFIG_H

#include "vf-manager/placement.h"

#include "base/err.h"
#include "pmd-backends/pmd_msg.h"

#include <limits.h>
#include <sys/types.h>

#define CONFIG_NETWORKS 64
#define CONFIG_UPLINKS	16
#define CONFIG_PFS	64
#define CONFIG_ROOTS	16
#define CONFIG_DEVICES	32
#define CONFIG_NAME	64

struct config_network {
	char name[CONFIG_NAME];
	char uplinks[CONFIG_UPLINKS][CONFIG_NAME]; /* PFs, in order of preference */
	unsigned int uplink_count;
	enum place_policy placement;
	char polled[CONFIG_UPLINKS][CONFIG_NAME]; /* of `uplinks`: what polled ports use */
	unsigned int polled_count;
	enum pmd_bond bond; /* of those */
};

/* What a network without PFs is joined to, by viaduct-pmd. */
struct config_uplink {
	char name[CONFIG_NAME];
	enum pmd_uplink_kind kind;
	char device[32]; /* PCI address, or name of a network device; vf: of the PF; "": none */
	unsigned int mtu;
	bool takes; /* pci: even if the host uses it */
};

enum config_huge { CONFIG_HUGE_AUTO, CONFIG_HUGE_ON, CONFIG_HUGE_OFF };

struct config_backends {
	unsigned int cores[PMD_MAX_LCORES]; /* host CPUs that poll */
	unsigned int core_count; /* 0: one thread on any */
	uint64_t memory_bytes;
	enum config_huge huge;
	enum pmd_idle idle;
	uid_t uid; /* 0: the last of the VMs' */
	unsigned int disk_cores[PMD_MAX_LCORES]; /* of the process that serves disks */
	unsigned int disk_core_count; /* 0: one thread on any */
	uid_t disk_uid; /* 0: the second last of the VMs' */
};

struct config_pf {
	char name[CONFIG_NAME];
	uint16_t vfs;
	bool repairs_drift; /* else a count that somebody else has changed is an alarm and no more */
};

/* What who manages nothing may read: what the socket's mode lets him (0660), all, nothing. */
enum config_read { CONFIG_READ_SOCKET, CONFIG_READ_ALL, CONFIG_READ_GROUP };

/* Through what devices of VMs get their DMA spaces (dmachoice.h). */
enum dma_wish { DMA_WISH_AUTO, DMA_WISH_TYPE1, DMA_WISH_IOMMUFD };

#define CONFIG_HUGEPAGES 32
#define CONFIG_NODE_MAX	 1023

/* A pool that the host shall have. */
struct config_hugepages {
	uint64_t page_bytes; /* 2 MiB or 1 GiB */
	unsigned int node;
	uint64_t count; /* pages */
};

struct config {
	char group[CONFIG_NAME]; /* who may change things, beside root */
	enum config_read read;
	char webhook[256]; /* for alarms; "": none */
	uid_t uid_first; /* of the VMs; none of them needs an entry in /etc/passwd */
	unsigned int uid_count;
	uint8_t mac_prefix[3];
	bool apply_pfs_at_start;
	bool audit_after_assign; /* each VM with a function is audited when it has started */
	enum dma_wish dma;
	unsigned int rescan_s; /* without a word of the kernel the machine is looked at this often */
	struct config_network networks[CONFIG_NETWORKS];
	unsigned int network_count;
	struct config_pf pfs[CONFIG_PFS];
	unsigned int pf_count;
	struct config_uplink uplinks[PMD_MAX_UPLINKS];
	unsigned int uplink_count;
	struct config_backends backends;
	struct config_hugepages hugepages[CONFIG_HUGEPAGES];
	unsigned int hugepages_count;
	char firmware[256]; /* OVMF's code; its variables lie beside it (vmfirmware.h) */
	char roots[CONFIG_ROOTS][256]; /* none: files may be anywhere */
	unsigned int root_count;
	char devices[CONFIG_DEVICES]
		    [256]; /* block devices that disks may be: paths, with * and ? of fnmatch(3) */
	unsigned int device_count;
};

void config_default(struct config *out);

/* `must_exist`: the operator named the file. -EINVAL names file, line and key. */
int config_load(const char *path, bool must_exist, struct config *out, struct err *e);
int config_parse(const char *text, size_t len, struct config *out, struct err *e);

/* NULL if there is no such network. */
const struct config_network *config_network_find(const struct config *config, const char *name);
const struct config_uplink *config_uplink_find(const struct config *config, const char *name);

/* Polled ports can be on it: it has an uplink of `uplinks`, or no uplink at all. */
static inline bool config_network_is_polled(const struct config_network *net)
{
	return net->polled_count > 0 || net->uplink_count == 0;
}

/* Any use of the polled engine that the configuration itself makes possible. */
bool config_has_polled(const struct config *config);

const char *config_uplink_kind_text(enum pmd_uplink_kind kind);
const char *config_bond_text(enum pmd_bond bond);
const char *config_idle_text(enum pmd_idle idle);
const char *config_huge_text(enum config_huge huge);

#endif
