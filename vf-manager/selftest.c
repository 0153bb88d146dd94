// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/selftest.h"

#include "vf-manager/hostcheck.h"
#include "vf-manager/operations.h"
#include "vf-manager/pool.h"
#include "vf-manager/posture.h"
#include "vf-manager/privops.h"
#include "vf-manager/vm.h"

#include "base/fd.h"
#include "base/json.h"
#include "iommu/vtd_regs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TEXT 512

struct test {
	struct daemon *d;
	struct operation *op;
	json_t *steps; /* of the report */
	json_t *vf; /* of the report; NULL: none */
	struct posture_host *posture;
	enum iommu_tristate unit_posts; /* that is behind the VF */
	bool is_leased; /* hold is ours */
	struct vf_hold hold;
	uint64_t began_ns; /* of the step under way */
};

/* It leases, tests and wipes: one at a time, and who comes meanwhile hears so. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void begin(struct test *t)
{
	t->began_ns = now_ns();
}

static void step(struct test *t, const char *id, enum selftest_result result, const char *text,
		 const char *hint)
{
	const struct selftest_step s = { .id = id,
					 .result = result,
					 .text = text,
					 .hint = hint,
					 .us = (now_ns() - t->began_ns) / 1000 };

	selftest_step_add(t->steps, &s);
	begin(t);
}

static void step_err(struct test *t, const char *id, const struct err *e)
{
	step(t, id, SELFTEST_FAIL, e->text, e->hint);
}

static void machine_steps(struct test *t)
{
	const struct posture_host *p = t->posture;
	char text[TEXT];
	bool is_usable = false, is_known, is_on;

	begin(t);
	step(t, "cpu", p->cpu.has_nested_paging ? SELFTEST_PASS : SELFTEST_FAIL, p->cpu.text,
	     p->cpu.has_nested_paging ? NULL : "viaduct host check   says what to change");
	is_known = host_kvm_check(t->d, &is_usable, text);
	step(t, "kvm",
	     is_usable	? SELFTEST_PASS
	     : is_known ? SELFTEST_FAIL
			: SELFTEST_NOT_RUN,
	     text, is_usable ? NULL : "viaduct host check   says what to change");
	is_on = p->has_iommu && p->iommu.dma_remapping == IOMMU_ON &&
		p->iommu.interrupt_remapping == IOMMU_ON;
	snprintf(text, sizeof(text), "%s, %u units; interrupt remapping: %s",
		 p->has_iommu ? p->iommu.kind : "not known", p->iommu.units,
		 p->has_iommu ? p->iommu.evidence : "not known");
	step(t, "iommu", is_on ? SELFTEST_PASS : SELFTEST_FAIL, text,
	     is_on ? NULL : "viaduct host check   says what to change");
}

/* What a test that a crash cut short has left. Op locked: no other one is under way. */
static int leftovers_release(struct daemon *d, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ledger_vf_count(d->ledger); i++) {
		const struct vf_row row = *ledger_vf_at(d->ledger, i);
		const struct vf_ref ref = { .pf = row.pf, .index = row.index };

		if (strcmp(row.owner, SELFTEST_OWNER) == 0 && row.state != VF_QUARANTINED)
			r = pool_release(d, &ref, false, e);
	}
	return r < 0 ? err_wrap(e, "the VF of an earlier self test") : 0;
}

/* Op locked. What the VF's PF must be: nobody's link is switched on for a test. */
static int pf_check(const struct pci_fn *vf, struct err *e)
{
	const struct pci_fn *pf = vf->pf;

	if (pf->kind != FN_NETWORK || pf->ifindex == 0 || pf->net.admin_up)
		return 0;
	err_set(e, ENETDOWN, "its PF %s is switched off", pf->name);
	return err_hint(e,
			"ip link set DEVICE up with the network device that viaduct pf show %s "
			"names; or --pf with another PF",
			pf->name);
}

static void unit_take(struct test *t, const char *name)
{
	const struct iommu_unit *u = name != NULL ? iommu_unit_find(&t->posture->units, name)
						  : NULL;

	if (u != NULL && u->has_registers)
		t->unit_posts = VTD_CAP_PI(u->cap) ? IOMMU_ON : IOMMU_OFF;
}

