// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/drift.h"

#include "vf-manager/attrdrift.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/pfapply.h"
#include "vf-manager/pool.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_PAUSE_NS 10000000000ULL
#define MOST_DOUBLINGS 5 /* 320 s */
#define HELD_NS	       600000000000ULL
#define LINK_PAUSE_NS  1000000000ULL

struct drift {
	struct pci_addr pf;
	uint16_t is, was;
};

/* State locked, just scanned. False: it has what viaduct gave it, or is another business. */
static bool drift_find(struct daemon *d, const char *name, struct drift *out)
{
	const struct pf_row *row;
	const struct pci_fn *pf;
	struct err e = { 0 };

	if (pool_pf_find(d, name, &pf, &e) < 0)
		return false;
	row = ledger_pf_find(d->ledger, &pf->addr);
	/* Without its driver a PF takes no count. */
	if (row == NULL || strcmp(row->boot_id, d->boot_id) != 0 || row->vfs == pf->num_vfs ||
	    pf->driver[0] == '\0' || ledger_confirm_find(d->ledger, &pf->addr) != NULL)
		return false;
	*out = (struct drift){ .pf = pf->addr, .is = pf->num_vfs, .was = row->vfs };
	return true;
}

static bool one_repair(struct daemon *d, const char *name, const struct drift *drift)
{
	const struct pf_wish wish = { .vfs = drift->was, .destroys_unused = true };
	char addr[PCI_ADDR_TEXT], text[96];
	struct err e = { 0 };
	int r;

	log_warn("PF %s: somebody made %u VFs of it: it gets its %u again", name, drift->is,
		 drift->was);
	r = pf_apply(d, name, &wish, &e);
	if (r == 0) {
		snprintf(text, sizeof(text), "repaired: %u VFs again; somebody had made %u",
			 drift->was, drift->is);
		state_lock(d);
		r = ledger_event_add(d->ledger, "pf", pci_addr_text(&drift->pf, addr), text, &e);
		state_unlock(d);
	}
	if (r < 0)
		log_err(&e, "drift");
	return r == 0;
}

bool drift_pace_allows(const struct drift_pace *pace)
{
	return now_ns() >= pace->next_ns;
}

void drift_pace_take(struct drift_pace *pace)
{
	/* The last repair has held for a while. */
	if (now_ns() >= pace->next_ns + HELD_NS)
		pace->tries = 0;
	pace->next_ns = now_ns() + (FIRST_PAUSE_NS << pace->tries);
	pace->tries += pace->tries < MOST_DOUBLINGS;
}

static bool pf_has_link(const struct pci_fn *pf)
{
	return pf->ifindex != 0 && pf->net.admin_up && pf->net.has_carrier && pf->net.carrier;
}

/* NULL: no memory. */
static struct drift_pf *pf_memory(struct drift_memory *memory, const struct pci_addr *pf)
{
	struct drift_pf *pfs;

	for (size_t i = 0; i < memory->pf_count; i++)
		if (pci_addr_cmp(&memory->pfs[i].pf, pf) == 0)
			return &memory->pfs[i];
	pfs = reallocarray(memory->pfs, memory->pf_count + 1, sizeof(*pfs));
	if (pfs == NULL)
		return NULL;
	memory->pfs = pfs;
	pfs[memory->pf_count] = (struct drift_pf){ .pf = *pf, .was_away = true };
	return &pfs[memory->pf_count++];
}

void drift_memory_free(struct drift_memory *memory)
{
	free(memory->pfs);
	memory->pfs = NULL;
	memory->pf_count = 0;
}

static bool has_drift(const struct attr_drifts *attrs, const struct pci_addr *pf)
{
	for (size_t i = 0; i < attrs->count; i++)
		if (pci_addr_cmp(&attrs->items[i].pf, pf) == 0)
			return true;
	return false;
}

void drift_note(struct daemon *d, struct drift_memory *memory, const struct attr_drifts *attrs)
{
	state_lock(d);
	for (size_t i = 0; i < inventory_count(d->inv); i++) {
		const struct pci_fn *pf = inventory_at(d->inv, i);
		struct drift_pf *m;

		if (!pf->is_pf || ledger_pf_find(d->ledger, &pf->addr) == NULL)
			continue;
		m = pf_memory(memory, &pf->addr);
		if (m == NULL)
			break;
		if (!pf_has_link(pf) || pf->ifindex != m->ifindex)
			m->was_away = true;
		else if (!has_drift(attrs, &pf->addr))
			m->was_away = false;
		m->ifindex = pf->ifindex;
	}
	state_unlock(d);
}

