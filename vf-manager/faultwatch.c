// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/faultwatch.h"

#include "vf-manager/faultview.h"
#include "vf-manager/kmsgread.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmfault.h"

#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH	     32
#define SAVE_NS	     1000000000ULL /* between two writes of how far the log was told */
#define PAUSE_MS_MAX 60000
#define REOPEN_MS    5000 /* a log that cannot be read is tried again */
#define EVENTS_BURST 10 /* of all functions together, then one a second */
#define SLACK_US     1000000 /* between the kernel's two clocks, while nothing is known of them */
#define LIVE_US	     20000 /* and when their difference was measured: two ticks */

struct fault_watch {
	struct daemon *d;
	struct kmsg_reader reader; /* the thread's */
	struct cpu_budget budget; /* the thread's */
	int stop_fd;
	pthread_t thread;
	bool has_thread;
	_Atomic bool must_end;
	/* The log's clock is not set right by anybody and drifts seconds a month from the one that starts of processes are
	 * told by. A record that is read as it comes says by how much. The thread's: */
	bool is_waiting; /* the next record is one that comes now */
	bool has_offset;
	int64_t offset_us; /* what to add to a record's time */
	/* With the state lock: */
	struct fault_log log;
	struct fault_reader_view view;
	struct log_limit events;
	uint64_t read_seq; /* records before this one were taken by a reader before */
	uint64_t told_seq; /* events were written up to this record by a daemon before; 0: none */
	uint64_t save_ns; /* not before */
	bool has_work; /* entries that on_fault is to act on */
	bool is_dirty; /* the ledger does not know how far it was told */
};

int64_t fault_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t boot_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* When it was, by the clock of the time since boot. */
static int64_t record_us(const struct fault_watch *w, const struct kmsg_record *rec)
{
	return (int64_t)u64_min(rec->at_us, INT64_MAX / 2) + w->offset_us;
}

static int64_t record_ms(const struct fault_watch *w, const struct kmsg_record *rec)
{
	int64_t age = (boot_us() - record_us(w, rec)) / 1000;

	return fault_now_ms() - (age > 0 ? age : 0);
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* The VM that had the function at that time (or later by the clocks' difference); `start_ticks` of one that did not start
 * yet is 0. */
static bool owner_take(const struct daemon *d, const char *owner, int64_t latest_us,
		       struct fault_owner *out)
{
	const char *slash = strchr(owner, '/');
	long hz = sysconf(_SC_CLK_TCK);
	const struct vm *vm;
	char name[64];

	if (slash == NULL || hz <= 0)
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)(slash - owner), owner);
	vm = vm_find((struct daemon *)d, name);
	if (vm == NULL || !vm_is_up(vm) ||
	    latest_us < (int64_t)(vm->start_ticks * 1000000 / (uint64_t)hz))
		return false;
	snprintf(out->name, sizeof(out->name), "%s", owner);
	out->start_ticks = vm->start_ticks;
	return true;
}

static void owner_find(const struct daemon *d, const struct pci_addr *fn, int64_t latest_us,
		       struct fault_owner *out)
{
	*out = (struct fault_owner){ 0 };
	if (d->ledger == NULL)
		return;
	for (size_t i = 0; i < ledger_vf_count(d->ledger); i++) {
		const struct vf_row *row = ledger_vf_at(d->ledger, i);

		if (pci_addr_cmp(&row->addr, fn) == 0 && strcmp(row->boot_id, d->boot_id) == 0 &&
		    owner_take(d, row->owner, latest_us, out))
			return;
	}
	for (size_t i = 0; i < ledger_fn_count(d->ledger); i++) {
		const struct fn_row *row = ledger_fn_at(d->ledger, i);

		if (pci_addr_cmp(&row->addr, fn) == 0 && strcmp(row->boot_id, d->boot_id) == 0 &&
		    owner_take(d, row->owner, latest_us, out))
			return;
	}
}

/* VT-d's lines name no domain: the one function of the host that has the rest, or none for sure. */
static struct pci_addr function_find(const struct daemon *d, const struct kmsg_fault *f,
				     bool *is_ambiguous)
{
	struct pci_addr addr = f->source;
	unsigned int found = 0;

	for (size_t i = 0; !f->has_domain && i < inventory_count(d->inv); i++) {
		const struct pci_fn *fn = inventory_at(d->inv, i);

		if (pci_addr_rid(&fn->addr) != pci_addr_rid(&f->source))
			continue;
		if (found++ == 0)
			addr = fn->addr;
	}
	*is_ambiguous = found > 1;
	return found > 1 ? f->source : addr;
}

