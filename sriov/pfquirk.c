// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/pfquirk.h"

#include "sriov/vfattr.h"

#include <stdio.h>

/* By driver. Every fact is somebody's public word, named in `source`; what nobody says is not here. */
static const struct pf_quirk quirks[] = {
	{ .driver = "hns3",
	  .attrs_before_bind = true,
	  .source = "DPDK commit eab21776717e: a MAC that comes later resets the VF" },
	{ .driver = "i40e",
	  .attrs_before_bind = true,
	  .no_min_rate = true,
	  .settle_ms = 1000,
	  .source = "Linux commit 17413a80bcff: a new MAC stops the VF until its driver is loaded "
		    "again; nmstate pull 1455 and ethernet-linux-i40e pull 4: a second or more "
		    "until a new VF takes settings; sriov-cni pull 107: no min_tx_rate" },
	{ .driver = "ice",
	  .no_min_rate = true,
	  .source = "sriov-cni pull 107: no min_tx_rate on Intel's NICs" },
	{ .driver = "igb",
	  .cannot = BIT(VF_ATTR_LINK_STATE),
	  .attrs_before_bind = true,
	  .no_min_rate = true,
	  .count_note = "a change of the count resets all VFs of the PF",
	  .source = "nmstate pull 1652: the reset; sriov-cni's configuration reference: no "
		    "link_state; sriov-cni pull 107: no min_tx_rate; Linux commit 17413a80bcff: "
		    "i40e stops a VF at a new MAC as the others of its family do" },
	{ .driver = "ixgbe",
	  .attrs_before_bind = true,
	  .no_min_rate = true,
	  .source = "DPDK commit 43c89d5a4fde: a MAC that comes later waits for the VF's next "
		    "start; sriov-cni pull 107: no min_tx_rate" },
	{ .driver = "mlx5_core",
	  .appear_s = 120,
	  .count_note = "VFs appear one by one after sriov_numvfs was written",
	  .source = "sriov-network-operator pull 1019 and issue 1015: 65 s for 125 VFs" },
};

const struct pf_quirk *pf_quirk_find(const char *driver)
{
	for (size_t i = 0; i < ARRAY_SIZE(quirks); i++)
		if (strcmp(quirks[i].driver, driver) == 0)
			return &quirks[i];
	return NULL;
}

void pf_quirk_each_note(const struct pf_quirk *q, pf_quirk_fn *fn, void *arg)
{
	char text[256];

	if (q == NULL)
		return;
	if (q->count_note != NULL) {
		snprintf(text, sizeof(text), "%s: %s", q->driver, q->count_note);
		fn(arg, text);
	}
	if (q->appear_s != 0) {
		snprintf(text, sizeof(text), "%s: up to %u s until all VFs are there", q->driver,
			 q->appear_s);
		fn(arg, text);
	}
	if (q->settle_ms != 0) {
		snprintf(text, sizeof(text), "%s: %u ms of rest before anything is set on them",
			 q->driver, q->settle_ms);
		fn(arg, text);
	}
	if (q->attrs_before_bind) {
		snprintf(
			text, sizeof(text),
			"%s: MAC, VLAN and trust are set before a VF gets its driver, never under it",
			q->driver);
		fn(arg, text);
	}
	for (unsigned int a = 0; a < VF_ATTR_COUNT; a++) {
		if ((q->cannot & BIT(a)) == 0)
			continue;
		snprintf(text, sizeof(text), "%s: cannot set %s of a VF", q->driver,
			 vf_attr_name((enum vf_attr)a));
		fn(arg, text);
	}
	if (q->no_min_rate) {
		snprintf(text, sizeof(text), "%s: knows no min_rate of a VF, only rate", q->driver);
		fn(arg, text);
	}
}
