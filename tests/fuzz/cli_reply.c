// SPDX-License-Identifier: BSD-3-Clause
/* A reply of the daemon through every renderer: nothing may crash, and no control character may
 * reach the output. First byte: which renderer. */
#include "base/json.h"
#include "cli/render.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static render_fn *const renderers[] = {
	render_host_check,
	render_pf_list,
	render_pf,
	render_pf_applied,
	render_vf_list,
	render_vf,
	render_vf_allocated,
	render_vf_set,
	render_vf_released,
	render_vm_list,
	render_vm,
	render_vm_checked,
	render_vm_started,
	render_vm_state,
	render_vm_history,
	render_vms_stopped,
	render_vms_starting,
	render_vm_stats,
	render_events,
	render_alarms,
	render_operation_list,
	render_operation,
	render_pf_plan,
	render_network_list,
	render_network,
	render_config_checked,
	render_config_diff,
	render_function_list,
	render_function,
	render_function_released,
	render_iommu_list,
	render_iommu,
	render_iommu_group,
	render_faults,
	render_iommu_audit,
	render_host_selftest,
	render_port_list,
	render_port,
	render_port_stats,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json_t *reply = NULL;
	struct err e = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (size < 1)
		return 0;
	reply = json_loadb((const char *)data + 1, size - 1, JSON_REJECT_DUPLICATES, NULL);
	out = json_is_object(reply) ? open_memstream(&text, &len) : NULL;
	if (out == NULL)
		return 0;
	renderers[data[0] % ARRAY_SIZE(renderers)](out, reply, &e);
	fclose(out);
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)text[i] < ' ' && text[i] != '\n') || text[i] == 0x7f)
			abort();
	free(text);
	return 0;
}
