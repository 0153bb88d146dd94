// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/iommuview.h"

#include "iommu/vtd_regs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *hex(uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, v);
	return json_string(text);
}

/* The unit's row in the DMAR table; NULL: the table is not to be had, or has none. */
static const struct dmar_entry *unit_drhd(const struct posture_host *host,
					  const struct iommu_unit *unit)
{
	for (size_t i = 0; unit->has_registers && i < host->dmar.entry_count; i++) {
		const struct dmar_entry *entry = &host->dmar.entries[i];

		if (entry->type == DMAR_DRHD && entry->base == unit->address)
			return entry;
	}
	return NULL;
}

static json_t *levels_json(unsigned int levels)
{
	json_t *list = json_array();

	for (int n = 3; n <= 5; n++)
		if ((levels >> n & 1) != 0)
			json_array_append_new(list, json_integer(n));
	return list;
}

static json_t *pages_json(uint64_t cap)
{
	json_t *list = json_pack("[i]", 4096);

	if ((VTD_CAP_SSLPS(cap) & 1) != 0)
		json_array_append_new(list, json_integer(2 << 20));
	if ((VTD_CAP_SSLPS(cap) & 2) != 0)
		json_array_append_new(list, json_integer(1 << 30));
	return list;
}

static void member_count(void *arg, const char *fn)
{
}

/* What the fixed registers say; null each where they are not told. */
static void abilities_set(const struct iommu_unit *u, json_t *j)
{
	const struct {
		const char *key;
		bool is_on;
	} rows[] = {
		{ "interrupt_remapping", VTD_ECAP_IR(u->ecap) },
		{ "extended_interrupt_mode", VTD_ECAP_EIM(u->ecap) },
		{ "posted_interrupts", VTD_CAP_PI(u->cap) },
		{ "snoop_control", VTD_ECAP_SC(u->ecap) },
		{ "coherent_walks", VTD_ECAP_C(u->ecap) },
		{ "device_tlb", VTD_ECAP_DT(u->ecap) },
		{ "scalable_mode", VTD_ECAP_SMTS(u->ecap) },
	};
	bool is_told = u->has_registers;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		json_object_set_new(j, rows[i].key,
				    is_told ? json_boolean(rows[i].is_on) : json_null());
	json_object_set_new(j, "address_bits",
			    is_told ? json_integer(vtd_address_bits(u->cap)) : json_null());
	json_object_set_new(j, "levels", levels_json(is_told ? vtd_levels(u->cap) : 0));
	json_object_set_new(j, "page_sizes", is_told ? pages_json(u->cap) : json_array());
}

json_t *iommu_unit_json(const struct posture_host *host, const struct iommu_unit *u)
{
	const struct dmar_entry *drhd = unit_drhd(host, u);
	char version[32] = "", source[64];
	json_t *j;

	if (u->has_registers)
		snprintf(version, sizeof(version), "%u.%u", u->version_major, u->version_minor);
	snprintf(source, sizeof(source), "/sys/class/iommu/%s%s", u->name,
		 u->has_registers ? "/intel-iommu" : "");
	j = json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:s}", "name", u->name, "kind",
		      u->is_vtd ? "VT-d" : "other", "address",
		      u->has_registers ? hex(u->address) : json_null(), "version",
		      version[0] != '\0' ? json_string(version) : json_null(), "segment",
		      drhd != NULL ? json_integer(drhd->segment) : json_null(), "functions",
		      (json_int_t)iommu_unit_members(host->root, u->name, member_count, NULL),
		      "domains", (json_int_t)u->domains, "domains_used",
		      (json_int_t)u->domains_used, "source", source);
	abilities_set(u, j);
	return j;
}

/* Registers whose values are known, each field by the specification's name. */
static json_t *registers_json(const struct iommu_unit *u)
{
	const struct {
		enum vtd_reg reg;
		uint64_t value;
	} rows[] = {
		{ VTD_VER, u->version_major << 4 | u->version_minor },
		{ VTD_CAP, u->cap },
		{ VTD_ECAP, u->ecap },
	};
	json_t *list = json_array();

	for (size_t i = 0; u->has_registers && i < ARRAY_SIZE(rows); i++) {
		json_t *fields = json_array();

		for (size_t k = 0; k < vtd_field_count; k++) {
			const struct vtd_field *f = &vtd_fields[k];

			if (f->reg == rows[i].reg)
				json_array_append_new(
					fields,
					json_pack("{s:s, s:I, s:s}", "name", f->name, "value",
						  (json_int_t)vtd_field_get(f, rows[i].value),
						  "what", f->what));
		}
		json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "name",
						      vtd_regs[rows[i].reg].name, "value",
						      hex(rows[i].value), "fields", fields));
	}
	return list;
}

