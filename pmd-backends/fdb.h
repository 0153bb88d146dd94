/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The addresses of a switch: MAC and VLAN key (vlan.h) to an owner, which is a number of the switch's. Fixed addresses
 * come from policies; the others are learned, age, and never take a fixed one's place. What one owner can have learned is
 * bounded, so that no guest fills the table for the others; what there is no room for is not learned, which costs
 * flooding to the uplink, not delivery. Belongs to the switch's lcore.
 */
#ifndef VIADUCT_PMD_BACKENDS_FDB_H
#define VIADUCT_PMD_BACKENDS_FDB_H

#include "base/util.h"

#define FDB_SIZE	16384 /* addresses, fixed and learned */
#define FDB_MAX_FIXED	4096
#define FDB_MAX_LEARNED (FDB_SIZE - FDB_MAX_FIXED)
#define FDB_MAX_OF_PORT 1024 /* learned of one port */
#define FDB_MAX_OF_WIRE 8192 /* of the wire */
#define FDB_WIRE	256 /* this owner is the wire, whichever uplink carries */
#define FDB_OWNERS	(FDB_WIRE + 1)
#define FDB_NOBODY	UINT16_MAX
#define FDB_AGE_S	300 /* IEEE 802.1Q-2018, table 8-6 */

struct fdb;

struct fdb_entry {
	uint8_t mac[6];
	uint16_t vlan; /* key */
	uint16_t owner;
	bool fixed;
	bool used;
	uint32_t seen_s;
};

struct fdb_facts {
	uint64_t moves;
	uint64_t changes; /* addresses that moved or went: what fdb_find() said may no longer be so */
	uint64_t full;
	uint32_t fixed;
	uint32_t learned;
};

/* Needs EAL. -ENOMEM. */
int fdb_create(struct fdb **out);
void fdb_destroy(struct fdb *fdb);

/* The owner, or FDB_NOBODY. */
uint16_t fdb_find(struct fdb *fdb, const uint8_t mac[6], uint16_t vlan);

/* A frame from `owner` had this source. Times in seconds of any clock that never goes back. */
void fdb_learn(struct fdb *fdb, const uint8_t mac[6], uint16_t vlan, uint16_t owner,
	       uint32_t now_s);

/* -EEXIST: fixed at another owner; -ENOSPC. A learned one becomes fixed. The same twice is no error. */
int fdb_fix(struct fdb *fdb, const uint8_t mac[6], uint16_t vlan, uint16_t owner);
void fdb_unfix(struct fdb *fdb, const uint8_t mac[6], uint16_t vlan, uint16_t owner);

/* Forgets what was learned at the owner. */
void fdb_flush(struct fdb *fdb, uint16_t owner);

/* Forgets what is too old in one slice of the table; FDB_AGE_SLICES calls see all of it. */
#define FDB_AGE_SLICES 64
void fdb_age(struct fdb *fdb, uint32_t now_s);

/* The next used entry from *cursor on, which then points behind it; NULL at the end. */
const struct fdb_entry *fdb_next(const struct fdb *fdb, uint32_t *cursor);

const struct fdb_facts *fdb_facts(const struct fdb *fdb);

#endif