/* State locked. */
static int isolation_step(struct test *t, const struct pci_fn *vf, struct err *e)
{
	auto_json json_t *p = posture_short(t->posture, vf);
	const char *verdict = json_string_value(json_object_get(p, "verdict"));
	const char *code = json_string_value(json_object_get(p, "code"));
	const char *unit = json_string_value(json_object_get(p, "unit"));
	char text[TEXT], hint[160];
	int r = posture_alone_check(t->d, vf, e);

	if (r < 0) {
		step_err(t, "isolation", e);
		return r;
	}
	unit_take(t, unit);
	snprintf(text, sizeof(text), "%s behind %s%s%s%s", verdict, unit != NULL ? unit : "no unit",
		 code != NULL ? " (" : "", code != NULL ? code : "", code != NULL ? ")" : "");
	snprintf(hint, sizeof(hint), "viaduct iommu group %s   has each check with its evidence",
		 vf->name);
	step(t, "isolation",
	     strcmp(verdict, "isolated") == 0	 ? SELFTEST_PASS
	     : strcmp(verdict, "not-known") == 0 ? SELFTEST_NOT_RUN
						 : SELFTEST_FAIL,
	     text, code != NULL ? hint : NULL);
	return 0;
}

/* Op locked. Which VF, and may it be touched. */
static int vf_take(struct test *t, const char *pf, struct err *e)
{
	const struct vf_want want = {
		.source = PORT_FROM_PF, .target = pf, .numa_node = -1, .owner = SELFTEST_OWNER
	};
	const struct pci_fn *vf;
	char text[TEXT];
	int r = pool_lease(t->d, &want, &t->hold, e);

	if (r < 0)
		return r;
	t->is_leased = true;
	state_lock(t->d);
	r = daemon_scan_vf_pf(t->d, &t->hold.addr, e);
	vf = r == 0 ? inventory_find(t->d->inv, &t->hold.addr) : NULL;
	if (r == 0 && vf == NULL)
		r = err_set(e, ENODEV, "VF %s is gone", t->hold.id);
	if (r == 0) {
		t->vf = selftest_vf_facts(t->d, vf);
		r = pf_check(vf, e);
	}
	if (r == 0) {
		snprintf(text, sizeof(text), "%s (%s), leased to %s", t->hold.id, vf->name,
			 SELFTEST_OWNER);
		step(t, "vf", SELFTEST_PASS, text, NULL);
		r = isolation_step(t, vf, e);
	}
	state_unlock(t->d);
	return r;
}

/* Op locked. */
static void vf_test(struct test *t)
{
	const struct vf_attrs nothing = { 0 };
	const enum iommu_tristate cpu = t->posture->cpu.has_posted ? IOMMU_ON : IOMMU_OFF;
	auto_json json_t *said = NULL;
	struct err why = { 0 };
	uid_t uid = 0;
	int r;

	operation_step(t->op, "VF %s is tested", t->hold.id);
	r = pool_bind(t->d, &t->hold, &nothing, &why);
	state_lock(t->d);
	if (r == 0)
		r = vm_uid_pick(t->d, &uid, &why);
	state_unlock(t->d);
	if (r == 0)
		r = priv_selftest_run(t->d, &t->hold.addr, uid, &said, &why);
	selftest_steps_take(t->steps, said, r < 0 ? &why : NULL);
	selftest_posted_add(t->steps, said, cpu, t->unit_posts);
}

/* What the last wiping read back after its reset. */
static void scrub_text(struct test *t, char text[TEXT])
{
	struct ledger_scrub last = { 0 };
	const json_t *one;
	size_t i;

	snprintf(text, TEXT, "the VF is free");
	state_lock(t->d);
	if (ledger_scrub_get(t->d->ledger, &t->hold.pf, t->hold.index, &last, NULL) == 0)
		json_array_foreach(last.steps, i, one) {
			const char *name = json_string_value(json_object_get(one, "step"));
			const char *read = json_string_value(json_object_get(one, "read"));

			if (name != NULL && read != NULL && strcmp(name, "reset") == 0)
				snprintf(text, TEXT, "reset by %s; the VF is free", read);
		}
	state_unlock(t->d);
	json_decref(last.steps);
}

