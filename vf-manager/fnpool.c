// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/fnpool.h"

#include "vf-manager/fncheck.h"
#include "vf-manager/pool.h"
#include "vf-manager/privops.h"

#include <errno.h>
#include <stdio.h>

int fnpool_find(const struct daemon *d, const char *text, const struct pci_fn **out, struct err *e)
{
	int r = inventory_find_name(d->inv, text, out, e);

	if (r == 0)
		return 0;
	err_code(e, "no-such-function");
	return err_hint(e, "viaduct function list");
}

int fnpool_lease(struct daemon *d, const struct fn_want *want, struct fn_hold *out, struct err *e)
{
	char text[PCI_ADDR_TEXT];
	const struct pci_fn *fn;
	struct fn_row row = { .addr = want->addr, .state = FN_TAKEN };
	int r;

	*out = (struct fn_hold){ .addr = want->addr };
	state_lock(d);
	r = daemon_scan(d, e);
	if (r == 0)
		r = fnpool_find(d, pci_addr_text(&want->addr, text), &fn, e);
	if (r == 0)
		r = fncheck_all(d, fn, want, &out->use, e);
	if (r == 0)
		r = fn_binding_read(inventory_sysfs(d->inv), &want->addr, &out->was, e);
	if (r < 0)
		goto out;
	out->group = fn->iommu_group;
	out->kind = fn->kind;
	snprintf(out->dev_name, sizeof(out->dev_name), "%s", fn->dev_name);
	row.was = out->was;
	row.namespaces = out->use.namespaces;
	snprintf(row.dev_name, sizeof(row.dev_name), "%s", fn->dev_name);
	snprintf(row.owner, sizeof(row.owner), "%s", want->owner != NULL ? want->owner : "");
	memcpy(row.boot_id, d->boot_id, sizeof(row.boot_id));
	r = ledger_fn_put(d->ledger, &row, e);
out:
	state_unlock(d);
	if (r < 0)
		fn_use_end(&out->use);
	return r;
}

int fnpool_bind(struct daemon *d, struct fn_hold *hold, struct err *e)
{
	char text[PCI_ADDR_TEXT];
	int r = priv_fn_bind(d, &hold->addr, e);

	fn_use_end(&hold->use);
	return r < 0 ? err_wrap(e, "function %s", pci_addr_text(&hold->addr, text)) : 0;
}

/* State not locked. The row in another state; -ENOENT if the host has the function. */
static int row_move(struct daemon *d, const struct pci_addr *addr, enum fn_state to,
		    struct fn_row *out, struct err *e)
{
	const struct fn_row *row;
	int r = -ENOENT;

	state_lock(d);
	row = ledger_fn_find(d->ledger, addr);
	if (row != NULL) {
		*out = *row;
		out->state = to;
		r = ledger_fn_put(d->ledger, out, e);
	}
	state_unlock(d);
	return r;
}

int fnpool_assign(struct daemon *d, const struct pci_addr *addr, struct err *e)
{
	char text[PCI_ADDR_TEXT];
	struct fn_row row;
	int r = row_move(d, addr, FN_ASSIGNED, &row, e);

	if (r == -ENOENT)
		r = err_set(e, ESTALE, "it was given back meanwhile");
	return r < 0 ? err_wrap(e, "function %s", pci_addr_text(addr, text)) : 0;
}

int fnpool_release(struct daemon *d, const struct pci_addr *addr, struct err *e)
{
	struct err why = { 0 };
	char text[PCI_ADDR_TEXT];
	struct fn_row row;
	int done, r = row_move(d, addr, FN_RETURNING, &row, e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	done = priv_fn_give_back(d, &row, &why);
	state_lock(d);
	if (done == 0) {
		r = ledger_fn_del(d->ledger, addr, e);
	} else {
		row.state = FN_QUARANTINED;
		row.owner[0] = '\0';
		snprintf(row.note, sizeof(row.note), "%.*s", (int)sizeof(row.note) - 1, why.text);
		r = ledger_fn_put(d->ledger, &row, e);
	}
	state_unlock(d);
	pci_addr_text(addr, text);
	if (r < 0)
		return err_wrap(e, "function %s", text);
	if (done == 0)
		return 0;
	err_set(e, done, "function %s is quarantined: %s", text, row.note);
	err_code(e, "function-quarantined");
	return err_hint(e, "viaduct function release %s   tries again to give it back", text);
}

/* State locked. The next function at or after *i that belongs to the VM ("": to none that lives). */
static bool next_of(struct daemon *d, const char *vm, size_t *i, struct pci_addr *out)
{
	for (; *i < ledger_fn_count(d->ledger); ++*i) {
		const struct fn_row *row = ledger_fn_at(d->ledger, *i);
		size_t len = strlen(vm);
		bool is_it = len > 0 ? strncmp(row->owner, vm, len) == 0 && row->owner[len] == '/'
				     : row->state != FN_QUARANTINED &&
					       !pool_owner_lives(d, row->owner);

		*out = row->addr;
		if (is_it)
			return true;
	}
	return false;
}

/* A release that works takes the row away, one that fails leaves it without an owner. */
static void release_each(struct daemon *d, const char *vm, const char *what)
{
	size_t i = 0;

	for (;;) {
		struct err e = { 0 };
		struct pci_addr addr;
		bool is_there;

		state_lock(d);
		is_there = next_of(d, vm, &i, &addr);
		state_unlock(d);
		if (!is_there)
			return;
		if (fnpool_release(d, &addr, &e) < 0) {
			log_err(&e, what);
			i++;
		}
	}
}

void fnpool_release_vm(struct daemon *d, const char *vm)
{
	release_each(d, vm, vm);
}

/* State locked. A boot gives every function to its driver, whoever had it before. */
static void old_boots_forget(struct daemon *d)
{
	size_t i = 0;

	while (i < ledger_fn_count(d->ledger)) {
		const struct fn_row *row = ledger_fn_at(d->ledger, i);
		struct err e = { 0 };

		if (strcmp(row->boot_id, d->boot_id) == 0) {
			i++;
		} else if (ledger_fn_del(d->ledger, &row->addr, &e) < 0) {
			log_err(&e, "recovery");
			i++;
		}
	}
}

void fnpool_reconcile(struct daemon *d)
{
	state_lock(d);
	old_boots_forget(d);
	state_unlock(d);
	release_each(d, "", "recovery");
}

bool fnpool_has_left(struct daemon *d)
{
	struct pci_addr unused;
	size_t i = 0;

	return next_of(d, "", &i, &unused);
}
