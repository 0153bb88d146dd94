// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/placement.h"

#include <errno.h>
#include <stdio.h>

static const char *const policies[PLACE_POLICIES] = {
	[PLACE_ORDER] = "order",
	[PLACE_SPREAD] = "spread",
	[PLACE_PACK] = "pack",
};

static const char *const links[PLACE_LINKS] = {
	[PLACE_LINK_UNKNOWN] = "unknown",
	[PLACE_LINK_UP] = "up",
	[PLACE_LINK_OFF] = "off",
	[PLACE_LINK_DOWN] = "down",
};

static const char *const verdicts[PLACE_VERDICTS] = {
	[PLACE_CHOSEN] = "chosen",	 [PLACE_LOST_SIBLING] = "sibling",
	[PLACE_LOST_LINK] = "link-down", [PLACE_LOST_NODE] = "far-node",
	[PLACE_LOST_OWN] = "same-vm",	 [PLACE_LOST_FREE] = "free-vfs",
	[PLACE_LOST_SPEED] = "slower",	 [PLACE_LOST_ORDER] = "order",
	[PLACE_OUT_MISSING] = "missing", [PLACE_OUT_NODE] = "other-node",
	[PLACE_OUT_FREE] = "no-free-vf", [PLACE_OUT_WORD] = "anti-affinity",
};

const char *placement_policy_text(enum place_policy policy)
{
	return policies[policy];
}

