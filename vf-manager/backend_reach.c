// SPDX-License-Identifier: BSD-3-Clause
/*
 * Reachability of polled ports from VFs. A card's own switch takes a frame from one of its functions to another only if
 * that one's filter has the destination, promiscuous or not: so the MACs of ports whose uplink is a PF's network device
 * go into the PF's filter. What is put in is in the ledger before it is there and until it is out, so that the same is
 * taken out again, whoever dies meanwhile, and nothing that others have put in.
 */
#include "vf-manager/backend_reach.h"

#include "vf-manager/backend_core.h"
#include "vf-manager/monitor.h"
#include "vf-manager/privops.h"

#include "base/json.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_NS	 5000000000ULL /* between two looks at filters that are as they should be */
#define RETRY_NS 10000000000ULL /* from an address that did not go in to the next try */

static int row_keep(void *arg, const struct filter_row *row)
{
	struct reach *r = arg;

	if (r->our_count == r->our_cap) {
		size_t cap = r->our_cap * 2 + 16;
		void *ours = reallocarray(r->ours, cap, sizeof(*r->ours));

		if (ours == NULL)
			return -ENOMEM;
		r->ours = ours;
		r->our_cap = cap;
	}
	r->ours[r->our_count++] = *row;
	return 0;
}

int backend_reach_create(struct backend *b, struct err *e)
{
	b->reach = calloc(1, sizeof(*b->reach));
	if (b->reach != NULL)
		b->reach->fresh = calloc(1, sizeof(*b->reach->fresh));
	return b->reach != NULL && b->reach->fresh != NULL ? 0 : err_set(e, ENOMEM, "no memory");
}

void backend_reach_destroy(struct backend *b)
{
	if (b->reach == NULL)
		return;
	free(b->reach->fresh);
	free(b->reach->ours);
	free(b->reach->list);
	free(b->reach);
	b->reach = NULL;
}

int backend_reach_load(struct backend *b, struct err *e)
{
	int r;

	state_lock(b->d);
	r = ledger_filter_each(b->d->ledger, row_keep, b->reach, e);
	state_unlock(b->d);
	return r;
}

static struct filter_row *our_find(struct reach *r, unsigned int ifindex, const uint8_t mac[6])
{
	for (size_t i = 0; i < r->our_count; i++)
		if (r->ours[i].ifindex == ifindex && memcmp(r->ours[i].mac, mac, 6) == 0)
			return &r->ours[i];
	return NULL;
}

static struct reach_mac *wish_find(struct reach_wish *w, unsigned int ifindex, const uint8_t mac[6])
{
	for (size_t i = 0; i < w->count; i++)
		if (ifindex != 0 && w->uplinks[w->list[i].uplink].ifindex == ifindex &&
		    memcmp(w->list[i].mac, mac, 6) == 0)
			return &w->list[i];
	return NULL;
}

static bool wish_has(const struct reach_wish *w, unsigned int uplink, const uint8_t mac[6])
{
	for (size_t i = 0; i < w->count; i++)
		if (w->list[i].uplink == uplink && memcmp(w->list[i].mac, mac, 6) == 0)
			return true;
	return false;
}

static int wish_add(struct reach_wish *w, unsigned int uplink, const char *port, const char *text)
{
	struct reach_mac one = { .uplink = uplink };

	if (text == NULL || parse_mac(text, one.mac) < 0 || (one.mac[0] & 1) != 0 ||
	    wish_has(w, uplink, one.mac))
		return 0;
	if (w->count == w->cap) {
		size_t cap = w->cap * 2 + 16;
		void *list = reallocarray(w->list, cap, sizeof(*w->list));

		if (list == NULL)
			return -ENOMEM;
		w->list = list;
		w->cap = cap;
	}
	snprintf(one.port, sizeof(one.port), "%s", port);
	w->list[w->count++] = one;
	return 0;
}

static bool has_ours(const struct reach *r, const struct config_uplink *up)
{
	for (size_t i = 0; i < r->our_count; i++)
		if (strcmp(r->ours[i].dev, up->device) == 0)
			return true;
	return false;
}

/* The network whose frames the uplink carries now: of a group in which one carries all, the others must not draw frames
 * that would come to nothing there. NULL: none. */
