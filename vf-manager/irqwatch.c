// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/irqwatch.h"

#include "vf-manager/drift.h"
#include "vf-manager/hostcpu.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/privops.h"
#include "vf-manager/vmplace.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* A function whose vectors have a place. */
struct port {
	char fn[PCI_ADDR_TEXT], vm[64], name[64];
	size_t want; /* index */
};

/* One line. */
struct mark {
	char vm[64], port[64];
	struct irq_line line;
	cpu_set_t asked;
	struct irq_affinity now;
	int error; /* of the last try to set it */
	uint64_t fired; /* its count when it was set */
	bool is_set; /* to what was asked, once */
	bool must_set;
	bool differs;
	bool is_told;
	struct drift_pace pace;
};

struct irq_watch {
	struct mark *marks; /* by function and vector */
	size_t count;
};

/* One look. */
struct look {
	struct port *ports; /* by function */
	struct irq_want *wants;
	size_t port_count, want_count;
	bool is_young;
	struct mark *marks;
	size_t count, cap;
	const struct irq_watch *last;
	const char *proc;
};

int irq_watch_create(struct irq_watch **out, struct err *e)
{
	struct irq_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return err_set(e, ENOMEM, "no memory");
	*out = w;
	return 0;
}

void irq_watch_destroy(struct irq_watch *w)
{
	if (w == NULL)
		return;
	free(w->marks);
	free(w);
}

static int port_cmp(const void *a, const void *b)
{
	return strcmp(((const struct port *)a)->fn, ((const struct port *)b)->fn);
}

static int mark_cmp(const void *a, const void *b)
{
	const struct irq_line *x = &((const struct mark *)a)->line;
	const struct irq_line *y = &((const struct mark *)b)->line;
	int r = strcmp(x->fn, y->fn);

	return r != 0 ? r : (x->vector > y->vector) - (x->vector < y->vector);
}

void irq_want_of(const struct daemon *d, const struct vm *vm, const cpu_set_t *dedicated,
		 struct irq_want *out)
{
	const json_t *cpus = json_object_get(vm->facts, "cpus"), *pin;
	const json_t *node = json_object_get(json_object_get(vm->facts, "numa"), "node");
	cpu_set_t own;
	size_t i;

	*out = (struct irq_want){ .foreign = *dedicated };
	CPU_ZERO(&own);
	json_array_foreach(json_object_get(cpus, "pin"), i, pin) {
		json_int_t cpu = json_integer_value(pin);

		if (i == ARRAY_SIZE(out->pin) || cpu < 0 || cpu >= CPU_SETSIZE)
			break;
		out->pin[out->pin_count++] = (unsigned int)cpu;
		CPU_SET(cpu, &own);
	}
	if (json_is_true(json_object_get(cpus, "dedicated")))
		cpu_set_remove(&out->foreign, &own);
	if (out->pin_count == 0 && json_is_integer(node) && json_integer_value(node) >= 0)
		host_node_cpus(d, (int)json_integer_value(node), &out->node);
}

/* `key` is the member with the function's address. */
static void ports_gather(struct look *look, const struct vm *vm, const char *list, const char *key)
{
	const json_t *port;
	size_t i;

	json_array_foreach(json_object_get(vm->facts, list), i, port) {
		const char *fn = json_string_value(json_object_get(port, key));
		const char *name = json_string_value(json_object_get(port, "name"));
		struct port *ports;

		if (fn == NULL || name == NULL)
			continue;
		ports = reallocarray(look->ports, look->port_count + 1, sizeof(*ports));
		if (ports == NULL)
			return;
		look->ports = ports;
		ports += look->port_count++;
		*ports = (struct port){ .want = look->want_count };
		snprintf(ports->fn, sizeof(ports->fn), "%s", fn);
		snprintf(ports->vm, sizeof(ports->vm), "%s", vm->name);
		snprintf(ports->name, sizeof(ports->name), "%s", name);
	}
}

/* State locked. A guest that has not been launched yet has no vectors. */
static void vm_gather(const struct daemon *d, struct look *look, const struct vm *vm,
		      const cpu_set_t *dedicated)
{
	json_int_t started = json_integer_value(json_object_get(vm->facts, "started_at"));
	size_t before = look->port_count;
	struct irq_want want, *wants;
	time_t now = time(NULL);

	if (vm->pid == 0 || vm->state == VM_STARTING)
		return;
	irq_want_of(d, vm, dedicated, &want);
	if (!irq_want_is_any(&want))
		return;
	wants = reallocarray(look->wants, look->want_count + 1, sizeof(*wants));
	if (wants == NULL)
		return;
	look->wants = wants;
	wants[look->want_count] = want;
	ports_gather(look, vm, "ports", "vf");
	ports_gather(look, vm, "functions", "address");
	look->want_count++;
	if (look->port_count > before && started <= now && now - started < IRQ_YOUNG_S)
		look->is_young = true;
}