int placement_policy_parse(const char *text, enum place_policy *out)
{
	for (unsigned int i = 0; i < PLACE_POLICIES; i++) {
		if (strcmp(policies[i], text) == 0) {
			*out = (enum place_policy)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *placement_link_text(enum place_link link)
{
	return links[link];
}

const char *placement_verdict_text(enum place_verdict verdict)
{
	return verdicts[verdict];
}

unsigned int placement_free(const struct place_pf *pf)
{
	unsigned int n = pf->vfs[VF_FREE];

	return n > pf->promised ? n - pf->promised : 0;
}

/* PLACE_CHOSEN: it may be taken. */
static enum place_verdict out_of(const struct place_want *want, const struct place_pf *pf)
{
	if (pf->missing != NULL)
		return PLACE_OUT_MISSING;
	if (want->is_strict && want->node >= 0 && pf->node != want->node)
		return PLACE_OUT_NODE;
	if (!pf->is_assured && placement_free(pf) == 0)
		return PLACE_OUT_FREE;
	if (pf->holder != NULL || pf->own_holder != NULL)
		return PLACE_OUT_WORD;
	return PLACE_CHOSEN;
}

/* On a host that does not tell nodes everything is near. */
static bool is_far(const struct place_want *want, const struct place_pf *pf)
{
	return want->node >= 0 && pf->node >= 0 && pf->node != want->node;
}

static int less_is_better(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* Below 0: a is better. *by is what decides, as the loser's verdict. */
static int compare(const struct place_want *want, const struct place_pf *a,
		   const struct place_pf *b, enum place_verdict *by)
{
	bool is_spread = want->policy == PLACE_SPREAD, is_order = want->policy == PLACE_ORDER;
	int by_free = less_is_better(placement_free(a), placement_free(b));
	const struct {
		enum place_verdict verdict;
		bool counts;
		int cmp;
	} keys[] = {
		{ PLACE_LOST_LINK, true,
		  less_is_better(a->link == PLACE_LINK_DOWN, b->link == PLACE_LINK_DOWN) },
		{ PLACE_LOST_NODE, !is_order, less_is_better(is_far(want, a), is_far(want, b)) },
		{ PLACE_LOST_OWN, is_spread, less_is_better(a->own, b->own) },
		{ PLACE_LOST_FREE, !is_order, is_spread ? -by_free : by_free },
		{ PLACE_LOST_SPEED, !is_order, less_is_better(b->speed_mbps, a->speed_mbps) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!keys[i].counts || keys[i].cmp == 0)
			continue;
		*by = keys[i].verdict;
		return keys[i].cmp;
	}
	*by = PLACE_LOST_ORDER;
	return a < b ? -1 : 1; /* of one array */
}

static unsigned int rank_of(const struct place_want *want, const struct place_pf *pfs, size_t count,
			    size_t at)
{
	enum place_verdict by;
	unsigned int rank = 1;

	for (size_t i = 0; i < count; i++)
		rank += i != at && out_of(want, &pfs[i]) == PLACE_CHOSEN &&
			compare(want, &pfs[i], &pfs[at], &by) < 0;
	return rank;
}

int placement_rank(const struct place_want *want, struct place_pf *pfs, size_t count)
{
	int winner = -1;

	for (size_t i = 0; i < count; i++) {
		pfs[i].verdict = out_of(want, &pfs[i]);
		pfs[i].rank = 0;
		if (pfs[i].verdict != PLACE_CHOSEN)
			continue;
		pfs[i].rank = rank_of(want, pfs, count, i);
		if (pfs[i].rank == 1)
			winner = (int)i;
	}
	for (size_t i = 0; i < count; i++)
		if (pfs[i].rank > 1)
			compare(want, &pfs[winner], &pfs[i], &pfs[i].verdict);
	return winner;
}

bool placement_is_best(const struct place_want *want, const struct place_pf *pf)
{
	return want->policy == PLACE_ORDER && out_of(want, pf) == PLACE_CHOSEN &&
	       pf->link != PLACE_LINK_DOWN;
}

void placement_override(const struct place_want *want, struct place_pf *pfs, size_t count,
			size_t at)
{
	for (size_t i = 0; i < count; i++) {
		if (pfs[i].rank == 0)
			continue;
		if (i == at)
			pfs[i].verdict = PLACE_CHOSEN;
		else if (pfs[i].rank < pfs[at].rank)
			pfs[i].verdict = PLACE_LOST_SIBLING;
		else
			compare(want, &pfs[at], &pfs[i], &pfs[i].verdict);
	}
}

static const char *common_word(const struct place_port *a, const struct place_port *b)
{
	if (a->words == NULL || b->words == NULL)
		return NULL;
	for (size_t i = 0; a->words[i] != NULL; i++)
		for (size_t k = 0; b->words[k] != NULL; k++)
			if (strcmp(a->words[i], b->words[k]) == 0)
				return a->words[i];
	return NULL;
}

void placement_kin(const struct place_port *ports, size_t count, size_t at)
{
	const struct place_port *port = &ports[at];

	for (size_t i = 0; i < port->count; i++) {
		struct place_pf *pf = &port->pfs[i];

		pf->own = pf->promised = 0;
		pf->own_holder = pf->own_word = NULL;
		for (size_t k = 0; k < count; k++) {
			const char *word;

			if (k == at || !ports[k].is_placed || ports[k].key != pf->key ||
			    pf->missing != NULL)
				continue;
			pf->own++;
			pf->promised += ports[k].is_drawn;
			word = common_word(port, &ports[k]);
			if (word == NULL)
				continue;
			pf->own_holder = ports[k].name;
			pf->own_word = word;
		}
	}
}

static struct place_pf *ranked(const struct place_port *port, unsigned int rank)
{
	for (size_t i = 0; i < port->count; i++)
		if (port->pfs[i].rank == rank)
			return &port->pfs[i];
	return NULL;
}

/* No deeper than there are ports. */
static bool solve_from(struct place_port *ports, size_t count, size_t at, unsigned int *steps)
{
	const struct place_pf *pf;

	while (at < count && ports[at].is_placed)
		at++;
	if (at == count)
		return true;
	placement_kin(ports, count, at);
	placement_rank(&ports[at].want, ports[at].pfs, ports[at].count);
	for (unsigned int rank = 1; (pf = ranked(&ports[at], rank)) != NULL && *steps > 0; rank++) {
		(*steps)--;
		ports[at].key = pf->key;
		ports[at].is_placed = ports[at].is_drawn = true;
		if (solve_from(ports, count, at + 1, steps))
			return true;
		ports[at].is_placed = ports[at].is_drawn = false;
	}
	return false;
}

bool placement_solve(struct place_port *ports, size_t count, unsigned int steps)
{
	return solve_from(ports, count, 0, &steps);
}

/* "no free VF (2 assigned, 1 quarantined)" */
static void free_why(const struct place_pf *pf, char buf[PLACE_WHY_TEXT])
{
	const char *sep = " (";
	size_t len = (size_t)snprintf(buf, PLACE_WHY_TEXT, "no free VF");

	for (unsigned int s = 0; s < VF_STATES && len < PLACE_WHY_TEXT; s++) {
		if (s == VF_FREE || pf->vfs[s] == 0)
			continue;
		len += (size_t)snprintf(buf + len, PLACE_WHY_TEXT - len, "%s%u %s", sep, pf->vfs[s],
					vf_state_text((enum vf_state)s));
		sep = ", ";
	}
	if (pf->vfs[VF_FREE] > 0 && len < PLACE_WHY_TEXT) {
		len += (size_t)snprintf(buf + len, PLACE_WHY_TEXT - len,
					"%s%u for other ports of the VM", sep, pf->vfs[VF_FREE]);
		sep = ", ";
	}
	if (len < PLACE_WHY_TEXT)
		snprintf(buf + len, PLACE_WHY_TEXT - len, "%s",
			 *sep == ',' ? ")" : ": it has none");
}

static void node_why(const struct place_pf *pf, int node, const char *what,
		     char buf[PLACE_WHY_TEXT])
{
	if (pf->node < 0)
		snprintf(buf, PLACE_WHY_TEXT, "on no node, %s %d", what, node);
	else
		snprintf(buf, PLACE_WHY_TEXT, "node %d, %s %d", pf->node, what, node);
}

static void out_why(const struct place_want *want, const struct place_pf *pf,
		    char buf[PLACE_WHY_TEXT])
{
	const char *holder = pf->holder != NULL ? pf->holder : pf->own_holder;
	const char *word = pf->holder != NULL ? pf->word : pf->own_word;

	if (pf->verdict == PLACE_OUT_MISSING)
		snprintf(buf, PLACE_WHY_TEXT, "%s", pf->missing);
	else if (pf->verdict == PLACE_OUT_NODE)
		node_why(pf, want->node, "asked for", buf);
	else if (pf->verdict == PLACE_OUT_FREE)
		free_why(pf, buf);
	else
		snprintf(buf, PLACE_WHY_TEXT, "has %s of anti-affinity word '%s'", holder, word);
}

static void lost_why(const struct place_want *want, const struct place_pf *pf,
		     const struct place_pf *winner, char buf[PLACE_WHY_TEXT])
{
	bool is_spread = want->policy == PLACE_SPREAD;

	switch (pf->verdict) {
	case PLACE_LOST_SIBLING:
		snprintf(buf, PLACE_WHY_TEXT, "left to another port of the VM, which has no other");
		return;
	case PLACE_LOST_LINK:
		snprintf(buf, PLACE_WHY_TEXT, "link down");
		return;
	case PLACE_LOST_NODE:
		node_why(pf, want->node, "the VM is on", buf);
		return;
	case PLACE_LOST_OWN:
		snprintf(buf, PLACE_WHY_TEXT, "%u other ports of the VM, more than %s (spread)",
			 pf->own, winner->name);
		return;
	case PLACE_LOST_FREE:
		snprintf(buf, PLACE_WHY_TEXT, "%u free, %s than %s (%s)", placement_free(pf),
			 is_spread ? "fewer" : "more", winner->name,
			 placement_policy_text(want->policy));
		return;
	case PLACE_LOST_SPEED:
		snprintf(buf, PLACE_WHY_TEXT, "slower than %s", winner->name);
		return;
	case PLACE_LOST_ORDER:
		snprintf(buf, PLACE_WHY_TEXT, "after %s in the list", winner->name);
		return;
	case PLACE_CHOSEN:
	case PLACE_OUT_MISSING:
	case PLACE_OUT_NODE:
	case PLACE_OUT_FREE:
	case PLACE_OUT_WORD:
	case PLACE_VERDICTS:
		break;
	}
	snprintf(buf, PLACE_WHY_TEXT, "chosen%s",
		 pf->link == PLACE_LINK_DOWN ? ", although its link is down" : "");
}

char *placement_why(const struct place_want *want, const struct place_pf *pfs, size_t count,
		    size_t at, char buf[PLACE_WHY_TEXT])
{
	const struct place_pf *winner = &pfs[at];

	for (size_t i = 0; i < count; i++)
		if (pfs[i].verdict == PLACE_CHOSEN)
			winner = &pfs[i];
	if (pfs[at].rank == 0)
		out_why(want, &pfs[at], buf);
	else
		lost_why(want, &pfs[at], winner, buf);
	return buf;
}
