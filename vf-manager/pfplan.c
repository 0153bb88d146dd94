// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pfplan.h"

#include "vf-manager/pool.h"
#include "vf-manager/pool_pick.h"

#include "base/fd.h"
#include "base/json.h"
#include "sriov/pfquirk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS_IN_HINT 280

static const char *plan_name(const struct pf_plan *plan)
{
	return plan->dev_name[0] != '\0' ? plan->dev_name : plan->name;
}

static int pf_check(struct daemon *d, const struct pci_fn *pf, uint16_t vfs, struct err *e)
{
	const struct fn_row *fn = ledger_fn_find(d->ledger, &pf->addr);

	if (vfs > pf->total_vfs) {
		err_set(e, ERANGE, "has %u VFs at most, not %u", pf->total_vfs, vfs);
		return err_code(e, "too-many-vfs");
	}
	if (fn == NULL)
		return 0;
	err_set(e, EBUSY, "is %s as a whole function: %s has it", fn_state_text(fn->state),
		fn->owner[0] != '\0' ? fn->owner : "nobody");
	err_code(e, "function-in-use");
	return err_hint(e, "viaduct function show %s", pf->name);
}

/* Viaduct-pmd's VFs stay as long as the configuration has their uplinks. */
static int reserved_check(struct daemon *d, const struct pci_fn *pf, struct err *e)
{
	for (unsigned int i = 0; i < pf->num_vfs; i++) {
		const struct vf_row *row = ledger_vf_find(d->ledger, &pf->addr, (uint16_t)i);

		if (row == NULL || pf->vfs[i] == NULL || !pool_owner_is_uplink(row->owner) ||
		    pool_vf_state(d, pf->vfs[i], NULL) == VF_FREE)
			continue;
		err_set(e, EBUSY, "its VF %u is reserved for the %s", i, row->owner);
		err_code(e, "vf-in-use");
		return err_hint(
			e, "take the uplink out of viaductd.yaml, restart viaductd, then again");
	}
	return 0;
}

/* False: nobody loses anything with this VF. */
static bool hurt_fill(struct daemon *d, const struct pci_fn *vf, struct pf_hurt *out)
{
	const struct vf_row *row = ledger_vf_find(d->ledger, &vf->pf->addr, vf->vf_index);
	const char *slash;

	*out = (struct pf_hurt){ .addr = vf->addr,
				 .index = vf->vf_index,
				 .is_unused = vf->driver[0] == '\0' };
	out->state = pool_vf_state(d, vf, out->why);
	if (out->state == VF_FREE || out->state == VF_QUARANTINED)
		return false;
	vf_id_text(vf, out->id);
	if (out->state == VF_FOREIGN || row == NULL)
		return true;
	snprintf(out->lease, sizeof(out->lease), "%s", row->lease);
	slash = strchr(row->owner, '/');
	if (slash != NULL && pool_owner_lives(d, row->owner)) {
		snprintf(out->vm, sizeof(out->vm), "%.*s", (int)(slash - row->owner), row->owner);
		snprintf(out->port, sizeof(out->port), "%s", slash + 1);
	}
	out->is_left = out->vm[0] == '\0' && (slash != NULL || out->lease[0] == '\0');
	return true;
}

static int hurts_find(struct daemon *d, const struct pci_fn *pf, struct pf_plan *plan,
		      struct err *e)
{
	if (plan->is_done || pf->num_vfs == 0)
		return 0;
	plan->hurt = calloc(pf->num_vfs, sizeof(*plan->hurt));
	if (plan->hurt == NULL)
		return err_set(e, ENOMEM, "no memory");
	for (unsigned int i = 0; i < pf->num_vfs; i++)
		if (pf->vfs[i] != NULL && hurt_fill(d, pf->vfs[i], &plan->hurt[plan->hurt_count]))
			plan->hurt_count++;
	return 0;
}

/* The first of several ports of one VM. */
static bool vm_is_new(const struct pf_plan *plan, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (strcmp(plan->hurt[i].vm, plan->hurt[at].vm) == 0)
			return false;
	return plan->hurt[at].vm[0] != '\0';
}

static void hurt_steps(const struct pf_plan *plan, unsigned int timeout_s)
{
	for (size_t i = 0; i < plan->hurt_count; i++)
		if (vm_is_new(plan, i))
			json_add_text(
				plan->steps,
				"stop the VM %s: power button, killed after %u s; its VFs are wiped",
				plan->hurt[i].vm, timeout_s);
	for (size_t i = 0; i < plan->hurt_count; i++)
		if (plan->hurt[i].lease[0] != '\0')
			json_add_text(
				plan->steps,
				plan->hurt[i].index < plan->to
					? "the lease %s gets VF %s anew, wiped, with its attributes"
					: "the lease %s waits: there will be no VF %s",
				plan->hurt[i].lease, plan->hurt[i].id);
}

