// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/attrdrift.h"

#include "vf-manager/ledger_event.h"
#include "vf-manager/pool.h"
#include "vf-manager/privops.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* What viaduct has given the VF and nobody but viaduct may change; mask 0: nothing, or it is not known. */
static struct vf_attrs attrs_given(const struct vf_row *row)
{
	static const struct vf_attrs none;
	return row->state == VF_ASSIGNED ? row->in_force
	       : row->state == VF_LEASED ? row->attrs
					 : none;
}

/* A VF that is trusted may take another MAC, but not none. */
static uint32_t difference(const struct vf_attrs *given, const struct vf_attrs *now)
{
	static const uint8_t none[6];
	const bool is_trusted = (given->mask & now->mask & BIT(VF_ATTR_TRUST)) != 0 &&
				given->trust && now->trust;
	uint32_t mask = given->mask & now->mask;

	if (is_trusted && memcmp(now->mac, none, 6) != 0)
		mask &= ~(uint32_t)BIT(VF_ATTR_MAC);
	return vf_attrs_difference(mask, given, now);
}

/* The row is about the VF that is there now. */
static bool row_is_of(const struct daemon *d, const struct vf_row *row, const struct pci_fn *vf)
{
	return vf != NULL && strcmp(row->boot_id, d->boot_id) == 0 &&
	       (row->birth == 0 || vf->birth == 0 || row->birth == vf->birth);
}

static void drift_add(struct attr_drifts *list, const struct attr_drift *drift)
{
	if (list->count == list->cap) {
		size_t cap = list->cap * 2 + 16;
		struct attr_drift *items = reallocarray(list->items, cap, sizeof(*items));

		if (items == NULL)
			return;
		list->items = items;
		list->cap = cap;
	}
	list->items[list->count++] = *drift;
}

static void vf_compare(const struct vf_row *row, const struct vf_attrs *now,
		       struct attr_drifts *list)
{
	const struct vf_attrs given = attrs_given(row);
	struct attr_drift drift = { .pf = row->pf,
				    .vf = row->addr,
				    .index = row->index,
				    .generation = row->generation,
				    .has = *now,
				    .wanted = given };

	drift.differs = difference(&given, now);
	if (drift.differs != 0)
		drift_add(list, &drift);
}

static void pf_compare(struct daemon *d, const struct pci_fn *pf, struct attr_drifts *list)
{
	auto_free struct vf_attrs *now = NULL;

	for (size_t i = ledger_vf_place(d->ledger, &pf->addr, 0); i < ledger_vf_count(d->ledger);
	     i++) {
		const struct vf_row *row = ledger_vf_at(d->ledger, i);

		if (pci_addr_cmp(&row->pf, &pf->addr) != 0 || row->index >= pf->num_vfs)
			return;
		if (attrs_given(row).mask == 0 || !row_is_of(d, row, pf->vfs[row->index]))
			continue;
		if (now == NULL) {
			now = calloc(pf->num_vfs, sizeof(*now));
			if (now == NULL)
				return;
			/* VFs that the message does not describe are left with nothing to compare. */
			(void)vf_attrs_get_all(d->nl, pf, now, pf->num_vfs, NULL);
		}
		vf_compare(row, &now[row->index], list);
	}
}

void attr_drifts_find(struct daemon *d, struct attr_drifts *list)
{
	list->count = 0;
	for (size_t i = 0; i < inventory_count(d->inv); i++) {
		const struct pci_fn *pf = inventory_at(d->inv, i);

		if (pf->is_pf && pf->num_vfs > 0 && pf->kind == FN_NETWORK && pf->ifindex != 0 &&
		    pool_pf_is_ours(d, pf))
			pf_compare(d, pf, list);
	}
}

void attr_drifts_free(struct attr_drifts *list)
{
	free(list->items);
	*list = (struct attr_drifts){ 0 };
}

bool attr_drift_holds(const struct daemon *d, const struct attr_drift *drift)
{
	const struct vf_row *row = ledger_vf_find(d->ledger, &drift->pf, drift->index);
	struct vf_attrs given;

	if (row == NULL || row->generation != drift->generation)
		return false;
	given = attrs_given(row);
	return difference(&given, &drift->has) == drift->differs;
}

char *attr_drift_text(const struct vf_attrs *attrs, uint32_t mask, char buf[ATTR_DRIFT_TEXT])
{
	char one[VF_ATTR_TEXT];
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < VF_ATTR_COUNT; i++)
		if ((mask & BIT(i)) != 0 && len < ATTR_DRIFT_TEXT)
			len += (size_t)snprintf(buf + len, ATTR_DRIFT_TEXT - len, "%s%s",
						len > 0 ? ", " : "",
						vf_attr_text(attrs, (enum vf_attr)i, one));
	return buf;
}

char *attr_drift_words(const struct vf_attrs *a, uint32_t mask, char buf[ATTR_DRIFT_TEXT])
{
	static const char *const off_on[] = { "off", "on" };
	char mac[MAC_TEXT], words[VF_ATTR_COUNT][48];
	size_t len = 0;

	snprintf(words[VF_ATTR_TRUST], 48, "trust=%s", off_on[a->trust]);
	snprintf(words[VF_ATTR_SPOOFCHK], 48, "spoofchk=%s", off_on[a->spoofchk]);
	snprintf(words[VF_ATTR_MAC], 48, "mac=%s", mac_text(a->mac, mac));
	snprintf(words[VF_ATTR_VLAN], 48, "vlan=%u qos=%u proto=%s", a->vlan, a->qos,
		 vf_vlan_proto_text(a->vlan_proto));
	snprintf(words[VF_ATTR_RATE], 48, "min_tx_rate=%u max_tx_rate=%u", a->min_mbps,
		 a->max_mbps);
	snprintf(words[VF_ATTR_LINK_STATE], 48, "link_state=%s", vf_link_state_text(a->link_state));
	buf[0] = '\0';
	for (unsigned int i = 0; i < VF_ATTR_COUNT; i++)
		if ((mask & BIT(i)) != 0 && len < ATTR_DRIFT_TEXT)
			len += (size_t)snprintf(buf + len, ATTR_DRIFT_TEXT - len, "%s%s",
						len > 0 ? " " : "", words[i]);
	return buf;
}

int attr_drift_repair(struct daemon *d, const struct attr_drift *drift, const char *why,
		      struct err *e)
{
	char addr[PCI_ADDR_TEXT], was[ATTR_DRIFT_TEXT], is[ATTR_DRIFT_TEXT];
	char text[2 * ATTR_DRIFT_TEXT + 128];
	struct vf_attrs attrs = drift->wanted;
	int r;

	attrs.mask = drift->differs;
	r = priv_vf_attrs_set(d, &drift->vf, &attrs, e);
	if (r < 0)
		return err_wrap(e, "VF %s", pci_addr_text(&drift->vf, addr));
	snprintf(text, sizeof(text), "repaired: %s again; it had %s: %s",
		 attr_drift_text(&drift->wanted, drift->differs, is),
		 attr_drift_text(&drift->has, drift->differs, was), why);
	log_info("VF %s: %s", pci_addr_text(&drift->vf, addr), text);
	state_lock(d);
	r = ledger_event_add(d->ledger, "vf", addr, text, e);
	state_unlock(d);
	return r;
}