static void vms_gather(struct daemon *d, struct look *look)
{
	cpu_set_t dedicated;

	state_lock(d);
	vm_place_dedicated(d, &dedicated);
	for (size_t i = 0; i < d->vm_count; i++)
		vm_gather(d, look, d->vms[i], &dedicated);
	state_unlock(d);
	if (look->port_count > 0)
		qsort(look->ports, look->port_count, sizeof(*look->ports), port_cmp);
}

/* What the last look knew of this line; NULL: nothing, or it is another one by now. */
static const struct mark *mark_last(const struct irq_watch *w, const struct mark *now)
{
	const struct mark *last =
		w->count > 0 ? bsearch(now, w->marks, w->count, sizeof(*now), mark_cmp) : NULL;

	return last != NULL && last->line.irq == now->line.irq && strcmp(last->vm, now->vm) == 0
		       ? last
		       : NULL;
}

static void mark_judge(struct mark *m, const cpu_set_t *asked)
{
	bool has_fired = m->line.count > m->fired;

	if (irq_judge(asked, &m->now, has_fired) == IRQ_RIGHT) {
		m->is_set = true;
		m->differs = m->is_told = m->must_set = false;
		m->error = 0;
	} else if (m->is_set && m->error == 0 && CPU_EQUAL(asked, &m->asked)) {
		m->differs = true;
		m->must_set = false;
	} else {
		/* Until then it is nobody's fault that it is not there. */
		m->must_set = true;
		m->is_set = false;
	}
	m->asked = *asked;
}

/* NULL: no memory. */
static struct mark *mark_add(struct look *look)
{
	if (look->count == look->cap) {
		size_t cap = look->cap * 2 + 64;
		struct mark *marks = reallocarray(look->marks, cap, sizeof(*marks));

		if (marks == NULL)
			return NULL;
		look->marks = marks;
		look->cap = cap;
	}
	return &look->marks[look->count++];
}

static void line_take(void *arg, const struct irq_line *line)
{
	struct look *look = arg;
	struct mark m = { .line = *line }, *added;
	const struct mark *last;
	const struct port *port;
	struct port key;
	cpu_set_t asked;

	snprintf(key.fn, sizeof(key.fn), "%s", line->fn);
	port = bsearch(&key, look->ports, look->port_count, sizeof(key), port_cmp);
	if (port == NULL)
		return;
	snprintf(m.vm, sizeof(m.vm), "%s", port->vm);
	snprintf(m.port, sizeof(m.port), "%s", port->name);
	last = mark_last(look->last, &m);
	if (last != NULL)
		m = *last;
	m.line = *line;
	irq_want_cpus(&look->wants[port->want], line->vector, &asked);
	/* Gone meanwhile, or without a place. */
	if (CPU_COUNT(&asked) == 0 || irq_affinity_read(look->proc, line->irq, &m.now) < 0)
		return;
	mark_judge(&m, &asked);
	added = mark_add(look);
	if (added != NULL)
		*added = m;
}

/* Op locked. */
static void mark_set(struct daemon *d, struct mark *m)
{
	int r = priv_irq_place(d, &m->line, &m->asked);

	m->must_set = false;
	m->fired = m->line.count;
	if (r == 0)
		r = irq_affinity_read(d->opt->proc_dir, m->line.irq, &m->now);
	if (r == -ENOENT) {
		/* The guest has let go of it. */
		m->is_set = m->differs = false;
		return;
	}
	/* It was taken and is not there. */
	if (r == 0 && irq_judge(&m->asked, &m->now, false) != IRQ_RIGHT)
		r = -EIO;
	m->error = r;
	m->is_set = r == 0;
	m->differs = r < 0;
	m->is_told = false;
}

/* False: somebody else has op. */
static bool marks_set(struct daemon *d, struct mark *marks, size_t count)
{
	size_t i = 0;

	while (i < count && !marks[i].must_set)
		i++;
	if (i == count)
		return true;
	if (op_trylock(d) != 0)
		return false;
	for (; i < count; i++)
		if (marks[i].must_set)
			mark_set(d, &marks[i]);
	op_unlock(d);
	return true;
}

/* The next one that differs; NULL: there is none. */
static const struct mark *differing(const struct irq_watch *w, size_t *at)
{
	while (*at < w->count)
		if (w->marks[(*at)++].differs)
			return &w->marks[*at - 1];
	return NULL;
}

static bool is_same_news(const struct irq_watch *a, const struct irq_watch *b)
{
	const struct mark *x, *y;
	size_t i = 0, k = 0;

	do {
		x = differing(a, &i);
		y = differing(b, &k);
		if (x == NULL || y == NULL)
			return x == y;
	} while (x->line.irq == y->line.irq && x->error == y->error &&
		 CPU_EQUAL(&x->asked, &y->asked) && CPU_EQUAL(&x->now.allowed, &y->now.allowed));
	return false;
}