/* The first words at once, then one a minute; and of all functions together not too many. */
static void event_tell(struct fault_watch *w, struct fault_entry *entry,
		       const struct fault_record *record)
{
	char addr[PCI_ADDR_TEXT], what[FAULT_TEXT], text[384], more[48] = "";
	uint64_t held, now = now_ns(), since = entry->total - entry->told;
	bool is_dma = record->kind <= KMSG_INTERRUPT;
	struct err e = { 0 };

	if (w->d->ledger == NULL || !log_admit(&entry->events, now, &held) ||
	    !log_admit(&w->events, now, &held))
		return;
	if (since > 1)
		snprintf(more, sizeof(more), ", and %s%llu before it",
			 fault_log_is_short(&w->log) ? "at least " : "",
			 (unsigned long long)(since - 1));
	pci_addr_text(&entry->function, addr);
	snprintf(text, sizeof(text), "%s: %s%s", addr, fault_text(record, what), more);
	entry->told = entry->total;
	if (ledger_event_add(w->d->ledger, is_dma ? "dma-fault" : "device-error",
			     entry->owner.name[0] != '\0' ? entry->owner.name : addr, text, &e) < 0)
		log_err(&e, "faults");
}

/* State locked. */
static void record_take(struct fault_watch *w, const struct kmsg_record *rec)
{
	struct fault_record record = { .at_ms = record_ms(w, rec) };
	bool is_ambiguous, is_old = rec->seq <= w->told_seq;
	struct fault_owner owner = { 0 };
	struct fault_entry *entry;
	struct pci_addr function;

	if (fault_log_record(&w->log, rec, record.at_ms, &record.what) == NULL) {
		w->is_dirty |= w->log.last_loss_ms > 0 && w->log.last_loss_ms >= record.at_ms;
		return;
	}
	record.kind = record.what.kind;
	function = function_find(w->d, &record.what, &is_ambiguous);
	if (!is_ambiguous)
		owner_find(w->d, &function,
			   record_us(w, rec) + (w->has_offset ? LIVE_US : SLACK_US), &owner);
	entry = fault_log_note(&w->log, &function, &owner, &record);
	entry->is_ambiguous = is_ambiguous;
	if (is_old) {
		entry->is_acted = true;
		entry->told = entry->total;
		return;
	}
	event_tell(w, entry, &record);
	w->is_dirty = true;
	w->has_work |= record.kind <= KMSG_INTERRUPT && !entry->is_acted &&
		       entry->owner.name[0] != '\0';
}

/* State not locked. One at a time, since an act may take a VMM's whole deadline. */
static void acts_run(struct fault_watch *w)
{
	for (;;) {
		char owner[OWNER_TEXT] = "", why[FAULT_TEXT];

		state_lock(w->d);
		for (size_t i = 0; w->has_work && i < w->log.count && owner[0] == '\0'; i++) {
			struct fault_entry *entry = &w->log.entries[i];

			if (entry->is_acted || entry->owner.name[0] == '\0' ||
			    entry->last_bad_ms == 0 || entry->first_bad.kind > KMSG_INTERRUPT)
				continue;
			entry->is_acted = true;
			snprintf(owner, sizeof(owner), "%s", entry->owner.name);
			fault_text(&entry->first_bad, why);
		}
		w->has_work = owner[0] != '\0';
		state_unlock(w->d);
		if (owner[0] == '\0')
			return;
		if (vm_fault_act(w->d, owner, why))
			continue;
		/* Its guest may run already: when the start is over, and not never. */
		state_lock(w->d);
		fault_watch_forget_act(w->d, owner);
		w->has_work = true;
		state_unlock(w->d);
		return;
	}
}

void fault_watch_forget_act(struct daemon *d, const char *owner)
{
	for (size_t i = 0; d->faults != NULL && i < d->faults->log.count; i++)
		if (strcmp(d->faults->log.entries[i].owner.name, owner) == 0)
			d->faults->log.entries[i].is_acted = false;
}

/* The port of the VM that has this function; NULL: none. The VMM's own word for it is a peer's. */
static const char *port_of(const struct vm *vm, const char *addr)
{
	static const char *const lists[][2] = { { "ports", "vf" }, { "functions", "address" } };

	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		const json_t *list = json_object_get(vm->facts, lists[k][0]);

		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *one = json_array_get(list, i);
			const char *has = json_string_value(json_object_get(one, lists[k][1]));

			if (has != NULL && strcmp(has, addr) == 0)
				return json_string_value(json_object_get(one, "name"));
		}
	}
	return NULL;
}

