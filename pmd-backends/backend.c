// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/backend.h"

#include "pmd-backends/eal.h"
#include "pmd-backends/guest_memory.h"
#include "pmd-backends/status.h"
#include "pmd-backends/vhost_thread.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TICK_NS	  100000000LL /* links are looked at; fail-over within a second is promised */
#define SAMPLE_NS 1000000000ULL

/* Of the last second: an lcore above the first moves a network to one below the second. */
#define SHARE_HIGH 0.9
#define SHARE_LOW  0.5

static struct uplink *uplink_find(const struct backend *b, const char *name)
{
	for (unsigned int i = 0; i < b->uplink_count; i++)
		if (strcmp(uplink_name(b->uplinks[i]), name) == 0)
			return b->uplinks[i];
	return NULL;
}

static struct network *network_find(const struct backend *b, const char *name)
{
	for (unsigned int i = 0; i < b->network_count; i++)
		if (strcmp(b->networks[i]->name, name) == 0)
			return b->networks[i];
	return NULL;
}

static struct port *port_find(const struct backend *b, const char *name)
{
	for (unsigned int i = 0; i < b->port_count; i++)
		if (strcmp(b->ports[i]->name, name) == 0)
			return b->ports[i];
	return NULL;
}

static const struct network *uplink_user(const struct backend *b, const struct uplink *u)
{
	for (unsigned int i = 0; i < b->network_count; i++)
		for (unsigned int k = 0; k < b->networks[i]->uplink_count; k++)
			if (b->networks[i]->uplinks[k].uplink == u)
				return b->networks[i];
	return NULL;
}

static int full(const char *what, unsigned int max, struct err *e)
{
	err_set(e, ENOSPC, "%u %s are there, which is the most", max, what);
	return err_code(e, "backend-full");
}

static int no_uplink(const char *name, struct err *e)
{
	err_set(e, ENOENT, "there is no uplink %s", name);
	return err_code(e, "no-such-uplink");
}

static int no_network(const char *name, struct err *e)
{
	err_set(e, ENOENT, "there is no network %s", name);
	return err_code(e, "no-such-network");
}

static int no_port(const char *name, struct err *e)
{
	err_set(e, ENOENT, "there is no port %s", name);
	return err_code(e, "no-such-port");
}

static int uplink_in_use(const struct uplink *u, const struct network *user, struct err *e)
{
	err_set(e, EBUSY, "uplink %s is in use by network %s", uplink_name(u), user->name);
	return err_code(e, "uplink-in-use");
}

static int op_status(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	*result = status_json(b);
	return 0;
}

static int op_stats(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	struct port *port = q->name[0] == '\0' ? NULL : port_find(b, q->name);

	if (q->name[0] != '\0' && port == NULL)
		return no_port(q->name, e);
	*result = stats_json(b, port);
	return 0;
}

static int op_fdb(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	struct network *n = network_find(b, q->network);

	if (n == NULL)
		return no_network(q->network, e);
	*result = fdb_json(n);
	return 0;
}

static int op_uplink_add(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	struct uplink_config cfg = { .name = q->name,
				     .wish = &q->uplink,
				     .pool = b->pool,
				     .interrupts = b->launch->idle == PMD_IDLE_INTERRUPT };
	struct uplink *u = NULL;
	int r;

	if (uplink_find(b, q->name) != NULL) {
		err_set(e, EEXIST, "uplink %s is there already", q->name);
		return err_code(e, "uplink-exists");
	}
	if (b->uplink_count == PMD_MAX_UPLINKS)
		return full("uplinks", PMD_MAX_UPLINKS, e);
	if ((b->launch->uplink_kinds & BIT(q->uplink.kind)) == 0) {
		err_set(e, EPERM, "uplinks of this kind are not among uplink_kinds of the launch");
		return err_code(e, "device-refused");
	}
	r = uplink_create(&cfg, &u, e);
	if (r < 0)
		return r;
	b->uplinks[b->uplink_count++] = u;
	*result = json_pack("{s:o}", "uplink", status_uplink(u));
	return 0;
}

static int op_uplink_macs(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	struct uplink *u = uplink_find(b, q->name);

	if (u == NULL)
		return no_uplink(q->name, e);
	uplink_macs_set(u, (const uint8_t(*)[6])q->macs, q->mac_count);
	*result = json_pack("{s:o}", "uplink", status_uplink(u));
	return 0;
}

static int op_uplink_remove(struct backend *b, struct pmd_request *q, json_t **result,
			    struct err *e)
{
	struct uplink *u = uplink_find(b, q->name);
	const struct network *user = u == NULL ? NULL : uplink_user(b, u);

	if (u == NULL)
		return no_uplink(q->name, e);
	if (user != NULL)
		return uplink_in_use(u, user, e);
	for (unsigned int i = 0; i < b->uplink_count; i++)
		if (b->uplinks[i] == u)
			b->uplinks[i] = b->uplinks[--b->uplink_count];
	uplink_destroy(u);
	*result = json_object();
	return 0;
}

/* Where the least ports are; they become busy later. */
static struct lcore *lcore_least(const struct backend *b)
{
	struct lcore *best = NULL;
	unsigned int best_load = 0;

