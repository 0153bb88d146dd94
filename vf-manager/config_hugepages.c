// SPDX-License-Identifier: BSD-3-Clause
/* What viaductd.yaml says of the host's pools of hugepages. */
#include "vf-manager/config_raw.h"

#include "base/parse.h"

#include <errno.h>

#define POOL_BYTES_MAX (1ULL << 46) /* of one pool: no host has more memory */

static const cyaml_schema_field_t fields[] = {
	CYAML_FIELD_STRING_PTR("size", CYAML_FLAG_POINTER, struct raw_hugepages, size, 1, 8),
	CYAML_FIELD_UINT("node", CYAML_FLAG_DEFAULT, struct raw_hugepages, node),
	CYAML_FIELD_UINT("count", CYAML_FLAG_DEFAULT, struct raw_hugepages, count), CYAML_FIELD_END
};
const cyaml_schema_value_t raw_hugepages_value = { CYAML_VALUE_MAPPING(
	CYAML_FLAG_DEFAULT, struct raw_hugepages, fields) };

static int pool_parse(const struct raw_hugepages *raw, const struct config *config,
		      struct config_hugepages *out, struct err *e)
{
	if (parse_size(raw->size, &out->page_bytes) < 0 ||
	    (out->page_bytes != MIB(2) && out->page_bytes != GIB(1)))
		return err_set(e, EINVAL, "hugepages: size: '%s' is not 2M or 1G", raw->size);
	if (raw->node > CONFIG_NODE_MAX)
		return err_set(e, ERANGE, "hugepages: node: %u is not from 0 to %d", raw->node,
			       CONFIG_NODE_MAX);
	if (raw->count > POOL_BYTES_MAX / out->page_bytes)
		return err_set(e, ERANGE, "hugepages: count: %u of %s are more than any host has",
			       raw->count, raw->size);
	for (unsigned int i = 0; i < config->hugepages_count; i++)
		if (config->hugepages[i].node == raw->node &&
		    config->hugepages[i].page_bytes == out->page_bytes)
			return err_set(e, EINVAL, "hugepages: node %u has two pools of %s",
				       raw->node, raw->size);
	out->node = raw->node;
	out->count = raw->count;
	return 0;
}

int config_hugepages_parse(const struct raw_hugepages *raw, unsigned int count, struct config *out,
			   struct err *e)
{
	for (unsigned int i = 0; i < count; i++) {
		int r = pool_parse(&raw[i], out, &out->hugepages[out->hugepages_count], e);

		if (r < 0)
			return r;
		out->hugepages_count++;
	}
	return 0;
}
