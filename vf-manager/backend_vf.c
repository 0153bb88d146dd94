// SPDX-License-Identifier: BSD-3-Clause
/* Uplinks of kind vf: a VF of a PF that keeps its driver, reserved for viaduct-pmd in the ledger of VFs (pool.h). */
#include "vf-manager/backend_core.h"
#include "vf-manager/pool.h"
#include "vf-manager/privops.h"

#include <errno.h>
#include <stdio.h>

/* State locked. */
static bool row_is_uplinks(const struct daemon *d, const struct vf_row *row)
{
	return pool_owner_is_uplink(row->owner) && row->state != VF_FREE &&
	       row->state != VF_QUARANTINED && strcmp(row->boot_id, d->boot_id) == 0;
}

/* State locked. Does the configuration want this uplink to have a VF of this PF? A name that nothing has now (the PF was
 * renamed, or is away) is not another PF's. */
static bool row_is_wanted(struct daemon *d, const struct vf_row *row)
{
	const struct config_uplink *up =
		config_uplink_find(&d->config, row->owner + strlen(POOL_UPLINK));
	const struct pci_fn *pf;

	if (up == NULL || up->kind != PMD_UPLINK_VF)
		return false;
	return pool_pf_find(d, up->device, &pf, NULL) < 0 || pci_addr_cmp(&pf->addr, &row->pf) == 0;
}

/* State locked. The row of the uplink's VF. NULL: it has none. */
static const struct vf_row *row_of(struct daemon *d, const char *uplink)
{
	for (size_t i = 0; i < ledger_vf_count(d->ledger); i++) {
		const struct vf_row *row = ledger_vf_at(d->ledger, i);

		if (row_is_uplinks(d, row) && row_is_wanted(d, row) &&
		    strcmp(row->owner + strlen(POOL_UPLINK), uplink) == 0)
			return row;
	}
	return NULL;
}

/* 1: it has one as it should be, its address stored; 0: it has none (any more). */
static int vf_find(struct daemon *d, const char *uplink, struct pci_addr *out, struct err *e)
{
	struct vf_ref ref = { 0 };
	const struct vf_row *row;
	bool is_whole = false;

	state_lock(d);
	row = row_of(d, uplink);
	if (row != NULL) {
		ref = (struct vf_ref){ row->pf, row->index, row->generation };
		is_whole = row->state == VF_ASSIGNED;
		*out = row->addr;
	}
	state_unlock(d);
	if (row == NULL || is_whole)
		return row != NULL;
	/* From a crash between its steps: all of them anew. */
	return pool_release(d, &ref, false, e);
}

/* Trusted, and free to send what guests send: as far as the driver has such words, and takes them. */
static int vf_bind(struct daemon *d, struct vf_hold *hold, struct err *e)
{
	struct vf_attrs want = { .mask = BIT(VF_ATTR_TRUST) | BIT(VF_ATTR_SPOOFCHK),
				 .trust = true };
	struct vf_attrs now = { 0 };
	int r;

	if (hold->kind != FN_NETWORK || priv_vf_attrs_get(d, &hold->addr, &now, NULL) < 0)
		now.mask = 0;
	want.mask &= now.mask;
	r = pool_bind(d, hold, &want, e);
	if (r == 0 || strncmp(e->code, "attr-", 5) != 0)
		return r;
	log_err(e, hold->id);
	*e = (struct err){ 0 };
	return pool_bind(d, hold, &(struct vf_attrs){ 0 }, e);
}

/* A count of VFs that may have to be taken back is not held up. */
static int trial_check(struct daemon *d, const struct config_uplink *up, struct err *e)
{
	const struct pci_fn *pf;
	bool is_on_trial;

	state_lock(d);
	is_on_trial = pool_pf_find(d, up->device, &pf, NULL) == 0 &&
		      ledger_confirm_find(d->ledger, &pf->addr) != NULL;
	state_unlock(d);
	if (!is_on_trial)
		return 0;
	err_set(e, EBUSY, "its VFs are on trial");
	err_code(e, "pf-on-trial");
	return err_hint(e, "viaduct pf confirm %s   keeps them", up->device);
}

static int vf_reserve(struct backend *b, const struct config_uplink *up, struct pci_addr *out,
		      struct err *e)
{
	char owner[OWNER_TEXT];
	const struct vf_want want = {
		.source = PORT_FROM_PF, .target = up->device, .numa_node = -1, .owner = owner
	};
	struct vf_hold hold;
	struct vf_ref ref;
	int r;

