// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/api_handlers.h"
#include "vf-manager/leasepark.h"
#include "vf-manager/operations.h"
#include "vf-manager/pool.h"
#include "vf-manager/pool_pick.h"
#include "vf-manager/portlink.h"
#include "vf-manager/privops.h"
#include "vf-manager/view.h"
#include "vf-manager/vmowner.h"

#include "base/json.h"

#include <errno.h>

int api_vfs(struct request *req, struct err *e)
{
	json_t *list = json_array();
	int r;

	state_lock(req->d);
	r = daemon_scan(req->d, e);
	for (size_t i = 0; r == 0 && i < inventory_count(req->d->inv); i++) {
		const struct pci_fn *fn = inventory_at(req->d->inv, i);
		json_t *vfs;

		if (!fn->is_pf)
			continue;
		vfs = view_vfs_of(req->d, fn);
		json_array_extend(list, vfs);
		json_decref(vfs);
	}
	req->reply = json_pack("{s:o, s:o}", "vfs", list, "parked", leases_parked_json(req->d));
	state_unlock(req->d);
	return r;
}

/* State locked. The VF that is named, as it is now: it alone is looked at, if it is one that was there
 * before; else everything. */
static int vf_find(struct request *req, const struct pci_fn **out, struct err *e)
{
	const struct pci_fn *seen = NULL;
	struct err unseen = { 0 };
	int r = pool_vf_find(req->d, req->arg, &seen, &unseen);

	if (r == 0) {
		const struct pci_addr addr = seen->addr;

		r = daemon_scan_vf(req->d, &addr, e);
	} else {
		r = daemon_scan(req->d, e);
	}
	return r < 0 ? r : pool_vf_find(req->d, req->arg, out, e);
}

int api_vf(struct request *req, struct err *e)
{
	const struct pci_fn *vf;
	int r;

	state_lock(req->d);
	r = vf_find(req, &vf, e);
	if (r == 0)
		req->reply = view_vf_full(req->d, vf);
	state_unlock(req->d);
	return r;
}

static int reply_addr(struct request *req, const struct pci_addr *addr, struct err *e)
{
	pci_addr_text(addr, req->arg);
	return api_vf(req, e);
}

struct alloc_text {
	char name[LEASE_TEXT], pf[VM_TARGET_TEXT], network[VM_TARGET_TEXT];
};

/* A question has no name: nothing is leased. */
static int alloc_parse(const json_t *body, struct alloc_text *t, struct vf_want *out, struct err *e)
{
	uint64_t numa = UINT64_MAX;
	bool explain = false;
	int r = json_get_bool_opt(body, "explain", &explain, e);

	*out = (struct vf_want){ .numa_node = -1, .lease = t->name };
	if (r == 0 && explain && json_object_get(body, "name") == NULL)
		out->lease = NULL;
	else if (r == 0)
		r = json_get_str(body, "name", t->name, sizeof(t->name), e);
	if (r == 0)
		r = json_get_str_opt(body, "pf", t->pf, sizeof(t->pf), e);
	if (r == 0)
		r = json_get_str_opt(body, "network", t->network, sizeof(t->network), e);
	if (r == 0)
		r = json_get_u64_opt(body, "numa", 1023, &numa, e);
	if (r < 0)
		return r;
	if (out->lease != NULL && parse_name(t->name) < 0)
		return err_set(e, EINVAL, "name: '%s' is no name", t->name);
	if (t->pf[0] != '\0' && t->network[0] != '\0')
		return err_set(e, EINVAL, "pf and network exclude each other");
	out->source = t->network[0] != '\0' ? PORT_FROM_NETWORK : PORT_FROM_PF;
	if (t->network[0] != '\0' || t->pf[0] != '\0')
		out->target = t->network[0] != '\0' ? t->network : t->pf;
	if (numa != UINT64_MAX)
		out->numa_node = (int)numa;
	out->explain = explain ? json_array() : NULL;
	return 0;
}

/* Which VF it would be, by how the machine is now. */
static int alloc_ask(struct request *req, const struct vf_want *want, struct err *e)
{
	const struct pci_fn *vf;
	int r;

	state_lock(req->d);
	r = daemon_scan(req->d, e);
	if (r == 0)
		r = pool_pick(req->d, want, &vf, e);
	if (r == 0 && want->lease == NULL)
		req->reply = view_vf_full(req->d, vf);
	state_unlock(req->d);
	return r;
}

int api_vf_alloc(struct request *req, struct err *e)
{
	struct alloc_text text = { 0 };
	struct vf_want want;
	int r = alloc_parse(req->body, &text, &want, e);

	if (r < 0)
		return r;
	req->placement = want.explain;
	if (want.explain != NULL)
		r = alloc_ask(req, &want, e);
	if (r == 0 && want.lease != NULL)
		r = pool_alloc(req->d, &want, &req->reply, e);
	if (r == 0 && want.explain != NULL)
		json_object_set(req->reply, "placement", want.explain);
	return r;
}

