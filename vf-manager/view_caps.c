// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api.h"
#include "vf-manager/view.h"
#include "vf-manager/view_caps.h"

#include <stdio.h>

static json_t *acs_json(const struct acs_cap *acs)
{
	json_t *cap, *ctl;

	if (!acs->present)
		return json_null();
	cap = json_object();
	ctl = json_object();
	for (size_t i = 0; i < ACS_BIT_COUNT; i++) {
		const struct acs_bit_name *n = &acs_bit_names[i];

		json_object_set_new(cap, n->name, json_boolean((acs->cap & n->bit) != 0));
		json_object_set_new(ctl, n->name, json_boolean((acs->ctl & n->bit) != 0));
	}
	return json_pack("{s:o, s:o}", "capable", cap, "enabled", ctl);
}

static json_t *ari_json(const struct ari_cap *c)
{
	if (!c->present)
		return json_null();
	return json_pack("{s:b, s:b, s:i}", "mfvc_groups", c->mfvc_groups, "acs_groups",
			 c->acs_groups, "next_function", c->next_function);
}

static json_t *ats_json(const struct ats_cap *c)
{
	if (!c->present)
		return json_null();
	return json_pack("{s:b, s:i, s:b, s:I}", "enabled", c->enabled, "queue_depth",
			 c->queue_depth, "page_aligned", c->page_aligned, "smallest_unit",
			 (json_int_t)KIB(4) << c->stu);
}

static json_t *pri_json(const struct pri_cap *c)
{
	if (!c->present)
		return json_null();
	return json_pack("{s:b, s:b, s:I}", "enabled", c->enabled, "stopped", c->stopped,
			 "capacity", (json_int_t)c->capacity);
}

static json_t *pasid_json(const struct pasid_cap *c)
{
	if (!c->present)
		return json_null();
	return json_pack("{s:b, s:i, s:b, s:b}", "enabled", c->enabled, "width_bits", c->width_bits,
			 "exec", c->exec, "priv", c->priv);
}

json_t *view_capabilities(const struct pci_caps *caps)
{
	if (caps->needs_root)
		return json_string(API_NEEDS_ROOT);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:i}", "ari", ari_json(&caps->ari), "acs",
			 acs_json(&caps->acs), "ats", ats_json(&caps->ats), "pri",
			 pri_json(&caps->pri), "pasid", pasid_json(&caps->pasid), "flr",
			 caps->pcie.flr, "msix_vectors", caps->msix_vectors);
}

static json_t *page_sizes_json(uint32_t bits)
{
	json_t *sizes = json_array();

	for (unsigned int i = 0; i < 32; i++)
		if ((bits & BIT(i)) != 0)
			json_array_append_new(sizes, json_integer((json_int_t)KIB(4) << i));
	return sizes;
}

static json_t *bars_json(const struct sriov_cap *c)
{
	json_t *bars = json_array();

	for (unsigned int i = 0; i < c->bar_count && i < VF_BARS; i++)
		json_array_append_new(bars,
				      json_pack("{s:i, s:s, s:b, s:I}", "index", c->bars[i].index,
						"kind", c->bars[i].is_64bit ? "mem64" : "mem32",
						"prefetchable", c->bars[i].is_prefetchable, "size",
						(json_int_t)c->bars[i].size_bytes));
	return bars;
}

/* Without privilege the kernel still tells the counts and the VFs' BARs. */
static json_t *sriov_without_root(const struct pci_fn *pf)
{
	static const char *const hidden[] = { "initial_vfs",
					      "first_vf_offset",
					      "vf_stride",
					      "vf_device_id",
					      "vf_enable",
					      "vf_mse",
					      "system_page_size",
					      "supported_page_sizes",
					      "ari_capable_hierarchy",
					      "vf_migration_capable" };
	json_t *j = json_pack("{s:i, s:i, s:i, s:o}", "total_vfs", pf->total_vfs, "max_vfs",
			      pf->total_vfs, "num_vfs", pf->num_vfs, "vf_bars",
			      bars_json(&pf->caps.sriov));

	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		json_object_set_new(j, hidden[i], json_string(API_NEEDS_ROOT));
	return j;
}

json_t *view_sriov(const struct pci_fn *pf)
{
	const struct sriov_cap *c = &pf->caps.sriov;
	char id[8];

	if (pf->caps.needs_root || !c->present)
		return sriov_without_root(pf);
	snprintf(id, sizeof(id), "%04x", c->vf_device_id);
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:o, s:I, s:b, s:b, s:b, s:b, s:o}",
			 "total_vfs", c->total_vfs, "max_vfs", pf->total_vfs, "initial_vfs",
			 c->initial_vfs, "num_vfs", pf->num_vfs, "first_vf_offset",
			 c->first_vf_offset, "vf_stride", c->vf_stride, "vf_device_id", id,
			 "supported_page_sizes", page_sizes_json(c->supported_page_sizes),
			 "system_page_size", (json_int_t)KIB(4) * c->system_page_size, "vf_enable",
			 c->vf_enable, "vf_mse", c->vf_mse, "vf_migration_capable",
			 c->vf_migration_capable, "ari_capable_hierarchy", c->ari_capable_hierarchy,
			 "vf_bars", bars_json(c));
}