static const struct config_network *network_carried(const struct backend *b,
						    const struct config_uplink *up)
{
	const struct config *config = &b->d->config;

	for (unsigned int i = 0; i < config->network_count; i++) {
		const struct config_network *net = &config->networks[i];
		const struct pmd_network *now =
			b->p.has_status ? pmd_network_find(&b->status, net->name) : NULL;
		bool is_its = false;

		for (unsigned int k = 0; k < net->polled_count; k++)
			is_its |= strcmp(net->polled[k], up->name) == 0;
		if (!is_its)
			continue;
		if (net->polled_count < 2 || net->bond != PMD_BOND_ACTIVE_BACKUP)
			return net;
		/* Not known (yet): it stays as it is. */
		return (now != NULL ? strcmp(now->active, up->name) == 0 : has_ours(b->reach, up))
			       ? net
			       : NULL;
	}
	return NULL;
}

/* What the driver can, viaduct-pmd says. */
static void vf_target_find(struct backend *b, unsigned int i, struct reach_uplink *out)
{
	const struct pmd_uplink *have =
		b->p.has_status ? pmd_uplink_find(&b->status, b->d->config.uplinks[i].name) : NULL;

	snprintf(out->device, sizeof(out->device), "%s", b->uplinks[i].device);
	out->way = have == NULL ? REACH_UNKNOWN : have->mac_room > 0 ? REACH_DRIVER : REACH_VF_MAC;
	out->promisc = have != NULL && have->promisc;
	if (have != NULL)
		out->limit = have->mac_room > 0 ? have->mac_room : 1;
}

/* Is it the network device of a PF that has VFs? */
static void target_find(struct backend *b, unsigned int i, struct reach_uplink *out)
{
	const struct config_uplink *up = &b->d->config.uplinks[i];
	const struct pci_fn *fn;

	if (up->kind == PMD_UPLINK_VF)
		vf_target_find(b, i, out);
	if (up->kind != PMD_UPLINK_AF_PACKET && up->kind != PMD_UPLINK_AF_XDP)
		return;
	state_lock(b->d);
	if (inventory_find_name(b->d->inv, up->device, &fn, NULL) == 0 && fn->is_pf &&
	    fn->num_vfs > 0 && fn->ifindex != 0) {
		out->way = REACH_PF_FILTER;
		out->ifindex = fn->ifindex;
		snprintf(out->device, sizeof(out->device), "%s", fn->dev_name);
	}
	state_unlock(b->d);
}

static int ports_add(struct backend *b, struct reach_wish *w, unsigned int uplink,
		     const char *network)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < b->port_count; i++) {
		const struct wish_port *p = &b->ports[i];
		json_t *mac;
		size_t k;

		if (strcmp(p->network, network) != 0)
			continue;
		r = wish_add(w, uplink, p->name,
			     json_string_value(json_object_get(p->policy, "mac")));
		json_array_foreach(json_object_get(p->policy, "macs"), k, mac)
			r = r == 0 ? wish_add(w, uplink, p->name, json_string_value(mac)) : r;
	}
	return r;
}

static int wish_make(struct backend *b, struct reach_wish *w)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < b->d->config.uplink_count; i++) {
		const struct config_network *net = network_carried(b, &b->d->config.uplinks[i]);

		target_find(b, i, &w->uplinks[i]);
		if (w->uplinks[i].way != REACH_FREE && net != NULL)
			r = ports_add(b, w, i, net->name);
	}
	return r;
}

/* As it was found last, whatever came of it. */
static bool wish_is_same(const struct reach *r, const struct reach_wish *w)
{
	for (unsigned int i = 0; i < PMD_MAX_UPLINKS; i++)
		if (r->uplinks[i].way != w->uplinks[i].way ||
		    r->uplinks[i].ifindex != w->uplinks[i].ifindex ||
		    strcmp(r->uplinks[i].device, w->uplinks[i].device) != 0)
			return false;
	if (r->count != w->count)
		return false;
	for (size_t i = 0; i < w->count; i++)
		if (r->list[i].uplink != w->list[i].uplink ||
		    memcmp(r->list[i].mac, w->list[i].mac, 6) != 0 ||
		    strcmp(r->list[i].port, w->list[i].port) != 0)
			return false;
	return true;
}

static int row_put(struct backend *b, const struct filter_row *row, struct err *e)
{
	int r;

	state_lock(b->d);
	r = ledger_filter_put(b->d->ledger, row, e);
	state_unlock(b->d);
	if (r == 0)
		r = row_keep(b->reach, row);
	return r;
}

/* From the ledger, then from memory; the last takes its place. */
static void row_drop(struct backend *b, struct filter_row *row)
{
	struct err e = { 0 };
	int r;

	state_lock(b->d);
	r = ledger_filter_del(b->d->ledger, row, &e);
	state_unlock(b->d);
	if (r < 0)
		log_err(&e, "filters");
	else
		*row = b->reach->ours[--b->reach->our_count];
}

