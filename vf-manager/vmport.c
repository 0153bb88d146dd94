// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmport.h"

#include "vf-manager/vmfile.h"
#include "vf-manager/yamlload.h"

#include "base/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define QUEUES_MAX     256
#define QUEUE_SIZE_MAX 32768

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

const char *port_engine_text(enum port_engine engine)
{
	static const char *const texts[PORT_ENGINES] = { "vf", "polled", "auto" };

	return texts[engine];
}

/* Behind source_parse(). `auto` without a fallback is a VF or nothing. */
static int engine_parse(const struct vmfile_port *in, struct vm_port *out, struct err *e)
{
	const char *engine = in->engine != NULL ? in->engine : "vf";
	bool is_auto = strcmp(engine, "auto") == 0;

	if (strcmp(engine, "polled") == 0)
		out->engine = PORT_POLLED;
	else if (strcmp(engine, "vf") != 0 && !is_auto)
		return err_set(e, EINVAL, "engine: '%.32s' is not vf, auto or polled", engine);
	if (in->fallback != NULL && strcmp(in->fallback, "polled") != 0)
		return err_set(e, EINVAL, "fallback: '%.32s' is not polled", in->fallback);
	if (in->fallback != NULL && !is_auto)
		return err_set(e, EINVAL, "fallback is only for engine: auto");
	if (in->fallback != NULL)
		out->engine = PORT_AUTO;
	if (out->engine == PORT_VF || out->source == PORT_FROM_NETWORK)
		return 0;
	err_set(e, EINVAL, "%s: polled needs a network, not a %s", is_auto ? "fallback" : "engine",
		out->source == PORT_FROM_PF ? "pf" : "vf");
	return err_hint(e, "write network: NAME; viaduct network list   shows them");
}

static int port_trust_parse(const char *text, enum port_trust *out)
{
	for (unsigned int i = 0; i < PORT_TRUSTS; i++)
		if (strcmp(port_trust_text((enum port_trust)i), text) == 0) {
			*out = (enum port_trust)i;
			return 0;
		}
	return -EINVAL;
}

const char *port_trust_text(enum port_trust trust)
{
	static const char *const texts[PORT_TRUSTS] = { "none", "multicast", "promisc" };

	return texts[trust];
}

static int id_check(unsigned int id, struct err *e)
{
	return id < 1 || id > VLAN_ID_MAX
		       ? err_set(e, EINVAL, "vlan.ids: %u is not between 1 and %d", id, VLAN_ID_MAX)
		       : 0;
}

static int trunk_parse(const struct vmfile_vlan *in, struct vm_port *out, struct err *e)
{
	uint64_t seen[(VLAN_ID_MAX + 64) / 64] = { 0 };

	if (in->qos != NULL || in->proto != NULL)
		return err_set(e, EINVAL, "vlan: qos and proto are not for mode trunk");
	for (unsigned int i = 0; i < in->ids_count; i++) {
		int r = id_check(in->ids[i], e);

		if (r < 0)
			return r;
		if ((seen[in->ids[i] / 64] & BIT(in->ids[i] % 64)) != 0)
			return err_set(e, EINVAL, "vlan.ids: %u is there twice", in->ids[i]);
		seen[in->ids[i] / 64] |= BIT(in->ids[i] % 64);
		if (i < ARRAY_SIZE(out->trunk))
			out->trunk[i] = (uint16_t)in->ids[i];
	}
	out->trunk_count = in->ids_count;
	out->vlan_mode = PORT_VLAN_TRUNK;
	return 0;
}

static int vlan_parse(const struct vmfile_vlan *in, struct vm_port *port, struct err *e)
{
	struct vf_attrs *out = &port->attrs;
	const char *mode = in->mode != NULL ? in->mode : "access";
	bool is_qinq = strcmp(mode, "qinq") == 0;
	int r;

	if (!is_qinq && strcmp(mode, "access") != 0)
		return err_set(e, EINVAL, "vlan.mode: '%.16s' is not access, trunk or qinq", mode);
	if (in->ids_count != 1)
		return err_set(e, EINVAL, "vlan.ids: mode %s takes one id", mode);
	r = id_check(in->ids[0], e);
	if (r < 0)
		return r;
	if (in->qos != NULL && *in->qos > VLAN_QOS_MAX)
		return err_set(e, EINVAL, "vlan.qos: %u is more than %d", *in->qos, VLAN_QOS_MAX);
	out->vlan = (uint16_t)in->ids[0];
	out->qos = in->qos != NULL ? (uint8_t)*in->qos : 0;
	out->vlan_proto = is_qinq ? VF_VLAN_8021AD : VF_VLAN_8021Q;
	if (in->proto != NULL && vf_vlan_proto_parse(in->proto, &out->vlan_proto) < 0)
		return err_set(e, EINVAL, "vlan.proto: '%.16s' is not 802.1Q or 802.1ad",
			       in->proto);
	out->mask |= BIT(VF_ATTR_VLAN);
	port->vlan_mode = is_qinq ? PORT_VLAN_QINQ : PORT_VLAN_ACCESS;
	return 0;
}

