// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/view.h"

#include "vf-manager/fnpool.h"
#include "vf-manager/pfconfirm.h"
#include "vf-manager/pool.h"
#include "vf-manager/view_caps.h"
#include "vf-manager/vmport.h"

#include "iommu/host.h"

#include <stdio.h>
#include <stdlib.h>

#define CLASS_BRIDGE 0x06 /* base class */

static json_t *text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *number_or_null(int n)
{
	return n >= 0 ? json_integer(n) : json_null();
}

static void ids_set(json_t *j, const struct pci_fn *fn)
{
	char text[8];

	snprintf(text, sizeof(text), "%04x", fn->vendor);
	json_object_set_new(j, "vendor", json_string(text));
	snprintf(text, sizeof(text), "%04x", fn->device);
	json_object_set_new(j, "device", json_string(text));
	json_object_set_new(j, "driver", text_or_null(fn->driver));
	json_object_set_new(j, "numa_node", json_integer(fn->numa_node));
	json_object_set_new(j, "iommu_group", number_or_null(fn->iommu_group));
}

static json_t *link_json(const struct pci_fn *fn)
{
	char mac[MAC_TEXT];

	if (fn->kind != FN_NETWORK || fn->ifindex == 0)
		return json_null();
	return json_pack("{s:b, s:b, s:o, s:s, s:I}", "admin_up", fn->net.admin_up, "carrier",
			 fn->net.has_carrier && fn->net.carrier, "speed_mbps",
			 fn->net.has_speed ? json_integer(fn->net.speed_mbps) : json_null(), "mac",
			 mac_text(fn->net.mac, mac), "mtu", (json_int_t)fn->net.mtu);
}

json_t *view_pf(struct daemon *d, const struct pci_fn *pf)
{
	json_t *j = json_pack("{s:s, s:o, s:s}", "address", pf->name, "name",
			      text_or_null(pf->dev_name), "kind", fn_kind_text(pf->kind));

	ids_set(j, pf);
	json_object_set_new(j, "link", link_json(pf));
	json_object_set_new(j, "sriov", view_sriov(pf));
	json_object_set_new(j, "capabilities", view_capabilities(&pf->caps));
	json_object_set_new(j, "trial", confirm_json(d, &pf->addr));
	json_object_set_new(j, "vfs_free", json_integer(pool_pf_free(d, pf)));
	return j;
}

static json_t *vf_json(struct daemon *d, const struct pci_fn *vf, const struct vf_attrs *attrs)
{
	const struct vf_row *row = NULL;
	char id[VF_ID_TEXT], why[128];
	enum vf_state state = pool_vf_state(d, vf, why);
	json_t *j;

	if (d->ledger != NULL && state != VF_FREE && state != VF_FOREIGN)
		row = ledger_vf_find(d->ledger, &vf->pf->addr, vf->vf_index);
	j = json_pack("{s:s, s:s, s:o, s:i, s:s}", "address", vf->name, "pf", vf->pf->name,
		      "pf_name", text_or_null(vf->pf->dev_name), "index", vf->vf_index, "id",
		      vf_id_text(vf, id));
	ids_set(j, vf);
	json_object_set_new(j, "netdev", text_or_null(vf->kind == FN_NETWORK ? vf->dev_name : ""));
	json_object_set_new(j, "state", json_string(vf_state_text(state)));
	json_object_set_new(j, "reason", text_or_null(row != NULL ? row->note : why));
	json_object_set_new(j, "lease", text_or_null(row != NULL ? row->lease : ""));
	json_object_set_new(j, "owner", text_or_null(row != NULL ? row->owner : ""));
	json_object_set_new(j, "generation",
			    json_integer(row != NULL ? (json_int_t)row->generation : 0));
	json_object_set_new(j, "attributes", attrs != NULL ? vf_attrs_json(attrs) : json_null());
	return j;
}

json_t *view_vfs_of(struct daemon *d, const struct pci_fn *pf)
{
	json_t *list = json_array();
	struct vf_attrs *attrs = NULL;

	if (pf->num_vfs > 0 && pf->kind == FN_NETWORK && pf->ifindex != 0) {
		attrs = calloc(pf->num_vfs, sizeof(*attrs));
		/* What the kernel does not tell is shown as null, not as an error of the list. */
		if (attrs != NULL && vf_attrs_get_all(d->nl, pf, attrs, pf->num_vfs, NULL) < 0) {
			free(attrs);
			attrs = NULL;
		}
	}
	for (unsigned int i = 0; i < pf->num_vfs; i++)
		if (pf->vfs[i] != NULL)
			json_array_append_new(list, vf_json(d, pf->vfs[i],
							    attrs != NULL ? &attrs[i] : NULL));
	free(attrs);
	return list;
}

