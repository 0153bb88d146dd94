// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pfconfirm.h"

#include "vf-manager/ledger_event.h"
#include "vf-manager/pfapply.h"
#include "vf-manager/pool.h"
#include "vf-manager/vmops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NS 1000000000ULL
#define LOOK_NS \
	NS /* the clock of the deadline is not that of the wait: a host that slept is seen so late */
#define RETRY_NS (10 * NS)

static uint64_t boot_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

int confirm_begin(struct daemon *d, const struct pf_plan *plan, const struct pf_wish *wish,
		  struct err *e)
{
	struct confirm_row row = { .pf = plan->pf,
				   .former = plan->from,
				   .vfs = plan->to,
				   .uid = wish->uid,
				   .deadline_ns = boot_now_ns() + wish->confirm_s * NS,
				   .deadline_at = time(NULL) + wish->confirm_s };

	memcpy(row.boot_id, d->boot_id, sizeof(row.boot_id));
	return ledger_confirm_put(d->ledger, &row, e);
}

bool confirm_forbids(struct daemon *d, const struct pf_plan *plan, struct err *e)
{
	const struct confirm_row *row = ledger_confirm_find(d->ledger, &plan->pf);
	const char *name = plan->dev_name[0] != '\0' ? plan->dev_name : plan->name;

	if (row == NULL || plan->to == row->former)
		return false;
	err_set(e, EBUSY, "its %u VFs are on trial, it had %u before", row->vfs, row->former);
	err_code(e, "pf-on-trial");
	err_hint(e, "viaduct pf confirm %s   keeps them; viaduct pf apply %s --vfs %u   goes back",
		 name, name, row->former);
	return true;
}

int confirm_check(const struct daemon *d, const struct confirm_row *trial, struct err *e)
{
	const struct confirm_row *now = trial != NULL ? ledger_confirm_find(d->ledger, &trial->pf)
						      : NULL;

	if (trial == NULL || (now != NULL && now->deadline_at == trial->deadline_at &&
			      now->vfs == trial->vfs && now->former == trial->former))
		return 0;
	return err_set(e, ECANCELED, "its %u VFs were confirmed meanwhile, and stay", trial->vfs);
}

/* State locked. */
static int trial_end(struct daemon *d, const struct pci_addr *pf, const char *why, struct err *e)
{
	char addr[PCI_ADDR_TEXT];
	int r = ledger_confirm_del(d->ledger, pf, e);

	pci_addr_text(pf, addr);
	if (r == 0)
		r = ledger_event_add(d->ledger, "pf", addr, why, e);
	if (r == 0)
		log_info("PF %s: %s", addr, why);
	return r;
}

int confirm_over(struct daemon *d, const struct pci_addr *pf, const char *why, struct err *e)
{
	return ledger_confirm_find(d->ledger, pf) != NULL ? trial_end(d, pf, why, e) : 0;
}

int confirm_keep(struct daemon *d, const char *name, uid_t uid, struct err *e)
{
	const struct confirm_row *row = NULL;
	const struct pci_fn *pf;
	char why[96];
	int r;

	state_lock(d);
	r = daemon_scan(d, e);
	if (r == 0)
		r = pool_pf_find(d, name, &pf, e);
	if (r == 0)
		row = ledger_confirm_find(d->ledger, &pf->addr);
	if (r == 0 && row == NULL) {
		err_set(e, EBUSY, "PF %s has nothing on trial", name);
		err_code(e, "nothing-on-trial");
		r = err_hint(e,
			     "viaduct pf show %s   says how many VFs it has; viaduct events   "
			     "whether they went back",
			     name);
	}
	if (r == 0) {
		snprintf(why, sizeof(why), "%u VFs are confirmed by uid %u", row->vfs, uid);
		r = trial_end(d, &pf->addr, why, e);
	}
	state_unlock(d);
	return r;
}

/* The next that is due, copied; *wait_ns until the earliest that is not. */
static bool due_find(struct daemon *d, struct confirm_row *out, uint64_t *wait_ns)
{
	uint64_t now = boot_now_ns();
	bool is_found = false;

	*wait_ns = UINT64_MAX;
	state_lock(d);
	for (size_t i = 0; i < ledger_confirm_count(d->ledger) && !is_found; i++) {
		const struct confirm_row *row = ledger_confirm_at(d->ledger, i);

		if (row->deadline_ns > now && strcmp(row->boot_id, d->boot_id) == 0) {
			*wait_ns = u64_min(*wait_ns, row->deadline_ns - now);
			continue;
		}
		*out = *row;
		is_found = true;
	}
	state_unlock(d);
	return is_found;
}