static int trust_parse(const struct vmfile_port *in, struct vm_port *out, json_t *warnings,
		       struct err *e)
{
	char text[200];

	out->attrs.trust = false;
	if (in->trust == NULL)
		return 0;
	out->attrs.mask |= BIT(VF_ATTR_TRUST);
	if (port_trust_parse(in->trust, &out->trust) < 0)
		return err_set(e, EINVAL, "trust: '%.16s' is not none, multicast or promisc",
			       in->trust);
	out->attrs.trust = out->trust != PORT_TRUST_NONE;
	if (out->trust == PORT_TRUST_MULTICAST && out->engine != PORT_POLLED) {
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

static int words_parse(const struct vmfile_port *in, struct vm_port *out, struct err *e)
{
	for (unsigned int i = 0; i < in->anti_affinity_count; i++) {
		const char *word = in->anti_affinity[i];

		if (parse_name(word) < 0) {
			err_set(e, EINVAL, "anti_affinity: '%.64s' is no word", word);
			return err_hint(
				e, "a name that the other ports have, too: anti_affinity: [edge]");
		}
		for (unsigned int k = 0; k < i; k++)
			if (strcmp(out->words[k], word) == 0)
				return err_set(e, EINVAL, "anti_affinity: '%s' is there twice",
					       word);
		snprintf(out->words[i], sizeof(out->words[i]), "%s", word);
		out->word_count++;
	}
	return 0;
}

static int uplink_loss_parse(const struct vmfile_port *in, struct vm_port *out, struct err *e)
{
	if (in->uplink_loss == NULL)
		return 0;
	if (strcmp(in->uplink_loss, "propagate") == 0)
		out->uplink_loss = UPLINK_LOSS_PROPAGATE;
	else if (strcmp(in->uplink_loss, "keep") == 0)
		out->uplink_loss = UPLINK_LOSS_KEEP;
	else
		return err_set(e, EINVAL, "uplink_loss: '%.16s' is not propagate or keep",
			       in->uplink_loss);
	if (in->link != NULL && out->attrs.link_state != VF_LINK_AUTO)
		return err_set(e, EINVAL, "uplink_loss: link: %s leaves it nothing to say",
			       in->link);
	out->attrs.link_state = out->uplink_loss == UPLINK_LOSS_KEEP ? VF_LINK_UP : VF_LINK_AUTO;
	out->attrs.mask |= BIT(VF_ATTR_LINK_STATE);
	return 0;
}

static const char *const on_fault_words[ON_FAULTS] = { "report", "quarantine", "stop" };

const char *on_fault_text(enum on_fault on_fault)
{
	return on_fault_words[on_fault];
}

int on_fault_parse(const char *text, enum on_fault *out, struct err *e)
{
	*out = ON_FAULT_REPORT;
	if (text == NULL)
		return 0;
	for (unsigned int i = 0; i < ON_FAULTS; i++)
		if (strcmp(text, on_fault_words[i]) == 0) {
			*out = (enum on_fault)i;
			return 0;
		}
	return err_set(e, EINVAL, "on_fault: '%.16s' is not report, quarantine or stop", text);
}

static int number_parse(const unsigned int *in, const char *key, unsigned int max,
			unsigned int *out, struct err *e)
{
	if (in == NULL)
		return 0;
	if (*in < 1 || *in > max)
		return err_set(e, EINVAL, "%s: %u is not between 1 and %u", key, *in, max);
	*out = *in;
	return 0;
}

static int macs_parse(const struct vmfile_port *in, struct vm_port *out, struct err *e)
{
	uint8_t mac[6];

	for (unsigned int i = 0; i < in->macs_count; i++)
		if (parse_mac(in->macs[i], mac) < 0 || (mac[0] & 1) != 0 ||
		    memcmp(mac, "\0\0\0\0\0", 6) == 0)
			return err_set(e, EINVAL, "macs: '%.32s' is no MAC address of one station",
				       in->macs[i]);
	for (unsigned int i = 0; i < in->macs_count && i < ARRAY_SIZE(out->macs); i++)
		parse_mac(in->macs[i], out->macs[i]);
	out->mac_count = in->macs_count;
	return 0;
}

int grace_parse(const char *text, unsigned int *ms, struct err *e)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "", 1000 } };
	size_t len = strspn(text, "0123456789");
	char digits[8];
	uint64_t n;

	snprintf(digits, sizeof(digits), "%.*s", (int)len, text);
	for (size_t i = 0; len > 0 && len < sizeof(digits) && i < ARRAY_SIZE(units); i++)
		if (strcmp(text + len, units[i].unit) == 0 &&
		    parse_u64(digits, PORT_GRACE_MAX_MS / units[i].ms, &n) == 0) {
			*ms = (unsigned int)(n * units[i].ms);
			return 0;
		}
	return err_set(e, EINVAL, "backend_grace: '%.16s' is no time of at most %d s (3s, 500ms)",
		       text, PORT_GRACE_MAX_MS / 1000);
}

