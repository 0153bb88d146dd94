// SPDX-License-Identifier: BSD-3-Clause
/* viaductd.yaml's uplinks and backends: the polled engine. */
#include "vf-manager/backend.h"
#include "vf-manager/config_raw.h"
#include "vf-manager/disks.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>

#define OPT	     (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define IFNAME_MAX   15
#define MTU_LEAST    68U /* RFC 791 */
#define MTU_DEFAULT  1500U
#define MEMORY_LEAST MIB(32)
#define MEMORY_MOST  GIB(64)
#define MEMORY_UNIT  MIB(2)
#define UID_LEAST    1000U /* below are the system's own */
#define CPU_MOST     1023U

static const cyaml_schema_field_t uplink_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct raw_uplink, name, 1,
			       CONFIG_NAME - 1),
	CYAML_FIELD_STRING_PTR("kind", CYAML_FLAG_POINTER, struct raw_uplink, kind, 1, 16),
	CYAML_FIELD_STRING_PTR("device", OPT, struct raw_uplink, device, 0, CONFIG_NAME - 1),
	CYAML_FIELD_STRING_PTR("pf", OPT, struct raw_uplink, pf, 0, CONFIG_NAME - 1),
	CYAML_FIELD_STRING_PTR("take", OPT, struct raw_uplink, take, 1, 8),
	CYAML_FIELD_UINT_PTR("mtu", OPT, struct raw_uplink, mtu),
	CYAML_FIELD_END
};
const cyaml_schema_value_t raw_uplink_value = { CYAML_VALUE_MAPPING(
	CYAML_FLAG_DEFAULT, struct raw_uplink, uplink_fields) };

static const cyaml_schema_value_t core_value = { CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT,
								  unsigned int) };
const cyaml_schema_field_t raw_backends_fields[] = {
	CYAML_FIELD_SEQUENCE("cores", OPT, struct raw_backends, cores, &core_value, 0,
			     PMD_MAX_LCORES),
	CYAML_FIELD_STRING_PTR("memory", OPT, struct raw_backends, memory, 1, 16),
	CYAML_FIELD_STRING_PTR("hugepages", OPT, struct raw_backends, hugepages, 1, 8),
	CYAML_FIELD_STRING_PTR("idle", OPT, struct raw_backends, idle, 1, 16),
	CYAML_FIELD_UINT_PTR("uid", OPT, struct raw_backends, uid),
	CYAML_FIELD_SEQUENCE("disk_cores", OPT, struct raw_backends, disk_cores, &core_value, 0,
			     PMD_MAX_LCORES),
	CYAML_FIELD_UINT_PTR("disk_uid", OPT, struct raw_backends, disk_uid),
	CYAML_FIELD_END
};

static const char *const kind_words[] = PMD_UPLINK_WORDS;
static const char *const bond_words[] = PMD_BOND_WORDS;
static const char *const idle_words[] = PMD_IDLE_WORDS;
static const char *const huge_words[] = {
	[CONFIG_HUGE_AUTO] = "auto", [CONFIG_HUGE_ON] = "on", [CONFIG_HUGE_OFF] = "off"
};

const char *config_uplink_kind_text(enum pmd_uplink_kind kind)
{
	return kind_words[kind];
}

const char *config_bond_text(enum pmd_bond bond)
{
	return bond_words[bond];
}

const char *config_idle_text(enum pmd_idle idle)
{
	return idle_words[idle];
}

const char *config_huge_text(enum config_huge huge)
{
	return huge_words[huge];
}

static int word_find(const char *const *words, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], text) == 0)
			return (int)i;
	return -EINVAL;
}

const struct config_uplink *config_uplink_find(const struct config *config, const char *name)
{
	for (unsigned int i = 0; i < config->uplink_count; i++)
		if (strcmp(config->uplinks[i].name, name) == 0)
			return &config->uplinks[i];
	return NULL;
}

bool config_has_polled(const struct config *config)
{
	for (unsigned int i = 0; i < config->network_count; i++)
		if (config_network_is_polled(&config->networks[i]))
			return true;
	return config->uplink_count > 0;
}

