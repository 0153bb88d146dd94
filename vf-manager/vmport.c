// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmport.h"

#include "vf-manager/vmfile.h"
#include "vf-manager/yamlload.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int rate_parse(const char *text, uint32_t *mbps)
{
	static const struct {
		char unit;
		uint64_t factor;
	} units[] = { { 'K', 1000 }, { 'M', 1000000 }, { 'G', 1000000000 } };
	char digits[16];
	size_t len = strlen(text);
	uint64_t n, factor = 1;

	for (size_t i = 0; len > 0 && i < ARRAY_SIZE(units); i++)
		if (text[len - 1] == units[i].unit)
			factor = units[i].factor;
	if (factor != 1)
		len--;
	if (len == 0 || len >= sizeof(digits) || text[0] < '0' || text[0] > '9')
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (parse_u64(digits, UINT64_MAX / factor, &n) < 0)
		return -EINVAL;
	n *= factor;
	if (n % 1000000 != 0 || n / 1000000 > UINT32_MAX)
		return -EINVAL;
	*mbps = (uint32_t)(n / 1000000);
	return 0;
}

static int source_parse(const struct vmfile_port *in, struct vm_port *out, struct err *e)
{
	const struct {
		const char *text;
		enum port_source source;
	} ways[] = { { in->network, PORT_FROM_NETWORK },
		     { in->pf, PORT_FROM_PF },
		     { in->vf, PORT_FROM_VF } };
	unsigned int found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		if (ways[i].text == NULL)
			continue;
		found++;
		out->source = ways[i].source;
		snprintf(out->target, sizeof(out->target), "%s", ways[i].text);
	}
	if (found == 1)
		return 0;
	err_set(e, EINVAL,
		found == 0 ? "no network, pf or vf is named"
			   : "more than one of network, pf and vf is named");
	return err_hint(e, "write one: network: NAME, pf: enp1s0, or vf: enp1s0#0");
}

static int engine_parse(const struct vmfile_port *in, json_t *warnings, struct err *e)
{
	const char *engine = in->engine != NULL ? in->engine : "vf";
	char text[200];

	if (strcmp(engine, "polled") == 0) {
		err_set(e, EINVAL, "engine: the polled engine is not available yet");
		err_code(e, "not-yet");
		return err_hint(e, "write engine: vf");
	}
	if (strcmp(engine, "vf") != 0 && strcmp(engine, "auto") != 0)
		return err_set(e, EINVAL, "engine: '%.32s' is not vf, auto or polled", engine);
	if (in->fallback == NULL)
		return 0;
	if (strcmp(in->fallback, "polled") != 0)
		return err_set(e, EINVAL, "fallback: '%.32s' is not polled", in->fallback);
	if (strcmp(engine, "auto") != 0)
		return err_set(e, EINVAL, "fallback is only for engine: auto");
	snprintf(text, sizeof(text),
		 "port %.64s: the fallback polled is not available yet: without a free VF the "
		 "start fails",
		 in->name);
	json_array_append_new(warnings, json_string(text));
	return 0;
}

static int vlan_parse(const struct vmfile_vlan *in, struct vf_attrs *out, struct err *e)
{
	const char *mode = in->mode != NULL ? in->mode : "access";
	bool is_qinq = strcmp(mode, "qinq") == 0;

	if (strcmp(mode, "trunk") == 0) {
		err_set(e, EINVAL, "vlan.mode: trunk is not available yet");
		return err_code(e, "not-yet");
	}
	if (!is_qinq && strcmp(mode, "access") != 0)
		return err_set(e, EINVAL, "vlan.mode: '%.16s' is not access, trunk or qinq", mode);
	if (in->ids_count != 1)
		return err_set(e, EINVAL, "vlan.ids: mode %s takes one id", mode);
	if (in->ids[0] < 1 || in->ids[0] > VLAN_ID_MAX)
		return err_set(e, EINVAL, "vlan.ids: %u is not between 1 and %d", in->ids[0],
			       VLAN_ID_MAX);
	if (in->qos != NULL && *in->qos > VLAN_QOS_MAX)
		return err_set(e, EINVAL, "vlan.qos: %u is more than %d", *in->qos, VLAN_QOS_MAX);
	out->vlan = (uint16_t)in->ids[0];
	out->qos = in->qos != NULL ? (uint8_t)*in->qos : 0;
	out->vlan_proto = is_qinq ? VF_VLAN_8021AD : VF_VLAN_8021Q;
	if (in->proto != NULL && vf_vlan_proto_parse(in->proto, &out->vlan_proto) < 0)
		return err_set(e, EINVAL, "vlan.proto: '%.16s' is not 802.1Q or 802.1ad",
			       in->proto);
	out->mask |= BIT(VF_ATTR_VLAN);
	return 0;
}

static int trust_parse(const struct vmfile_port *in, struct vf_attrs *out, json_t *warnings,
		       struct err *e)
{
	char text[200];

	out->trust = false;
	if (in->trust == NULL)
		return 0;
	out->mask |= BIT(VF_ATTR_TRUST);
	if (strcmp(in->trust, "none") == 0)
		return 0;
	if (strcmp(in->trust, "multicast") != 0 && strcmp(in->trust, "promisc") != 0)
		return err_set(e, EINVAL, "trust: '%.16s' is not none, multicast or promisc",
			       in->trust);
	out->trust = true;
	if (strcmp(in->trust, "multicast") == 0) {
		snprintf(
			text, sizeof(text),
			"port %.64s: a VF knows only trusted or not: multicast allows promisc, too",
			in->name);
		json_array_append_new(warnings, json_string(text));
	}
	return 0;
}

