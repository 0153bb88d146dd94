// SPDX-License-Identifier: BSD-3-Clause
#include "cli/port_word.h"

#include "cli/cli.h"
#include "cli/nearest.h"
#include "cli/vf_attribute.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>

#define VLAN_MAX  4094
#define QOS_MAX	  7
#define STORM_MAX 100000000
#define LIST_MAX  64
#define MBIT	  1000000

typedef json_t *value_fn(const char *text);

static json_t *value_number(const char *text, uint64_t max)
{
	uint64_t n;

	return parse_u64(text, max, &n) == 0 ? json_integer((json_int_t)n) : NULL;
}

static json_t *list_fail(json_t *list, json_t *one)
{
	json_decref(one);
	json_decref(list);
	return NULL;
}

/* Each part between commas by `part`; NULL if one is wrong. */
static json_t *value_list(const char *text, value_fn *part)
{
	json_t *list = json_array();

	for (const char *at = text; list != NULL; at++) {
		size_t len = strcspn(at, ",");
		char one[32];
		json_t *value = NULL;

		if (len < sizeof(one)) {
			snprintf(one, sizeof(one), "%.*s", (int)len, at);
			value = part(one);
		}
		if (value == NULL || json_array_size(list) == LIST_MAX)
			return list_fail(list, value);
		json_array_append_new(list, value);
		at += len;
		if (*at == '\0')
			break;
	}
	return list;
}

static json_t *value_id(const char *text)
{
	uint64_t n;

	return parse_u64(text, VLAN_MAX, &n) == 0 && n > 0 ? json_integer((json_int_t)n) : NULL;
}

static json_t *value_vlan(const char *text)
{
	return strcmp(text, "off") == 0 ? json_array() : value_list(text, value_id);
}

static json_t *value_mac(const char *text)
{
	uint8_t mac[6];
	char canonical[MAC_TEXT];

	return parse_mac(text, mac) == 0 ? json_string(mac_text(mac, canonical)) : NULL;
}

static json_t *value_macs(const char *text)
{
	return strcmp(text, "off") == 0 ? json_array() : value_list(text, value_mac);
}

static json_t *value_qos(const char *text)
{
	return value_number(text, QOS_MAX);
}

static json_t *value_storm(const char *text)
{
	return strcmp(text, "off") == 0 ? json_integer(0) : value_number(text, STORM_MAX);
}

static json_t *value_rate(const char *text)
{
	uint64_t mbps;

	if (strcmp(text, "off") == 0)
		return json_integer(0);
	return vf_rate_parse(text, &mbps) == 0 ? json_integer((json_int_t)(mbps * MBIT)) : NULL;
}

static json_t *value_switch(const char *text)
{
	if (strcmp(text, "on") == 0 || strcmp(text, "true") == 0)
		return json_true();
	return strcmp(text, "off") == 0 || strcmp(text, "false") == 0 ? json_false() : NULL;
}

static json_t *value_of(const char *text, const char *const *words)
{
	for (size_t i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], text) == 0)
			return json_string(text);
	return NULL;
}

static json_t *value_mode(const char *text)
{
	static const char *const words[] = { "none", "access", "trunk", "qinq", NULL };

	return value_of(text, words);
}

static json_t *value_proto(const char *text)
{
	static const char *const words[] = { "802.1Q", "802.1ad", NULL };

	return value_of(text, words);
}

static json_t *value_trust(const char *text)
{
	static const char *const words[] = { "none", "multicast", "promisc", NULL };

	return value_of(text, words);
}

static json_t *value_link(const char *text)
{
	static const char *const words[] = { "auto", "up", "down", NULL };

	return value_of(text, words);
}

static json_t *value_loss(const char *text)
{
	static const char *const words[] = { "propagate", "keep", NULL };

	return value_of(text, words);
}

static const struct {
	const char *key;
	value_fn *value;
	const char *form;
} words[] = {
	{ "vlan", value_vlan, "1 to 4094, several with commas, or off" },
	{ "mode", value_mode, "none, access, trunk or qinq" },
	{ "qos", value_qos, "0 to 7" },
	{ "proto", value_proto, "802.1Q or 802.1ad" },
	{ "trust", value_trust, "none, multicast or promisc" },
	{ "spoofchk", value_switch, "on or off" },
	{ "link", value_link, "auto, up or down" },
	{ "uplink_loss", value_loss, "propagate or keep" },
	{ "rate", value_rate, "Mb/s, 500M, 5G, or off" },
	{ "min_rate", value_rate, "Mb/s, 500M, 5G, or off" },
	{ "storm", value_storm, "frames a second, or off" },
	{ "macs", value_macs, "addresses with commas, or off" },
};

const char *port_word_key(size_t n, const char **form)
{
	if (n >= ARRAY_SIZE(words))
		return NULL;
	*form = words[n].form;
	return words[n].key;
}

static int fixed_or_unknown(const char *key, struct err *e)
{
	static const char *const fixed[] = { "mac",	      "mtu",	  "queues",
					     "queue_size",    "engine",	  "network",
					     "backend_grace", "fallback", "on_fault" };
	const char *keys[ARRAY_SIZE(words)];
	const char *near;

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (strcmp(key, fixed[i]) == 0) {
			cli_usage(e, "%s: cannot change while the VM runs", key);
			return err_hint(e, "change the VM file; it holds from the next start on");
		}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		keys[i] = words[i].key;
	near = nearest_word(key, keys, ARRAY_SIZE(keys));
	cli_usage(e, "a port has no word '%s' that can be set", key);
	if (near != NULL)
		return err_hint(e, "%s=VALUE", near);
	return err_hint(e, "vlan, mode, qos, proto, trust, spoofchk, link, uplink_loss, rate, "
			   "min_rate, storm, macs");
}

int port_word_add(json_t *body, const char *text, struct err *e)
{
	const char *eq = strchr(text, '=');
	char key[32];
	json_t *value;

	if (eq == NULL || eq == text)
		return cli_usage(e, "'%.64s' is not of the form KEY=VALUE", text);
	snprintf(key, sizeof(key), "%.*s", (int)(eq - text), text);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(words[i].key, key) != 0)
			continue;
		value = words[i].value(eq + 1);
		if (value == NULL)
			return cli_usage(e, "%s is '%.64s', not %s", key, eq + 1, words[i].form);
		if (json_object_get(body, key) != NULL) {
			json_decref(value);
			return cli_usage(e, "%s is given twice", key);
		}
		return json_object_set_new(body, key, value) == 0
			       ? 0
			       : err_set(e, ENOMEM, "out of memory");
	}
	return fixed_or_unknown(key, e);
}

int port_name_split(const char *text, char vm[PORT_NAME_TEXT], char port[PORT_NAME_TEXT],
		    const char *what, struct err *e)
{
	const char *slash = strchr(text, '/');

	if (slash != NULL && slash - text < PORT_NAME_TEXT && strlen(slash + 1) < PORT_NAME_TEXT) {
		snprintf(vm, PORT_NAME_TEXT, "%.*s", (int)(slash - text), text);
		snprintf(port, PORT_NAME_TEXT, "%s", slash + 1);
		if (parse_name(vm) == 0 && parse_name(port) == 0)
			return 0;
	}
	return cli_usage(e, "'%.130s' is not of the form VM/%s", text, what);
}
