// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/candidates.h"

#include "vf-manager/affinity.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define REASONS_SHOWN 6

void candidates_fini(struct candidates *c)
{
	free(ptr_take(&c->pfs));
	free(ptr_take(&c->fns));
	c->count = c->cap = 0;
}

uint64_t candidate_key(const struct pci_addr *pf)
{
	return (uint64_t)pf->domain << 32 | (uint64_t)pf->bus << 16 | (uint64_t)pf->dev << 8 |
	       pf->fn;
}

static enum place_link link_of(const struct pci_fn *pf)
{
	if (pf->ifindex == 0)
		return PLACE_LINK_UNKNOWN;
	if (!pf->net.admin_up)
		return PLACE_LINK_OFF;
	if (!pf->net.has_carrier)
		return PLACE_LINK_UNKNOWN;
	return pf->net.carrier ? PLACE_LINK_UP : PLACE_LINK_DOWN;
}

/* The rows of a PF lie side by side: one look-up, then a walk beside its VFs. The states are pool_vf_state()'s. */
static void vfs_count(const struct daemon *d, const struct pci_fn *pf, unsigned int out[VF_STATES])
{
	size_t at = d->ledger != NULL ? ledger_vf_place(d->ledger, &pf->addr, 0) : 0;
	size_t rows = d->ledger != NULL ? ledger_vf_count(d->ledger) : 0;
	bool is_ours = d->ledger == NULL || pool_pf_is_ours(d, pf);

	for (unsigned int i = 0; i < pf->num_vfs; i++) {
		const struct pci_fn *vf = pf->vfs[i];
		const struct vf_row *row = at < rows ? ledger_vf_at(d->ledger, at) : NULL;
		bool is_its = row != NULL && row->index == i &&
			      pci_addr_cmp(&row->pf, &pf->addr) == 0;
		enum vf_state state;

		at += is_its;
		if (vf == NULL)
			continue;
		if (!is_its || row->state == VF_FREE)
			state = vf->driver[0] != '\0' || !is_ours ? VF_FOREIGN : VF_FREE;
		else if (row->birth == vf->birth && strcmp(row->boot_id, d->boot_id) == 0)
			state = row->state;
		else
			state = pool_vf_state(d, vf, NULL);
		out[state]++;
	}
}

static struct place_pf *room_make(struct candidates *c, const struct pci_fn *fn, struct err *e)
{
	if (c->count == c->cap) {
		size_t cap = c->cap > 0 ? 2 * c->cap : 16;
		struct place_pf *pfs = realloc(c->pfs, cap * sizeof(*pfs));
		const struct pci_fn **fns;

		if (pfs != NULL)
			c->pfs = pfs;
		fns = pfs != NULL ? realloc(c->fns, cap * sizeof(*fns)) : NULL;
		if (fns == NULL) {
			err_set(e, ENOMEM, "no memory");
			return NULL;
		}
		c->fns = fns;
		c->cap = cap;
	}
	c->fns[c->count] = fn;
	c->pfs[c->count] = (struct place_pf){ .node = -1 };
	return &c->pfs[c->count++];
}

int candidates_add_pf(struct candidates *c, const struct daemon *d, const struct pci_fn *pf,
		      struct err *e)
{
	struct place_pf *out = room_make(c, pf, e);

	if (out == NULL)
		return -ENOMEM;
	out->name = pci_fn_label(pf);
	out->key = candidate_key(&pf->addr);
	out->node = pf->numa_node;
	out->link = link_of(pf);
	if (pf->ifindex != 0 && pf->net.has_speed)
		out->speed_mbps = pf->net.speed_mbps;
	vfs_count(d, pf, out->vfs);
	if (c->port != NULL && c->port->word_count > 0) {
		const struct affinity found = affinity_find(d, c->port, c->vm, &pf->addr);

		out->holder = found.holder;
		out->word = found.word;
	}
	return 0;
}

