// SPDX-License-Identifier: BSD-3-Clause
/* The roles of viaduct-pmd: what each may, and what it is launched with. */
#include "vf-manager/backend.h"
#include "vf-manager/backend_core.h"
#include "vf-manager/disks.h"
#include "vf-manager/hostcheck.h"
#include "vf-manager/privops.h"

#include "base/json.h"

#include <linux/capability.h>
#include <unistd.h>

#define HUGE_BYTES  MIB(2)
#define LOCK_SPARE  MIB(256) /* what DPDK keeps beside packets */
#define CAP_BPF_BIT 39 /* CAP_BPF, linux 5.8 */

/* What a uplink of each kind takes. */
static const uint64_t kind_caps[PMD_UPLINK_KINDS] = {
	[PMD_UPLINK_PCI] = 0,
	/* CAP_IPC_LOCK: packet memory that the kernel shares is counted as locked. */
	[PMD_UPLINK_AF_XDP] = BIT_ULL(CAP_NET_ADMIN) | BIT_ULL(CAP_NET_RAW) |
			      BIT_ULL(CAP_IPC_LOCK) | BIT_ULL(CAP_BPF_BIT),
	[PMD_UPLINK_AF_PACKET] = BIT_ULL(CAP_NET_ADMIN) | BIT_ULL(CAP_NET_RAW),
	[PMD_UPLINK_TAP] = BIT_ULL(CAP_NET_ADMIN),
	[PMD_UPLINK_NULL] = 0,
	[PMD_UPLINK_VF] = 0,
};

static uint64_t net_caps(const struct config *config)
{
	uint64_t caps = 0;

	for (unsigned int i = 0; i < config->uplink_count; i++)
		caps |= kind_caps[config->uplinks[i].kind];
	return caps;
}

/* What devices reach is pinned. 0: nothing is. */
static uint64_t net_memlock(const struct config *config)
{
	for (unsigned int i = 0; i < config->uplink_count; i++)
		if (uplink_is_taken(config->uplinks[i].kind))
			return 2 * config->backends.memory_bytes + LOCK_SPARE;
	return 0;
}

uid_t backend_uid(const struct config *config)
{
	return config->backends.uid != 0 ? config->backends.uid
					 : config->uid_first + config->uid_count - 1;
}

const char *disks_backend_vm(const char *name)
{
	const size_t len = strlen(DISKS_BACKEND);

	return strncmp(name, DISKS_BACKEND, len) == 0 ? name + len : "";
}

uid_t disks_uid(const struct config *config)
{
	if (config->backends.disk_uid != 0)
		return config->backends.disk_uid;
	return config->uid_count < DISKS_UIDS ? 0 : config->uid_first + config->uid_count - 2;
}

static json_t *cores_json(const unsigned int *cores, unsigned int count)
{
	json_t *cpus = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(cpus, json_integer(cores[i]));
	return cpus;
}

static json_t *net_wish(const struct backend_proc *p)
{
	const struct daemon *d = p->d;
	const struct config_backends *c = &d->config.backends;

	return json_pack("{s:s, s:o, s:I, s:s, s:s, s:[I, I], s:I, s:I}", "name", p->name, "cpus",
			 cores_json(c->cores, c->core_count), "memory", (json_int_t)c->memory_bytes,
			 "hugepages", config_huge_text(c->huge), "idle", config_idle_text(c->idle),
			 "guest_uid", (json_int_t)(d->is_root ? d->config.uid_first : geteuid()),
			 (json_int_t)(d->is_root ? d->config.uid_count : 1), "caps",
			 (json_int_t)net_caps(&d->config), "memlock",
			 (json_int_t)net_memlock(&d->config));
}

static bool has_hugepages(struct daemon *d)
{
	const struct config_backends *c = &d->config.backends;
	struct host_hugepages have;

	if (c->huge == CONFIG_HUGE_ON)
		priv_hugepages_allow_pmd(d, HUGE_BYTES, c->memory_bytes);
	if (c->huge != CONFIG_HUGE_AUTO)
		return c->huge == CONFIG_HUGE_ON;
	return host_hugepages_read(d, HUGE_BYTES, &have) == 0 &&
	       have.unreserved >= c->memory_bytes / HUGE_BYTES;
}

static void net_complete(struct daemon *d, json_t *spec)
{
	json_object_set_new(spec, "hugepages", json_boolean(has_hugepages(d)));
}

/* What it has of them it took before it answered. */
static void net_started(struct daemon *d)
{
	priv_hugepages_allow_pmd(d, HUGE_BYTES, 0);
	priv_hugepages_settle(d);
}

/* Images come as fds, guests by sockets: nothing is needed for either. */
static uint64_t disk_none(const struct config *config)
{
	return 0;
}

/* Adaptive on cores of its own, too: it shares them with those of other VMs. */
static json_t *disk_wish(const struct backend_proc *p)
{
	const struct daemon *d = p->d;
	const struct config_backends *c = &d->config.backends;

	return json_pack("{s:s, s:s, s:o, s:s, s:[I, I]}", "name", disks_backend_vm(p->name),
			 "role", "block", "cpus", cores_json(c->disk_cores, c->disk_core_count),
			 "idle", config_idle_text(PMD_IDLE_ADAPTIVE), "guest_uid",
			 (json_int_t)(d->is_root ? d->config.uid_first : geteuid()),
			 (json_int_t)(d->is_root ? d->config.uid_count : 1));
}

const struct backend_role backend_role_net = {
	.look = "viaduct uplink list",
	.uid = backend_uid,
	.caps = net_caps,
	.memlock = net_memlock,
	.wish = net_wish,
	.complete = net_complete,
	.started = net_started,
};

const struct backend_role backend_role_disk = {
	.look = "viaduct disk list",
	.uid = disks_uid,
	.caps = disk_none,
	.memlock = disk_none,
	.wish = disk_wish,
};