void fault_watch_vfio_error(struct daemon *d, const char *vm, const char *text)
{
	const struct fault_record record = { .at_ms = fault_now_ms(), .kind = FAULT_VFIO_ERROR };
	const char *open = strchr(text, '('), *name = strstr(text, "port ");
	const char *close = open != NULL ? strchr(open, ')') : NULL;
	struct fault_owner owner = { 0 };
	const struct vm *known = vm_find(d, vm);
	char addr[PCI_ADDR_TEXT] = "";
	struct fault_entry *entry;
	struct pci_addr function;

	if (d->faults == NULL || known == NULL || name != text || close == NULL || open < name + 6)
		return;
	snprintf(addr, sizeof(addr), "%.*s", (int)(close - open - 1), open + 1);
	if (parse_pci_addr(addr, &function) < 0 || port_of(known, addr) == NULL)
		return;
	snprintf(owner.name, sizeof(owner.name), "%s/%s", vm, port_of(known, addr));
	owner.start_ticks = known->start_ticks;
	entry = fault_log_note(&d->faults->log, &function, &owner, &record);
	event_tell(d->faults, entry, &record);
}

const char *fault_watch_blind(const struct daemon *d)
{
	return d->faults != NULL && !d->faults->view.is_readable ? d->faults->view.why : NULL;
}

const struct fault_log *fault_watch_log(const struct daemon *d)
{
	return d->faults != NULL ? &d->faults->log : NULL;
}

bool fault_is_present(const struct daemon *d, const struct fault_entry *entry, int64_t now_ms)
{
	const char *slash = strchr(entry->owner.name, '/');
	const struct vm *vm;
	char name[64];

	if (entry->last_bad_ms == 0 || now_ms - entry->last_bad_ms > FAULT_ALARM_S * 1000LL)
		return false;
	if (slash == NULL)
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)(slash - entry->owner.name), entry->owner.name);
	vm = vm_find((struct daemon *)d, name);
	return vm != NULL && vm_is_up(vm) && vm->start_ticks == entry->owner.start_ticks;
}

/* State locked. Writing wakes the monitor, which looks for alarms then. */
static void progress_save(struct fault_watch *w)
{
	struct err e = { 0 };

	if (!w->is_dirty || now_ns() < w->save_ns || w->log.next_seq == 0)
		return;
	if (ledger_kmsg_put(w->d->ledger, w->log.next_seq - 1, &e) < 0)
		log_err(&e, "faults");
	w->is_dirty = false;
	w->save_ns = now_ns() + SAVE_NS;
}

/* At most BATCH records. 0: there may be more; -EAGAIN: there are none. */
static int batch_take(struct fault_watch *w)
{
	struct kmsg_record rec;
	int r = 0;

	for (int i = 0; r == 0 && i < BATCH; i++) {
		uint64_t cut = w->reader.cut;

		r = kmsg_reader_next(&w->reader, &rec);
		if (r == 0 && w->is_waiting) {
			w->offset_us = boot_us() - (int64_t)u64_min(rec.at_us, INT64_MAX / 2);
			w->has_offset = true;
		}
		w->is_waiting = false;
		state_lock(w->d);
		if (w->reader.cut != cut)
			fault_log_lost(&w->log, w->reader.cut - cut, fault_now_ms());
		if (r == 0 && rec.seq >= w->read_seq)
			record_take(w, &rec);
		state_unlock(w->d);
	}
	return r;
}

static void watch_open(struct fault_watch *w)
{
	struct err e = { 0 };

	w->view.is_readable = kmsg_reader_open(&w->reader, w->d->opt->dev_dir, &e) == 0;
	snprintf(w->view.why, sizeof(w->view.why), "%s", e.text);
}

/* The alarm says that faults are not seen, until they are. What was read before is not taken twice. */
static void reader_try_again(struct fault_watch *w)
{
	state_lock(w->d);
	w->read_seq = w->log.next_seq;
	watch_open(w);
	if (w->view.is_readable)
		log_info("the kernel's log is read again");
	state_unlock(w->d);
}

static void reader_ended(struct fault_watch *w, int r)
{
	log_warn("the kernel's log cannot be read any more: %s; faults of devices are not seen",
		 strerror(-r));
	kmsg_reader_close(&w->reader);
	state_lock(w->d);
	w->view.is_readable = false;
	snprintf(w->view.why, sizeof(w->view.why), "reading it failed: %s", strerror(-r));
	state_unlock(w->d);
}