static bool device_is_name(const char *text)
{
	return text[0] != '\0' && strlen(text) <= IFNAME_MAX && strcmp(text, ".") != 0 &&
	       strcmp(text, "..") != 0 && strpbrk(text, "/: \t\n%") == NULL;
}

static int device_parse(const struct raw_uplink *raw, struct config_uplink *out, struct err *e)
{
	const bool is_vf = out->kind == PMD_UPLINK_VF;
	const char *key = is_vf ? "pf" : "device";
	const char *given = is_vf ? raw->pf : raw->device;
	const char *text = given != NULL ? given : "";
	struct pci_addr addr;

	if (is_vf ? raw->device != NULL || raw->take != NULL : raw->pf != NULL)
		return err_set(e, EINVAL, "uplinks: %s: kind %s has no %s", raw->name, raw->kind,
			       !is_vf		     ? "pf"
			       : raw->device != NULL ? "device"
						     : "take");
	if (out->kind == PMD_UPLINK_NULL) {
		if (text[0] != '\0')
			return err_set(e, EINVAL, "uplinks: %s: kind null has no device",
				       raw->name);
		return 0;
	}
	if ((is_vf || out->kind == PMD_UPLINK_PCI) && parse_pci_addr(text, &addr) == 0) {
		/* In one form, so that the same one is seen to be the same. */
		pci_addr_text(&addr, out->device);
		return 0;
	}
	if (!device_is_name(text))
		return err_set(e, EINVAL, "uplinks: %s: %s: '%s' is no %s", raw->name, key, text,
			       is_vf || out->kind == PMD_UPLINK_PCI
				       ? "PCI address and no name of a network device"
				       : "name of a network device");
	snprintf(out->device, sizeof(out->device), "%s", text);
	return 0;
}

static int uplink_is_new(const struct config *config, const struct config_uplink *up, struct err *e)
{
	if (config_uplink_find(config, up->name) != NULL)
		return err_set(e, EINVAL, "uplinks: %s is there twice", up->name);
	for (unsigned int i = 0; i < config->pf_count; i++)
		if (strcmp(config->pfs[i].name, up->name) == 0)
			return err_set(e, EINVAL, "uplinks: %s is the name of a PF of `pfs`",
				       up->name);
	for (unsigned int i = 0; i < config->pf_count; i++)
		if (strcmp(config->pfs[i].name, up->device) == 0 && config->pfs[i].vfs > 0 &&
		    up->kind == PMD_UPLINK_PCI)
			return err_set(
				e, EINVAL,
				"uplinks: %s: %s is a PF that `pfs` gives VFs: it cannot leave "
				"its driver",
				up->name, up->device);
	/* A PF may give several uplinks a VF each, and be one itself. */
	for (unsigned int i = 0; up->device[0] != '\0' && i < config->uplink_count; i++)
		if (up->kind != PMD_UPLINK_VF && config->uplinks[i].kind != PMD_UPLINK_VF &&
		    strcmp(config->uplinks[i].device, up->device) == 0)
			return err_set(e, EINVAL, "uplinks: %s and %s are the same device %s",
				       config->uplinks[i].name, up->name, up->device);
	return 0;
}

static int uplink_parse(const struct raw_uplink *raw, struct config_uplink *out, struct err *e)
{
	int kind = word_find(kind_words, ARRAY_SIZE(kind_words), raw->kind);

	if (parse_name(raw->name) < 0)
		return err_set(e, EINVAL, "uplinks: '%s' is no name", raw->name);
	if (kind < 0)
		return err_set(
			e, EINVAL,
			"uplinks: %s: kind: '%s' is not pci, vf, af-xdp, af-packet, tap or null",
			raw->name, raw->kind);
	out->kind = (enum pmd_uplink_kind)kind;
	out->mtu = raw->mtu != NULL ? *raw->mtu : MTU_DEFAULT;
	if (out->mtu < MTU_LEAST || out->mtu > PMD_MAX_MTU)
		return err_set(e, EINVAL, "uplinks: %s: mtu: %u is not from %u to %u", raw->name,
			       out->mtu, MTU_LEAST, PMD_MAX_MTU);
	snprintf(out->name, sizeof(out->name), "%s", raw->name);
	if (yaml_bool(raw->take, "uplinks: take", &out->takes, e) < 0)
		return -EINVAL;
	return device_parse(raw, out, e);
}

