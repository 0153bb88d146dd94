// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmaudit.h"

#include "vf-manager/auditunit.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/privops.h"
#include "vf-manager/vmspec.h"

#include "base/fd.h"
#include "base/json.h"
#include "iommu/audit_msg.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* What is needed of the VM, copied out of the lock. */
struct subject {
	char name[64];
	pid_t pid;
	uint64_t start_ticks;
	char *yaml; /* owned, as the two lists */
	json_t *ports, *functions;
};

static void subject_fini(struct subject *s)
{
	free(s->yaml);
	json_decref(s->ports);
	json_decref(s->functions);
}

static int subject_take(struct daemon *d, const char *name, struct subject *out, struct err *e)
{
	struct vm *vm;
	int r;

	state_lock(d);
	r = vm_get(d, name, &vm, e);
	if (r == 0 && (vm->pid == 0 || vm->state == VM_STARTING)) {
		r = err_set(e, EBUSY, "the VM %s is %s: there is nothing to audit", name,
			    vm_state_text(vm->state));
		err_code(e, "vm-state");
		err_hint(e, "viaduct vm show %s", name);
	}
	if (r == 0) {
		snprintf(out->name, sizeof(out->name), "%s", vm->name);
		out->pid = vm->pid;
		out->start_ticks = vm->start_ticks;
		out->yaml = strdup(vm->yaml);
		out->ports = json_deep_copy(json_object_get(vm->facts, "ports"));
		out->functions = json_deep_copy(json_object_get(vm->facts, "functions"));
	}
	state_unlock(d);
	return r;
}

/* What the VM's file says of its RAM: the VMM's word is not asked for. */
static int ram_take(const struct subject *s, struct audit_wish *wish, struct err *e)
{
	const struct vm_text text = { .yaml = s->yaml, .base_dir = "/" };
	auto_free struct vm_spec *spec = malloc(sizeof(*spec));
	auto_json json_t *warnings = json_array();
	struct range slots[AUDIT_RAM_SLOTS];
	int r;

	if (spec == NULL || s->yaml == NULL)
		return err_set(e, ENOMEM, "no memory");
	r = vm_spec_parse(&text, spec, warnings, e);
	if (r < 0)
		return err_wrap(e, "the file of the VM");
	wish->ram_count = vm_ram_slots(spec, slots);
	for (size_t i = 0; i < wish->ram_count; i++)
		wish->ram[i] = (struct audit_ram){ .gpa = slots[i].start,
						   .size = slots[i].last - slots[i].start + 1 };
	return 0;
}

static int functions_take(const struct audit_units *units, const json_t *list, const char *key,
			  struct audit_wish *wish, struct err *e)
{
	const json_t *one;
	size_t i;
	int r = 0;

	json_array_foreach((json_t *)list, i, one) {
		const char *addr = json_string_value(json_object_get(one, key));
		struct audit_wish_function *fn = &wish->functions[wish->function_count];

		if (addr == NULL || parse_pci_addr(addr, &fn->address) < 0)
			continue; /* a port that has lost its VF */
		if (wish->function_count == AUDIT_FUNCTIONS)
			return err_set(e, E2BIG, "more than %d functions", AUDIT_FUNCTIONS);
		r = audit_units_find(units, fn, e);
		if (r < 0)
			break;
		wish->function_count++;
	}
	return r;
}

static bool is_verdict(const char *word)
{
	for (int v = 0; word != NULL && v < AUDIT_VERDICTS; v++)
		if (strcmp(word, audit_verdict_text((enum audit_verdict)v)) == 0)
			return true;
	return false;
}

/* Names the port of each result; false: the reply is not of the form. */
static bool ports_name(const struct subject *s, const struct audit_wish *wish, json_t *results)
{
	json_t *result, *port;
	size_t i, k;

	if (json_array_size(results) != wish->function_count)
		return false;
	json_array_foreach(results, i, result) {
		const char *addr = json_string_value(json_object_get(result, "address"));
		const char *name = NULL;

		if (addr == NULL ||
		    !is_verdict(json_string_value(json_object_get(result, "verdict"))))
			return false;
		json_array_foreach(s->ports, k, port) {
			const char *vf = json_string_value(json_object_get(port, "vf"));

			if (vf != NULL && strcmp(vf, addr) == 0)
				name = json_string_value(json_object_get(port, "name"));
		}
		json_array_foreach(s->functions, k, port) {
			const char *fn = json_string_value(json_object_get(port, "address"));

			if (fn != NULL && strcmp(fn, addr) == 0)
				name = json_string_value(json_object_get(port, "name"));
		}
		json_object_set_new(result, "port", name != NULL ? json_string(name) : json_null());
	}
	return true;
}

