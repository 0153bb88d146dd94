// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_stats.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define NAME_BYTES 48
#define DESC_AT	   72
#define DATA_AT	   4096

/* A statistics file as KVM makes it: two numbers of ours, one unknown, one histogram in between. */
struct image {
	struct kvm_stats_header h;
	uint8_t id[DESC_AT - sizeof(struct kvm_stats_header)];
	struct row {
		uint32_t flags;
		int16_t exponent;
		uint16_t size;
		uint32_t offset, bucket_size;
		char name[NAME_BYTES];
	} rows[4];
	uint8_t gap[DATA_AT - DESC_AT - 4 * sizeof(struct row)];
	uint64_t data[12];
};

static_assert(offsetof(struct image, data) == DATA_AT, "as the header says");

static void image_fill(struct image *m)
{
	memset(m, 0, sizeof(*m));
	m->h = (struct kvm_stats_header){ .name_size = NAME_BYTES,
					  .num_desc = 4,
					  .id_offset = sizeof(m->h),
					  .desc_offset = DESC_AT,
					  .data_offset = DATA_AT };
	m->rows[0] = (struct row){ .size = 1, .offset = 8, .name = "halt_exits" };
	m->rows[1] = (struct row){
		.flags = KVM_STATS_TYPE_LOG_HIST, .size = 8, .offset = 16, .name = "io_exits"
	};
	m->rows[2] = (struct row){ .size = 1, .offset = 80, .name = "not_wanted" };
	m->rows[3] = (struct row){ .size = 1, .offset = 72, .name = "exits" };
	for (uint64_t i = 0; i < ARRAY_SIZE(m->data); i++)
		m->data[i] = 1000 + i;
}

static int file_of(const void *bytes, size_t len)
{
	int fd = memfd_create("stats", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	return fd;
}

static size_t index_of(const char *name)
{
	size_t i = 0;

	while (strcmp(kvm_stats_vcpu_names.names[i], name) != 0)
		assert_true(++i < kvm_stats_vcpu_names.count);
	return i;
}

static int layout_of(const struct image *m, size_t len, struct kvm_stats_layout *l, struct err *e)
{
	auto_fd int fd = file_of(m, len);

	return kvm_stats_layout_read(fd, &kvm_stats_vcpu_names, l, e);
}

static void numbers_are_found_by_name(void **state)
{
	struct kvm_stats_layout l;
	uint64_t values[KVM_STATS_NAMES];
	struct image m;
	struct err e = { 0 };
	auto_fd int fd = -1;

	image_fill(&m);
	fd = file_of(&m, sizeof(m));
	assert_int_equal(kvm_stats_layout_read(fd, &kvm_stats_vcpu_names, &l, &e), 0);
	assert_true(l.present[index_of("halt_exits")] && l.present[index_of("exits")]);
	assert_false(l.present[index_of("io_exits")]); /* a histogram of that name is not it */
	assert_false(l.present[index_of("mmio_exits")]);
	assert_int_equal(kvm_stats_read(fd, &l, values), 0);
	assert_int_equal(values[index_of("halt_exits")], 1001);
	assert_int_equal(values[index_of("exits")], 1009);
	assert_int_equal(values[index_of("mmio_exits")], 0);
	/* A sample reads no further than it must. */
	assert_int_equal(l.data_bytes, 80);
	m.data[9] = 5;
	assert_int_equal(pwrite(fd, &m.data[9], 8, DATA_AT + 72), 8);
	assert_int_equal(kvm_stats_read(fd, &l, values), 0);
	assert_int_equal(values[index_of("exits")], 5);
}

static void headers_out_of_bounds_are_refused(void **state)
{
	static const struct {
		struct kvm_stats_header h;
		const char *said;
	} bad[] = {
		{ { 0, 0, 4, 24, DESC_AT, DATA_AT }, "names of 0 bytes" },
		{ { 0, UINT32_MAX, 4, 24, DESC_AT, DATA_AT }, "names of 4294967295 bytes" },
		{ { 0, NAME_BYTES, UINT32_MAX, 24, DESC_AT, DATA_AT }, "4294967295 descriptors" },
		{ { 0, NAME_BYTES, 4, 24, UINT32_MAX, DATA_AT }, "too far away" },
		{ { 0, NAME_BYTES, 4, 24, DESC_AT, 0x80000000 }, "too far away" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct kvm_stats_layout l;
		struct image m;
		struct err e = { 0 };

		image_fill(&m);
		m.h = bad[i].h;
		assert_int_equal(layout_of(&m, sizeof(m), &l, &e), -EBADMSG);
		if (strstr(e.text, bad[i].said) == NULL)
			fail_msg("%zu: \"%s\"", i, e.text);
	}
}

static void short_files_are_errors_at_every_length(void **state)
{
	struct kvm_stats_layout l;
	uint64_t values[KVM_STATS_NAMES];
	struct image m;

	image_fill(&m);
	for (size_t len = 0; len < DESC_AT + sizeof(m.rows); len++) {
		struct err e = { 0 };

		assert_int_equal(layout_of(&m, len, &l, &e), -EIO);
		assert_true(e.text[0] != '\0');
	}
	/* The descriptors are whole, the data is not. */
	for (size_t len = DATA_AT; len < DATA_AT + 80; len++) {
		auto_fd int fd = file_of(&m, len);
		struct err e = { 0 };

		assert_int_equal(kvm_stats_layout_read(fd, &kvm_stats_vcpu_names, &l, &e), 0);
		assert_int_equal(kvm_stats_read(fd, &l, values), -EIO);
	}
}

static void odd_descriptors_are_passed_over(void **state)
{
	struct kvm_stats_layout l;
	struct image m;
	struct err e = { 0 };

	image_fill(&m);
	memset(m.rows[0].name, 'x', NAME_BYTES); /* no end */
	m.rows[2] = (struct row){ .size = 1, .offset = UINT32_MAX - 7, .name = "irq_exits" };
	m.rows[3].offset = 73; /* not aligned */
	assert_int_equal(layout_of(&m, sizeof(m), &l, &e), 0);
	for (size_t i = 0; i < kvm_stats_vcpu_names.count; i++)
		assert_false(l.present[i]);
	assert_int_equal(l.data_bytes, 0);

	m.rows[3] = (struct row){ .size = 0, .offset = 72, .name = "exits" };
	m.h.num_desc = 0;
	assert_int_equal(layout_of(&m, sizeof(m), &l, &e), 0);
	m.h.num_desc = 4;
	assert_int_equal(layout_of(&m, sizeof(m), &l, &e), 0);
	assert_false(l.present[index_of("exits")]);
}

static void names_are_unique_and_plain(void **state)
{
	const struct kvm_stats_names *sets[] = { &kvm_stats_vm_names, &kvm_stats_vcpu_names };

	for (size_t s = 0; s < ARRAY_SIZE(sets); s++)
		for (size_t i = 0; i < sets[s]->count; i++) {
			const char *name = sets[s]->names[i];

			assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
					 strlen(name));
			for (size_t k = 0; k < i; k++)
				assert_string_not_equal(name, sets[s]->names[k]);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_found_by_name),
		cmocka_unit_test(headers_out_of_bounds_are_refused),
		cmocka_unit_test(short_files_are_errors_at_every_length),
		cmocka_unit_test(odd_descriptors_are_passed_over),
		cmocka_unit_test(names_are_unique_and_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
