// SPDX-License-Identifier: BSD-3-Clause
/* The VF of a port of a VM, chosen beside the VM's other ports: those that have one, and those that still need one. */
#include "vf-manager/pool_pick.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SOLVE_STEPS \
	1000 /* 16 ports that compete for 16 PFs are done in hundreds; what has no solution takes all */

struct ports {
	const struct vf_kin *kin;
	struct place_port at[VMM_MAX_DEVICES];
	struct candidates candidates[VMM_MAX_DEVICES];
	char names[VMM_MAX_DEVICES][OWNER_TEXT];
	const char *words[VMM_MAX_DEVICES][VM_PORT_WORDS + 1];
	struct pci_addr held[VMM_MAX_DEVICES]; /* VFs that no other port may have */
	unsigned int held_count;
};

static void held_add(struct ports *p, struct place_port *port, const struct daemon *d,
		     const struct pci_fn *vf)
{
	port->is_placed = true;
	port->is_drawn = pool_vf_state(d, vf, NULL) == VF_FREE;
	port->key = candidate_key(&vf->pf->addr);
	p->held[p->held_count++] = vf->addr;
}

static struct vf_want want_of(const struct vf_kin *kin, unsigned int i)
{
	const struct vm_port *port = &kin->spec->ports[i];

	return (struct vf_want){ .source = port->source, .target = port->target, .numa_node = -1 };
}

/* A port that has its VF, gets none, or whose VF the file names. */
static void port_place(struct ports *p, struct daemon *d, unsigned int i)
{
	const struct vf_want want = want_of(p->kin, i);
	struct place_port *port = &p->at[i];
	const struct pci_fn *vf;
	struct err unseen = { 0 };

	if (p->kin->given[i].is_given) {
		vf = inventory_find(d->inv, &p->kin->given[i].addr);
		if (vf != NULL && vf->is_vf)
			held_add(p, port, d, vf);
		port->is_placed = true;
		port->key = candidate_key(&p->kin->given[i].pf);
	} else if (p->kin->given[i].is_out) {
		port->is_placed = true;
	} else if (i != p->kin->port && want.source == PORT_FROM_VF) {
		/* What cannot be had is said when it is that port's turn. */
		if (pool_pick_named(d, &want, &vf, &unseen) == 0)
			held_add(p, port, d, vf);
		port->is_placed = true;
	}
}

static void port_init(struct ports *p, unsigned int i)
{
	const struct vm_spec *spec = p->kin->spec;
	const struct vm_port *port = &spec->ports[i];

	snprintf(p->names[i], sizeof(p->names[i]), "%s/%s", spec->name, port->name);
	for (unsigned int k = 0; k < port->word_count; k++)
		p->words[i][k] = port->words[k];
	p->at[i].name = p->names[i];
	p->at[i].words = p->words[i];
	p->candidates[i] = (struct candidates){ .want = { .node = p->kin->numa_node },
						.vm = spec->name,
						.port = port };
}

static void port_take_candidates(struct ports *p, unsigned int i)
{
	p->at[i].want = p->candidates[i].want;
	p->at[i].pfs = p->candidates[i].pfs;
	p->at[i].count = p->candidates[i].count;
}

/* Of this port all that is wrong is said; of those that follow a network that is not there is no reason. */
static int ports_make(struct ports *p, struct daemon *d, const struct vf_want *want, struct err *e)
{
	int r = 0;

	for (unsigned int i = 0; i < p->kin->spec->port_count; i++) {
		port_init(p, i);
		port_place(p, d, i);
	}
	for (unsigned int i = 0; r == 0 && i < p->kin->spec->port_count; i++) {
		const struct vf_want other = want_of(p->kin, i);
		bool is_this = i == p->kin->port;
		struct err unseen = { 0 };

		if (p->at[i].is_placed || other.source == PORT_FROM_VF)
			continue;
		r = candidates_find(&p->candidates[i], d, is_this ? want : &other,
				    is_this ? e : &unseen);
		r = is_this || r == -ENOMEM ? r : 0;
		port_take_candidates(p, i);
	}
	return r;
}

static void ports_free(struct ports *p)
{
	for (unsigned int i = 0; p != NULL && i < VMM_MAX_DEVICES; i++)
		candidates_fini(&p->candidates[i]);
	free(p);
}