static json_t *path_json(const struct dmar_scope *s)
{
	char text[1024];
	size_t n;

	if (s->hops == 0)
		return json_null();
	n = (size_t)snprintf(text, sizeof(text), "%02x:", s->start_bus);
	for (unsigned int i = 0; i < s->hops && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%02x.%x", i > 0 ? "/" : "",
				      s->path[2 * i], s->path[2 * i + 1]);
	return json_string(text);
}

static json_t *scopes_json(const struct dmar *d, const struct dmar_entry *entry)
{
	json_t *list = json_array();

	for (size_t i = 0; entry != NULL && i < entry->scope_count; i++) {
		const struct dmar_scope *s = &d->scopes[entry->scope_first + i];

		json_array_append_new(
			list, json_pack("{s:s, s:o, s:i}", "type", dmar_scope_type_name(s->type),
					"path", path_json(s), "enumeration_id", s->enumeration_id));
	}
	return list;
}

/* Memory that firmware keeps, in the unit's segment. */
static json_t *reserved_json(const struct posture_host *host, const struct dmar_entry *drhd)
{
	json_t *list = json_array();

	for (size_t i = 0; drhd != NULL && i < host->dmar.entry_count; i++) {
		const struct dmar_entry *entry = &host->dmar.entries[i];

		if (entry->type != DMAR_RMRR || entry->segment != drhd->segment)
			continue;
		json_array_append_new(
			list, json_pack("{s:o, s:o, s:o, s:o}", "first", hex(entry->base), "last",
					hex(entry->limit), "odd",
					entry->odd != NULL ? json_string(entry->odd) : json_null(),
					"scopes", scopes_json(&host->dmar, entry)));
	}
	return list;
}

/* Of the ACPI RHSA; null: not told. */
static json_t *proximity_json(const struct posture_host *host, const struct iommu_unit *u)
{
	for (size_t i = 0; u->has_registers && i < host->dmar.entry_count; i++)
		if (host->dmar.entries[i].type == DMAR_RHSA &&
		    host->dmar.entries[i].base == u->address)
			return json_integer(host->dmar.entries[i].proximity);
	return json_null();
}

static void member_add(void *arg, const char *fn)
{
	json_array_append_new(arg, json_string(fn));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a),
		      json_string_value(*(json_t *const *)b));
}

static json_t *members_json(const struct posture_host *host, const char *unit)
{
	json_t *list = json_array(), *sorted = json_array();
	size_t n = iommu_unit_members(host->root, unit, member_add, list);
	json_t **rows = calloc(n + 1, sizeof(json_t *));

	for (size_t i = 0; rows != NULL && i < n; i++)
		rows[i] = json_array_get(list, i);
	if (rows != NULL)
		qsort(rows, n, sizeof(*rows), by_text);
	for (size_t i = 0; rows != NULL && i < n; i++)
		json_array_append(sorted, rows[i]);
	free(rows);
	json_decref(list);
	return sorted;
}

json_t *iommu_unit_full(const struct posture_host *host, const struct iommu_unit *unit)
{
	const struct dmar_entry *drhd = unit_drhd(host, unit);
	json_t *j = iommu_unit_json(host, unit);

	json_object_set_new(j, "registers", registers_json(unit));
	json_object_set_new(j, "include_pci_all",
			    drhd != NULL ? json_boolean((drhd->flags & DRHD_INCLUDE_PCI_ALL) != 0)
					 : json_null());
	json_object_set_new(j, "proximity_domain", proximity_json(host, unit));
	json_object_set_new(j, "scopes", scopes_json(&host->dmar, drhd));
	json_object_set_new(j, "reserved_memory", reserved_json(host, drhd));
	json_object_set_new(j, "members", members_json(host, unit->name));
	return j;
}

json_t *iommu_dmar_json(const struct posture_host *host)
{
	const struct dmar *d = &host->dmar;
	unsigned int counts[DMAR_TYPES] = { 0 };
	json_t *j, *structures = json_object();

	if (!host->has_dmar) {
		json_decref(structures);
		return json_pack("{s:b, s:s}", "readable", false, "reason", host->dmar_why);
	}
	for (size_t i = 0; i < d->entry_count; i++)
		counts[d->entries[i].type]++;
	for (unsigned int i = 0; i < DMAR_TYPES; i++)
		json_object_set_new(structures, dmar_type_name(i), json_integer(counts[i]));
	json_object_set_new(structures, "unknown", json_integer((json_int_t)d->unknown_count));
	j = json_pack("{s:b, s:s, s:s, s:i, s:i, s:b, s:b, s:b, s:o}", "readable", true, "oem",
		      d->oem_id, "oem_table", d->oem_table_id, "revision", d->revision,
		      "address_bits", (int)d->address_bits, "interrupt_remapping",
		      (d->flags & DMAR_INTR_REMAP) != 0, "x2apic_opt_out",
		      (d->flags & DMAR_X2APIC_OPT_OUT) != 0, "dma_control_opt_in",
		      (d->flags & DMAR_DMA_CTRL_PLATFORM_OPT_IN) != 0, "structures", structures);
	return j;
}
