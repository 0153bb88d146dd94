// SPDX-License-Identifier: BSD-3-Clause
/* The choice of a PF, as a table and as properties of random hosts. */
#include "vf-manager/placement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PFS_MAX 6

#define UP   PLACE_LINK_UP
#define DOWN PLACE_LINK_DOWN
#define OFF  PLACE_LINK_OFF

/* "why" of each, in order; NULL ends them. */
static const struct row {
	const char *about;
	struct place_want want;
	struct place_pf pfs[PFS_MAX];
	const char *why[PFS_MAX];
} rows[] = {
	{ "the first of the list",
	  { PLACE_ORDER, -1, false },
	  { { .name = "pf0", .vfs = { 1 }, .link = UP },
	    { .name = "pf1", .vfs = { 7 }, .link = UP } },
	  { "chosen", "after pf0 in the list" } },
	{ "a link that is down loses",
	  { PLACE_ORDER, -1, false },
	  { { .name = "pf0", .vfs = { 7 }, .link = DOWN },
	    { .name = "pf1", .vfs = { 1 }, .link = UP } },
	  { "link down", "chosen" } },
	{ "one that the host has switched off does not: it is switched on",
	  { PLACE_ORDER, -1, false },
	  { { .name = "pf0", .vfs = { 7 }, .link = OFF },
	    { .name = "pf1", .vfs = { 1 }, .link = UP } },
	  { "chosen", "after pf0 in the list" } },
	{ "down is better than nothing",
	  { PLACE_ORDER, -1, false },
	  { { .name = "pf0", .vfs = { 1 }, .link = DOWN },
	    { .name = "pf1", .vfs = { [VF_ASSIGNED] = 2, [VF_QUARANTINED] = 1 }, .link = UP } },
	  { "chosen, although its link is down", "no free VF (2 assigned, 1 quarantined)" } },
	{ "in order a far node is no reason",
	  { PLACE_ORDER, 1, false },
	  { { .name = "pf0", .vfs = { 1 }, .node = 0 },
	    { .name = "pf1", .vfs = { 1 }, .node = 1 } },
	  { "chosen", "after pf0 in the list" } },
	{ "unless it is asked for",
	  { PLACE_ORDER, 1, true },
	  { { .name = "pf0", .vfs = { 1 }, .node = 0 },
	    { .name = "pf1", .vfs = { 1 }, .node = 1 },
	    { .name = "pf2", .vfs = { 1 }, .node = -1 } },
	  { "node 0, asked for 1", "chosen", "on no node, asked for 1" } },
	{ "spread: the most free",
	  { PLACE_SPREAD, -1, false },
	  { { .name = "pf0", .vfs = { 3, 4 } },
	    { .name = "pf1", .vfs = { 5 } },
	    { .name = "pf2", .vfs = { 5 } } },
	  { "3 free, fewer than pf1 (spread)", "chosen", "after pf1 in the list" } },
	{ "spread: near before free",
	  { PLACE_SPREAD, 1, false },
	  { { .name = "pf0", .vfs = { 7 }, .node = 0 },
	    { .name = "pf1", .vfs = { 1 }, .node = 1 } },
	  { "node 0, the VM is on 1", "chosen" } },
	{ "spread: up before near",
	  { PLACE_SPREAD, 1, false },
	  { { .name = "pf0", .vfs = { 7 }, .node = 0, .link = UP },
	    { .name = "pf1", .vfs = { 1 }, .node = 1, .link = DOWN } },
	  { "chosen", "link down" } },
	{ "spread: away from the VM's own",
	  { PLACE_SPREAD, -1, false },
	  { { .name = "pf0", .vfs = { 7 }, .own = 2 }, { .name = "pf1", .vfs = { 3 }, .own = 1 } },
	  { "2 other ports of the VM, more than pf1 (spread)", "chosen" } },
	{ "pack: the fewest free that are any",
	  { PLACE_PACK, -1, false },
	  { { .name = "pf0", .vfs = { 7 }, .own = 0 },
	    { .name = "pf1", .vfs = { 2 }, .own = 9 },
	    { .name = "pf2", .vfs = { 0 } } },
	  { "7 free, more than pf1 (pack)", "chosen", "no free VF: it has none" } },
	{ "alike: the faster",
	  { PLACE_PACK, -1, false },
	  { { .name = "pf0", .vfs = { 2 }, .speed_mbps = 1000 },
	    { .name = "pf1", .vfs = { 2 }, .speed_mbps = 10000 } },
	  { "slower than pf1", "chosen" } },
	{ "speed is nothing in order",
	  { PLACE_ORDER, -1, false },
	  { { .name = "pf0", .vfs = { 2 }, .speed_mbps = 1000 },
	    { .name = "pf1", .vfs = { 2 }, .speed_mbps = 10000 } },
	  { "chosen", "after pf0 in the list" } },
	{ "words, and what is not there",
	  { PLACE_SPREAD, -1, false },
	  { { .name = "pf0", .vfs = { 7 }, .holder = "fw2/lan", .word = "edge" },
	    { .name = "pf1", .missing = "there is no such PF" },
	    { .name = "pf2", .vfs = { 2 }, .promised = 2 },
	    { .name = "pf3", .vfs = { 1 } } },
	  { "has fw2/lan of anti-affinity word 'edge'", "there is no such PF",
	    "no free VF (2 for other ports of the VM)", "chosen" } },
	{ "a VF that is named needs no other free one",
	  { PLACE_ORDER, -1, false },
	  { { .name = "pf0", .vfs = { 0, 1 }, .is_assured = true } },
	  { "chosen" } },
};

