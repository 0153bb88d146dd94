// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/sysfs_tree.h"
#include "tests/unit/sriov/cases.h"

#include "sriov/pcicaps.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static void decode(const uint8_t *space, size_t len, struct pci_caps *out)
{
	struct cfg_space cfg;

	cfg_from_bytes(&cfg, space, len);
	pci_caps_decode(&cfg, out);
	cfg_close(&cfg);
}

static void everything_is_decoded(void **state)
{
	uint8_t space[4096];
	struct pci_caps c;
	const struct sriov_cap *s = &c.sriov;

	decode(space, tree_config(space, true), &c);
	assert_false(c.needs_root || c.is_dead);
	assert_int_equal(c.msix_vectors, 10);
	assert_true(c.pcie.present && c.pcie.flr);
	assert_int_equal(c.pcie.speed, 3);
	assert_int_equal(c.pcie.speed_max, 4);
	assert_int_equal(c.pcie.width, 4);
	assert_int_equal(c.pcie.width_max, 8);
	assert_true(c.acs.present);
	assert_int_equal(c.acs.cap, 0x5f);
	assert_int_equal(c.acs.ctl, ACS_SOURCE_VALIDATION | ACS_P2P_REQUEST_REDIRECT |
					    ACS_P2P_COMPLETION_REDIRECT | ACS_UPSTREAM_FORWARDING);
	assert_true(c.ari.present && c.ari.mfvc_groups && c.ari.acs_groups);
	assert_int_equal(c.ari.next_function, 1);
	assert_true(c.ats.present && c.ats.enabled && c.ats.page_aligned);
	assert_int_equal(c.ats.queue_depth, 32);
	assert_int_equal(c.ats.stu, 5);
	assert_true(c.pri.present && c.pri.enabled && c.pri.stopped);
	assert_int_equal(c.pri.capacity, 512);
	assert_true(c.pasid.present && c.pasid.exec && c.pasid.priv && c.pasid.enabled);
	assert_int_equal(c.pasid.width_bits, 20);
	assert_true(s->present && s->vf_enable && s->vf_mse && s->ari_capable_hierarchy &&
		    s->ari_preserved);
	assert_false(s->vf_migration_capable);
	assert_int_equal(s->initial_vfs, 8);
	assert_int_equal(s->total_vfs, 8);
	assert_int_equal(s->num_vfs, 2);
	assert_int_equal(s->first_vf_offset, 128);
	assert_int_equal(s->vf_stride, 2);
	assert_int_equal(s->vf_device_id, 0x10ca);
	assert_int_equal(s->supported_page_sizes, 0x553);
	assert_int_equal(s->system_page_size, 1);
	assert_int_equal(s->bar_count, 2);
	assert_int_equal(s->bars[1].index, 3);
	assert_true(s->bars[0].is_64bit && s->bars[0].is_prefetchable);
	assert_false(s->bars[1].is_64bit || s->bars[1].is_prefetchable);
}

static void without_privilege_it_is_unknown_not_absent(void **state)
{
	uint8_t space[4096];
	struct pci_caps c;

	tree_config(space, true);
	decode(space, CFG_SIZE_PUBLIC, &c);
	assert_true(c.needs_root);
	assert_false(c.is_dead || c.sriov.present);
}

/* As the kernel does it: the size says 4096, a read behind 64 gives nothing. */
static void a_cut_file_is_noticed(void **state)
{
	uint8_t space[4096];
	struct cfg_space cfg;
	struct pci_caps c;
	int fd = memfd_create("config", MFD_CLOEXEC);

	tree_config(space, true);
	assert_int_equal(write(fd, space, sizeof(space)), sizeof(space));
	assert_int_equal(cfg_open_fd(&cfg, fd), 0);
	assert_int_equal(ftruncate(fd, 64), 0);
	pci_caps_decode(&cfg, &c);
	cfg_close(&cfg);
	assert_true(c.needs_root);
	assert_int_equal(cfg.fd, -1);
}

static void conventional_pci_needs_no_root_for_what_it_lacks(void **state)
{
	uint8_t space[4096];
	struct pci_caps c;

	tree_config(space, true);
	decode(space, CFG_SIZE_LEGACY, &c);
	assert_false(c.needs_root || c.sriov.present);
	assert_true(c.pcie.present);
}