/* Op locked. As after a VM. */
static void vf_release(struct test *t)
{
	const struct vf_ref ref = { .pf = t->hold.pf,
				    .index = t->hold.index,
				    .generation = t->hold.generation };
	struct err why = { 0 };
	char text[TEXT];
	int r;

	if (!t->is_leased)
		return;
	operation_step(t->op, "VF %s is wiped", t->hold.id);
	begin(t);
	r = pool_release(t->d, &ref, false, &why);
	if (r < 0) {
		step(t, "scrub", SELFTEST_FAIL, why.text,
		     "viaduct vf list   shows it; viaduct vf scrub VF   tries again");
		return;
	}
	scrub_text(t, text);
	step(t, "scrub", SELFTEST_PASS, text, NULL);
}

/* All of it with `op` locked: what the VF is and whose changes for nobody meanwhile. It is a matter of seconds. */
static int vf_steps(struct test *t, const char *pf, struct err *e)
{
	struct err why = { 0 };
	int r;

	op_lock(t->d);
	begin(t);
	r = leftovers_release(t->d, &why);
	if (r == 0)
		r = vf_take(t, pf, &why);
	if (r == 0)
		vf_test(t);
	vf_release(t);
	op_unlock(t->d);
	/* What was asked for is not there: that is the asker's to mend, not the report's. */
	if (r == -ENOENT && pf != NULL && !t->is_leased) {
		*e = why;
		return r;
	}
	if (r < 0)
		selftest_steps_skip(t->steps, why.text, why.hint);
	return 0;
}

static void names_hide(struct test *t)
{
	auto_free struct selftest_name *names = NULL;
	size_t count = 0;

	state_lock(t->d);
	names = calloc(inventory_count(t->d->inv) + 1, sizeof(*names));
	for (size_t i = 0; names != NULL && i < inventory_count(t->d->inv); i++) {
		const struct pci_fn *fn = inventory_at(t->d->inv, i);

		if (fn->kind == FN_NETWORK && fn->dev_name[0] != '\0')
			names[count++] = (struct selftest_name){ fn->dev_name, fn->name };
	}
	if (names != NULL)
		selftest_names_hide(t->steps, names, count);
	state_unlock(t->d);
}

static json_t *report_make(struct test *t, int64_t at)
{
	json_t *report = selftest_facts(t->d);

	names_hide(t);
	json_object_set_new(report, "report", json_integer(SELFTEST_REPORT));
	json_object_set_new(report, "at", json_integer(at));
	json_object_set_new(report, "virtualization", json_string(t->posture->cpu.text));
	json_object_set_new(report, "iommu", json_string(t->posture->iommu.kind));
	json_object_set(report, "vf", t->vf != NULL ? t->vf : json_null());
	json_object_set_new(report, "verdict", json_string(selftest_verdict(t->steps)));
	json_object_set(report, "steps", t->steps);
	return report;
}

int host_selftest(struct daemon *d, const struct selftest_wish *wish, json_t **report,
		  struct err *e)
{
	struct test t = { .d = d, .op = wish->op };
	const int64_t at = time(NULL);
	int r;

	if (pthread_mutex_trylock(&turn) != 0) {
		err_set(e, EBUSY, "a self test is under way");
		err_code(e, "selftest-running");
		return err_hint(e, "the same again in a minute");
	}
	t.steps = json_array();
	t.posture = posture_host_read(d);
	r = t.posture != NULL ? 0 : err_set(e, ENOMEM, "no memory");
	if (r == 0) {
		operation_step(wish->op, "the machine is looked at");
		machine_steps(&t);
		r = vf_steps(&t, wish->pf, e);
	}
	if (r == 0)
		*report = report_make(&t, at);
	posture_host_free(t.posture);
	json_decref(t.vf);
	json_decref(t.steps);
	pthread_mutex_unlock(&turn);
	return r;
}
