// SPDX-License-Identifier: BSD-3-Clause
#include "policy.h"

#include "bucket.h"
#include "frame.h"

#include "base/parse.h"

#include <errno.h>

#define MTU_MIN	     68 /* RFC 791: the smallest that IPv4 needs */
#define RATE_MAX_BPS (BUCKET_MAX_RATE * 8)
#define VLAN_ID_MAX  4094
#define QOS_MAX	     7

static const char *const policy_keys[] = { "mac",  "macs",	  "vlan",  "mtu",
					   "rate", "min_rate",	  "trust", "spoofchk",
					   "link", "uplink_loss", "storm", NULL };
static const char *const vlan_keys[] = { "mode", "ids", "proto", "qos", NULL };
static const char *const vlan_words[POLICY_VLANS + 1] = { "none", "access", "trunk", "qinq" };
static const char *const trust_words[POLICY_TRUSTS + 1] = { "none", "multicast", "promisc" };
static const char *const link_words[POLICY_LINKS + 1] = { "auto", "up", "down" };
static const char *const loss_words[] = { "keep", "propagate", NULL };
static const char *const proto_words[] = { "802.1Q", "802.1ad", NULL };

/* The index of the member's word in the list; left alone if the member is missing. */
static int word_get_opt(const json_t *in, const char *key, const char *const *words,
			unsigned int *out, struct err *e)
{
	char text[16] = "";
	int r;

	if (json_object_get(in, key) == NULL)
		return 0;
	r = json_get_str(in, key, text, sizeof(text), e);
	if (r < 0)
		return r;
	for (unsigned int i = 0; words[i]; i++)
		if (strcmp(text, words[i]) == 0) {
			*out = i;
			return 0;
		}
	return err_set(e, EINVAL, "%s is no word for %s", text, key);
}

static int mac_add(struct policy *p, const char *text, struct err *e)
{
	static const uint8_t zero[6];
	uint8_t *mac = p->macs[p->mac_count];

	if (parse_mac(text, mac) < 0)
		return err_set(e, EINVAL, "%s is no MAC address", text);
	if (frame_is_group(mac) || memcmp(mac, zero, 6) == 0)
		return err_set(e, EINVAL, "%s is not the address of one station", text);
	for (unsigned int i = 0; i < p->mac_count; i++)
		if (memcmp(p->macs[i], mac, 6) == 0)
			return err_set(e, EINVAL, "%s is there twice", text);
	p->mac_count++;
	return 0;
}

static int macs_read(const json_t *in, struct policy *p, struct err *e)
{
	char text[MAC_TEXT + 1];
	json_t *list, *item;
	size_t i;
	int r = json_get_str(in, "mac", text, sizeof(text), e);

	if (r == 0)
		r = mac_add(p, text, e);
	if (r < 0 || json_object_get(in, "macs") == NULL)
		return r;
	r = json_get_array(in, "macs", PMD_MAX_MACS, &list, e);
	if (r < 0)
		return r;
	json_array_foreach(list, i, item) {
		if (!json_is_string(item))
			return err_set(e, EINVAL, "macs: item %zu is not a text", i);
		r = mac_add(p, json_string_value(item), e);
		if (r < 0)
			return err_wrap(e, "macs");
	}
	return 0;
}

static int id_add(struct policy *p, const json_t *item, struct err *e)
{
	json_int_t id = json_integer_value(item);
	unsigned int at = p->vlan_count;

	if (!json_is_integer(item) || id < 1 || id > VLAN_ID_MAX)
		return err_set(e, EINVAL, "an id is not a number from 1 to %d", VLAN_ID_MAX);
	while (at > 0 && p->vlan_ids[at - 1] >= id) {
		if (p->vlan_ids[at - 1] == id)
			return err_set(e, EINVAL, "id %d is there twice", (int)id);
		p->vlan_ids[at] = p->vlan_ids[at - 1];
		at--;
	}
	p->vlan_ids[at] = (uint16_t)id;
	p->vlan_count++;
	return 0;
}

