// SPDX-License-Identifier: BSD-3-Clause
/*
 * viaduct-reflect [EAL options] [-- [--bind PROGRAM]]: the other end of viaduct-gen's traffic, on the bare host and in a guest alike. It does
 * what standard input says, one JSON object a line (request.h), and answers each with one line on standard output:
 * {"ok":true, ...} or {"ok":false, "text":"..."}. One lcore hears the lines, one works; without options of DPDK for them
 * these are on the first and on the last CPU of the process, which may be one. SIGINT and SIGTERM end it in order, its devices as they were, but
 * at once while a port waits for its backend. --no-huge: for ports without DPDK's drivers. --bind: before a
 * PCI function becomes a port, PROGRAM is run with its address, which gives it to the driver that it needs, as in guests.
 */
#include "bench/common/lines.h"
#include "bench/reflect/bind.h"
#include "bench/reflect/facts.h"
#include "bench/reflect/loop.h"

#include "base/fd.h"
#include "base/parse.h"

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PORTS_MAX 8
#define ARGS_MAX  64

/* An allow-list that names nothing: devices come by rte_dev_probe() alone. */
#define NO_DEVICE "ffff:ff:1f.7"

struct reflector {
	const char *bind; /* NULL: functions are with the right driver */
	struct port ports[PORTS_MAX];
	struct loop loop;
	bool done;
};

static json_t *answer(int r, const struct err *e)
{
	auto_json json_t *error = NULL;

	if (r >= 0)
		return json_pack("{s:b}", "ok", 1);
	/* A text may end in the middle of a character, which is no JSON. */
	error = json_from_err(e);
	return json_pack("{s:b, s:O?}", "ok", 0, "text", json_object_get(error, "text"));
}

static struct port *port_find(struct reflector *x, const char *name)
{
	for (unsigned int i = 0; i < PORTS_MAX; i++)
		if (strcmp(x->ports[i].name, name) == 0)
			return &x->ports[i];
	return NULL;
}

static json_t *on_devices(struct reflector *x, const struct reflect_request *q, struct err *e)
{
	return facts_devices();
}

static json_t *on_port(struct reflector *x, const struct reflect_request *q, struct err *e)
{
	struct port *p = port_find(x, "");
	char mac[MAC_TEXT];
	int r;

	if (port_find(x, q->name) != NULL)
		return answer(err_set(e, EEXIST, "there is a port %s", q->name), e);
	if (p == NULL)
		return answer(err_set(e, ENOSPC, "%d ports at most", PORTS_MAX), e);
	if (q->kind == REFLECT_PCI && x->bind != NULL && bind_with(x->bind, q->device, e) < 0)
		return answer(-e->errnum, e);
	/* Its wait for a backend does not look for signals. */
	lines_signals_deadly(q->server);
	r = port_open(p, q, e);
	lines_signals_deadly(false);
	if (r < 0) {
		port_close(p);
		return answer(r, e);
	}
	return json_pack("{s:b, s:s, s:s, s:I, s:I}", "ok", 1, "mac", mac_text(p->mac, mac),
			 "driver", p->driver, "link_mbps", (json_int_t)p->link_mbps, "max_frame",
			 (json_int_t)p->max_frame);
}

static json_t *on_start(struct reflector *x, const struct reflect_request *q, struct err *e)
{
	struct loop *l = &x->loop;
	const struct port *from = port_find(x, q->from);
	const struct port *to = q->to[0] == '\0' ? from : port_find(x, q->to);

	if (from == NULL || to == NULL)
		return answer(err_set(e, ENOENT, "there is no port %s",
				      from == NULL ? q->from : q->to),
			      e);
	if (l->running)
		return answer(err_set(e, EBUSY, "it runs"), e);
	l->from = from;
	l->to = to;
	l->mode = q->mode;
	l->interrupt = q->interrupt;
	l->has_dst_mac = q->has_dst_mac;
	memcpy(l->dst_mac, q->dst_mac, sizeof(l->dst_mac));
	return answer(loop_start(l, e), e);
}

static json_t *number(bool known, uint64_t n)
{
	return known ? json_integer((json_int_t)n) : json_null();
}

/* A socket is told; DPDK says nothing of a device that it does not drive. */
static int trouble(const struct loop *l)
{
	if (l->from != NULL && l->from->kind == REFLECT_AF_XDP)
		return netdev_trouble(l->from);
	return atomic_load_explicit(&l->trouble, memory_order_relaxed);
}

