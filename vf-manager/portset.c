// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/portset.h"

#include "vf-manager/budget.h"
#include "vf-manager/daemon.h"
#include "vf-manager/hostcheck.h"
#include "vf-manager/irqlines.h"
#include "vf-manager/portfit.h"
#include "vf-manager/portpolled.h"
#include "vf-manager/posture.h"
#include "vf-manager/vm.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>

#define MAC_ATTEMPTS 8

/* FNV-1a. */
static uint64_t hash_add(uint64_t hash, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ULL;
	return hash;
}

void port_mac(const struct mac_seed *seed, unsigned int attempt, uint8_t out[6])
{
	uint64_t hash = hash_add(0xcbf29ce484222325ULL, seed->host_key, HOST_KEY);

	hash = hash_add(hash, seed->owner, strlen(seed->owner));
	hash = hash_add(hash, &(uint8_t){ (uint8_t)attempt }, 1);
	/* Its upper bits are the better ones. */
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93ULL;
	hash >>= 40;
	memcpy(out, seed->prefix, 3);
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
	const struct mac_seed seed = { .prefix = s->d->config.mac_prefix,
				       .host_key = ledger_host_key(s->d->ledger),
				       .owner = owner };
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
		port_mac(&seed, i, want.mac);
		r = pool_bind(s->d, hold, &want, e);
		if (r != -EEXIST)
			return r;
	}
	return r;
}

static int hold_check(const struct vf_hold *hold, const struct vm_port *port, struct err *e)
{
	const struct port_pf pf = { .name = hold->pf_dev[0] != '\0' ? hold->pf_dev : hold->pf_name,
				    .driver = hold->pf_driver,
				    .mtu = hold->pf_mtu };

	if (hold->kind == FN_NVME) {
		err_set(e, EINVAL, "VF %s: VFs of NVMe controllers are not available yet",
			hold->id);
		return err_code(e, "not-yet");
	}
	if (hold->group < 0)
		return err_set(e, ENODEV, "VF %s is in no IOMMU group", hold->id);
	return port_fit_check(port, &pf, e);
}

static int place_check(struct daemon *d, const struct vf_hold *hold, struct err *e)
{
	const struct pci_fn *vf;
	int r;

	state_lock(d);
	vf = inventory_find(d->inv, &hold->addr);
	r = vf != NULL ? posture_alone_check(d, vf, e)
		       : err_set(e, ENODEV, "VF %s is gone", hold->id);
	state_unlock(d);
	return r;
}

/* The hold, if there is one after a failure, is s->holds[s->hold_count - 1]. */
static int vf_take(struct vm_start *s, struct vf_kin *kin, struct err *e)
{
	const struct vm_port *port = &kin->spec->ports[kin->port];
	struct vf_hold *hold = &s->holds[s->hold_count];
	struct vf_want want = {
		.source = port->source, .target = port->target, .numa_node = -1, .kin = kin
	};
	char owner[OWNER_TEXT];
	int r;

	snprintf(owner, sizeof(owner), "%s/%s", s->wish->spec->name, port->name);
	want.owner = owner;
	r = pool_lease(s->d, &want, hold, e);
	if (r < 0)
		return r;
	s->hold_ports[s->hold_count++] = kin->port;
	kin->given[kin->port].pf = hold->pf;
	kin->given[kin->port].addr = hold->addr;
	kin->given[kin->port].is_given = true;
	r = hold_check(hold, port, e);
	if (r == 0)
		r = place_check(s->d, hold, e);
	return r == 0 ? bind_with_mac(s, port, owner, e) : r;
}

bool port_may_fall_back(const struct err *e)
{
	static const char *const codes[] = { "no-free-vf",	 "no-such-pf",	  "no-netdev",
					     "attr-unsupported", "mtu-too-large", "group-shared",
					     "firmware-memory" };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (strcmp(e->code, codes[i]) == 0)
			return true;
	return false;
}

static int vf_drop(struct vm_start *s, struct vf_kin *kin, struct err *e)
{
	const struct vf_hold *hold = &s->holds[s->hold_count - 1];
	const struct vf_ref ref = { .pf = hold->pf,
				    .index = hold->index,
				    .generation = hold->generation };
	int r = pool_release(s->d, &ref, true, e);

	s->hold_count--;
	kin->given[kin->port].is_given = false;
	return r;
}

/* What every VM with a VF needs of the host, which `vm check` demands only for ports that must have one. */
static int host_fits(struct vm_start *s, struct err *e)
{
	struct iommu_host host;
	int r = host_iommu_read(s->d, &host, e);
	bool is_accepted = s->wish->unsafe != NULL && s->wish->unsafe->reason[0] != '\0';

	return r < 0 ? r : iommu_host_check(&host, is_accepted, e);
}

/* A VF if one is free and fit, else the backend, with the reason. */
static int auto_take(struct vm_start *s, struct vf_kin *kin, struct err *e)
{
	unsigned int held = s->hold_count;
	struct err why = { 0 };
	int r = host_fits(s, &why);
	bool is_host = r < 0;

	if (r == 0)
		r = vf_take(s, kin, &why);
	if (r == 0)
		return 0;
	if (!is_host && !port_may_fall_back(&why)) {
		*e = why;
		return r;
	}
	kin->given[kin->port].is_out = true;
	if (s->hold_count > held) {
		r = vf_drop(s, kin, e);
		if (r < 0)
			return r;
	}
	log_info("VM %s: port %s is served by the polled backend: %s", s->wish->spec->name,
		 kin->spec->ports[kin->port].name, why.text);
	return port_polled_take(s, kin->port, why.text, e);
}