	for (unsigned int i = 0; i < lcores_count(b->lcores); i++) {
		struct lcore *l = lcores_at(b->lcores, i);
		unsigned int load = 0;

		for (unsigned int k = 0; k < b->network_count; k++)
			if (b->networks[k]->lcore == l)
				load += 1 + b->networks[k]->port_count;
		if (best == NULL || load < best_load) {
			best = l;
			best_load = load;
		}
	}
	return best;
}

static int op_network_add(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	struct uplink *uplinks[PMD_MAX_NETWORK_UPLINKS];
	struct network_config cfg = { .request = q, .uplinks = uplinks, .pool = b->pool };
	int r;

	if (network_find(b, q->name) != NULL) {
		err_set(e, EEXIST, "network %s is there already", q->name);
		return err_code(e, "network-exists");
	}
	if (b->network_count == PMD_MAX_NETWORKS)
		return full("networks", PMD_MAX_NETWORKS, e);
	for (unsigned int i = 0; i < q->uplink_count; i++) {
		uplinks[i] = uplink_find(b, q->uplinks[i]);
		if (uplinks[i] == NULL)
			return no_uplink(q->uplinks[i], e);
		if (uplink_user(b, uplinks[i]) != NULL)
			return uplink_in_use(uplinks[i], uplink_user(b, uplinks[i]), e);
	}
	cfg.lcore = lcore_least(b);
	r = network_create(&cfg, &b->networks[b->network_count], e);
	if (r < 0)
		return r;
	b->network_count++;
	*result = json_object();
	return 0;
}

static int op_network_remove(struct backend *b, struct pmd_request *q, json_t **result,
			     struct err *e)
{
	struct network *n = network_find(b, q->name);

	if (n == NULL)
		return no_network(q->name, e);
	if (n->port_count > 0) {
		err_set(e, EBUSY, "network %s has %u ports", n->name, n->port_count);
		return err_code(e, "network-in-use");
	}
	for (unsigned int i = 0; i < b->network_count; i++)
		if (b->networks[i] == n)
			b->networks[i] = b->networks[--b->network_count];
	network_destroy(n);
	*result = json_object();
	return 0;
}

static int port_check(const struct backend *b, const struct pmd_request *q, struct err *e)
{
	if (port_find(b, q->name) != NULL) {
		err_set(e, EEXIST, "port %s is there already", q->name);
		return err_code(e, "port-exists");
	}
	if (b->port_count == PMD_MAX_PORTS)
		return full("ports", PMD_MAX_PORTS, e);
	for (unsigned int i = 0; i < b->port_count; i++) {
		if (strcmp(b->ports[i]->socket, q->socket) != 0)
			continue;
		err_set(e, EEXIST, "socket %s is that of port %s", q->socket, b->ports[i]->name);
		return err_code(e, "port-exists");
	}
	return 0;
}

static int op_port_add(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	struct port_config cfg = {
		.request = q, .pool = b->pool, .vhost = b->vhost, .launch = b->launch
	};
	struct network *n = network_find(b, q->network);
	int r = port_check(b, q, e);

	if (r == 0 && n == NULL)
		r = no_network(q->network, e);
	if (r == 0)
		r = network_port_add(n, &cfg, &b->ports[b->port_count], e);
	if (r < 0)
		return r;
	b->port_count++;
	*result = json_object();
	return 0;
}

static int op_port_set(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	struct port *port = port_find(b, q->name);
	int r = port == NULL ? no_port(q->name, e) : network_port_set(port, &q->policy, e);

	*result = r < 0 ? NULL : json_object();
	return r;
}

static int op_port_remove(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	struct port *port = port_find(b, q->name);

	if (port == NULL)
		return no_port(q->name, e);
	for (unsigned int i = 0; i < b->port_count; i++)
		if (b->ports[i] == port)
			b->ports[i] = b->ports[--b->port_count];
	network_port_remove(port);
	*result = json_object();
	return 0;
}

static int op_mirror(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	struct port *port = port_find(b, q->name);
	int r = port == NULL ? no_port(q->name, e)
			     : network_mirror(port, fd_take(&q->file), q->limit_bytes, e);

	*result = r < 0 ? NULL : json_object();
	return r;
}

static int op_mirror_stop(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	struct port *port = port_find(b, q->name);
	struct mirror_facts f;
	int r = port == NULL ? no_port(q->name, e) : network_mirror_stop(port, &f, e);

	if (r == 0)
		*result = json_pack("{s:I, s:I, s:I}", "frames", (json_int_t)f.frames, "bytes",
				    (json_int_t)f.bytes, "lost", (json_int_t)f.lost);
	return r;
}

static int op_quit(struct backend *b, struct pmd_request *q, json_t **result, struct err *e)
{
	loop_stop(b->loop, 0);
	*result = json_object();
	return 0;
}

