// SPDX-License-Identifier: BSD-3-Clause
/*
 * Fuzz target: the lines of a viaduct-reflect (bench/reflect/request.h). A good one holds what it promises: what goes into
 * DPDK's device arguments has no comma, a path begins with a slash.
 */
#include "base/parse.h"
#include "bench/reflect/request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reflect_request q;
	struct err e = { 0 };
	int r = reflect_request_parse((const char *)data, size, &q, &e);

	if (r < 0) {
		if (e.text[0] == '\0' || r != -e.errnum)
			abort();
		return 0;
	}
	if (q.op >= REFLECT_OPS || q.kind >= REFLECT_KINDS || q.mode >= REFLECT_MODES ||
	    q.mtu > REFLECT_MAX_MTU || q.ring > REFLECT_MAX_RING ||
	    strpbrk(q.device, ",= \n") != NULL)
		abort();
	if ((q.op == REFLECT_PORT || q.op == REFLECT_CLOSE) && parse_name(q.name) < 0)
		abort();
	if (q.op == REFLECT_PORT && (q.kind == REFLECT_VHOST_USER) != (q.device[0] == '/'))
		abort();
	if (q.op == REFLECT_START &&
	    (parse_name(q.from) < 0 || (q.mode == REFLECT_FORWARD) != (q.to[0] != '\0')))
		abort();
	return 0;
}