/* What the polled engine, or the fallback to it, cannot do as the file wants it. */
static int polled_check(const struct vmfile_port *in, const struct vm_port *port, struct err *e)
{
	bool is_polled = port->engine == PORT_POLLED;
	const struct {
		const char *word;
		unsigned int is, least, most;
	} limits[] = {
		{ "queues", port->queues, 1, VMM_MAX_PAIRS },
		{ "queue_size", port->queue_size, PORT_RING_MIN, VMM_MAX_RING },
		{ "mtu", in->mtu != NULL ? *in->mtu : 0, 68, PMD_MAX_MTU },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (limits[i].is != 0 &&
		    (limits[i].is < limits[i].least || limits[i].is > limits[i].most))
			return err_set(e, EINVAL, "%s: %u is not between %u and %u (polled)",
				       limits[i].word, limits[i].is, limits[i].least,
				       limits[i].most);
	if ((port->queue_size & (port->queue_size - 1)) != 0)
		return err_set(e, EINVAL, "queue_size: %u is no power of two (polled)",
			       port->queue_size);
	if (port->trunk_count > PMD_MAX_VLANS)
		return err_set(e, EINVAL, "vlan.ids: %u, and a polled port has %d at most",
			       port->trunk_count, PMD_MAX_VLANS);
	if (port->mac_count > PMD_MAX_MACS)
		return err_set(e, EINVAL, "macs: %u, and a polled port has %d at most",
			       port->mac_count, PMD_MAX_MACS);
	if (port->word_count > 0) {
		err_set(e, EINVAL, "anti_affinity: a polled port is on no PF of its own");
		return err_hint(
			e, is_polled ? "leave anti_affinity out"
				     : "leave fallback out: then the start fails without a VF");
	}
	if (!is_polled || port->on_fault == ON_FAULT_REPORT)
		return 0;
	err_set(e, EINVAL, "on_fault: %s: a polled port has no device that the guest drives",
		on_fault_text(port->on_fault));
	return err_hint(e, "leave on_fault out");
}

/* Words that are followed by the driver, or refuse the start naming it (portfit.h). */
static int driver_words_parse(const struct vmfile_port *in, struct vm_port *out, struct err *e)
{
	int r = uplink_loss_parse(in, out, e);

	if (r == 0)
		r = on_fault_parse(in->on_fault, &out->on_fault, e);
	if (r == 0)
		r = macs_parse(in, out, e);
	if (r == 0)
		r = number_parse(in->queues, "queues", QUEUES_MAX, &out->queues, e);
	if (r == 0)
		r = number_parse(in->storm, "storm", PORT_STORM_MAX, &out->storm, e);
	if (r == 0 && in->backend_grace != NULL) {
		out->has_grace = true;
		r = grace_parse(in->backend_grace, &out->grace_ms, e);
	}
	return r == 0 ? number_parse(in->queue_size, "queue_size", QUEUE_SIZE_MAX, &out->queue_size,
				     e)
		      : r;
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
	out->grace_ms = PORT_GRACE_MS;
	r = source_parse(in, out, e);
	if (r == 0)
		r = engine_parse(in, out, e);
	if (r == 0)
		r = simple_attrs_parse(in, &out->attrs, e);
	if (r == 0 && in->vlan != NULL && in->vlan->mode != NULL &&
	    strcmp(in->vlan->mode, "trunk") == 0)
		r = trunk_parse(in->vlan, out, e);
	else if (r == 0 && in->vlan != NULL)
		r = vlan_parse(in->vlan, out, e);
	if (r == 0)
		r = driver_words_parse(in, out, e);
	if (r == 0)
		r = trust_parse(in, out, warnings, e);
	if (r == 0)
		r = rates_parse(in, &out->attrs, e);
	if (r == 0)
		r = vf_attrs_check(&out->attrs, e);
	if (r == 0)
		r = words_parse(in, out, e);
	if (r == 0 && out->engine != PORT_VF)
		r = polled_check(in, out, e);
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
	static const char *const losses[] = { [UPLINK_LOSS_UNSAID] = NULL,
					      [UPLINK_LOSS_PROPAGATE] = "propagate",
					      [UPLINK_LOSS_KEEP] = "keep" };

	json_t *words = json_array();

	for (unsigned int i = 0; i < port->word_count; i++)
		json_array_append_new(words, json_string(port->words[i]));
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:s?, s:s}", "name", port->name, "engine",
			 port_engine_text(port->engine), keys[port->source], port->target,
			 "attributes", vf_attrs_json(&port->attrs), "mtu",
			 port->mtu != 0 ? json_integer(port->mtu) : json_null(), "anti_affinity",
			 words, "uplink_loss", losses[port->uplink_loss], "on_fault",
			 on_fault_text(port->on_fault));
}