/* The first function with the audit's verdict says why. */
static const json_t *why_of(json_t *results, const char *verdict)
{
	json_t *result;
	size_t i;

	json_array_foreach(results, i, result)
		if (strcmp(json_string_value(json_object_get(result, "verdict")), verdict) == 0)
			return result;
	return NULL;
}

static json_t *audit_json(const struct subject *s, const struct audit_wish *wish,
			  const char *verdict, json_t *results)
{
	const json_t *why = why_of(results, verdict);
	uint64_t ram = 0;

	for (size_t i = 0; i < wish->ram_count; i++)
		ram += wish->ram[i].size;
	return json_pack("{s:s, s:s, s:I, s:I, s:O?, s:O?, s:n, s:O, s:n}", "vm", s->name,
			 "verdict", verdict, "at", (json_int_t)time(NULL), "ram", (json_int_t)ram,
			 "code", why != NULL ? json_object_get(why, "code") : NULL, "text",
			 why != NULL ? json_object_get(why, "text") : NULL, "hint", "functions",
			 results, "duration_ms");
}

/* It could not be looked at all: that is a result too, with what would allow it. */
static json_t *refusal_json(const struct subject *s, const struct audit_wish *wish,
			    const struct err *why)
{
	json_t *none = json_array();
	json_t *j = audit_json(s, wish, "not-provable", none);

	json_decref(none);
	json_object_set_new(j, "code",
			    json_string(why->code[0] != '\0' ? why->code : "audit-failed"));
	json_object_set_new(j, "text", json_string(why->text));
	if (why->hint[0] != '\0')
		json_object_set_new(j, "hint", json_string(why->hint));
	return j;
}

static int reply_is_bad(struct err *e)
{
	err_set(e, EIO, "viaduct-audit's reply is not of the form");
	err_code(e, "audit-failed");
	return err_hint(e, "viaductd and viaduct-audit must be of one version");
}

static int reply_take(const struct subject *s, const struct audit_wish *wish, json_t *reply,
		      json_t **out, struct err *e)
{
	const char *verdict = json_string_value(json_object_get(reply, "verdict"));
	json_t *results = json_object_get(reply, "functions");
	bool is_ok = false;

	(void)json_get_bool_opt(reply, "ok", &is_ok, NULL);
	if (!json_is_object(reply) || !json_is_boolean(json_object_get(reply, "ok")))
		return reply_is_bad(e);
	if (!is_ok) {
		struct err why = { 0 };

		(void)json_to_err(json_object_get(reply, "error"), &why);
		*out = refusal_json(s, wish, &why);
		return 0;
	}
	if (!is_verdict(verdict) || !ports_name(s, wish, results))
		return reply_is_bad(e);
	*out = audit_json(s, wish, verdict, results);
	json_object_set(*out, "duration_ms", json_object_get(reply, "duration_ms"));
	return 0;
}

static const char *text_of(const json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return text != NULL ? text : "";
}

/* `vm show`, and the alarm: a violation stays until an audit proves the VM. Who can hide from a look does not end it. */
static void facts_set(json_t *facts, const json_t *audit)
{
	const char *verdict = text_of(audit, "verdict");
	json_t *fact =
		json_pack("{s:O, s:O, s:O, s:O}", "verdict", json_object_get(audit, "verdict"),
			  "at", json_object_get(audit, "at"), "code",
			  json_object_get(audit, "code"), "text", json_object_get(audit, "text"));

	if (strcmp(verdict, "violated") == 0)
		json_object_set(facts, "violation", fact);
	else if (strcmp(verdict, "proven") == 0)
		json_object_del(facts, "violation");
	json_object_set_new(facts, "audit", fact);
}

static int record(struct daemon *d, const struct subject *s, const json_t *audit, struct err *e)
{
	char text[512];
	struct vm *vm;
	int r;

	snprintf(text, sizeof(text), "audit: %s%s%.400s", text_of(audit, "verdict"),
		 text_of(audit, "text")[0] != '\0' ? ": " : "", text_of(audit, "text"));
	state_lock(d);
	r = vm_get(d, s->name, &vm, e);
	if (r == 0 && (vm->pid != s->pid || vm->start_ticks != s->start_ticks)) {
		r = err_set(e, EBUSY, "the VM %s ended while it was audited", s->name);
		err_code(e, "vm-state");
		err_hint(e, "viaduct vm show %s", s->name);
	}
	if (r == 0) {
		facts_set(vm->facts, audit);
		r = vm_save(d, vm, e);
	}
	if (r == 0)
		r = ledger_event_add(d->ledger, "vm", s->name, text, e);
	state_unlock(d);
	if (r == 0)
		log_info("VM %s: %s", s->name, text);
	return r;
}

