// SPDX-License-Identifier: BSD-3-Clause
/* The matcher of Knuth, Morris and Pratt: no byte of the console is looked at twice. */
#include "vmm/ready_mark.h"

#include "base/util.h"

#include <stdio.h>

void ready_mark_init(struct ready_mark *mark, const char *text)
{
	uint8_t k = 0;

	*mark = (struct ready_mark){ 0 };
	snprintf(mark->text, sizeof(mark->text), "%s", text);
	mark->len = (uint8_t)strlen(mark->text);
	for (uint8_t i = 1; i < mark->len; i++) {
		while (k > 0 && mark->text[i] != mark->text[k])
			k = mark->shorter[k - 1];
		k += mark->text[i] == mark->text[k];
		mark->shorter[i] = k;
	}
}

void ready_mark_byte(struct ready_mark *mark, uint8_t byte)
{
	if (mark->len == 0 || mark->found_ns != 0)
		return;
	while (mark->matched > 0 && (uint8_t)mark->text[mark->matched] != byte)
		mark->matched = mark->shorter[mark->matched - 1];
	mark->matched += (uint8_t)mark->text[mark->matched] == byte;
	if (mark->matched == mark->len)
		mark->found_ns = now_ns();
}
