// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/snapshot.h"

#include "sriov/bind.h"
#include "sriov/fnread.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void snapshot_fini(struct snapshot *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->fns[i].vfs);
	free(s->fns);
	free(s->pf_addrs);
	free(s->is_claimed);
	*s = (struct snapshot){ 0 };
}

static int addr_order(const void *a, const void *b)
{
	return pci_addr_cmp(a, b);
}

static int fn_order(const void *key, const void *item)
{
	return pci_addr_cmp(key, &((const struct pci_fn *)item)->addr);
}

struct pci_fn *snapshot_find(const struct snapshot *s, const struct pci_addr *addr)
{
	if (s->count == 0)
		return NULL;
	return bsearch(addr, s->fns, s->count, sizeof(*s->fns), fn_order);
}

int vf_look_again(const struct sysfs *sys, const struct pci_fn *vf, char driver[FN_DRIVER_TEXT])
{
	uint64_t birth;

	if (vf->birth == 0 || vf->caps.is_dead || vf->caps.needs_root ||
	    sysfs_fn_birth(sys, &vf->addr, &birth) < 0 || birth != vf->birth)
		return -EAGAIN;
	if (sysfs_fn_link(sys, &vf->addr, "driver", driver, FN_DRIVER_TEXT) < 0)
		driver[0] = '\0';
	return driver[0] == '\0' || strcmp(driver, DRIVER_VFIO) == 0 ? 0 : -EAGAIN;
}

static bool is_without_host(const struct pci_fn *vf)
{
	return vf->driver[0] == '\0' || strcmp(vf->driver, DRIVER_VFIO) == 0;
}

static int fn_read_or_keep(struct snapshot *s, const struct sysfs *sys, const struct snapshot *was,
			   const struct pci_addr *addr)
{
	const struct pci_fn *old = was != NULL ? snapshot_find(was, addr) : NULL;
	struct pci_fn *fn = &s->fns[s->count];
	char driver[FN_DRIVER_TEXT];

	if (old == NULL || !old->is_vf || !is_without_host(old) ||
	    vf_look_again(sys, old, driver) < 0)
		return fn_read(sys, addr, fn, &s->pf_addrs[s->count]);
	*fn = *old;
	memcpy(fn->driver, driver, sizeof(driver));
	fn->pf = NULL;
	fn->vf_index = 0;
	s->pf_addrs[s->count] = was->pf_addrs[old - was->fns];
	return 0;
}

static int fns_read(struct snapshot *s, const struct sysfs *sys, const struct snapshot *was,
		    struct err *e)
{
	auto_free struct pci_addr *addrs = NULL;
	size_t n;
	int r = fn_list(sys, was != NULL, &addrs, &n, e);

	if (r < 0)
		return r;
	if (n == 0)
		return 0;
	qsort(addrs, n, sizeof(*addrs), addr_order);
	s->fns = calloc(n, sizeof(*s->fns));
	s->pf_addrs = calloc(n, sizeof(*s->pf_addrs));
	s->is_claimed = calloc(n, sizeof(*s->is_claimed));
	if (s->fns == NULL || s->pf_addrs == NULL || s->is_claimed == NULL)
		return err_set(e, ENOMEM, "no memory for %zu PCI functions", n);
	for (size_t i = 0; i < n; i++) {
		char name[PCI_ADDR_TEXT];

		r = fn_read_or_keep(s, sys, was, &addrs[i]);
		if (r == 0)
			s->count++;
		else if (r != -ENOENT) /* else it went away since it was listed */
			return err_set(e, r, "read PCI function %s: %s",
				       pci_addr_text(&addrs[i], name), strerror(-r));
	}
	return 0;
}

/* The VF that the PF's link of that index leads to; NULL: none that is a VF of its own. What the last
 * look saw need not be read again: a VF has one index as long as it lives. */
