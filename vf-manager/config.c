// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/config.h"

#include "vf-manager/config_raw.h"
#include "vf-manager/dmachoice.h"
#include "vf-manager/vmfirmware.h"
#include "vf-manager/webhook.h"
#include "vf-manager/yamlload.h"

#include "base/fd.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define OPT	       (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define UID_FIRST      2147000000U
#define UID_COUNT      10000U
#define RESCAN_S       10U
#define RESCAN_MAX_S   3600U
#define BACKEND_MEMORY MIB(128)
#define UID_LEAST      1000U /* below are the system's own */

struct raw_pf {
	char *name;
	unsigned int vfs;
	char *drift; /* may be NULL */
};

struct raw_uids {
	unsigned int first, count;
};

struct raw_alarms {
	char *webhook;
};

struct raw_access {
	char *read;
};

struct raw_config {
	struct raw_access *access;
	struct raw_alarms *alarms;
	char *group, *mac_prefix, *apply_pfs_at_start, *audit_after_assign, *dma, *firmware;
	struct raw_network *networks;
	unsigned int networks_count;
	struct raw_pf *pfs;
	unsigned int pfs_count;
	struct raw_uplink *uplinks;
	unsigned int uplinks_count;
	struct raw_backends *backends;
	struct raw_hugepages *hugepages;
	unsigned int hugepages_count;
	struct raw_uids *uids;
	char **file_roots;
	unsigned int file_roots_count;
	char **block_devices;
	unsigned int block_devices_count;
	unsigned int *rescan_s;
};

static const cyaml_schema_value_t name_value = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1,
								    CONFIG_NAME - 1) };
static const cyaml_schema_value_t path_value = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1,
								    255) };

static const cyaml_schema_field_t network_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct raw_network, name, 1,
			       CONFIG_NAME - 1),
	CYAML_FIELD_SEQUENCE("uplinks", CYAML_FLAG_POINTER, struct raw_network, uplinks,
			     &name_value, 0, CONFIG_UPLINKS),
	CYAML_FIELD_STRING_PTR("placement", OPT, struct raw_network, placement, 1, 16),
	CYAML_FIELD_STRING_PTR("bond", OPT, struct raw_network, bond, 1, 16), CYAML_FIELD_END
};
static const cyaml_schema_value_t network_value = { CYAML_VALUE_MAPPING(
	CYAML_FLAG_DEFAULT, struct raw_network, network_fields) };

static const cyaml_schema_field_t pf_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct raw_pf, name, 1, CONFIG_NAME - 1),
	CYAML_FIELD_UINT("vfs", CYAML_FLAG_DEFAULT, struct raw_pf, vfs),
	CYAML_FIELD_STRING_PTR("drift", OPT, struct raw_pf, drift, 1, 16), CYAML_FIELD_END
};
static const cyaml_schema_value_t pf_value = { CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT,
								   struct raw_pf, pf_fields) };

static const cyaml_schema_field_t uids_fields[] = {
	CYAML_FIELD_UINT("first", CYAML_FLAG_DEFAULT, struct raw_uids, first),
	CYAML_FIELD_UINT("count", CYAML_FLAG_DEFAULT, struct raw_uids, count), CYAML_FIELD_END
};