bool irq_watch_look(struct daemon *d, struct irq_watch *w, unsigned int *next_ms)
{
	struct look look = { .last = w, .proc = d->opt->proc_dir };
	auto_free char *text = NULL;
	struct irq_watch now;
	bool is_same;

	vms_gather(d, &look);
	if (look.port_count > 0)
		text = interrupts_read(look.proc);
	if (text != NULL)
		irq_lines_each(text, NULL, line_take, &look);
	*next_ms = look.is_young ? IRQ_YOUNG_MS : 0;
	if (!marks_set(d, look.marks, look.count))
		*next_ms = IRQ_PUT_OFF_MS;
	now = (struct irq_watch){ .marks = look.marks, .count = look.count };
	if (now.count > 0)
		qsort(now.marks, now.count, sizeof(*now.marks), mark_cmp);
	is_same = is_same_news(w, &now);
	free(w->marks);
	*w = now;
	free(look.ports);
	free(look.wants);
	return !is_same;
}

void irq_watch_told(struct irq_watch *w)
{
	for (size_t i = 0; i < w->count; i++)
		w->marks[i].is_told = w->marks[i].differs;
}

/* State locked. */
static bool must_repair(const struct daemon *d, const struct mark *m)
{
	const struct pci_fn *vf;
	struct pci_addr addr;

	if (!m->differs || !m->is_told || m->error != 0 || !drift_pace_allows(&m->pace) ||
	    parse_pci_addr(m->line.fn, &addr) < 0)
		return false;
	vf = inventory_find(d->inv, &addr);
	return vf != NULL && vf->pf != NULL && drift_policy_repairs(d, vf->pf);
}

/* Of one port, `count` vectors. */
static void repair_tell(struct daemon *d, const struct mark *m, unsigned int count)
{
	char text[160];
	struct err e = { 0 };
	int r;

	snprintf(text, sizeof(text),
		 "port %.64s: interrupts that somebody moved are on their host CPUs again (%u)",
		 m->port, count);
	state_lock(d);
	r = ledger_event_add(d->ledger, "vm", m->vm, text, &e);
	state_unlock(d);
	if (r < 0)
		log_err(&e, m->vm);
}

bool irq_watch_repair(struct daemon *d, struct irq_watch *w)
{
	bool is_any = false;

	state_lock(d);
	for (size_t i = 0; i < w->count; i++) {
		w->marks[i].must_set = must_repair(d, &w->marks[i]);
		is_any |= w->marks[i].must_set;
	}
	state_unlock(d);
	if (!is_any || op_trylock(d) != 0)
		return false;
	for (size_t i = 0, same = 0; i < w->count; i++) {
		struct mark *m = &w->marks[i];

		if (m->must_set) {
			drift_pace_take(&m->pace);
			mark_set(d, m);
			same += m->is_set;
		}
		if (same > 0 && (i + 1 == w->count || strcmp(m[1].line.fn, m->line.fn) != 0)) {
			repair_tell(d, m, (unsigned int)same);
			same = 0;
		}
	}
	op_unlock(d);
	return true;
}

bool irq_drift_next(const struct irq_watch *w, size_t *at, struct irq_drift *out)
{
	const struct mark *first = differing(w, at), *m;

	if (first == NULL)
		return false;
	*out = (struct irq_drift){ .vm = first->vm,
				   .port = first->port,
				   .irq = first->line.irq,
				   .vector = first->line.vector,
				   .asked = &first->asked,
				   .now = &first->now,
				   .error = first->error };
	for (size_t next = *at;
	     (m = differing(w, &next)) != NULL && strcmp(m->line.fn, first->line.fn) == 0;
	     *at = next)
		out->more++;
	return true;
}

struct view {
	json_t *list;
	const char *proc;
	const struct irq_want *want;
};

static json_t *cpus_json(const cpu_set_t *cpus)
{
	char text[CPU_LIST_TEXT];

	return CPU_COUNT(cpus) > 0 ? json_string(cpu_list_text(cpus, text, sizeof(text)))
				   : json_null();
}

static void line_view(void *arg, const struct irq_line *line)
{
	struct view *v = arg;
	struct irq_affinity now;
	cpu_set_t asked;

	if (irq_affinity_read(v->proc, line->irq, &now) < 0)
		return;
	irq_want_cpus(v->want, line->vector, &asked);
	json_array_append_new(v->list, json_pack("{s:I, s:I, s:o, s:o, s:o}", "vector",
						 (json_int_t)line->vector, "irq",
						 (json_int_t)line->irq, "asked", cpus_json(&asked),
						 "allowed", cpus_json(&now.allowed), "effective",
						 cpus_json(&now.effective)));
}

json_t *irq_lines_json(const char *proc, const struct irq_want *want, const char *interrupts,
		       const char *addr)
{
	struct view v = { .list = json_array(), .proc = proc, .want = want };

	irq_lines_each(interrupts, addr, line_view, &v);
	return v.list;
}
