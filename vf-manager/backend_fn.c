// SPDX-License-Identifier: BSD-3-Clause
/* Functions of pci uplinks: from the host's driver to viaduct-pmd and back, by the ledger of functions (fnpool.h). */
#include "vf-manager/backend_core.h"
#include "vf-manager/fnpool.h"
#include "vf-manager/privops.h"

#include <errno.h>
#include <stdio.h>

static bool row_is_ours(const struct backend *b, const struct fn_row *row)
{
	return strcmp(row->owner, BACKEND_OWNER) == 0 && strcmp(row->boot_id, b->d->boot_id) == 0;
}

/* State locked. By address, by the name of its network device, or by the name that it had before we took it. */
static int device_find(struct backend *b, const char *device, struct pci_addr *out, struct err *e)
{
	const struct pci_fn *fn;
	int r;

	for (size_t i = 0; i < ledger_fn_count(b->d->ledger); i++) {
		const struct fn_row *row = ledger_fn_at(b->d->ledger, i);

		if (row_is_ours(b, row) && strcmp(row->dev_name, device) == 0) {
			*out = row->addr;
			return 0;
		}
	}
	r = fnpool_find(b->d, device, &fn, e);
	if (r < 0)
		return r;
	if (fn->kind != FN_NETWORK) {
		err_set(e, EINVAL, "%s is no network function", fn->name);
		return err_code(e, "device-refused");
	}
	*out = fn->addr;
	return 0;
}

/* State locked. Two names of one function are one device. */
static int other_uplink(const struct backend *b, unsigned int but, const struct pci_addr *addr,
			struct err *e)
{
	char text[PCI_ADDR_TEXT];

	pci_addr_text(addr, text);
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++)
		if (i != but && strcmp(b->uplinks[i].device, text) == 0) {
			err_set(e, EBUSY, "%s is the uplink %s already", text,
				b->d->config.uplinks[i].name);
			return err_code(e, "uplink-exists");
		}
	return 0;
}

static enum fn_state state_of(struct backend *b, const struct pci_addr *addr)
{
	enum fn_state state = FN_HOST;
	const struct fn_row *row;

	state_lock(b->d);
	row = ledger_fn_find(b->d->ledger, addr);
	if (row != NULL && row_is_ours(b, row))
		state = row->state;
	state_unlock(b->d);
	return state;
}

/* From wherever a crash may have left it. */
static int fn_bring(struct backend *b, const struct config_uplink *up, const struct pci_addr *addr,
		    struct err *e)
{
	const struct fn_want want = { .addr = *addr, .take = up->takes, .owner = BACKEND_OWNER };
	struct fn_hold hold = { .addr = *addr };
	enum fn_state state = state_of(b, addr);
	int r = 0;

	if (state == FN_RETURNING) {
		r = fnpool_release(b->d, addr, e);
		state = FN_HOST;
	}
	if (r == 0 && state == FN_HOST)
		r = fnpool_lease(b->d, &want, &hold, e);
	if (r < 0)
		return r;
	r = fnpool_bind(b->d, &hold, e);
	if (r == 0)
		r = priv_group_give(b->d, addr, b->d->is_root ? backend_uid(&b->d->config) : 0, e);
	if (r == 0 && state != FN_ASSIGNED)
		r = fnpool_assign(b->d, addr, e);
	if (r < 0 && state != FN_ASSIGNED) {
		struct err back = { 0 };

		if (fnpool_release(b->d, addr, &back) < 0)
			log_err(&back, up->name);
	}
	return r;
}

int backend_fn_take(struct backend *b, unsigned int i, struct err *e)
{
	const struct config_uplink *up = &b->d->config.uplinks[i];
	char text[PCI_ADDR_TEXT];
	struct pci_addr addr;
	int r;

	state_lock(b->d);
	r = daemon_scan(b->d, e);
	if (r == 0)
		r = device_find(b, up->device, &addr, e);
	if (r == 0)
		r = other_uplink(b, i, &addr, e);
	state_unlock(b->d);
	if (r == 0)
		r = fn_bring(b, up, &addr, e);
	if (r < 0)
		return r;
	look_lock(b);
	snprintf(b->uplinks[i].device, sizeof(b->uplinks[i].device), "%s",
		 pci_addr_text(&addr, text));
	look_unlock(b);
	return 0;
}

/* State locked. The first of ours at or after *at that no uplink has, and viaduct-pmd has let go. */
static bool left_next(struct backend *b, size_t *at, struct pci_addr *out)
{
	for (; *at < ledger_fn_count(b->d->ledger); ++*at) {
		const struct fn_row *row = ledger_fn_at(b->d->ledger, *at);
		char text[PCI_ADDR_TEXT];
		bool is_used = false;

		if (!row_is_ours(b, row))
			continue;
		pci_addr_text(&row->addr, text);
		for (unsigned int i = 0; i < b->d->config.uplink_count; i++) {
			const struct config_uplink *up = &b->d->config.uplinks[i];

			is_used |= up->kind == PMD_UPLINK_PCI &&
				   (strcmp(up->device, text) == 0 ||
				    (row->dev_name[0] != '\0' &&
				     strcmp(up->device, row->dev_name) == 0));
		}
		*out = row->addr;
		if (!is_used && !backend_drives(b, &row->addr))
			return true;
	}
	return false;
}

bool backend_fns_are_left(struct backend *b)
{
	struct pci_addr addr;
	size_t at = 0;
	bool is_any;

	state_lock(b->d);
	is_any = left_next(b, &at, &addr);
	state_unlock(b->d);
	return is_any;
}

/* What cannot be given back is quarantined and no longer ours. */
void backend_fns_return(struct backend *b)
{
	size_t at = 0;

	for (;;) {
		struct err e = { 0 };
		struct pci_addr addr;
		bool is_there;

		state_lock(b->d);
		is_there = left_next(b, &at, &addr);
		state_unlock(b->d);
		if (!is_there)
			return;
		(void)priv_group_give(b->d, &addr, 0, NULL);
		if (fnpool_release(b->d, &addr, &e) < 0) {
			log_err(&e, "uplinks");
			at++;
		}
	}
}