/* Can it be given away alone: who else is in its group, and what firmware demands of it. */
static json_t *isolation_json(const struct pci_fn *vf)
{
	struct iommu_group group = { 0 };
	json_t *others = json_array();
	bool is_known, has_direct;

	if (vf->iommu_group < 0) {
		json_decref(others);
		return json_pack("{s:n, s:b, s:s}", "group", "assignable", false, "reason",
				 "in no IOMMU group: the IOMMU is off");
	}
	is_known = iommu_group_read(-1, (uint32_t)vf->iommu_group, &group, NULL) == 0;
	for (size_t i = 0; i < group.count && i < IOMMU_GROUP_MEMBERS; i++)
		if (strcmp(group.members[i].address, vf->name) != 0)
			json_array_append_new(others, json_string(group.members[i].address));
	has_direct = iommu_group_has_direct_region(-1, (uint32_t)vf->iommu_group);
	return json_pack("{s:i, s:b, s:o, s:b}", "group", vf->iommu_group, "assignable",
			 is_known && group.count == 1 && !has_direct, "shares_group_with", others,
			 "firmware_reserved_memory", has_direct);
}

bool view_fn_is_listed(const struct pci_fn *fn)
{
	return !fn->is_vf && fn->class_code >> 16 != CLASS_BRIDGE;
}

/* "assignable" is what it would be with `take: true`; "in_use" is what that would take from the host. */
static void assignable_set(struct daemon *d, const struct pci_fn *fn, json_t *j)
{
	struct fn_want want = { .addr = fn->addr, .take = true };
	struct err e = { 0 };
	bool is_assignable = fnpool_check(d, fn, &want, &e) == 0;
	struct fn_use use;

	json_object_set_new(j, "assignable", json_boolean(is_assignable));
	json_object_set_new(j, "reason", text_or_null(e.text));
	json_object_set_new(j, "remedy", text_or_null(e.hint));
	fn_use_look(inventory_sysfs(d->inv), fn, false, &use);
	json_object_set_new(j, "in_use", text_or_null(use.why));
}

json_t *view_fn(struct daemon *d, const struct pci_fn *fn)
{
	const struct fn_row *row = d->ledger != NULL ? ledger_fn_find(d->ledger, &fn->addr) : NULL;
	json_t *j = json_pack("{s:s, s:o, s:s}", "address", fn->name, "name",
			      text_or_null(fn->dev_name), "kind", fn_kind_text(fn->kind));

	ids_set(j, fn);
	json_object_set_new(j, "state",
			    json_string(fn_state_text(row != NULL ? row->state : FN_HOST)));
	json_object_set_new(j, "owner", text_or_null(row != NULL ? row->owner : ""));
	json_object_set_new(j, "host_driver",
			    text_or_null(row != NULL ? row->was.driver : fn->driver));
	assignable_set(d, fn, j);
	return j;
}

/* Of this VF, not of one that had its place. */
static json_t *scrub_json(struct daemon *d, const struct pci_fn *vf)
{
	struct ledger_scrub scrub;

	if (d->ledger == NULL ||
	    ledger_scrub_get(d->ledger, &vf->pf->addr, vf->vf_index, &scrub, NULL) < 0)
		return json_null();
	if (scrub.birth == 0 || vf->birth == 0 || scrub.birth == vf->birth)
		return json_pack("{s:I, s:b, s:o}", "at", (json_int_t)scrub.at, "clean",
				 scrub.is_clean, "steps", scrub.steps);
	json_decref(scrub.steps);
	return json_null();
}

json_t *view_vf_full(struct daemon *d, const struct pci_fn *vf)
{
	struct vf_attrs attrs;
	bool has_attrs = vf->kind == FN_NETWORK && vf->pf->ifindex != 0 &&
			 vf_attrs_get(d->nl, vf, &attrs, NULL) == 0;
	json_t *j = vf_json(d, vf, has_attrs ? &attrs : NULL);

	json_object_set_new(j, "capabilities", view_capabilities(&vf->caps));
	json_object_set_new(j, "isolation", isolation_json(vf));
	json_object_set_new(j, "scrub", scrub_json(d, vf));
	return j;
}
