// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/hoststop.h"

#include "vf-manager/operations.h"
#include "vf-manager/vmdef.h"
#include "vf-manager/vmops.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE	    64 /* threads */
#define STACK_BYTES (512U << 10)
#define NS_PER_S    1000000000ULL
#define STARTING_S  1 /* between two looks at those that just start */

/* One VM that is to stop. */
struct stop {
	struct daemon *d;
	const struct host_stop_wish *wish;
	char name[64];
	unsigned int rank, timeout_s;
	uint64_t deadline_ns; /* of all */
	uint64_t took_ns;
	int r;
	struct err e;
	pthread_t thread;
	bool has_thread;
};

struct stops {
	struct stop *list;
	size_t count;
	json_t *done; /* one object each */
};

/* It may have gone by itself, before it was its turn. */
static bool is_down(struct daemon *d, const char *name)
{
	const struct vm *vm;
	bool is_gone;

	state_lock(d);
	vm = vm_find(d, name);
	is_gone = vm == NULL || vm->pid == 0;
	state_unlock(d);
	return is_gone;
}

static void *stop_main(void *arg)
{
	struct stop *s = arg;
	const uint64_t began_ns = now_ns();
	const uint64_t left_s = began_ns < s->deadline_ns ? (s->deadline_ns - began_ns) / NS_PER_S
							  : 0;
	const struct vm_stop_wish wish = { .uid = s->wish->uid,
					   .timeout_s = (unsigned int)u64_min(s->timeout_s, left_s),
					   .what = "host-stop",
					   .kill = true };

	s->r = vm_stop(s->d, s->name, &wish, &s->e);
	if (s->r < 0 && is_down(s->d, s->name))
		s->r = 0;
	s->took_ns = now_ns() - began_ns;
	return NULL;
}

static int stop_cmp(const void *a, const void *b)
{
	const struct stop *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank > y->rank ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* State locked. */
static int ranks_find(const struct daemon *d, unsigned int *ranks, struct err *e)
{
	auto_free struct keep_node *nodes = calloc(d->def_count + 1, sizeof(*nodes));

	if (nodes == NULL)
		return err_set(e, ENOMEM, "no memory");
	for (size_t i = 0; i < d->def_count; i++)
		nodes[i] = (struct keep_node){ d->defs[i]->name, &d->defs[i]->keep };
	/* In any order rather than not at all. */
	if (keep_ranks(nodes, d->def_count, ranks, NULL) < 0)
		memset(ranks, 0, d->def_count * sizeof(*ranks));
	return 0;
}

static unsigned int rank_of(const struct daemon *d, const unsigned int *ranks, const char *name)
{
	for (size_t i = 0; i < d->def_count; i++)
		if (strcmp(d->defs[i]->name, name) == 0)
			return ranks[i];
	return UINT32_MAX;
}

static unsigned int stop_timeout(const struct vm *vm)
{
	const json_t *s = json_object_get(vm->facts, "stop_timeout_s");

	return json_is_integer(s) ? (unsigned int)json_integer_value(s) : VM_STOP_DEFAULT_S;
}

static bool is_done(const json_t *done, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)done, i, one)
		if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
			return true;
	return false;
}

/* Those that run now and were not tried yet, in the order of their stops. *starting: some are on their way up. */
static int stops_find(struct daemon *d, struct stops *out, bool *starting, struct err *e)
{
	auto_free unsigned int *ranks = NULL;
	int r;

	*starting = false;
	out->count = 0;
	state_lock(d);
	ranks = calloc(d->def_count + 1, sizeof(*ranks));
	r = ranks != NULL ? ranks_find(d, ranks, e) : err_set(e, ENOMEM, "no memory");
	for (size_t i = 0; r == 0 && i < d->vm_count; i++) {
		const struct vm *vm = d->vms[i];
		struct stop *s = &out->list[out->count];

		*starting |= vm->state == VM_STARTING;
		if (vm->pid == 0 || vm->state == VM_STARTING || is_done(out->done, vm->name))
			continue;
		*s = (struct stop){ .d = d, .timeout_s = stop_timeout(vm) };
		memcpy(s->name, vm->name, sizeof(s->name));
		s->rank = rank_of(d, ranks, vm->name);
		out->count++;
	}
	state_unlock(d);
	if (out->count > 0)
		qsort(out->list, out->count, sizeof(out->list[0]), stop_cmp);
	return r;
}

static void together(struct stop *list, size_t count)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (size_t i = 0; i < count; i++) {
		list[i].has_thread = pthread_create(&list[i].thread, &attr, stop_main, &list[i]) ==
				     0;
		if (!list[i].has_thread)
			stop_main(&list[i]);
	}
	pthread_attr_destroy(&attr);
	for (size_t i = 0; i < count; i++)
		if (list[i].has_thread)
			pthread_join(list[i].thread, NULL);
}

