// SPDX-License-Identifier: BSD-3-Clause
/* What viaduct-pmd says, whatever it says, is refused or becomes numbers and texts within their bounds; the requests that
 * follow from it name only what it has or what the configuration wants. */
#include "base/json.h"
#include "vf-manager/backend_core.h"
#include "vf-manager/pmd_disks.h"

#include <stdint.h>
#include <stdlib.h>

static struct config config;
static struct wish_uplink uplinks[PMD_MAX_UPLINKS];
static struct pmd_status status;
static struct pmd_stats stats;
static struct pmd_disks disks;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void plan_check(json_t *list)
{
	if (json_array_size(list) > 3 * (PMD_MAX_PORTS + PMD_MAX_NETWORKS + PMD_MAX_UPLINKS))
		abort();
	json_decref(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char text[] =
		"uplinks: [{name: w0, kind: tap, device: t0}, {name: w1, kind: 'null'}]\n"
		"networks: [{name: a, uplinks: [w0, w1]}, {name: b, uplinks: []}]\n";
	auto_json json_t *said = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	const struct sync_wish w = { &config, uplinks, NULL, 0 };
	json_t *entries = NULL;
	bool is_cut;

	if (config.uplink_count == 0 && config_parse(text, sizeof(text) - 1, &config, NULL) < 0)
		abort();
	if (pmd_status_read(said, &status, NULL) == 0) {
		for (unsigned int i = 0; i < status.lcore_count; i++)
			if (!(status.lcores[i].busy >= 0 && status.lcores[i].busy <= 1))
				abort();
		plan_check(sync_clear(&w, &status));
		plan_check(sync_uplinks(&w, &status, 0));
		plan_check(sync_networks(&w, &status));
		plan_check(sync_ports(&w, &status));
	}
	if (pmd_stats_read(said, &stats, NULL) == 0 && stats.port_count > PMD_MAX_PORTS)
		abort();
	if (pmd_disks_read(said, said, &disks, NULL) == 0)
		for (unsigned int i = 0; i < disks.count; i++)
			if (pmd_disk_find(&disks, disks.disks[i].name) != &disks.disks[i] ||
			    pmd_disk_state_text(disks.disks[i].state) == NULL)
				abort();
	if (pmd_fdb_read(said, &entries, &is_cut, NULL) == 0 &&
	    json_array_size(entries) > PMD_FDB_MOST)
		abort();
	json_decref(entries);
	return 0;
}