/* The candidate that all ports can live with; where there is none, the best one, and the port that gets nothing says so. */
static int ports_choose(struct ports *p)
{
	const unsigned int count = p->kin->spec->port_count, me = p->kin->port;
	struct place_port *port = &p->at[me];
	bool was_placed[VMM_MAX_DEVICES], is_solved;
	uint64_t key;
	int winner;

	for (unsigned int i = 0; i < count; i++)
		was_placed[i] = p->at[i].is_placed;
	is_solved = placement_solve(p->at, count, SOLVE_STEPS);
	key = port->key;
	for (unsigned int i = 0; is_solved && i < count; i++)
		if (!was_placed[i])
			p->at[i].is_placed = p->at[i].is_drawn = false;
	placement_kin(p->at, count, me);
	winner = placement_rank(&port->want, port->pfs, port->count);
	for (size_t i = 0; is_solved && winner >= 0 && i < port->count; i++) {
		if (port->pfs[i].rank == 0 || port->pfs[i].key != key ||
		    port->pfs[winner].key == key)
			continue;
		placement_override(&port->want, port->pfs, port->count, i);
		return (int)i;
	}
	return winner;
}

static bool is_held(const struct ports *p, const struct pci_addr *addr)
{
	for (unsigned int i = 0; i < p->held_count; i++)
		if (pci_addr_cmp(&p->held[i], addr) == 0)
			return true;
	return false;
}

/* The VF that the port had, and the place of its PF among the candidates; NULL: it cannot be had, or another port of the VM
 * may need one of that PF. */
static const struct pci_fn *former_find(struct ports *p, struct daemon *d, int winner, int *at)
{
	const struct candidates *c = &p->candidates[p->kin->port];
	const struct place_port *port = &p->at[p->kin->port];
	const struct pci_fn *vf = NULL;

	if (p->kin->former[p->kin->port].is_known)
		vf = inventory_find(d->inv, &p->kin->former[p->kin->port].addr);
	if (vf == NULL || !vf->is_vf || is_held(p, &vf->addr) ||
	    pool_vf_state(d, vf, NULL) != VF_FREE)
		return NULL;
	for (size_t i = 0; i < port->count; i++) {
		if (c->fns[i] != vf->pf || port->pfs[i].rank == 0)
			continue;
		if ((int)i != winner && placement_free(&port->pfs[i]) < p->kin->spec->port_count)
			continue;
		*at = (int)i;
		return vf;
	}
	return NULL;
}

static int pick_of_pool(struct ports *p, struct daemon *d, const struct vf_want *want,
			const struct pci_fn **out, struct err *e)
{
	const struct candidates *c = &p->candidates[p->kin->port];
	struct place_port *port = &p->at[p->kin->port];
	int winner = ports_choose(p), at = -1;

	*out = winner >= 0 ? former_find(p, d, winner, &at) : NULL;
	if (*out != NULL && at != winner)
		placement_override(&port->want, port->pfs, port->count, (size_t)at);
	if (*out == NULL && winner >= 0)
		*out = pool_pf_free_vf(d, c->fns[winner], p->held, p->held_count);
	if (want->explain != NULL)
		candidates_explain(c, *out, want->explain);
	return *out != NULL ? 0 : pool_pick_refuse(d, want, c, e);
}

/* Its VF is named: all that can be wrong is that VF, or who else is on its PF. */
static int pick_of_name(struct ports *p, struct daemon *d, const struct vf_want *want,
			const struct pci_fn **out, struct err *e)
{
	struct candidates *c = &p->candidates[p->kin->port];
	struct err why = { 0 };
	int r = pool_pick_named(d, want, out, &why), added;

	if (r < 0)
		*out = NULL;
	for (unsigned int i = 0; r == 0 && i < p->held_count; i++)
		if (pci_addr_cmp(&p->held[i], &(*out)->addr) == 0)
			r = err_set(&why, EBUSY, "VF %s is for another port of the VM",
				    (*out)->name);
	added = *out != NULL ? candidates_add_pf(c, d, (*out)->pf, e)
			     : candidates_add(c, d, want->target, e);
	if (added < 0)
		return added;
	c->pfs[0].missing = r < 0 ? why.text : NULL;
	c->pfs[0].is_assured = true;
	port_take_candidates(p, p->kin->port);
	placement_kin(p->at, p->kin->spec->port_count, p->kin->port);
	if (placement_rank(&c->want, c->pfs, c->count) < 0 && r == 0)
		r = pool_pick_refuse(d, want, c, &why);
	if (want->explain != NULL)
		candidates_explain(c, r == 0 ? *out : NULL, want->explain);
	if (r < 0 && e != NULL)
		*e = why;
	return r;
}

int pool_pick_port(struct daemon *d, const struct vf_want *want, const struct pci_fn **out,
		   struct err *e)
{
	struct ports *p = calloc(1, sizeof(*p));
	int r;

	if (p == NULL)
		return err_set(e, ENOMEM, "no memory");
	p->kin = want->kin;
	r = ports_make(p, d, want, e);
	if (r == 0)
		r = want->source == PORT_FROM_VF ? pick_of_name(p, d, want, out, e)
						 : pick_of_pool(p, d, want, out, e);
	ports_free(p);
	return r;
}
