// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/configview.h"

#include "vf-manager/dmachoice.h"
#include "vf-manager/pool.h"

#include "base/json.h"

#include <grp.h>
#include <stdio.h>

static json_t *uplinks_view(const struct config_network *net)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < net->uplink_count; i++)
		json_array_append_new(list, json_string(net->uplinks[i]));
	for (unsigned int i = 0; i < net->polled_count; i++)
		json_array_append_new(list, json_string(net->polled[i]));
	return list;
}

static json_t *polled_view(const struct config *config)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < config->uplink_count; i++) {
		const struct config_uplink *up = &config->uplinks[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:b}", "name", up->name,
						      "kind", config_uplink_kind_text(up->kind),
						      "device", up->device, "mtu", (int)up->mtu,
						      "take", (int)up->takes));
	}
	return list;
}

static json_t *cores_view(const unsigned int *cores, unsigned int count)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(list, json_integer(cores[i]));
	return list;
}

static json_t *uid_view(uid_t uid)
{
	return uid != 0 ? json_integer(uid) : json_null();
}

static json_t *backends_view(const struct config_backends *b)
{
	return json_pack("{s:o, s:I, s:s, s:s, s:o, s:o, s:o}", "cores",
			 cores_view(b->cores, b->core_count), "memory", (json_int_t)b->memory_bytes,
			 "hugepages", config_huge_text(b->huge), "idle", config_idle_text(b->idle),
			 "uid", uid_view(b->uid), "disk_cores",
			 cores_view(b->disk_cores, b->disk_core_count), "disk_uid",
			 uid_view(b->disk_uid));
}

static json_t *hugepages_view(const struct config *config)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < config->hugepages_count; i++) {
		const struct config_hugepages *pool = &config->hugepages[i];

		json_array_append_new(list,
				      json_pack("{s:I, s:i, s:I}", "page_size",
						(json_int_t)pool->page_bytes, "node",
						(int)pool->node, "count", (json_int_t)pool->count));
	}
	return list;
}

static json_t *networks_view(const struct config *config)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < config->network_count; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:o, s:s, s:s}", "name", config->networks[i].name,
					"uplinks", uplinks_view(&config->networks[i]), "placement",
					placement_policy_text(config->networks[i].placement),
					"bond", config_bond_text(config->networks[i].bond)));
	return list;
}

static json_t *pfs_view(const struct config *config)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < config->pf_count; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:s}", "name", config->pfs[i].name,
						"vfs", (int)config->pfs[i].vfs, "drift",
						config->pfs[i].repairs_drift ? "repair" : "alarm"));
	return list;
}

static const char *const read_words[] = {
	[CONFIG_READ_SOCKET] = "socket",
	[CONFIG_READ_ALL] = "all",
	[CONFIG_READ_GROUP] = "group",
};

json_t *config_view(const struct config *config)
{
	json_t *roots = json_array(), *devices = json_array();
	char prefix[9];

	for (unsigned int i = 0; i < config->root_count; i++)
		json_array_append_new(roots, json_string(config->roots[i]));
	for (unsigned int i = 0; i < config->device_count; i++)
		json_array_append_new(devices, json_string(config->devices[i]));
	snprintf(prefix, sizeof(prefix), "%02x:%02x:%02x", config->mac_prefix[0],
		 config->mac_prefix[1], config->mac_prefix[2]);
	return json_pack(
		"{s:s, s:{s:s}, s:{s:s?}, s:s, s:b, s:b, s:s, s:{s:I, s:I}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:I}",
		"group", config->group, "access", "read", read_words[config->read], "alarms",
		"webhook", config->webhook[0] != '\0' ? config->webhook : NULL, "mac_prefix",
		prefix, "apply_pfs_at_start", (int)config->apply_pfs_at_start, "audit_after_assign",
		(int)config->audit_after_assign, "dma", dma_wish_text(config->dma), "uids", "first",
		(json_int_t)config->uid_first, "count", (json_int_t)config->uid_count, "networks",
		networks_view(config), "pfs", pfs_view(config), "uplinks", polled_view(config),
		"backends", backends_view(&config->backends), "hugepages", hugepages_view(config),
		"file_roots", roots, "block_devices", devices, "firmware", config->firmware,
		"rescan_s", (json_int_t)config->rescan_s);
}

static const struct config_pf *wanted_find(const struct config *config, const char *name)
{
	for (unsigned int i = 0; i < config->pf_count; i++)
		if (strcmp(config->pfs[i].name, name) == 0)
			return &config->pfs[i];
	return NULL;
}

