// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/portpolicy.h"

#include "vf-manager/vmport.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>

#define RATE_UNIT 1000000ULL /* a VF's rates are whole Mbit/s, and the file's */
#define RATE_MAX  (UINT32_MAX * RATE_UNIT)

const char *const port_set_members[] = { "port",	"vlan",	    "mode", "qos",  "proto",
					 "trust",	"spoofchk", "link", "rate", "min_rate",
					 "uplink_loss", "storm",    "macs", NULL };

static const char *const vlan_modes[PORT_VLANS] = { "none", "access", "trunk", "qinq" };
static const char *const links[] = { "auto", "up", "down", NULL };
static const char *const losses[] = { "propagate", "keep", NULL };
static const char *const trusts[] = { "none", "multicast", "promisc", NULL };
static const char *const protos[] = { "802.1Q", "802.1ad", NULL };

static json_t *vlan_json(const struct vm_port *port)
{
	const struct vf_attrs *a = &port->attrs;
	json_t *ids = json_array();
	unsigned int count = port->vlan_mode == PORT_VLAN_TRUNK ? port->trunk_count : 0;

	for (unsigned int i = 0; i < count && i < PMD_MAX_VLANS; i++)
		json_array_append_new(ids, json_integer(port->trunk[i]));
	if (port->vlan_mode == PORT_VLAN_ACCESS || port->vlan_mode == PORT_VLAN_QINQ)
		json_array_append_new(ids, json_integer(a->vlan));
	return json_pack("{s:s, s:o, s:s, s:i}", "mode", vlan_modes[port->vlan_mode], "ids", ids,
			 "proto", vf_vlan_proto_text(a->vlan_proto), "qos", a->qos);
}

/* What the file says, and not how a VF would do it: uplink_loss is a link state there. */
static enum vf_link_state link_of(const struct vm_port *port)
{
	return port->uplink_loss == UPLINK_LOSS_UNSAID ? port->attrs.link_state : VF_LINK_AUTO;
}

json_t *port_policy_json(const struct vm_port *port, const uint8_t mac[6])
{
	const struct vf_attrs *a = &port->attrs;
	json_t *macs = json_array();
	char text[MAC_TEXT];

	for (unsigned int i = 0; i < port->mac_count && i < PMD_MAX_MACS; i++)
		json_array_append_new(macs, json_string(mac_text(port->macs[i], text)));
	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:s, s:b, s:s, s:s, s:I}", "mac",
			 mac != NULL ? json_string(mac_text(mac, text)) : json_null(), "macs", macs,
			 "vlan", vlan_json(port), "mtu",
			 (json_int_t)(port->mtu != 0 ? port->mtu : PORT_MTU), "rate",
			 (json_int_t)(a->max_mbps * RATE_UNIT), "min_rate",
			 (json_int_t)(a->min_mbps * RATE_UNIT), "trust",
			 port_trust_text(port->trust), "spoofchk", (int)a->spoofchk, "link",
			 vf_link_state_text(link_of(port)), "uplink_loss",
			 losses[port->uplink_loss == UPLINK_LOSS_KEEP], "storm",
			 (json_int_t)port->storm);
}

/* One word of a list, into the policy as it is. */
static int word_set(json_t *policy, const json_t *wish, const char *key, const char *const *words,
		    struct err *e)
{
	const json_t *value = json_object_get(wish, key);
	char text[16] = "";
	int r;

	if (value == NULL)
		return 0;
	r = json_get_str(wish, key, text, sizeof(text), e);
	for (size_t i = 0; r == 0 && words[i] != NULL; i++)
		if (strcmp(words[i], text) == 0)
			return json_object_set_new(policy, key, json_string(text));
	return r < 0 ? r : err_set(e, EINVAL, "%s: there is no '%.16s'", key, text);
}

static int number_set(json_t *policy, const json_t *wish, const char *key, uint64_t max,
		      struct err *e)
{
	uint64_t n = 0;
	int r;

	if (json_object_get(wish, key) == NULL)
		return 0;
	r = json_get_u64(wish, key, max, &n, e);
	return r < 0 ? r : json_object_set_new(policy, key, json_integer((json_int_t)n));
}

static int rates_set(json_t *policy, const json_t *wish, struct err *e)
{
	uint64_t rate = 0, least = 0;
	int r = number_set(policy, wish, "rate", RATE_MAX, e);

	if (r == 0)
		r = number_set(policy, wish, "min_rate", RATE_MAX, e);
	if (r < 0)
		return r;
	json_get_u64_opt(policy, "rate", INT64_MAX, &rate, NULL);
	json_get_u64_opt(policy, "min_rate", INT64_MAX, &least, NULL);
	if (rate % RATE_UNIT != 0 || least % RATE_UNIT != 0)
		return err_set(e, EINVAL, "rate: no whole Mbit/s");
	if (rate != 0 && least > rate)
		return err_set(e, EINVAL, "min_rate: more than rate");
	return 0;
}