bool drift_policy_repairs(const struct daemon *d, const struct pci_fn *pf)
{
	for (unsigned int i = 0; i < d->config.pf_count; i++) {
		const struct config_pf *want = &d->config.pfs[i];
		const struct pci_fn *found;
		struct err e = { 0 };

		if (want->repairs_drift && pool_pf_find(d, want->name, &found, &e) == 0 &&
		    pci_addr_cmp(&found->addr, &pf->addr) == 0)
			return true;
	}
	return false;
}

/* State locked. NULL: its attributes are not to be set again now; *m is what is known of its PF. */
static const char *attrs_why(struct daemon *d, struct drift_memory *memory,
			     const struct attr_drift *drift, struct drift_pf **m)
{
	const struct pci_fn *pf = inventory_find(d->inv, &drift->pf);

	*m = pf_memory(memory, &drift->pf);
	/* A PF that is down takes some of them only when it is up. */
	if (*m == NULL || pf == NULL || pf->ifindex == 0 || !pf->net.admin_up)
		return NULL;
	if ((*m)->was_away)
		return "its PF was away";
	return drift_policy_repairs(d, pf) ? "somebody else had changed it" : NULL;
}

/* State locked. By what was seen last: a lease or a port has a VF that is not there any more. */
static bool has_gone(const struct daemon *d)
{
	for (size_t i = 0; i < ledger_vf_count(d->ledger); i++) {
		const struct vf_row *row = ledger_vf_at(d->ledger, i);
		const struct pci_fn *vf;

		if (row->state == VF_FREE || row->state == VF_QUARANTINED ||
		    strcmp(row->boot_id, d->boot_id) != 0)
			continue;
		vf = inventory_find(d->inv, &row->addr);
		if (vf == NULL || (row->birth != 0 && vf->birth != 0 && row->birth != vf->birth))
			return true;
	}
	return false;
}

bool drift_is_due(struct daemon *d, struct drift_memory *memory, const struct attr_drifts *attrs)
{
	struct drift drift;
	bool is_due;

	state_lock(d);
	is_due = has_gone(d);
	for (unsigned int i = 0; !is_due && i < d->config.pf_count; i++)
		is_due = d->config.pfs[i].repairs_drift && drift_pace_allows(&memory->count[i]) &&
			 drift_find(d, d->config.pfs[i].name, &drift);
	for (size_t i = 0; !is_due && i < attrs->count; i++) {
		struct drift_pf *m;

		is_due = attrs_why(d, memory, &attrs->items[i], &m) != NULL &&
			 drift_pace_allows(&m->attrs);
	}
	state_unlock(d);
	return is_due;
}

static bool counts_repair(struct daemon *d, struct drift_memory *memory)
{
	bool is_any = false;

	for (unsigned int i = 0; i < d->config.pf_count; i++) {
		const struct config_pf *want = &d->config.pfs[i];
		struct drift drift;
		bool is_there;

		if (!want->repairs_drift)
			continue;
		state_lock(d);
		is_there = daemon_scan(d, NULL) == 0 && drift_find(d, want->name, &drift);
		state_unlock(d);
		if (!is_there || !drift_pace_allows(&memory->count[i]))
			continue;
		drift_pace_take(&memory->count[i]);
		is_any |= one_repair(d, want->name, &drift);
	}
	return is_any;
}

/* Of a PF that has no link yet, some refuse a rate: the next try comes soon. */
static void attrs_failed(struct daemon *d, struct drift_pf *m)
{
	const struct pci_fn *pf;

	state_lock(d);
	pf = inventory_find(d->inv, &m->pf);
	if (pf != NULL && !pf_has_link(pf))
		m->attrs = (struct drift_pace){ .next_ns = now_ns() + LINK_PAUSE_NS };
	state_unlock(d);
}

static bool attrs_repair(struct daemon *d, struct drift_memory *memory)
{
	struct attr_drifts list = { 0 };
	struct drift_pf *last = NULL;
	bool is_any = false;

	state_lock(d);
	if (daemon_scan(d, NULL) == 0)
		attr_drifts_find(d, &list);
	state_unlock(d);
	for (size_t i = 0; i < list.count; i++) {
		struct err e = { 0 };
		struct drift_pf *m;
		const char *why;

		state_lock(d);
		why = attrs_why(d, memory, &list.items[i], &m);
		state_unlock(d);
		/* All VFs of a PF are one try. */
		if (why == NULL || (m != last && !drift_pace_allows(&m->attrs)))
			continue;
		if (m != last)
			drift_pace_take(&m->attrs);
		last = m;
		if (attr_drift_repair(d, &list.items[i], why, &e) == 0) {
			is_any = true;
			continue;
		}
		log_err(&e, "drift");
		attrs_failed(d, m);
	}
	attr_drifts_free(&list);
	return is_any;
}

bool drift_repair(struct daemon *d, struct drift_memory *memory)
{
	bool is_any;

	pool_forget_gone(d);
	is_any = counts_repair(d, memory);
	return attrs_repair(d, memory) || is_any;
}