/* How it ended is what the watcher has found. */
static json_t *stop_json(struct daemon *d, const struct stop *s)
{
	const json_t *exit = NULL;
	const struct vm *vm;
	json_t *j = json_pack("{s:s, s:f, s:s?}", "name", s->name, "seconds",
			      (double)s->took_ns / 1e9, "error", s->r < 0 ? s->e.text : NULL);

	state_lock(d);
	vm = vm_find(d, s->name);
	if (vm != NULL && vm->pid == 0)
		exit = json_object_get(vm->facts, "exit");
	json_object_set_new(j, "exit", exit != NULL ? json_deep_copy(exit) : json_null());
	state_unlock(d);
	return j;
}

static void stops_run(struct stops *all, const struct host_stop_wish *wish, uint64_t deadline_ns)
{
	size_t first = 0, next;

	for (; first < all->count; first = next) {
		struct stop *s = &all->list[first];

		for (next = first;
		     next < all->count && next - first < AT_ONCE && all->list[next].rank == s->rank;
		     next++) {
			all->list[next].wish = wish;
			all->list[next].deadline_ns = deadline_ns;
		}
		if (next - first == 1)
			operation_step(wish->op, "VM %s is stopped", s->name);
		else
			operation_step(wish->op, "VM %s and %zu more are stopped", s->name,
				       next - first - 1);
		together(s, next - first);
		for (size_t i = first; i < next; i++)
			json_array_append_new(all->done, stop_json(s->d, &all->list[i]));
	}
}

static int held_set(struct daemon *d, bool is_held, struct err *e)
{
	int r;

	state_lock(d);
	r = ledger_keeper_put(d->ledger, d->boot_id, is_held, e);
	/* A host that goes down with a full disk stops its VMs all the same. */
	if (r == 0 || is_held)
		d->vms_are_held = is_held;
	pthread_cond_broadcast(&d->changed);
	state_unlock(d);
	return r;
}

static void stopping_add(struct daemon *d, int by)
{
	state_lock(d);
	d->host_stops += (unsigned int)by;
	pthread_cond_broadcast(&d->changed);
	state_unlock(d);
}

/* Past the deadline they are not waited for: once they run, they go down as the host does. */
static void starting_tell(struct daemon *d, json_t *done)
{
	state_lock(d);
	for (size_t i = 0; i < d->vm_count; i++)
		if (d->vms[i]->state == VM_STARTING)
			json_array_append_new(
				done,
				json_pack("{s:s, s:f, s:s, s:n}", "name", d->vms[i]->name,
					  "seconds", 0.0, "error",
					  "it is still starting, and is not waited for", "exit"));
	state_unlock(d);
}

int vms_stop_all(struct daemon *d, const struct host_stop_wish *wish, json_t **out, struct err *e)
{
	const uint64_t deadline_ns = now_ns() + wish->timeout_s * NS_PER_S;
	auto_free struct stop *list = calloc(DAEMON_VMS, sizeof(*list));
	struct stops all = { .list = list, .done = json_array() };
	struct err unseen = { 0 };
	bool starting = true;
	int r = 0;

	if (list == NULL) {
		json_decref(all.done);
		return err_set(e, ENOMEM, "no memory");
	}
	stopping_add(d, 1);
	if (held_set(d, true, &unseen) < 0)
		log_err(&unseen, "vm stop --all");
	/* A VM that just starts can be stopped when it runs; none begins any more. */
	while (r == 0 && !daemon_is_ending(d)) {
		r = stops_find(d, &all, &starting, e);
		if (r < 0 || (all.count == 0 && (!starting || now_ns() >= deadline_ns)))
			break;
		stops_run(&all, wish, deadline_ns);
		if (all.count == 0)
			sleep(STARTING_S);
	}
	if (r == 0)
		starting_tell(d, all.done);
	stopping_add(d, -1);
	if (r < 0) {
		json_decref(all.done);
		return r;
	}
	*out = json_pack("{s:o}", "vms", all.done);
	return 0;
}

int vms_start_all(struct daemon *d, json_t **out, struct err *e)
{
	json_t *names;
	int r = held_set(d, false, e);

	if (r < 0)
		return r;
	names = json_array();
	state_lock(d);
	for (size_t i = 0; i < d->def_count; i++) {
		const struct vm *vm = vm_find(d, d->defs[i]->name);

		if (d->defs[i]->is_wanted && d->defs[i]->held[0] == '\0' &&
		    (vm == NULL || vm->pid == 0))
			json_array_append_new(names, json_string(d->defs[i]->name));
	}
	state_unlock(d);
	*out = json_pack("{s:o}", "starting", names);
	return 0;
}