static void dead_function(void **state)
{
	uint8_t space[4096];
	struct pci_caps c;

	memset(space, 0xff, sizeof(space));
	decode(space, sizeof(space), &c);
	assert_true(c.is_dead);
	decode(space, 0, &c);
	assert_true(c.is_dead);
	/* A VF's ids read as ones; it is alive all the same. */
	tree_config(space, false);
	decode(space, sizeof(space), &c);
	assert_false(c.is_dead);
}

static void loops_end(void **state)
{
	uint8_t space[4096];
	struct cfg_space cfg;

	tree_config(space, true);
	space[0xa1] = 0x70; /* back to the first */
	put_le32(space + 0x180, 0x0b | 1U << 16 | 0x100U << 20);
	cfg_from_bytes(&cfg, space, sizeof(space));
	assert_int_equal(cfg_find_cap(&cfg, 0x05), -ENOENT);
	assert_int_equal(cfg_find_cap(&cfg, 0x10), 0xa0);
	assert_int_equal(cfg_find_ext_cap(&cfg, 0x10), -ENOENT);
}

static void capability_at_the_end_is_cut_not_read_over(void **state)
{
	uint8_t space[4096];
	struct pci_caps c;

	tree_config(space, true);
	put_le32(space + 0x100, 0x0b | 1U << 16 | 0xffcU << 20);
	put_le32(space + 0xffc, 0x10 | 1U << 16);
	decode(space, sizeof(space), &c);
	assert_true(c.sriov.present);
	assert_int_equal(c.sriov.total_vfs, 0);
	assert_int_equal(c.sriov.bar_count, 0);
}

static void reads_are_checked(void **state)
{
	uint8_t space[64] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct cfg_space cfg;
	uint32_t v32 = 7;
	uint16_t v16 = 7;

	cfg_from_bytes(&cfg, space, 48);
	assert_int_equal(cfg_read32(&cfg, 4, &v32), 0);
	assert_int_equal(v32, 0x08070605);
	assert_int_equal(cfg_read16(&cfg, 6, &v16), 0);
	assert_int_equal(v16, 0x0807);
	assert_int_equal(cfg_read32(&cfg, 2, &v32), -ERANGE);
	assert_int_equal(cfg_read32(&cfg, 48, &v32), -ERANGE);
	assert_int_equal(cfg_read32(&cfg, 4096, &v32), -ERANGE);
	assert_int_equal(cfg_read32(&cfg, UINT32_MAX - 3, &v32), -ERANGE);
	assert_int_equal(cfg_read16(&cfg, 5, &v16), -ERANGE);
	assert_int_equal(v32, 0x08070605);
}

static void sizes_come_from_resource(void **state)
{
	struct sriov_cap s = { .present = true, .total_vfs = 8 };
	char text[1024] = "";

	for (int i = 0; i < 13; i++)
		strcat(text, i == 7    ? "0xfe800000 0xfe81ffff 0x14220c\n"
			     : i == 9  ? "0xfe900000 0xfe900fff 0x40200\n"
			     : i == 12 ? "0xfe900000 0xfe900002 0x40200\n"
			     : i == 11 ? "nonsense\n"
				       : "0x0 0x0 0x0\n");
	s.bars[0] = (struct vf_bar){ .index = 2 };
	s.bar_count = 1;
	sriov_cap_add_sizes(&s, text);
	assert_int_equal(s.bar_count, 3);
	assert_int_equal(s.bars[0].index, 0);
	assert_true(s.bars[0].is_64bit && s.bars[0].is_prefetchable);
	assert_int_equal(s.bars[0].size_bytes, 16384);
	assert_int_equal(s.bars[1].index, 2);
	assert_int_equal(s.bars[1].size_bytes, 512);
	assert_int_equal(s.bars[2].size_bytes, 0); /* does not divide: not known */
	/* Without the capability the number of VFs is a guess, so there is no size. */
	s = (struct sriov_cap){ 0 };
	sriov_cap_add_sizes(&s, text);
	assert_int_equal(s.bar_count, 3);
	assert_int_equal(s.bars[0].size_bytes, 0);
	sriov_cap_add_sizes(&s, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_decoded),
		cmocka_unit_test(without_privilege_it_is_unknown_not_absent),
		cmocka_unit_test(a_cut_file_is_noticed),
		cmocka_unit_test(conventional_pci_needs_no_root_for_what_it_lacks),
		cmocka_unit_test(dead_function),
		cmocka_unit_test(loops_end),
		cmocka_unit_test(capability_at_the_end_is_cut_not_read_over),
		cmocka_unit_test(reads_are_checked),
		cmocka_unit_test(sizes_come_from_resource),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