static json_t *on_stats(struct reflector *x, const struct reflect_request *q, struct err *e)
{
	const struct loop *l = &x->loop;
	const struct {
		const char *key;
		const _Atomic uint64_t *count;
	} rows[] = {
		{ "received", &l->counts.received }, { "sent", &l->counts.sent },
		{ "dropped", &l->counts.dropped },   { "ignored", &l->counts.ignored },
		{ "polls", &l->counts.polls },	     { "bursts", &l->counts.bursts },
		{ "cycles", &l->counts.cycles },     { "sleeps", &l->counts.sleeps },
	};
	int errnum = trouble(l);
	json_t *o = json_pack("{s:b, s:b, s:s?}", "ok", 1, "running", l->running, "trouble",
			      errnum == 0 ? NULL : strerror(errnum));
	uint64_t n = 0;
	bool known;

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++)
		json_object_set_new(o, rows[i].key,
				    json_integer((json_int_t)atomic_load_explicit(
					    rows[i].count, memory_order_relaxed)));
	known = loop_instructions(l, &n);
	json_object_set_new(o, "instructions", number(known, n));
	known = l->from != NULL && l->from->kind == REFLECT_AF_PACKET &&
		facts_interrupts(l->from->device, &n);
	json_object_set_new(o, "interrupts", number(known, n));
	json_object_set_new(o, "tsc", json_integer((json_int_t)rte_rdtsc()));
	json_object_set_new(o, "hz", json_integer((json_int_t)rte_get_tsc_hz()));
	return o;
}

static json_t *on_looks(struct reflector *x, const struct reflect_request *q, struct err *e)
{
	const struct loop *l = &x->loop;
	uint64_t end = atomic_load_explicit(&l->counts.bursts, memory_order_relaxed);
	json_t *list = json_array();

	for (uint64_t i = end < LOOP_LOOKS ? 0 : end - LOOP_LOOKS; i < end; i++) {
		const struct loop_look *look = &l->looks[i % LOOP_LOOKS];

		json_array_append_new(
			list, json_pack("[I, I]",
					(json_int_t)atomic_load_explicit(&look->frames,
									 memory_order_relaxed),
					(json_int_t)atomic_load_explicit(&look->cycles,
									 memory_order_relaxed)));
	}
	return json_pack("{s:b, s:o}", "ok", 1, "looks", list);
}

static json_t *on_stop(struct reflector *x, const struct reflect_request *q, struct err *e)
{
	loop_stop(&x->loop);
	return on_stats(x, q, e);
}

static json_t *on_close(struct reflector *x, const struct reflect_request *q, struct err *e)
{
	struct port *p = port_find(x, q->name);

	if (p == NULL)
		return answer(err_set(e, ENOENT, "there is no port %s", q->name), e);
	if (x->loop.running && (x->loop.from == p || x->loop.to == p))
		return answer(err_set(e, EBUSY, "it runs on %s", q->name), e);
	x->loop.from = x->loop.to = NULL;
	port_close(p);
	return answer(0, e);
}

static json_t *on_quit(struct reflector *x, const struct reflect_request *q, struct err *e)
{
	x->done = true;
	return answer(0, e);
}

static json_t *request(struct reflector *x, const char *line, size_t len)
{
	static json_t *(*const ops[REFLECT_OPS])(struct reflector *, const struct reflect_request *,
						 struct err *) = {
		[REFLECT_DEVICES] = on_devices, [REFLECT_PORT] = on_port,
		[REFLECT_START] = on_start,	[REFLECT_STATS] = on_stats,
		[REFLECT_LOOKS] = on_looks,	[REFLECT_STOP] = on_stop,
		[REFLECT_CLOSE] = on_close,	[REFLECT_QUIT] = on_quit,
	};
	struct reflect_request q;
	struct err e = { 0 };
	int r = reflect_request_parse(line, len, &q, &e);

	return r < 0 ? answer(r, &e) : ops[q.op](x, &q, &e);
}

struct input {
	int signals; /* SIGINT and SIGTERM, which end it as the end of the input does */
	size_t at, len;
	unsigned char bytes[4096];
};

static int input_init(struct input *in)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	in->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return in->signals < 0 ? -errno : 0;
}

enum { INPUT_END = -1, INPUT_SIGNAL = -2 };

