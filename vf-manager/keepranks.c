// SPDX-License-Identifier: BSD-3-Clause
/* The order in which VMs start and, backwards, stop. */
#include "vf-manager/vmkeep.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>

/* First by order, then by how long a chain of VMs it waits for. */
struct place {
	unsigned int order, depth;
};

/* Whom a node waits for, as indices. */
struct links {
	size_t to[KEEP_AFTER];
	unsigned int count;
};

static int name_cmp(const void *key, const void *node)
{
	return strcmp(key, ((const struct keep_node *)node)->name);
}

static void links_find(const struct keep_node *nodes, size_t count, size_t i, struct links *out)
{
	const struct vm_keep *keep = nodes[i].keep;

	for (unsigned int k = 0; k < keep->after_count; k++) {
		const struct keep_node *found =
			bsearch(keep->after[k], nodes, count, sizeof(*nodes), name_cmp);

		if (found != NULL)
			out->to[out->count++] = (size_t)(found - nodes);
	}
}

static bool is_before(struct place a, struct place b)
{
	return a.order < b.order || (a.order == b.order && a.depth < b.depth);
}

/* True if the node had to move behind one of those that it waits for. */
static bool node_settle(const struct links *links, struct place *places, size_t i)
{
	bool has_moved = false;

	for (unsigned int k = 0; k < links[i].count; k++) {
		const struct place other = places[links[i].to[k]];

		if (is_before(other, places[i]))
			continue;
		places[i] = (struct place){ .order = other.order, .depth = other.depth + 1 };
		has_moved = true;
	}
	return has_moved;
}

static int cycle(const char *name, struct err *e)
{
	err_set(e, ELOOP, "autostart.after: the VM %s waits, through others, for itself", name);
	err_code(e, "autostart-cycle");
	return err_hint(e, "viaduct vm show %s   says for whom it waits; take one of them out",
			name);
}

static int places_find(const struct keep_node *nodes, size_t count, const struct links *links,
		       struct place *places, struct err *e)
{
	bool has_moved = true;
	size_t last = 0;

	/* A chain has at most as many links as there are VMs. */
	for (size_t turn = 0; has_moved && turn <= count; turn++) {
		has_moved = false;
		for (size_t i = 0; i < count; i++)
			if (node_settle(links, places, i)) {
				has_moved = true;
				last = i;
			}
	}
	return has_moved ? cycle(nodes[last].name, e) : 0;
}

int keep_ranks(const struct keep_node *nodes, size_t count, unsigned int *ranks, struct err *e)
{
	auto_free struct place *places = calloc(count + 1, sizeof(*places));
	auto_free struct links *links = calloc(count + 1, sizeof(*links));
	int r;

	if (places == NULL || links == NULL)
		return err_set(e, ENOMEM, "no memory");
	for (size_t i = 0; i < count; i++) {
		links_find(nodes, count, i, &links[i]);
		places[i] = (struct place){ .order = nodes[i].keep->order };
	}
	r = places_find(nodes, count, links, places, e);
	for (size_t i = 0; r == 0 && i < count; i++) {
		ranks[i] = 0;
		for (size_t k = 0; k < count; k++)
			ranks[i] += is_before(places[k], places[i]);
	}
	return r;
}