static int polled_take(struct vm_start *s, struct vf_kin *kin, struct err *e)
{
	return port_polled_take(s, kin->port, NULL, e);
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
	return fnpool_bind(s->d, hold, e);
}

/* All functions of the VM, ports first; their number. */
static unsigned int addrs_get(const struct vm_start *s, struct pci_addr addrs[VMM_MAX_DEVICES])
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < s->hold_count; i++)
		addrs[count++] = s->holds[i].addr;
	for (unsigned int i = 0; i < s->fn_count; i++)
		addrs[count++] = s->fns[i].addr;
	return count;
}

/* Again: since `vm check` others may have come, and it saw other VFs. */
static int budget_look(const struct vm_start *s, struct err *e)
{
	struct pci_addr addrs[VMM_MAX_DEVICES];
	auto_free char *interrupts = interrupts_read(s->d->opt->proc_dir);
	struct budget_fns fns = { .spec = s->wish->spec, .addrs = addrs, .interrupts = interrupts };
	int r;

	fns.count = addrs_get(s, addrs);
	state_lock(s->d);
	r = budget_functions(s->d, &fns, NULL, e);
	state_unlock(s->d);
	return r;
}

/* Custody of a function, for the VMM: from here on nobody else can have it. */
static int member_add(struct vm_start *s, const struct pci_addr *addr, int group, struct err *e)
{
	struct start_member *m = &s->members[s->member_count];
	char text[PCI_ADDR_TEXT];
	int r;

	if (s->dma == DMA_IOMMUFD)
		snprintf(m->name, sizeof(m->name), "cdev:%s", pci_addr_text(addr, text));
	else
		snprintf(m->name, sizeof(m->name), "group:%d", group);
	for (unsigned int i = 0; i < s->member_count; i++)
		if (strcmp(s->members[i].name, m->name) == 0)
			return 0;
	r = s->dma == DMA_IOMMUFD ? priv_cdev_open(s->d, addr, s->dma_fd, &m->fd, e)
				  : priv_group_open(s->d, addr, &m->fd, e);
	if (r == 0)
		s->member_count++;
	return r;
}

/* Which interface it is can only be seen when all functions are on vfio-pci. */
static int members_add(struct vm_start *s, struct err *e)
{
	const struct vm_spec *spec = s->wish->spec;
	struct pci_addr addrs[VMM_MAX_DEVICES];
	const struct dma_ask ask = { .fns = addrs,
				     .count = addrs_get(s, addrs),
				     .is_unsafe = s->wish->unsafe != NULL &&
						  s->wish->unsafe->is_taken };
	int r = dma_open(s->d, &ask, &s->dma, &s->dma_fd, e);

	for (unsigned int i = 0; r == 0 && i < s->hold_count; i++) {
		r = member_add(s, &s->holds[i].addr, s->holds[i].group, e);
		if (r < 0)
			err_wrap(e, "port %s", spec->ports[s->hold_ports[i]].name);
	}
	for (unsigned int i = 0; r == 0 && i < s->fn_count; i++) {
		r = member_add(s, &s->fns[i].addr, s->fns[i].group, e);
		if (r < 0)
			err_wrap(e, "function %s", spec->functions[i].name);
	}
	return r;
}

/* Of a VM that is defined: it comes back to where its guest knows its devices. */
static void former_take(const struct vm_start *s, struct vf_kin *kin)
{
	const json_t *ports, *port;
	size_t k;

	if (!s->wish->is_defined || s->replaced == NULL)
		return;
	ports = json_object_get(s->replaced->facts, "ports");
	json_array_foreach((json_t *)ports, k, port) {
		const char *name = json_string_value(json_object_get(port, "name"));
		const char *vf = json_string_value(json_object_get(port, "vf"));

		for (unsigned int i = 0; name != NULL && i < kin->spec->port_count; i++)
			if (strcmp(kin->spec->ports[i].name, name) == 0)
				kin->former[i].is_known =
					vf != NULL && parse_pci_addr(vf, &kin->former[i].addr) == 0;
	}
}

int ports_take(struct vm_start *s, struct err *e)
{
	static const struct {
		enum port_engine engine;
		int (*take)(struct vm_start *s, struct vf_kin *kin, struct err *e);
	} turns[] = { { PORT_VF, vf_take },
		      { PORT_AUTO, auto_take },
		      { PORT_POLLED, polled_take } };
	const struct vm_spec *spec = s->wish->spec;
	struct vf_kin kin = { .spec = spec, .numa_node = vm_near_node(s->d, spec) };
	int r;

	former_take(s, &kin);
	for (size_t turn = 0; turn < ARRAY_SIZE(turns); turn++) {
		vf_kin_turn(&kin, turns[turn].engine);
		for (unsigned int i = 0; i < spec->port_count; i++) {
			if (spec->ports[i].engine != turns[turn].engine)
				continue;
			kin.port = i;
			r = turns[turn].take(s, &kin, e);
			if (r < 0)
				return err_wrap(e, "port %s", spec->ports[i].name);
		}
	}
	for (unsigned int i = 0; i < spec->function_count; i++) {
		r = function_take(s, &spec->functions[i], e);
		if (r < 0)
			return err_wrap(e, "function %s", spec->functions[i].name);
	}
	r = start_nets_record(s, e);
	if (r < 0 || s->hold_count + s->fn_count == 0)
		return r;
	r = budget_look(s, e);
	return r == 0 ? members_add(s, e) : r;
}