static void count_steps(const struct pci_fn *pf, const struct pf_plan *plan)
{
	json_t *steps = plan->steps;

	json_add_text(steps, "write the intent into the ledger: a crash from here on is finished");
	if (plan->to > 0 && pf->autoprobe)
		json_add_text(steps, "sriov_drivers_autoprobe 0: no driver of the host takes a VF");
	if (plan->from > 0)
		json_add_text(steps, "sriov_numvfs 0: the %u VFs that are there are destroyed",
			      plan->from);
	if (plan->to > 0) {
		json_add_text(steps, "sriov_numvfs %u", plan->to);
		json_add_text(steps,
			      "wait until each of the %u VFs answers%s, and read the count back",
			      plan->to, pf->iommu_group >= 0 ? " and has an IOMMU group" : "");
	}
	if (plan->to > 0 && pf->ifindex != 0 && !pf->net.admin_up)
		json_add_text(steps, "bring %s up: VFs are dead without it", pf->dev_name);
	json_add_text(steps, "write into the ledger that the %u VFs are viaduct's", plan->to);
}

static void note_add(void *notes, const char *text)
{
	json_add_text(notes, "%s", text);
}

int pf_plan_make(struct daemon *d, const char *name, const struct pf_wish *wish,
		 struct pf_plan *out, struct err *e)
{
	const struct pci_fn *pf;
	int r = pool_pf_find(d, name, &pf, e);

	*out = (struct pf_plan){ .to = wish->vfs };
	if (r == 0)
		r = pf_check(d, pf, wish->vfs, e);
	if (r < 0)
		return err_wrap(e, "PF %s", name);
	out->pf = pf->addr;
	out->from = pf->num_vfs;
	snprintf(out->name, sizeof(out->name), "%s", pf->name);
	snprintf(out->dev_name, sizeof(out->dev_name), "%s", pf->dev_name);
	out->is_done = pf->num_vfs == wish->vfs && pool_pf_is_ours(d, pf);
	if (!out->is_done && d->ledger != NULL && reserved_check(d, pf, e) < 0)
		return err_wrap(e, "PF %s", name);
	r = hurts_find(d, pf, out, e);
	if (r < 0)
		return r;
	out->steps = json_array();
	out->notes = json_array();
	if (out->is_done)
		return 0;
	hurt_steps(out, wish->timeout_s);
	count_steps(pf, out);
	pf_quirk_each_note(pf_quirk_find(pf->driver), note_add, out->notes);
	return 0;
}

void pf_plan_fini(struct pf_plan *plan)
{
	free(plan->hurt);
	json_decref(plan->steps);
	json_decref(plan->notes);
	*plan = (struct pf_plan){ 0 };
}

static bool is_named(const struct pf_wish *wish, const char *prefix, const char *name)
{
	const json_t *item;
	size_t i, len = strlen(prefix);

	json_array_foreach(wish->disrupt, i, item) {
		const char *text = json_string_value(item);

		if (text != NULL && strncmp(text, prefix, len) == 0 &&
		    strcmp(text + len, name) == 0)
			return true;
	}
	return wish->hurts_all;
}

/* "fw1,lease:mine": what --disrupt would have to say, all of it. NULL: no memory. */
static char *words_make(const struct pf_plan *plan)
{
	const size_t cap = plan->hurt_count * (sizeof(plan->hurt[0].vm) + LEASE_TEXT +
					       sizeof(PF_DISRUPT_LEASE)) +
			   1;
	char *out = calloc(1, cap);
	size_t len = 0;

	for (size_t i = 0; out != NULL && i < plan->hurt_count; i++) {
		const struct pf_hurt *h = &plan->hurt[i];

		if (vm_is_new(plan, i))
			len += (size_t)snprintf(out + len, cap - len, "%s%s", len > 0 ? "," : "",
						h->vm);
		if (h->lease[0] != '\0' && h->state != VF_FOREIGN)
			len += (size_t)snprintf(out + len, cap - len, "%s%s%s", len > 0 ? "," : "",
						PF_DISRUPT_LEASE, h->lease);
	}
	return out;
}

/* Half of them would be refused, too. */
static int hurt_hint(const struct pf_plan *plan, struct err *e)
{
	auto_free char *words = words_make(plan);
	const char *name = plan_name(plan);

	if (words != NULL && strlen(words) < WORDS_IN_HINT)
		return err_hint(e, "viaduct pf apply %s --vfs %u --disrupt %s", name, plan->to,
				words);
	return err_hint(e, "viaduct pf plan %s --vfs %u   has all that --disrupt must name", name,
			plan->to);
}