static int (*const handlers[PMD_OPS])(struct backend *b, struct pmd_request *q, json_t **result,
				      struct err *e) = {
	[PMD_OP_STATUS] = op_status,
	[PMD_OP_UPLINK_ADD] = op_uplink_add,
	[PMD_OP_UPLINK_MACS] = op_uplink_macs,
	[PMD_OP_UPLINK_REMOVE] = op_uplink_remove,
	[PMD_OP_NETWORK_ADD] = op_network_add,
	[PMD_OP_NETWORK_REMOVE] = op_network_remove,
	[PMD_OP_PORT_ADD] = op_port_add,
	[PMD_OP_PORT_SET] = op_port_set,
	[PMD_OP_PORT_REMOVE] = op_port_remove,
	[PMD_OP_STATS] = op_stats,
	[PMD_OP_FDB] = op_fdb,
	[PMD_OP_MIRROR] = op_mirror,
	[PMD_OP_MIRROR_STOP] = op_mirror_stop,
	[PMD_OP_QUIT] = op_quit,
};

int backend_request(struct backend *b, struct pmd_request *request, json_t **result, struct err *e)
{
	if (handlers[request->op] == NULL)
		return pmd_role_refuse(b->launch, e);
	return handlers[request->op](b, request, result, e);
}

static void sample(struct backend *b)
{
	for (unsigned int i = 0; i < lcores_count(b->lcores); i++) {
		struct busy_share *s = &b->busy[i];
		struct lcore_counters c;
		uint64_t busy, idle;

		lcore_counters(lcores_at(b->lcores, i), &c);
		busy = c.busy_cycles - s->last.busy_cycles;
		idle = c.idle_cycles - s->last.idle_cycles;
		s->share = busy + idle == 0 ? 0 : (double)busy / (double)(busy + idle);
		s->last = c;
	}
}

/* One network at a time, from the busiest lcore to the idlest, if both are clearly that. */
static void balance(struct backend *b)
{
	unsigned int high = 0, low = 0, count = 0;
	struct network *moved = NULL;

	for (unsigned int i = 1; i < lcores_count(b->lcores); i++) {
		if (b->busy[i].share > b->busy[high].share)
			high = i;
		if (b->busy[i].share < b->busy[low].share)
			low = i;
	}
	if (b->busy[high].share < SHARE_HIGH || b->busy[low].share > SHARE_LOW)
		return;
	for (unsigned int i = 0; i < b->network_count; i++) {
		if (b->networks[i]->lcore != lcores_at(b->lcores, high))
			continue;
		count++;
		if (moved == NULL || b->networks[i]->port_count < moved->port_count)
			moved = b->networks[i];
	}
	if (count > 1)
		(void)network_move(moved, lcores_at(b->lcores, low));
}

static void tick(void *arg, int fd, uint32_t events)
{
	struct backend *b = arg;
	uint64_t times, now = now_ns();

	(void)!read(fd, &times, sizeof(times));
	for (unsigned int i = 0; i < b->uplink_count; i++)
		uplink_link_update(b->uplinks[i]);
	for (unsigned int i = 0; i < b->network_count; i++)
		network_tick(b->networks[i]);
	if (now - b->sampled_ns < SAMPLE_NS)
		return;
	sample(b);
	balance(b);
	b->sampled_ns = now;
}

static int timer_start(struct backend *b, struct err *e)
{
	const struct itimerspec every = { { 0, TICK_NS }, { 0, TICK_NS } };

	b->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (b->timer_fd < 0 || timerfd_settime(b->timer_fd, 0, &every, NULL) < 0 ||
	    loop_add(b->loop, b->timer_fd, EPOLLIN, tick, b) < 0)
		return err_set(e, errno, "timer: %s", strerror(errno));
	return 0;
}

int backend_create(const struct pmd_launch *launch, struct loop *loop, struct backend **out,
		   struct err *e)
{
	struct backend *b = calloc(1, sizeof(*b));
	int r;

	if (b == NULL)
		return err_set(e, ENOMEM, "out of memory");
	b->launch = launch;
	b->loop = loop;
	b->timer_fd = -1;
	b->start_ns = b->sampled_ns = now_ns();
	r = eal_start(launch, &b->pool, e);
	if (r < 0) {
		free(b);
		return r;
	}
	r = guest_memory_guard();
	if (r < 0)
		err_set(e, r, "SIGBUS: %s", strerror(-r));
	if (r == 0)
		r = lcores_start(launch, &b->lcores, e);
	if (r == 0)
		r = vhost_thread_start(&b->vhost, e);
	if (r == 0)
		r = timer_start(b, e);
	if (r < 0) {
		backend_destroy(b);
		return r;
	}
	*out = b;
	return 0;
}

void backend_destroy(struct backend *b)
{
	if (b == NULL)
		return;
	if (b->timer_fd >= 0)
		loop_del(b->loop, b->timer_fd);
	fd_close(&b->timer_fd);
	while (b->port_count > 0)
		network_port_remove(b->ports[--b->port_count]);
	while (b->network_count > 0)
		network_destroy(b->networks[--b->network_count]);
	while (b->uplink_count > 0)
		uplink_destroy(b->uplinks[--b->uplink_count]);
	vhost_thread_stop(b->vhost);
	lcores_stop(b->lcores);
	eal_stop();
	free(b);
}