static int macs_set(json_t *policy, const json_t *wish, struct err *e)
{
	json_t *list, *copy, *one;
	char canonical[MAC_TEXT];
	uint8_t mac[6];
	size_t i;
	int r;

	if (json_object_get(wish, "macs") == NULL)
		return 0;
	r = json_get_array(wish, "macs", PMD_MAX_MACS, &list, e);
	if (r < 0)
		return r;
	copy = json_array();
	json_array_foreach(list, i, one) {
		const char *text = json_string_value(one);

		if (text == NULL || parse_mac(text, mac) < 0 || (mac[0] & 1) != 0 ||
		    memcmp(mac, "\0\0\0\0\0", 6) == 0) {
			json_decref(copy);
			return err_set(e, EINVAL, "macs: '%.32s' is no MAC address of one station",
				       text != NULL ? text : "");
		}
		json_array_append_new(copy, json_string(mac_text(mac, canonical)));
	}
	return json_object_set_new(policy, "macs", copy);
}

/* Enters the ids and the mode that goes with so many. */
static int ids_set(json_t *vlan, const json_t *value, struct err *e)
{
	const size_t count = json_array_size(value);

	if (!json_is_array(value) || count > PMD_MAX_VLANS)
		return err_set(e, EINVAL, "vlan: no list of at most %d ids", PMD_MAX_VLANS);
	json_object_set_new(vlan, "ids", json_copy((json_t *)value));
	json_object_set_new(vlan, "mode",
			    json_string(vlan_modes[count == 0  ? PORT_VLAN_NONE
						   : count > 1 ? PORT_VLAN_TRUNK
							       : PORT_VLAN_ACCESS]));
	if (count != 1) {
		json_object_set_new(vlan, "qos", json_integer(0));
		json_object_set_new(vlan, "proto", json_string(protos[0]));
	}
	return 0;
}

static int ids_check(const json_t *ids, struct err *e)
{
	for (size_t i = 0; i < json_array_size(ids); i++) {
		const json_t *id = json_array_get(ids, i);
		json_int_t n = json_is_integer(id) ? json_integer_value(id) : 0;

		if (n < 1 || n > VLAN_ID_MAX)
			return err_set(e, EINVAL, "vlan: an id is not between 1 and %d",
				       VLAN_ID_MAX);
		for (size_t k = 0; k < i; k++)
			if (json_integer_value(json_array_get(ids, k)) == n)
				return err_set(e, EINVAL, "vlan: %d is there twice", (int)n);
	}
	return 0;
}

/* Mode none alone: what went with the VLAN goes, too. */
static int vlan_clear(json_t *vlan, bool has_tag, struct err *e)
{
	json_object_set_new(vlan, "ids", json_array());
	json_object_set_new(vlan, "qos", json_integer(0));
	json_object_set_new(vlan, "proto", json_string(protos[0]));
	return has_tag ? err_set(e, EINVAL, "vlan: qos and proto are not for mode none") : 0;
}

/* That mode and ids, which may have come from two words, fit together. */
static int vlan_check(json_t *vlan, const json_t *wish, struct err *e)
{
	const char *mode = json_string_value(json_object_get(vlan, "mode"));
	size_t count = json_array_size(json_object_get(vlan, "ids"));
	bool is_none = strcmp(mode, "none") == 0, is_trunk = strcmp(mode, "trunk") == 0;
	bool has_tag = json_object_get(wish, "qos") != NULL ||
		       json_object_get(wish, "proto") != NULL;

	if (is_none && json_object_get(wish, "vlan") == NULL)
		return vlan_clear(vlan, has_tag, e);
	if (is_none ? count != 0 : is_trunk ? count == 0 : count != 1)
		return err_set(e, EINVAL, "vlan: mode %s takes %s", mode,
			       is_none	  ? "no id"
			       : is_trunk ? "ids"
					  : "one id");
	if ((is_none || is_trunk) && has_tag)
		return err_set(e, EINVAL, "vlan: qos and proto are not for mode %s", mode);
	return ids_check(json_object_get(vlan, "ids"), e);
}

static bool is_qinq(const json_t *vlan)
{
	return strcmp(json_string_value(json_object_get(vlan, "mode")), "qinq") == 0;
}

static int vlan_set(json_t *policy, const json_t *wish, struct err *e)
{
	static const char *const modes[] = { "none", "access", "trunk", "qinq", NULL };
	json_t *vlan = json_object_get(policy, "vlan");
	const json_t *ids = json_object_get(wish, "vlan"), *mode = json_object_get(wish, "mode");
	int r = ids != NULL ? ids_set(vlan, ids, e) : 0;

	if (r == 0)
		r = word_set(vlan, wish, "mode", modes, e);
	/* The tag's protocol is the new mode's, unless it is said as well. */
	if (r == 0 && (ids != NULL || mode != NULL))
		json_object_set_new(vlan, "proto", json_string(protos[is_qinq(vlan)]));
	if (r == 0)
		r = word_set(vlan, wish, "proto", protos, e);
	if (r == 0)
		r = number_set(vlan, wish, "qos", VLAN_QOS_MAX, e);
	return r == 0 ? vlan_check(vlan, wish, e) : r;
}