static int refuse_hurt(const struct pf_plan *plan, const struct pf_wish *wish, struct err *e)
{
	char all[400] = "";
	size_t len = 0;

	for (size_t i = 0; i < plan->hurt_count && len < sizeof(all); i++) {
		const struct pf_hurt *h = &plan->hurt[i];

		if (h->vm[0] != '\0' && (wish->are_stopped || !is_named(wish, "", h->vm)))
			len += (size_t)snprintf(all + len, sizeof(all) - len,
						"%sVM %s (port %s, VF %s)", len > 0 ? ", " : "",
						h->vm, h->port, h->id);
		if (h->lease[0] != '\0' && len < sizeof(all) &&
		    !is_named(wish, PF_DISRUPT_LEASE, h->lease))
			len += (size_t)snprintf(all + len, sizeof(all) - len, "%slease %s (VF %s)",
						len > 0 ? ", " : "", h->lease, h->id);
	}
	if (len == 0)
		return 0;
	err_set(e, EBUSY, "the change would hurt %s", all);
	err_code(e, "pf-in-use");
	return hurt_hint(plan, e);
}

/* A VM or lease that is named and loses nothing: the caller has another PF or an old plan in mind. */
static int refuse_unhurt(const struct pf_plan *plan, const struct pf_wish *wish, struct err *e)
{
	const size_t prefix = strlen(PF_DISRUPT_LEASE);
	const json_t *item;
	size_t i;

	json_array_foreach(wish->disrupt, i, item) {
		const char *text = json_string_value(item);
		bool is_lease = strncmp(text, PF_DISRUPT_LEASE, prefix) == 0, is_hurt = false;

		if (!is_lease && wish->are_stopped)
			continue;
		for (size_t k = 0; k < plan->hurt_count; k++)
			is_hurt |= is_lease ? strcmp(plan->hurt[k].lease, text + prefix) == 0
					    : strcmp(plan->hurt[k].vm, text) == 0;
		if (is_hurt)
			continue;
		err_set(e, EINVAL, "disrupt: %s has no VF of PF %s to lose", text, plan_name(plan));
		err_code(e, "pf-not-hurt");
		return err_hint(e, "viaduct pf plan %s --vfs %u   says who has", plan_name(plan),
				plan->to);
	}
	return 0;
}

int pf_plan_check(struct daemon *d, const struct pf_plan *plan, const struct pf_wish *wish,
		  struct err *e)
{
	int r;

	for (size_t i = 0; i < plan->hurt_count; i++) {
		const struct pf_hurt *h = &plan->hurt[i];

		if (h->state == VF_FOREIGN && !(wish->destroys_unused && h->is_unused)) {
			err_set(e, EBUSY, "VF %s is foreign: %s", h->id, h->why);
			err_code(e, "vf-foreign");
			return pool_foreign_hint(d, inventory_find(d->inv, &h->addr), e);
		}
		if (h->is_left) {
			err_set(e, EBUSY, "VF %s is %s, and nobody has it", h->id,
				vf_state_text(h->state));
			err_code(e, "vf-in-use");
			return err_hint(e, "viaduct vf release %s", h->id);
		}
	}
	r = refuse_hurt(plan, wish, e);
	return r < 0 ? r : refuse_unhurt(plan, wish, e);
}

static json_t *text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

static const char *hurt_how(const struct pf_hurt *h)
{
	if (h->state == VF_FOREIGN)
		return "in the way: it is foreign, and never touched";
	if (h->is_left)
		return "in the way: left behind, to be released first";
	if (h->vm[0] != '\0')
		return h->lease[0] != '\0' ? "the VM is stopped, the lease loses its VF"
					   : "the VM is stopped";
	return "the lease loses its VF";
}

json_t *pf_plan_json(struct daemon *d, const struct pf_plan *plan)
{
	static const struct pf_wish nobody = { 0 };
	json_t *list = json_array();
	auto_free char *words = words_make(plan);
	char addr[PCI_ADDR_TEXT];
	struct err e = { 0 };

	for (size_t i = 0; i < plan->hurt_count; i++) {
		const struct pf_hurt *h = &plan->hurt[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:s}", "vf",
						pci_addr_text(&h->addr, addr), "id", h->id, "state",
						vf_state_text(h->state), "vm", text_or_null(h->vm),
						"port", text_or_null(h->port), "lease",
						text_or_null(h->lease), "how", hurt_how(h)));
	}
	if (pf_plan_check(d, plan, &nobody, &e) == 0)
		e.errnum = 0;
	return json_pack("{s:s, s:o, s:i, s:i, s:O, s:O, s:o, s:o, s:o}", "pf", plan->name, "name",
			 text_or_null(plan->dev_name), "from", (int)plan->from, "vfs",
			 (int)plan->to, "steps", plan->steps, "notes", plan->notes, "hurt", list,
			 "disrupt", text_or_null(words != NULL ? words : ""), "refused",
			 e.errnum != 0 ? json_from_err(&e) : json_null());
}