static void each_row_of_the_table(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct place_pf pfs[PFS_MAX];
		char why[PLACE_WHY_TEXT];
		size_t count = 0;
		int winner;

		memcpy(pfs, rows[i].pfs, sizeof(pfs));
		while (count < PFS_MAX && rows[i].why[count] != NULL)
			count++;
		winner = placement_rank(&rows[i].want, pfs, count);
		for (size_t k = 0; k < count; k++) {
			placement_why(&rows[i].want, pfs, count, k, why);
			if (strcmp(why, rows[i].why[k]) != 0)
				fail_msg("%s: %s: '%s', not '%s'", rows[i].about, pfs[k].name, why,
					 rows[i].why[k]);
			assert_true((pfs[k].verdict == PLACE_CHOSEN) == ((int)k == winner));
		}
	}
}

static unsigned int pick(unsigned int n)
{
	return (unsigned int)(random() % n);
}

static void host_random(struct place_want *want, struct place_pf pfs[PFS_MAX], size_t *count)
{
	static const char *const names[PFS_MAX] = { "pf0", "pf1", "pf2", "pf3", "pf4", "pf5" };

	*want = (struct place_want){ pick(PLACE_POLICIES), (int)pick(4) - 1, pick(3) == 0 };
	*count = pick(PFS_MAX + 1);
	for (size_t i = 0; i < *count; i++) {
		pfs[i] = (struct place_pf){ .name = names[i],
					    .key = i,
					    .node = (int)pick(3) - 1,
					    .link = pick(PLACE_LINKS),
					    .speed_mbps = pick(3) * 1000,
					    .vfs = { pick(4), pick(2) },
					    .own = pick(2),
					    .promised = pick(2),
					    .missing = pick(8) == 0 ? "gone" : NULL,
					    .is_assured = pick(8) == 0 };
		if (pick(6) == 0) {
			pfs[i].holder = "a/b";
			pfs[i].word = "w";
		}
	}
}

static bool may_be_taken(const struct place_want *want, const struct place_pf *pf)
{
	return pf->missing == NULL && pf->holder == NULL &&
	       (pf->is_assured || pf->vfs[VF_FREE] > pf->promised) &&
	       (!want->is_strict || want->node < 0 || want->node == pf->node);
}

/* What cannot be taken never is; somebody wins if anybody can; every other has a reason; ranks are 1 to n; no link that is
 * down wins over one that is not; the same question has the same answer; and who asks one by one gets it, too. */
static void whatever_the_host_is(void **state)
{
	srandom(1);
	for (unsigned int n = 0; n < 20000; n++) {
		struct place_pf pfs[PFS_MAX], again[PFS_MAX];
		unsigned int ranks = 0, able = 0;
		struct place_want want;
		char why[PLACE_WHY_TEXT];
		size_t count, first = 0;
		int winner;

		host_random(&want, pfs, &count);
		memcpy(again, pfs, sizeof(again));
		winner = placement_rank(&want, pfs, count);
		for (size_t i = 0; i < count; i++) {
			bool may = may_be_taken(&want, &pfs[i]);

			able += may;
			assert_true((pfs[i].rank > 0) == may);
			assert_true((pfs[i].verdict >= PLACE_OUT_MISSING) == !may);
			ranks |= pfs[i].rank > 0 ? 1U << (pfs[i].rank - 1) : 0;
			assert_true(placement_why(&want, pfs, count, i, why)[0] != '\0');
			assert_true((strncmp(why, "chosen", 6) == 0) == ((int)i == winner));
			if (may && pfs[i].link != DOWN)
				assert_true(pfs[winner].link != DOWN);
		}
		assert_int_equal(ranks, (1U << able) - 1);
		assert_true((winner >= 0) == (able > 0));
		assert_int_equal(placement_rank(&want, again, count), winner);
		while (first < count && !placement_is_best(&want, &again[first]))
			first++;
		if (first < count)
			assert_int_equal(placement_rank(&want, again, first + 1), winner);
	}
}