static int something_is_wished(const json_t *wish, struct err *e)
{
	size_t words = json_object_size(wish) - (json_object_get(wish, "port") != NULL);

	return words > 0 ? 0 : err_set(e, EINVAL, "nothing to set");
}

int port_policy_change(const json_t *policy, const json_t *wish, json_t **out, struct err *e)
{
	json_t *to = json_deep_copy(policy);
	bool spoofchk = true;
	int r = to != NULL ? something_is_wished(wish, e) : err_set(e, ENOMEM, "no memory");

	if (r == 0)
		r = vlan_set(to, wish, e);
	if (r == 0)
		r = word_set(to, wish, "trust", trusts, e);
	if (r == 0)
		r = word_set(to, wish, "link", links, e);
	if (r == 0)
		r = word_set(to, wish, "uplink_loss", losses, e);
	if (r == 0)
		r = rates_set(to, wish, e);
	if (r == 0)
		r = number_set(to, wish, "storm", PORT_STORM_MAX, e);
	if (r == 0)
		r = macs_set(to, wish, e);
	if (r == 0)
		r = json_get_bool_opt(wish, "spoofchk", &spoofchk, e);
	if (r == 0 && json_object_get(wish, "spoofchk") != NULL)
		json_object_set_new(to, "spoofchk", json_boolean(spoofchk));
	if (r < 0) {
		json_decref(to);
		return r;
	}
	*out = to;
	return 0;
}

int port_wish_check(const json_t *wish, struct err *e)
{
	/* One with which every word can go. */
	auto_json json_t *policy = json_pack("{s:{s:s, s:[i], s:s, s:i}, s:i, s:i}", "vlan", "mode",
					     "access", "ids", 1, "proto", protos[0], "qos", 0,
					     "rate", 0, "min_rate", 0);
	auto_json json_t *unused = NULL;

	return port_policy_change(policy, wish, &unused, e);
}

static int vf_cannot(const char *word, const char *why, struct err *e)
{
	err_set(e, EOPNOTSUPP, "%s: %s", word, why);
	err_code(e, "attr-unsupported");
	return err_hint(e, "viaduct vf set VF KEY=VALUE   has the words of a VF");
}

/* Words that are a VF's under another name, or with other values. */
static int wish_translate(const json_t *wish, json_t *to, struct err *e)
{
	const char *trust = json_string_value(json_object_get(wish, "trust"));
	const char *loss = json_string_value(json_object_get(wish, "uplink_loss"));
	const json_t *ids = json_object_get(wish, "vlan");
	static const struct {
		const char *from, *to;
	} rates[] = { { "rate", "max_tx_rate" }, { "min_rate", "min_tx_rate" } };
	static const char *const same[][2] = { { "vlan", "vlan" },
					       { "qos", "qos" },
					       { "proto", "proto" },
					       { "spoofchk", "spoofchk" },
					       { "link", "link_state" } };
	auto_json json_t *checked = json_object();
	int r = word_set(checked, wish, "trust", trusts, e);

	if (r == 0)
		r = word_set(checked, wish, "uplink_loss", losses, e);
	if (r == 0)
		r = rates_set(checked, wish, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		if (json_object_get(wish, same[i][0]) != NULL)
			json_object_set(to, same[i][1], json_object_get(wish, same[i][0]));
	if (json_is_array(ids))
		json_object_set_new(to, "vlan",
				    json_array_size(ids) == 1 ? json_incref(json_array_get(ids, 0))
							      : json_integer(0));
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		const json_t *bits = json_object_get(checked, rates[i].from);

		if (bits != NULL)
			json_object_set_new(
				to, rates[i].to,
				json_integer(json_integer_value(bits) / (json_int_t)RATE_UNIT));
	}
	if (trust != NULL)
		json_object_set_new(to, "trust", json_boolean(strcmp(trust, "none") != 0));
	if (loss != NULL && json_object_get(to, "link_state") != NULL)
		return err_set(e, EINVAL, "uplink_loss: link says the same of a VF");
	if (loss != NULL)
		json_object_set_new(to, "link_state",
				    json_string(strcmp(loss, "keep") == 0 ? "up" : "auto"));
	return 0;
}

int port_wish_of_vf(const json_t *wish, json_t **out, struct err *e)
{
	const char *mode = json_string_value(json_object_get(wish, "mode"));
	json_t *to;
	int r = something_is_wished(wish, e);

	if (r < 0)
		return r;
	if (json_array_size(json_object_get(wish, "vlan")) > 1 ||
	    (mode != NULL && strcmp(mode, "trunk") == 0))
		return vf_cannot("vlan", "a VF has one VLAN or none", e);
	if (mode != NULL)
		return vf_cannot("mode", "proto says it of a VF (802.1ad)", e);
	if (json_object_get(wish, "macs") != NULL)
		return vf_cannot("macs", "no driver of a PF gives its VFs further ones", e);
	if (json_object_get(wish, "storm") != NULL)
		return vf_cannot("storm", "no driver of a PF limits a VF's broadcasts", e);
	to = json_object();
	r = wish_translate(wish, to, e);
	if (r < 0)
		json_decref(to);
	else
		*out = to;
	return r;
}
