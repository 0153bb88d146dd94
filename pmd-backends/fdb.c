// SPDX-License-Identifier: BSD-3-Clause
#include "fdb.h"

#include <rte_hash.h>
#include <rte_jhash.h>
#include <rte_lcore.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define FDB_HINTS 8192 /* power of 2 */

static_assert(FDB_SIZE <= UINT16_MAX + 1, "a hint is a place");

struct fdb {
	struct rte_hash *hash; /* key to position in entries */
	struct fdb_facts facts;
	uint32_t learned_of[FDB_OWNERS];
	uint32_t age_at;
	uint64_t hint_factor; /* odd, secret */
	/* Where an address was found last: a guess that is looked at before the hash is asked. */
	uint16_t hints[FDB_HINTS];
	struct fdb_entry entries[FDB_SIZE];
};

/*
 * What the hash compares: MAC and VLAN as one number, made without memory in between, which a load of eight bytes behind stores
 * of six and two would wait for. An entry begins with the same eight bytes.
 */
static uint64_t key_of(const uint8_t mac[6], uint16_t vlan)
{
	uint32_t low;
	uint16_t high;

	memcpy(&low, mac, 4);
	memcpy(&high, mac + 4, 2);
	return low | (uint64_t)high << 32 | (uint64_t)vlan << 48;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "key_of() is in memory order");
static_assert(offsetof(struct fdb_entry, mac) == 0 && offsetof(struct fdb_entry, vlan) == 6,
	      "an entry begins with its key");

int fdb_create(struct fdb **out)
{
	char name[RTE_HASH_NAMESIZE];
	struct fdb *fdb = calloc(1, sizeof(*fdb));
	struct rte_hash_parameters params = {
		.name = name,
		.entries = FDB_SIZE,
		.key_len = sizeof(uint64_t),
		.hash_func = rte_jhash,
		.socket_id = (int)rte_socket_id(),
		/* Without it the table may call itself full before it is. */
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};

	if (!fdb)
		return -ENOMEM;
	/* Guests choose addresses: they must not know which of them meet in a bucket. */
	if (getrandom(&params.hash_func_init_val, sizeof(params.hash_func_init_val), 0) !=
		    sizeof(params.hash_func_init_val) ||
	    getrandom(&fdb->hint_factor, sizeof(fdb->hint_factor), 0) != sizeof(fdb->hint_factor))
		goto fail;
	fdb->hint_factor |= 1;
	snprintf(name, sizeof(name), "fdb %p", (void *)fdb);
	fdb->hash = rte_hash_create(&params);
	if (!fdb->hash)
		goto fail;
	*out = fdb;
	return 0;
fail:
	fdb_destroy(fdb);
	return -ENOMEM;
}

void fdb_destroy(struct fdb *fdb)
{
	if (!fdb)
		return;
	rte_hash_free(fdb->hash);
	free(fdb);
}

static bool entry_is(const struct fdb_entry *entry, uint64_t key)
{
	uint64_t own;

	memcpy(&own, entry, sizeof(own));
	return own == key && entry->used;
}

static struct fdb_entry *entry_find(struct fdb *fdb, uint64_t key)
{
	uint16_t *hint = &fdb->hints[key * fdb->hint_factor >> 32 & (FDB_HINTS - 1)];
	int32_t at;

	if (likely(entry_is(&fdb->entries[*hint], key)))
		return &fdb->entries[*hint];
	at = rte_hash_lookup(fdb->hash, &key);
	if (at < 0)
		return NULL;
	*hint = (uint16_t)at;
	return &fdb->entries[at];
}

uint16_t fdb_find(struct fdb *fdb, const uint8_t mac[6], uint16_t vlan)
{
	uint64_t key = key_of(mac, vlan);
	const struct fdb_entry *entry = entry_find(fdb, key);

	return entry ? entry->owner : FDB_NOBODY;
}

static bool owner_has_room(const struct fdb *fdb, uint16_t owner)
{
	return fdb->learned_of[owner] < (owner < FDB_WIRE ? FDB_MAX_OF_PORT : FDB_MAX_OF_WIRE);
}

static struct fdb_entry *entry_add(struct fdb *fdb, uint64_t key, uint16_t owner)
{
	int32_t at = rte_hash_add_key(fdb->hash, &key);
	struct fdb_entry *entry;

