/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An uplink: one DPDK ethdev behind struct endpoint, of a kind of pmd_msg.h. One receive and one send queue, since
 * one lcore runs its network.
 */
#ifndef VIADUCT_PMD_BACKENDS_UPLINK_H
#define VIADUCT_PMD_BACKENDS_UPLINK_H

#include "pmd-backends/endpoint.h"
#include "pmd-backends/request.h"

struct rte_mempool;
struct uplink;

struct uplink_facts {
	const char *name, *kind, *device, *driver, *note; /* valid while the uplink lives */
	uint8_t mac[6];
	uint16_t mtu;
	bool link, promisc; /* promisc: frames to any address come in */
	unsigned int mac_room; /* addresses that the device can take beside its own */
	const uint8_t (*macs)[6]; /* that it took; valid while the uplink lives and has no others */
	unsigned int mac_count;
	uint32_t speed; /* Mb/s; 0: not known */
	uint64_t rx_missed, tx_errors; /* as the device says */
};

struct uplink_config {
	const char *name;
	const struct pmd_uplink_wish *wish;
	struct rte_mempool *pool;
	bool interrupts; /* wanted, where the device has them */
};

/*
 * Probes, configures and starts it. Codes "no-such-device" (no device of that name), "device-refused" (its driver or
 * DPDK's does not take it; the text says which step).
 */
int uplink_create(const struct uplink_config *cfg, struct uplink **out, struct err *e);
void uplink_destroy(struct uplink *u); /* NULL-safe; no lcore polls it any more */

/*
 * Makes one uplink of several (IEEE 802.1AX), which stay the caller's and are polled by nobody else from now on until
 * it is destroyed.
 */
int uplink_bond_create(const struct uplink_config *cfg, struct uplink *const *members, size_t count,
		       struct uplink **out, struct err *e);

/* Makes these the addresses that the device takes beside its own. What it has no room for, or refuses, is left out:
 * uplink_facts() says what is in. */
void uplink_macs_set(struct uplink *u, const uint8_t (*macs)[6], unsigned int count);

struct endpoint *uplink_endpoint(struct uplink *u);
void uplink_facts(struct uplink *u, struct uplink_facts *out);
const char *uplink_name(const struct uplink *u);

/* Reads the link's state; control thread, several times a second. */
void uplink_link_update(struct uplink *u);

/* Idle "interrupt". The fd that a frame makes ready, -1: none; and, on the lcore, on or off. */
int uplink_interrupt_fd(const struct uplink *u);
void uplink_interrupt(struct uplink *u, bool on);

#endif
