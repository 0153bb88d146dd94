/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What viaduct-pmd says, out of JSON into structures: the one place where its words are read. It is not trusted:
 * every number, text and count is bounded here, and what is not as in pmd-backends/pmd_msg.h is refused as a whole.
 */
#ifndef VIADUCT_VF_MANAGER_PMD_REPLY_H
#define VIADUCT_VF_MANAGER_PMD_REPLY_H

#include "vf-manager/config.h"

#include "base/parse.h"
#include "pmd-backends/pmd_msg.h"

#include <jansson.h>

#define PMD_DEVICE_TEXT 64
#define PMD_WORD_TEXT	32
#define PMD_NOTE_TEXT	160
#define PMD_FDB_MOST	4096

struct pmd_lcore {
	unsigned int lcore;
	int cpu; /* -1: any */
	double busy; /* 0 to 1 */
};

struct pmd_uplink {
	char name[PMD_NAME_TEXT], kind[PMD_WORD_TEXT], device[PMD_DEVICE_TEXT];
	char driver[PMD_NAME_TEXT], mac[MAC_TEXT], note[PMD_NOTE_TEXT]; /* "" : not said */
	unsigned int mtu, queues;
	bool has_link, promisc;
	unsigned int mac_room, mac_count; /* 0: it says nothing of them */
	uint8_t macs[PMD_MAX_UPLINK_MACS][6];
	uint64_t speed_mbps; /* 0: not known */
};

struct pmd_network {
	char name[PMD_NAME_TEXT], active[PMD_NAME_TEXT], bond[PMD_WORD_TEXT];
	char uplinks[CONFIG_UPLINKS][PMD_NAME_TEXT];
	unsigned int uplink_count;
};

struct pmd_port {
	char name[PMD_PORT_TEXT], network[PMD_NAME_TEXT];
	char state[PMD_WORD_TEXT], features[PMD_WORD_TEXT], ring[PMD_WORD_TEXT],
		error[PMD_NOTE_TEXT];
	unsigned int lcore, queues;
};

struct pmd_status {
	pid_t pid;
	char dpdk[PMD_WORD_TEXT];
	uint64_t uptime_ns;
	struct pmd_lcore lcores[PMD_MAX_LCORES];
	struct pmd_uplink uplinks[PMD_MAX_UPLINKS];
	struct pmd_network networks[PMD_MAX_NETWORKS];
	struct pmd_port ports[PMD_MAX_PORTS];
	unsigned int lcore_count, uplink_count, network_count, port_count;
};

struct pmd_counts {
	uint64_t packets, bytes, drops; /* drops: of uplinks only */
};

struct pmd_port_stats {
	char name[PMD_PORT_TEXT];
	struct pmd_counts from_guest, to_guest;
	uint64_t drops[PMD_DROPS], kicks, calls;
	struct {
		uint64_t rx_free, tx_ready;
	} rings[PMD_MAX_PAIRS];
	unsigned int ring_count;
};

struct pmd_uplink_stats {
	char name[PMD_NAME_TEXT];
	struct pmd_counts rx, tx;
};

struct pmd_lcore_stats {
	unsigned int lcore;
	uint64_t busy_cycles, idle_cycles, packets;
};

struct pmd_stats {
	struct pmd_port_stats ports[PMD_MAX_PORTS];
	struct pmd_uplink_stats uplinks[PMD_MAX_UPLINKS];
	struct pmd_lcore_stats lcores[PMD_MAX_LCORES];
	unsigned int port_count, uplink_count, lcore_count;
};

/* *out is all written, or of no use. -EBADMSG names the member. */
int pmd_status_read(const json_t *result, struct pmd_status *out, struct err *e);
/* An uplink alone: what it says of addresses. */
int pmd_uplink_macs_read(const json_t *uplink, struct pmd_uplink *out, struct err *e);
int pmd_stats_read(const json_t *result, struct pmd_stats *out, struct err *e);

/* "entries" of fdb for the API: [{"mac","vlan","at","age_s","fixed"}], each checked; a new reference. */
int pmd_fdb_read(const json_t *result, json_t **entries, bool *is_cut, struct err *e);

/* NULL: there is none. */
const struct pmd_uplink *pmd_uplink_find(const struct pmd_status *s, const char *name);
const struct pmd_network *pmd_network_find(const struct pmd_status *s, const char *name);
const struct pmd_port *pmd_port_find(const struct pmd_status *s, const char *name);

extern const char *const pmd_drop_words[PMD_DROPS];

#endif
