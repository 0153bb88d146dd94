// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/nvme_vf.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <sys/ioctl.h>

enum nvme_opcode { NVME_IDENTIFY = 0x06, NVME_VIRT_MGMT = 0x1c };
enum nvme_cns { CNS_PRIMARY_CAPS = 0x14, CNS_SECONDARY_LIST = 0x15 };

/* Virtualization Management: dword 10 is action, resource type << 8, controller id << 16. */
enum virt_action { VIRT_OFFLINE = 7, VIRT_ASSIGN = 8, VIRT_ONLINE = 9 };
enum virt_resource { RES_QUEUES, RES_INTERRUPTS };

struct virt_amount {
	enum virt_resource of;
	uint16_t n;
};

static const struct virt_amount no_queues = { RES_QUEUES, 0 };
static const struct virt_amount no_interrupts = { RES_INTERRUPTS, 0 };

/* Primary controller capabilities; the block of interrupts has the shape of the block of queues. */
enum primary_caps {
	PRIMARY_QUEUES = 32,
	PRIMARY_INTERRUPTS = 64,
	FLEX_TOTAL = 0, /* 32 bits */
	FLEX_OF_PRIMARY = 8, /* 16 bits */
	FLEX_MAX_PER_VF = 12, /* 16 bits */
	FLEX_GRANULARITY = 14, /* 16 bits */
};

/* Secondary controller list: a count, then entries. */
enum secondary_list {
	LIST_ENTRIES = 32,
	LIST_ENTRY_SIZE = 32,
	LIST_MAX = 127,
	ENTRY_ID = 0,
	ENTRY_STATE = 4,
	ENTRY_VF_NUMBER = 8, /* from 1 */
	ENTRY_QUEUES = 10,
	ENTRY_INTERRUPTS = 12,
};

#define IDENTIFY_SIZE	   4096
#define NVME_TIMEOUT_MS	   10000
#define MIN_QUEUES	   2 /* the admin queue and one for I/O */
#define MIN_INTERRUPTS	   1
#define NVME_STATUS_MASK   0x7ff /* type and code, without More and Do Not Retry */
#define NVME_BAD_OPCODE	   0x001
#define NVME_BAD_STATE	   0x120
#define NVME_BAD_RESOURCES 0x121

static const struct {
	int status, errnum;
	const char *text;
} statuses[] = {
	{ NVME_BAD_OPCODE, EOPNOTSUPP, "the controller has no virtualization management" },
	{ 0x002, EINVAL, "invalid field in the command" },
	{ 0x11f, ENODEV, "no such controller" },
	{ NVME_BAD_STATE, EBUSY, "the secondary controller is in the wrong state for it" },
	{ NVME_BAD_RESOURCES, ENOSPC, "the controller has not so many queues or interrupts" },
	{ 0x122, ENOSPC, "no such resource" },
};

/* The PF's controller node, for the ioctls. */
static int node_open(const struct sysfs *sys, const struct pci_fn *pf, struct err *e)
{
	char path[64];
	int fd, r;

	if (pf->kind != FN_NVME || pf->dev_name[0] == '\0') {
		r = err_set(e, ENODEV, "PF %s has no NVMe controller device (driver %s)", pf->name,
			    pf->driver[0] != '\0' ? pf->driver : "none");
		err_code(e, "no-nvme");
		err_hint(e, "bind the PF to the nvme driver");
		return r;
	}
	snprintf(path, sizeof(path), "%sdev/%s", sys->is_host ? "/" : "", pf->dev_name);
	fd = openat(sys->root_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno, "open %s: %s", path, strerror(errno));
	return fd;
}

/* A positive answer of the ioctl is the controller's status, a negative one the kernel's. */
static int command(int fd, struct nvme_admin_cmd *cmd, const char *what, struct err *e)
{
	int r = ioctl(fd, NVME_IOCTL_ADMIN_CMD, cmd);

	if (r == 0)
		return 0;
	if (r < 0)
		return err_set(e, errno, "%s: %s", what, strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		if ((r & NVME_STATUS_MASK) != statuses[i].status)
			continue;
		r = err_set(e, statuses[i].errnum, "%s: %s", what, statuses[i].text);
		err_code(e, r == -ENOSPC ? "nvme-resources" : "nvme-refused");
		return r;
	}
	r = err_set(e, EIO, "%s: NVMe status 0x%x", what, (unsigned)r & NVME_STATUS_MASK);
	err_code(e, "nvme-refused");
	return r;
}

static int identify(int fd, enum nvme_cns cns, uint8_t data[IDENTIFY_SIZE], struct err *e)
{
	struct nvme_admin_cmd cmd = { .opcode = NVME_IDENTIFY,
				      .addr = (uintptr_t)data,
				      .data_len = IDENTIFY_SIZE,
				      .cdw10 = cns,
				      .timeout_ms = NVME_TIMEOUT_MS };

	memset(data, 0, IDENTIFY_SIZE);
	return command(fd, &cmd, "identify the NVMe controller", e);
}

static int virt_mgmt(int fd, uint16_t id, enum virt_action action, struct virt_amount amount,
		     struct err *e)
{
	static const char *const words[] = {
		[VIRT_OFFLINE] = "take the secondary controller offline",
		[VIRT_ASSIGN] = "give resources to the secondary controller",
		[VIRT_ONLINE] = "bring the secondary controller online",
	};
	struct nvme_admin_cmd cmd = { .opcode = NVME_VIRT_MGMT,
				      .cdw10 = action | (uint32_t)amount.of << 8 |
					       (uint32_t)id << 16,
				      .cdw11 = amount.n,
				      .timeout_ms = NVME_TIMEOUT_MS };

