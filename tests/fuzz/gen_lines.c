// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whatever is said to a program of the benchmarks over its input, in pieces of any size, with lines cut and too long ones:
 * as many answers as there are lines with something in them, each one line that says "ok". Input: a byte of the pieces'
 * size, then what is said.
 */
#include "bench/common/lines.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SAID_MAX (4 * LINE_BYTES_MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool fact)
{
	if (!fact)
		abort();
}

static int on_say(void *ctx, const json_t *q, json_t *reply, struct err *e)
{
	return json_object_set_new(reply, "said", json_integer((json_int_t)json_object_size(q)));
}

/* What of it is not a line of nothing; one more where the last has no end. */
static size_t lines_of(const uint8_t *said, size_t len)
{
	size_t count = 0, begin = 0;

	for (size_t i = 0; i < len; i++) {
		if (said[i] != '\n')
			continue;
		count += i > begin;
		begin = i + 1;
	}
	return count + (begin < len);
}

static size_t answers_check(int out)
{
	static char text[SAID_MAX * 128];
	ssize_t len = pread(out, text, sizeof(text), 0);
	char *at = text, *end = text + len, *nl;
	size_t count = 0;

	need(len >= 0 && (size_t)len < sizeof(text));
	for (; at < end; at = nl + 1, count++) {
		json_t *reply;

		nl = memchr(at, '\n', (size_t)(end - at));
		need(nl != NULL);
		reply = json_loadb(at, (size_t)(nl - at), 0, NULL);
		need(json_is_boolean(json_object_get(reply, "ok")));
		json_decref(reply);
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct line_op ops[] = { { "say", on_say } };
	static struct lines l;
	size_t piece, count;
	int r = 0;

	if (size < 2 || size > SAID_MAX)
		return 0;
	piece = data[0] == 0 ? size : data[0];
	l = (struct lines){ .ops = ops, .op_count = ARRAY_SIZE(ops), .in = -1, .signals = -1 };
	l.out = memfd_create("answers", MFD_CLOEXEC);
	need(l.out >= 0);
	data++;
	size--;
	for (size_t at = 0; r == 0 && !l.quits && at < size; at += piece)
		r = lines_heard(&l, (const char *)data + at, size - at < piece ? size - at : piece);
	if (!l.quits)
		r = lines_ended(&l);
	need(r == 0);
	count = answers_check(l.out);
	need(l.quits ? count <= lines_of(data, size) : count == lines_of(data, size));
	close(l.out);
	return 0;
}