int config_uplinks_parse(const struct raw_uplink *raw, unsigned int count, struct config *out,
			 struct err *e)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < count; i++) {
		struct config_uplink *up = &out->uplinks[out->uplink_count];

		r = uplink_parse(&raw[i], up, e);
		if (r == 0)
			r = uplink_is_new(out, up, e);
		if (r == 0)
			out->uplink_count++;
	}
	return r;
}

struct core_list {
	const char *key;
	const unsigned int *cores;
	unsigned int count;
};

static int cores_parse(const struct core_list *raw, unsigned int out[PMD_MAX_LCORES],
		       unsigned int *count, struct err *e)
{
	for (unsigned int i = 0; i < raw->count; i++) {
		if (raw->cores[i] > CPU_MOST)
			return err_set(e, EINVAL, "backends: %s: there is no CPU %u", raw->key,
				       raw->cores[i]);
		for (unsigned int k = 0; k < i; k++)
			if (raw->cores[k] == raw->cores[i])
				return err_set(e, EINVAL, "backends: %s: %u is there twice",
					       raw->key, raw->cores[i]);
		out[i] = raw->cores[i];
	}
	*count = raw->count;
	return 0;
}

/* A core that polls for both would be late for both. */
static int disk_cores_check(const struct config_backends *b, struct err *e)
{
	for (unsigned int i = 0; i < b->disk_core_count; i++)
		for (unsigned int k = 0; k < b->core_count; k++)
			if (b->disk_cores[i] == b->cores[k])
				return err_set(e, EINVAL,
					       "backends: disk_cores: %u is one of cores, too",
					       b->cores[k]);
	return 0;
}

static int uid_parse(const unsigned int *raw, const char *key, uid_t *out, struct err *e)
{
	if (raw == NULL)
		return 0;
	if (*raw < UID_LEAST || *raw == UINT32_MAX)
		return err_set(e, EINVAL, "backends: %s: %u is not a number from %u up", key, *raw,
			       UID_LEAST);
	*out = *raw;
	return 0;
}

static int memory_parse(const char *text, uint64_t *out, struct err *e)
{
	uint64_t bytes;

	if (text == NULL)
		return 0;
	if (parse_size(text, &bytes) < 0 || bytes < MEMORY_LEAST || bytes > MEMORY_MOST ||
	    bytes % MEMORY_UNIT != 0)
		return err_set(e, EINVAL,
			       "backends: memory: '%s' is not from 32M to 64G in steps of 2M",
			       text);
	*out = bytes;
	return 0;
}

static int words_parse(const struct raw_backends *raw, struct config_backends *out, struct err *e)
{
	int idle = raw->idle != NULL	 ? word_find(idle_words, ARRAY_SIZE(idle_words), raw->idle)
		   : out->core_count > 0 ? PMD_IDLE_POLL
					 : PMD_IDLE_ADAPTIVE;
	int huge = raw->hugepages != NULL
			   ? word_find(huge_words, ARRAY_SIZE(huge_words), raw->hugepages)
			   : CONFIG_HUGE_AUTO;

	if (idle < 0)
		return err_set(e, EINVAL, "backends: idle: '%s' is not poll, adaptive or interrupt",
			       raw->idle);
	if (huge < 0)
		return err_set(e, EINVAL, "backends: hugepages: '%s' is not on, off or auto",
			       raw->hugepages);
	out->idle = (enum pmd_idle)idle;
	out->huge = (enum config_huge)huge;
	return 0;
}

