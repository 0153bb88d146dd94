/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The requests of pmd_msg.h, checked: each becomes one struct that the handlers trust in form (not in
 * whether what it names exists). No DPDK is needed.
 */
#ifndef VIADUCT_PMD_BACKENDS_REQUEST_H
#define VIADUCT_PMD_BACKENDS_REQUEST_H

#include "pmd-backends/pmd_msg.h"
#include "pmd-backends/policy.h"

#include "base/seqmsg.h"

#define PMD_MAX_NETWORK_UPLINKS 8

enum pmd_op {
	PMD_OP_STATUS,
	PMD_OP_UPLINK_ADD,
	PMD_OP_UPLINK_MACS,
	PMD_OP_UPLINK_REMOVE,
	PMD_OP_NETWORK_ADD,
	PMD_OP_NETWORK_REMOVE,
	PMD_OP_PORT_ADD,
	PMD_OP_PORT_SET,
	PMD_OP_PORT_REMOVE,
	PMD_OP_STATS,
	PMD_OP_FDB,
	PMD_OP_MIRROR,
	PMD_OP_MIRROR_STOP,
	PMD_OP_DISK_ADD,
	PMD_OP_DISK_REMOVE,
	PMD_OP_DISK_RESIZE,
	PMD_OP_DISK_SET,
	PMD_OP_QUIT,
	PMD_OPS
};

struct pmd_uplink_wish {
	enum pmd_uplink_kind kind;
	char device[PMD_NAME_TEXT];
	uint16_t mtu;
};

struct pmd_disk_wish {
	bool readonly;
	char serial[PMD_SERIAL_TEXT]; /* zeros behind its end */
	unsigned int queues;
	uint64_t iops, bandwidth; /* operations, bytes a second; 0: no limit */
	bool flush_failed; /* a predecessor's cache lost something: no flush can be true any more */
};

struct pmd_request {
	enum pmd_op op;
	char name[PMD_PORT_TEXT]; /* of the uplink, network, port or disk that it is about; stats: may be "" */
	char network[PMD_NAME_TEXT]; /* port-add, fdb */
	char socket[PMD_SOCKET_TEXT]; /* port-add, disk-add */
	struct policy policy; /* port-add, port-set */
	struct pmd_uplink_wish uplink; /* uplink-add */
	uint8_t macs[PMD_MAX_UPLINK_MACS][6]; /* uplink-macs */
	unsigned int mac_count;
	char uplinks[PMD_MAX_NETWORK_UPLINKS][PMD_NAME_TEXT]; /* network-add */
	unsigned int uplink_count;
	enum pmd_bond bond;
	uint64_t limit_bytes; /* mirror */
	struct pmd_disk_wish disk; /* disk-add, disk-set: the limits */
	int file; /* mirror, disk-add: owned; -1: none */
};

/* -EOPNOTSUPP, code "unknown-request"; -EINVAL with the member's name. *out is to be used only on 0, and let go of
 * with pmd_request_fini() in any case. Takes the fd of "mirror" or "disk-add" out of m. */
int pmd_request_parse(struct seqmsg *m, struct pmd_request *out, struct err *e);
void pmd_request_fini(struct pmd_request *request);

#endif