/* Tables that an audit had to read are the process's that it began with. */
static int subject_is_there(const struct subject *s, struct err *e)
{
	uint64_t ticks;

	if (process_start_ticks(s->pid, &ticks) == 0 && ticks == s->start_ticks)
		return 0;
	err_set(e, EBUSY, "the VM %s ended while it was audited", s->name);
	err_code(e, "vm-state");
	return err_hint(e, "viaduct vm show %s", s->name);
}

static int all_functions_take(struct daemon *d, const struct subject *s, struct audit_wish *wish,
			      struct err *e)
{
	struct audit_units units;
	int r = audit_units_read(d, &units, e);

	if (r < 0) /* of a VM without functions nothing need be known */
		return json_array_size(s->ports) + json_array_size(s->functions) == 0 ? 0 : r;
	r = functions_take(&units, s->ports, "vf", wish, e);
	if (r == 0)
		r = functions_take(&units, s->functions, "address", wish, e);
	audit_units_fini(&units);
	return r;
}

static int subject_audit(struct daemon *d, const struct subject *s, json_t **out, struct err *e)
{
	auto_free struct audit_wish *wish = calloc(1, sizeof(*wish));
	auto_json json_t *request = NULL, *reply = NULL;
	json_t *none = json_array();
	struct err why = { 0 };
	int r;

	if (wish == NULL)
		return err_set(e, ENOMEM, "no memory");
	wish->pid = s->pid;
	r = ram_take(s, wish, e);
	if (r == 0 && all_functions_take(d, s, wish, &why) < 0)
		*out = refusal_json(s, wish, &why);
	else if (r == 0 && wish->function_count == 0)
		*out = audit_json(s, wish, "proven", none);
	else if (r == 0) {
		request = audit_wish_build(wish);
		r = priv_audit_run(d, request, &reply, &why);
		if (r == 0)
			r = subject_is_there(s, e);
		if (r == 0)
			r = reply_take(s, wish, reply, out, &why);
		/* One VM's helper that fails is that VM's verdict, not the end of all others' audits. */
		if (strcmp(why.code, "audit-failed") == 0) {
			log_err(&why, s->name);
			*out = refusal_json(s, wish, &why);
			r = 0;
		}
	}
	json_decref(none);
	return r;
}

/* Each takes a processor and reads much of the kernel's memory: one at a time, and who comes meanwhile hears so. */
static pthread_mutex_t audit_turn = PTHREAD_MUTEX_INITIALIZER;

int vm_audit_begin(struct err *e)
{
	if (pthread_mutex_trylock(&audit_turn) == 0)
		return 0;
	err_set(e, EBUSY, "an audit is under way");
	err_code(e, "audit-running");
	return err_hint(
		e, "the same again when it has ended; viaduct events --follow   shows its verdict");
}

void vm_audit_end(void)
{
	pthread_mutex_unlock(&audit_turn);
}

int vm_audit(struct daemon *d, const char *name, json_t **out, struct err *e)
{
	struct subject s = { .yaml = NULL };
	json_t *audit = NULL;
	int r = subject_take(d, name, &s, e);

	if (r == 0)
		r = subject_audit(d, &s, &audit, e);
	if (r == 0)
		r = record(d, &s, audit, e);
	subject_fini(&s);
	if (r < 0) {
		json_decref(audit);
		return r;
	}
	*out = audit;
	return 0;
}

json_t *vm_audit_names(struct daemon *d)
{
	json_t *names = json_array();

	state_lock(d);
	for (size_t i = 0; i < d->vm_count; i++)
		if (vm_is_up(d->vms[i]))
			json_array_append_new(names, json_string(d->vms[i]->name));
	state_unlock(d);
	return names;
}

json_t *vm_audit_left_out(const char *name, const struct err *why)
{
	const struct subject s = { .yaml = NULL };
	const struct audit_wish none = { .ram_count = 0 };
	json_t *j = refusal_json(&s, &none, why);

	json_object_set_new(j, "vm", json_string(name));
	return j;
}

void vm_audit_after_start(struct daemon *d, const char *name)
{
	auto_json json_t *audit = NULL;
	struct err e = { 0 };

	if (!d->config.audit_after_assign)
		return;
	pthread_mutex_lock(&audit_turn);
	if (vm_audit(d, name, &audit, &e) < 0)
		log_err(&e, name);
	vm_audit_end();
}