static void wait_for_word(struct fault_watch *w, uint64_t pause_ns, bool is_more)
{
	struct pollfd p[2] = { { .fd = w->stop_fd, .events = POLLIN },
			       { .fd = pause_ns > 0 ? -1 : w->reader.fd, .events = POLLIN } };
	int ms = pause_ns > 0		      ? (int)u64_min(pause_ns / 1000000 + 1, PAUSE_MS_MAX)
		 : is_more		      ? 0
		 : w->is_dirty || w->has_work ? (int)(SAVE_NS / 1000000)
		 : w->reader.fd < 0	      ? REOPEN_MS
					      : -1;

	(void)poll(p, 2, ms);
}

static void *watch_main(void *arg)
{
	struct fault_watch *w = arg;
	uint64_t pause_ns;
	int r;

	vm_quarantines_resume(w->d);
	cpu_budget_init(&w->budget, now_ns(), thread_cpu_ns());
	/* acquire: pairs with release in fault_watch_destroy() */
	while (!atomic_load_explicit(&w->must_end, memory_order_acquire)) {
		if (w->reader.fd < 0)
			reader_try_again(w);
		r = w->reader.fd >= 0 ? batch_take(w) : -EAGAIN;
		if (r < 0 && r != -EAGAIN)
			reader_ended(w, r);
		acts_run(w);
		state_lock(w->d);
		progress_save(w);
		pause_ns = cpu_budget_settle(&w->budget, now_ns(), thread_cpu_ns());
		fault_reader_view_note(&w->view, w->budget.wall_ns, w->budget.cpu_ns, pause_ns > 0);
		state_unlock(w->d);
		w->is_waiting = r == -EAGAIN && pause_ns == 0;
		wait_for_word(w, pause_ns, r == 0);
	}
	return NULL;
}

static void watch_free(struct fault_watch *w)
{
	kmsg_reader_close(&w->reader);
	fd_close(&w->stop_fd);
	free(w);
}

int fault_watch_create(struct daemon *d, struct err *e)
{
	struct fault_watch *w = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return err_set(e, ENOMEM, "no memory");
	w->d = d;
	w->reader.fd = -1;
	w->events = (struct log_limit){ .burst = EVENTS_BURST, .every_ns = 1000000000ULL };
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = w->stop_fd < 0 ? err_set(e, errno, "eventfd: %s", strerror(errno)) : 0;
	if (r == 0) {
		watch_open(w);
		if (!w->view.is_readable)
			log_warn("faults of devices are not seen: %s", w->view.why);
		state_lock(d);
		r = ledger_kmsg_get(d->ledger, &w->told_seq, e);
		state_unlock(d);
	}
	if (r == 0) {
		r = -pthread_create(&w->thread, NULL, watch_main, w);
		w->has_thread = r == 0;
		if (r < 0)
			err_set(e, r, "the watch for faults: %s", strerror(-r));
	}
	if (r < 0) {
		watch_free(w);
		return r;
	}
	state_lock(d);
	d->faults = w;
	state_unlock(d);
	return 0;
}

void fault_watch_destroy(struct daemon *d)
{
	struct fault_watch *w;
	const uint64_t one = 1;

	state_lock(d);
	w = d->faults;
	d->faults = NULL;
	state_unlock(d);
	if (w == NULL)
		return;
	if (w->has_thread) {
		/* release: pairs with acquire in watch_main() */
		atomic_store_explicit(&w->must_end, true, memory_order_release);
		if (write(w->stop_fd, &one, sizeof(one)) < 0)
			log_warn("the watch for faults cannot be woken: %s", strerror(errno));
		pthread_join(w->thread, NULL);
	}
	watch_free(w);
}

static int once_json(struct daemon *d, json_t **out, struct err *e)
{
	struct fault_watch *w = calloc(1, sizeof(*w));
	struct kmsg_record rec;

	if (w == NULL)
		return err_set(e, ENOMEM, "no memory");
	w->d = d;
	watch_open(w);
	state_lock(d);
	w->told_seq = UINT64_MAX;
	for (unsigned int n = 0;
	     n < FAULT_ONCE_RECORDS && w->reader.fd >= 0 && kmsg_reader_next(&w->reader, &rec) == 0;
	     n++)
		record_take(w, &rec);
	*out = fault_log_json(d, &w->log, &w->view);
	state_unlock(d);
	kmsg_reader_close(&w->reader);
	free(w);
	return *out == NULL ? err_set(e, ENOMEM, "no memory") : 0;
}

int fault_watch_json(struct daemon *d, json_t **out, struct err *e)
{
	if (d->faults == NULL)
		return once_json(d, out, e);
	state_lock(d);
	*out = fault_log_json(d, &d->faults->log, &d->faults->view);
	state_unlock(d);
	return *out == NULL ? err_set(e, ENOMEM, "no memory") : 0;
}
