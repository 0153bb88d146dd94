/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which PF a VF is taken of: a pure function of what is known of the PFs and of what is wanted. It says of
 * every candidate where it stands and why it lost. It looks at nothing, keeps nothing, and gives the same
 * answer to the same question.
 *
 * Whoever is out (`rank` 0) is never taken. Of the others the first difference decides: a link that is down
 * loses; under spread and pack then what is far from the wanted node; under spread what has more VFs of the
 * same VM and what has fewer free ones, under pack what has more free ones; then what is slower; and under
 * every policy, last, the place in the list.
 */
#ifndef VIADUCT_VF_MANAGER_PLACEMENT_H
#define VIADUCT_VF_MANAGER_PLACEMENT_H

#include "vf-manager/vfstate.h"

#include "base/util.h"

enum place_policy { PLACE_ORDER, PLACE_SPREAD, PLACE_PACK, PLACE_POLICIES };

/* Off: the host has switched the device off, and viaduct switches it on when a VF of it is used. */
enum place_link { PLACE_LINK_UNKNOWN, PLACE_LINK_UP, PLACE_LINK_OFF, PLACE_LINK_DOWN, PLACE_LINKS };

enum place_verdict {
	PLACE_CHOSEN,
	PLACE_LOST_SIBLING, /* would have won, but another port of the same VM has no other place */
	PLACE_LOST_LINK,
	PLACE_LOST_NODE,
	PLACE_LOST_OWN,
	PLACE_LOST_FREE,
	PLACE_LOST_SPEED,
	PLACE_LOST_ORDER,
	/* From here on: out. */
	PLACE_OUT_MISSING,
	PLACE_OUT_NODE,
	PLACE_OUT_FREE,
	PLACE_OUT_WORD,
	PLACE_VERDICTS
};

/* Texts are borrowed. */
struct place_pf {
	const char *name;
	uint64_t key; /* the same for the same PF, whoever lists it */
	int node; /* -1: not known */
	enum place_link link;
	uint32_t speed_mbps; /* 0: not known */
	unsigned int vfs[VF_STATES]; /* how many are in each state */
	const char *missing; /* why it is none of the host's PFs; NULL: it is one */
	bool is_assured; /* the VF that is wanted is named and can be had, however many are free */
	const char *holder,
		*word; /* "VM/PORT" there that has this anti-affinity word, too; NULL: none */
	/* Of the other ports of the same VM: how many are there, and have how many of the free ones. */
	unsigned int own, promised;
	const char *own_holder, *own_word; /* as above */
	/* The answer. */
	enum place_verdict verdict;
	unsigned int rank; /* 1 is the best; 0: out */
};

struct place_want {
	enum place_policy policy;
	int node; /* -1: any */
	bool is_strict; /* no other node */
};

/* Fills verdict and rank of each; the index of the one that is chosen, or -1. */
int placement_rank(const struct place_want *want, struct place_pf *pfs, size_t count);

/* Nothing that comes after it can beat it: whoever asks one by one need ask no further. */
bool placement_is_best(const struct place_want *want, const struct place_pf *pf);

/* Why it stands where it does, after placement_rank(): "node 1, asked for 0". Returns buf. */
#define PLACE_WHY_TEXT 256
char *placement_why(const struct place_want *want, const struct place_pf *pfs, size_t count,
		    size_t at, char buf[PLACE_WHY_TEXT]);

/* The ports of one VM together, so that a port does not take what only another one can use. */
struct place_port {
	const char *name; /* "VM/PORT" */
	struct place_want want;
	struct place_pf *pfs;
	size_t count;
	const char *const *words; /* anti-affinity; NULL ends them */
	bool is_placed; /* on the PF `key`: its VF is chosen, named by the file, or leased already */
	bool is_drawn; /* placed, and its VF still counts as free */
	uint64_t key;
};

/*
 * Finds a PF for each port that has none, in order, each as well as the ones before leave it, so that no two with
 * a common word share a PF. False if there is no such set, or none was found within `steps`; ports are then as they
 * were.
 */
bool placement_solve(struct place_port *ports, size_t count, unsigned int steps);

/* What the ports that are placed mean for the candidates of port `at`. placement_rank() comes after it. */
void placement_kin(const struct place_port *ports, size_t count, size_t at);

/* After placement_rank(): `at`, which has a rank, is taken rather than the one that won: for a sibling's sake. */
void placement_override(const struct place_want *want, struct place_pf *pfs, size_t count,
			size_t at);

unsigned int placement_free(const struct place_pf *pf); /* and nobody else's of the VM */

const char *placement_policy_text(enum place_policy policy);
int placement_policy_parse(const char *text, enum place_policy *out); /* -EINVAL */
const char *placement_link_text(enum place_link link); /* "up", "down", "off", "unknown" */
const char *placement_verdict_text(enum place_verdict verdict); /* a word for programs */

#endif