static int text_attrs_parse(const json_t *body, struct vf_attrs *out, struct err *e)
{
	char mac[MAC_TEXT] = "", proto[16] = "", link[8] = "";
	int r = json_get_str_opt(body, "mac", mac, sizeof(mac), e);

	if (r == 0)
		r = json_get_str_opt(body, "proto", proto, sizeof(proto), e);
	if (r == 0)
		r = json_get_str_opt(body, "link_state", link, sizeof(link), e);
	if (r < 0)
		return r;
	if (mac[0] != '\0' &&
	    (parse_mac(mac, out->mac) < 0 || memcmp(out->mac, "\0\0\0\0\0", 6) == 0))
		return err_set(e, EINVAL, "mac: '%s' is no MAC address of a VF", mac);
	if (proto[0] != '\0' && vf_vlan_proto_parse(proto, &out->vlan_proto) < 0)
		return err_set(e, EINVAL, "proto: '%s' is not 802.1Q or 802.1ad", proto);
	if (link[0] != '\0' && vf_link_state_parse(link, &out->link_state) < 0)
		return err_set(e, EINVAL, "link_state: '%s' is not auto, up or down", link);
	return 0;
}

static const struct {
	const char *key;
	enum vf_attr attr;
} attr_keys[] = {
	{ "mac", VF_ATTR_MAC },
	{ "vlan", VF_ATTR_VLAN },
	{ "qos", VF_ATTR_VLAN },
	{ "proto", VF_ATTR_VLAN },
	{ "spoofchk", VF_ATTR_SPOOFCHK },
	{ "trust", VF_ATTR_TRUST },
	{ "link_state", VF_ATTR_LINK_STATE },
	{ "min_tx_rate", VF_ATTR_RATE },
	{ "max_tx_rate", VF_ATTR_RATE },
};

/* `out` starts with what the VF has, because vlan and rates are set together with their like. */
static int attrs_parse(const json_t *body, struct vf_attrs *out, struct err *e)
{
	uint64_t vlan = out->vlan, qos = out->qos, min = out->min_mbps, max = out->max_mbps;
	int r = text_attrs_parse(body, out, e);

	if (r == 0)
		r = json_get_u64_opt(body, "vlan", VLAN_ID_MAX, &vlan, e);
	if (r == 0)
		r = json_get_u64_opt(body, "qos", VLAN_QOS_MAX, &qos, e);
	if (r == 0)
		r = json_get_u64_opt(body, "min_tx_rate", UINT32_MAX, &min, e);
	if (r == 0)
		r = json_get_u64_opt(body, "max_tx_rate", UINT32_MAX, &max, e);
	if (r == 0)
		r = json_get_bool_opt(body, "spoofchk", &out->spoofchk, e);
	if (r == 0)
		r = json_get_bool_opt(body, "trust", &out->trust, e);
	if (r < 0)
		return r;
	/* Without a VLAN there is nothing to have a priority or a protocol. */
	if (vlan == 0 && json_object_get(body, "qos") == NULL)
		qos = 0;
	if (vlan == 0 && json_object_get(body, "proto") == NULL)
		out->vlan_proto = VF_VLAN_8021Q;
	out->vlan = (uint16_t)vlan;
	out->qos = (uint8_t)qos;
	out->min_mbps = (uint32_t)min;
	out->max_mbps = (uint32_t)max;
	out->mask = 0;
	for (size_t i = 0; i < ARRAY_SIZE(attr_keys); i++)
		if (json_object_get(body, attr_keys[i].key) != NULL)
			out->mask |= BIT(attr_keys[i].attr);
	if (out->mask == 0)
		return err_set(e, EINVAL, "nothing to set");
	return vf_attrs_check(out, e);
}

/* State locked. Only what is somebody's may be set: a free VF's attributes are the defaults. */
static int vf_find_leased(struct request *req, const struct pci_fn **out, struct err *e)
{
	char id[VF_ID_TEXT];
	enum vf_state state;
	int r = vf_find(req, out, e);

	if (r < 0)
		return r;
	state = pool_vf_state(req->d, *out, NULL);
	if (state == VF_LEASED || state == VF_BOUND || state == VF_ASSIGNED) {
		const struct vf_row *row =
			ledger_vf_find(req->d->ledger, &(*out)->pf->addr, (*out)->vf_index);

		if (row != NULL && pool_owner_is_uplink(row->owner))
			return pool_vf_refuse(req->d, *out, e);
		r = row != NULL ? vm_owner_check(req->d, row->owner, &req->who, e) : 0;
		return r < 0 ? r : 0;
	}
	if (state != VF_FREE)
		return pool_vf_refuse(req->d, *out, e);
	err_set(e, EBUSY, "VF %s is free, nobody's", vf_id_text(*out, id));
	err_code(e, "vf-not-leased");
	return err_hint(e, "viaduct vf alloc --pf %s --name LEASE", (*out)->pf->name);
}