static void pfs_warn(struct daemon *d, const struct config *config, json_t *out)
{
	for (unsigned int i = 0; i < config->pf_count; i++) {
		const struct config_pf *want = &config->pfs[i];
		const struct pci_fn *pf;
		struct err e = { 0 };

		if (wanted_find(config, want->name) != want)
			json_add_text(out, "pfs: %s is there twice: the last one counts",
				      want->name);
		if (pool_pf_find(d, want->name, &pf, &e) < 0)
			json_add_text(out, "pfs: %s: %.300s", want->name, e.text);
		else if (want->vfs > pf->total_vfs)
			json_add_text(out, "pfs: %s can have %u VFs, not %u", want->name,
				      pf->total_vfs, want->vfs);
	}
}

static void uplink_warn(struct daemon *d, const struct config *config,
			const struct config_network *net, const char *uplink, json_t *out)
{
	const struct config_pf *want = wanted_find(config, uplink);
	const struct pci_fn *pf;
	struct err e = { 0 };

	if (pool_pf_find(d, uplink, &pf, &e) < 0) {
		json_add_text(out, "networks: %s: %.300s", net->name, e.text);
		return;
	}
	if (pf->num_vfs == 0 && (want == NULL || want->vfs == 0))
		json_add_text(
			out,
			"networks: %s: uplink %s has no VFs and `pfs` wants none: no port can use it",
			net->name, uplink);
}

/* What is wrong with them on this machine. */
static void polled_warn(struct daemon *d, const struct config *config, json_t *out)
{
	for (unsigned int i = 0; i < config->uplink_count; i++) {
		const struct config_uplink *up = &config->uplinks[i];
		const struct pci_fn *fn = NULL;
		struct err e = { 0 }, none = { 0 };
		int r = 0;

		if (pool_pf_find(d, up->name, &fn, &none) == 0)
			json_add_text(out, "uplinks: %s is also the name of the PF %s", up->name,
				      fn->name);
		if (up->kind == PMD_UPLINK_VF && pool_pf_find(d, up->device, &fn, &e) < 0)
			json_add_text(out, "uplinks: %s: %.300s", up->name, e.text);
		if (up->kind != PMD_UPLINK_PCI)
			continue;
		r = inventory_find_name(d->inv, up->device, &fn, &e);
		if (r == 0 && fn->is_pf && fn->num_vfs > 0)
			json_add_text(
				out,
				"uplinks: %s: %s is a PF with %u VFs: it cannot leave its driver",
				up->name, up->device, fn->num_vfs);
		else if (r < 0)
			json_add_text(out, "uplinks: %s: %.300s", up->name, e.text);
	}
}

json_t *config_warnings(struct daemon *d, const struct config *config)
{
	json_t *out = json_array();

	if (getgrnam(config->group) == NULL)
		json_add_text(out, "group: there is no group %s: only root can change things",
			      config->group);
	pfs_warn(d, config, out);
	polled_warn(d, config, out);
	for (unsigned int i = 0; i < config->network_count; i++) {
		const struct config_network *net = &config->networks[i];

		for (unsigned int k = 0; k < net->uplink_count; k++)
			uplink_warn(d, config, net, net->uplinks[k], out);
	}
	return out;
}

static void file_differs(const struct config *running, const struct config *file, json_t *out)
{
	json_t *now = config_view(running), *then = config_view(file), *value;
	const char *key;

	json_object_foreach(then, key, value)
		if (!json_equal(value, json_object_get(now, key)))
			json_array_append_new(
				out,
				json_pack("{s:s, s:s, s:O, s:O, s:s}", "of", "file", "key", key,
					  "wanted", value, "is", json_object_get(now, key), "hint",
					  "systemctl restart viaductd   (VMs go on)"));
	json_decref(now);
	json_decref(then);
}

static void pf_differs(struct daemon *d, const struct config_pf *want, json_t *out)
{
	const struct pci_fn *pf;
	char key[CONFIG_NAME + 8], hint[CONFIG_NAME + 64];
	struct err e = { 0 };

	snprintf(key, sizeof(key), "pfs.%s", want->name);
	if (pool_pf_find(d, want->name, &pf, &e) < 0) {
		json_array_append_new(out, json_pack("{s:s, s:s, s:i, s:n, s:s}", "of", "machine",
						     "key", key, "wanted", (int)want->vfs, "is",
						     "hint", e.text));
		return;
	}
	if (pf->num_vfs == want->vfs)
		return;
	snprintf(hint, sizeof(hint), "viaduct pf apply %s --vfs %u", want->name, want->vfs);
	json_array_append_new(out, json_pack("{s:s, s:s, s:i, s:i, s:s}", "of", "machine", "key",
					     key, "wanted", (int)want->vfs, "is", (int)pf->num_vfs,
					     "hint", hint));
}

json_t *config_differences(struct daemon *d, const struct config *file)
{
	json_t *out = json_array();

	file_differs(&d->config, file, out);
	for (unsigned int i = 0; i < d->config.pf_count; i++)
		pf_differs(d, &d->config.pfs[i], out);
	return out;
}
