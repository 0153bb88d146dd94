// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/sysfs_tree.h"
#include "tests/unit/sriov/cases.h"

#include "sriov/nvme_vf.h"

#include <errno.h>
#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>

int __wrap_ioctl(int fd, unsigned long request, void *arg);

/* A controller with two secondaries: 8 flexible queues, 4 flexible interrupts. */
static struct {
	unsigned calls, fail_call;
	int fail_status; /* positive: NVMe, negative: errno */
	bool online[2], forgets;
	uint16_t queues[2], interrupts[2];
	unsigned entries;
} ctrl;

static struct sysfs sys = { .root_fd = -1 };
static struct pci_fn pf, vf;
static struct err err;

static int identify(const struct nvme_admin_cmd *cmd)
{
	uint8_t *data = (uint8_t *)(uintptr_t)cmd->addr;

	assert_int_equal(cmd->data_len, 4096);
	if (cmd->cdw10 == 0x14) {
		put_le32(data + 32, 8);
		put_le16(data + 44, 3); /* at most 3 for one */
		put_le32(data + 64, 4);
		put_le16(data + 78, 2);
		return 0;
	}
	data[0] = (uint8_t)ctrl.entries;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *entry = data + 32 + 32 * i;

		put_le16(entry, (uint16_t)(i + 1));
		entry[4] = ctrl.online[i];
		put_le16(entry + 8, (uint16_t)(i + 1));
		put_le16(entry + 10, ctrl.queues[i]);
		put_le16(entry + 12, ctrl.interrupts[i]);
	}
	return 0;
}

static int manage(const struct nvme_admin_cmd *cmd)
{
	unsigned i = (cmd->cdw10 >> 16) - 1, resource = cmd->cdw10 >> 8 & 7;

	assert_true(i < 2);
	switch (cmd->cdw10 & 0xf) {
	case 7:
		ctrl.online[i] = false;
		return 0;
	case 8:
		if (ctrl.online[i])
			return 0x120;
		if (cmd->cdw11 > 8)
			return 0x4121; /* with Do Not Retry */
		if (resource == 0)
			ctrl.queues[i] = (uint16_t)cmd->cdw11;
		else if (!ctrl.forgets)
			ctrl.interrupts[i] = (uint16_t)cmd->cdw11;
		return 0;
	case 9:
		ctrl.online[i] = true;
		return 0;
	}
	return 0x4002;
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct nvme_admin_cmd *cmd = arg;

	assert_int_equal(request, NVME_IOCTL_ADMIN_CMD);
	if (++ctrl.calls == ctrl.fail_call) {
		errno = -ctrl.fail_status;
		return ctrl.fail_status > 0 ? ctrl.fail_status : -1;
	}
	return cmd->opcode == 0x06 ? identify(cmd) : manage(cmd);
}

static int setup(void **state)
{
	memset(&ctrl, 0, sizeof(ctrl));
	ctrl.entries = 2;
	tree_make();
	tree_file("dev/nvme0", "%s", "");
	assert_int_equal(sysfs_open(&sys, tree.root, &err), 0);
	pf = (struct pci_fn){ .name = "0000:03:00.0",
			      .kind = FN_NVME,
			      .dev_name = "nvme0",
			      .driver = "nvme",
			      .is_pf = true,
			      .total_vfs = 2 };
	vf = (struct pci_fn){ .name = "0000:03:00.2", .is_vf = true, .pf = &pf, .vf_index = 1 };
	return 0;
}

static int teardown(void **state)
{
	sysfs_close(&sys);
	tree_remove();
	return 0;
}

static void online_with_a_fair_share(void **state)
{
	struct nvme_vf_state s;

	assert_int_equal(nvme_vf_online(&sys, &vf, 0, 0, &err), 0);
	assert_int_equal(nvme_vf_get(&sys, &vf, &s, &err), 0);
	assert_true(s.online);
	assert_int_equal(s.controller_id, 2);
	assert_int_equal(s.queues, 3);
	assert_int_equal(s.interrupts, 2);
	assert_false(ctrl.online[0]);
	/* A second time, from online. */
	assert_int_equal(nvme_vf_online(&sys, &vf, 2, 1, &err), 0);
	assert_int_equal(nvme_vf_offline(&sys, &vf, &err), 0);
	assert_int_equal(nvme_vf_get(&sys, &vf, &s, &err), 0);
	assert_false(s.online);
	assert_int_equal(s.queues + s.interrupts, 0);
}

static void more_than_there_is(void **state)
{
	assert_int_equal(nvme_vf_online(&sys, &vf, 9, 1, &err), -ENOSPC);
	assert_string_equal(err.code, "nvme-resources");
	assert_contains(err.text, "NVMe VF 0000:03:00.2");
	assert_contains(err.hint, "nvme0");
	assert_false(ctrl.online[1]);
}

static void accepted_but_not_kept(void **state)
{
	ctrl.forgets = true;
	assert_int_equal(nvme_vf_online(&sys, &vf, 2, 1, &err), -EPROTO);
	assert_string_equal(err.code, "nvme-not-kept");
	assert_false(ctrl.online[1]);
}

static void every_command_may_fail(void **state)
{
	for (unsigned n = 1; n <= 9; n++) {
		ctrl.calls = 0;
		ctrl.fail_call = n;
		ctrl.fail_status = n % 2 != 0 ? 0x0777 : -EPERM;
		assert_true(nvme_vf_online(&sys, &vf, 2, 1, &err) < 0);
		assert_true(err.text[0] != '\0');
		assert_false(ctrl.online[1]);
		assert_int_equal(ctrl.queues[1], 0);
	}
	ctrl.calls = ctrl.fail_call = 0;
	assert_int_equal(nvme_vf_online(&sys, &vf, 2, 1, &err), 0);
	assert_int_equal(ctrl.calls, 9); /* so the loop has seen them all */
}

static void no_virtualization_management(void **state)
{
	ctrl.fail_call = 1;
	ctrl.fail_status = 0x4001;
	assert_int_equal(nvme_vf_online(&sys, &vf, 2, 1, &err), -EOPNOTSUPP);
	ctrl.fail_call = 0;
	ctrl.entries = 0;
	assert_int_equal(nvme_vf_online(&sys, &vf, 2, 1, &err), -EOPNOTSUPP);
	assert_string_equal(err.code, "nvme-no-secondary");
	ctrl.entries = 255; /* hostile: more than the page holds */
	vf.vf_index = 77;
	assert_int_equal(nvme_vf_offline(&sys, &vf, &err), -EOPNOTSUPP);
}

static void no_controller_device(void **state)
{
	struct nvme_vf_state s;

	tree_delete("dev/nvme0");
	assert_int_equal(nvme_vf_get(&sys, &vf, &s, &err), -ENOENT);
	pf.dev_name[0] = '\0';
	assert_int_equal(nvme_vf_get(&sys, &vf, &s, &err), -ENODEV);
	assert_string_equal(err.code, "no-nvme");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(online_with_a_fair_share),	    CASE(more_than_there_is),
		CASE(accepted_but_not_kept),	    CASE(every_command_may_fail),
		CASE(no_virtualization_management), CASE(no_controller_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
