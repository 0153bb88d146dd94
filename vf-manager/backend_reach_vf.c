// SPDX-License-Identifier: BSD-3-Clause
/* Addresses of polled ports in the VF that is their uplink: by its driver, or as its own one. */
#include "vf-manager/backend_core.h"
#include "vf-manager/privops.h"

#include "base/json.h"

static void macs_add(const struct reach_wish *w, unsigned int i, json_t *list)
{
	for (size_t k = 0; k < w->count && json_array_size(list) < PMD_MAX_UPLINK_MACS; k++) {
		char text[MAC_TEXT];

		if (w->list[k].uplink == i)
			json_array_append_new(list, json_string(mac_text(w->list[k].mac, text)));
	}
}

static bool uplink_has(const struct pmd_uplink *have, const uint8_t mac[6])
{
	for (unsigned int i = 0; i < have->mac_count; i++)
		if (memcmp(have->macs[i], mac, 6) == 0)
			return true;
	return false;
}

void reach_driver_fill(struct backend *b, struct reach_wish *w, unsigned int i)
{
	const char *name = b->d->config.uplinks[i].name;
	const struct pmd_uplink *have = pmd_uplink_find(&b->status, name);
	struct reach_uplink *up = &w->uplinks[i];
	auto_json json_t *macs = json_array(), *body = NULL, *result = NULL;
	unsigned int in = 0;

	macs_add(w, i, macs);
	for (size_t k = 0; k < w->count; k++)
		in += w->list[k].uplink == i && uplink_has(have, w->list[k].mac);
	body = json_pack("{s:s, s:s, s:O}", "op", "uplink-macs", "name", name, "macs", macs);
	if ((in != json_array_size(macs) || in != have->mac_count) &&
	    pmd_call(b->d, &b->p.peer, body, &result, &up->why) == 0)
		(void)pmd_uplink_macs_read(json_object_get(result, "uplink"), b->reach->fresh,
					   &up->why);
	if (result != NULL && up->why.errnum == 0)
		have = b->reach->fresh;
	up->is_read = true;
	up->used = have->mac_count;
	for (size_t k = 0; k < w->count; k++)
		if (w->list[k].uplink == i && uplink_has(have, w->list[k].mac))
			w->list[k].state = REACH_OURS;
}

void reach_vf_mac_fill(struct backend *b, struct reach_wish *w, unsigned int i, bool has_op)
{
	struct reach_uplink *up = &w->uplinks[i];
	struct vf_attrs now = { 0 }, want = { .mask = BIT(VF_ATTR_MAC) };
	struct reach_mac *first = NULL;
	struct pci_addr addr;
	bool is_same;

	for (size_t k = 0; first == NULL && k < w->count; k++)
		if (w->list[k].uplink == i)
			first = &w->list[k];
	/* Without ports it keeps the last one's, which nobody else may have as long as it does: so it gets none. */
	if (first != NULL)
		memcpy(want.mac, first->mac, sizeof(want.mac));
	if (parse_pci_addr(up->device, &addr) < 0 ||
	    priv_vf_attrs_get(b->d, &addr, &now, &up->why) < 0)
		return;
	is_same = (now.mask & BIT(VF_ATTR_MAC)) == 0 || memcmp(now.mac, want.mac, 6) == 0;
	b->reach->needs_op |= !is_same && !has_op;
	if (!is_same && has_op && backend_vf_mac_set(b, &addr, &want, &up->why) == 0)
		now = want;
	up->is_read = true;
	up->used = first != NULL;
	if (first != NULL && (now.mask & BIT(VF_ATTR_MAC)) != 0 &&
	    memcmp(now.mac, first->mac, 6) == 0)
		first->state = REACH_OURS;
}
