// SPDX-License-Identifier: BSD-3-Clause
/* The steps of the self test and the report's words. Pure: nothing here looks at the machine. */
#include "vf-manager/selftest.h"

#include "base/json.h"

#include <stdio.h>

#define SAID_MAX     64
#define TEXT_MAX     512
#define US_MAX	     3600000000ULL
#define COUNT_MAX    1000000
#define POSTED_SHARE 8 /* at most one in so many is handled by the host */
#define NO_ANSWER    "the tester did not get to it"
#define OF_VF	     true
#define OF_MACHINE   false
#define TESTED	     true
#define OPTIONAL     true

/* In the report's order. */
static const struct step_row {
	const char *id, *proves;
	bool needs_vf;
	bool is_testers; /* viaduct-vmm's word */
	bool is_optional; /* not every machine, nor every card, has it */
} rows[] = {
	{ "cpu", "the CPU virtualizes, with nested paging", OF_MACHINE },
	{ "kvm", "KVM runs a virtual CPU", OF_MACHINE },
	{ "iommu", "DMA and interrupts of functions are remapped", OF_MACHINE },
	{ "vf", "a free VF is leased", OF_VF },
	{ "isolation", "the VF is isolated", OF_VF },
	{ "function", "the VF opens and answers", OF_VF, TESTED },
	{ "dma", "memory is pinned and mapped for it", OF_VF, TESTED },
	{ "vcpu", "a guest runs, its pages mapped by the CPU", OF_VF, TESTED },
	{ "vfio-interrupt", "an MSI-X vector leads to its eventfd", OF_VF, TESTED },
	{ "device-interrupt", "the VF's own messages pass interrupt remapping", OF_VF, TESTED,
	  OPTIONAL },
	{ "guest-interrupt", "they reach a running and a halted guest", OF_VF, TESTED, OPTIONAL },
	{ "posted-interrupt", "they do so without the host", OF_VF, !TESTED, OPTIONAL },
	{ "reset", "VFIO resets it, and its configuration comes back", OF_VF, TESTED },
	{ "scrub", "the VF is wiped and free again", OF_VF },
};

static const char *const results[SELFTEST_RESULTS] = {
	[SELFTEST_PASS] = "pass",
	[SELFTEST_FAIL] = "fail",
	[SELFTEST_NOT_RUN] = "not-run",
};

static const struct step_row *row_find(const char *id)
{
	for (size_t i = 0; id != NULL && i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].id, id) == 0)
			return &rows[i];
	return NULL;
}

void selftest_step_add(json_t *steps, const struct selftest_step *step)
{
	const struct step_row *row = row_find(step->id);
	const char *hint = step->hint != NULL && step->hint[0] != '\0' ? step->hint : NULL;

	json_array_append_new(steps, json_pack("{s:s, s:s, s:s, s:s, s:s?, s:I}", "id", step->id,
					       "proves", row != NULL ? row->proves : "", "result",
					       results[step->result], "text", step->text, "hint",
					       hint, "us", (json_int_t)step->us));
}

/* False: it says nothing of this step that could be believed. */
static bool said_take(const json_t *list, const char *id, struct selftest_step *out,
		      char text[TEXT_MAX])
{
	char word[32], result[16];
	const json_t *item;
	size_t i, k = 0;

	json_array_foreach((json_t *)list, i, item) {
		if (json_get_str(item, "id", word, sizeof(word), NULL) < 0 || strcmp(word, id) != 0)
			continue;
		if (json_get_str(item, "result", result, sizeof(result), NULL) < 0 ||
		    json_get_str(item, "text", text, TEXT_MAX, NULL) < 0 ||
		    json_get_u64(item, "us", US_MAX, &out->us, NULL) < 0)
			return false;
		while (k < SELFTEST_RESULTS && strcmp(results[k], result) != 0)
			k++;
		out->result = (enum selftest_result)k;
		return k < SELFTEST_RESULTS;
	}
	return false;
}