/* Out of one device what nobody wishes any more. True: something was. */
static bool device_clear(struct backend *b, struct reach_wish *w, const struct filter_dev *dev,
			 const struct mac_filter *has)
{
	struct reach *r = b->reach;
	bool is_any = false;

	for (size_t i = r->our_count; i-- > 0;) {
		struct filter_row *row = &r->ours[i];
		struct err e = { 0 };
		int done = 0;

		if (row->ifindex != dev->ifindex || wish_find(w, dev->ifindex, row->mac) != NULL)
			continue;
		if (mac_filter_has(has, row->mac))
			done = priv_filter_del(b->d, dev, row->mac, &e);
		if (done < 0 && done != -ENOENT) {
			log_err(&e, dev->name);
			continue;
		}
		row_drop(b, row);
		is_any = true;
	}
	return is_any;
}

static void mac_put(struct backend *b, struct reach_mac *m, const struct filter_dev *dev,
		    struct err *e)
{
	struct filter_row row = { .ifindex = dev->ifindex };
	struct filter_row *ours = our_find(b->reach, dev->ifindex, m->mac);
	int r = 0;

	memcpy(row.mac, m->mac, sizeof(row.mac));
	snprintf(row.dev, sizeof(row.dev), "%s", dev->name);
	if (ours == NULL)
		r = row_put(b, &row, e);
	if (r == 0)
		r = priv_filter_add(b->d, dev, m->mac, e);
	/* Somebody was quicker: it is his. */
	ours = r < 0 ? our_find(b->reach, dev->ifindex, m->mac) : NULL;
	if (ours != NULL)
		row_drop(b, ours);
}

static void uplink_read_back(struct backend *b, struct reach_wish *w, unsigned int i,
			     const struct mac_filter *has)
{
	struct reach_uplink *up = &w->uplinks[i];

	up->is_read = true;
	up->used = (unsigned int)has->count;
	for (size_t k = 0; k < w->count; k++) {
		struct reach_mac *m = &w->list[k];

		if (m->uplink != i)
			continue;
		m->state = !mac_filter_has(has, m->mac)			     ? REACH_OUT
			   : our_find(b->reach, up->ifindex, m->mac) != NULL ? REACH_OURS
									     : REACH_OTHERS;
	}
}

static void uplink_fill(struct backend *b, struct reach_wish *w, unsigned int i)
{
	struct reach_uplink *up = &w->uplinks[i];
	const struct filter_dev dev = { up->ifindex, up->device };
	struct mac_filter has;
	int r = priv_filter_read(b->d, &dev, &has, &up->why);

	if (r == 0 && device_clear(b, w, &dev, &has)) {
		mac_filter_free(&has);
		r = priv_filter_read(b->d, &dev, &has, &up->why);
	}
	for (size_t k = 0; r == 0 && k < w->count; k++) {
		struct err e = { 0 };

		if (w->list[k].uplink != i || mac_filter_has(&has, w->list[k].mac))
			continue;
		mac_put(b, &w->list[k], &dev, &e);
		if (e.errnum == 0)
			continue;
		up->why = e;
		up->is_full |= strcmp(e.code, "filter-full") == 0;
	}
	mac_filter_free(&has);
	/* What is said is what the kernel says now. */
	if (r == 0)
		r = priv_filter_read(b->d, &dev, &has, &up->why);
	if (r == 0)
		uplink_read_back(b, w, i, &has);
	mac_filter_free(&has);
	if (up->is_full)
		up->limit = up->used;
}

static bool is_target(const struct reach_wish *w, unsigned int ifindex)
{
	for (unsigned int i = 0; i < PMD_MAX_UPLINKS; i++)
		if (w->uplinks[i].ifindex == ifindex && ifindex != 0)
			return true;
	return false;
}

/* Devices that are no uplink any more, or not that of a PF with VFs. */
static void others_clear(struct backend *b, struct reach_wish *w)
{
	struct reach *r = b->reach;

	for (size_t i = 0; i < r->our_count;) {
		struct filter_row row = r->ours[i];
		char name[IF_NAMESIZE];
		/* Renamed or not: a number is given to no other device before the next boot. */
		const struct filter_dev dev = {
			row.ifindex, if_indextoname(row.ifindex, name) != NULL ? name : row.dev
		};
		const size_t before = r->our_count;
		struct err e = { 0 };
		struct mac_filter has;
		int done;

		if (is_target(w, row.ifindex)) {
			i++;
			continue;
		}
		done = priv_filter_read(b->d, &dev, &has, &e);
		if (done == 0)
			(void)device_clear(b, w, &dev, &has);
		else if (done == -ENODEV)
			row_drop(b, &r->ours[i]);
		mac_filter_free(&has);
		if (r->our_count == before)
			i++; /* another time */
	}
}

