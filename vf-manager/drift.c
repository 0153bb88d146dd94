// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/drift.h"

#include "vf-manager/ledger_event.h"
#include "vf-manager/pfapply.h"
#include "vf-manager/pool.h"

#include <stdio.h>

#define FIRST_PAUSE_NS 10000000000ULL
#define MOST_DOUBLINGS 5 /* 320 s */
#define HELD_NS	       600000000000ULL

struct drift {
	struct pci_addr pf;
	uint16_t is, was;
};

/* State locked, just scanned. False: it has what viaduct gave it, or is another business. */
static bool drift_find(struct daemon *d, const char *name, struct drift *out)
{
	const struct pf_row *row;
	const struct pci_fn *pf;

	if (pool_pf_find(d, name, &pf, NULL) < 0)
		return false;
	row = ledger_pf_find(d->ledger, &pf->addr);
	if (row == NULL || strcmp(row->boot_id, d->boot_id) != 0 || row->vfs == pf->num_vfs ||
	    ledger_confirm_find(d->ledger, &pf->addr) != NULL)
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

bool drift_is_due(struct daemon *d, const struct drift_memory *memory)
{
	struct drift drift;
	bool is_due = false;

	state_lock(d);
	for (unsigned int i = 0; i < d->config.pf_count; i++)
		is_due |= d->config.pfs[i].repairs_drift && now_ns() >= memory->next_ns[i] &&
			  drift_find(d, d->config.pfs[i].name, &drift);
	state_unlock(d);
	return is_due;
}

bool drift_repair(struct daemon *d, struct drift_memory *memory)
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
		if (!is_there || now_ns() < memory->next_ns[i])
			continue;
		/* The last repair has held for a while. */
		if (now_ns() >= memory->next_ns[i] + HELD_NS)
			memory->tries[i] = 0;
		memory->next_ns[i] = now_ns() + (FIRST_PAUSE_NS << memory->tries[i]);
		memory->tries[i] += memory->tries[i] < MOST_DOUBLINGS;
		is_any |= one_repair(d, want->name, &drift);
	}
	return is_any;
}
