// SPDX-License-Identifier: BSD-3-Clause
#include "iommu/audit_msg.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>

static const char *const wish_members[] = { "v", "pid", "ram", "functions", NULL };
static const char *const ram_members[] = { "gpa", "size", NULL };
static const char *const function_members[] = { "address", "registers", "aliases", NULL };

static int ram_parse(const json_t *obj, struct audit_wish *out, struct err *e)
{
	struct audit_ram *ram = &out->ram[out->ram_count];
	int r = json_check_keys(obj, ram_members, e);

	if (r == 0)
		r = json_get_u64(obj, "gpa", INT64_MAX, &ram->gpa, e);
	if (r == 0)
		r = json_get_u64(obj, "size", 1ULL << 48, &ram->size, e);
	if (r < 0)
		return r;
	if (ram->size == 0 || !is_aligned(ram->gpa | ram->size, 4096) ||
	    (out->ram_count > 0 && ram[-1].gpa + ram[-1].size > ram->gpa))
		return err_set(e, EINVAL, "ram: out of order or not whole pages");
	out->ram_count++;
	return 0;
}

static int function_parse(const json_t *obj, struct audit_wish *out, struct err *e)
{
	struct audit_wish_function *fn = &out->functions[out->function_count];
	char text[PCI_ADDR_TEXT];
	int r = json_check_keys(obj, function_members, e);

	if (r == 0)
		r = json_get_str(obj, "address", text, sizeof(text), e);
	if (r == 0)
		r = json_get_u64(obj, "registers", INT64_MAX, &fn->registers, e);
	if (r == 0)
		r = json_get_bool_opt(obj, "aliases", &fn->has_aliases, e);
	/* One that was not told would be proven. */
	if (r == 0 && json_object_get(obj, "aliases") == NULL)
		r = err_set(e, EINVAL, "aliases is missing");
	if (r == 0 && parse_pci_addr(text, &fn->address) < 0)
		r = err_set(e, EINVAL, "address: '%s' is no PCI function", text);
	if (r == 0)
		out->function_count++;
	return r;
}

int audit_wish_parse(const json_t *request, struct audit_wish *out, struct err *e)
{
	json_t *ram = NULL, *functions = NULL, *item;
	uint64_t version, pid;
	size_t i;
	int r = json_check_keys(request, wish_members, e);

	memset(out, 0, sizeof(*out));
	if (r == 0)
		r = json_get_u64(request, "v", UINT32_MAX, &version, e);
	if (r == 0 && version != AUDIT_MSG_VERSION)
		r = err_set(e, EINVAL, "version %llu of the request is not known",
			    (unsigned long long)version);
	if (r == 0)
		r = json_get_u64(request, "pid", INT32_MAX, &pid, e);
	if (r == 0)
		r = json_get_array(request, "ram", AUDIT_RAM_SLOTS, &ram, e);
	if (r == 0)
		r = json_get_array(request, "functions", AUDIT_FUNCTIONS, &functions, e);
	if (r < 0)
		return r;
	out->pid = (pid_t)pid;
	json_array_foreach(ram, i, item)
		if (r == 0)
			r = ram_parse(item, out, e);
	json_array_foreach(functions, i, item)
		if (r == 0)
			r = function_parse(item, out, e);
	return r;
}

json_t *audit_wish_build(const struct audit_wish *wish)
{
	json_t *ram = json_array(), *functions = json_array();
	char addr[PCI_ADDR_TEXT];

	for (size_t i = 0; i < wish->ram_count; i++)
		json_array_append_new(ram,
				      json_pack("{s:I, s:I}", "gpa", (json_int_t)wish->ram[i].gpa,
						"size", (json_int_t)wish->ram[i].size));
	for (size_t i = 0; i < wish->function_count; i++)
		json_array_append_new(
			functions, json_pack("{s:s, s:I, s:b}", "address",
					     pci_addr_text(&wish->functions[i].address, addr),
					     "registers", (json_int_t)wish->functions[i].registers,
					     "aliases", wish->functions[i].has_aliases));
	return json_pack("{s:i, s:i, s:o, s:o}", "v", AUDIT_MSG_VERSION, "pid", (int)wish->pid,
			 "ram", ram, "functions", functions);
}

static json_t *text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

static const char *stage_text(enum vtd_domain_kind kind)
{
	static const char *const names[] = {
		[VTD_BLOCKED] = "blocked",	     [VTD_ABORTED] = "blocked",
		[VTD_PASS_THROUGH] = "pass-through", [VTD_SECOND_STAGE] = "second",
		[VTD_FIRST_STAGE] = "first",	     [VTD_NESTED] = "nested",
	};

	return names[kind];
}

json_t *audit_result_build(const struct pci_addr *fn, const struct audit_result *r)
{
	char addr[PCI_ADDR_TEXT], iova[24];
	json_t *j = json_pack("{s:s, s:s, s:o, s:o, s:s, s:s, s:i, s:i}", "address",
			      pci_addr_text(fn, addr), "verdict", audit_verdict_text(r->verdict),
			      "code", r->code != NULL ? json_string(r->code) : json_null(), "text",
			      text_or_null(r->text), "mode",
			      r->domain.is_scalable ? "scalable" : "legacy", "stage",
			      stage_text(r->domain.kind), "levels", (int)r->domain.levels, "domain",
			      (int)r->domain.did);

	snprintf(iova, sizeof(iova), "0x%llx", (unsigned long long)r->address);
	json_object_set_new(j, "iova", r->has_address ? json_string(iova) : json_null());
	json_object_set_new(j, "entry", r->has_index ? json_integer(r->index) : json_null());
	json_object_set_new(j, "bytes", json_integer((json_int_t)r->walk.bytes));
	json_object_set_new(j, "tables", json_integer((json_int_t)r->walk.tables));
	json_object_set_new(j, "pages",
			    json_pack("{s:I, s:I, s:I}", "4K", (json_int_t)r->walk.pages_4k, "2M",
				      (json_int_t)r->walk.pages_2m, "1G",
				      (json_int_t)r->walk.pages_1g));
	json_object_set_new(j, "interrupts", json_integer(r->lines));
	json_object_set_new(j, "entries",
			    json_pack("{s:i, s:i, s:i}", "remapped", (int)r->remapped, "posted",
				      (int)r->posted, "spare", (int)r->spare));
	return j;
}

json_t *audit_error_build(const struct err *e)
{
	return json_pack("{s:i, s:b, s:o}", "v", AUDIT_MSG_VERSION, "ok", false, "error",
			 json_from_err(e));
}

enum audit_verdict audit_verdict_worse(enum audit_verdict a, enum audit_verdict b)
{
	if (a == AUDIT_VIOLATED || b == AUDIT_VIOLATED)
		return AUDIT_VIOLATED;
	return a == AUDIT_NOT_PROVABLE ? a : b;
}
