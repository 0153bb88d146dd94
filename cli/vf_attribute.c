// SPDX-License-Identifier: BSD-3-Clause
#include "cli/vf_attribute.h"

#include "cli/cli.h"
#include "cli/nearest.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>

#define VLAN_MAX 4094
#define QOS_MAX	 7
#define RATE_MAX UINT32_MAX /* IFLA_VF_RATE is 32 bits of Mb/s */

typedef json_t *value_fn(const char *text);

static json_t *value_mac(const char *text)
{
	uint8_t mac[6];
	char canonical[MAC_TEXT];

	return parse_mac(text, mac) == 0 ? json_string(mac_text(mac, canonical)) : NULL;
}

static json_t *value_number(const char *text, uint64_t max)
{
	uint64_t n;

	return parse_u64(text, max, &n) == 0 ? json_integer((json_int_t)n) : NULL;
}

static json_t *value_vlan(const char *text)
{
	return strcmp(text, "off") == 0 ? json_integer(0) : value_number(text, VLAN_MAX);
}

static json_t *value_qos(const char *text)
{
	return value_number(text, QOS_MAX);
}

static json_t *value_switch(const char *text)
{
	if (strcmp(text, "on") == 0 || strcmp(text, "true") == 0)
		return json_true();
	return strcmp(text, "off") == 0 || strcmp(text, "false") == 0 ? json_false() : NULL;
}

static json_t *value_proto(const char *text)
{
	return strcmp(text, "802.1Q") == 0 || strcmp(text, "802.1ad") == 0 ? json_string(text)
									   : NULL;
}

static json_t *value_link(const char *text)
{
	static const char *const words[] = { "auto", "up", "down" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(text, words[i]) == 0)
			return json_string(text);
	return NULL;
}

int vf_rate_parse(const char *text, uint64_t *mbps)
{
	size_t len = strlen(text);
	char digits[24];
	uint64_t n, unit = 1;
	int r;

	if (len > 0 && (text[len - 1] == 'G' || text[len - 1] == 'M')) {
		unit = text[len - 1] == 'G' ? 1000 : 1;
		len--;
	}
	if (len == 0 || len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	r = parse_u64(digits, RATE_MAX / unit, &n);
	if (r == 0)
		*mbps = n * unit;
	return r;
}

static json_t *value_rate(const char *text)
{
	uint64_t mbps;

	if (strcmp(text, "off") == 0)
		return json_integer(0);
	return vf_rate_parse(text, &mbps) == 0 ? json_integer((json_int_t)mbps) : NULL;
}

static const struct {
	const char *key;
	const char *member;
	value_fn *value;
	const char *form;
} attributes[] = {
	{ "mac", "mac", value_mac, "an address such as 02:00:00:00:00:01" },
	{ "vlan", "vlan", value_vlan, "1 to 4094, or off" },
	{ "qos", "qos", value_qos, "0 to 7" },
	{ "proto", "proto", value_proto, "802.1Q or 802.1ad" },
	{ "spoofchk", "spoofchk", value_switch, "on or off" },
	{ "trust", "trust", value_switch, "on or off" },
	{ "link", "link_state", value_link, "auto, up or down" },
	{ "link_state", "link_state", value_link, "auto, up or down" },
	{ "rate", "max_tx_rate", value_rate, "Mb/s, 500M, 5G, or off" },
	{ "max_tx_rate", "max_tx_rate", value_rate, "Mb/s, 500M, 5G, or off" },
	{ "min_rate", "min_tx_rate", value_rate, "Mb/s, 500M, 5G, or off" },
	{ "min_tx_rate", "min_tx_rate", value_rate, "Mb/s, 500M, 5G, or off" },
};

const char *vf_attribute_key(size_t n, const char **form)
{
	if (n >= ARRAY_SIZE(attributes))
		return NULL;
	*form = attributes[n].form;
	return attributes[n].key;
}

static int unknown_key(const char *key, struct err *e)
{
	const char *keys[ARRAY_SIZE(attributes)];
	const char *near;

	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		keys[i] = attributes[i].key;
	near = nearest_word(key, keys, ARRAY_SIZE(keys));
	cli_usage(e, "a VF has no attribute '%s'", key);
	if (near != NULL)
		return err_hint(e, "%s=VALUE", near);
	return err_hint(e, "mac, vlan, qos, proto, spoofchk, trust, link, rate, min_rate");
}

int vf_attribute_add(json_t *body, const char *text, struct err *e)
{
	const char *eq = strchr(text, '=');
	char key[32];
	json_t *value;

	if (eq == NULL || eq == text)
		return cli_usage(e, "'%.64s' is not of the form KEY=VALUE", text);
	snprintf(key, sizeof(key), "%.*s", (int)(eq - text), text);
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		if (strcmp(attributes[i].key, key) != 0)
			continue;
		value = attributes[i].value(eq + 1);
		if (value == NULL)
			return cli_usage(e, "%s is '%.64s', not %s", key, eq + 1,
					 attributes[i].form);
		if (json_object_get(body, attributes[i].member) != NULL) {
			json_decref(value);
			return cli_usage(e, "%s is given twice", attributes[i].member);
		}
		return json_object_set_new(body, attributes[i].member, value) == 0
			       ? 0
			       : err_set(e, ENOMEM, "out of memory");
	}
	return unknown_key(key, e);
}