static const cyaml_schema_field_t alarms_fields[] = {
	CYAML_FIELD_STRING_PTR("webhook", CYAML_FLAG_POINTER, struct raw_alarms, webhook, 1, 255),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t access_fields[] = {
	CYAML_FIELD_STRING_PTR("read", CYAML_FLAG_POINTER, struct raw_access, read, 1, 8),
	CYAML_FIELD_END
};

static const cyaml_schema_field_t config_fields[] = {
	CYAML_FIELD_MAPPING_PTR("access", OPT, struct raw_config, access, access_fields),
	CYAML_FIELD_MAPPING_PTR("alarms", OPT, struct raw_config, alarms, alarms_fields),
	CYAML_FIELD_STRING_PTR("group", OPT, struct raw_config, group, 1, CONFIG_NAME - 1),
	CYAML_FIELD_STRING_PTR("mac_prefix", OPT, struct raw_config, mac_prefix, 8, 8),
	CYAML_FIELD_STRING_PTR("apply_pfs_at_start", OPT, struct raw_config, apply_pfs_at_start, 1,
			       8),
	CYAML_FIELD_STRING_PTR("audit_after_assign", OPT, struct raw_config, audit_after_assign, 1,
			       8),
	CYAML_FIELD_STRING_PTR("dma", OPT, struct raw_config, dma, 1, 16),
	CYAML_FIELD_SEQUENCE("networks", OPT, struct raw_config, networks, &network_value, 0,
			     CONFIG_NETWORKS),
	CYAML_FIELD_SEQUENCE("pfs", OPT, struct raw_config, pfs, &pf_value, 0, CONFIG_PFS),
	CYAML_FIELD_SEQUENCE("uplinks", OPT, struct raw_config, uplinks, &raw_uplink_value, 0,
			     PMD_MAX_UPLINKS),
	CYAML_FIELD_MAPPING_PTR("backends", OPT, struct raw_config, backends, raw_backends_fields),
	CYAML_FIELD_SEQUENCE("hugepages", OPT, struct raw_config, hugepages, &raw_hugepages_value,
			     0, CONFIG_HUGEPAGES),
	CYAML_FIELD_MAPPING_PTR("uids", OPT, struct raw_config, uids, uids_fields),
	CYAML_FIELD_SEQUENCE("file_roots", OPT, struct raw_config, file_roots, &path_value, 0,
			     CONFIG_ROOTS),
	CYAML_FIELD_SEQUENCE("block_devices", OPT, struct raw_config, block_devices, &path_value, 0,
			     CONFIG_DEVICES),
	CYAML_FIELD_STRING_PTR("firmware", OPT, struct raw_config, firmware, 1, 255),
	CYAML_FIELD_UINT_PTR("rescan_s", OPT, struct raw_config, rescan_s),
	CYAML_FIELD_END
};
static const cyaml_schema_value_t config_schema = { CYAML_VALUE_MAPPING(
	CYAML_FLAG_POINTER, struct raw_config, config_fields) };

static const struct yaml_later later[] = {
	{ "policies", "policies are" },
	{ NULL, NULL },
};

static const struct yaml_kind config_kind = { &config_schema, later,
					      "the manual page viaductd.yaml(5)" };

void config_default(struct config *out)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->group, sizeof(out->group), "viaduct");
	snprintf(out->firmware, sizeof(out->firmware), "%s", FIRMWARE_CODE);
	out->uid_first = UID_FIRST;
	out->uid_count = UID_COUNT;
	out->rescan_s = RESCAN_S;
	out->backends.memory_bytes = BACKEND_MEMORY;
	out->backends.idle = PMD_IDLE_ADAPTIVE;
	/* Locally administered, unicast. */
	out->mac_prefix[0] = 0x02;
	out->mac_prefix[1] = 0x76;
	out->mac_prefix[2] = 0x64;
}

static int mac_prefix_parse(const char *text, uint8_t out[3], struct err *e)
{
	char whole[MAC_TEXT];
	uint8_t mac[6];

	snprintf(whole, sizeof(whole), "%s:00:00:00", text);
	if (parse_mac(whole, mac) < 0 || (mac[0] & 3) != 2)
		return err_set(e, EINVAL,
			       "mac_prefix: '%s' is not the start of a locally administered MAC "
			       "(such as 02:76:64)",
			       text);
	memcpy(out, mac, 3);
	return 0;
}

static int networks_parse(const struct raw_config *raw, struct config *out, struct err *e)
{
	int r;

	for (unsigned int i = 0; i < raw->networks_count; i++) {
		const struct raw_network *in = &raw->networks[i];
		struct config_network *n = &out->networks[out->network_count];

		if (parse_name(in->name) < 0)
			return err_set(e, EINVAL, "networks: '%s' is no name", in->name);
		if (config_network_find(out, in->name) != NULL)
			return err_set(e, EINVAL, "networks: %s is there twice", in->name);
		snprintf(n->name, sizeof(n->name), "%s", in->name);
		r = config_network_uplinks_parse(in, out, n, e);
		if (r < 0)
			return r;
		if (in->placement != NULL &&
		    placement_policy_parse(in->placement, &n->placement) < 0)
			return err_set(e, EINVAL,
				       "networks: %s: placement: '%s' is not order, spread or pack",
				       n->name, in->placement);
		out->network_count++;
	}
	return 0;
}

static int drift_parse(const struct raw_pf *raw, bool *out, struct err *e)
{
	*out = raw->drift != NULL && strcmp(raw->drift, "repair") == 0;
	if (*out || raw->drift == NULL || strcmp(raw->drift, "alarm") == 0)
		return 0;
	return err_set(e, EINVAL, "pfs: %s: drift: '%s' is neither alarm nor repair", raw->name,
		       raw->drift);
}

static int pfs_parse(const struct raw_config *raw, struct config *out, struct err *e)
{
	int r;

	for (unsigned int i = 0; i < raw->pfs_count; i++) {
		if (raw->pfs[i].vfs > UINT16_MAX)
			return err_set(e, EINVAL, "pfs: %s: vfs: %u is too many", raw->pfs[i].name,
				       raw->pfs[i].vfs);
		snprintf(out->pfs[i].name, CONFIG_NAME, "%s", raw->pfs[i].name);
		out->pfs[i].vfs = (uint16_t)raw->pfs[i].vfs;
		r = drift_parse(&raw->pfs[i], &out->pfs[i].repairs_drift, e);
		if (r < 0)
			return r;
	}
	out->pf_count = raw->pfs_count;
	return 0;
}

static int access_parse(const struct raw_access *raw, struct config *out, struct err *e)
{
	if (raw == NULL)
		return 0;
	if (strcmp(raw->read, "all") == 0)
		out->read = CONFIG_READ_ALL;
	else if (strcmp(raw->read, "group") == 0)
		out->read = CONFIG_READ_GROUP;
	else
		return err_set(e, EINVAL, "access: read: '%s' is neither all nor group", raw->read);
	return 0;
}