int candidates_add(struct candidates *c, const struct daemon *d, const char *name, struct err *e)
{
	const struct pci_fn *pf = NULL;
	struct err unseen = { 0 };
	struct place_pf *out;

	if (pool_pf_find(d, name, &pf, &unseen) == 0)
		return candidates_add_pf(c, d, pf, e);
	out = room_make(c, NULL, e);
	if (out == NULL)
		return -ENOMEM;
	out->name = name;
	out->missing = strcmp(unseen.code, "no-sriov") == 0 ? "it has no SR-IOV"
							    : "there is no such PF";
	return 0;
}

static bool is_enough(const struct candidates *c)
{
	return c->is_lazy && c->count > 0 && placement_is_best(&c->want, &c->pfs[c->count - 1]);
}

static int network_find(struct candidates *c, struct daemon *d, const char *name, struct err *e)
{
	const struct config_network *net = config_network_find(&d->config, name);
	int r = 0;

	if (net == NULL) {
		err_set(e, ENOENT, "there is no network '%.64s'", name);
		err_code(e, "no-such-network");
		return err_hint(e, "`networks` in %s names them", d->opt->config);
	}
	c->want.policy = net->placement;
	for (unsigned int i = 0; r == 0 && i < net->uplink_count && !is_enough(c); i++)
		r = candidates_add(c, d, net->uplinks[i], e);
	return r;
}

static int any_find(struct candidates *c, struct daemon *d, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < inventory_count(d->inv) && !is_enough(c); i++) {
		const struct pci_fn *pf = inventory_at(d->inv, i);

		if (pf->is_pf && pf->kind != FN_NVME)
			r = candidates_add_pf(c, d, pf, e);
	}
	return r;
}

int candidates_find(struct candidates *c, struct daemon *d, const struct vf_want *want,
		    struct err *e)
{
	const struct pci_fn *pf;
	int r;

	if (want->target == NULL)
		return any_find(c, d, e);
	if (want->source == PORT_FROM_NETWORK)
		return network_find(c, d, want->target, e);
	r = pool_pf_find(d, want->target, &pf, e);
	return r < 0 ? r : candidates_add_pf(c, d, pf, e);
}

void candidates_reasons(const struct candidates *c, char *buf, size_t cap)
{
	char why[PLACE_WHY_TEXT];
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < c->count && len < cap; i++) {
		if (i == REASONS_SHOWN) {
			snprintf(buf + len, cap - len, "; and %zu more", c->count - i);
			return;
		}
		placement_why(&c->want, c->pfs, c->count, i, why);
		len += (size_t)snprintf(buf + len, cap - len, "%s%.64s: %.120s", i > 0 ? "; " : "",
					c->pfs[i].name, why);
	}
}

void candidates_explain(const struct candidates *c, const struct pci_fn *vf, json_t *list)
{
	char why[PLACE_WHY_TEXT], id[VF_ID_TEXT];

	for (size_t i = 0; i < c->count; i++) {
		const struct place_pf *pf = &c->pfs[i];
		const struct pci_fn *fn = c->fns[i];
		bool is_chosen = vf != NULL && fn != NULL && pf->verdict == PLACE_CHOSEN;

		json_array_append_new(
			list,
			json_pack("{s:s, s:s?, s:i, s:s, s:o, s:i, s:i, s:o, s:b, s:s, s:s, s:s?}",
				  "name", pf->name, "pf", fn != NULL ? fn->name : NULL, "numa_node",
				  pf->node, "link", placement_link_text(pf->link), "speed_mbps",
				  pf->speed_mbps > 0 ? json_integer(pf->speed_mbps) : json_null(),
				  "num_vfs", fn != NULL ? (int)fn->num_vfs : 0, "vfs_free",
				  (int)placement_free(pf), "rank",
				  pf->rank > 0 ? json_integer(pf->rank) : json_null(), "chosen",
				  (int)is_chosen, "reason", placement_verdict_text(pf->verdict),
				  "why", placement_why(&c->want, c->pfs, c->count, i, why), "vf",
				  is_chosen ? vf_id_text(vf, id) : NULL));
	}
}