int config_backends_parse(const struct raw_backends *raw, struct config *out, struct err *e)
{
	struct config_backends *b = &out->backends;
	int r;

	if (raw == NULL)
		return 0;
	r = cores_parse(&(struct core_list){ "cores", raw->cores, raw->cores_count }, b->cores,
			&b->core_count, e);
	if (r == 0)
		r = cores_parse(&(struct core_list){ "disk_cores", raw->disk_cores,
						     raw->disk_cores_count },
				b->disk_cores, &b->disk_core_count, e);
	if (r == 0)
		r = disk_cores_check(b, e);
	if (r == 0)
		r = memory_parse(raw->memory, &b->memory_bytes, e);
	if (r == 0)
		r = words_parse(raw, b, e);
	if (r == 0)
		r = uid_parse(raw->uid, "uid", &b->uid, e);
	if (r == 0)
		r = uid_parse(raw->disk_uid, "disk_uid", &b->disk_uid, e);
	return r;
}

static const char *network_of(const struct config *config, const char *uplink)
{
	for (unsigned int i = 0; i < config->network_count; i++)
		for (unsigned int k = 0; k < config->networks[i].polled_count; k++)
			if (strcmp(config->networks[i].polled[k], uplink) == 0)
				return config->networks[i].name;
	return NULL;
}

static int bond_parse(const struct raw_network *raw, struct config_network *out, struct err *e)
{
	int bond;

	out->bond = out->polled_count > 1 ? PMD_BOND_ACTIVE_BACKUP : PMD_BOND_NONE;
	if (raw->bond == NULL)
		return 0;
	bond = word_find(bond_words, ARRAY_SIZE(bond_words), raw->bond);
	if (bond != PMD_BOND_ACTIVE_BACKUP && bond != PMD_BOND_802_3AD)
		return err_set(e, EINVAL,
			       "networks: %s: bond: '%s' is not active-backup or 802.3ad",
			       raw->name, raw->bond);
	if (out->polled_count < 2)
		return err_set(e, EINVAL,
			       "networks: %s: bond: it takes two or more uplinks of `uplinks`, and "
			       "there are %u",
			       raw->name, out->polled_count);
	out->bond = (enum pmd_bond)bond;
	return 0;
}

int config_network_uplinks_parse(const struct raw_network *raw, const struct config *config,
				 struct config_network *out, struct err *e)
{
	for (unsigned int i = 0; i < raw->uplinks_count; i++) {
		const char *name = raw->uplinks[i], *other;

		if (config_uplink_find(config, name) == NULL) {
			snprintf(out->uplinks[out->uplink_count++], CONFIG_NAME, "%s", name);
			continue;
		}
		other = network_of(config, name);
		for (unsigned int k = 0; other == NULL && k < out->polled_count; k++)
			if (strcmp(out->polled[k], name) == 0)
				other = raw->name;
		if (other != NULL)
			return err_set(e, EINVAL,
				       "networks: %s: the uplink %s is network %s's already",
				       raw->name, name, other);
		snprintf(out->polled[out->polled_count++], CONFIG_NAME, "%s", name);
	}
	return bond_parse(raw, out, e);
}

int config_backend_check(const struct config *config, struct err *e)
{
	if (config_has_polled(config) && config->backends.uid == 0 && config->uid_count < 2)
		return err_set(e, EINVAL,
			       "uids: viaduct-pmd has the last of them, so one is too few; or set "
			       "backends.uid");
	if (config->device_count > 0 && config->backends.disk_uid == 0 && config->uid_count < 3)
		return err_set(e, EINVAL,
			       "uids: viaduct-pmd of disks has the second last of them, so %u are "
			       "too few; or set backends.disk_uid",
			       config->uid_count);
	/* Said or by default: what the one may reach, the other may not. */
	if (disks_uid(config) != 0 && disks_uid(config) == backend_uid(config))
		return err_set(e, EINVAL,
			       "backends: disk_uid: %u%s is uid%s, too; each viaduct-pmd needs its "
			       "own",
			       disks_uid(config),
			       config->backends.disk_uid == 0 ? " (the second last of uids)" : "",
			       config->backends.uid == 0 ? " (the last of uids)" : "");
	return 0;
}
