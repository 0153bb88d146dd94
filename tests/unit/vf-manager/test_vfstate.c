// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vfstate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_state_has_a_name(void **state)
{
	for (unsigned int i = 0; i < VF_STATES; i++) {
		enum vf_state back;

		assert_int_equal(vf_state_parse(vf_state_text((enum vf_state)i), &back), 0);
		assert_int_equal(back, i);
	}
	assert_int_equal(vf_state_parse("", &(enum vf_state){ 0 }), -EINVAL);
	assert_string_equal(vf_state_text(VF_STATES), "unknown");
}

/* The picture of the design, written down a second time. */
static void only_these_arcs_are_legal(void **state)
{
	static const struct {
		enum vf_state from, to;
	} arcs[] = {
		{ VF_FREE, VF_LEASED },		  { VF_FREE, VF_FOREIGN },
		{ VF_FOREIGN, VF_FREE },	  { VF_LEASED, VF_BOUND },
		{ VF_LEASED, VF_SCRUBBING },	  { VF_BOUND, VF_ASSIGNED },
		{ VF_BOUND, VF_SCRUBBING },	  { VF_ASSIGNED, VF_SCRUBBING },
		{ VF_SCRUBBING, VF_FREE },	  { VF_SCRUBBING, VF_LEASED },
		{ VF_SCRUBBING, VF_QUARANTINED }, { VF_QUARANTINED, VF_SCRUBBING },
	};

	for (unsigned int from = 0; from < VF_STATES; from++) {
		for (unsigned int to = 0; to < VF_STATES; to++) {
			struct err e = { 0 };
			bool legal = false;

			for (size_t i = 0; i < ARRAY_SIZE(arcs); i++)
				legal |= arcs[i].from == from && arcs[i].to == to;
			assert_int_equal(vf_state_check((enum vf_state)from, (enum vf_state)to, &e),
					 legal ? 0 : -EBUSY);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_has_a_name),
		cmocka_unit_test(only_these_arcs_are_legal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