int api_vf_set(struct request *req, struct err *e)
{
	struct vf_attrs attrs = vf_attrs_default;
	const struct pci_fn *vf;
	struct vf_hold hold;
	int r;

	/* The words first: what is wrong with them is so for any VF, even one with a VLAN. */
	attrs.vlan = 1;
	r = attrs_parse(req->body, &attrs, e);
	if (r < 0)
		return err_wrap(e, "VF %s", req->arg);
	attrs = vf_attrs_default;
	op_lock(req->d);
	state_lock(req->d);
	r = vf_find_leased(req, &vf, e);
	if (r == 0 && json_object_get(req->body, "link_state") != NULL)
		r = port_link_check(
			req->d, ledger_vf_find(req->d->ledger, &vf->pf->addr, vf->vf_index)->owner,
			e);
	if (r == 0) {
		pool_hold(req->d, vf, &hold);
		r = vf_attrs_get(req->d->nl, vf, &attrs, e);
	}
	state_unlock(req->d);
	if (r == 0)
		r = attrs_parse(req->body, &attrs, e);
	if (r == 0) {
		req->is_valid = true;
		r = pool_set(req->d, &hold, &attrs, req->who.uid, e);
	}
	op_unlock(req->d);
	return r < 0 ? err_wrap(e, "VF %s", req->arg) : reply_addr(req, &hold.addr, e);
}

/* State locked. */
static int release_check(struct request *req, const struct pci_fn **out, struct err *e)
{
	const struct vf_row *row;
	enum vf_state state;
	char id[VF_ID_TEXT];
	int r = vf_find(req, out, e);

	if (r < 0)
		return r;
	state = pool_vf_state(req->d, *out, NULL);
	row = ledger_vf_find(req->d->ledger, &(*out)->pf->addr, (*out)->vf_index);
	if (state == VF_FREE) {
		err_set(e, EBUSY, "VF %s is free already", vf_id_text(*out, id));
		return err_code(e, "vf-not-leased");
	}
	/* With `op` locked nothing is under way: what has no owner that lives was left behind, as when
	 * the ledger could not be written. */
	if (state != VF_FOREIGN && (row->owner[0] == '\0' || !pool_owner_lives(req->d, row->owner)))
		return 0;
	return pool_vf_refuse(req->d, *out, e);
}

typedef int vf_check_fn(struct request *req, const struct pci_fn **out, struct err *e);

/* What passes the check is wiped. */
static int give_back(struct request *req, vf_check_fn *check, struct err *e)
{
	struct err first = { 0 };
	const struct pci_fn *vf;
	struct pci_addr addr;
	uint64_t generation = 0;
	struct vf_ref ref;
	int r = json_get_u64_opt(req->body, "generation", INT64_MAX, &generation, e);

	if (r < 0)
		return r;
	op_lock(req->d);
	state_lock(req->d);
	r = check(req, &vf, &first);
	if (r < 0) {
		/* What it was leased on may be gone: then so is the lease. */
		state_unlock(req->d);
		pool_forget_gone(req->d);
		state_lock(req->d);
		r = check(req, &vf, e);
	}
	if (r == 0) {
		addr = vf->addr;
		ref = (struct vf_ref){ .pf = vf->pf->addr,
				       .index = vf->vf_index,
				       .generation = generation };
	}
	state_unlock(req->d);
	if (r == 0) {
		req->is_valid = true;
		operation_step(req->op, "the VF is wiped");
		r = pool_release(req->d, &ref, false, e);
	}
	op_unlock(req->d);
	return r < 0 ? r : reply_addr(req, &addr, e);
}

/* A lease that waits has no VF to be wiped. 1: it was one. */
static int parked_release(struct request *req, struct err *e)
{
	const struct parked_row *row;
	uint64_t generation = 0;
	int r = json_get_u64_opt(req->body, "generation", INT64_MAX, &generation, e);

	if (r < 0)
		return r;
	op_lock(req->d);
	state_lock(req->d);
	row = ledger_parked_find(req->d->ledger, req->arg);
	if (row != NULL && generation != 0 && generation != row->generation) {
		err_set(e, ESTALE, "the lease %s was given back before, and is another one by now",
			req->arg);
		r = err_code(e, "vf-stale");
	} else if (row != NULL) {
		r = ledger_parked_del(req->d->ledger, req->arg, e);
		if (r == 0)
			req->reply = json_pack("{s:s, s:s, s:n}", "id", req->arg, "state", "free",
					       "lease");
		r = r == 0 ? 1 : r;
	}
	state_unlock(req->d);
	op_unlock(req->d);
	return r;
}

int api_vf_release(struct request *req, struct err *e)
{
	int r = parked_release(req, e);

	if (r != 0)
		return r < 0 ? r : 0;
	return give_back(req, release_check, e);
}

/* State locked. */
static int scrub_check(struct request *req, const struct pci_fn **out, struct err *e)
{
	char id[VF_ID_TEXT];
	enum vf_state state;
	int r = vf_find(req, out, e);

	if (r < 0)
		return r;
	state = pool_vf_state(req->d, *out, NULL);
	if (state == VF_QUARANTINED)
		return 0;
	err_set(e, EBUSY, "VF %s is %s, not quarantined", vf_id_text(*out, id),
		vf_state_text(state));
	err_code(e, "vf-not-quarantined");
	return err_hint(e, "viaduct vf show %s   has the evidence of its last wiping", id);
}

int api_vf_scrub(struct request *req, struct err *e)
{
	return give_back(req, scrub_check, e);
}
