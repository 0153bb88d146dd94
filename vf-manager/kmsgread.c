// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/kmsgread.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int kmsg_reader_open(struct kmsg_reader *k, const char *dev_dir, struct err *e)
{
	char path[PATH_MAX];

	k->used = 0;
	k->cut = 0;
	snprintf(path, sizeof(path), "%s/kmsg", dev_dir);
	k->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return k->fd < 0 ? err_set(e, errno, "open %s: %s", path, strerror(errno)) : 0;
}

void kmsg_reader_close(struct kmsg_reader *k)
{
	fd_close(&k->fd);
}

/* The first line of the buffer, taken out; false: none is whole. Lines that begin with a blank belong to the record
 * before (its dictionary). */
static bool line_take(struct kmsg_reader *k, struct kmsg_record *out)
{
	for (;;) {
		const char *end = memchr(k->buf, '\n', k->used);
		size_t len = end != NULL ? (size_t)(end - k->buf) : 0;
		bool is_more = k->used > 0 && k->buf[0] == ' ';
		bool is_record = end != NULL && !is_more &&
				 kmsg_record_parse(k->buf, len, out) == 0;

		if (end == NULL)
			return false;
		k->cut += !is_record && !is_more;
		k->used -= len + 1;
		memmove(k->buf, k->buf + len + 1, k->used);
		if (is_record)
			return true;
	}
}

int kmsg_reader_next(struct kmsg_reader *k, struct kmsg_record *out)
{
	ssize_t n;

	while (!line_take(k, out)) {
		if (k->used > sizeof(k->buf) - KMSG_RECORD) {
			k->used = 0;
			k->cut++;
		}
		n = read(k->fd, k->buf + k->used, KMSG_RECORD);
		/* EPIPE: what would have been next is overwritten; the number of the one after it says how much. */
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		k->used += (size_t)n;
	}
	return 0;
}

void cpu_budget_init(struct cpu_budget *b, uint64_t wall_ns, uint64_t cpu_ns)
{
	*b = (struct cpu_budget){ .left_ns = CPU_BUDGET_BURST_NS,
				  .wall_ns = wall_ns,
				  .cpu_ns = cpu_ns };
}

uint64_t cpu_budget_settle(struct cpu_budget *b, uint64_t wall_ns, uint64_t cpu_ns)
{
	uint64_t idle = wall_ns > b->wall_ns ? wall_ns - b->wall_ns : 0;

	b->left_ns +=
		(int64_t)u64_min(idle / 1000 * CPU_BUDGET_PERMILLE, (uint64_t)CPU_BUDGET_BURST_NS);
	if (b->left_ns > CPU_BUDGET_BURST_NS)
		b->left_ns = CPU_BUDGET_BURST_NS;
	b->left_ns -= (int64_t)(cpu_ns > b->cpu_ns ? cpu_ns - b->cpu_ns : 0);
	b->wall_ns = wall_ns;
	b->cpu_ns = cpu_ns;
	return b->left_ns >= 0 ? 0 : (uint64_t)-b->left_ns * 1000 / CPU_BUDGET_PERMILLE;
}