static struct pci_fn *vf_of_index(const struct snapshot *s, const struct sysfs *sys,
				  const struct pci_fn *pf, const struct pci_fn *was, unsigned int i)
{
	char attr[24], text[32];
	struct pci_addr addr;
	struct pci_fn *vf;

	if (was != NULL && was->is_pf && i < was->num_vfs && was->vfs[i] != NULL) {
		vf = snapshot_find(s, &was->vfs[i]->addr);
		if (vf != NULL && vf->is_vf && vf->birth != 0 && vf->birth == was->vfs[i]->birth &&
		    pci_addr_cmp(&s->pf_addrs[vf - s->fns], &pf->addr) == 0)
			return vf;
	}
	snprintf(attr, sizeof(attr), "virtfn%u", i);
	if (sysfs_fn_link(sys, &pf->addr, attr, text, sizeof(text)) < 0 ||
	    parse_pci_addr(text, &addr) < 0)
		return NULL;
	vf = snapshot_find(s, &addr);
	return vf != NULL && vf->is_vf && pci_addr_cmp(&s->pf_addrs[vf - s->fns], &pf->addr) == 0
		       ? vf
		       : NULL;
}

/* The PF's links give its VFs their index. */
static void claim_vfs(struct snapshot *s, const struct sysfs *sys, const struct snapshot *was,
		      const struct pci_fn *pf)
{
	const struct pci_fn *old = was != NULL ? snapshot_find(was, &pf->addr) : NULL;

	for (unsigned int i = 0; i < pf->num_vfs; i++) {
		struct pci_fn *vf = vf_of_index(s, sys, pf, old, i);

		if (vf == NULL)
			continue;
		s->is_claimed[vf - s->fns] = true;
		vf->vf_index = (uint16_t)i;
	}
}

/* A VF that no PF has a link to came or went while we looked. It must not pass for an ordinary
 * function, so it is left out; the next scan sees it or not. */
static void drop_unclaimed(struct snapshot *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (s->fns[i].is_vf && !s->is_claimed[i])
			continue;
		s->fns[kept] = s->fns[i];
		s->is_claimed[kept] = s->is_claimed[i];
		s->pf_addrs[kept++] = s->pf_addrs[i];
	}
	s->count = kept;
}

/* From here on no function moves any more. */
static int link_vfs(struct snapshot *s, struct err *e)
{
	for (size_t i = 0; i < s->count; i++) {
		struct pci_fn *pf = &s->fns[i];

		if (!pf->is_pf || pf->num_vfs == 0)
			continue;
		pf->vfs = calloc(pf->num_vfs, sizeof(struct pci_fn *));
		if (pf->vfs == NULL)
			return err_set(e, ENOMEM, "no memory for the VFs of %s", pf->name);
	}
	for (size_t i = 0; i < s->count; i++) {
		struct pci_fn *vf = &s->fns[i];

		if (!vf->is_vf)
			continue;
		/* Claimed by that PF, below its num_vfs: both are in the snapshot. */
		vf->pf = snapshot_find(s, &s->pf_addrs[i]);
		vf->pf->vfs[vf->vf_index] = vf;
	}
	return 0;
}

int snapshot_read(struct snapshot *s, const struct sysfs *sys, const struct snapshot *was,
		  struct err *e)
{
	int r;

	*s = (struct snapshot){ 0 };
	r = fns_read(s, sys, was, e);
	for (size_t i = 0; r == 0 && i < s->count; i++)
		if (s->fns[i].is_pf)
			claim_vfs(s, sys, was, &s->fns[i]);
	if (r == 0) {
		drop_unclaimed(s);
		r = link_vfs(s, e);
	}
	if (r < 0)
		snapshot_fini(s);
	return r;
}

int snapshot_copy(struct snapshot *to, const struct snapshot *from)
{
	*to = (struct snapshot){ 0 };
	if (from->count == 0)
		return 0;
	to->fns = calloc(from->count, sizeof(*to->fns));
	to->pf_addrs = calloc(from->count, sizeof(*to->pf_addrs));
	to->is_claimed = calloc(from->count, sizeof(*to->is_claimed));
	if (to->fns == NULL || to->pf_addrs == NULL || to->is_claimed == NULL) {
		snapshot_fini(to);
		return -ENOMEM;
	}
	to->count = from->count;
	memcpy(to->fns, from->fns, from->count * sizeof(*to->fns));
	memcpy(to->pf_addrs, from->pf_addrs, from->count * sizeof(*to->pf_addrs));
	memcpy(to->is_claimed, from->is_claimed, from->count * sizeof(*to->is_claimed));
	for (size_t i = 0; i < to->count; i++)
		to->fns[i].vfs = NULL;
	if (link_vfs(to, NULL) < 0) {
		snapshot_fini(to);
		return -ENOMEM;
	}
	return 0;
}