static int ids_read(const json_t *vlan, struct policy *p, struct err *e)
{
	json_t *list, *item;
	size_t i;
	int r;

	if (json_object_get(vlan, "ids") == NULL)
		return 0;
	r = json_get_array(vlan, "ids", PMD_MAX_VLANS, &list, e);
	if (r < 0)
		return r;
	json_array_foreach(list, i, item) {
		r = id_add(p, item, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What each mode needs: the tag of access and qinq is one, a trunk's frames bring theirs, with its priority. */
static int vlan_check(const struct policy *p, bool proto_given, struct err *e)
{
	const char *mode = vlan_words[p->vlan];

	switch (p->vlan) {
	case POLICY_VLAN_NONE:
		if (p->vlan_count != 0 || p->vlan_qos != 0 || proto_given)
			return err_set(e, EINVAL, "mode none has neither ids nor proto nor qos");
		return 0;
	case POLICY_VLAN_ACCESS:
	case POLICY_VLAN_QINQ:
		if (p->vlan_count != 1)
			return err_set(e, EINVAL, "mode %s needs one id, not %u", mode,
				       p->vlan_count);
		return 0;
	case POLICY_VLAN_TRUNK:
		if (p->vlan_count == 0)
			return err_set(e, EINVAL, "mode trunk needs ids");
		if (p->vlan_qos != 0)
			return err_set(e, EINVAL, "mode trunk has no qos: the guest sets it");
		return 0;
	case POLICY_VLANS:
		break;
	}
	return err_set(e, EINVAL, "no such mode");
}

static int vlan_read(const json_t *in, struct policy *p, struct err *e)
{
	unsigned int mode = POLICY_VLAN_NONE, proto;
	uint64_t qos = 0;
	json_t *vlan;
	int r;

	p->vlan_tpid = FRAME_TPID_8021Q;
	if (json_object_get(in, "vlan") == NULL)
		return 0;
	r = json_get_obj(in, "vlan", &vlan, e);
	if (r == 0)
		r = json_check_keys(vlan, vlan_keys, e);
	if (r == 0)
		r = word_get_opt(vlan, "mode", vlan_words, &mode, e);
	proto = mode == POLICY_VLAN_QINQ;
	if (r == 0)
		r = word_get_opt(vlan, "proto", proto_words, &proto, e);
	if (r == 0)
		r = json_get_u64_opt(vlan, "qos", QOS_MAX, &qos, e);
	if (r == 0)
		r = ids_read(vlan, p, e);
	if (r < 0)
		return err_wrap(e, "vlan");
	p->vlan = (enum policy_vlan)mode;
	p->vlan_tpid = proto == 1 ? FRAME_TPID_8021AD : FRAME_TPID_8021Q;
	p->vlan_qos = (uint8_t)qos;
	r = vlan_check(p, proto == 1, e);
	return r < 0 ? err_wrap(e, "vlan") : 0;
}

static int numbers_read(const json_t *in, struct policy *p, struct err *e)
{
	uint64_t mtu = 1500, storm = 0;
	int r = json_get_u64_opt(in, "mtu", PMD_MAX_MTU, &mtu, e);

	if (r == 0 && mtu < MTU_MIN)
		r = err_set(e, ERANGE, "mtu is %u, at least %d is possible", (unsigned int)mtu,
			    MTU_MIN);
	if (r == 0)
		r = json_get_u64_opt(in, "rate", RATE_MAX_BPS, &p->rate_bps, e);
	if (r == 0)
		r = json_get_u64_opt(in, "min_rate", RATE_MAX_BPS, &p->min_rate_bps, e);
	if (r == 0)
		r = json_get_u64_opt(in, "storm", UINT32_MAX, &storm, e);
	if (r < 0)
		return r;
	if (p->rate_bps != 0 && p->min_rate_bps > p->rate_bps)
		return err_set(e, EINVAL, "min_rate is above rate");
	p->mtu = (uint16_t)mtu;
	p->storm_fps = (uint32_t)storm;
	return 0;
}

static int words_read(const json_t *in, struct policy *p, struct err *e)
{
	unsigned int trust = POLICY_TRUST_NONE, link = POLICY_LINK_AUTO, loss = 1;
	int r = word_get_opt(in, "trust", trust_words, &trust, e);

	if (r == 0)
		r = word_get_opt(in, "link", link_words, &link, e);
	if (r == 0)
		r = word_get_opt(in, "uplink_loss", loss_words, &loss, e);
	p->spoofchk = true;
	if (r == 0)
		r = json_get_bool_opt(in, "spoofchk", &p->spoofchk, e);
	if (r < 0)
		return r;
	p->trust = (enum policy_trust)trust;
	p->link = (enum policy_link)link;
	p->loss_propagate = loss == 1;
	return 0;
}

int policy_parse(const json_t *in, struct policy *out, struct err *e)
{
	struct policy p = { 0 };
	int r;

	if (!json_is_object(in))
		r = err_set(e, EINVAL, "is no object");
	else
		r = json_check_keys(in, policy_keys, e);
	if (r == 0)
		r = macs_read(in, &p, e);
	if (r == 0)
		r = vlan_read(in, &p, e);
	if (r == 0)
		r = numbers_read(in, &p, e);
	if (r == 0)
		r = words_read(in, &p, e);
	if (r < 0) {
		err_wrap(e, "policy");
		err_code(e, "bad-policy");
		if (e)
			e->errnum = EINVAL;
		return -EINVAL;
	}
	*out = p;
	return 0;
}