	return command(fd, &cmd, words[action], e);
}

static int state_read(int fd, const struct pci_fn *vf, struct nvme_vf_state *out, struct err *e)
{
	uint8_t list[IDENTIFY_SIZE];
	int r = identify(fd, CNS_SECONDARY_LIST, list, e);
	unsigned n;

	if (r < 0)
		return r;
	n = (unsigned)u64_min(list[0], LIST_MAX);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *entry = list + LIST_ENTRIES + i * LIST_ENTRY_SIZE;

		if (get_le16(entry + ENTRY_VF_NUMBER) != vf->vf_index + 1)
			continue;
		*out = (struct nvme_vf_state){ .controller_id = get_le16(entry + ENTRY_ID),
					       .online = (entry[ENTRY_STATE] & 1) != 0,
					       .queues = get_le16(entry + ENTRY_QUEUES),
					       .interrupts = get_le16(entry + ENTRY_INTERRUPTS) };
		return 0;
	}
	r = err_set(e, EOPNOTSUPP, "the controller has no secondary controller for VF %u",
		    vf->vf_index);
	err_code(e, "nvme-no-secondary");
	return r;
}

/* What one VF gets: an equal share of what the primary does not keep, in whole granules. */
static uint16_t fair_share(const uint8_t *block, uint16_t vfs, uint16_t least)
{
	uint64_t total = get_le32(block + FLEX_TOTAL), kept = get_le16(block + FLEX_OF_PRIMARY);
	uint64_t most = get_le16(block + FLEX_MAX_PER_VF);
	uint64_t granule = u64_max(get_le16(block + FLEX_GRANULARITY), 1);
	uint64_t share = total > kept && vfs != 0 ? (total - kept) / vfs : 0;

	if (most != 0)
		share = u64_min(share, most);
	share -= share % granule;
	return (uint16_t)u64_min(u64_max(share, least), UINT16_MAX);
}

static int offline(int fd, uint16_t id, struct err *e)
{
	int r = virt_mgmt(fd, id, VIRT_OFFLINE, no_queues, e);

	if (r == 0)
		r = virt_mgmt(fd, id, VIRT_ASSIGN, no_queues, e);
	if (r == 0)
		r = virt_mgmt(fd, id, VIRT_ASSIGN, no_interrupts, e);
	return r;
}

static int online(int fd, const struct pci_fn *vf, uint16_t queues, uint16_t interrupts,
		  struct err *e)
{
	struct nvme_vf_state state;
	int r = state_read(fd, vf, &state, e);
	uint16_t id;

	if (r < 0)
		return r;
	id = state.controller_id;
	r = offline(fd, id, e);
	if (r == 0)
		r = virt_mgmt(fd, id, VIRT_ASSIGN, (struct virt_amount){ RES_QUEUES, queues }, e);
	if (r == 0)
		r = virt_mgmt(fd, id, VIRT_ASSIGN,
			      (struct virt_amount){ RES_INTERRUPTS, interrupts }, e);
	if (r == 0)
		r = virt_mgmt(fd, id, VIRT_ONLINE, no_queues, e);
	if (r == 0)
		r = state_read(fd, vf, &state, e);
	if (r == 0 && (!state.online || state.queues != queues || state.interrupts != interrupts)) {
		r = err_set(
			e, EPROTO,
			"asked for %u queues and %u interrupts, the controller says %u and %u, %s",
			queues, interrupts, state.queues, state.interrupts,
			state.online ? "online" : "offline");
		err_code(e, "nvme-not-kept");
	}
	if (r < 0)
		(void)offline(fd, id, NULL);
	return r;
}

int nvme_vf_get(const struct sysfs *sys, const struct pci_fn *vf, struct nvme_vf_state *out,
		struct err *e)
{
	auto_fd int fd = node_open(sys, vf->pf, e);

	return fd < 0 ? fd : state_read(fd, vf, out, e);
}

int nvme_vf_online(const struct sysfs *sys, const struct pci_fn *vf, uint16_t queues,
		   uint16_t interrupts, struct err *e)
{
	auto_fd int fd = node_open(sys, vf->pf, e);
	uint8_t caps[IDENTIFY_SIZE];
	int r;

	if (fd < 0)
		return fd;
	r = identify(fd, CNS_PRIMARY_CAPS, caps, e);
	if (r == 0) {
		if (queues == 0)
			queues = fair_share(caps + PRIMARY_QUEUES, vf->pf->total_vfs, MIN_QUEUES);
		if (interrupts == 0)
			interrupts = fair_share(caps + PRIMARY_INTERRUPTS, vf->pf->total_vfs,
						MIN_INTERRUPTS);
		r = online(fd, vf, queues, interrupts, e);
	}
	if (r == -ENOSPC)
		err_hint(e, "ask for fewer, or release another VF of %s first", vf->pf->dev_name);
	if (r < 0)
		err_wrap(e, "NVMe VF %s", vf->name);
	return r;
}

int nvme_vf_offline(const struct sysfs *sys, const struct pci_fn *vf, struct err *e)
{
	auto_fd int fd = node_open(sys, vf->pf, e);
	struct nvme_vf_state state;
	int r;

	if (fd < 0)
		return fd;
	r = state_read(fd, vf, &state, e);
	if (r == 0)
		r = offline(fd, state.controller_id, e);
	if (r < 0)
		err_wrap(e, "NVMe VF %s", vf->name);
	return r;
}
