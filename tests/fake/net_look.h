/* SPDX-License-Identifier: BSD-3-Clause */
/* What STATUS says of a board's port or disk, as assertions of cmocka's. */
#ifndef VIADUCT_TESTS_FAKE_NET_LOOK_H
#define VIADUCT_TESTS_FAKE_NET_LOOK_H

#include "tests/fake/kvm_kernel.h"
#include "tests/fake/net_board.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static inline void expect_word(struct net_board *b, const char *key, const char *want)
{
	auto_json json_t *s = net_board_status(b);
	const char *have = json_string_value(json_object_get(s, key));

	if (have == NULL || strstr(have, want) == NULL)
		fail_msg("%s is \"%s\", not \"%s\"", key, have != NULL ? have : "", want);
}

static inline int64_t number(struct net_board *b, const char *key)
{
	auto_json json_t *s = net_board_status(b);

	return json_integer_value(json_object_get(s, key));
}

/* Of a test whose state is its board. */
static inline int teardown(void **state)
{
	net_board_fini(*state);
	fake_kvm_reset();
	return 0;
}

#endif
