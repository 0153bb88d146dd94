// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/portset.h"

#include "vf-manager/daemon.h"

#include <errno.h>
#include <stdio.h>

#define MAC_ATTEMPTS 8

void port_mac(const struct config *config, const char *owner, unsigned int attempt, uint8_t out[6])
{
	uint32_t hash = 2166136261U + attempt * 40503U; /* FNV-1a */

	for (const char *c = owner; *c != '\0'; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619U;
	hash ^= hash >> 24;
	memcpy(out, config->mac_prefix, 3);
	out[3] = (uint8_t)(hash >> 16);
	out[4] = (uint8_t)(hash >> 8);
	out[5] = (uint8_t)hash;
}

static bool mac_is_set(const struct vf_attrs *a)
{
	return (a->mask & BIT(VF_ATTR_MAC)) != 0 && memcmp(a->mac, "\0\0\0\0\0", 6) != 0;
}

static int bind_with_mac(struct vm_start *s, const struct vm_port *port, const char *owner,
			 struct err *e)
{
	struct vf_hold *hold = &s->holds[s->hold_count - 1];
	struct vf_attrs want = port->attrs, now = { 0 };
	int r = 0;

	/* A VF of `vf alloc` may have got its MAC by `vf set`; one without a kernel's PF has none. */
	if (mac_is_set(&want) || hold->kind != FN_NETWORK || hold->pf_dev[0] == '\0')
		return pool_bind(s->d, hold, &want, e);
	if (mac_is_set(&hold->lease_attrs))
		return pool_bind(s->d, hold, &want, e);
	if (port->source == PORT_FROM_VF && priv_vf_attrs_get(s->d, &hold->addr, &now, NULL) == 0 &&
	    mac_is_set(&now)) {
		memcpy(want.mac, now.mac, sizeof(want.mac));
		want.mask |= BIT(VF_ATTR_MAC);
		return pool_bind(s->d, hold, &want, e);
	}
	want.mask |= BIT(VF_ATTR_MAC);
	for (unsigned int i = 0; i < MAC_ATTEMPTS; i++) {
		port_mac(&s->d->config, owner, i, want.mac);
		r = pool_bind(s->d, hold, &want, e);
		if (r != -EEXIST)
			return r;
	}
	return r;
}

static int hold_check(const struct vf_hold *hold, const struct vm_port *port, struct err *e)
{
	if (hold->kind == FN_NVME) {
		err_set(e, EINVAL, "VF %s: VFs of NVMe controllers are not available yet",
			hold->id);
		return err_code(e, "not-yet");
	}
	if (hold->group < 0)
		return err_set(e, ENODEV, "VF %s is in no IOMMU group", hold->id);
	if (port->mtu != 0 && hold->pf_mtu != 0 && port->mtu > hold->pf_mtu) {
		err_set(e, EINVAL, "mtu: %u is more than the %u of PF %s", port->mtu, hold->pf_mtu,
			hold->pf_dev);
		return err_hint(e, "ip link set %s mtu %u", hold->pf_dev, port->mtu);
	}
	return 0;
}

static int group_add(struct vm_start *s, const struct pci_addr *addr, int nr, struct err *e)
{
	struct start_group *g = &s->groups[s->group_count];
	int r;

	for (unsigned int i = 0; i < s->group_count; i++)
		if (s->groups[i].nr == nr)
			return 0;
	r = priv_group_open(s->d, addr, &g->fd, e);
	if (r < 0)
		return r;
	g->nr = nr;
	s->group_count++;
	return 0;
}

static int port_take(struct vm_start *s, const struct vm_port *port, struct err *e)
{
	struct vf_hold *hold = &s->holds[s->hold_count];
	struct vf_want want = { .source = port->source, .target = port->target, .numa_node = -1 };
	char owner[OWNER_TEXT];
	int r;

	snprintf(owner, sizeof(owner), "%s/%s", s->wish->spec->name, port->name);
	want.owner = owner;
	r = pool_lease(s->d, &want, hold, e);
	if (r < 0)
		return r;
	s->hold_count++;
	r = hold_check(hold, port, e);
	if (r == 0)
		r = bind_with_mac(s, port, owner, e);
	if (r == 0)
		r = group_add(s, &hold->addr, hold->group, e);
	return r;
}

static int function_take(struct vm_start *s, const struct vm_function *fn, struct err *e)
{
	struct fn_hold *hold = &s->fns[s->fn_count];
	struct fn_want want = { .addr = fn->addr, .take = fn->take };
	char owner[OWNER_TEXT];
	int r;

	snprintf(owner, sizeof(owner), "%s/%s", s->wish->spec->name, fn->name);
	want.owner = owner;
	r = fnpool_lease(s->d, &want, hold, e);
	if (r < 0)
		return r;
	s->fn_count++;
	r = fnpool_bind(s->d, hold, e);
	return r == 0 ? group_add(s, &hold->addr, hold->group, e) : r;
}

int ports_take(struct vm_start *s, struct err *e)
{
	const struct vm_spec *spec = s->wish->spec;
	int r;

	for (unsigned int i = 0; i < spec->port_count; i++) {
		r = port_take(s, &spec->ports[i], e);
		if (r < 0)
			return err_wrap(e, "port %s", spec->ports[i].name);
	}
	for (unsigned int i = 0; i < spec->function_count; i++) {
		r = function_take(s, &spec->functions[i], e);
		if (r < 0)
			return err_wrap(e, "function %s", spec->functions[i].name);
	}
	return vm_spec_devices(spec) > 0 ? priv_container_open(s->d, &s->container, e) : 0;
}