static const char *const edge[] = { "edge", NULL };
static const char *const both[] = { "core", "edge", NULL };

static void ports_leave_each_other_room(void **state)
{
	struct place_pf a[] = { { .name = "pf0", .key = 0, .vfs = { 4 } },
				{ .name = "pf1", .key = 1, .vfs = { 4 } } };
	struct place_pf b[] = { { .name = "pf0", .key = 0, .vfs = { 4 } } };
	struct place_port ports[] = {
		{ .name = "vm/a", .pfs = a, .count = 2, .words = edge, .want = { .node = -1 } },
		{ .name = "vm/b", .pfs = b, .count = 1, .words = both, .want = { .node = -1 } },
	};
	char why[PLACE_WHY_TEXT];

	assert_true(placement_solve(ports, 2, 100));
	assert_int_equal(ports[0].key, 1);
	assert_int_equal(ports[1].key, 0);
	ports[1].is_placed = false;
	placement_kin(ports, 2, 0);
	assert_int_equal(placement_rank(&ports[0].want, a, 2), 0);
	placement_override(&ports[0].want, a, 2, 1);
	assert_string_equal(placement_why(&ports[0].want, a, 2, 0, why),
			    "left to another port of the VM, which has no other");
	assert_string_equal(placement_why(&ports[0].want, a, 2, 1, why), "chosen");
	/* The last free VF is left, too. */
	ports[0].words = NULL;
	ports[0].is_placed = false;
	a[0].vfs[VF_FREE] = b[0].vfs[VF_FREE] = 1;
	assert_true(placement_solve(ports, 2, 100));
	assert_true(ports[0].key == 1 && ports[1].key == 0);
	/* And where there is none, nothing is said to be placed. */
	a[1].vfs[VF_FREE] = 0;
	ports[0].is_placed = ports[1].is_placed = false;
	assert_false(placement_solve(ports, 2, 100));
	assert_false(ports[0].is_placed || ports[1].is_placed);
}

static void what_is_placed_counts(void **state)
{
	struct place_pf a[] = { { .name = "pf0", .key = 7, .vfs = { 1 } },
				{ .name = "pf1", .key = 8, .vfs = { 1 } } };
	struct place_port ports[] = {
		{ .name = "vm/a", .pfs = a, .count = 2, .words = edge, .want = { .node = -1 } },
		{ .name = "vm/b", .is_placed = true, .is_drawn = true, .key = 7 },
		{ .name = "vm/c", .is_placed = true, .key = 8, .words = both },
	};
	char why[PLACE_WHY_TEXT];

	placement_kin(ports, 3, 0);
	assert_int_equal(placement_rank(&ports[0].want, a, 2), -1);
	assert_string_equal(placement_why(&ports[0].want, a, 2, 0, why),
			    "no free VF (1 for other ports of the VM)");
	assert_string_equal(placement_why(&ports[0].want, a, 2, 1, why),
			    "has vm/c of anti-affinity word 'edge'");
}

/* Sixteen ports that all want to be alone: sixteen PFs are enough, fifteen are not, and either is said soon. */
static void many_ports_end(void **state)
{
	static struct place_pf pfs[16][16];
	struct place_port ports[16];

	for (size_t count = 16; count >= 15; count--) {
		memset(ports, 0, sizeof(ports));
		memset(pfs, 0, sizeof(pfs));
		for (size_t i = 0; i < 16; i++) {
			for (size_t k = 0; k < count; k++)
				pfs[i][k] =
					(struct place_pf){ .name = "x", .key = k, .vfs = { 1 } };
			ports[i] = (struct place_port){ .name = "y",
							.pfs = pfs[i],
							.count = count,
							.words = edge,
							.want = { PLACE_SPREAD, -1, false } };
		}
		assert_true(placement_solve(ports, 16, 5000) == (count == 16));
	}
}

static void words_are_read_back(void **state)
{
	enum place_policy policy;

	for (unsigned int i = 0; i < PLACE_POLICIES; i++) {
		assert_int_equal(placement_policy_parse(placement_policy_text(i), &policy), 0);
		assert_int_equal(policy, i);
	}
	assert_int_equal(placement_policy_parse("random", &policy), -EINVAL);
	for (unsigned int i = 0; i < PLACE_LINKS; i++)
		assert_true(placement_link_text(i)[0] != '\0');
	for (unsigned int i = 0; i < PLACE_VERDICTS; i++)
		assert_true(placement_verdict_text(i)[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_of_the_table),
		cmocka_unit_test(whatever_the_host_is),
		cmocka_unit_test(ports_leave_each_other_room),
		cmocka_unit_test(what_is_placed_counts),
		cmocka_unit_test(many_ports_end),
		cmocka_unit_test(words_are_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