/* The boot has destroyed the VFs, and the configuration's count is applied as at every start. */
static int ended_by_boot(struct daemon *d, const struct confirm_row *row, struct err *e)
{
	int r;

	op_lock(d);
	state_lock(d);
	r = trial_end(d, &row->pf, "VFs on trial are undone: the host was started again", e);
	state_unlock(d);
	op_unlock(d);
	return r;
}

/* Somebody is in the way: tried again, and said. */
static void put_off(struct daemon *d, const struct confirm_row *due, const struct err *why)
{
	const struct confirm_row *now;
	struct confirm_row row;
	struct err e = { 0 };

	state_lock(d);
	now = ledger_confirm_find(d->ledger, &due->pf);
	if (now != NULL && confirm_check(d, due, NULL) == 0) {
		row = *now;
		row.deadline_ns = boot_now_ns() + RETRY_NS;
		snprintf(row.note, sizeof(row.note), "%.*s", (int)sizeof(row.note) - 1, why->text);
		if (ledger_confirm_put(d->ledger, &row, &e) < 0)
			log_err(&e, "a trial");
	}
	state_unlock(d);
}

static bool take_back(struct daemon *d, const struct confirm_row *row)
{
	const struct pf_wish wish = { .vfs = row->former,
				      .uid = row->uid,
				      .timeout_s = VM_STOP_DEFAULT_S,
				      .hurts_all = true,
				      .trial = row };
	char name[PCI_ADDR_TEXT];
	struct err e = { 0 };
	int r;

	if (strcmp(row->boot_id, d->boot_id) != 0) {
		r = ended_by_boot(d, row, &e);
	} else {
		log_warn("PF %s: nobody has confirmed its %u VFs: it goes back to %u",
			 pci_addr_text(&row->pf, name), row->vfs, row->former);
		r = pf_apply_disrupting(d, name, &wish, &e);
	}
	if (r == 0)
		return true;
	log_err(&e, "VFs on trial");
	put_off(d, row, &e);
	return false;
}

uint64_t confirm_look(struct daemon *d)
{
	struct confirm_row due;
	uint64_t wait_ns;

	while (due_find(d, &due, &wait_ns))
		if (!take_back(d, &due))
			return LOOK_NS;
	return wait_ns;
}

json_t *confirm_json(const struct daemon *d, const struct pci_addr *pf)
{
	const struct confirm_row *row = d->ledger != NULL ? ledger_confirm_find(d->ledger, pf)
							  : NULL;
	uint64_t now = boot_now_ns();

	if (row == NULL)
		return json_null();
	return json_pack("{s:i, s:i, s:I, s:I, s:s?}", "vfs", (int)row->vfs, "former",
			 (int)row->former, "seconds_left",
			 (json_int_t)(row->deadline_ns > now ? (row->deadline_ns - now) / NS : 0),
			 "deadline_at", (json_int_t)row->deadline_at, "problem",
			 row->note[0] != '\0' ? row->note : NULL);
}

struct confirmer {
	struct daemon *d;
	pthread_t thread;
};

static void *confirmer_main(void *arg)
{
	struct daemon *d = ((struct confirmer *)arg)->d;
	bool must_end = false;

	while (!must_end) {
		uint64_t wait_ns = u64_min(confirm_look(d), LOOK_NS), until;
		struct timespec ts;

		until = now_ns() + wait_ns;
		ts = (struct timespec){ .tv_sec = (time_t)(until / NS),
					.tv_nsec = (long)(until % NS) };
		state_lock(d);
		if (!d->is_ending && ledger_confirm_count(d->ledger) == 0)
			pthread_cond_wait(&d->changed, &d->state);
		else if (!d->is_ending)
			pthread_cond_timedwait(&d->changed, &d->state, &ts);
		must_end = d->is_ending;
		state_unlock(d);
	}
	return NULL;
}

int confirmer_create(struct daemon *d, struct confirmer **out, struct err *e)
{
	struct confirmer *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return err_set(e, ENOMEM, "no memory");
	c->d = d;
	r = -pthread_create(&c->thread, NULL, confirmer_main, c);
	if (r < 0) {
		free(c);
		return err_set(e, r, "the thread for VFs on trial: %s", strerror(-r));
	}
	*out = c;
	return 0;
}

void confirmer_destroy(struct confirmer *c)
{
	if (c == NULL)
		return;
	daemon_end(c->d);
	pthread_join(c->thread, NULL);
	free(c);
}