	if (at < 0 || at >= FDB_SIZE) {
		if (at >= 0)
			rte_hash_del_key(fdb->hash, &key);
		return NULL;
	}
	entry = &fdb->entries[at];
	*entry = (struct fdb_entry){ .owner = owner, .used = true };
	memcpy(entry, &key, sizeof(key));
	return entry;
}

static void entry_remove(struct fdb *fdb, struct fdb_entry *entry)
{
	uint64_t key = key_of(entry->mac, entry->vlan);

	if (entry->fixed) {
		fdb->facts.fixed--;
	} else {
		fdb->facts.learned--;
		fdb->learned_of[entry->owner]--;
	}
	fdb->facts.changes++;
	rte_hash_del_key(fdb->hash, &key);
	entry->used = false;
}

static void entry_learn(struct fdb *fdb, uint64_t key, uint16_t owner, uint32_t now_s)
{
	struct fdb_entry *entry = NULL;

	if (fdb->facts.learned < FDB_MAX_LEARNED && owner_has_room(fdb, owner))
		entry = entry_add(fdb, key, owner);
	if (!entry) {
		fdb->facts.full++;
		return;
	}
	entry->seen_s = now_s;
	fdb->facts.learned++;
	fdb->learned_of[owner]++;
}

void fdb_learn(struct fdb *fdb, const uint8_t mac[6], uint16_t vlan, uint16_t owner, uint32_t now_s)
{
	uint64_t key = key_of(mac, vlan);
	struct fdb_entry *entry = entry_find(fdb, key);

	if (!entry) {
		entry_learn(fdb, key, owner, now_s);
		return;
	}
	if (entry->fixed)
		return;
	if (entry->owner != owner) {
		if (!owner_has_room(fdb, owner)) {
			fdb->facts.full++;
			return;
		}
		fdb->facts.moves++;
		fdb->facts.changes++;
		fdb->learned_of[entry->owner]--;
		fdb->learned_of[owner]++;
		entry->owner = owner;
	}
	/* Not written for nothing: it is a cache line of its own for each address. */
	if (entry->seen_s != now_s)
		entry->seen_s = now_s;
}

int fdb_fix(struct fdb *fdb, const uint8_t mac[6], uint16_t vlan, uint16_t owner)
{
	uint64_t key = key_of(mac, vlan);
	struct fdb_entry *entry = entry_find(fdb, key);

	if (entry && entry->fixed)
		return entry->owner == owner ? 0 : -EEXIST;
	if (fdb->facts.fixed == FDB_MAX_FIXED)
		return -ENOSPC;
	if (entry)
		entry_remove(fdb, entry);
	entry = entry_add(fdb, key, owner);
	if (!entry)
		return -ENOSPC;
	entry->fixed = true;
	fdb->facts.fixed++;
	return 0;
}

void fdb_unfix(struct fdb *fdb, const uint8_t mac[6], uint16_t vlan, uint16_t owner)
{
	uint64_t key = key_of(mac, vlan);
	struct fdb_entry *entry = entry_find(fdb, key);

	if (entry && entry->fixed && entry->owner == owner)
		entry_remove(fdb, entry);
}

void fdb_flush(struct fdb *fdb, uint16_t owner)
{
	for (size_t i = 0; i < FDB_SIZE; i++) {
		struct fdb_entry *entry = &fdb->entries[i];

		if (entry->used && !entry->fixed && entry->owner == owner)
			entry_remove(fdb, entry);
	}
}

void fdb_age(struct fdb *fdb, uint32_t now_s)
{
	uint32_t end = fdb->age_at + FDB_SIZE / FDB_AGE_SLICES;

	for (uint32_t i = fdb->age_at; i < end; i++) {
		struct fdb_entry *entry = &fdb->entries[i];

		if (entry->used && !entry->fixed && now_s - entry->seen_s >= FDB_AGE_S)
			entry_remove(fdb, entry);
	}
	fdb->age_at = end % FDB_SIZE;
}

const struct fdb_entry *fdb_next(const struct fdb *fdb, uint32_t *cursor)
{
	while (*cursor < FDB_SIZE) {
		const struct fdb_entry *entry = &fdb->entries[(*cursor)++];

		if (entry->used)
			return entry;
	}
	return NULL;
}

const struct fdb_facts *fdb_facts(const struct fdb *fdb)
{
	return &fdb->facts;
}