static bool is_well(const struct reach_wish *w)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->list[i].state == REACH_OUT &&
		    w->uplinks[w->list[i].uplink].way != REACH_UNKNOWN)
			return false;
	return true;
}

/* A filter's size is known once it was full. True: what is to be said is another. */
static bool publish(struct backend *b, struct reach_wish *w)
{
	struct reach *r = b->reach;
	bool is_news = !wish_is_same(r, w);

	for (unsigned int i = 0; i < PMD_MAX_UPLINKS; i++)
		if (w->uplinks[i].limit == 0 && w->uplinks[i].ifindex == r->uplinks[i].ifindex)
			w->uplinks[i].limit = r->uplinks[i].limit;
	for (size_t i = 0; !is_news && i < w->count; i++)
		is_news = r->list[i].state != w->list[i].state;
	look_lock(b);
	free(r->list);
	r->list = w->list;
	r->count = w->count;
	memcpy(r->uplinks, w->uplinks, sizeof(r->uplinks));
	look_unlock(b);
	return is_news;
}

static void trouble_log(const struct backend *b, const struct reach_wish *w)
{
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++)
		if (w->uplinks[i].why.errnum != 0)
			log_err(&w->uplinks[i].why, w->uplinks[i].device);
}

bool backend_reach_needs_op(const struct backend *b)
{
	return b->reach->needs_op;
}

static void uplinks_fill(struct backend *b, struct reach_wish *w, bool has_op)
{
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++) {
		switch (w->uplinks[i].way) {
		case REACH_PF_FILTER:
			uplink_fill(b, w, i);
			break;
		case REACH_DRIVER:
			reach_driver_fill(b, w, i);
			break;
		case REACH_VF_MAC:
			reach_vf_mac_fill(b, w, i, has_op);
			break;
		case REACH_FREE:
		case REACH_UNKNOWN:
			break;
		}
	}
}

void backend_reach_settle(struct backend *b, bool has_op)
{
	struct reach *r = b->reach;
	struct reach_wish w = { 0 };
	bool is_news;

	if (wish_make(b, &w) < 0) {
		free(w.list);
		return;
	}
	if (wish_is_same(r, &w) && now_ns() < r->next_ns && !(r->needs_op && has_op)) {
		free(w.list);
		return;
	}
	others_clear(b, &w);
	r->needs_op = false;
	uplinks_fill(b, &w, has_op);
	r->next_ns = now_ns() + (is_well(&w) ? LOOK_NS : RETRY_NS);
	is_news = publish(b, &w);
	if (is_news)
		trouble_log(b, &w);
	if (is_news && b->d->monitor != NULL)
		monitor_kick(b->d->monitor);
}

const struct reach_uplink *backend_reach_uplink(const struct backend *b, unsigned int i)
{
	return &b->reach->uplinks[i];
}

const struct reach_mac *backend_reach_next(const struct backend *b, size_t *at)
{
	return *at < b->reach->count ? &b->reach->list[(*at)++] : NULL;
}

static const char *const ways[] = { [REACH_FREE] = "free",
				    [REACH_PF_FILTER] = "pf-filter",
				    [REACH_DRIVER] = "driver",
				    [REACH_VF_MAC] = "vf-mac",
				    [REACH_UNKNOWN] = "unknown" };
static const char *const states[] = {
	[REACH_OUT] = "missing", [REACH_OURS] = "viaduct", [REACH_OTHERS] = "others"
};

json_t *backend_reach_view(const struct backend *b, unsigned int i)
{
	const struct reach_uplink *up = &b->reach->uplinks[i];
	const struct reach_mac *m;
	json_t *macs;

	if (up->way == REACH_FREE)
		return json_null();
	macs = json_array();
	for (size_t at = 0; (m = backend_reach_next(b, &at)) != NULL;) {
		char mac[MAC_TEXT];

		if (m->uplink == i)
			json_array_append_new(macs, json_pack("{s:s, s:s, s:s}", "mac",
							      mac_text(m->mac, mac), "port",
							      m->port, "by", states[m->state]));
	}
	return json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:s?}", "way", ways[up->way], "device",
			 up->device, "promisc", (int)up->promisc, "used",
			 up->is_read ? json_integer(up->used) : json_null(), "limit",
			 up->limit != 0 ? json_integer(up->limit) : json_null(), "macs", macs,
			 "problem", up->why.errnum != 0 ? up->why.text : NULL);
}
