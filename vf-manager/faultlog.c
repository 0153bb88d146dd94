// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/faultlog.h"

#include "iommu/fault_reason.h"

#include <stdio.h>

const char *fault_kind_word(unsigned int kind)
{
	return kind == FAULT_VFIO_ERROR ? "vfio-error"
					: kmsg_fault_word((enum kmsg_fault_kind)kind);
}

/* Corrected by the hardware. */
static bool fault_is_harmless(unsigned int kind)
{
	return kind == KMSG_AER_CORRECTED;
}

static void loss_note(struct fault_log *l, uint64_t *counter, uint64_t n, int64_t at_ms)
{
	*counter += n;
	if (at_ms > l->last_loss_ms)
		l->last_loss_ms = at_ms;
}

bool fault_log_is_short(const struct fault_log *l)
{
	return l->last_loss_ms != 0;
}

void fault_log_lost(struct fault_log *l, uint64_t n, int64_t at_ms)
{
	loss_note(l, &l->lost, n, at_ms);
}

/* A word of the VT-d driver: at its limit the next one would be left out, without a word about it before the next
 * interval's first. */
static void limit_note(struct fault_log *l, const struct kmsg_fault *f, uint64_t at_us,
		       int64_t at_ms)
{
	bool is_double = f->kind == KMSG_STATUS && (f->status & KMSG_STATUS_PENDING) != 0;
	unsigned int before;

	if (l->window_asks == 0 || at_us - l->window_us > KMSG_LIMIT_US) {
		l->window_us = at_us;
		l->window_asks = 0;
	}
	before = l->window_asks;
	l->window_asks += is_double ? 2 : 1;
	if (before < KMSG_LIMIT_ASKS && l->window_asks >= KMSG_LIMIT_ASKS)
		loss_note(l, &l->limits, 1, at_ms);
}

const struct kmsg_fault *fault_log_record(struct fault_log *l, const struct kmsg_record *rec,
					  int64_t at_ms, struct kmsg_fault *buf)
{
	if (l->records++ > 0 && rec->seq > l->next_seq)
		loss_note(l, &l->lost, rec->seq - l->next_seq, at_ms);
	l->next_seq = rec->seq + 1;
	if (l->since_ms == 0)
		l->since_ms = at_ms;
	if (!rec->is_kernel || !kmsg_fault_parse(rec->text, buf))
		return NULL;
	if (buf->is_vtd && buf->kind != KMSG_SUPPRESSED)
		limit_note(l, buf, rec->at_us, at_ms);
	if (buf->kind == KMSG_SUPPRESSED)
		loss_note(l, &l->suppressed, buf->count, at_ms);
	else if (buf->kind == KMSG_STATUS && (buf->status & KMSG_STATUS_OVERFLOW) != 0)
		loss_note(l, &l->overflows, 1, at_ms);
	return buf->kind < KMSG_FAULT_KINDS ? buf : NULL;
}

static struct fault_entry *entry_find(struct fault_log *l, const struct pci_addr *function,
				      const struct fault_owner *owner)
{
	for (size_t i = 0; i < l->count; i++) {
		struct fault_entry *at = &l->entries[i];

		if (pci_addr_cmp(&at->function, function) == 0 &&
		    at->owner.start_ticks == owner->start_ticks &&
		    strcmp(at->owner.name, owner->name) == 0)
			return at;
	}
	return NULL;
}

/* A new one, or the one that has been quiet for longest. */
static struct fault_entry *entry_make(struct fault_log *l)
{
	struct fault_entry *oldest = &l->entries[0];

	if (l->count < FAULT_ENTRIES)
		return &l->entries[l->count++];
	for (size_t i = 1; i < l->count; i++)
		if (l->entries[i].last_ms < oldest->last_ms)
			oldest = &l->entries[i];
	l->forgotten += oldest->total;
	return oldest;
}

struct fault_entry *fault_log_note(struct fault_log *l, const struct pci_addr *function,
				   const struct fault_owner *owner,
				   const struct fault_record *record)
{
	struct fault_entry *at = entry_find(l, function, owner);

	if (at == NULL) {
		at = entry_make(l);
		*at = (struct fault_entry){ .function = *function,
					    .owner = *owner,
					    .first_ms = record->at_ms,
					    .events = { .burst = 2, .every_ns = 60000000000ULL } };
	}
	at->counts[record->kind]++;
	at->recent[at->total++ % FAULT_RECENT] = *record;
	if (record->at_ms > at->last_ms)
		at->last_ms = record->at_ms;
	if (!fault_is_harmless(record->kind)) {
		if (at->last_bad_ms == 0)
			at->first_bad = *record;
		at->last_bad_ms = at->last_ms;
	}
	return at;
}

static const char *const sayings[FAULT_KINDS] = {
	[KMSG_DMA_READ] = "DMA read from",
	[KMSG_DMA_WRITE] = "DMA write to",
	[KMSG_INTERRUPT] = "interrupt with index",
	[KMSG_AER_CORRECTED] = "corrected PCI Express error",
	[KMSG_AER_NONFATAL] = "uncorrectable PCI Express error",
	[KMSG_AER_FATAL] = "fatal PCI Express error",
	[FAULT_VFIO_ERROR] = "uncorrectable PCI Express error, told to its VMM",
};

char *fault_text(const struct fault_record *record, char buf[FAULT_TEXT])
{
	const struct kmsg_fault *f = &record->what;
	const char *why = fault_reason_text(f->reason);
	size_t n = (size_t)snprintf(buf, FAULT_TEXT, "%s", sayings[record->kind]);

	if (f->has_address)
		n += (size_t)snprintf(buf + n, FAULT_TEXT - n, " 0x%llx",
				      (unsigned long long)f->address);
	if (f->has_pasid)
		n += (size_t)snprintf(buf + n, FAULT_TEXT - n, " with PASID 0x%x", f->pasid);
	if (f->has_reason)
		snprintf(buf + n, FAULT_TEXT - n, " (reason 0x%02x: %s)", f->reason,
			 why != NULL ? why : "not one of the specification's");
	return buf;
}