void selftest_steps_take(json_t *steps, const json_t *said, const struct err *why)
{
	char text[TEXT_MAX];
	json_t *list = NULL;

	if (said != NULL && json_get_array(said, "steps", SAID_MAX, &list, NULL) < 0)
		list = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct selftest_step step = { .id = rows[i].id, .text = text };

		if (!rows[i].is_testers)
			continue;
		if (!said_take(list, rows[i].id, &step, text)) {
			step.result = SELFTEST_FAIL;
			step.us = 0;
			step.text = why != NULL ? why->text : NO_ANSWER;
			step.hint = why != NULL ? why->hint : NULL;
		}
		selftest_step_add(steps, &step);
	}
}

/* What is said, if it can be believed. counted -1: the tester could not count. */
static bool posted_said(const json_t *said, uint64_t *sent, int64_t *counted)
{
	uint64_t n;

	*counted = said != NULL && json_get_u64(said, "host_counted", COUNT_MAX, &n, NULL) == 0
			   ? (int64_t)n
			   : -1;
	return said != NULL && json_get_u64(said, "sent", COUNT_MAX, sent, NULL) == 0 && *sent > 0;
}

void selftest_posted_add(json_t *steps, const json_t *said, enum iommu_tristate cpu,
			 enum iommu_tristate unit)
{
	struct selftest_step step = { .id = "posted-interrupt", .result = SELFTEST_NOT_RUN };
	uint64_t sent = 0;
	int64_t counted = -1;
	bool is_sent = posted_said(said, &sent, &counted), is_counted = is_sent && counted >= 0,
	     may = cpu != IOMMU_OFF && unit != IOMMU_OFF;
	char text[TEXT_MAX], counts[96] = "no message of the VF's own has reached a guest";

	if (is_sent)
		snprintf(counts, sizeof(counts),
			 "the VF sent %llu messages to a guest; what the host counted is not known",
			 (unsigned long long)sent);
	if (is_counted)
		snprintf(counts, sizeof(counts),
			 "of %llu messages of the VF to a guest the host itself handled %lld",
			 (unsigned long long)sent, (long long)counted);
	/* The vCPU may be out of the guest for a few of them. */
	if (may && is_counted && (uint64_t)counted <= sent / POSTED_SHARE)
		step.result = SELFTEST_PASS;
	else if (cpu == IOMMU_ON && unit == IOMMU_ON && is_counted)
		step.result = SELFTEST_FAIL;
	snprintf(text, sizeof(text), "%s%s",
		 cpu == IOMMU_OFF    ? "the CPU, or KVM as it is set up, does not post: "
		 : unit == IOMMU_OFF ? "the remapping unit does not post: "
		 : step.result == SELFTEST_NOT_RUN && is_counted
			 ? "whether the remapping unit posts is not known: "
			 : "",
		 counts);
	step.text = text;
	selftest_step_add(steps, &step);
}

void selftest_steps_skip(json_t *steps, const char *why, const char *hint)
{
	size_t have = json_array_size(steps);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct selftest_step step = {
			.id = rows[i].id, .result = SELFTEST_NOT_RUN, .text = why, .hint = hint
		};
		bool is_there = false;

		for (size_t k = 0; k < have; k++)
			is_there |= strcmp(json_string_value(
						   json_object_get(json_array_get(steps, k), "id")),
					   rows[i].id) == 0;
		if (rows[i].needs_vf && !is_there)
			selftest_step_add(steps, &step);
	}
}

static const char *result_of(const json_t *steps, const char *id)
{
	const json_t *step;
	size_t i;

	json_array_foreach((json_t *)steps, i, step)
		if (strcmp(json_string_value(json_object_get(step, "id")), id) == 0)
			return json_string_value(json_object_get(step, "result"));
	return results[SELFTEST_NOT_RUN];
}

const char *selftest_verdict(const json_t *steps)
{
	const char *verdict = "pass";

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *result = result_of(steps, rows[i].id);

		if (strcmp(result, results[SELFTEST_FAIL]) == 0)
			return "fail";
		if (!rows[i].is_optional && strcmp(result, results[SELFTEST_PASS]) != 0)
			verdict = "incomplete";
	}
	return verdict;
}