static int input_byte(struct input *in)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				{ .fd = in->signals, .events = POLLIN } };
	ssize_t n;

	if (in->at < in->len)
		return in->bytes[in->at++];
	while (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		if (errno != EINTR)
			return INPUT_END;
	if (fds[1].revents != 0)
		return INPUT_SIGNAL;
	n = read(STDIN_FILENO, in->bytes, sizeof(in->bytes));
	if (n <= 0)
		return INPUT_END;
	in->len = (size_t)n;
	in->at = 1;
	return in->bytes[0];
}

static void reply_to(struct reflector *x, const char *line, size_t len, FILE *out)
{
	json_t *reply = request(x, line, len);

	json_dumpf(reply, out, JSON_COMPACT);
	fputc('\n', out);
	fflush(out);
	json_decref(reply);
}

/* A line that does not fit is read to its end and refused as one. The last one needs no end. */
static void serve(struct reflector *x, struct input *in, FILE *out)
{
	static char line[REFLECT_LINE_MAX + 2];
	size_t len = 0;
	int c;

	do {
		c = input_byte(in);
		if (c >= 0 && c != '\n') {
			len += len <= REFLECT_LINE_MAX;
			line[len - 1] = (char)c;
			continue;
		}
		if (len > 0 && c != INPUT_SIGNAL)
			reply_to(x, line, len, out);
		len = 0;
	} while (!x->done && c >= 0);
}

static bool args_have(int argc, char **argv, const char *word)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], word, strlen(word)) == 0)
			return true;
	return false;
}

/* The options that are always right, those that the caller has not given, and the caller's. */
static int start_dpdk(int argc, char **argv)
{
	static char lcores[64];
	bool has_lcores = args_have(argc, argv, "-l") || args_have(argc, argv, "--lcores") ||
			  args_have(argc, argv, "-c");
	char *args[ARGS_MAX] = { argv[0], "--no-telemetry", "-a", NO_DEVICE };
	int n = 4, first = 0, last = CPU_SETSIZE - 1;
	cpu_set_t cpus;

	if (argc > ARGS_MAX - 8 || sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return -EINVAL;
	while (first < last && !CPU_ISSET(first, &cpus))
		first++;
	while (last > first && !CPU_ISSET(last, &cpus))
		last--;
	args[n++] = args_have(argc, argv, "--no-huge") ? "--no-shconf" : "--in-memory";
	if (!has_lcores) {
		snprintf(lcores, sizeof(lcores), "--lcores=0@%d,1@%d", first, last);
		args[n++] = lcores;
	}
	for (int i = 1; i < argc; i++)
		args[n++] = argv[i];
	if (rte_eal_init(n, args) < 0)
		return -rte_errno;
	return 0;
}

/* What is not DPDK's. */
static int own_args(struct reflector *x, int argc, char **argv)
{
	int n = 1;

	while (n < argc && strcmp(argv[n], "--") != 0)
		n++;
	if (n + 1 >= argc)
		return 0;
	if (n + 3 != argc || strcmp(argv[n + 1], "--bind") != 0)
		return -EINVAL;
	x->bind = argv[n + 2];
	return 0;
}

int main(int argc, char **argv)
{
	static struct reflector x;
	static struct input in;
	int fd = dup(STDOUT_FILENO), r;
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	/* A vhost-user backend that has gone is no reason to end. */
	signal(SIGPIPE, SIG_IGN);
	/* Answers alone go to standard output, whatever a driver prints. */
	if (out == NULL || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return 1;
	if (own_args(&x, argc, argv) < 0) {
		fprintf(stderr, "usage: viaduct-reflect [DPDK OPTION...] [-- [--bind PROGRAM]]\n");
		return 2;
	}
	/* Before there are threads. */
	lines_signals_deadly(false);
	if (input_init(&in) < 0)
		return 1;
	r = start_dpdk(argc, argv);
	if (r < 0) {
		fprintf(stderr, "viaduct-reflect: DPDK does not start: %s\n", strerror(-r));
		return 1;
	}
	atomic_store(&x.loop.perf, -1);
	x.loop.lcore = rte_get_next_lcore(-1, 1, 0);
	if (x.loop.lcore >= RTE_MAX_LCORE) {
		fprintf(stderr, "viaduct-reflect: a second lcore is missing: --lcores=0@0,1@1\n");
		return 1;
	}
	serve(&x, &in, out);
	loop_stop(&x.loop);
	for (unsigned int i = 0; i < PORTS_MAX; i++)
		if (x.ports[i].name[0] != '\0')
			port_close(&x.ports[i]);
	rte_eal_cleanup();
	return 0;
}
