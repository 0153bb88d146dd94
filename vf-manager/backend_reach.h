/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Private to the polled engine in the daemon: which MACs of polled ports the cards of their uplinks deliver, so that VFs
 * of the same card reach them (backend_reach.c).
 */
#ifndef VIADUCT_VF_MANAGER_BACKEND_REACH_H
#define VIADUCT_VF_MANAGER_BACKEND_REACH_H

#include "vf-manager/daemon.h"

#include "pmd-backends/pmd_msg.h"

#include <jansson.h>

struct backend;
struct pmd_uplink;

enum reach_way {
	REACH_FREE, /* nothing is in the way: no card with VFs is there */
	REACH_PF_FILTER, /* the uplink is a PF's network device: its filter, by rtnetlink */
	REACH_DRIVER, /* a VF whose driver takes several addresses: by viaduct-pmd */
	REACH_VF_MAC, /* a VF that takes one address alone: that one is the port's, by the PF */
	REACH_UNKNOWN, /* a VF of which viaduct-pmd has not said yet */
};

enum reach_state {
	REACH_OUT, /* the card does not deliver it */
	REACH_OURS,
	REACH_OTHERS, /* somebody else has put it in, and it stays in when we go */
};

struct reach_mac {
	unsigned int uplink; /* index in config.uplinks */
	uint8_t mac[6];
	char port[PMD_PORT_TEXT];
	enum reach_state state; /* as read back */
};

struct reach_uplink {
	enum reach_way way;
	unsigned int ifindex; /* pf-filter: of the PF's network device; else 0 */
	bool promisc; /* frames to other addresses come in as well, as far as the driver says */
	char device[32]; /* the PF's network device, or the VF's address */
	unsigned int used,
		limit; /* addresses in the filter, anybody's; how many go in, 0: not known */
	bool is_read, is_full;
	struct err why; /* why not all went in */
};

/* Work's; `list` and `uplinks` are written under work and look. */
struct reach {
	struct filter_row *ours; /* as the ledger has them */
	size_t our_count, our_cap;
	struct reach_mac *list;
	size_t count;
	struct reach_uplink uplinks[PMD_MAX_UPLINKS]; /* beside config.uplinks */
	struct pmd_uplink *fresh; /* what is read is read into this */
	uint64_t next_ns; /* no look before, unless something else is wished */
	bool needs_op;
};

struct reach_wish {
	struct reach_mac *list;
	size_t count, cap;
	struct reach_uplink uplinks[PMD_MAX_UPLINKS];
};

/* Work locked; backend_reach_vf.c. By the driver: viaduct-pmd is asked, and then what it says it has. */
void reach_driver_fill(struct backend *b, struct reach_wish *w, unsigned int i);
/* One address is all that the VF takes: the first port's. Without op it is put off. */
void reach_vf_mac_fill(struct backend *b, struct reach_wish *w, unsigned int i, bool has_op);

int backend_reach_create(struct backend *b, struct err *e);
void backend_reach_destroy(struct backend *b);

/* State not locked; once. What the daemon before has put in. */
int backend_reach_load(struct backend *b, struct err *e);

/* Work locked, op too if has_op, state and look not. Filters become what ports, networks and uplinks ask for, and are read back. Cheap
 * where nothing has changed. */
void backend_reach_settle(struct backend *b, bool has_op);
/* Work locked. There is something that waits for op. */
bool backend_reach_needs_op(const struct backend *b);

/* Look locked. */
const struct reach_uplink *backend_reach_uplink(const struct backend *b, unsigned int i);
/* NULL: that was the last. */
const struct reach_mac *backend_reach_next(const struct backend *b, size_t *at);
/* REACH of the API, of config.uplinks[i]; null where the way is free. A new reference. */
json_t *backend_reach_view(const struct backend *b, unsigned int i);

#endif
