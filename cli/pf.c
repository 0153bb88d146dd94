// SPDX-License-Identifier: BSD-3-Clause
/* pf list, show. Changes of a PF: pf_change.c. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/view.h"

#include "base/json.h"

static void text_link(const json_t *link, char *buf, size_t cap)
{
	const json_t *speed = text_member(link, "speed_mbps");

	if (!json_is_object(link))
		text_value(link, buf, cap);
	else if (!json_is_true(text_member(link, "admin_up")))
		snprintf(buf, cap, "admin down");
	else if (!json_is_true(text_member(link, "carrier")))
		snprintf(buf, cap, "no carrier");
	else if (json_is_integer(speed))
		snprintf(buf, cap, "up %lld Mb/s", (long long)json_integer_value(speed));
	else
		snprintf(buf, cap, "up");
}

static const struct field pf_columns[] = {
	{ "PF", "address", text_value },	  { "NAME", "name", text_value, true },
	{ "DRIVER", "driver", text_value, true }, { "NUMA", "numa_node", text_number },
	{ "GROUP", "iommu_group", text_value },	  { "LINK", "link", text_link },
	{ "VFS", "sriov", text_vf_count },	  { "FREE", "vfs_free", text_value },
};

/* "4 VFs, back to 2 in 57 s unless confirmed" */
static void text_trial(const json_t *trial, char *buf, size_t cap)
{
	char vfs[24], former[24], left[24];

	if (!json_is_object(trial)) {
		snprintf(buf, cap, "no");
		return;
	}
	text_value(text_member(trial, "vfs"), vfs, sizeof(vfs));
	text_value(text_member(trial, "former"), former, sizeof(former));
	text_value(text_member(trial, "seconds_left"), left, sizeof(left));
	snprintf(buf, cap, "%s VFs, back to %s in %s s unless confirmed", vfs, former, left);
}

static const struct field pf_fields[] = {
	{ "PF", "address", text_value },
	{ "name", "name", text_value },
	{ "kind", "kind", text_value },
	{ "vendor", "vendor", text_value },
	{ "device", "device", text_value },
	{ "driver", "driver", text_value },
	{ "NUMA node", "numa_node", text_number },
	{ "IOMMU group", "iommu_group", text_value },
	{ "link", "link", text_link },
	{ "MAC", "link.mac", text_value },
	{ "VFs", "sriov", text_vf_count },
	{ "VFs free", "vfs_free", text_value },
	{ "on trial", "trial", text_trial },
	{ "initial VFs", "sriov.initial_vfs", text_value },
	{ "first VF offset", "sriov.first_vf_offset", text_value },
	{ "VF stride", "sriov.vf_stride", text_value },
	{ "VF device", "sriov.vf_device_id", text_value },
	{ "page sizes", "sriov.supported_page_sizes", text_bytes },
	{ "page size in use", "sriov.system_page_size", text_bytes },
	{ "VF enable", "sriov.vf_enable", text_value },
	{ "VF memory space", "sriov.vf_mse", text_value },
	{ "VF migration", "sriov.vf_migration_capable", text_value },
	{ "ARI hierarchy", "sriov.ari_capable_hierarchy", text_value },
	{ "ARI", "capabilities.ari", text_capability },
	{ "ACS", "capabilities.acs", text_capability },
	{ "ATS", "capabilities.ats", text_capability },
	{ "PRI", "capabilities.pri", text_capability },
	{ "PASID", "capabilities.pasid", text_capability },
	{ "FLR", "capabilities.flr", text_capability },
	{ "MSI-X vectors", "capabilities.msix_vectors", text_value },
};

static const struct field bar_columns[] = {
	{ "VF BAR", "index", text_value },
	{ "KIND", "kind", text_value },
	{ "PREFETCHABLE", "prefetchable", text_value },
	{ "SIZE", "size", text_bytes },
};

int render_pf_list(FILE *out, const json_t *reply, struct err *e)
{
	json_t *rows;
	int r = render_rows(reply, "pfs", &rows, e);

	if (r < 0)
		return r;
	if (json_array_size(rows) == 0) {
		fprintf(out, "No function with SR-IOV on this host.\n");
		return 0;
	}
	return view_table(out, pf_columns, ARRAY_SIZE(pf_columns), rows, e);
}

int render_pf(FILE *out, const json_t *reply, struct err *e)
{
	json_t *vfs = json_object_get(reply, "vfs");
	const json_t *bars = text_member(reply, "sriov.vf_bars");
	int r = 0;

	view_block(out, pf_fields, ARRAY_SIZE(pf_fields), reply);
	if (json_array_size(bars) > 0) {
		fputc('\n', out);
		r = view_table(out, bar_columns, ARRAY_SIZE(bar_columns), bars, e);
	}
	if (r == 0 && json_array_size(vfs) > 0) {
		fputc('\n', out);
		r = render_vfs(out, vfs, e);
	}
	return r;
}

int pf_list(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = { .method = "GET", .collection = "/v1/pfs", .read_only = true };

	return cli_call_show(cli, &rq, render_pf_list, e);
}

int pf_show(struct cli *cli, const struct args *a, struct err *e)
{
	const struct request rq = {
		.method = "GET", .collection = "/v1/pfs", .item = a->words[0], .read_only = true
	};

	return cli_call_show(cli, &rq, render_pf, e);
}