static int rates_parse(const struct vmfile_port *in, struct vf_attrs *out, struct err *e)
{
	if (in->rate != NULL && rate_parse(in->rate, &out->max_mbps) < 0)
		return err_set(e, EINVAL, "rate: '%.16s' is no rate in whole Mbit/s (500M, 5G)",
			       in->rate);
	if (in->min_rate != NULL && rate_parse(in->min_rate, &out->min_mbps) < 0)
		return err_set(e, EINVAL, "min_rate: '%.16s' is no rate in whole Mbit/s (500M, 5G)",
			       in->min_rate);
	if (in->rate != NULL || in->min_rate != NULL)
		out->mask |= BIT(VF_ATTR_RATE);
	return 0;
}

static int simple_attrs_parse(const struct vmfile_port *in, struct vf_attrs *out, struct err *e)
{
	if (in->mac != NULL) {
		if (parse_mac(in->mac, out->mac) < 0)
			return err_set(e, EINVAL, "mac: '%.32s' is no MAC address", in->mac);
		if (memcmp(out->mac, "\0\0\0\0\0", 6) == 0)
			return err_set(e, EINVAL, "mac: %s is nobody's address", in->mac);
		out->mask |= BIT(VF_ATTR_MAC);
	}
	if (in->spoofchk != NULL)
		out->mask |= BIT(VF_ATTR_SPOOFCHK);
	if (in->link != NULL) {
		if (vf_link_state_parse(in->link, &out->link_state) < 0)
			return err_set(e, EINVAL, "link: '%.16s' is not auto, up or down",
				       in->link);
		out->mask |= BIT(VF_ATTR_LINK_STATE);
	}
	return yaml_bool(in->spoofchk, "spoofchk", &out->spoofchk, e);
}

int vm_port_parse(const struct vmfile_port *in, struct vm_port *out, json_t *warnings,
		  struct err *e)
{
	int r;

	memset(out, 0, sizeof(*out));
	out->attrs = vf_attrs_default;
	out->attrs.mask = 0;
	if (parse_name(in->name) < 0)
		return err_set(e, EINVAL, "name: '%.64s' is no name", in->name);
	snprintf(out->name, sizeof(out->name), "%s", in->name);
	r = engine_parse(in, warnings, e);
	if (r == 0)
		r = source_parse(in, out, e);
	if (r == 0)
		r = simple_attrs_parse(in, &out->attrs, e);
	if (r == 0 && in->vlan != NULL)
		r = vlan_parse(in->vlan, &out->attrs, e);
	if (r == 0)
		r = trust_parse(in, &out->attrs, warnings, e);
	if (r == 0)
		r = rates_parse(in, &out->attrs, e);
	if (r == 0)
		r = vf_attrs_check(&out->attrs, e);
	if (r < 0)
		return r;
	if (in->mtu != NULL) {
		out->mtu = *in->mtu;
		if (out->mtu < 68 || out->mtu > 65535)
			return err_set(e, EINVAL, "mtu: %u is not between 68 and 65535", out->mtu);
	}
	return 0;
}

json_t *vf_attrs_json(const struct vf_attrs *a)
{
	json_t *j = json_object();
	char mac[MAC_TEXT];
	const struct {
		const char *key;
		enum vf_attr attr;
		json_t *value;
	} members[] = {
		{ "mac", VF_ATTR_MAC, json_string(mac_text(a->mac, mac)) },
		{ "vlan", VF_ATTR_VLAN, json_integer(a->vlan) },
		{ "qos", VF_ATTR_VLAN, json_integer(a->qos) },
		{ "proto", VF_ATTR_VLAN, json_string(vf_vlan_proto_text(a->vlan_proto)) },
		{ "spoofchk", VF_ATTR_SPOOFCHK, json_boolean(a->spoofchk) },
		{ "trust", VF_ATTR_TRUST, json_boolean(a->trust) },
		{ "link_state", VF_ATTR_LINK_STATE,
		  json_string(vf_link_state_text(a->link_state)) },
		{ "min_tx_rate", VF_ATTR_RATE, json_integer(a->min_mbps) },
		{ "max_tx_rate", VF_ATTR_RATE, json_integer(a->max_mbps) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		if ((a->mask & BIT(members[i].attr)) != 0) {
			json_object_set_new(j, members[i].key, members[i].value);
		} else {
			json_decref(members[i].value);
			json_object_set_new(j, members[i].key, json_null());
		}
	}
	return j;
}

json_t *vm_port_json(const struct vm_port *port)
{
	static const char *const keys[] = {
		[PORT_FROM_NETWORK] = "network", [PORT_FROM_PF] = "pf", [PORT_FROM_VF] = "vf"
	};

	return json_pack("{s:s, s:s, s:s, s:o, s:o}", "name", port->name, "engine", "vf",
			 keys[port->source], port->target, "attributes",
			 vf_attrs_json(&port->attrs), "mtu",
			 port->mtu != 0 ? json_integer(port->mtu) : json_null());
}