	snprintf(owner, sizeof(owner), POOL_UPLINK "%s", up->name);
	r = trial_check(b->d, up, e);
	if (r == 0)
		r = pool_lease(b->d, &want, &hold, e);
	if (r < 0)
		return r;
	*out = hold.addr;
	if (hold.kind != FN_NETWORK) {
		err_set(e, EINVAL, "%s is no network function", hold.id);
		r = err_code(e, "device-refused");
	}
	if (r == 0)
		r = vf_bind(b->d, &hold, e);
	if (r == 0)
		r = priv_group_give(b->d, &hold.addr,
				    b->d->is_root ? backend_uid(&b->d->config) : 0, e);
	if (r == 0)
		r = pool_assign(b->d, &hold, e);
	if (r < 0) {
		struct err back = { 0 };

		ref = (struct vf_ref){ hold.pf, hold.index, hold.generation };
		if (pool_release(b->d, &ref, false, &back) < 0)
			log_err(&back, up->name);
	}
	return r;
}

int backend_vf_take(struct backend *b, unsigned int i, struct err *e)
{
	const struct config_uplink *up = &b->d->config.uplinks[i];
	char text[PCI_ADDR_TEXT];
	struct pci_addr addr;
	int r;

	state_lock(b->d);
	r = daemon_scan(b->d, e);
	state_unlock(b->d);
	if (r == 0)
		r = vf_find(b->d, up->name, &addr, e);
	if (r > 0)
		r = priv_group_give(b->d, &addr, b->d->is_root ? backend_uid(&b->d->config) : 0, e);
	else if (r == 0)
		r = vf_reserve(b, up, &addr, e);
	if (r < 0)
		return err_wrap(e, "a VF of PF %s", up->device);
	look_lock(b);
	snprintf(b->uplinks[i].device, sizeof(b->uplinks[i].device), "%s",
		 pci_addr_text(&addr, text));
	look_unlock(b);
	return 0;
}

int backend_vf_mac_set(struct backend *b, const struct pci_addr *addr, struct vf_attrs *want,
		       struct err *e)
{
	const struct pci_fn *vf;
	struct vf_hold hold;
	int r;

	state_lock(b->d);
	r = priv_vf_now(b->d, addr, &vf, e);
	if (r == 0)
		pool_hold(b->d, vf, &hold);
	state_unlock(b->d);
	return r < 0 ? r : pool_set_for_now(b->d, &hold, want, e);
}

void backend_vfs_check(struct backend *b)
{
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++) {
		const struct config_uplink *up = &b->d->config.uplinks[i];
		char text[PCI_ADDR_TEXT] = "";
		const struct vf_row *row;

		if (up->kind != PMD_UPLINK_VF || b->uplinks[i].device[0] == '\0')
			continue;
		state_lock(b->d);
		row = row_of(b->d, up->name);
		if (row != NULL)
			pci_addr_text(&row->addr, text);
		state_unlock(b->d);
		if (strcmp(text, b->uplinks[i].device) == 0)
			continue;
		look_lock(b);
		b->uplinks[i].device[0] = '\0';
		b->uplinks[i].is_asked = false;
		look_unlock(b);
	}
}

/* State locked. The first at or after *at that no uplink wants, and viaduct-pmd has let go. */
static bool left_next(const struct backend *b, size_t *at, struct vf_row *out)
{
	struct daemon *d = b->d;

	for (; *at < ledger_vf_count(d->ledger); ++*at) {
		*out = *ledger_vf_at(d->ledger, *at);
		if (row_is_uplinks(d, out) && !row_is_wanted(d, out) &&
		    !backend_drives(b, &out->addr))
			return true;
	}
	return false;
}

bool backend_vfs_are_left(struct backend *b)
{
	struct vf_row row;
	size_t at = 0;
	bool is_any;

	state_lock(b->d);
	is_any = left_next(b, &at, &row);
	state_unlock(b->d);
	return is_any;
}

void backend_vfs_return(struct backend *b)
{
	for (size_t at = 0;; at++) {
		struct err e = { 0 };
		struct vf_row row;
		struct vf_ref ref;
		bool is_there;

		state_lock(b->d);
		is_there = left_next(b, &at, &row);
		state_unlock(b->d);
		if (!is_there)
			return;
		(void)priv_group_give(b->d, &row.addr, 0, NULL);
		ref = (struct vf_ref){ row.pf, row.index, row.generation };
		if (pool_release(b->d, &ref, false, &e) < 0)
			log_err(&e, "uplinks");
	}
}
