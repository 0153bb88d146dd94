/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the benchmark's programs are spoken to: one JSON object a line on standard input, {"op":"...", ...}, and one line of
 * answer on standard output for each, {"ok":true, ...} or {"ok":false,"text":"..."}. A line is hostile: bounded in length,
 * and refused whole with one clear error. {"op":"quit"} and the end of the input end it, and so does SIGINT or SIGTERM
 * while nothing is done, or while nobody reads an answer.
 */
#ifndef VIADUCT_BENCH_COMMON_LINES_H
#define VIADUCT_BENCH_COMMON_LINES_H

#include "base/json.h"

#define LINE_BYTES_MAX 16384

/* Fills `reply`, which has "ok" already, or the error. The request's members are the function's to check. */
struct line_op {
	const char *op;
	int (*fn)(void *ctx, const json_t *q, json_t *reply, struct err *e);
};

struct lines {
	const struct line_op *ops;
	size_t op_count;
	void *ctx;
	int in, out, signals;
	bool quits;
	bool cut; /* the line is too long: thrown away up to its end */
	size_t len;
	char buf[LINE_BYTES_MAX];
};

/*
 * Before any thread starts: the signals are blocked in all. Standard output is the answers' alone from now on; what
 * libraries print there goes to standard error. 0 or negative errno.
 */
int lines_init(struct lines *l, const struct line_op *ops, size_t op_count, void *ctx);
void lines_fini(struct lines *l);

/* Until the end. 0, or negative errno if the other side cannot be read or written (-EINTR: it did not read, and a signal came). */
int lines_serve(struct lines *l);

/* Of lines_serve(): a piece of what is said, of any size, and the end of it, where the last line may have none. */
int lines_heard(struct lines *l, const char *text, size_t len);
int lines_ended(struct lines *l);

/* Has there been a SIGINT or SIGTERM since the last call, or is there nobody left who hears the answer? Costs two system calls. */
bool lines_interrupted(struct lines *l);

/* While `deadly`, the signals end the process at once: for calls that may wait for ever, in a library that does not look. */
void lines_signals_deadly(bool deadly);

/* The answer to one line, a new reference; NULL without memory. */
json_t *lines_answer(struct lines *l, const char *text, size_t len);

#endif