static int devices_parse(const struct raw_config *raw, struct config *out, struct err *e)
{
	for (unsigned int i = 0; i < raw->block_devices_count; i++) {
		const char *text = raw->block_devices[i];

		if (text[0] != '/' || strstr(text, "/../") != NULL)
			return err_set(e, EINVAL,
				       "block_devices: '%s' is not an absolute path without ..",
				       text);
		snprintf(out->devices[i], sizeof(out->devices[i]), "%s", text);
	}
	out->device_count = raw->block_devices_count;
	return 0;
}

static int raw_parse(const struct raw_config *raw, struct config *out, struct err *e)
{
	int r = pfs_parse(raw, out, e);

	if (r == 0)
		r = config_uplinks_parse(raw->uplinks, raw->uplinks_count, out, e);
	if (r == 0)
		r = config_backends_parse(raw->backends, out, e);
	if (r == 0)
		r = config_hugepages_parse(raw->hugepages, raw->hugepages_count, out, e);
	if (r == 0)
		r = networks_parse(raw, out, e);
	if (r == 0)
		r = yaml_bool(raw->apply_pfs_at_start, "apply_pfs_at_start",
			      &out->apply_pfs_at_start, e);
	if (r == 0)
		r = yaml_bool(raw->audit_after_assign, "audit_after_assign",
			      &out->audit_after_assign, e);
	if (r == 0 && raw->dma != NULL && dma_wish_parse(raw->dma, &out->dma) < 0)
		r = err_set(e, EINVAL, "dma: '%s' is not auto, type1 or iommufd", raw->dma);
	if (r == 0 && raw->firmware != NULL)
		r = firmware_path_check(raw->firmware, e);
	if (r == 0 && raw->firmware != NULL)
		snprintf(out->firmware, sizeof(out->firmware), "%s", raw->firmware);
	if (r == 0)
		r = access_parse(raw->access, out, e);
	if (r == 0 && raw->alarms != NULL)
		r = webhook_url_check(raw->alarms->webhook, e);
	if (r == 0 && raw->alarms != NULL)
		snprintf(out->webhook, sizeof(out->webhook), "%s", raw->alarms->webhook);
	if (r == 0 && raw->mac_prefix != NULL)
		r = mac_prefix_parse(raw->mac_prefix, out->mac_prefix, e);
	if (r < 0)
		return r;
	if (raw->group != NULL)
		snprintf(out->group, sizeof(out->group), "%s", raw->group);
	if (raw->uids != NULL) {
		/* The last uid, (uid_t)-1, means "no change" to the kernel. */
		if (raw->uids->first < UID_LEAST || raw->uids->count < 1 ||
		    raw->uids->count > UINT32_MAX - 1 - raw->uids->first)
			return err_set(e, EINVAL, "uids: not a range of numbers from %u up",
				       UID_LEAST);
		out->uid_first = raw->uids->first;
		out->uid_count = raw->uids->count;
	}
	if (raw->rescan_s != NULL) {
		if (*raw->rescan_s < 1 || *raw->rescan_s > RESCAN_MAX_S)
			return err_set(e, EINVAL, "rescan_s: not from 1 to %u", RESCAN_MAX_S);
		out->rescan_s = *raw->rescan_s;
	}
	for (unsigned int i = 0; i < raw->file_roots_count; i++) {
		if (raw->file_roots[i][0] != '/')
			return err_set(e, EINVAL, "file_roots: '%s' is not an absolute path",
				       raw->file_roots[i]);
		snprintf(out->roots[i], sizeof(out->roots[i]), "%s", raw->file_roots[i]);
	}
	out->root_count = raw->file_roots_count;
	r = devices_parse(raw, out, e);
	return r < 0 ? r : config_backend_check(out, e);
}

int config_parse(const char *text, size_t len, struct config *out, struct err *e)
{
	void *raw = NULL;
	int r = yaml_load(&config_kind, text, len, &raw, e);

	if (r < 0)
		return r;
	config_default(out);
	r = raw_parse(raw, out, e);
	yaml_free(&config_kind, raw);
	return r;
}

int config_load(const char *path, bool must_exist, struct config *out, struct err *e)
{
	auto_free char *text = malloc(YAML_MAX_BYTES + 1);
	ssize_t n;
	int r;

	if (text == NULL)
		return err_set(e, ENOMEM, "no memory");
	n = file_read_at(AT_FDCWD, path, text, YAML_MAX_BYTES + 1);
	if ((n == -ENOENT && !must_exist) || n == 0) {
		config_default(out);
		return 0;
	}
	if (n < 0)
		return err_set(e, (int)n, "read %s: %s", path, strerror((int)-n));
	r = config_parse(text, (size_t)n, out, e);
	return r < 0 ? err_wrap(e, "%s", path) : 0;
}

const struct config_network *config_network_find(const struct config *config, const char *name)
{
	for (unsigned int i = 0; i < config->network_count; i++)
		if (strcmp(config->networks[i].name, name) == 0)
			return &config->networks[i];
	return NULL;
}
