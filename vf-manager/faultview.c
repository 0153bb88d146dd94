// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/faultview.h"

#include "vf-manager/faultwatch.h"
#include "vf-manager/kmsgread.h"

#include "base/fd.h"
#include "iommu/fault_reason.h"

#include <stdio.h>
#include <stdlib.h>

void fault_reader_view_note(struct fault_reader_view *v, uint64_t wall_ns, uint64_t cpu_ns,
			    bool is_paused)
{
	uint64_t span;

	if (v->first_wall_ns == 0) {
		v->first_wall_ns = v->span_wall_ns = wall_ns;
		v->first_cpu_ns = v->span_cpu_ns = cpu_ns;
	}
	v->wall_ns = wall_ns;
	v->cpu_ns = cpu_ns;
	v->pauses += is_paused;
	span = wall_ns - v->span_wall_ns;
	if (span < FAULT_SHARE_NS)
		return;
	v->peak_permille = v->peak_permille > (cpu_ns - v->span_cpu_ns) * 1000 / span
				   ? v->peak_permille
				   : (cpu_ns - v->span_cpu_ns) * 1000 / span;
	v->span_wall_ns = wall_ns;
	v->span_cpu_ns = cpu_ns;
}

static json_t *hex_or_null(bool is_there, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)n);
	return is_there ? json_string(text) : json_null();
}

static json_t *record_json(const struct fault_record *r)
{
	const struct kmsg_fault *f = &r->what;
	const char *why = f->has_reason ? fault_reason_text(f->reason) : NULL;
	bool is_index = r->kind == KMSG_INTERRUPT;

	return json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "at_ms", (json_int_t)r->at_ms,
			 "kind", fault_kind_word(r->kind), "address",
			 hex_or_null(f->has_address && !is_index, f->address), "index",
			 f->has_address && is_index ? json_integer((json_int_t)f->address)
						    : json_null(),
			 "pasid", f->has_pasid ? json_integer(f->pasid) : json_null(), "reason",
			 f->has_reason ? json_integer(f->reason) : json_null(), "why",
			 why != NULL ? json_string(why) : json_null());
}

static const struct fault_record *newest(const struct fault_entry *entry)
{
	return &entry->recent[(entry->total - 1) % FAULT_RECENT];
}

static json_t *recent_json(const struct fault_entry *entry)
{
	uint64_t n = u64_min(entry->total, FAULT_RECENT);
	json_t *list = json_array();

	for (uint64_t i = entry->total - n; i < entry->total; i++)
		json_array_append_new(list, record_json(&entry->recent[i % FAULT_RECENT]));
	return list;
}

static json_t *counts_json(const struct fault_entry *entry)
{
	json_t *counts = json_object();

	for (unsigned int k = 0; k < FAULT_KINDS; k++)
		if (entry->counts[k] != 0)
			json_object_set_new(counts, fault_kind_word(k),
					    json_integer((json_int_t)entry->counts[k]));
	return counts;
}

/* "VM/PORT" in two parts. */
static void owner_add(json_t *j, const struct fault_owner *owner)
{
	const char *slash = strchr(owner->name, '/');

	json_object_set_new(j, "vm",
			    slash != NULL ? json_stringn(owner->name, (size_t)(slash - owner->name))
					  : json_null());
	json_object_set_new(j, "port", slash != NULL ? json_string(slash + 1) : json_null());
}

static json_t *entry_json(const struct daemon *d, const struct fault_log *l,
			  const struct fault_entry *entry)
{
	const struct pci_fn *fn = inventory_find(d->inv, &entry->function);
	char addr[PCI_ADDR_TEXT], id[VF_ID_TEXT];
	json_t *j = json_pack(
		"{s:s, s:o, s:b, s:I, s:b, s:b, s:I, s:I, s:o, s:o, s:o}", "function",
		pci_addr_text(&entry->function, addr), "vf_id",
		fn != NULL && fn->is_vf ? json_string(vf_id_text(fn, id)) : json_null(),
		"ambiguous", entry->is_ambiguous, "count", (json_int_t)entry->total, "at_least",
		fault_log_is_short(l), "present", fault_is_present(d, entry, fault_now_ms()),
		"first_at_ms", (json_int_t)entry->first_ms, "last_at_ms",
		(json_int_t)entry->last_ms, "counts", counts_json(entry), "last",
		record_json(newest(entry)), "recent", recent_json(entry));

	if (j != NULL)
		owner_add(j, &entry->owner);
	return j;
}

static json_t *reader_json(const struct fault_log *l, const struct fault_reader_view *v)
{
	uint64_t wall = now_ns() - v->span_wall_ns, cpu = v->cpu_ns - v->span_cpu_ns;
	double share = v->span_wall_ns != 0 && wall > 0 ? (double)cpu / (double)wall : 0;

	return json_pack("{s:b, s:o, s:I, s:o, s:I, s:f, s:f, s:f, s:I}", "readable",
			 v->is_readable, "why", v->is_readable ? json_null() : json_string(v->why),
			 "records", (json_int_t)l->records, "since_ms",
			 l->since_ms != 0 ? json_integer((json_int_t)l->since_ms) : json_null(),
			 "cpu_ns", (json_int_t)(v->cpu_ns - v->first_cpu_ns), "cpu_share", share,
			 "cpu_share_peak", (double)v->peak_permille / 1000, "cpu_share_limit",
			 CPU_BUDGET_PERMILLE / 1000.0, "pauses", (json_int_t)v->pauses);
}

static json_t *missing_json(const struct fault_log *l)
{
	return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "any", fault_log_is_short(l),
			 "suppressed", (json_int_t)l->suppressed, "overflows",
			 (json_int_t)l->overflows, "limits", (json_int_t)l->limits, "unread",
			 (json_int_t)l->lost, "forgotten", (json_int_t)l->forgotten, "last_at_ms",
			 l->last_loss_ms != 0 ? json_integer((json_int_t)l->last_loss_ms)
					      : json_null());
}

static int newest_first(const void *a, const void *b)
{
	const struct fault_entry *x = *(const struct fault_entry *const *)a;
	const struct fault_entry *y = *(const struct fault_entry *const *)b;

	return x->last_ms < y->last_ms ? 1 : x->last_ms > y->last_ms ? -1 : 0;
}

json_t *fault_log_json(const struct daemon *d, const struct fault_log *l,
		       const struct fault_reader_view *v)
{
	const struct fault_entry *order[FAULT_ENTRIES];
	json_t *list = json_array();

	for (size_t i = 0; i < l->count; i++)
		order[i] = &l->entries[i];
	qsort(order, l->count, sizeof(order[0]), newest_first);
	for (size_t i = 0; i < l->count; i++)
		json_array_append_new(list, entry_json(d, l, order[i]));
	return json_pack("{s:o, s:o, s:o}", "functions", list, "missing", missing_json(l), "reader",
			 reader_json(l, v));
}

json_t *fault_port_json(const struct daemon *d, const char *vm, const char *port,
			uint64_t start_ticks)
{
	const struct fault_log *l = fault_watch_log(d);
	char owner[OWNER_TEXT];

	snprintf(owner, sizeof(owner), "%s/%s", vm, port);
	for (size_t i = 0; l != NULL && i < l->count; i++) {
		const struct fault_entry *entry = &l->entries[i];

		if (strcmp(entry->owner.name, owner) == 0 &&
		    entry->owner.start_ticks == start_ticks)
			return json_pack("{s:I, s:b, s:o}", "count", (json_int_t)entry->total,
					 "at_least", fault_log_is_short(l), "last",
					 record_json(newest(entry)));
	}
	return json_null();
}
